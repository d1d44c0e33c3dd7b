"""Edges of the picture: which pixels see more than one surface, and what each sample of such a pixel sees.

Most pixels see one surface and need one sample. Those beside another surface are given a number, their slot, and only
they, and only the triangles that reach them, are looked at sample by sample.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from renderer.depth_buffer import (
    BOTTOM,
    FACE,
    FIRST_X,
    FIRST_Y,
    HALF,
    LAST_X,
    LAST_Y,
    LEFT,
    RIGHT,
    TOP,
    DepthBuffer,
    floor,
    row_stride,
)
from renderer.jit import jit_inline, jit_loop
from renderer.rasterizer import EDGE_TOLERANCE, NO_TRIANGLE, SAMPLE_PATTERN
from renderer.simd import LANES, any_of_eight, draw_pattern, lowest_bit, reached

TRIANGLE_ID_BITS = 24  # of a surface id: the triangle's number; above it what surface the triangle is of
TRIANGLE_ID_MASK = np.int32((1 << TRIANGLE_ID_BITS) - 1)
SAME_SURFACE_TOLERANCE = np.float32(0.0006)  # of 1 / distance: some 0.04 units of depth are one surface
DEPTH_MARGIN = np.float32(0.002)  # of 1 / distance, likewise: what is so much farther than all around is hidden

SAMPLES = len(SAMPLE_PATTERN)
SAMPLE_X, SAMPLE_Y = SAMPLE_PATTERN, ((np.arange(SAMPLES) + 0.5) / SAMPLES).astype(np.float32)
_draw_samples = draw_pattern(tuple(SAMPLE_X.tolist()), tuple(SAMPLE_Y.tolist()))
REACH = np.float32(SAMPLE_PATTERN.max() - 0.5)


class EdgePixels(NamedTuple):
    """Buffers for one picture of S x S pixels. Only what lies in the region of the DepthBuffer is of this picture."""

    marked: np.ndarray  # (S, S + LANES) uint8: 1 where a pixel may see several surfaces
    beside: np.ndarray  # (S,) uint8: is written to
    slot_at: np.ndarray  # (S, S + LANES) int32: how many pixels were marked before this one, row by row
    slots_above: np.ndarray  # (S + 1, S + LANES) int32: how many pixels were marked above this one and to its left
    columns: np.ndarray  # (S * S + LANES,) int32: the column of each slot
    farthest: np.ndarray  # (S * S + LANES,) float32: what is farther than this is hidden in all samples of a slot
    depths: np.ndarray  # (slots * LANES,) float32: 1 / distance of what the samples of each slot see, 0 for nothing
    surfaces: np.ndarray  # (slots * LANES,) int32: its surface id or NO_TRIANGLE


def new_edge_pixels(size: int) -> EdgePixels:
    return EdgePixels(
        np.zeros((size, size + LANES), np.uint8),
        np.empty(size, np.uint8),
        np.empty((size, size + LANES), np.int32),
        np.empty((size + 1, size + LANES), np.int32),
        np.empty(size * size + LANES, np.int32),
        np.empty(size * size + LANES, np.float32),
        np.empty(0, np.float32),
        np.empty(0, np.int32),
    )


def find_edges(
    buffer: DepthBuffer,
    facing: int,
    screen_vertices: np.ndarray,
    triangles: np.ndarray,
    surface_ids: np.ndarray,
    thin: np.ndarray,
    edges: EdgePixels,
    everywhere: bool = False,
) -> EdgePixels:
    """`edges`, filled: which pixels may see several surfaces, and what their samples see.

    buffer, facing: from `draw_depths`, with the arguments that are named as there. In surface_ids (F,) there is above
    TRIANGLE_ID_BITS what surface a triangle is of.
    thin: numbers of triangles thinner than a pixel, which may lie between all middles: where they are is marked, too.
    everywhere: marks every pixel, which is the slow way that all else is measured by.
    """
    size, stride = len(edges.marked), row_stride(len(edges.marked))
    slots = _find_slots(buffer, screen_vertices, triangles, thin, size, stride, everywhere, edges)
    if len(edges.depths) < slots * LANES:  # they are few, unless a picture has much hair
        room = slots * LANES * 5 // 4
        edges = edges._replace(depths=np.empty(room, np.float32), surfaces=np.empty(room, np.int32))
    _fill_slots(buffer, facing, screen_vertices, triangles, surface_ids, size, stride, everywhere, edges)
    return edges


@jit_loop
def _find_slots(buffer, screen_vertices, triangles, thin, size, stride, everywhere, edges):
    """Marks pixels and numbers them; returns how many there are."""
    depths, surfaces, region, marked = buffer.depths, buffer.surfaces, buffer.region, edges.marked
    if everywhere:
        region[LEFT], region[TOP], region[RIGHT], region[BOTTOM] = 0, 0, size, size
        for y in range(size):
            for x in range(size):
                marked[y, x] = 1
    else:  # beside what is drawn the background may be marked, too
        region[LEFT], region[TOP] = max(region[LEFT] - 1, 0), max(region[TOP] - 1, 0)
        region[RIGHT], region[BOTTOM] = min(region[RIGHT] + 1, size), min(region[BOTTOM] + 1, size)
        _mark_edges(depths, surfaces, stride, region, marked, edges.beside)
        _mark_triangles(screen_vertices, triangles, thin, region, marked)
    return _number_slots(marked, region, edges.slot_at, edges.slots_above, edges.columns)


@jit_loop
def _fill_slots(buffer, facing, screen_vertices, triangles, surface_ids, size, stride, everywhere, edges):
    """What the samples of marked pixels see."""
    _start_samples(buffer.depths, buffer.surfaces, size, stride, buffer.region, everywhere, edges)
    _sample_edges(screen_vertices, triangles, surface_ids, buffer.facing, facing, edges)


@jit_loop
def _differ(surface_a, surface_b, before, a, b, after):
    """1 where two samples see different surfaces, or one surface that leaps: more than its slope around them explains.

    a, b: their depths; before, after: those of the next samples to either side, in line with them.
    """
    step = b - a
    leap = step - HALF * (a - before + after - b)
    return np.uint8(
        (((surface_a ^ surface_b) >> TRIANGLE_ID_BITS) != 0) | (min(abs(step), abs(leap)) >= SAME_SURFACE_TOLERANCE)
    )


@jit_loop
def _mark_edges(depths, surfaces, stride, region, marked, beside):
    """Marks both of any two neighbours, side by side or one above the other, that see different surfaces.

    beside (S,) uint8: is written to.
    """
    left, top, right, bottom = region[LEFT], region[TOP], region[RIGHT], region[BOTTOM]
    width = right - left  # cut out, so that every index counts from 0: else nothing is done side by side
    marks = marked[top, left:right]
    for x in range(width):
        marks[x] = 0
    for y in range(top, bottom):
        row, ids = _cut(depths, y, left, width, stride), _cut(surfaces, y, left, width, stride)
        marks = marked[y, left:right]
        if y + 1 < bottom:
            above = _cut(depths, max(y - 1, top), left, width, stride)
            below, ids_below = _cut(depths, y + 1, left, width, stride), _cut(surfaces, y + 1, left, width, stride)
            under = _cut(depths, min(y + 2, bottom - 1), left, width, stride)
            marks_below = marked[y + 1, left:right]
            for x in range(width):
                differs = _differ(ids[x], ids_below[x], above[x], row[x], below[x], under[x])
                marks[x] |= differs
                marks_below[x] = differs
        if width < 2:
            continue
        last = width - 2
        for x in range(1, last):
            beside[x] = _differ(ids[x], ids[x + 1], row[x - 1], row[x], row[x + 1], row[x + 2])
        beside[0] = _differ(ids[0], ids[1], row[0], row[0], row[1], row[1])
        beside[last] = _differ(ids[last], ids[last + 1], row[last], row[last], row[last + 1], row[last + 1])
        for x in range(width - 1):
            marks[x] |= beside[x]
        for x in range(width - 1):
            marks[x + 1] |= beside[x]


@jit_inline
def _cut(values, y, left, width, stride):
    """Row y of a flat buffer, from the column `left` on."""
    return values[y * stride + left : y * stride + left + width]


@jit_loop
def _mark_triangles(screen_vertices, triangles, thin, region, marked):
    left, top, right, bottom = region[LEFT], region[TOP], region[RIGHT], region[BOTTOM]
    x, y = screen_vertices[:, 0], screen_vertices[:, 1]
    for face in thin:
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        low_x, high_x = max(left, floor(min(x[a], x[b], x[c]))), min(right - 1, floor(max(x[a], x[b], x[c])))
        low_y, high_y = max(top, floor(min(y[a], y[b], y[c]))), min(bottom - 1, floor(max(y[a], y[b], y[c])))
        for row in range(low_y, high_y + 1):
            for column in range(low_x, high_x + 1):
                marked[row, column] = 1


@jit_loop
def _number_slots(marked, region, slot_at, slots_above, columns):
    """Numbers the marked pixels row by row; returns how many there are."""
    left, width, slots = region[LEFT], region[RIGHT] - region[LEFT], 0
    right = left + width
    for y in range(region[TOP], region[BOTTOM]):
        marks, slots_before = marked[y, left:right], slot_at[y, left : right + LANES]
        for first in range(0, width, LANES):
            if first + LANES <= width and not any_of_eight(marks, first):
                for k in range(LANES):
                    slots_before[first + k] = slots
                continue
            for x in range(first, min(first + LANES, width)):
                slots_before[x] = slots
                columns[np.uint32(slots)] = left + x  # stays, if it is marked
                slots += marks[x]
        slots_before[width] = slots
        above, here = slots_above[y, left : right + 1], slots_above[y + 1, left : right + 1]
        if y == region[TOP]:
            for x in range(right - left + 1):
                above[x] = 0
        start = slots_before[0]
        for x in range(right - left + 1):
            here[x] = above[x] + slots_before[x] - start
    return slots


@jit_loop
def _start_samples(depths, surfaces, size, stride, region, everywhere, edges):
    """Begins every sample with the farthest of what its pixel's middle and those around it see, and a little farther.

    What lies behind that is hidden and need not be looked at; half of all triangles that face the viewer are.
    """
    left, right, slot_at, columns = region[LEFT], region[RIGHT], edges.slot_at, edges.columns
    for y in range(region[TOP], region[BOTTOM]):
        row, above, below = y * stride, max(y - 1, 0) * stride, min(y + 1, size - 1) * stride
        for slot in range(slot_at[y, left], slot_at[y, right]):
            x = columns[slot]
            depth, farthest = depths[row + x], row + x
            for other in (above + x, below + x, row + max(x - 1, 0), row + min(x + 1, size - 1)):
                if depths[other] < depth:
                    depth, farthest = depths[other], other
            surface = surfaces[farthest]
            if everywhere:
                depth, surface = np.float32(0.0), np.int32(NO_TRIANGLE)
            elif depth > DEPTH_MARGIN:
                depth -= DEPTH_MARGIN
            edges.farthest[np.uint32(slot)] = depth
            for k in range(slot * LANES, (slot + 1) * LANES):
                edges.depths[k] = depth
                edges.surfaces[k] = surface


@jit_loop
def _sample_edges(screen_vertices, triangles, surface_ids, facing, count, edges):
    """Goes on filling the samples, as `draw_depths` would, for the marked pixels and the `count` triangles `facing`."""
    slot_at, columns, depths, surfaces = edges.slot_at, edges.columns, edges.depths, edges.surfaces
    slots_above, farthest, one = edges.slots_above, edges.farthest, np.float32(1.0)
    for number in range(count):
        low_x, high_x = facing[number, FIRST_X], facing[number, LAST_X]
        low_y, high_y = facing[number, FIRST_Y], facing[number, LAST_Y]
        first, end, top, bottom = np.uint32(low_x), np.uint32(high_x + 1), np.uint32(low_y), np.uint32(high_y + 1)
        # no pixel at an edge: so it is with most
        if slots_above[bottom, end] - slots_above[top, end] == slots_above[bottom, first] - slots_above[top, first]:
            continue
        face = facing[number, FACE]
        a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        ax, ay = screen_vertices[a, 0], screen_vertices[a, 1]
        bx, by = screen_vertices[b, 0], screen_vertices[b, 1]
        cx, cy = screen_vertices[c, 0], screen_vertices[c, 1]
        inverse = one / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
        b_dx, b_dy = (cy - ay) * inverse, -(cx - ax) * inverse
        c_dx, c_dy = -(by - ay) * inverse, (bx - ax) * inverse
        za = screen_vertices[a, 2]
        zb, zc = screen_vertices[b, 2] - za, screen_vertices[c, 2] - za
        depth_dx, depth_dy = b_dx * zb + c_dx * zc, b_dy * zb + c_dy * zc
        surface, nearest = surface_ids[face], za + max(np.float32(0.0), max(zb, zc))
        # how much the weights differ at most between a pixel's middle and its samples
        reach_a = REACH * (abs(b_dx + c_dx) + abs(b_dy + c_dy)) + EDGE_TOLERANCE
        reach_b = REACH * (abs(b_dx) + abs(b_dy)) + EDGE_TOLERANCE
        reach_c = REACH * (abs(c_dx) + abs(c_dy)) + EDGE_TOLERANCE
        for y in range(low_y, high_y + 1):
            dy = np.float32(y) - ay
            slot, end_slot = np.int64(slot_at[np.uint32(y), first]), np.int64(slot_at[np.uint32(y), end])
            while slot < end_slot:
                bits = reached(
                    columns, farthest, slot, end_slot - slot, ax - HALF, nearest, (dy + HALF) * b_dy, b_dx, reach_b,
                    (dy + HALF) * c_dy, c_dx, reach_c, reach_a,
                )  # fmt: skip
                while bits:
                    at = slot + lowest_bit(bits)
                    bits &= bits - 1
                    dx = np.float32(columns[np.uint32(at)]) - ax
                    wb, wc = dx * b_dx + dy * b_dy, dx * c_dx + dy * c_dy
                    _draw_samples(
                        depths, surfaces, at * LANES, wb, b_dx, b_dy, wc, c_dx, c_dy,
                        za + wb * zb + wc * zc, depth_dx, depth_dy, surface, -EDGE_TOLERANCE,
                    )  # fmt: skip
                slot += LANES
