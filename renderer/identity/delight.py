"""Takes the photo's light off the skin: what a smooth light does to a face is fitted and divided out."""

from __future__ import annotations

import numpy as np

STRENGTH = 0.8  # exponent of the division; with all of it, hollows and dark cheeks would be lost too
ROUNDS = 5  # of reweighting
TUKEY = 2.5  # residuals beyond so many standard deviations (brows, beard, highlights) do not count
RIDGE = 0.02  # on all but the constant, of the samples' total weight: sides that are not seen stay plain
DARKEST, BRIGHTEST = 0.45, 1.8  # limits of the shade over its mean


def harmonics(normals: np.ndarray) -> np.ndarray:
    """(N, 9) real spherical harmonics to the second order, not normalised, of unit normals (N, 3).

    Nine numbers carry 99 % of what distant light does to a matt surface (Ramamoorthi and Hanrahan, 2001).
    """
    x, y, z = normals.T
    return np.stack([np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], axis=1)


def fitted_shade(luminance: np.ndarray, normals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(9,) coefficients of `harmonics` that explain the luminance (N,) of skin with unit normals (N, 3).

    weights (N,) float, how much each sample is trusted; robust against samples that are not plain skin.
    """
    basis = harmonics(normals)
    ridge = np.full(9, RIDGE)
    ridge[0] = 0.0
    robust = np.ones(len(luminance))
    coefficients = np.zeros(9)
    for _ in range(ROUNDS):
        w = weights * robust
        normal_matrix = (basis * w[:, None]).T @ basis + np.diag(ridge * w.sum()) + 1e-9 * np.eye(9)
        coefficients = np.linalg.solve(normal_matrix, (basis * w[:, None]).T @ luminance)
        residual = luminance - basis @ coefficients
        spread = 1.4826 * np.median(np.abs(residual[weights > 0])) + 1e-6
        robust = np.clip(1 - (residual / (TUKEY * spread)) ** 2, 0, 1) ** 2
    return coefficients


def light_gain(coefficients: np.ndarray, normals: np.ndarray, mean: float) -> np.ndarray:
    """(N,) float32: what colours at unit normals (N, 3) are divided by, about 1 where the shade is the `mean`."""
    shade = harmonics(normals) @ coefficients / mean
    return np.clip(shade, DARKEST, BRIGHTEST).astype(np.float32) ** STRENGTH


def unevenness(coefficients: np.ndarray, normals: np.ndarray, weights: np.ndarray, mean: float) -> float:
    """Standard deviation of the shade over its mean: 0 for light from everywhere, 0.5 for a hard lamp at the side."""
    shade = harmonics(normals) @ coefficients / mean
    average = np.average(shade, weights=weights)
    return float(np.sqrt(np.average((shade - average) ** 2, weights=weights)))
