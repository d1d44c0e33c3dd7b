"""What a tracker reports of a simulated face: its noise, its cross-talk and the channels it hardly sees."""

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION, EXPRESSION_NAMES, ROTATION, TRANSLATION, WIDTH
from perfrdiff.data.simulator.habits import left_right_columns
from perfrdiff.data.simulator.motion import DEGREE
from perfrdiff.features.tracking.signals import neutral_offset, without_offset

STILL_CHANNELS = (
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "jawForward", "jawLeft", "jawRight", "mouthClose", "mouthLeft",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""Expressions that simulated people leave at rest: MediaPipe's own network hardly sees them (docs/method.md 14.5)."""
MOVING_COLUMNS = [CHANNEL[name] for name in EXPRESSION_NAMES if name not in STILL_CHANNELS]
"""The columns of all other expressions."""


def simulate_tracking(coefficients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same motion with a tracker's noise, cross-talk and blind spots (docs/method.md 14.9; sizes are guesses)."""
    out = coefficients.copy()
    pitch = out[:, CHANNEL["rotationX"]] - np.pi
    for name in ("eyeLookDown", "eyeBlink"):  # a lowered head reads as lowered lids
        for column in left_right_columns(name):
            out[:, column] += np.clip(pitch, 0, None) * (0.8 if name == "eyeLookDown" else 0.35)
    smile = out[:, CHANNEL["mouthSmileLeft"]] + out[:, CHANNEL["mouthSmileRight"]]
    for column in left_right_columns("eyeSquint"):
        out[:, column] += 0.25 * smile * rng.uniform(0.5, 1.0)
    gain = np.ones(WIDTH, np.float32)
    gain[EXPRESSION] = np.exp(0.10 * rng.standard_normal(EXPRESSION.stop))
    first_pose = out[:1] * 0
    first_pose[:, ROTATION], first_pose[:, TRANSLATION] = out[:1, ROTATION], out[:1, TRANSLATION]
    out = first_pose + (out - first_pose) * gain
    noise = rng.standard_normal(out.shape).astype(np.float32)
    noise[1:] = 0.6 * noise[1:] + 0.4 * noise[:-1]
    size = np.full(WIDTH, 0.006, np.float32)
    size[EXPRESSION] += 0.02 * np.sqrt(np.clip(out[:, EXPRESSION].mean(0), 0, 1))
    size[ROTATION] = 0.12 * DEGREE
    size[TRANSLATION] = (0.002, 0.002, 0.006)
    out += noise * size
    for name in STILL_CHANNELS:
        out[:, CHANNEL[name]] = np.abs(0.004 * noise[:, CHANNEL[name]])
    out[:, EXPRESSION] = np.clip(out[:, EXPRESSION], 0, 1)
    out[:, EXPRESSION] = without_offset(out[:, EXPRESSION], neutral_offset(out[:, EXPRESSION]))
    out[:, TRANSLATION] += np.array([-0.005627, -0.018014, 1.837867]) - np.median(out[:, TRANSLATION], axis=0)
    return out.astype(np.float32)
