"""A flat region with a smooth outline becomes triangles."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import Delaunay, cKDTree

FINER = 4  # times: the outline is followed on a picture so much larger
SHORTEST_OUTLINE = 8  # points; smaller islands and holes are left out


@dataclass(frozen=True)
class Triangulation:
    """N points and M triangles, which run as those of a face seen from the front do (y down)."""

    points: np.ndarray  # (N, 2) float32 pixels, pixel i has its middle at i
    triangles: np.ndarray  # (M, 3) int64
    on_edge: np.ndarray  # (N,) bool


def triangulated(
    field: np.ndarray, level: float, spacing: float, seam: np.ndarray | None = None
) -> Triangulation | None:
    """Where `field` (h, w) float32 is above `level`, in triangles of about `spacing` pixels; None for nothing.

    Corners also follow the line on which `seam` (h, w) float32 is `level`, so that a surface may bend there.
    """
    inside, outlines = _outlines(field, level, spacing)
    if not outlines:
        return None
    region = np.zeros_like(inside)
    cv2.drawContours(region, [np.round(outline).astype(np.int32)[:, None] for outline in outlines], -1, 1, cv2.FILLED)
    for outline in outlines:  # holes: drawContours fills them by parity only where all are handed over at once
        cv2.polylines(region, [np.round(outline).astype(np.int32)], True, 1)
    step = max(2, round(spacing * FINER))
    row, column = np.mgrid[step // 2 : len(inside) : step, step // 2 : inside.shape[1] : step]
    to_edge = cv2.distanceTransform(region, cv2.DIST_L2, 5)
    grid = np.stack([column, row], axis=-1)[to_edge[row, column] > 0.6 * step].astype(np.float64)
    edge = np.concatenate(outlines)
    bends = np.concatenate([np.zeros((0, 2)), *(_outlines(seam, level, spacing)[1] if seam is not None else [])])
    column, row = np.round(bends).astype(int).T
    bends = bends[to_edge[row, column] > 0.6 * step]
    if len(bends):
        grid = grid[cKDTree(bends).query(grid)[0] > 0.6 * step]
    points = np.concatenate([edge, bends, grid])
    triangles = Delaunay(points).simplices
    centre = np.round(points[triangles].mean(axis=1)).astype(int)
    triangles = triangles[region[centre[:, 1], centre[:, 0]] > 0]
    u, v = points[triangles[:, 1]] - points[triangles[:, 0]], points[triangles[:, 2]] - points[triangles[:, 0]]
    turned = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] > 0
    triangles[turned] = triangles[turned][:, ::-1]
    on_edge = np.arange(len(points)) < len(edge)
    return Triangulation(((points + 0.5) / FINER - 0.5).astype(np.float32), triangles, on_edge)


def _outlines(field: np.ndarray, level: float, spacing: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Where `field` is above `level`, FINER times as large, and the closed lines (N, 2) around it in its pixels."""
    fine = cv2.resize(field, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR)
    inside = (fine > level).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlines = [_resampled(contour[:, 0].astype(np.float64), spacing * FINER) for contour in contours]
    return inside, [outline for outline in outlines if len(outline) >= SHORTEST_OUTLINE]


def _resampled(contour: np.ndarray, spacing: float) -> np.ndarray:
    """A closed line of pixels (N, 2), smoothed and with points every `spacing` pixels."""
    count = int(len(contour) / spacing)
    if count < SHORTEST_OUTLINE:
        return contour[:0]
    window = np.hanning(int(1.6 * spacing) | 1)[1:-1]
    window /= window.sum()
    half = len(window) // 2
    padded = np.concatenate([contour[-half:], contour, contour[:half]]) if half else contour
    smooth = np.stack([np.convolve(padded[:, axis], window, mode="valid") for axis in range(2)], axis=1)
    length = np.append(0, np.cumsum(np.linalg.norm(np.diff(smooth, axis=0, append=smooth[:1]), axis=1)))
    at = np.linspace(0, length[-1], count, endpoint=False)
    closed = np.concatenate([smooth, smooth[:1]])
    return np.stack([np.interp(at, length, closed[:, axis]) for axis in range(2)], axis=1)
