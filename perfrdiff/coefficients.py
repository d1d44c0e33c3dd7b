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
    "CHANNEL", "COEFFICIENT_NAMES", "EXPRESSION", "EXPRESSION_NAMES", "FPS", "ROTATION", "TRACKED_CORRELATION",
    "TRANSLATION", "UNTRUSTED_COLUMNS", "WIDTH", "neutral", "react_mean", "react_spread", "trusted_channels",
]  # fmt: skip

FPS = 25  # frames per second of every feature stream (REACT 2024)
WIDTH = len(COEFFICIENT_NAMES)  # 58
EXPRESSION = slice(0, 52)
ROTATION = slice(52, 55)
TRANSLATION = slice(55, 58)
CHANNEL: dict[str, int] = {name: index for index, name in enumerate(COEFFICIENT_NAMES)}


TRACKED_CORRELATION: dict[str, float] = {
    "browDownLeft": 0.90, "browDownRight": 0.94, "browInnerUp": 0.91, "browOuterUpLeft": 0.68,
    "browOuterUpRight": 0.75, "cheekPuff": 0.88, "cheekSquintLeft": 0.20, "cheekSquintRight": 0.26,
    "eyeBlinkLeft": 0.97, "eyeBlinkRight": 0.95, "eyeLookDownLeft": 0.87, "eyeLookDownRight": 0.90,
    "eyeLookInLeft": 0.91, "eyeLookInRight": 0.99, "eyeLookOutLeft": 0.95, "eyeLookOutRight": 0.94,
    "eyeLookUpLeft": 0.89, "eyeLookUpRight": 0.89, "eyeSquintLeft": 0.81, "eyeSquintRight": 0.91, "eyeWideLeft": 0.89,
    "eyeWideRight": 0.94, "jawForward": -0.14, "jawLeft": 0.89, "jawOpen": 0.99, "jawRight": 0.97, "mouthClose": 0.91,
    "mouthDimpleLeft": 0.79, "mouthDimpleRight": 0.93, "mouthFrownLeft": 0.97, "mouthFrownRight": 0.98,
    "mouthFunnel": 0.94, "mouthLeft": 0.97, "mouthLowerDownLeft": 0.95, "mouthLowerDownRight": 0.85,
    "mouthPressLeft": 0.91, "mouthPressRight": 0.93, "mouthPucker": 0.88, "mouthRight": 0.97, "mouthRollLower": 0.87,
    "mouthRollUpper": 0.94, "mouthShrugLower": 0.91, "mouthShrugUpper": 0.92, "mouthSmileLeft": 0.91,
    "mouthSmileRight": 0.96, "mouthStretchLeft": 0.91, "mouthStretchRight": 0.89, "mouthUpperUpLeft": 0.91,
    "mouthUpperUpRight": 0.90, "noseSneerLeft": 0.79, "noseSneerRight": 0.80, "tongueOut": 0.00,
}  # fmt: skip
"""How well the tracker reads each expression: correlation of a known movement of that channel alone, head within ±15°,
with the values read back (docs/round_trip.md, printed by `python -m benchmarks.round_trip`). For the four channels
that are not read at all, the correlation of MediaPipe's own network, the best there is."""
LEAST_CORRELATION = 0.5


def trusted_channels() -> tuple[str, ...]:
    """The expressions whose tracked values can be trusted: those read back with a correlation of 0.5 or more.

    The others (cheek squint on both sides, jaw forward, tongue out) always read 0 and are left out of styles.
    """
    return tuple(name for name in EXPRESSION_NAMES if TRACKED_CORRELATION[name] >= LEAST_CORRELATION)


UNTRUSTED_COLUMNS: tuple[int, ...] = tuple(
    CHANNEL[name] for name in EXPRESSION_NAMES if TRACKED_CORRELATION[name] < LEAST_CORRELATION
)
"""The columns of all other expressions."""


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
