"""Gains on finished reactions: the size of nods, the level of smile and brows, the resting pose of the head.

The generator decides when a listener nods and smiles, and in what form; how large the movements are it learns in part.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from perfrdiff.behaviour import events
from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, ROTATION

PITCH_BASELINE_SIGMA = 8.0  # frames: Gaussian that leaves the slow part of the pitch, without the nods
NOD_EDGE_SIGMA = 2.5  # frames: Gaussian that softens the edges of the nod mask
MIN_FACTOR, MAX_FACTOR = 0.4, 2.5
SMILE_CHANNELS = ("mouthSmileLeft", "mouthSmileRight")
BROW_CHANNELS = ("browInnerUp", "browDownLeft", "browDownRight", "browOuterUpLeft", "browOuterUpRight")


@dataclass(frozen=True)
class MotionGain:
    """Factors are 1 and angles 0 where nothing is changed."""

    nods: float = 1.0  # factor of the quick movement of the pitch in nods
    smile: float = 1.0  # factor of the smile
    brows: float = 1.0  # factor of all brow channels
    pitch: float = 0.0  # radians added to the head's rotation
    yaw: float = 0.0
    tilt: float = 0.0

    def apply(self, clips: np.ndarray) -> np.ndarray:
        """Clips (…, frames, 58) with the gains applied; expressions are clipped to 0 … 1."""
        if self == MotionGain():
            return clips
        out = clips.copy()
        if self.nods != 1.0:
            pitch = clips[..., CHANNEL["rotationX"]]
            quick = pitch - gaussian_filter1d(pitch, PITCH_BASELINE_SIGMA, axis=-1, mode="nearest")
            out[..., CHANNEL["rotationX"]] += (self.nods - 1.0) * nod_mask(clips) * quick
        out[..., ROTATION] += np.array([self.pitch, self.yaw, self.tilt], clips.dtype)
        for names, factor in ((SMILE_CHANNELS, self.smile), (BROW_CHANNELS, self.brows)):
            out[..., [CHANNEL[name] for name in names]] *= factor
        out[..., EXPRESSION] = np.clip(out[..., EXPRESSION], 0.0, 1.0)
        return out

    @property
    def is_valid(self) -> bool:
        """Whether all factors are within `MIN_FACTOR` … `MAX_FACTOR`."""
        return all(MIN_FACTOR <= factor <= MAX_FACTOR for factor in (self.nods, self.smile, self.brows))

    def scaled(self, strength: float) -> "MotionGain":
        """Factors to the power of `strength`, angles times it (0: no gain, 1: this one); factors stay within limits."""
        return combined_gains([(self, strength)])


def nod_mask(clips: np.ndarray) -> np.ndarray:
    """1 where the head nods in clips (…, frames, 58), 0 elsewhere, with soft edges, (…, frames)."""
    masks = np.zeros((*clips.shape[:-1],), np.float32)
    for clip, mask in zip(clips.reshape(-1, *clips.shape[-2:]), masks.reshape(-1, clips.shape[-2]), strict=True):
        nods = events.nods(clip)
        seconds = nods.strokes / 2 / nods.frequency
        for start, end in zip(nods.start, nods.start + seconds, strict=True):
            mask[max(round(start * FPS) - 2, 0) : round(end * FPS) + 2] = 1.0
    return gaussian_filter1d(masks, NOD_EDGE_SIGMA, axis=-1, mode="nearest")


def combined_gains(weighted_gains: list[tuple[MotionGain, float]]) -> MotionGain:
    """Gains of several listeners, each with its weight: weighted factors are multiplied, weighted angles added."""

    def product(name: str) -> float:
        powers = [getattr(gain, name) ** weight for gain, weight in weighted_gains]
        return float(np.clip(np.prod(powers), MIN_FACTOR, MAX_FACTOR))

    def total(name: str) -> float:
        return float(sum(getattr(gain, name) * weight for gain, weight in weighted_gains))

    return MotionGain(*map(product, ("nods", "smile", "brows")), *map(total, ("pitch", "yaw", "tilt")))
