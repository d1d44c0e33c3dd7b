"""Coefficients of a face that does something in every channel that the tests of drawing and files look at."""

import numpy as np

from renderer.face_model import COEFFICIENT_NAMES, neutral_coefficients


def moving(frames: int, seed: int = 3) -> np.ndarray:
    """(frames, 58) float32: slow waves within what a face can do, other ones in each channel; the head moves, too."""
    generator = np.random.default_rng(seed)
    rows = neutral_coefficients(frames)
    phase = generator.uniform(0, 2 * np.pi, rows.shape[1]) + np.arange(frames)[:, None] / 25 * 4.0
    waves = np.sin(phase).astype(np.float32)
    rows[:, :52] = 0.25 + 0.25 * waves[:, :52]
    rows[:, 52:55] += 0.3 * waves[:, 52:55]
    rows[:, 55:] += 0.1 * waves[:, 55:]
    rows[:, COEFFICIENT_NAMES.index("tongueOut")] = 0
    return rows
