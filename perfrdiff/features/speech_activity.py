"""Which parts of a listener's video show them listening: where the mouth does not move as in speech.

The mouth of running speech opens two to three times a second (docs/method.md 15.5), so counting its
quick swings tells talk from a smile or a yawn. With sound of their own, frames count as talk only where
it is heard too: in a call, the other's voice is heard while this mouth rests.
"""

import numpy as np
from scipy.ndimage import binary_closing, binary_opening, maximum_filter1d, uniform_filter1d

from perfrdiff.coefficients import CHANNEL, FPS

__all__ = ["listening_part", "talking"]

QUICK_FRAMES = 11  # what is slower than some 2 Hz is taken off
LEAST_SWING = 0.02  # of the mouth's opening about its course; smaller ones do not count
WINDOW = 3 * FPS // 2  # frames in which swings are counted
FEWEST_SWINGS = 4  # to either side in such a window: two openings in 1.5 s; a smile, a yawn or a raised lip has one
LOUDEST = 0.1  # of the clip's range of log energy: below, nothing is heard
SHORTEST_TALK, SHORTEST_PAUSE = FPS // 2, FPS  # frames; a shorter pause belongs to the talk around it
NOTED = 0.05


def talking(coefficients: np.ndarray, audio: np.ndarray | None = None) -> np.ndarray:
    """(T,) bool: the frames in which the person talks.

    Args:
        coefficients: (T, 58).
        audio: (T, 78) MFCCs of the same clip, or None where there is no sound to go by.
    """
    lips = coefficients[:, CHANNEL["jawOpen"]] - coefficients[:, CHANNEL["mouthClose"]]
    lips = lips + 0.5 * (coefficients[:, CHANNEL["mouthFunnel"]] + coefficients[:, CHANNEL["mouthPucker"]])
    lips = lips.astype(np.float64)
    quick = lips - uniform_filter1d(lips, QUICK_FRAMES)
    side = np.sign(quick) * (np.abs(quick) > LEAST_SWING)
    swings = np.flatnonzero(side)
    turned = np.zeros(len(lips))
    turned[swings[1:]] = np.diff(side[swings]) != 0
    talks = WINDOW * uniform_filter1d(turned, WINDOW, mode="constant") >= FEWEST_SWINGS - 0.5
    if audio is not None and np.ptp(audio[:, :2]) > 1e-3:
        energy = audio[:, :2].mean(axis=1)  # log energy of the two windows of a frame
        low, high = np.percentile(energy, [5, 95])
        heard = energy > low + LOUDEST * (high - low)
        talks &= maximum_filter1d(heard.astype(np.uint8), WINDOW).astype(bool)
    talks = binary_closing(np.pad(talks, WINDOW, mode="edge"), np.ones(SHORTEST_PAUSE))[WINDOW:-WINDOW]
    return binary_opening(talks, np.ones(SHORTEST_TALK)) if len(talks) > SHORTEST_TALK else talks


def listening_part(
    coefficients: np.ndarray, audio: np.ndarray | None, least_seconds: float
) -> tuple[np.ndarray, str | None]:
    """Which frames a style is to be read from, (T,) bool, and a note about it.

    All of them where the listening alone would be shorter than ``least_seconds``: then the talk must do, and the note
    says so.
    """
    talks = talking(coefficients, audio)
    seconds = (~talks).sum() / FPS
    if seconds < least_seconds:
        return np.ones(
            len(talks), bool
        ), "The listener talks nearly all the time; their talking manner is used as it is."
    if talks.mean() < NOTED:
        return np.ones(len(talks), bool), None
    return (
        ~talks,
        f"The listener talks for {talks.sum() / FPS:.1f} s; the style is read from the other {seconds:.1f} s.",
    )
