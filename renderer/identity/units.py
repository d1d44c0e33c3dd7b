"""The face units of one person's head: lids that meet, lips and jaw that move in proportion."""

from __future__ import annotations

import numpy as np

from renderer.errors import RenderError
from renderer.face_model import EXPRESSION_NAMES, FaceModel
from renderer.identity.landmark_sets import LOWER_LID, UPPER_LID
from renderer.identity.rest import mouth_width
from renderer.portrait.topology import CHIN

LID_RANGE = (0.25, 2.5)  # of the mean head's opening; what lies outside is a fault of the landmarks
MOUTH_RANGE = (0.8, 1.25)
NOSE_BOTTOM = 2  # MediaPipe's landmark
JAW_UNITS = ("jaw", "mouthClose")  # the lips close what the jaw opens


def adapted_units(face: FaceModel, shape: np.ndarray) -> np.ndarray:
    """(V, 3, 52) float32: the expression basis of `face` for a head at rest of another shape (V, 3).

    A blink of 1 brings each upper lid as near to the lower one as on the mean head; units of mouth and jaw grow with
    both, and the smile of a narrow mouth does not shrink. The upper lids are not lifted yet, see
    renderer.studio_surface.lift_upper_lids. Raises RenderError for a shape of another size, or a face model without
    landmarks.
    """
    vertices, weights = face.landmark_vertices, face.landmark_weights
    if vertices is None or weights is None:
        raise RenderError("This face model carries no MediaPipe landmarks; use the built-in head for that.")
    if shape.shape != face.mean_shape.shape:
        raise RenderError(f"Expected a shape of {face.mean_shape.shape}, got {shape.shape}.")

    own, mean = (
        np.einsum("lkc,lk->lc", head[vertices].astype(np.float64), weights) for head in (shape, face.mean_shape)
    )
    basis = face.expression_basis.copy()
    mouth = np.clip(mouth_width(own) / mouth_width(mean), *MOUTH_RANGE)
    jaw = np.clip(_jaw_height(own) / _jaw_height(mean), *MOUTH_RANGE)
    for number, name in enumerate(EXPRESSION_NAMES):
        if name.startswith(JAW_UNITS):
            basis[:, :, number] *= jaw
        elif name.startswith("mouthSmile"):  # a narrow mouth smiles as far, or its smile is not read as one
            basis[:, :, number] *= max(mouth, 1.0)
        elif name.startswith("mouth"):
            basis[:, :, number] *= mouth
    for side in ("Left", "Right"):
        _fit_lids(basis, face, own, mean, side)
    return basis


def _fit_lids(basis: np.ndarray, face: FaceModel, own: np.ndarray, mean: np.ndarray, side: str) -> None:
    upper, lower = UPPER_LID[side], LOWER_LID[side]
    own_gap, mean_gap = own[lower] - own[upper], mean[lower] - mean[upper]
    across = mean[upper, 0]
    order = np.argsort(across)
    ratio = np.clip(_smoothed(own_gap[:, 1]) / _smoothed(mean_gap[:, 1]), *LID_RANGE)
    x = face.mean_shape[:, 0]
    blink = EXPRESSION_NAMES.index(f"eyeBlink{side}")
    unit = basis[:, :, blink]
    lowered = np.clip(unit[:, 1:2] / unit[:, 1].max(), 0, 1)
    beside = own_gap - ratio[:, None] * mean_gap  # a slanted eye's lids meet at another angle
    correction = np.stack([np.interp(x, across[order], beside[order, axis]) for axis in range(3)], axis=1)
    basis[:, :, blink] = unit * np.interp(x, across[order], ratio[order])[:, None] + lowered * correction
    opening = float(np.clip(ratio[2:-2].mean(), 0.7, 1.4))
    for name in ("eyeSquint", "eyeWide"):
        basis[:, :, EXPRESSION_NAMES.index(f"{name}{side}")] *= opening


def _smoothed(gaps: np.ndarray) -> np.ndarray:
    """Openings from corner to corner, each with its neighbours': next to the corners there is too little to compare."""
    padded = np.pad(gaps, 1, mode="edge")
    return padded[:-2] + 2 * padded[1:-1] + padded[2:]


def _jaw_height(landmarks: np.ndarray) -> float:
    return float(np.linalg.norm(landmarks[CHIN] - landmarks[NOSE_BOTTOM]))
