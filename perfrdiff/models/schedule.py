"""The noise schedule of training and sampling."""

from functools import cache

import numpy as np

TRAIN_STEPS = 1000  # diffusion steps of training, cosine schedule (docs/method.md 6.1)


@cache
def cumulative_alphas() -> np.ndarray:
    """abar of the cosine schedule, (1000,) float64: cumprod(1 - beta), beta capped at 0.999 (docs/method.md 6.1)."""
    s = np.arange(TRAIN_STEPS + 1) / TRAIN_STEPS
    f = np.cos((s + 0.008) / 1.008 * np.pi / 2) ** 2
    beta = np.minimum(1 - f[1:] / np.maximum(1e-5, f[:-1]), 0.999)
    return np.cumprod(1 - beta)
