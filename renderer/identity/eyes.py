"""Colours of iris and sclera, read between the lids."""

from __future__ import annotations

import cv2
import numpy as np

from renderer.identity.photo import PhotoCanvas, luminance
from renderer.portrait.topology import EYES

USUAL_IRIS = np.array([0.10, 0.075, 0.055], np.float32)  # linear RGB; a middling brown
USUAL_SCLERA = np.array([0.62, 0.58, 0.55], np.float32)
FEW_PIXELS = 60  # of the canvas; from fewer, the usual colour keeps half of the say
IRIS_RING = (0.42, 0.88)  # of the iris's radius: outside the pupil, inside the dark rim
SCLERA_DISTANCE = 1.2  # of the iris's radius from its centre
IRIS_SHADE, SCLERA_SHADE = 0.72, 0.8  # how bright the shader draws one of brightness 1, on average
SCLERA_RANGE = (0.20, 0.75)  # luminance; brighter looks startled, darker unwell
LEAST_OPENING = 0.12  # of the eye's width: between closer lids there is nothing to read
CHEEKS = ((50, 205), (280, 425))  # MediaPipe's landmarks, right and left as EYES
CHEEK_PATCH = 8  # pixels of the canvas: half a patch's side
DARK, MOSTLY = 0.2, 0.75  # of the cheek's light, and share of the skin; long lashes and deep shadow reach half of that


def eye_colours(canvas: PhotoCanvas) -> tuple[np.ndarray, np.ndarray]:
    """(3,) iris and (3,) sclera, linear RGB float32, in the photo's own light, as the texture is.

    Closed, tiny or covered eyes leave the usual colours.
    """
    iris_pixels, sclera_pixels = [], []
    for eye in EYES:
        points = canvas.landmarks[:, :2]
        corner = np.linalg.norm(points[eye.upper[0]] - points[eye.upper[-1]])
        opening = np.linalg.norm(points[eye.upper[4]] - points[eye.lower[4]])
        if opening < LEAST_OPENING * corner:
            continue
        outline = np.concatenate([points[eye.upper], points[eye.lower[-2:0:-1]]])
        low = np.clip(np.floor(outline.min(axis=0)).astype(int), 0, canvas.size - 2)
        high = np.clip(np.ceil(outline.max(axis=0)).astype(int) + 1, low + 1, canvas.size)
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        inside = np.zeros((high - low)[::-1], np.uint8)
        cv2.fillPoly(inside, [np.round(outline - low).astype(np.int32)], 1)
        inside = cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=0)
        row, column = np.mgrid[window]
        centre = points[eye.iris[0]]
        radius = np.linalg.norm(points[eye.iris[1:]] - centre, axis=1).mean()
        distance = np.hypot(column - centre[0], row - centre[1]) / max(radius, 1e-6)
        ring = (inside > 0) & (distance > IRIS_RING[0]) & (distance < IRIS_RING[1])
        iris_pixels.append(canvas.linear[window][ring & (row > centre[1] - 0.2 * radius)])
        white = (inside > 0) & (distance > SCLERA_DISTANCE) & (row > centre[1] - 0.5 * radius)
        sclera_pixels.append(canvas.linear[window][white])
    iris = _mixed(iris_pixels, (0.15, 0.7), USUAL_IRIS * IRIS_SHADE) / IRIS_SHADE
    return iris.astype(np.float32), _limited(
        _mixed(sclera_pixels, (0.5, 0.9), USUAL_SCLERA * SCLERA_SHADE) / SCLERA_SHADE
    )


def eyes_are_hidden(canvas: PhotoCanvas) -> bool:
    """Whether dark glasses are worn: the skin round both eyes, lids to creases, is dark beside the cheek below it."""
    points, light = canvas.landmarks[:, :2], luminance(canvas.linear)
    for eye, cheeks in zip(EYES, CHEEKS, strict=True):
        skin = np.zeros(light.shape, np.uint8)
        for ring, value in (((eye.crease_upper, eye.crease_lower), 1), ((eye.upper, eye.lower), 0)):
            cv2.fillPoly(skin, [np.round(points[np.concatenate([ring[0], ring[1][::-1]])]).astype(np.int32)], value)
        around = light[skin > 0]
        low = np.clip(np.round(points[list(cheeks)]).astype(int) - CHEEK_PATCH, 0, canvas.size - 2 * CHEEK_PATCH - 1)
        side = 2 * CHEEK_PATCH + 1
        cheek = np.median([light[y : y + side, x : x + side].mean() for x, y in low])
        if not len(around) or (around < DARK * cheek).mean() < MOSTLY:
            return False
    return True


def _mixed(parts: list[np.ndarray], quantiles: tuple[float, float], usual: np.ndarray) -> np.ndarray:
    """Mean of the pixels (N, 3) whose brightness lies between two quantiles, leaning to the usual where they are few.

    So highlights, lashes and the lids' shadow are left out.
    """
    pixels = np.concatenate([*parts, np.zeros((0, 3), np.float32)])
    if not len(pixels):
        return usual.copy()
    light = luminance(pixels)
    low, high = np.quantile(light, quantiles)
    colour = pixels[(light >= low) & (light <= high)].mean(axis=0)
    share = len(pixels) / (len(pixels) + FEW_PIXELS)
    return np.clip(share * colour + (1 - share) * usual, 0.004, 0.9).astype(np.float32)


def _limited(sclera: np.ndarray) -> np.ndarray:
    """A white that is neither startling nor dull, with half of the photo's tint."""
    light = float(luminance(sclera))
    tint = np.sqrt(sclera / max(light, 1e-6))
    tint /= luminance(tint)
    return (tint * np.clip(light, *SCLERA_RANGE)).astype(np.float32)
