"""Eight measures of a listener's behaviour in clips: styles are calibrated and weights are judged by them.

The card that a visitor sees is perfrdiff.behaviour.card; this is for comparing persons.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from perfrdiff.behaviour import events
from perfrdiff.coefficients import CHANNEL, FPS, ROTATION

COUNT_NAMES = (
    "minutes", "nods", "strokes", "degrees", "blinks", "smile", "brows", "pitch", "yaw", "tilt",
)  # fmt: skip
"""The numbers of a clip: its length; nod bursts, strokes (degrees: their sizes summed) and blinks; mean levels of
the smile and of the brows' raising and lowering; median head angles in degrees."""


def count_behaviour(clip: np.ndarray) -> np.ndarray:
    """The numbers (Q,) of a clip (frames, 58), in the order of `COUNT_NAMES`."""
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


def _column(counts: np.ndarray, name: str) -> np.ndarray:
    return counts[..., COUNT_NAMES.index(name)]


def _per_minute(counts: np.ndarray, name: str) -> np.ndarray:
    return _column(counts, name).sum(-1) / _column(counts, "minutes").sum(-1)


def _nod_size(counts: np.ndarray) -> np.ndarray:
    strokes = _column(counts, "strokes").sum(-1)
    size = np.full(strokes.shape, np.nan)
    np.divide(_column(counts, "degrees").sum(-1), strokes, out=size, where=strokes > 0)
    return size


def _mean(name: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda counts: _column(counts, name).mean(-1)


@dataclass(frozen=True)
class BehaviourMeasure:
    """A number that describes how a person listens."""

    from_counts: Callable[[np.ndarray], np.ndarray]  # (…, clips, Q) of count_behaviour -> (…)
    normalise: Callable[[np.ndarray], np.ndarray] = np.asarray  # brings its spread over persons near to a normal one


BEHAVIOUR_MEASURES = {
    "nod rate": BehaviourMeasure(lambda c: _per_minute(c, "nods"), lambda x: np.log(x + 1.0)),
    "nod size": BehaviourMeasure(_nod_size, np.log),
    "smile level": BehaviourMeasure(_mean("smile"), np.sqrt),
    "blink rate": BehaviourMeasure(lambda c: _per_minute(c, "blinks"), np.sqrt),
    "rest pitch": BehaviourMeasure(_mean("pitch")),
    "rest yaw": BehaviourMeasure(_mean("yaw")),
    "rest tilt": BehaviourMeasure(_mean("tilt")),
    "brow activity": BehaviourMeasure(_mean("brows"), np.sqrt),
}


def measure_clips(clips: np.ndarray) -> np.ndarray:
    """Measures (H,), normalised, of clips (K, frames, 58) together; the nod size is NaN where nobody nods."""
    counts = np.stack([count_behaviour(clip) for clip in clips])[None]
    measures = BEHAVIOUR_MEASURES.values()
    return np.array([float(measure.normalise(measure.from_counts(counts))[0]) for measure in measures])


def measures_from_counts(counts: np.ndarray) -> np.ndarray:
    """Measures (persons, H), normalised, from counts (persons, clips, Q) of `count_behaviour`.

    A person who never nods in these clips has no nod size: the other persons' mean stands in.
    """
    measures = BEHAVIOUR_MEASURES.values()
    values = np.stack([measure.normalise(measure.from_counts(counts)) for measure in measures], axis=-1)
    missing = np.isnan(values)
    means = np.array([column[~np.isnan(column)].mean() if np.isfinite(column).any() else 0.0 for column in values.T])
    return np.where(missing, means, values)
