"""Mouth activity of a listener's clip: the frames in which their own mouth moves as in speech (docs/method.md 16.7).

The mouth of running speech opens two to three times a second (docs/method.md 15.5), so the number of quick swings
separates speech from a smile or a yawn. Where the clip has audio, frames count as speech only where something is heard,
too: in a call, the other's voice is heard while this mouth rests.
"""

import numpy as np
from scipy.ndimage import binary_closing, binary_opening, maximum_filter1d, uniform_filter1d

from perfrdiff.coefficients import CHANNEL, FPS

__all__ = ["listening_frames", "speech_frames"]

QUICK_FRAMES = 11  # of a moving mean that is subtracted: movement below some 2 Hz does not count
LEAST_SWING = 0.02  # of the mouth's opening about that mean
WINDOW = 3 * FPS // 2  # frames in which swings are counted
FEWEST_SWINGS = 4  # to either side in such a window: two openings in 1.5 s; a smile, a yawn or a raised lip has one
AUDIBLE_LEVEL = 0.1  # of the clip's range of log energy; below, nothing is heard
SHORTEST_SPEECH, SHORTEST_PAUSE = FPS // 2, FPS  # frames; a shorter pause belongs to the speech around it
NOTED_SHARE = 0.05  # of speech in a clip; below, nothing is left out


def speech_frames(coefficients: np.ndarray, audio: np.ndarray | None = None) -> np.ndarray:
    """(T,) bool: the frames in which the person talks.

    Args:
        coefficients: (T, 58).
        audio: (T, 78) MFCCs of the same clip, or None where it has no audio.
    """
    lips = coefficients[:, CHANNEL["jawOpen"]] - coefficients[:, CHANNEL["mouthClose"]]
    lips = lips + 0.5 * (coefficients[:, CHANNEL["mouthFunnel"]] + coefficients[:, CHANNEL["mouthPucker"]])
    lips = lips.astype(np.float64)
    quick = lips - uniform_filter1d(lips, QUICK_FRAMES)
    side = np.sign(quick) * (np.abs(quick) > LEAST_SWING)
    swings = np.flatnonzero(side)
    reversals = np.zeros(len(lips))
    reversals[swings[1:]] = np.diff(side[swings]) != 0
    speech = WINDOW * uniform_filter1d(reversals, WINDOW, mode="constant") >= FEWEST_SWINGS - 0.5
    if audio is not None and np.ptp(audio[:, :2]) > 1e-3:
        energy = audio[:, :2].mean(axis=1)  # log energy of the two windows of a frame
        low, high = np.percentile(energy, [5, 95])
        heard = energy > low + AUDIBLE_LEVEL * (high - low)
        speech &= maximum_filter1d(heard.astype(np.uint8), WINDOW).astype(bool)
    speech = binary_closing(np.pad(speech, WINDOW, mode="edge"), np.ones(SHORTEST_PAUSE))[WINDOW:-WINDOW]
    return binary_opening(speech, np.ones(SHORTEST_SPEECH)) if len(speech) > SHORTEST_SPEECH else speech


def listening_frames(
    coefficients: np.ndarray, audio: np.ndarray | None, least_seconds: float
) -> tuple[np.ndarray, str | None]:
    """The frames from which a style is to be read, (T,) bool, and a note about it or None.

    Those without speech; or all, and the note says so, where the others would be shorter than ``least_seconds``.

    Args:
        coefficients, audio: as ``speech_frames``.
    """
    speech = speech_frames(coefficients, audio)
    seconds = (~speech).sum() / FPS
    if seconds < least_seconds:
        return np.ones(len(speech), bool), "The listener talks nearly all the time; the style is read from all of it."
    if speech.mean() < NOTED_SHARE:
        return np.ones(len(speech), bool), None
    note = f"The listener talks for {speech.sum() / FPS:.1f} s; the style is read from the other {seconds:.1f} s."
    return ~speech, note
