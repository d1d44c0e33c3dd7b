"""What a listener's reactions are given after they are made: how large the nods, how high smile and brows, which pose.

The generator says when somebody nods and smiles, and in what form; of how much a person does it says only a part.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from perfrdiff.behaviour import events
from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, ROTATION

SLOW = 8.0  # frames: standard deviation of the Gaussian that leaves of the pitch what is no nod
EASE = 2.5  # frames: the same of that in which a nod is begun and left
LEAST, MOST = 0.4, 2.5  # of any factor
SMILE = ("mouthSmileLeft", "mouthSmileRight")
BROWS = ("browInnerUp", "browDownLeft", "browDownRight", "browOuterUpLeft", "browOuterUpRight")


@dataclass(frozen=True)
class Manner:
    """Factors are 1 and angles 0 where nothing is changed."""

    nods: float = 1.0  # factor of the quick movement of the pitch in nods
    smile: float = 1.0  # factor of the smile
    brows: float = 1.0  # factor of all brow channels
    pitch: float = 0.0  # radians added to the head's rotation
    yaw: float = 0.0
    tilt: float = 0.0

    def applied(self, clips: np.ndarray) -> np.ndarray:
        """The same clips (…, frames, 58) in this manner; expressions stay within 0 … 1."""
        if self == Manner():
            return clips
        out = clips.copy()
        if self.nods != 1.0:
            pitch = clips[..., CHANNEL["rotationX"]]
            quick = pitch - gaussian_filter1d(pitch, SLOW, axis=-1, mode="nearest")
            out[..., CHANNEL["rotationX"]] += (self.nods - 1.0) * nodding(clips) * quick
        out[..., ROTATION] += np.array([self.pitch, self.yaw, self.tilt], clips.dtype)
        for names, factor in ((SMILE, self.smile), (BROWS, self.brows)):
            out[..., [CHANNEL[name] for name in names]] *= factor
        out[..., EXPRESSION] = np.clip(out[..., EXPRESSION], 0.0, 1.0)
        return out

    @property
    def sound(self) -> bool:
        """Whether all factors are within `LEAST` … `MOST`."""
        return all(LEAST <= factor <= MOST for factor in (self.nods, self.smile, self.brows))

    def times(self, strength: float) -> "Manner":
        """This much of it: 0 is none, 1 all, 2 twice as much; no factor leaves `LEAST` … `MOST`."""
        return manners_together([(self, strength)])


def nodding(clips: np.ndarray) -> np.ndarray:
    """1 where the head nods in clips (…, frames, 58), 0 elsewhere, with soft edges, (…, frames)."""
    marks = np.zeros((*clips.shape[:-1],), np.float32)
    for clip, mark in zip(clips.reshape(-1, *clips.shape[-2:]), marks.reshape(-1, clips.shape[-2]), strict=True):
        nods = events.nods(clip)
        seconds = nods.strokes / 2 / nods.frequency
        for start, end in zip(nods.start, nods.start + seconds, strict=True):
            mark[max(round(start * FPS) - 2, 0) : round(end * FPS) + 2] = 1.0
    return gaussian_filter1d(marks, EASE, axis=-1, mode="nearest")


def manners_together(parts: list[tuple[Manner, float]]) -> Manner:
    """Several listeners' manners, each so much of it: factors are multiplied, angles added."""

    def product(name: str) -> float:
        return float(np.clip(np.prod([getattr(manner, name) ** share for manner, share in parts]), LEAST, MOST))

    def total(name: str) -> float:
        return float(sum(getattr(manner, name) * share for manner, share in parts))

    return Manner(*map(product, ("nods", "smile", "brows")), *map(total, ("pitch", "yaw", "tilt")))
