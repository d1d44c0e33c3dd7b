"""Eight habits of a listener that can be counted in clips: styles are moved to them, the weights are judged by them.

The card that a visitor sees is perfrdiff.behaviour.card; this is for comparing persons.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from perfrdiff.behaviour import events
from perfrdiff.coefficients import CHANNEL, FPS, ROTATION

QUANTITIES = (
    "minutes", "nods", "strokes", "degrees", "blinks", "smile", "brows", "pitch", "yaw", "tilt",
)  # fmt: skip
"""What is counted in a clip: numbers of nod bursts, strokes (degrees: their sizes summed) and blinks; mean levels of
the smile and of the brows' raising and lowering; median head angles in degrees."""


def quantities(clip: np.ndarray) -> np.ndarray:
    """The `QUANTITIES` of a clip (frames, 58)."""
    nods = events.nods(clip)
    level = clip.astype(np.float64).mean(axis=0)
    smile = (level[CHANNEL["mouthSmileLeft"]] + level[CHANNEL["mouthSmileRight"]]) / 2
    brows = level[CHANNEL["browInnerUp"]] + (level[CHANNEL["browDownLeft"]] + level[CHANNEL["browDownRight"]]) / 2
    angles = np.degrees(np.median(clip[:, ROTATION].astype(np.float64), axis=0))
    strokes = nods.strokes.sum()
    return np.array(
        [len(clip) / FPS / 60, len(nods.start), strokes, (nods.size * nods.strokes).sum(),
         len(events.blinks(clip).time), smile, brows, *angles]
    )  # fmt: skip


def _of(counted: np.ndarray, name: str) -> np.ndarray:
    return counted[..., QUANTITIES.index(name)]


def _per_minute(counted: np.ndarray, name: str) -> np.ndarray:
    return _of(counted, name).sum(-1) / _of(counted, "minutes").sum(-1)


def _nod_size(counted: np.ndarray) -> np.ndarray:
    strokes = _of(counted, "strokes").sum(-1)
    size = np.full(strokes.shape, np.nan)
    np.divide(_of(counted, "degrees").sum(-1), strokes, out=size, where=strokes > 0)
    return size


def _mean(name: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda counted: _of(counted, name).mean(-1)


@dataclass(frozen=True)
class Habit:
    """How a habit is read from what was counted in a person's clips, (…, clips, quantities) -> (…)."""

    read: Callable[[np.ndarray], np.ndarray]
    vector: str | None  # the simulator's own number for it, where there is one: a field of Habits
    even: Callable[[np.ndarray], np.ndarray] = np.asarray  # brings its spread over persons near to a normal one


HABITS = {
    "nod rate": Habit(lambda c: _per_minute(c, "nods"), "nod_rate", lambda x: np.log(x + 1.0)),
    "nod size": Habit(_nod_size, "nod_size", np.log),
    "smile level": Habit(_mean("smile"), None, np.sqrt),
    "blink rate": Habit(lambda c: _per_minute(c, "blinks"), "blink_rate", np.sqrt),
    "rest pitch": Habit(_mean("pitch"), "rest_pitch"),
    "rest yaw": Habit(_mean("yaw"), "rest_yaw"),
    "rest tilt": Habit(_mean("tilt"), "rest_roll"),
    "brow activity": Habit(_mean("brows"), None, np.sqrt),
}


def habits_of(clips: np.ndarray) -> np.ndarray:
    """Habits (H,) counted in clips (K, frames, 58) together, on their even scale; not a number: no nod, so no size."""
    counted = np.stack([quantities(clip) for clip in clips])[None]
    return np.array([float(habit.even(habit.read(counted))[0]) for habit in HABITS.values()])


def read_habits(counted: np.ndarray) -> np.ndarray:
    """Habits (persons, habits) from (persons, clips, quantities), on the scale in which they are compared.

    A person who never nods in these clips tells nothing of the size of nods: the other persons' mean stands in.
    """
    out = np.stack([habit.even(habit.read(counted)) for habit in HABITS.values()], axis=-1)
    unknown = np.isnan(out)
    means = np.array([column[~np.isnan(column)].mean() if np.isfinite(column).any() else 0.0 for column in out.T])
    return np.where(unknown, means, out)
