"""The behaviour card: a listener's nods, smiles, blinks, gaze and head pose, as a person would count them.

Nods, blinks and smiles are detected as in the statistics of real listeners (``perfrdiff.behaviour.events``, which the
evaluation of the weights uses too). A rate from few events is uncertain: the confidence says how uncertain.
"""

from dataclasses import dataclass

import numpy as np

from perfrdiff.behaviour import events
from perfrdiff.behaviour.events import SMILING
from perfrdiff.coefficients import CHANNEL, FPS, ROTATION, WIDTH
from perfrdiff.errors import InputError

__all__ = ["BehaviourCard", "confidence_of", "measure_behaviour"]

HALF_CONFIDENCE_SECONDS = 15.0
"""Of the variance of a recording's nod rate, .40 lies between persons and .16 is sampling noise (docs/method.md
15.9, recordings of minutes). Noise falls as 1 / length, and reaches the persons' share at some 15 s."""
LOOKING_AWAY = np.radians(10)  # of the eyes, from where they usually look
GAZE_RADIANS = np.radians(35)  # of eyeLook 1 (docs/method.md 15.6)
FEWEST_FRAMES = 13  # that the filters need


@dataclass(frozen=True)
class BehaviourCard:
    """The measures of one clip. Rates are per minute, angles in degrees."""

    seconds: float  # of listening that were measured
    confidence: float  # 0 … 1: how much of a rate's spread between such clips is the person
    nods: float
    nod_size: float  # peak to peak; 0 where there was none
    smiles: float
    smiling: float  # share of the time
    blinks: float
    looking_away: float  # share of the time
    pitch: float  # of the usual pose; positive: chin down
    turn: float  # positive: to their left
    tilt: float  # positive: towards their right shoulder

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each measure, in words."""
        return [
            ("Nods", f"{self.nods:.0f} a minute" + (f", {self.nod_size:.0f}° each" if self.nod_size else "")),
            ("Smiles", f"{self.smiles:.0f} a minute, {self.smiling:.0%} of the time"),
            ("Blinks", f"{self.blinks:.0f} a minute"),
            ("Looks away", f"{self.looking_away:.0%} of the time"),
            ("Head", f"{_lean(self.pitch, 'down', 'up')}, {_lean(self.turn, 'left', 'right')}, "
                     f"tilted {_lean(self.tilt, 'right', 'left')}"),
            ("Seen for", f"{self.seconds:.0f} s, confidence {self.confidence:.0%}"),
        ]  # fmt: skip


def confidence_of(seconds: float) -> float:
    """0 … 1, growing with the length: the persons' share in the variance of a rate measured over so many seconds."""
    return seconds / (seconds + HALF_CONFIDENCE_SECONDS)


def measure_behaviour(coefficients: np.ndarray, seen: np.ndarray | None = None) -> BehaviourCard:
    """Measure a listener's behaviour.

    Args:
        coefficients: (T, 58) at 25 frames per second, half a second or more.
        seen: (T,) bool, False for frames without a face, whose rows were filled in; they count neither as time nor for
            levels.

    Raises:
        InputError: another width, or too short.
    """
    rows = np.asarray(coefficients, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != WIDTH or len(rows) < FEWEST_FRAMES:
        raise InputError(f"Habits need coefficients of shape ({FEWEST_FRAMES} or more, {WIDTH}), got {rows.shape}.")
    seen = np.ones(len(rows), bool) if seen is None or not seen.any() else np.asarray(seen, bool)
    seconds = float(seen.sum() / FPS)

    def count_seen(times: np.ndarray) -> int:
        return int(seen[np.clip((times * FPS).astype(int), 0, len(rows) - 1)].sum())

    def mean_of_sides(name: str) -> np.ndarray:
        return (rows[:, CHANNEL[name + "Left"]] + rows[:, CHANNEL[name + "Right"]]) / 2

    nods, blinks, smiles = events.nods(rows), events.blinks(rows), events.visible_smiles(rows)
    across = (
        rows[:, CHANNEL["eyeLookOutLeft"]] + rows[:, CHANNEL["eyeLookInRight"]]
        - rows[:, CHANNEL["eyeLookInLeft"]] - rows[:, CHANNEL["eyeLookOutRight"]]
    ) / 2  # fmt: skip
    gaze = GAZE_RADIANS * np.stack([across, mean_of_sides("eyeLookUp") - mean_of_sides("eyeLookDown")], axis=1)
    away = np.linalg.norm(gaze - np.median(gaze[seen], axis=0), axis=1) > LOOKING_AWAY
    open_eyes = seen & (mean_of_sides("eyeBlink") < 0.4)  # closing lids hide the eyes
    pitch, turn, tilt = np.degrees(np.median(rows[seen][:, ROTATION] - [np.pi, 0, 0], axis=0))
    per_minute = 60 / seconds
    return BehaviourCard(
        seconds=seconds,
        confidence=confidence_of(seconds),
        nods=count_seen(nods.start) * per_minute,
        nod_size=float(np.mean(nods.size)) if len(nods.size) else 0.0,
        smiles=count_seen(smiles.start) * per_minute,
        smiling=float((mean_of_sides("mouthSmile")[seen] > SMILING).mean()),
        blinks=count_seen(blinks.time) * per_minute,
        looking_away=float(away[open_eyes].mean()) if open_eyes.any() else 0.0,
        pitch=float(pitch),
        turn=float(turn),
        tilt=float(tilt),
    )


def _lean(degrees: float, positive: str, negative: str) -> str:
    return f"{abs(degrees):.0f}° {positive if degrees >= 0 else negative}"
