"""Where a head's vertices are in a pose, the neck bent between a turning head and shoulders that stay."""

from __future__ import annotations

import numpy as np

from renderer.coefficients import UPRIGHT
from renderer.face_model import pose_vertices, rotation_matrix

NECK_JOINT = np.array([0.0, 0.62, 0.42], np.float32)  # object space: about the third vertebra, where the head turns
SHOULDER_SHARE = 0.5  # share of the neck joint's travel that the shoulders take up


def pose_bust(vertices: np.ndarray, coefficients: np.ndarray, head_weight: np.ndarray | None) -> np.ndarray:
    """Object-space vertices (T, V, 3), posed by (T, 58) coefficients -> world space (T, V, 3).

    The model's own rule turns everything rigidly; a bust that turns with its head looks like a figurine.
    head_weight (V,): 1 turns with the head, 0 stays with the shoulders; None: all turns.
    """
    world = pose_vertices(vertices, coefficients)
    if head_weight is None:
        return world
    partly_rigid = np.flatnonzero(head_weight < 1)
    upright = np.tile(np.append(UPRIGHT, (0, 0, 0)), (len(coefficients), 1)).astype(np.float32)
    upright[:, 3:] = shoulder_translations(coefficients)
    unrotated = pose_vertices(vertices[:, partly_rigid], upright)
    world[:, partly_rigid] = unrotated + head_weight[partly_rigid, None] * (world[:, partly_rigid] - unrotated)
    return world


def shoulder_translations(coefficients: np.ndarray) -> np.ndarray:
    """(T, 58) coefficients -> (T, 3) float32: where the shoulders, always upright, are in world space."""
    upright = rotation_matrix(np.tile(UPRIGHT, (len(coefficients), 1)).astype(np.float32))
    neck_displacement = (rotation_matrix(coefficients[:, -6:-3]) - upright) @ NECK_JOINT
    return (coefficients[:, -3:] + SHOULDER_SHARE * neck_displacement).astype(np.float32)
