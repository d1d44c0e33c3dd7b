"""Tracked coefficients brought to the statistics of the REACT 2024 data, for weights that were trained on it.

REACT's 58 numbers come from FaceVerse fits, with resting values and spreads of their own: brows saturated, lids half
closed, some channels all but dead (docs/method.md 1.6). A network trained on them never saw numbers like a tracked
clip's. Each channel is therefore moved to the data's mean and stretched to its spread, never by more than
``LARGEST_STRETCH``, and one that the tracker cannot read is set to the data's mean.
"""

import numpy as np

from perfrdiff.coefficients import EXPRESSION, FPS, TRANSLATION, UNTRUSTED_COLUMNS, WIDTH, react_mean, react_spread
from perfrdiff.errors import InputError

__all__ = ["matched_to_react"]

LARGEST_STRETCH = 3.0
LEAST_SPREAD = 0.01  # of a channel that moves at all
LEAST_SECONDS = 3.0  # a shorter clip has no spread worth matching; only its means are


def matched_to_react(coefficients: np.ndarray) -> np.ndarray:
    """Coefficients with the REACT data's mean and, within limits, its spread in every channel.

    The data's spread is pooled over people and seats, that of a clip is one person's: so the stretch makes somebody
    who hardly moves move as REACT's people do, and differences in liveliness between people are lost. Use it for the
    published weights only. Angles and place are only shifted, for their spread in the data is that of seats.

    Args:
        coefficients: (T, 58).

    Returns:
        (T, 58) float32; expressions 0 or more, with no upper bound, as in the data.

    Raises:
        InputError: another width, or nothing in it.
    """
    rows = np.asarray(coefficients, np.float64)
    if rows.ndim != 2 or rows.shape[1] != WIDTH or not len(rows):
        raise InputError(f"Coefficients of shape (frames, {WIDTH}) were expected, got {rows.shape}.")
    mean, spread = react_mean().astype(np.float64), react_spread().astype(np.float64)
    clip_spread = rows.std(axis=0)
    stretch = np.ones(WIDTH)
    if len(rows) >= LEAST_SECONDS * FPS:
        moves = clip_spread > LEAST_SPREAD
        moves[EXPRESSION.stop :] = False
        stretch[moves] = np.clip(spread[moves] / clip_spread[moves], 1 / LARGEST_STRETCH, LARGEST_STRETCH)
    out = mean + (rows - rows.mean(axis=0)) * stretch
    out[:, EXPRESSION] = np.maximum(out[:, EXPRESSION], 0.0)
    out[:, UNTRUSTED_COLUMNS] = mean[list(UNTRUSTED_COLUMNS)]
    out[:, TRANSLATION] = rows[:, TRANSLATION]  # the tracker's seat is REACT's mean already
    return out.astype(np.float32)
