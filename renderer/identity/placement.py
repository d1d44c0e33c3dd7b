"""How object space lies in the photo: near enough an affine map, which also takes changes of shape along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Placement:
    """Least-squares affine map from the resting head to the canvas; exact for a head without expression, far away."""

    to_pixels: np.ndarray  # (2, 3)
    pixel_offset: np.ndarray  # (2,)
    to_world: np.ndarray  # (3, 3)
    towards_camera: np.ndarray  # (3,) unit vector of object space
    scale: float  # pixels a model unit

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Object space (..., 3) -> pixels (..., 2)."""
        return points @ self.to_pixels.T + self.pixel_offset

    def nearness(self, points: np.ndarray) -> np.ndarray:
        """Object space (..., 3) -> (...) model units towards the camera."""
        return points @ self.towards_camera

    def points(self, pixels: np.ndarray, nearness: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) at a nearness (...) -> object space (..., 3)."""
        across = (pixels - self.pixel_offset) @ np.linalg.pinv(self.to_pixels).T
        across = across - (across @ self.towards_camera)[..., None] * self.towards_camera
        return across + nearness[..., None] * self.towards_camera


def place(shape: np.ndarray, world: np.ndarray, pixels: np.ndarray, weights: np.ndarray) -> Placement:
    """From the resting head (V, 3), its posed vertices (V, 3) and their pixels (V, 2); weights (V,) trust in each."""
    known = np.column_stack([shape, np.ones(len(shape))]) * weights[:, None]
    image = np.linalg.lstsq(known, pixels * weights[:, None], rcond=None)[0].T
    posed = np.linalg.lstsq(known, world * weights[:, None], rcond=None)[0].T
    towards = np.cross(image[0, :3], image[1, :3])
    towards /= np.linalg.norm(towards)
    if posed[2, :3] @ towards < 0:
        towards = -towards
    scale = float(np.sqrt(np.linalg.norm(np.cross(image[0, :3], image[1, :3]))))
    return Placement(image[:, :3], image[:, 3], posed[:, :3], towards, scale)
