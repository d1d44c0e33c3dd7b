"""From visible triangles to the colours of pixels: the studio's compiled loop over the picture.

Shading is per pixel and in linear light. Where a pixel sees several triangles of one surface it is shaded once, in the
middle of the pixel if that is seen; different surfaces are shaded apart and averaged, as multisampling hardware does.
On plain triangles (see prepared_surface.py) the corners are lit and a pixel lies between them. All other points are
evaluated by themselves, and lit together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from renderer.edges import (
    SAME_SURFACE_TOLERANCE,
    SAMPLE_X,
    SAMPLE_Y,
    SURFACE_BITS,
    TRIANGLE_ID_BITS,
    TRIANGLE_ID_MASK,
)
from renderer.jit import jit, jit_inline, jit_loop
from renderer.lighting import (
    KEY_COLOUR,
    LIGHTS,
    MAX_LINEAR,
    apply_lights,
)
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
    strand_brightness,
)
from renderer.prepared_surface import GENERAL, PLAIN, STRANDS, PreparedSurface
from renderer.rasterizer import CENTRE_SAMPLE_ROW, CLEARED_SAMPLE, NO_TRIANGLE, SAMPLE_PATTERN, SIMD_WIDTH
from renderer.texture_map import LAST_TEXEL

SAMPLES = len(SAMPLE_PATTERN)
BACKGROUND_SURFACE = CLEARED_SAMPLE & SURFACE_BITS  # of a sample that sees no triangle
HALF = np.float32(0.5)
SIMD_GROUP = 32  # a row is lit in whole groups of so many: what stands behind its last point is lit for nothing

# a plain triangle's record: red, green, blue, highlight and place in the texture at its first corner, that corner's
# place in the picture, and from STEP_X and STEP_Y on how the first six change from pixel to pixel
P_RED, P_GREEN, P_BLUE, P_HIGHLIGHT, P_U, P_V, P_X, P_Y, STEP_X = range(9)
STEP_Y, PLANES = 16, 24

# columns of points with a pattern, each SHADING_BATCH long: light, highlight, and the place between four texels
S_RED, S_GREEN, S_BLUE, S_HIGHLIGHT, S_U, S_V, STAGES = range(7)
WHITE_TEXEL, BYTE = np.uint32(0xFFFFFF), np.uint32(0xFF)


class ShadedScene(NamedTuple):
    """What all frames are shaded from."""

    triangles: np.ndarray  # (F, 3) uint32
    triangle_materials: np.ndarray  # (F,), vertex_attributes (V, 16), colours (5, 3): as in StudioSurface
    vertex_attributes: np.ndarray
    colours: np.ndarray
    texels: np.ndarray  # (H, W, 4) uint8
    packed_texels: np.ndarray  # (H, W) uint32: the same
    texture_corners: np.ndarray  # (F, 6) float32
    prepared: PreparedSurface
    background: np.ndarray  # (S, S, 3) float32 linear
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


def new_frame(vertices: int, triangles: int) -> ShadedFrame:
    """Buffers for pictures of one mesh."""
    return ShadedFrame(
        np.empty((vertices, 3), np.float32),
        np.empty((vertices, 3), np.float32),
        np.empty((vertices, 4), np.float32),
        np.empty(triangles * PLANES, np.float32),
        np.empty(triangles, np.uint8),
        np.empty(1, np.float32),
    )


def surface_ids(triangle_materials: np.ndarray) -> np.ndarray:
    """(F,) int64 for `rasterise`, from StudioSurface.triangle_materials: each triangle's number and surface.

    Surfaces are told apart at an edge by material; lashes and locks of hair are surfaces of their own.
    """
    layers = triangle_materials >> 3
    material = triangle_materials & 7 | (layers & HAS_HAIR > 0) << 3 | (layers & IS_LASH > 0) << 4
    return np.arange(len(triangle_materials)) | material.astype(np.int64) << TRIANGLE_ID_BITS


def tone_mapped(linear: np.ndarray, tone_curve: np.ndarray) -> np.ndarray:
    """Linear light, any shape, as it is seen: uint8."""
    end = len(tone_curve) - 1
    return tone_curve[np.minimum(end, linear * np.float32(end / MAX_LINEAR)).astype(np.uint32)]


@jit
def shade(visibility_buffer, edges, samples, scene, frame, image):
    """Colours the pixels of `image` (S, S, 3 or 4) uint8 that see more than the background; the others stay.

    visibility_buffer, edges, samples: from `rasterise` and `find_edges`, with `surface_ids`. With 4 channels the
    background is left out and the last is the opacity; colours are those of the surface alone.
    """
    # taken apart here, once: every look into a tuple costs more than what a pixel needs
    triangles, triangle_materials, attributes = scene.triangles, scene.triangle_materials, scene.vertex_attributes
    colours, texels, texture_corners, focal = scene.colours, scene.texels, scene.texture_corners, scene.focal
    packed_texels, tone_curve = scene.packed_texels, scene.tone_curve
    kinds, corners = scene.prepared.kinds, scene.prepared.corners
    screen_vertices, normals, lit_vertices = frame.screen_vertices, frame.normals, frame.lit_vertices
    planes, is_ready, mouth_brightness = frame.planes, frame.is_ready, frame.mouth_brightness[0]
    size, marked, slot_at = image.shape[0], edges.marked, edges.slot_at
    light, background_share = np.zeros(3 * size, np.float32), np.zeros(size, np.float32)
    mixed = np.empty(size, np.int32)  # columns of a row's pixels that see several things
    places = np.empty((SAMPLES * size, 4), np.float32)  # of a row's points: x, y, 1 / distance, share of the pixel
    owners = np.empty((SAMPLES * size, 2), np.uint32)  # their pixels' columns and triangles
    left = np.empty(SAMPLES * size, np.int32)  # numbers of the points that are not yet drawn
    points, batch = np.zeros(POINT_ATTRIBUTES * SHADING_BATCH, np.float32), np.zeros(STAGES * SHADING_BATCH, np.float32)
    batch_texels, batch_points = np.zeros(4 * SHADING_BATCH, np.uint32), np.zeros(SHADING_BATCH, np.int32)
    is_ready[:] = 0
    for y in range(size):
        pixels = image[y].reshape(-1)
        mixed_count, count = _add_row(
            visibility_buffer[y], marked[y], slot_at[y], samples, y, kinds, triangles, screen_vertices, lit_vertices,
            corners, planes, is_ready, tone_curve, pixels, places, owners, mixed, background_share,
            scene.background[y], light,
        )  # fmt: skip
        count = _add_patterned_points(
            count, places, owners, left, kinds, triangles, screen_vertices, lit_vertices, corners, planes, is_ready,
            packed_texels, batch, batch_texels, batch_points, tone_curve, pixels, light,
        )  # fmt: skip
        _add_general_points(
            count, places, owners, left, points, screen_vertices, normals, triangles, triangle_materials, attributes,
            colours, texels, texture_corners, focal, mouth_brightness, tone_curve, pixels, light,
        )  # fmt: skip
        _resolve_mixed(mixed, mixed_count, background_share, light, tone_curve, pixels)


@jit_inline
def _inverse_depth(sample):
    """1 / distance of a sample."""
    return np.int32(sample >> 32).view(np.float32)


@jit_inline
def _seen(value, tone_curve):
    """Linear light as it is seen, uint8."""
    scaled = value * np.float32((len(tone_curve) - 1) / MAX_LINEAR)
    return tone_curve[np.uint32(max(np.float32(0.0), min(scaled, np.float32(len(tone_curve) - 1))))]


@jit_inline
def _put(x, share, red, green, blue, tone_curve, pixels, light):
    """A point that has a pixel to itself goes to the row's `pixels` (S * channels,), others to its `light`."""
    if share == np.float32(1.0):
        channels = 3 * len(pixels) // len(light)
        pixels[channels * x] = _seen(red, tone_curve)
        pixels[channels * x + 1] = _seen(green, tone_curve)
        pixels[channels * x + 2] = _seen(blue, tone_curve)
        if channels == 4:
            pixels[channels * x + 3] = 255
    else:
        light[3 * x] += share * red
        light[3 * x + 1] += share * green
        light[3 * x + 2] += share * blue


