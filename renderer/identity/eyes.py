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
IRIS_SHADE = 0.72  # how bright the shader draws an iris of brightness 1, on average
SCLERA_RANGE = (0.35, 0.80)  # luminance; brighter looks startled, darker unwell
LEAST_OPENING = 0.12  # of the eye's width: between closer lids there is nothing to read


def eye_colours(canvas: PhotoCanvas, brightness: float) -> tuple[np.ndarray, np.ndarray]:
    """(3,) iris and (3,) sclera, linear RGB float32, as they would be in a light that shows white as 1.

    brightness: of the photo's light on the face, as the luminance of a white surface there. Closed, tiny or covered
    eyes leave the usual colours.
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
    iris = _typical(iris_pixels, 0.15, 0.7) / (brightness * IRIS_SHADE) if iris_pixels else None
    sclera = _typical(sclera_pixels, 0.5, 0.9) / brightness if sclera_pixels else None
    return _mixed(iris, iris_pixels, USUAL_IRIS), _limited(_mixed(sclera, sclera_pixels, USUAL_SCLERA))


def _typical(pixels: list[np.ndarray], low: float, high: float) -> np.ndarray | None:
    """Mean of the pixels whose brightness lies between two quantiles: without highlights, lashes and lids' shadow."""
    pixels = np.concatenate(pixels)
    if len(pixels) < 8:
        return np.full(3, np.nan)
    light = luminance(pixels)
    kept = (light >= np.quantile(light, low)) & (light <= np.quantile(light, high))
    return pixels[kept].mean(axis=0)


def _mixed(colour: np.ndarray | None, pixels: list[np.ndarray], usual: np.ndarray) -> np.ndarray:
    if colour is None or not np.isfinite(colour).all():
        return usual.copy()
    count = sum(len(part) for part in pixels)
    share = count / (count + FEW_PIXELS)
    return np.clip(share * colour + (1 - share) * usual, 0.004, 0.9).astype(np.float32)


def _limited(sclera: np.ndarray) -> np.ndarray:
    """A white that is neither startling nor dull, with half of the photo's tint."""
    light = float(luminance(sclera))
    tint = np.sqrt(sclera / max(light, 1e-6))
    tint /= luminance(tint)
    return (tint * np.clip(light, *SCLERA_RANGE)).astype(np.float32)
