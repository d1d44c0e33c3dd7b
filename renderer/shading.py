"""From visible triangles to the colours of pixels: the studio's compiled loop over the picture.

Shading is per pixel and in linear light. Where a pixel sees several triangles of one surface it is shaded once, in the
middle of the pixel if that is seen; different surfaces are shaded apart and averaged, as multisampling hardware does.
On plain triangles (see prepared_surface.py) the corners are lit and a pixel lies between them (plain_shading.py). All
other points are collected, evaluated by themselves, and lit together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from renderer.depth_buffer import BOTTOM, HALF, LEFT, RIGHT, TOP
from renderer.edges import (
    SAME_SURFACE_TOLERANCE,
    SAMPLE_X,
    SAMPLE_Y,
    SAMPLES,
    TRIANGLE_ID_BITS,
    TRIANGLE_ID_MASK,
)
from renderer.jit import jit_inline, jit_loop
from renderer.lighting import MAX_LINEAR, apply_lights
from renderer.materials import (
    BLUE,
    GREEN,
    HAS_HAIR,
    INVERSE_DEPTH,
    IS_LASH,
    POINT_ATTRIBUTES,
    RED,
    SCREEN_X,
    SCREEN_Y,
    SHADING_BATCH,
    evaluate_material,
)
from renderer.plain_shading import PLANES, fill_record, plain_light
from renderer.prepared_surface import GENERAL, PreparedSurface
from renderer.rasterizer import CENTRE_SAMPLE_ROW, NO_TRIANGLE
from renderer.simd import LANES
from renderer.texture_map import LAST_TEXEL

SIMD_GROUP = 32  # points are lit in whole groups of so many: what stands behind the last is lit for nothing
SHARE = np.float32(1 / SAMPLES)  # of a pixel, for each of its samples

# of the points that wait to be evaluated: the pixel they belong to, among those that wait for points; their triangle
OWNER, FACE = range(2)
# of the pixels that wait: the light that is known, and the share of the background
P_RED, P_GREEN, P_BLUE, P_BACKGROUND = range(4)


class ShadedScene(NamedTuple):
    """What all frames are shaded from."""

    triangles: np.ndarray  # (F, 3) uint32
    triangle_materials: np.ndarray  # (F,), vertex_attributes (V, 16), colours (5, 3): as in StudioSurface
    vertex_attributes: np.ndarray
    colours: np.ndarray
    texels: np.ndarray  # (H, W, 4) uint8
    packed_texels: np.ndarray  # (H * W,) uint32: the same
    texture_corners: np.ndarray  # (F, 6) float32
    prepared: PreparedSurface
    background: np.ndarray  # (S * S, 3) float32 linear
    tone_curve: np.ndarray  # (4096,) uint8
    focal: np.float32  # pixels


class ShadedFrame(NamedTuple):
    """What changes with every frame; buffers are used again."""

    screen_vertices: np.ndarray  # (V, 3) float32
    normals: np.ndarray  # (V, 3) float32
    lit_vertices: np.ndarray  # (V, 4) float32: see lighting.light_vertices
    planes: np.ndarray  # (F * PLANES,) float32: records of plain triangles
    is_ready: np.ndarray  # (F,) uint8: whether its record is of this frame
    mouth_brightness: np.ndarray  # (1,) float32 0..1: the light that parted lips let in
    points: np.ndarray  # (POINT_ATTRIBUTES * SHADING_BATCH,) float32: points that wait to be evaluated
    owners: np.ndarray  # (SHADING_BATCH, 2) int32: OWNER and FACE of each
    shares: np.ndarray  # (SHADING_BATCH,) float32: of the pixel, of each
    places: np.ndarray  # (SHADING_BATCH,) int64: numbers of the pixels that wait for points
    light: np.ndarray  # (SHADING_BATCH, 4) float32: what is known of them


def new_frame(vertices: int, triangles: int) -> ShadedFrame:
    """Buffers for pictures of one mesh."""
    return ShadedFrame(
        np.empty((vertices, 3), np.float32),
        np.empty((vertices, 3), np.float32),
        np.empty((vertices, 4), np.float32),
        np.empty(triangles * PLANES, np.float32),
        np.empty(triangles, np.uint8),
        np.empty(1, np.float32),
        np.zeros(POINT_ATTRIBUTES * SHADING_BATCH, np.float32),
        np.empty((SHADING_BATCH, 2), np.int32),
        np.empty(SHADING_BATCH, np.float32),
        np.empty(SHADING_BATCH, np.int64),
        np.empty((SHADING_BATCH, 4), np.float32),
    )


def surface_ids(triangle_materials: np.ndarray) -> np.ndarray:
    """(F,) int32 for `draw_depths`, from StudioSurface.triangle_materials: each triangle's number and surface.

    Surfaces are told apart at an edge by material; lashes and locks of hair are surfaces of their own.
    """
    layers = triangle_materials >> 3
    material = triangle_materials & 7 | (layers & HAS_HAIR > 0) << 3 | (layers & IS_LASH > 0) << 4
    return (np.arange(len(triangle_materials)) | material.astype(np.int64) << TRIANGLE_ID_BITS).astype(np.int32)


def tone_mapped(linear: np.ndarray, tone_curve: np.ndarray) -> np.ndarray:
    """Linear light, any shape, as it is seen: uint8."""
    end = len(tone_curve) - 1
    return tone_curve[np.minimum(end, linear * np.float32(end / MAX_LINEAR)).astype(np.uint32)]


@jit_loop
def shade(buffer, stride, edges, scene, frame, size, channels, pixels):
    """Colours those of `pixels` (S * S * channels,) uint8 that see more than the background; the others stay.

    buffer, edges: from `draw_depths` and `find_edges`, with `surface_ids`. With 4 channels the background is left out
    and the last is the opacity; colours are those of the surface alone.
    """
    # taken apart here, once: every look into a tuple costs more than what a pixel needs
    triangles, kinds, corners = scene.triangles, scene.prepared.kinds, scene.prepared.corners.reshape(-1)
    texels, tone_curve, background = scene.packed_texels, scene.tone_curve, scene.background
    screen_vertices, lit_vertices, planes, is_ready = (
        frame.screen_vertices, frame.lit_vertices.reshape(-1), frame.planes, frame.is_ready
    )  # fmt: skip
    points, owners, shares, places, light = frame.points, frame.owners, frame.shares, frame.places, frame.light
    marked, slot_at, columns = edges.marked, edges.slot_at, edges.columns
    depths, surfaces, sample_depths, sample_surfaces = buffer.depths, buffer.surfaces, edges.depths, edges.surfaces
    left, top, right, bottom = buffer.region[LEFT], buffer.region[TOP], buffer.region[RIGHT], buffer.region[BOTTOM]
    texture_height, texture_width = scene.texels.shape[0], scene.texels.shape[1]
    width = right - left
    last_u, last_v = (
        np.float32(texture_width) - np.float32(LAST_TEXEL),
        np.float32(texture_height) - np.float32(LAST_TEXEL),
    )
    is_ready[:] = 0
    count, waiting = 0, 0  # points to be evaluated, pixels that wait for them
    for y in range(top, bottom):
        start, at = y * stride + left, y * size + left
        row, row_depths, marks = surfaces[start : start + width], depths[start : start + width], marked[y, left:right]
        middle_y = np.float32(y) + HALF
        for x in range(width):
            surface = row[x]
            if (marks[x] != 0) | (surface == NO_TRIANGLE):
                continue
            middle_x = np.float32(left + x) + HALF
            face = np.uint32(surface & TRIANGLE_ID_MASK)
            kind = kinds[face]
            if kind == GENERAL:
                if count == SHADING_BATCH:
                    _draw_waiting(count, waiting, scene, frame, channels, pixels)
                    count, waiting = 0, 0
                _wait(waiting, at + x, places, light)
                _collect(
                    count, waiting, face, middle_x, middle_y, row_depths[x], np.float32(1.0), points, owners, shares
                )
                count, waiting = count + 1, waiting + 1
                continue
            if not is_ready[face]:
                fill_record(face, triangles, screen_vertices, lit_vertices, corners, planes, is_ready)
            red, green, blue = plain_light(
                face, kind, middle_x, middle_y, planes, texels, texture_width, last_u, last_v
            )
            _put(at + x, red, green, blue, channels, tone_curve, pixels)
        for slot in range(slot_at[y, left], slot_at[y, right]):
            x, start = columns[np.uint32(slot)], slot * LANES
            seen, seen_depths = sample_surfaces[start : start + LANES], sample_depths[start : start + LANES]
            if count > SHADING_BATCH - SAMPLES:
                _draw_waiting(count, waiting, scene, frame, channels, pixels)
                count, waiting = 0, 0
            red, green, blue, unseen = np.float32(0.0), np.float32(0.0), np.float32(0.0), 0
            count_before = count
            handled_samples = 0  # bits of the samples that belong to an earlier point
            for number in range(SAMPLES):
                k = (number + CENTRE_SAMPLE_ROW) % SAMPLES  # of a surface that the middle sees, the middle is shaded
                if handled_samples >> k & 1:
                    continue
                surface, depth, seen_by = seen[k], seen_depths[k], 0
                for other in range(SAMPLES):
                    same = ((seen[other] ^ surface) >> TRIANGLE_ID_BITS == 0) & (
                        abs(seen_depths[other] - depth) < SAME_SURFACE_TOLERANCE
                    ) & (handled_samples >> other & 1 == 0)  # fmt: skip
                    handled_samples |= np.int64(same) << other
                    seen_by += np.int64(same)
                if surface == NO_TRIANGLE:
                    unseen += seen_by
                    continue
                face, share = np.uint32(surface & TRIANGLE_ID_MASK), np.float32(seen_by) * SHARE
                at_x, at_y, kind = np.float32(x) + SAMPLE_X[k], np.float32(y) + SAMPLE_Y[k], kinds[face]
                if kind == GENERAL:
                    _collect(count, waiting, face, at_x, at_y, depth, share, points, owners, shares)
                    count += 1
                    continue
                if not is_ready[face]:
                    fill_record(face, triangles, screen_vertices, lit_vertices, corners, planes, is_ready)
                point_red, point_green, point_blue = plain_light(
                    face, kind, at_x, at_y, planes, texels, texture_width, last_u, last_v
                )
                red, green, blue = red + share * point_red, green + share * point_green, blue + share * point_blue
            if unseen == SAMPLES:
                continue
            at, background_share = y * size + x, np.float32(unseen) * SHARE
            if channels == 3:
                red += background_share * background[at, 0]
                green += background_share * background[at, 1]
                blue += background_share * background[at, 2]
            if count == count_before:
                _resolve(at, red, green, blue, background_share, channels, tone_curve, pixels)
            else:
                _wait(waiting, at, places, light)
                light[waiting, P_RED], light[waiting, P_GREEN], light[waiting, P_BLUE] = red, green, blue
                light[waiting, P_BACKGROUND] = background_share
                waiting += 1
    _draw_waiting(count, waiting, scene, frame, channels, pixels)


@jit_inline
def _seen(value, tone_curve):
    """Linear light as it is seen, uint8."""
    scaled = value * np.float32((len(tone_curve) - 1) / MAX_LINEAR)
    return tone_curve[np.uint32(max(np.float32(0.0), min(scaled, np.float32(len(tone_curve) - 1))))]


@jit_inline
def _put(at, red, green, blue, channels, tone_curve, pixels):
    """Light of a pixel that is covered wholly."""
    pixels[channels * at] = _seen(red, tone_curve)
    pixels[channels * at + 1] = _seen(green, tone_curve)
    pixels[channels * at + 2] = _seen(blue, tone_curve)
    if channels == 4:
        pixels[4 * at + 3] = 255


@jit_inline
def _resolve(at, red, green, blue, background_share, channels, tone_curve, pixels):
    """Light of a pixel that is covered partly."""
    if channels == 4:
        opacity = np.float32(1.0) - background_share
        scale = np.float32(1.0) / max(opacity, np.float32(0.01))
        _put(at, red * scale, green * scale, blue * scale, 4, tone_curve, pixels)
        pixels[4 * at + 3] = np.uint8(np.float32(255.0) * opacity + np.float32(0.5))
    else:
        _put(at, red, green, blue, 3, tone_curve, pixels)


@jit_inline
def _wait(waiting, at, places, light):
    """A pixel of which nothing is known yet begins to wait for its points."""
    places[waiting] = at
    for k in range(4):
        light[waiting, k] = np.float32(0.0)


@jit_inline
def _collect(count, waiting, face, x, y, depth, share, points, owners, shares):
    """A point begins to wait for its evaluation."""
    points[SCREEN_X * SHADING_BATCH + count] = x
    points[SCREEN_Y * SHADING_BATCH + count] = y
    points[INVERSE_DEPTH * SHADING_BATCH + count] = depth
    owners[count, OWNER], owners[count, FACE] = waiting, np.int32(face)
    shares[count] = share


@jit_loop
def _draw_waiting(count, waiting, scene, frame, channels, pixels):
    """Evaluates the first `count` points by themselves, lights them, and draws the first `waiting` pixels."""
    triangles, triangle_materials, attributes = scene.triangles, scene.triangle_materials, scene.vertex_attributes
    colours, texels, texture_corners, focal = scene.colours, scene.texels, scene.texture_corners, scene.focal
    screen_vertices, normals, mouth_brightness = frame.screen_vertices, frame.normals, frame.mouth_brightness[0]
    points, owners, shares, light = frame.points, frame.owners, frame.shares, frame.light
    tone_curve = scene.tone_curve
    for k in range(count):
        evaluate_material(
            points, k, np.uint32(owners[k, FACE]), screen_vertices, normals, triangles, triangle_materials, attributes,
            colours, texels, texture_corners, focal, mouth_brightness,
        )  # fmt: skip
    apply_lights(points, min(SHADING_BATCH, (count + SIMD_GROUP - 1) // SIMD_GROUP * SIMD_GROUP))
    for k in range(count):
        owner, share = owners[k, OWNER], shares[k]
        light[owner, P_RED] += share * points[RED * SHADING_BATCH + k]
        light[owner, P_GREEN] += share * points[GREEN * SHADING_BATCH + k]
        light[owner, P_BLUE] += share * points[BLUE * SHADING_BATCH + k]
    for k in range(waiting):
        _resolve(
            frame.places[k], light[k, P_RED], light[k, P_GREEN], light[k, P_BLUE], light[k, P_BACKGROUND], channels,
            tone_curve, pixels,
        )  # fmt: skip
