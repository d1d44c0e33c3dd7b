"""The small movements in every channel that tracked real faces have, and simulated ones do not.

A simulated listener moves some channels only; a tracked real face wanders a little in all of them and rests elsewhere.
The head wanders less, so that nods and its pose stay visible. Sizes are guesses, from what real listeners look like.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from perfrdiff.coefficients import COEFFICIENT_NAMES, EXPRESSION, FPS, ROTATION, WIDTH

OFFSET_SIZE = 0.08  # expression units, of a typical channel at full strength: a constant, over the clip
WANDER_SIZE = 0.05  # the same, of what comes and goes
HEAD_SHARE = 0.3 * np.pi / 180  # radians where expressions have OFFSET_SIZE
SLOW_SECONDS, QUICK_SECONDS = 0.9, 0.12  # standard deviations of the Gaussians that shape what comes and goes
REDUCED_CHANNELS = {"eyeBlink": 0.25, "mouthSmile": 0.5, "brow": 0.5}
"""Beginnings of the names of channels that are tracked well, and whose events are counted -> factor of their sizes."""
CHANNEL_LOG_STD = 0.8  # of a size, from channel to channel
WANDERING_SHARE = 0.6  # of the clips; the others stay as they are


def add_wander(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A clip (frames, 58) with wandering channels, at a strength of its own; some clips stay as they are."""
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
