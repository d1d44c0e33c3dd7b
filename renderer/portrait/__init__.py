"""Animates one photo from the 58 coefficients."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from .warp import WarpAnimator

__all__ = ["PortraitAnimator", "WarpAnimator"]


@runtime_checkable
class PortraitAnimator(Protocol):
    """What every way of animating a photo offers: a photo is set once, then any number of sequences are animated."""

    size: int  # side of the frames in pixels

    def set_portrait(self, image: np.ndarray, landmarks: np.ndarray, coefficients: np.ndarray) -> None:
        """image (H, W, 3) uint8 RGB; landmarks (478, 3) pixels x, y, z; coefficients (58,) of the photo as tracked."""
        ...

    def animate(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """(T, 58) coefficients to T frames (size, size, 3) uint8 RGB, streamed."""
        ...
