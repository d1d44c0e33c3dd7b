"""A turned face hides part of itself; MediaPipe's landmarks overlap there. A warp needs them side by side."""

import numpy as np

from .topology import EYES, FACE_LANDMARKS, LIPS_LOWER_INNER, LIPS_LOWER_OUTER, LIPS_UPPER_INNER, LIPS_UPPER_OUTER, OVAL

_ROUNDS = 60
_LEAST = 0.04  # of the mean triangle's area that every triangle must have

_KEPT = np.zeros(FACE_LANDMARKS, dtype=bool)  # eyes, lips and outline stay where they were found
for _eye in EYES:
    _KEPT[[*_eye.upper, *_eye.lower]] = True
_KEPT[[*LIPS_UPPER_INNER, *LIPS_LOWER_INNER, *LIPS_UPPER_OUTER, *LIPS_LOWER_OUTER, *OVAL]] = True


def signed_areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(F,) twice the signed areas of triangles over points (N, 2 or more)."""
    a, b, c = (points[triangles[:, k], :2] for k in range(3))
    return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]


def untangled(landmarks: np.ndarray, frontal: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Landmarks (478, 3) whose triangles (F, 3) all lie the way they do on a frontal face (468, 3).

    First the outline is pushed out to where the far cheek bulges over it, then inner points of the triangles that
    still overlap move between their neighbours.
    """
    result = np.array(landmarks, dtype=np.float64)
    points = result[:FACE_LANDMARKS]
    _push_outline(points)
    wanted = np.sign(signed_areas(frontal, triangles))
    least = _LEAST * np.abs(signed_areas(points, triangles)).mean()
    neighbours = _average(triangles)
    for _ in range(_ROUNDS):
        wrong = signed_areas(points, triangles) * wanted < least
        moving = np.zeros(FACE_LANDMARKS, dtype=bool)
        moving[triangles[wrong]] = True
        moving &= ~_KEPT
        if not moving.any():
            break
        points[moving] += 0.5 * (neighbours[moving] @ points - points[moving])
    return result


def _push_outline(points: np.ndarray) -> None:
    """Moves outline points away from the middle, in place, until no landmark lies outside the outline."""
    middle = points[OVAL, :2].mean(axis=0)
    inner = np.setdiff1d(np.arange(FACE_LANDMARKS), OVAL)
    for _ in range(8):
        a = points[OVAL, :2] - middle
        b = np.roll(a, -1, axis=0)
        p = points[inner, :2] - middle
        cross_ab = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        # p = s a + t b within the sector of an outline edge; s + t > 1 lies beyond it.
        s = (p[:, None, 0] * b[None, :, 1] - p[:, None, 1] * b[None, :, 0]) / cross_ab
        t = (a[None, :, 0] * p[:, None, 1] - a[None, :, 1] * p[:, None, 0]) / cross_ab
        beyond = np.where((s >= 0) & (t >= 0), s + t, 0).max(axis=0)
        push = np.maximum(beyond + 0.01, 1.0) * (beyond > 0.99) + 1.0 * (beyond <= 0.99)
        grow = np.maximum(push, np.roll(push, 1))
        if (grow <= 1.0).all():
            return
        points[OVAL, :2] = middle + a * grow[:, None]


def _average(triangles: np.ndarray) -> np.ndarray:
    """(468, 468) rows that average a landmark's neighbours."""
    matrix = np.zeros((FACE_LANDMARKS, FACE_LANDMARKS))
    for i, j in ((0, 1), (1, 2), (2, 0)):
        matrix[triangles[:, i], triangles[:, j]] = 1.0
        matrix[triangles[:, j], triangles[:, i]] = 1.0
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1.0)
