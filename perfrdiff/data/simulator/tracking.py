"""What a tracker reports of a simulated listener: its noise, its cross-talk, the channels it hardly sees, and the small
movements in every channel that tracked real faces have and simulated ones do not."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from perfrdiff.coefficients import (
    CHANNEL,
    COEFFICIENT_NAMES,
    EXPRESSION,
    EXPRESSION_NAMES,
    FPS,
    ROTATION,
    TRANSLATION,
    WIDTH,
)
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

OFFSET_SIZE = 0.08  # expression units, of a typical channel at full strength: a constant, over the clip
WANDER_SIZE = 0.05  # the same, of what comes and goes
HEAD_SHARE = 0.3 * np.pi / 180  # radians where expressions have OFFSET_SIZE
SLOW_SECONDS, QUICK_SECONDS = 0.9, 0.12  # standard deviations of the Gaussians that shape what comes and goes
REDUCED_CHANNELS = {"eyeBlink": 0.25, "mouthSmile": 0.5, "brow": 0.5}
"""Beginnings of the names of channels that are tracked well, and whose events are counted -> factor of their sizes."""
CHANNEL_LOG_STD = 0.8  # of a size, from channel to channel
WANDERING_SHARE = 0.6  # of the clips; the others stay as they are


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


def add_wander(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A clip (frames, 58) with wandering channels, at a strength of its own; some clips stay as they are.

    The head wanders less than the face, so that nods and its pose stay visible. Sizes are guesses, from what real
    listeners look like.
    """
    strength = rng.random() * (rng.random() < WANDERING_SHARE)
    if not strength:
        return clip
    sizes = strength * np.exp(CHANNEL_LOG_STD * rng.standard_normal(WIDTH))
    sizes[ROTATION] *= HEAD_SHARE / OFFSET_SIZE
    sizes[ROTATION.stop :] = 0
    for prefix, factor in REDUCED_CHANNELS.items():
        sizes[[column for column, name in enumerate(COEFFICIENT_NAMES) if name.startswith(prefix)]] *= factor
    out = clip.astype(np.float64)
    offset = OFFSET_SIZE * np.abs(rng.standard_normal(WIDTH)) * sizes
    out[:, EXPRESSION] += offset[EXPRESSION]  # the pose of the head is a habit, and stays
    for seconds in (SLOW_SECONDS, QUICK_SECONDS):
        wander = gaussian_filter1d(rng.standard_normal(clip.shape), seconds * FPS, axis=0, mode="wrap")
        out += WANDER_SIZE / 2**0.5 * sizes * wander / wander.std(0).clip(min=1e-9)
    out[:, EXPRESSION] = out[:, EXPRESSION].clip(0, 1)
    return out.astype(np.float32)
