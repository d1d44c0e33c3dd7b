"""Edges of the picture: which pixels see more than one surface, and what each sample of such a pixel sees.

Most pixels see one surface and need one sample. Those beside another surface are given a number, their slot, and only
they, and only the triangles that reach them, are looked at sample by sample.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from renderer.jit import jit_loop
from renderer.rasterizer import (
    CLEARED_SAMPLE,
    EDGE_TOLERANCE,
    SAMPLE_PATTERN,
    SIMD_WIDTH,
)

TRIANGLE_ID_BITS = 24  # of a surface id: the triangle's number; above it what surface the triangle is of
TRIANGLE_ID_MASK = np.int64((1 << TRIANGLE_ID_BITS) - 1)
SURFACE_BITS = np.int64(0xFFFFFFFF) ^ TRIANGLE_ID_MASK
SAME_SURFACE_TOLERANCE = np.float32(0.0006)  # of 1 / distance: some 0.04 units of depth are one surface
DEPTH_MARGIN = np.float32(0.002)  # of 1 / distance, likewise: what is so much farther than all around is hidden

_ROWS = len(SAMPLE_PATTERN)
# a pixel's samples, one lane of a vector each; the lanes that are left lie so far away that they see nothing
_NOWHERE = np.full(SIMD_WIDTH - _ROWS, -1e9)
SAMPLE_X = np.append(SAMPLE_PATTERN, _NOWHERE).astype(np.float32)
SAMPLE_Y = np.append((np.arange(_ROWS) + 0.5) / _ROWS, _NOWHERE).astype(np.float32)

HALF, REACH = np.float32(0.5), np.float32(SAMPLE_PATTERN.max() - 0.5)
FIRST_SAMPLE, LAST_SAMPLE = SAMPLE_PATTERN.min(), SAMPLE_PATTERN.max()  # within a pixel, in either direction


class EdgePixels(NamedTuple):
    """Buffers for one picture of S x S pixels."""

    marked: np.ndarray  # (S, S) uint8: 1 where a pixel may see several surfaces
    slot_at: np.ndarray  # (S, S + 1) int32: how many pixels were marked before this one, row by row
    columns: np.ndarray  # (S * S + 1,) int32: the column of each slot
    beside: np.ndarray  # (S,) uint8


def new_edge_pixels(size: int) -> EdgePixels:
    return EdgePixels(
        np.empty((size, size), np.uint8),
        np.empty((size, size + 1), np.int32),
        np.empty(size * size + 1, np.int32),
        np.empty(size, np.uint8),
    )


def find_edges(
    visibility_buffer: np.ndarray,
    screen_vertices: np.ndarray,
    triangles: np.ndarray,
    surface_ids: np.ndarray,
    thin: np.ndarray,
    edges: EdgePixels,
    everywhere: bool = False,
) -> np.ndarray:
    """What the samples of pixels at edges see: (slots * SIMD_WIDTH,) int64, as in a visibility buffer.

    visibility_buffer: filled by `rasterise` with one sample a pixel. `edges` is filled.
    surface_ids (F,): as given to `rasterise`, with what surface a triangle is of above TRIANGLE_ID_BITS.
    thin: numbers of triangles thinner than a pixel, which may lie between all middles: where they are is marked, too.
    everywhere: marks every pixel, which is the slow way that all else is measured by.
    """
    if everywhere:
        edges.marked[:] = 1
    else:
        _mark_edges(visibility_buffer, edges.marked, edges.beside)
        _mark_triangles(screen_vertices, triangles, thin, edges.marked)
    samples = np.empty(_number_slots(edges.marked, edges.slot_at, edges.columns) * SIMD_WIDTH, np.int64)
    if everywhere:
        samples[:] = CLEARED_SAMPLE
    else:
        _fill_farthest(visibility_buffer, edges.slot_at, edges.columns, SIMD_WIDTH, samples)
    _sample_edges(screen_vertices, triangles, surface_ids, edges, SAMPLE_X, SAMPLE_Y, SIMD_WIDTH, samples)
    return samples


@jit_loop
def _differ(a, b):
    """1 where two samples see different surfaces, or one surface at different depths."""
    depth_step = np.int32(a >> 32).view(np.float32) - np.int32(b >> 32).view(np.float32)
    return ((a ^ b) & SURFACE_BITS != 0) | (abs(depth_step) >= SAME_SURFACE_TOLERANCE)


@jit_loop
def _mark_edges(visibility_buffer, marked, beside):
    """Marks both of any two neighbours, side by side or one above the other, that see different surfaces.

    beside (S,) uint8: is written to.
    """
    size = marked.shape[0]
    marked[0] = 0
    for y in range(size):
        row, marks = visibility_buffer[y], marked[y]
        if y + 1 < size:
            below, marks_below = visibility_buffer[y + 1], marked[y + 1]
            for x in range(size):
                differs = np.uint8(_differ(row[x], below[x]))
                marks[x] |= differs
                marks_below[x] = differs
        for x in range(size - 1):
            beside[x] = np.uint8(_differ(row[x], row[x + 1]))
        for x in range(size - 1):
            marks[x] |= beside[x]
        for x in range(size - 1):
            marks[x + 1] |= beside[x]


@jit_loop
def _mark_triangles(screen_vertices, triangles, thin, marked):
    size = marked.shape[0]
    for face in thin:
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        x, y = screen_vertices[:, 0], screen_vertices[:, 1]
        low_x, high_x = max(0, int(min(x[a], x[b], x[c]))), min(size - 1, int(max(x[a], x[b], x[c])))
        low_y, high_y = max(0, int(min(y[a], y[b], y[c]))), min(size - 1, int(max(y[a], y[b], y[c])))
        for row in range(low_y, high_y + 1):
            for column in range(low_x, high_x + 1):
                marked[row, column] = 1


@jit_loop
def _number_slots(marked, slot_at, columns):
    """Numbers the marked pixels row by row; returns how many there are."""
    size, slots = marked.shape[0], 0
    for y in range(size):
        marks, slots_before = marked[y], slot_at[y]
        for x in range(size):
            slots_before[x] = slots
            columns[slots] = x  # stays, if it is marked
            slots += marks[x]
        slots_before[size] = slots
    return slots


@jit_loop
def _fill_farthest(visibility_buffer, slot_at, columns, lanes, samples):
    """Begins every sample with the farthest of what its pixel's middle and those around it see, and a little farther.

    What lies behind that is hidden and need not be looked at; half of all triangles that face the viewer are.
    """
    size = slot_at.shape[0]
    for y in range(size):
        above, row, below = (
            visibility_buffer[max(y - 1, 0)],
            visibility_buffer[y],
            visibility_buffer[min(y + 1, size - 1)],
        )
        for slot in range(slot_at[y, 0], slot_at[y, size]):
            x = columns[slot]
            farthest = min(min(above[x], below[x]), min(row[max(x - 1, 0)], min(row[x], row[min(x + 1, size - 1)])))
            inverse_depth = np.int32(farthest >> 32).view(np.float32) - DEPTH_MARGIN
            if inverse_depth > 0:
                farthest = np.int64(np.float32(inverse_depth).view(np.int32)) << 32 | farthest & CLEARED_SAMPLE
            for k in range(lanes):
                samples[slot * lanes + k] = farthest


@jit_loop
def _sample_edges(screen_vertices, triangles, surface_ids, edges, sample_x, sample_y, lanes, samples):
    """Goes on filling `samples`, as `rasterise` would, for the marked pixels alone. Back faces are left out.

    `lanes` is SIMD_WIDTH, handed in and not known to the compiler, for the reason given in rasterizer.py.
    """
    size, slot_at, columns = edges.marked.shape[0], edges.slot_at, edges.columns
    one = np.float32(1.0)
    for face in range(triangles.shape[0]):
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ax, ay = screen_vertices[a, 0], screen_vertices[a, 1]
        bx, by = screen_vertices[b, 0], screen_vertices[b, 1]
        cx, cy = screen_vertices[c, 0], screen_vertices[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= 0.0:
            continue
        low_x = max(0, int(np.ceil(min(ax, bx, cx) - LAST_SAMPLE)))
        high_x = min(size - 1, int(np.floor(max(ax, bx, cx) - FIRST_SAMPLE)))
        low_y = max(0, int(np.ceil(min(ay, by, cy) - LAST_SAMPLE)))
        high_y = min(size - 1, int(np.floor(max(ay, by, cy) - FIRST_SAMPLE)))
        if low_x > high_x:
            continue
        y = low_y
        while y <= high_y and slot_at[y, low_x] == slot_at[y, high_x + 1]:
            y += 1
        if y > high_y:  # no pixel at an edge: so it is with most
            continue
        low_y = y
        inverse = one / area
        b_dx, b_dy = (cy - ay) * inverse, -(cx - ax) * inverse
        c_dx, c_dy = -(by - ay) * inverse, (bx - ax) * inverse
        za = screen_vertices[a, 2]
        zb, zc = screen_vertices[b, 2] - za, screen_vertices[c, 2] - za
        depth_dx, depth_dy = b_dx * zb + c_dx * zc, b_dy * zb + c_dy * zc
        surface_id = surface_ids[face]
        nearest = np.int64(np.float32(za + max(np.float32(0.0), max(zb, zc))).view(np.int32)) + 1 << 32
        # how much the weights differ at most between a pixel's middle and its samples
        reach_a, reach_b = REACH * (abs(b_dx + c_dx) + abs(b_dy + c_dy)), REACH * (abs(b_dx) + abs(b_dy))
        reach_c = REACH * (abs(c_dx) + abs(c_dy))
        for y in range(low_y, high_y + 1):
            dy = np.float32(y) - ay
            for slot in range(slot_at[y, low_x], slot_at[y, high_x + 1]):
                if samples[slot * lanes + lanes - 1] > nearest:
                    continue
                dx = np.float32(columns[slot]) - ax
                wb, wc = dx * b_dx + dy * b_dy, dx * c_dx + dy * c_dy
                middle_b, middle_c = wb + HALF * (b_dx + b_dy), wc + HALF * (c_dx + c_dy)
                if (
                    (middle_b + reach_b < -EDGE_TOLERANCE)
                    | (middle_c + reach_c < -EDGE_TOLERANCE)
                    | (one - middle_b - middle_c + reach_a < -EDGE_TOLERANCE)
                ):
                    continue
                depth, first = za + dx * depth_dx + dy * depth_dy, np.uint32(slot * lanes)
                for k in range(lanes):
                    inside_b = wb + sample_x[k] * b_dx + sample_y[k] * b_dy
                    inside_c = wc + sample_x[k] * c_dx + sample_y[k] * c_dy
                    inside = min(one - inside_b - inside_c, min(inside_b, inside_c))
                    inverse_depth = np.float32(depth + sample_x[k] * depth_dx + sample_y[k] * depth_dy)
                    sample = np.int64(inverse_depth.view(np.int32)) << 32 | surface_id
                    previous = samples[first + k]
                    samples[first + k] = sample if (inside >= -EDGE_TOLERANCE) & (sample > previous) else previous