@jit_loop
def _add_row(
    row, marked, slot_at, samples, y, kinds, triangles, screen_vertices, lit_vertices, corners, planes, is_ready,
    tone_curve, pixels, places, owners, mixed, background_share, background, light,
):  # fmt: skip
    """Draws what is plain in a row, and lists the pixels that see several things, and all other points.

    Returns how many of either there are.
    """
    mixed_count, count, size = 0, 0, background_share.shape[0]
    has_alpha = len(pixels) == 4 * size
    for x in range(size):
        if not marked[x]:
            surface_id = np.int32(row[x] & CLEARED_SAMPLE)
            if surface_id == NO_TRIANGLE:
                continue
            face = np.uint32(surface_id & np.int32(TRIANGLE_ID_MASK))
            if kinds[face] == PLAIN:
                if not is_ready[face]:
                    _fill_record(face, PLAIN, triangles, screen_vertices, lit_vertices, corners, planes, is_ready)
                red, green, blue = _plain_colour(face, np.float32(x) + HALF, np.float32(y) + HALF, planes)
                _put(x, np.float32(1.0), red, green, blue, tone_curve, pixels, light)
            else:
                count = _collect_point(row[x], CENTRE_SAMPLE_ROW, x, y, np.float32(1.0), places, owners, count)
            continue
        first, points_before = slot_at[x] * SIMD_WIDTH, count
        background_share[x], count = _collect_pixel(samples, first, x, y, places, owners, count)
        if count > points_before + (background_share[x] == 0):
            mixed[mixed_count] = x
            mixed_count += 1
            for k in range(3):
                light[3 * x + k] = np.float32(0.0) if has_alpha else background_share[x] * background[x, k]
    return mixed_count, count


