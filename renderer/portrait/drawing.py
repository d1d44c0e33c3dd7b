"""Pixels: triangles to a sampling map, and masks of shapes and lines."""

import cv2
import numpy as np

from renderer.jit import jit_inline, jit_loop
from renderer.simd import LANES, write_run


def new_maps(size: int) -> np.ndarray:
    """(3, size, stride) float32 for `rasterise`: x and y of what each pixel shows, and its depth. Rows end in LANES
    pixels that are not of the frame.
    """
    return np.empty((3, size, size + LANES), np.float32)


@jit_loop
def rasterise(targets, sources, triangles, offset, maps):
    """Where every pixel of the frame comes from.

    targets (N, 3) float32: x, y in the padded picture and z (away from the camera); sources (N, 2) float32;
    triangles (F, 3) int32; offset: the frame's corner in the padded picture. Writes to `maps` (see `new_maps`) where
    the triangle is nearer than the depth there, later triangles winning ties.
    """
    height, stride = maps.shape[1], maps.shape[2]
    width, further, flat = stride - LANES, height * stride, maps.reshape(-1)
    slack = np.float32(1e-4)
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay = targets[a, 0] - offset, targets[a, 1] - offset
        bx, by = targets[b, 0] - offset, targets[b, 1] - offset
        cx, cy = targets[c, 0] - offset, targets[c, 1] - offset
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-6:
            continue
        x0 = max(0, int(np.ceil(min(ax, bx, cx) - 1e-3)))
        x1 = min(width - 1, int(np.floor(max(ax, bx, cx) + 1e-3)))
        y0 = max(0, int(np.ceil(min(ay, by, cy) - 1e-3)))
        y1 = min(height - 1, int(np.floor(max(ay, by, cy) + 1e-3)))
        if x1 < x0 or y1 < y0:
            continue
        inverse = np.float32(1.0) / area
        # Barycentric weights of b and c, depth and source are linear in x and y.
        wbx, wby = (cy - ay) * inverse, -(cx - ax) * inverse
        wcx, wcy = -(by - ay) * inverse, (bx - ax) * inverse
        across_b, across_c, across_a = _run(wbx), _run(wcx), _run(-wbx - wcx)
        sx0, sy0, z0 = sources[a, 0], sources[a, 1], targets[a, 2]
        sxb, syb, zb = sources[b, 0] - sx0, sources[b, 1] - sy0, targets[b, 2] - z0
        sxc, syc, zc = sources[c, 0] - sx0, sources[c, 1] - sy0, targets[c, 2] - z0
        z_step, sx_step, sy_step = wbx * zb + wcx * zc, wbx * sxb + wcx * sxc, wbx * syb + wcx * syc
        dx = np.float32(x0) - ax
        for y in range(y0, y1 + 1):
            dy = np.float32(y) - ay
            row_b, row_c = wbx * dx + wby * dy, wcx * dx + wcy * dy
            # Each weight crosses the slack once along the row: what is inside is one run.
            run_start, run_end = np.float32(0), np.float32(x1 - x0)
            run_start, run_end = _clip_interval(row_b + slack, across_b, run_start, run_end)
            run_start, run_end = _clip_interval(row_c + slack, across_c, run_start, run_end)
            run_start, run_end = _clip_interval(1 + slack - row_b - row_c, across_a, run_start, run_end)
            if run_start > run_end:
                continue
            first, end = np.int64(np.ceil(run_start)), np.int64(run_end) + 1
            while first < end:
                step = np.float32(first)
                wb, wc = row_b + wbx * step, row_c + wcx * step
                write_run(
                    flat, y * stride + x0 + first, further, end - first, z0 + wb * zb + wc * zc, z_step,
                    sx0 + wb * sxb + wc * sxc, sx_step, sy0 + wb * syb + wc * syc, sy_step,
                )  # fmt: skip
                first += LANES


@jit_inline
def _run(slope):
    """How many columns a line of this slope takes to fall by 1; 0 where it is level."""
    return np.float32(-1) / slope if abs(slope) > np.float32(1e-12) else np.float32(0)


@jit_inline
def _clip_interval(value, across, run_start, run_end):
    """The part of begin..end in which a line is not negative that is `value` at 0; across: see `_run`."""
    if across < np.float32(0):
        run_start = max(run_start, value * across)
    elif across > np.float32(0):
        run_end = min(run_end, value * across)
    elif value < np.float32(0):
        run_end = run_start - np.float32(1)
    return run_start, run_end


def coverage(shape: tuple[int, int], polygon: np.ndarray, corner: np.ndarray, factor: int = 4) -> np.ndarray:
    """Anti-aliased mask (h, w) float32 0…1 of a polygon (N, 2) in a window with its corner at `corner`."""
    mask = np.zeros((shape[0] * factor, shape[1] * factor), dtype=np.uint8)
    fine = ((polygon - corner + 0.5) * factor - 0.5) * 16
    cv2.fillPoly(mask, [np.round(fine).astype(np.int32)], 255, lineType=cv2.LINE_8, shift=4)
    small = cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) * np.float32(1 / 255)


def stroke(shape: tuple[int, int], line: np.ndarray, corner: np.ndarray, width: float, factor: int = 4) -> np.ndarray:
    """Anti-aliased open line (N, 2) of a width in pixels, as a mask (h, w) float32 0…1."""
    mask = np.zeros((shape[0] * factor, shape[1] * factor), dtype=np.uint8)
    fine = ((line - corner + 0.5) * factor - 0.5) * 16
    cv2.polylines(
        mask, [np.round(fine).astype(np.int32)], False, 255, max(1, round(width * factor)), cv2.LINE_AA, shift=4
    )
    small = cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) * np.float32(1 / 255)


def crop_window(points: np.ndarray, margin: int, pad: int, size: int) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Integer window (corner, (h, w)) of the frame round points (N, 2) in the padded picture; None: out of sight."""
    low = np.maximum(np.floor(points.min(axis=0) - margin).astype(int) - pad, 0)
    high = np.minimum(np.ceil(points.max(axis=0) - margin).astype(int) + pad + 1, size)
    if (high - low < 1).any():
        return None
    return low, (int(high[1] - low[1]), int(high[0] - low[0]))


def blend(frame: np.ndarray, corner: np.ndarray, colour: np.ndarray, mask: np.ndarray) -> None:
    """Mixes colour (h, w, 3) or (3,) into the frame at the corner by mask (h, w), in place."""
    height, width = mask.shape
    region = frame[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
    background = region.astype(np.float32)
    region[...] = np.clip(background + (colour - background) * mask[..., None] + 0.5, 0, 255).astype(np.uint8)
