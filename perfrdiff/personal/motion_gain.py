"""Gains on finished reactions: how large nods, smiles and glances are, how far a head turns, how it is held.

The generator decides when a listener nods, smiles and looks away, and in what form; how large the movements are it
learns in part. Apart from the nods' every gain works on each frame by itself.
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import gaussian_filter1d

from perfrdiff.behaviour import events
from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, ROTATION

PITCH_BASELINE_SIGMA = 8.0  # frames: Gaussian that leaves the slow part of the pitch, without the nods
NOD_EDGE_SIGMA = 2.5  # frames: Gaussian that softens the edges of the nod mask
MIN_FACTOR, MAX_FACTOR = 0.4, 2.5
MAX_LEAN = 0.85  # of `smile_lean` and `glance_lean`
LEFT, RIGHT = 1.0, -1.0
SMILES = {"mouthSmileLeft": LEFT, "mouthSmileRight": RIGHT}
FROWNS = ("browDownLeft", "browDownRight")
RAISED_BROWS = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
SIDEWAYS_GAZE = {
    "eyeLookOutLeft": LEFT, "eyeLookInRight": LEFT, "eyeLookInLeft": RIGHT, "eyeLookOutRight": RIGHT,
}  # fmt: skip
VERTICAL_GAZE = ("eyeLookUpLeft", "eyeLookUpRight", "eyeLookDownLeft", "eyeLookDownRight")
USUAL_SMILE, USUAL_FROWN, USUAL_GLANCE = 0.3, 0.2, 0.3  # blendshape weights that a contrast leaves as they are


@dataclass(frozen=True)
class MotionGain:
    """Factors and contrasts are 1, angles and leans 0 where nothing is changed.

    A contrast is a power: above 1 it makes large movements larger and small ones smaller, so that the events of a clip
    are larger while there are as many of them.
    """

    nods: float = 1.0  # factor of the quick movement of the pitch in nods
    smile: float = 1.0  # factor of the smile
    brows: float = 1.0  # factor of all brow channels
    pitch: float = 0.0  # radians added to the head's rotation
    yaw: float = 0.0
    tilt: float = 0.0
    turns: float = 1.0  # factor of the yaw, before `yaw` is added
    tilts: float = 1.0  # factor of the tilt, before `tilt` is added
    frowns: float = 1.0  # factor of the lowered brows
    gaze: float = 1.0  # factor of where the eyes look
    lids: float = 1.0  # factor of the closing lids
    smile_contrast: float = 1.0
    frown_contrast: float = 1.0
    gaze_contrast: float = 1.0
    smile_lean: float = 0.0  # share by which the subject's left side of a smile is larger, and the right one smaller
    glance_lean: float = 0.0  # the same of glances to the subject's left and right

    def apply(self, clips: np.ndarray) -> np.ndarray:
        """Clips (…, frames, 58) with the gains applied; expressions are clipped to 0 … 1."""
        if self == MotionGain():
            return clips
        out = clips.copy()
        if self.nods != 1.0:
            pitch = clips[..., CHANNEL["rotationX"]]
            quick = pitch - gaussian_filter1d(pitch, PITCH_BASELINE_SIGMA, axis=-1, mode="nearest")
            out[..., CHANNEL["rotationX"]] += (self.nods - 1.0) * nod_mask(clips) * quick
        out[..., CHANNEL["rotationY"]] *= self.turns
        out[..., CHANNEL["rotationZ"]] *= self.tilts
        out[..., ROTATION] += np.array([self.pitch, self.yaw, self.tilt], clips.dtype)
        for name, side in SMILES.items():
            _scale(out, name, self.smile * (1 + side * self.smile_lean), self.smile_contrast, USUAL_SMILE)
        for name in FROWNS:
            _scale(out, name, self.brows * self.frowns, self.frown_contrast, USUAL_FROWN)
        for name in RAISED_BROWS:
            _scale(out, name, self.brows)
        for name, side in (SIDEWAYS_GAZE | dict.fromkeys(VERTICAL_GAZE, 0.0)).items():
            _scale(out, name, self.gaze * (1 + side * self.glance_lean), self.gaze_contrast, USUAL_GLANCE)
        for name in LIDS:
            _scale(out, name, self.lids)
        out[..., EXPRESSION] = np.clip(out[..., EXPRESSION], 0.0, 1.0)
        return out

    @property
    def is_valid(self) -> bool:
        """Whether all factors and contrasts are within `MIN_FACTOR` … `MAX_FACTOR`, and leans within `MAX_LEAN`."""
        factors = all(MIN_FACTOR <= getattr(self, name) <= MAX_FACTOR for name in FACTORS)
        return factors and all(abs(getattr(self, name)) <= MAX_LEAN for name in LEANS)

    def scaled(self, strength: float) -> "MotionGain":
        """Factors to the power of `strength`, angles times it (0: no gain, 1: this one); factors stay within limits."""
        return combined_gains([(self, strength)])


LEANS = ("smile_lean", "glance_lean")
ADDED = ("pitch", "yaw", "tilt", *LEANS)
FACTORS = tuple(one.name for one in fields(MotionGain) if one.name not in ADDED)
"""Names of a gain's numbers: those that are added to, and those that multiply (or are a power)."""


def contrasted(values: np.ndarray, contrast: float, usual: float) -> np.ndarray:
    """Blendshape weights with a contrast: below `usual` they become smaller, above it larger, where it is above 1."""
    return values if contrast == 1.0 else usual * (np.clip(values, 0.0, 1.0) / usual) ** contrast


def _scale(clips: np.ndarray, name: str, factor: float, contrast: float = 1.0, usual: float = 1.0) -> None:
    if factor != 1.0 or contrast != 1.0:
        clips[..., CHANNEL[name]] = factor * contrasted(clips[..., CHANNEL[name]], contrast, usual)


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
        added = float(sum(getattr(gain, name) * weight for gain, weight in weighted_gains))
        return float(np.clip(added, -MAX_LEAN, MAX_LEAN)) if name in LEANS else added

    return MotionGain(**{name: product(name) for name in FACTORS}, **{name: total(name) for name in ADDED})
