"""The camera that took a photo of a face, as far as landmarks tell: it looks at the head from a usual distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renderer.face_model import CAMERA_Z

DISTANCE = 6.0  # model units, about a metre: between a webcam's arm's length and a portrait's two metres
HEAD_PLACE = np.array([0.0, 0.0, CAMERA_Z - DISTANCE])  # world translation of a head in front of this camera


@dataclass(frozen=True)
class PhotoCamera:
    """Pinhole camera at (0, 0, CAMERA_Z) of world space that looks along -z at the head standing at HEAD_PLACE.

    One face does not tell its distance, so that is fixed; the principal point lies where the head's origin is seen,
    because the tracker's pose is meant along the ray to the head.
    """

    focal: float  # pixels
    centre: np.ndarray  # (2,) principal point, pixels from the photo's left and top

    @property
    def pixels_per_unit(self) -> float:
        """Pixels of one model unit at the head's origin."""
        return self.focal / DISTANCE

    def project(self, world: np.ndarray) -> np.ndarray:
        """World points (..., 3) -> pixels (..., 2) of the photo: x right, y down, pixel i covers [i, i + 1)."""
        scale = self.focal / (CAMERA_Z - world[..., 2:])
        return self.centre + world[..., :2] * scale * (1.0, -1.0)

    def unproject_shift(self, pixels: np.ndarray, world: np.ndarray) -> np.ndarray:
        """Shifts (..., 2) in the picture of world points (..., 3) -> shifts (..., 3) in world space at equal depth."""
        shift = pixels * (1.0, -1.0) * (CAMERA_Z - world[..., 2:]) / self.focal
        return np.concatenate([shift, np.zeros_like(shift[..., :1])], axis=-1)
