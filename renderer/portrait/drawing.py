"""Pixels: triangles to a sampling map, and masks of shapes and lines."""

import cv2
import numpy as np

from renderer.jit import jit_loop


@jit_loop
def rasterise(targets, sources, triangles, offset, map_x, map_y, depth):
    """Where every pixel of the frame comes from.

    targets (N, 3) float32: x, y in the padded picture and z (away from the camera); sources (N, 2) float32;
    triangles (F, 3) int32; offset: the frame's corner in the padded picture. Writes map_x, map_y and depth (S, S)
    where the triangle is nearer than what `depth` holds, later triangles winning ties.
    """
    height, width = map_x.shape
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
        sx0, sy0, z0 = sources[a, 0], sources[a, 1], targets[a, 2]
        sxb, syb, zb = sources[b, 0] - sx0, sources[b, 1] - sy0, targets[b, 2] - z0
        sxc, syc, zc = sources[c, 0] - sx0, sources[c, 1] - sy0, targets[c, 2] - z0
        for y in range(y0, y1 + 1):
            row_b = wbx * (x0 - ax) + wby * (y - ay)
            row_c = wcx * (x0 - ax) + wcy * (y - ay)
            # Each weight crosses the slack once along the row: what is inside is one run.
            run_start, run_end = np.float32(0), np.float32(x1 - x0)
            run_start, run_end = _clip_interval(row_b + slack, wbx, run_start, run_end)
            run_start, run_end = _clip_interval(row_c + slack, wcx, run_start, run_end)
            run_start, run_end = _clip_interval(1 + slack - row_b - row_c, -wbx - wcx, run_start, run_end)
            if run_start > run_end:
                continue
            first_column, last_column = x0 + int(np.ceil(run_start)), x0 + int(run_end)
            column_offset = np.float32(first_column - x0)
            wb, wc = row_b + wbx * column_offset, row_c + wcx * column_offset
            z, sx, sy = z0 + wb * zb + wc * zc, sx0 + wb * sxb + wc * sxc, sy0 + wb * syb + wc * syc
            z_step, sx_step, sy_step = wbx * zb + wcx * zc, wbx * sxb + wcx * sxc, wbx * syb + wcx * syc
            # unsigned: numba would look for negative indices at every pixel
            line_depth, line_x, line_y = depth[np.uint64(y)], map_x[np.uint64(y)], map_y[np.uint64(y)]
            for column in range(last_column + 1 - first_column):
                step, x = np.float32(np.int32(column)), np.uint64(first_column + column)
                if z + step * z_step <= line_depth[x]:
                    line_depth[x] = z + step * z_step
                    line_x[x] = sx + step * sx_step
                    line_y[x] = sy + step * sy_step


@jit_loop
def _clip_interval(value, slope, run_start, run_end):
    """The part of begin..end in which a line through `value` at 0 is not negative."""
    if slope > np.float32(1e-12):
        return max(run_start, -value / slope), run_end
    if slope < np.float32(-1e-12):
        return run_start, min(run_end, -value / slope)
    return (run_start, run_end) if value >= 0 else (run_start, run_start - np.float32(1))


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
