"""A turned face hides part of itself; MediaPipe's landmarks overlap there. A warp needs them side by side."""

import numpy as np

from renderer.jit import jit_loop
from renderer.portrait.topology import FACE_LANDMARKS, OVAL

_ROUNDS = 60
_MIN_AREA_OF_MEAN = 0.04  # of the mean triangle's area that every triangle must have


def signed_areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(F,) twice the signed areas of triangles over points (N, 2 or more)."""
    a, b, c = (points[triangles[:, k], :2] for k in range(3))
    return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]


@jit_loop
def unfold(points, triangles, signs, min_area, rounds):
    """Moves `points` (N, 2 or more), in place, until every triangle has at least its least area on its own side.

    triangles (F, 3) int32, signs (F,) of their areas where nothing is folded, least (F,) twice the areas to keep. Each
    folded triangle pushes its corners along the gradient of its area, as in position-based dynamics; a few rounds do.
    """
    for _ in range(rounds):
        folded = 0
        for f in range(triangles.shape[0]):
            i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            ax, ay, bx, by = points[i, 0], points[i, 1], points[j, 0], points[j, 1]
            cx, cy = points[k, 0], points[k, 1]
            area_deficit = min_area[f] - signs[f] * ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
            if area_deficit <= 0:
                continue
            folded += 1
            gax, gay = by - cy, cx - bx
            gbx, gby = cy - ay, ax - cx
            gcx, gcy = ay - by, bx - ax
            length = gax * gax + gay * gay + gbx * gbx + gby * gby + gcx * gcx + gcy * gcy
            step = signs[f] * 1.05 * area_deficit / max(length, 1e-9)
            points[i, 0] += step * gax
            points[i, 1] += step * gay
            points[j, 0] += step * gbx
            points[j, 1] += step * gby
            points[k, 0] += step * gcx
            points[k, 1] += step * gcy
        if folded == 0:
            break


def unfold_landmarks(landmarks: np.ndarray, frontal: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Landmarks (478, 3) whose triangles (F, 3) all lie the way they do on a frontal face (468, 3).

    First the outline is pushed out to where the far cheek bulges over it, then the triangles that still overlap are
    unfolded.
    """
    result = np.array(landmarks, dtype=np.float64)
    points = result[:FACE_LANDMARKS]
    _push_outline(points)
    target_signs = np.sign(signed_areas(frontal, triangles))
    min_area = np.full(len(triangles), _MIN_AREA_OF_MEAN * np.abs(signed_areas(points, triangles)).mean())
    flat = np.ascontiguousarray(points[:, :2])
    unfold(flat, triangles, target_signs, min_area, _ROUNDS)
    points[:, :2] = flat
    return result


def _push_outline(points: np.ndarray) -> None:
    """Moves outline points away from the middle, in place, until no landmark lies outside the outline."""
    centre = points[OVAL, :2].mean(axis=0)
    inner = np.setdiff1d(np.arange(FACE_LANDMARKS), OVAL)
    for _ in range(8):
        a = points[OVAL, :2] - centre
        b = np.roll(a, -1, axis=0)
        p = points[inner, :2] - centre
        cross_ab = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        # p = s a + t b within the sector of an outline edge; s + t > 1 lies beyond it.
        s = (p[:, None, 0] * b[None, :, 1] - p[:, None, 1] * b[None, :, 0]) / cross_ab
        t = (a[None, :, 0] * p[:, None, 1] - a[None, :, 1] * p[:, None, 0]) / cross_ab
        overshoot = np.where((s >= 0) & (t >= 0), s + t, 0).max(axis=0)
        edge_scale = np.maximum(overshoot + 0.01, 1.0) * (overshoot > 0.99) + 1.0 * (overshoot <= 0.99)
        vertex_scale = np.maximum(edge_scale, np.roll(edge_scale, 1))
        if (vertex_scale <= 1.0).all():
            return
        points[OVAL, :2] = centre + a * vertex_scale[:, None]
