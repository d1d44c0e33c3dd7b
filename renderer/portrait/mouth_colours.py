"""The colours behind the lips, in the light that falls on the face."""

from dataclasses import dataclass

import cv2
import numpy as np

from renderer.portrait.topology import EYES

GAMMA = 2.2  # of the picture's levels; ratios of reflectances are taken in linear light
TOOTH_TO_SCLERA = 1.1  # brightness; both are white, and the lids shade the eye more than open lips the teeth
TOOTH_TO_SKIN = (1.5, 3.0)  # brightness in linear light: on light skin, on dark skin at most
BRIGHTEST_TOOTH = 0.78  # of full white, in linear light: a picture that is too bright gets no glowing teeth
SKIN_HUE = 0.35  # of the skin's hue in the teeth, as an exponent: they mirror it, and the light is the same
MEAN_SKIN = np.array([1.26, 0.96, 0.78])  # ordinary skin by its own mean level
GREY_SATURATION = 0.34  # saturation of the skin below which a photo is taken for less and less coloured
MOST_SLOPE = 0.3  # change of brightness from the middle of the mouth to a corner

_CHEEKS = (50, 280, 205, 425, 199)
_BESIDE_MOUTH = ((205, 207, 187), (425, 427, 411))


@dataclass(frozen=True)
class MouthColours:
    """Levels 0…255, RGB, float64."""

    tooth: np.ndarray  # (3,)
    tongue: np.ndarray  # (3,)
    cavity: np.ndarray  # (3,)
    gum: np.ndarray  # (3,)
    slope: float  # brightness gained from the mouth's middle to its corner on the picture's right, as a share

    @property
    def table(self) -> np.ndarray:
        """(4, 3): tooth, tongue, cavity, gum."""
        return np.stack([self.tooth, self.tongue, self.cavity, self.gum])


def mouth_colours(picture: np.ndarray, landmarks: np.ndarray) -> MouthColours:
    """Colours for the face with landmarks (478, 3) in a picture (P, P, 3) uint8 RGB."""
    skin = _median_colour(picture, landmarks, _CHEEKS)
    brightness = _linear(skin.mean())
    white = TOOTH_TO_SCLERA * _linear(_sclera_level(picture, landmarks))
    white = min(float(np.clip(white, *(ratio * brightness for ratio in TOOTH_TO_SKIN))), BRIGHTEST_TOOTH)
    hue = (skin / max(skin.mean(), 1.0)).clip(0.3, 2.0) ** SKIN_HUE
    cast = hue / MEAN_SKIN**SKIN_HUE
    exposure = np.clip(skin.mean() / 165.0, 0.35, 1.15)
    colours = [
        (255 * white ** (1 / GAMMA) * hue / hue.mean()).clip(0, 248),
        np.array([160.0, 78.0, 74.0]) * exposure * cast,
        np.array([44.0, 17.0, 16.0]) * exposure,
        np.array([176.0, 98.0, 94.0]) * exposure * cast,
    ]
    # a grey photo has a grey mouth; the teeth's hue is the photo's own already
    saturation = np.clip(np.ptp(skin) / max(skin.max(), 1.0) / GREY_SATURATION, 0, 1)
    tooth, (tongue, cavity, gum) = colours[0], (c.mean() + (c - c.mean()) * saturation for c in colours[1:])
    right, left = (_linear(_median_colour(picture, landmarks, patch).mean()) for patch in _BESIDE_MOUTH)
    slope = 0.5 * (left - right) / max(left + right, 1e-3)  # the cheeks lie twice as far out, and are turned aside
    return MouthColours(tooth, tongue, cavity, gum, float(np.clip(slope, -MOST_SLOPE, MOST_SLOPE)))


def _linear(level: float) -> float:
    return (float(level) / 255) ** GAMMA


def _sclera_level(picture: np.ndarray, landmarks: np.ndarray) -> float:
    """Mean level of the brighter part of what is seen between the lids, the lights of the eye left out."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    for eye in EYES:
        contour = np.concatenate([landmarks[eye.upper, :2], landmarks[eye.lower[-2:0:-1], :2]])
        cv2.fillPoly(mask, [np.round(contour).astype(np.int32)], 1)
    levels = picture[mask > 0].mean(axis=1)
    return float(np.percentile(levels, 80)) if len(levels) else 0.0


def _median_colour(picture: np.ndarray, landmarks: np.ndarray, indices: tuple[int, ...]) -> np.ndarray:
    """(3,) float64, the median of 5 x 5 pixels about each of some landmarks."""
    radius = 2
    patches = []
    for index in indices:
        x, y = np.clip(np.round(landmarks[index, :2]).astype(int), radius, picture.shape[0] - 1 - radius)
        patches.append(picture[y - radius : y + radius + 1, x - radius : x + radius + 1].reshape(-1, 3))
    return np.median(np.concatenate(patches), axis=0).astype(np.float64)