@jit_inline
def _plain_colour(face, x, y, planes):
    """Red, green and blue at x, y of a triangle whose record is filled."""
    p = face * PLANES
    dx, dy = x - planes[p + P_X], y - planes[p + P_Y]
    return (
        planes[p + P_RED] + dx * planes[p + STEP_X + P_RED] + dy * planes[p + STEP_Y + P_RED],
        planes[p + P_GREEN] + dx * planes[p + STEP_X + P_GREEN] + dy * planes[p + STEP_Y + P_GREEN],
        planes[p + P_BLUE] + dx * planes[p + STEP_X + P_BLUE] + dy * planes[p + STEP_Y + P_BLUE],
    )


@jit_inline
def _pattern_values(face, x, y, planes):
    """Highlight and the two coordinates of the pattern, likewise."""
    p = face * PLANES
    dx, dy = x - planes[p + P_X], y - planes[p + P_Y]
    return (
        planes[p + P_HIGHLIGHT] + dx * planes[p + STEP_X + P_HIGHLIGHT] + dy * planes[p + STEP_Y + P_HIGHLIGHT],
        planes[p + P_U] + dx * planes[p + STEP_X + P_U] + dy * planes[p + STEP_Y + P_U],
        planes[p + P_V] + dx * planes[p + STEP_X + P_V] + dy * planes[p + STEP_Y + P_V],
    )


@jit_inline
def _collect_point(sample, k, x, y, share, places, owners, count):
    places[count, 0], places[count, 1] = np.float32(x) + SAMPLE_X[k], np.float32(y) + SAMPLE_Y[k]
    places[count, 2], places[count, 3] = _inverse_depth(sample), share
    owners[count, 0], owners[count, 1] = x, np.uint32(sample & TRIANGLE_ID_MASK)
    return count + 1


