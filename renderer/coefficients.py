"""What every way of drawing asks of coefficients: the right shape, finite numbers, and nothing that no face can do."""

from __future__ import annotations

import numpy as np

from renderer.errors import RenderError
from renderer.face_model import COEFFICIENT_NAMES, COEFFICIENTS, EXPRESSIONS, REACT_TRANSLATION

UPRIGHT = np.array([np.pi, 0.0, 0.0])
MAX_ROTATION = np.radians(75.0)  # per axis away from upright; beyond it no tracked face is real
MAX_TRANSLATION_OFFSET = np.array([1.5, 1.5, 4.0])  # units away from the REACT mean; keeps the head before the camera
EXPRESSION_TOLERANCE = 0.5
"""Units beyond 0..1 that are worth a word: tracked and generated expressions overstep the range a little all along."""
NAMES_SHOWN = 3


def plausible_coefficients(coefficients: np.ndarray) -> np.ndarray:
    """A float32 copy of (T, 58) coefficients, clamped to what a face can do and a camera hold.

    Expressions to 0..1, turns to 75° from upright. Raises RenderError for a wrong shape, NaN or infinity.
    """
    values = _validated(coefficients)
    np.clip(values[:, :EXPRESSIONS], 0.0, 1.0, out=values[:, :EXPRESSIONS])
    values[:, -6:-3] = UPRIGHT + np.clip(_angles_from_upright(values), -MAX_ROTATION, MAX_ROTATION)
    mean = np.array(REACT_TRANSLATION)
    values[:, -3:] = np.clip(values[:, -3:], mean - MAX_TRANSLATION_OFFSET, mean + MAX_TRANSLATION_OFFSET)
    return values


def implausibility_note(coefficients: np.ndarray) -> str | None:
    """One sentence on (T, 58) coefficients that drawing clamps by a good deal; None if all are plausible."""
    values = _validated(coefficients)
    excess = np.zeros_like(values)
    expressions = values[:, :EXPRESSIONS]
    excess[:, :EXPRESSIONS] = np.maximum(np.maximum(-expressions, expressions - 1) - EXPRESSION_TOLERANCE, 0)
    excess[:, -6:-3] = np.maximum(np.abs(_angles_from_upright(values)) - MAX_ROTATION, 0)
    excess[:, -3:] = np.maximum(np.abs(values[:, -3:] - REACT_TRANSLATION) - MAX_TRANSLATION_OFFSET, 0)
    max_excess = excess.max(axis=0, initial=0.0)
    names = [COEFFICIENT_NAMES[k] for k in np.argsort(-max_excess, kind="stable") if max_excess[k] > 0]
    if not names:
        return None
    frames = int((excess > 0).any(axis=1).sum())
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (
        f"{frames} of {len(values)} frames ask for more than a face can do ({', '.join(names[:NAMES_SHOWN])}{more}); "
        "they are drawn at its limit."
    )


def _validated(coefficients: np.ndarray) -> np.ndarray:
    values = np.array(coefficients, np.float32)
    if values.ndim != 2 or values.shape[1] != COEFFICIENTS:
        raise RenderError(f"Expected coefficients of shape (frames, {COEFFICIENTS}), got {values.shape}.")
    if not np.isfinite(values).all():
        frame = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise RenderError(f"The coefficients hold NaN or infinity, first in frame {frame}: they cannot be drawn.")
    return values


def _angles_from_upright(values: np.ndarray) -> np.ndarray:
    """Angles away from upright, -pi..pi: -3.1 is as upright as +3.1."""
    return np.remainder(values[:, -6:-3] - UPRIGHT + np.pi, 2 * np.pi) - np.pi
