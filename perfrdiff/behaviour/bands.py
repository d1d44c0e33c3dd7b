"""Movement by frequency band: how lively a face is slowly, at the pace of gestures, and quickly."""

import numpy as np
from scipy.fft import dct

from perfrdiff.coefficients import CHANNEL, FPS, ROTATION

BANDS = ((0.1, 0.3), (0.3, 1.0), (1.0, 3.0))  # Hz: posture and mood, gestures, nods and talk
MOUTH = (
    "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
)  # fmt: skip
CHANNEL_GROUPS: dict[str, tuple[str, ...]] = {
    "pitch": ("rotationX",),
    "yaw": ("rotationY",),
    "roll": ("rotationZ",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "brows": ("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "gaze": tuple(f"eyeLook{way}{side}" for way in ("Down", "In", "Out", "Up") for side in ("Left", "Right")),
    "jaw": ("jawOpen",),
    "other mouth": MOUTH,
}
"""Channels whose liveliness is given as one number: the root of their mean power."""
ANGLES = ("pitch", "yaw", "roll")  # groups in degrees; the others are blendshape weights, 0 … 1


def band_rms(rows: np.ndarray, low: float, high: float) -> np.ndarray:
    """Root mean square (…,) of what signals (frames, …) at 25 per second move between `low` and `high` Hz.

    By the cosine transform, which continues a clip as its mirror image: a drift has no edge that would count as quick
    movement, and a clip may be of any length. A clip shorter than 1 / (2 low) s has nothing in that band.
    """
    power = np.square(dct(np.asarray(rows, np.float64), axis=0, norm="ortho"))
    frequency = np.arange(len(power)) * FPS / (2 * len(power))
    return np.sqrt(power[(frequency >= low) & (frequency < high)].sum(axis=0) / len(power))


def liveliness(clip: np.ndarray) -> np.ndarray:
    """Root mean square (groups, bands) of a clip (frames, 58), in the order of `CHANNEL_GROUPS` and `BANDS`.

    Angles in degrees, expressions as blendshape weights.
    """
    rows = clip.astype(np.float64)
    rows[:, ROTATION] = np.degrees(rows[:, ROTATION])
    bands = np.stack([band_rms(rows, *band) for band in BANDS], axis=1)  # (58, bands)
    groups = [[CHANNEL[name] for name in names] for names in CHANNEL_GROUPS.values()]
    return np.stack([np.sqrt(np.square(bands[columns]).mean(axis=0)) for columns in groups])