@jit_loop
def _collect_pixel(samples, start, x, y, places, owners, count):
    """A point for each surface in a pixel at an edge; returns the background's share and the count of points."""
    background_share, share = np.float32(0.0), np.float32(1.0 / SAMPLES)
    handled_samples = 0  # bits of the samples that belong to an earlier point
    for number in range(SAMPLES):
        k = (number + CENTRE_SAMPLE_ROW) % SAMPLES  # of a surface that the middle sees, the middle is shaded
        if handled_samples >> k & 1:
            continue
        sample, seen_by = samples[start + k], 0
        for other in range(SAMPLES):
            same = (samples[start + other] ^ sample) & SURFACE_BITS == 0 and not handled_samples >> other & 1
            if same and abs(_inverse_depth(samples[start + other]) - _inverse_depth(sample)) < SAME_SURFACE_TOLERANCE:
                handled_samples |= 1 << other
                seen_by += 1
        if sample & SURFACE_BITS == BACKGROUND_SURFACE:
            background_share += np.float32(seen_by) * share
        else:
            count = _collect_point(sample, k, x, y, np.float32(seen_by) * share, places, owners, count)
    return background_share, count


@jit_loop
def _add_patterned_points(
    count, places, owners, left, kinds, triangles, screen_vertices, lit_vertices, corners, planes, is_ready,
    packed_texels, batch, batch_texels, batch_points, tone_curve, pixels, light,
):  # fmt: skip
    """Draws the listed points of STRANDS and TEXTURED triangles, many at once in columns of `batch`, and of PLAIN ones.

    The numbers of the others are written to `left`; returns how many there are.
    """
    left_count, filled = 0, 0
    last_u = np.float32(packed_texels.shape[1]) - np.float32(LAST_TEXEL)
    last_v = np.float32(packed_texels.shape[0]) - np.float32(LAST_TEXEL)
    for i in range(count):
        face = owners[i, 1]
        kind = kinds[face]
        if kind == GENERAL:
            left[left_count] = i
            left_count += 1
            continue
        if not is_ready[face]:
            _fill_record(face, kind, triangles, screen_vertices, lit_vertices, corners, planes, is_ready)
        x, y, share = places[i, 0], places[i, 1], places[i, 3]
        red, green, blue = _plain_colour(face, x, y, planes)
        if kind == PLAIN:
            _put(owners[i, 0], share, red, green, blue, tone_curve, pixels, light)
            continue
        shine, u, v = _pattern_values(face, x, y, planes)
        if kind == STRANDS:  # brightness takes the place of a texel
            strand = strand_brightness(u, v)
            red, green, blue, u, v = red * strand, green * strand, blue * strand, np.float32(0.0), np.float32(0.0)
            batch_texels[filled] = batch_texels[SHADING_BATCH + filled] = WHITE_TEXEL
            batch_texels[2 * SHADING_BATCH + filled] = batch_texels[3 * SHADING_BATCH + filled] = WHITE_TEXEL
        else:
            # in thin triangles rounding may lead outside
            u, v = min(max(u, np.float32(0.0)), last_u), min(max(v, np.float32(0.0)), last_v)
            column, row = np.int32(u), np.int32(v)
            u, v = u - np.float32(column), v - np.float32(row)
            batch_texels[filled] = packed_texels[row, column]
            batch_texels[SHADING_BATCH + filled] = packed_texels[row, column + 1]
            batch_texels[2 * SHADING_BATCH + filled] = packed_texels[row + 1, column]
            batch_texels[3 * SHADING_BATCH + filled] = packed_texels[row + 1, column + 1]
        batch[S_RED * SHADING_BATCH + filled] = red
        batch[S_GREEN * SHADING_BATCH + filled] = green
        batch[S_BLUE * SHADING_BATCH + filled] = blue
        batch[S_HIGHLIGHT * SHADING_BATCH + filled] = shine
        batch[S_U * SHADING_BATCH + filled], batch[S_V * SHADING_BATCH + filled] = u, v
        batch_points[filled] = i
        filled += 1
        if filled == SHADING_BATCH:
            _blend_batch(batch, batch_texels, filled)
            _put_batch(batch, batch_points, filled, places, owners, tone_curve, pixels, light)
            filled = 0
    _blend_batch(batch, batch_texels, min(SHADING_BATCH, (filled + SIMD_GROUP - 1) // SIMD_GROUP * SIMD_GROUP))
    _put_batch(batch, batch_points, filled, places, owners, tone_curve, pixels, light)
    return left_count


@jit_loop
def _put_batch(batch, batch_points, count, places, owners, tone_curve, pixels, light):
    """Draws the first `count` points of `batch`, whose numbers are `batch_points`."""
    for k in range(count):
        i = batch_points[k]
        _put(
            owners[i, 0], places[i, 3], batch[S_RED * SHADING_BATCH + k], batch[S_GREEN * SHADING_BATCH + k],
            batch[S_BLUE * SHADING_BATCH + k], tone_curve, pixels, light,
        )  # fmt: skip


@jit_loop
def _blend_batch(batch, batch_texels, count):
    """Multiplies the colours of the first `count` points by what their four texels show, and adds highlights."""
    for i in range(count):
        u, v, shine = (
            batch[S_U * SHADING_BATCH + i],
            batch[S_V * SHADING_BATCH + i],
            batch[S_HIGHLIGHT * SHADING_BATCH + i],
        )
        a, b = batch_texels[i], batch_texels[SHADING_BATCH + i]
        c, d = batch_texels[2 * SHADING_BATCH + i], batch_texels[3 * SHADING_BATCH + i]
        red = _between(a, b, c, d, u, v, np.uint32(0))
        green = _between(a, b, c, d, u, v, np.uint32(8))
        blue = _between(a, b, c, d, u, v, np.uint32(16))
        batch[S_RED * SHADING_BATCH + i] = batch[S_RED * SHADING_BATCH + i] * red * red + shine * LIGHTS[KEY_COLOUR, 0]
        batch[S_GREEN * SHADING_BATCH + i] = (
            batch[S_GREEN * SHADING_BATCH + i] * green * green + shine * LIGHTS[KEY_COLOUR, 1]
        )
        batch[S_BLUE * SHADING_BATCH + i] = (
            batch[S_BLUE * SHADING_BATCH + i] * blue * blue + shine * LIGHTS[KEY_COLOUR, 2]
        )


@jit_loop
def _between(a, b, c, d, u, v, shift):
    """One channel 0..1 between the texels a, b and, below them, c, d; texels are stored as square roots."""
    left_above, right_above = np.float32(np.int32(a >> shift & BYTE)), np.float32(np.int32(b >> shift & BYTE))
    left_below, right_below = np.float32(np.int32(c >> shift & BYTE)), np.float32(np.int32(d >> shift & BYTE))
    above = left_above + u * (right_above - left_above)
    below = left_below + u * (right_below - left_below)
    return (above + v * (below - above)) * np.float32(1 / 255)


@jit_loop
def _add_general_points(
    count, places, owners, left, points, screen_vertices, normals, triangles, triangle_materials, attributes, colours,
    texels, texture_corners, focal, mouth_brightness, tone_curve, pixels, light,
):  # fmt: skip
    """Evaluates the first `count` points of those `left` by themselves and draws them."""
    for start in range(0, count, SHADING_BATCH):
        batch = min(count - start, SHADING_BATCH)
        for k in range(batch):
            i = left[start + k]
            points[SCREEN_X * SHADING_BATCH + k] = places[i, 0]
            points[SCREEN_Y * SHADING_BATCH + k] = places[i, 1]
            points[INVERSE_DEPTH * SHADING_BATCH + k] = places[i, 2]
            evaluate_material(
                points,
                k,
                owners[i, 1],
                screen_vertices,
                normals,
                triangles,
                triangle_materials,
                attributes,
                colours,
                texels,
                texture_corners,
                focal,
                mouth_brightness,
            )
        apply_lights(points, min(SHADING_BATCH, (batch + SIMD_GROUP - 1) // SIMD_GROUP * SIMD_GROUP))
        for k in range(batch):
            i = left[start + k]
            _put(
                owners[i, 0], places[i, 3], points[RED * SHADING_BATCH + k], points[GREEN * SHADING_BATCH + k],
                points[BLUE * SHADING_BATCH + k], tone_curve, pixels, light,
            )  # fmt: skip


@jit_loop
def _resolve_mixed(mixed, count, background_share, light, tone_curve, pixels):
    """The first `count` pixels in the columns `mixed`, from what their surfaces added to `light`."""
    channels = 3 * len(pixels) // len(light)
    for i in range(count):
        x, scale = mixed[i], np.float32(1.0)
        if channels == 4:
            opacity = np.float32(1.0) - background_share[x]
            scale = np.float32(1.0) / max(opacity, np.float32(0.01))
            pixels[4 * x + 3] = np.uint8(np.float32(255.0) * opacity + np.float32(0.5))
        for k in range(3):
            pixels[channels * x + k] = _seen(light[3 * x + k] * scale, tone_curve)


@jit_inline
def _fill_record(face, kind, triangles, screen_vertices, lit_vertices, corners, planes, is_ready):
    """Writes the record of a triangle that is not GENERAL: what its corners are like, and how that changes between."""
    a, b, c, p = triangles[face, 0], triangles[face, 1], triangles[face, 2], face * PLANES
    ax, ay = screen_vertices[a, 0], screen_vertices[a, 1]
    ux, uy = screen_vertices[b, 0] - ax, screen_vertices[b, 1] - ay
    vx, vy = screen_vertices[c, 0] - ax, screen_vertices[c, 1] - ay
    inverse = np.float32(1.0) / (ux * vy - uy * vx)
    ux, uy, vx, vy = ux * inverse, uy * inverse, vx * inverse, vy * inverse
    red, green, blue, shine = lit_vertices[a, 0], lit_vertices[a, 1], lit_vertices[a, 2], lit_vertices[a, 3]
    red_u, green_u, blue_u = lit_vertices[b, 0] - red, lit_vertices[b, 1] - green, lit_vertices[b, 2] - blue
    red_v, green_v, blue_v = lit_vertices[c, 0] - red, lit_vertices[c, 1] - green, lit_vertices[c, 2] - blue
    shine_u, shine_v = lit_vertices[b, 3] - shine, lit_vertices[c, 3] - shine
    planes[p + P_RED], planes[p + P_GREEN], planes[p + P_BLUE], planes[p + P_HIGHLIGHT] = red, green, blue, shine
    planes[p + P_X], planes[p + P_Y] = ax, ay
    planes[p + STEP_X + P_RED] = red_u * vy - red_v * uy
    planes[p + STEP_X + P_GREEN] = green_u * vy - green_v * uy
    planes[p + STEP_X + P_BLUE] = blue_u * vy - blue_v * uy
    planes[p + STEP_X + P_HIGHLIGHT] = shine_u * vy - shine_v * uy
    planes[p + STEP_Y + P_RED] = red_v * ux - red_u * vx
    planes[p + STEP_Y + P_GREEN] = green_v * ux - green_u * vx
    planes[p + STEP_Y + P_BLUE] = blue_v * ux - blue_u * vx
    planes[p + STEP_Y + P_HIGHLIGHT] = shine_v * ux - shine_u * vx
    if kind != PLAIN:
        for k in range(2):  # the pattern's coordinates
            start = corners[face, k]
            u, v = corners[face, 2 + k] - start, corners[face, 4 + k] - start
            planes[p + P_U + k] = start
            planes[p + STEP_X + P_U + k] = u * vy - v * uy
            planes[p + STEP_Y + P_U + k] = v * ux - u * vx
    is_ready[face] = 1
