"""The 58 face coefficients: one table of names, so that nobody counts columns by hand.

Expressions are 0 … 1 (0 = rest, 1 = full blendshape). Rotations are Euler angles in radians, R = Rz(c) Ry(b) Rx(a); the
rotation X of an upright face is pi, not 0, because FaceVerse's native frame is y-down (docs/method.md 1.2).
Translations are in model units (about 162 mm each).
"""

import csv
from functools import cache
from math import pi
from pathlib import Path

import numpy as np

from renderer.face_model import COEFFICIENT_NAMES, EXPRESSION_NAMES

__all__ = [
    "CHANNEL", "COEFFICIENT_NAMES", "EXPRESSION", "EXPRESSION_NAMES", "FPS", "ROTATION", "TRANSLATION", "WIDTH",
    "neutral", "react_mean", "react_spread",
]  # fmt: skip

FPS = 25  # frames per second of every feature stream (REACT 2024)
WIDTH = len(COEFFICIENT_NAMES)  # 58
EXPRESSION = slice(0, 52)
ROTATION = slice(52, 55)
TRANSLATION = slice(55, 58)
CHANNEL: dict[str, int] = {name: index for index, name in enumerate(COEFFICIENT_NAMES)}


@cache
def _react_table() -> np.ndarray:
    path = Path(__file__).with_name("react_58d.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row["react_mean"]), float(row["react_std"])] for row in rows], dtype=np.float32)


def react_mean() -> np.ndarray:
    """Mean 58-vector of the REACT 2024 training data, (58,) float32 (docs/method.md 1.3)."""
    return _react_table()[:, 0].copy()


def react_spread() -> np.ndarray:
    """Standard deviation of each channel of the REACT 2024 training data, (58,) float32 (docs/method.md 1.3)."""
    return _react_table()[:, 1].copy()


def neutral() -> np.ndarray:
    """A resting, upright face at the data's mean place, (58,) float32: expressions 0, rotation (pi, 0, 0)."""
    row = np.zeros(WIDTH, dtype=np.float32)
    row[CHANNEL["rotationX"]] = pi
    row[TRANSLATION] = react_mean()[TRANSLATION]
    return row
