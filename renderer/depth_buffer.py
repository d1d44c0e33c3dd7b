"""Which triangle the middle of each pixel sees, for the studio style, and which triangles face the viewer at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from renderer.jit import jit_inline, jit_loop
from renderer.rasterizer import CENTRE_SAMPLE, EDGE_TOLERANCE, NO_TRIANGLE, SAMPLE_PATTERN
from renderer.simd import LANES, draw_row

HALF = np.float32(CENTRE_SAMPLE[0])
FIRST_SAMPLE, LAST_SAMPLE = SAMPLE_PATTERN.min(), SAMPLE_PATTERN.max()  # of an edge's samples within a pixel, both ways
LEFT, TOP, RIGHT, BOTTOM = range(4)
FACE, FIRST_X, LAST_X, FIRST_Y, LAST_Y = range(5)


class DepthBuffer(NamedTuple):
    """Buffers for pictures of S x S pixels and F triangles."""

    depths: np.ndarray  # (S * stride,) float32: 1 / distance of what a pixel's middle sees, 0 where nothing is
    surfaces: np.ndarray  # (S * stride,) int32: its surface id or NO_TRIANGLE
    region: np.ndarray  # (4,) int64: LEFT, TOP, RIGHT, BOTTOM of what holds all that is drawn, the latter two excluded
    # (F, 5) int32: of each triangle in the picture that faces the viewer its number, and the FIRST_X, LAST_X, FIRST_Y,
    # LAST_Y of the pixels of which it may cover a sample
    facing: np.ndarray


def row_stride(size: int) -> int:
    """From one row of a DepthBuffer to the next: LANES samples may be written from any pixel on."""
    return -(-size // LANES) * LANES + LANES


def new_depth_buffer(size: int, triangles: int) -> DepthBuffer:
    samples = size * row_stride(size)
    return DepthBuffer(
        np.empty(samples, np.float32),
        np.empty(samples, np.int32),
        np.empty(4, np.int64),
        np.empty((triangles, 5), np.int32),
    )


@jit_inline
def floor(value):
    """The whole number at or below a float32."""
    return np.int64(np.int32(np.floor(value)))


@jit_inline
def ceil(value):
    """The whole number at or above a float32."""
    return np.int64(np.int32(np.ceil(value)))


@jit_loop
def draw_depths(screen_vertices, triangles, surface_ids, size, stride, buffer):
    """Fills `buffer`; returns how many triangles face the viewer, the length of the list `buffer.facing`.

    screen_vertices (V, 3) float32: from `project_to_screen`; triangles (F, 3) uint32; surface_ids (F,) int32, not
    negative; size, stride: of the picture. Triangles seen from behind are left out. What is seen is as in `rasterise`:
    of two triangles the nearer one, of equally near ones that with the greater id.
    """
    depths, surfaces, facing, region = buffer.depths, buffer.surfaces, buffer.facing, buffer.region
    depths[:] = np.float32(0.0)
    surfaces[:] = np.int32(NO_TRIANGLE)
    left, top, right, bottom, count = size, size, 0, 0, 0
    for face in range(triangles.shape[0]):
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ax, ay = screen_vertices[a, 0], screen_vertices[a, 1]
        bx, by = screen_vertices[b, 0], screen_vertices[b, 1]
        cx, cy = screen_vertices[c, 0], screen_vertices[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= 0.0:  # v runs down: wound outward and seen from the front it is negative
            continue
        min_x, max_x, min_y, max_y = min(ax, bx, cx), max(ax, bx, cx), min(ay, by, cy), max(ay, by, cy)
        low_x, high_x = max(0, ceil(min_x - LAST_SAMPLE)), min(size - 1, floor(max_x - FIRST_SAMPLE))
        low_y, high_y = max(0, ceil(min_y - LAST_SAMPLE)), min(size - 1, floor(max_y - FIRST_SAMPLE))
        if (low_x > high_x) | (low_y > high_y):
            continue
        facing[count, FACE] = face
        facing[count, FIRST_X], facing[count, LAST_X] = low_x, high_x
        facing[count, FIRST_Y], facing[count, LAST_Y] = low_y, high_y
        count += 1
        left, top = min(left, low_x), min(top, low_y)
        right, bottom = max(right, high_x + 1), max(bottom, high_y + 1)
        low_x, high_x = max(0, ceil(min_x - HALF)), min(size - 1, floor(max_x - HALF))
        low_y, high_y = max(0, ceil(min_y - HALF)), min(size - 1, floor(max_y - HALF))
        if (low_x > high_x) | (low_y > high_y):
            continue
        inverse = np.float32(1.0) / area
        # barycentric weights and inverse depth are linear in x and y: start value and step
        b_dx, b_dy = (cy - ay) * inverse, -(cx - ax) * inverse
        c_dx, c_dy = -(by - ay) * inverse, (bx - ax) * inverse
        za = screen_vertices[a, 2]
        zb, zc = screen_vertices[b, 2] - za, screen_vertices[c, 2] - za
        depth_dx = b_dx * zb + c_dx * zc
        dx = np.float32(low_x) + HALF - ax
        surface = surface_ids[face]
        for y in range(low_y, high_y + 1):
            dy = np.float32(y) + HALF - ay
            wb, wc = dx * b_dx + dy * b_dy, dx * c_dx + dy * c_dy
            depth, start = za + wb * zb + wc * zc, y * stride + low_x
            for first in range(0, high_x - low_x + 1, LANES):
                step = np.float32(first)
                draw_row(
                    depths, surfaces, start + first, wb + step * b_dx, b_dx, wc + step * c_dx, c_dx,
                    depth + step * depth_dx, depth_dx, surface, -EDGE_TOLERANCE,
                )  # fmt: skip
    region[LEFT], region[TOP], region[RIGHT], region[BOTTOM] = left, top, right, bottom
    return count
