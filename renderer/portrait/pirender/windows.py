"""The 27 frames that each frame's descriptor is read from (docs/method.md 13.11)."""

from __future__ import annotations

import numpy as np

from renderer.portrait.pirender.architecture import WINDOW


def window_indices(frames: int) -> np.ndarray:
    """(frames, 27) int: 13 frames before to 13 after each frame; beyond the ends the first and the last repeat."""
    reach = WINDOW // 2
    return np.clip(np.arange(frames)[:, None] + np.arange(-reach, reach + 1), 0, frames - 1)


def windows(sequence: np.ndarray) -> np.ndarray:
    """(T, C) coefficients -> (T, C, 27), channels first, as the published network takes them."""
    return sequence[window_indices(len(sequence))].transpose(0, 2, 1)
