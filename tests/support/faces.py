"""Faces in an expression, as rows of coefficients."""

from collections.abc import Mapping

import numpy as np

from perfrdiff.coefficients import CHANNEL, neutral


def expression(shapes: Mapping[str, float]) -> np.ndarray:
    """One row (58,): the neutral face with these channels; a name without its side sets both sides."""
    row = neutral()
    for name, value in shapes.items():
        for channel in (name, name + "Left", name + "Right"):
            if channel in CHANNEL:
                row[CHANNEL[channel]] = value
    return row
