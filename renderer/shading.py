"""The studio's light: the compiled loop that turns visible triangles into the colours of pixels.

Shading is per pixel and in linear light. Where a pixel sees several triangles of one surface it is shaded once, in the
middle of the pixel if that is seen; different surfaces are shaded apart and averaged, as multisampling hardware does.
What is painted on a surface is found point by point, for it differs from one to the next; the lamps are the same for
all, so a row's points are kept in columns and lit together, as many at once as the processor has lanes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from renderer.jit import jit
from renderer.materials import (
    AMBIENT_OCCLUSION,
    BLUE,
    COVERAGE,
    GREEN,
    HAS_HAIR,
    INVERSE_DEPTH,
    IS_LASH,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    POINT_ATTRIBUTES,
    RED,
    SCREEN_X,
    SCREEN_Y,
    SHADING_BATCH,
    SHININESS,
    SPECULAR,
    WRAP_LIGHTING,
    evaluate_material,
)
from renderer.rasterizer import CENTRE_SAMPLE_ROW, CLEARED_SAMPLE, NO_TRIANGLE, SAMPLE_PATTERN

if TYPE_CHECKING:
    from renderer.backends import StaticScene

MAX_LINEAR = 2.0  # linear light that the tone curve still tells apart
TRIANGLE_ID_BITS = 24  # of a surface id: the triangle's number; above it what surface the triangle is of
TRIANGLE_ID_MASK = np.int64((1 << TRIANGLE_ID_BITS) - 1)
BACKGROUND_SURFACE = CLEARED_SAMPLE >> TRIANGLE_ID_BITS  # of a sample that sees no triangle
SAME_SURFACE_TOLERANCE = np.float32(0.0006)  # of 1 / distance: some 0.04 units of depth are one surface
MIXED_PIXEL = -2  # the samples of a pixel see different surfaces
SIMD_GROUP = 32  # a row is lit in whole groups of so many: what stands behind its last point is lit for nothing

# rows of LIGHTS: unit directions towards key, fill and rim lamp in world space, their linear colours, the ambient light
# from above and below, and the direction halfway between key and viewer, for highlights
KEY, FILL, RIM, KEY_COLOUR, FILL_COLOUR, RIM_COLOUR, AMBIENT_SKY, AMBIENT_GROUND, HALF_VECTOR = range(9)
_LIGHT_DIRECTIONS = [
    np.array(d) / np.linalg.norm(d) for d in ((-0.46, 0.52, 0.72), (0.78, 0.10, 0.62), (0.62, 0.45, -0.64))
]
_HALF_VECTOR = _LIGHT_DIRECTIONS[KEY] + (0.0, 0.0, 1.0)
LIGHTS = np.array(
    [
        *_LIGHT_DIRECTIONS,
        (1.30, 1.21, 1.09), (0.26, 0.31, 0.38), (0.60, 0.64, 0.70),
        (0.40, 0.43, 0.48), (0.26, 0.22, 0.20),
        _HALF_VECTOR / np.linalg.norm(_HALF_VECTOR),
    ],
    np.float32,
)  # fmt: skip


@jit
def _apply_lights(shading_points, count, lights):
    """Lights the first `count` of `shading_points` (POINT_ATTRIBUTES * SHADING_BATCH,): writes over their colours."""
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    for i in range(count):
        nx, ny, nz = (
            shading_points[NORMAL_X * SHADING_BATCH + i],
            shading_points[NORMAL_Y * SHADING_BATCH + i],
            shading_points[NORMAL_Z * SHADING_BATCH + i],
        )
        sky, shine, wrap = (
            shading_points[AMBIENT_OCCLUSION * SHADING_BATCH + i],
            shading_points[SPECULAR * SHADING_BATCH + i],
            shading_points[WRAP_LIGHTING * SHADING_BATCH + i],
        )
        gloss, weight = shading_points[SHININESS * SHADING_BATCH + i], shading_points[COVERAGE * SHADING_BATCH + i]
        key = nx * lights[KEY, 0] + ny * lights[KEY, 1] + nz * lights[KEY, 2]
        fill = max(zero, nx * lights[FILL, 0] + ny * lights[FILL, 1] + nz * lights[FILL, 2])
        rim = max(zero, nx * lights[RIM, 0] + ny * lights[RIM, 1] + nz * lights[RIM, 2])
        sky_facing = half + half * ny
        # skin lets light through: towards the shadow red reaches farther than blue
        wrap_amount = np.float32(0.40) * wrap
        diffuse_red = max(zero, (key + wrap_amount) / (one + wrap_amount))
        wrap_amount = np.float32(0.20) * wrap
        diffuse_green = max(zero, (key + wrap_amount) / (one + wrap_amount))
        wrap_amount = np.float32(0.12) * wrap
        diffuse_blue = max(zero, (key + wrap_amount) / (one + wrap_amount))
        # lamps are broad: what hides the sky hides part of them
        light_visibility = np.float32(0.25) + np.float32(0.75) * sky
        specular = max(zero, nx * lights[HALF_VECTOR, 0] + ny * lights[HALF_VECTOR, 1] + nz * lights[HALF_VECTOR, 2])
        specular *= specular  # 2
        specular *= specular  # 4
        specular *= specular  # 8
        specular16 = specular * specular  # 16: skin
        specular32 = specular16 * specular16  # 32: lips, teeth, tongue
        specular128 = specular32 * specular32  # 64
        specular128 *= specular128  # 128: eyes, whose lamp is seen as it is
        eye_highlight = shine * min(one, specular128 * np.float32(1.6))
        eye_highlight = eye_highlight if gloss > np.float32(1.5) else zero
        specular = specular32 if gloss > half else specular16
        specular = zero if gloss > np.float32(1.5) else specular * shine * light_visibility
        rim *= sky * (one - max(zero, nz))
        below, above = sky * (one - sky_facing), sky * sky_facing
        red = (
            light_visibility * (diffuse_red * lights[KEY_COLOUR, 0] + fill * lights[FILL_COLOUR, 0])
            + rim * lights[RIM_COLOUR, 0]
        )
        green = (
            light_visibility * (diffuse_green * lights[KEY_COLOUR, 1] + fill * lights[FILL_COLOUR, 1])
            + rim * lights[RIM_COLOUR, 1]
        )
        blue = (
            light_visibility * (diffuse_blue * lights[KEY_COLOUR, 2] + fill * lights[FILL_COLOUR, 2])
            + rim * lights[RIM_COLOUR, 2]
        )
        red += below * lights[AMBIENT_GROUND, 0] + above * lights[AMBIENT_SKY, 0]
        green += below * lights[AMBIENT_GROUND, 1] + above * lights[AMBIENT_SKY, 1]
        blue += below * lights[AMBIENT_GROUND, 2] + above * lights[AMBIENT_SKY, 2]
        shading_points[RED * SHADING_BATCH + i] = weight * (
            shading_points[RED * SHADING_BATCH + i] * red + specular * lights[KEY_COLOUR, 0] + eye_highlight
        )
        shading_points[GREEN * SHADING_BATCH + i] = weight * (
            shading_points[GREEN * SHADING_BATCH + i] * green + specular * lights[KEY_COLOUR, 1] + eye_highlight
        )
        shading_points[BLUE * SHADING_BATCH + i] = weight * (
            shading_points[BLUE * SHADING_BATCH + i] * blue + specular * lights[KEY_COLOUR, 2] + eye_highlight
        )


def surface_ids(triangle_materials: np.ndarray) -> np.ndarray:
    """(F,) int64 for `rasterise`, from StudioSurface.triangle_materials: each triangle's number and surface.

    Surfaces are told apart at an edge by material; lashes and locks of hair are surfaces of their own.
    """
    layers = triangle_materials >> 3
    material = triangle_materials & 7 | (layers & HAS_HAIR > 0) << 3 | (layers & IS_LASH > 0) << 4
    return np.arange(len(triangle_materials)) | material.astype(np.int64) << TRIANGLE_ID_BITS


def shade(
    visibility_buffer: np.ndarray,
    screen_vertices: np.ndarray,
    normals: np.ndarray,
    scene: StaticScene,
    mouth_brightness: float,
    image: np.ndarray,
) -> None:
    """Colours every pixel of `image` (S, S, 3 or 4) uint8 from a `visibility_buffer` filled with `surface_ids`.

    With 4 channels the background is left out and the last is the opacity; colours are those of the surface alone.

    screen_vertices, normals (V, 3) float32: of this frame; scene: with a `surface`, `background` and `tone_curve`;
    mouth_brightness: 0..1, the light that parted lips let in.
    """
    surface = scene.surface
    _shade(
        visibility_buffer, screen_vertices, normals, scene.triangles, surface.triangle_materials,
        surface.vertex_attributes, surface.colours, surface.texture.texels, surface.texture.corners, LIGHTS,
        np.float32(scene.focal), np.float32(mouth_brightness), scene.background, scene.tone_curve, image,
    )  # fmt: skip


@jit
def _shade(
    visibility_buffer,
    screen_vertices,
    normals,
    triangles,
    triangle_materials,
    vertex_attributes,
    colours,
    texels,
    texture_corners,
    lights,
    focal,
    mouth_brightness,
    background,
    tone_curve,
    image,
):
    size, samples, has_alpha = image.shape[0], SAMPLE_PATTERN.shape[0], image.shape[2] == 4
    shading_points = np.zeros(POINT_ATTRIBUTES * SHADING_BATCH, np.float32)
    pixel, face = np.zeros(SHADING_BATCH, np.int32), np.zeros(SHADING_BATCH, np.int32)
    pixel_class, light = np.empty(size, np.int32), np.empty(3 * size, np.float32)
    background_share = np.empty(size, np.float32)
    min_depth_bits, max_depth_bits = np.empty(size, np.int32), np.empty(size, np.int32)
    for y in range(size):
        pixel_samples = visibility_buffer[y * samples : (y + 1) * samples]
        _classify_pixels(pixel_samples, pixel_class, min_depth_bits, max_depth_bits)
        background_row = background[y].reshape(-1)
        for i in range(3 * size):
            light[i] = np.float32(0.0) if has_alpha else background_row[i]
        count = 0
        for x in range(size):
            background_share[x] = np.float32(1.0)
            if pixel_class[x] == NO_TRIANGLE:  # half of the picture
                continue
            if pixel_class[x] == MIXED_PIXEL:
                background_share[x], count = _add_pixel_points(pixel_samples, x, y, shading_points, pixel, face, count)
            else:
                background_share[x] = np.float32(0.0)
                count = _add_shading_point(
                    pixel_samples, CENTRE_SAMPLE_ROW, x, y, np.float32(1.0), shading_points, pixel, face, count
                )
            for channel in range(3 * x, 3 * x + 3):
                light[channel] *= background_share[x]
            if count > SHADING_BATCH - samples:
                _shade_points(
                    shading_points, pixel, face, count, screen_vertices, normals, triangles, triangle_materials,
                    vertex_attributes, colours, texels, texture_corners, lights, focal, mouth_brightness, light,
                )  # fmt: skip
                count = 0
        _shade_points(
            shading_points, pixel, face, count, screen_vertices, normals, triangles, triangle_materials,
            vertex_attributes, colours, texels, texture_corners, lights, focal, mouth_brightness, light,
        )  # fmt: skip
        _tone_map_row(light, background_share, tone_curve, image[y])


@jit
def _inverse_depth(sample):
    """1 / distance of a sample."""
    return np.int32(sample >> 32).view(np.float32)


@jit
def _classify_pixels(pixel_samples, pixel_class, min_depth_bits, max_depth_bits):
    """For each pixel of a row: NO_TRIANGLE where only background is seen, MIXED_PIXEL for several surfaces, else 0."""
    for x in range(pixel_class.shape[0]):
        pixel_class[x] = 0
        # positive floats are in the order of their bits
        min_depth_bits[x] = max_depth_bits[x] = np.int32(pixel_samples[CENTRE_SAMPLE_ROW, x] >> 32)
    for k in range(pixel_samples.shape[0]):
        for x in range(pixel_class.shape[0]):
            pixel_class[x] |= np.int32(
                ((pixel_samples[k, x] ^ pixel_samples[CENTRE_SAMPLE_ROW, x]) & CLEARED_SAMPLE) >> TRIANGLE_ID_BITS
            )
            min_depth_bits[x] = min(min_depth_bits[x], np.int32(pixel_samples[k, x] >> 32))
            max_depth_bits[x] = max(max_depth_bits[x], np.int32(pixel_samples[k, x] >> 32))
    for x in range(pixel_class.shape[0]):
        depth_range = np.int32(max_depth_bits[x]).view(np.float32) - np.int32(min_depth_bits[x]).view(np.float32)
        surface_class = (
            NO_TRIANGLE if np.int32(pixel_samples[CENTRE_SAMPLE_ROW, x] & CLEARED_SAMPLE) == NO_TRIANGLE else 0
        )
        pixel_class[x] = (
            surface_class if (pixel_class[x] == 0) & (depth_range < SAME_SURFACE_TOLERANCE) else MIXED_PIXEL
        )


@jit
def _add_shading_point(pixel_samples, sample, x, y, weight, shading_points, pixel, face, count):
    """Adds a point at a sample of pixel x, y to `shading_points`; returns how many there are now."""
    shading_points[SCREEN_X * SHADING_BATCH + count] = np.float32(x) + SAMPLE_PATTERN[sample]
    shading_points[SCREEN_Y * SHADING_BATCH + count] = np.float32(y) + (
        np.float32(sample) + np.float32(0.5)
    ) / np.float32(SAMPLE_PATTERN.shape[0])
    shading_points[INVERSE_DEPTH * SHADING_BATCH + count] = _inverse_depth(pixel_samples[sample, x])
    shading_points[COVERAGE * SHADING_BATCH + count] = weight
    pixel[count], face[count] = x, np.int32(pixel_samples[sample, x] & TRIANGLE_ID_MASK)
    return count + 1


@jit
def _add_pixel_points(pixel_samples, x, y, shading_points, pixel, face, count):
    """Adds a point for each surface in a pixel; returns the background's share and how many points there are now."""
    samples, background_share = pixel_samples.shape[0], np.float32(0.0)
    share = np.float32(1.0 / SAMPLE_PATTERN.shape[0])
    handled_samples = 0  # bits of the samples that belong to an earlier point
    for start in range(samples):
        first = (start + CENTRE_SAMPLE_ROW) % samples  # of a surface that the middle sees, the middle is shaded
        if handled_samples >> first & 1:
            continue
        surface_id = (pixel_samples[first, x] & CLEARED_SAMPLE) >> TRIANGLE_ID_BITS
        weight, inverse_depth = np.float32(0.0), _inverse_depth(pixel_samples[first, x])
        for other in range(samples):
            other_id = (pixel_samples[other, x] & CLEARED_SAMPLE) >> TRIANGLE_ID_BITS
            same = other_id == surface_id and not handled_samples >> other & 1
            if same and abs(_inverse_depth(pixel_samples[other, x]) - inverse_depth) < SAME_SURFACE_TOLERANCE:
                handled_samples |= 1 << other
                weight += share
        if surface_id == BACKGROUND_SURFACE:
            background_share += weight
        else:
            count = _add_shading_point(pixel_samples, first, x, y, weight, shading_points, pixel, face, count)
    return background_share, count


@jit
def _shade_points(
    shading_points,
    pixel,
    face,
    count,
    screen_vertices,
    normals,
    triangles,
    triangle_materials,
    vertex_attributes,
    colours,
    texels,
    texture_corners,
    lights,
    focal,
    mouth_brightness,
    light,
):
    """Shades the first `count` points and adds them to the row's `light` (3 S,)."""
    for i in range(count):
        evaluate_material(
            shading_points,
            i,
            face[i],
            screen_vertices,
            normals,
            triangles,
            triangle_materials,
            vertex_attributes,
            colours,
            texels,
            texture_corners,
            focal,
            mouth_brightness,
        )
    _apply_lights(shading_points, min(SHADING_BATCH, (count + SIMD_GROUP - 1) // SIMD_GROUP * SIMD_GROUP), lights)
    for i in range(count):
        channel = 3 * pixel[i]
        light[channel] += shading_points[RED * SHADING_BATCH + i]
        light[channel + 1] += shading_points[GREEN * SHADING_BATCH + i]
        light[channel + 2] += shading_points[BLUE * SHADING_BATCH + i]


@jit
def _tone_map_row(light, background_share, tone_curve, pixels):
    """One row's light (3 S,) as colours, pixels (S, 3 or 4); with 4, `background_share` (S,) is transparent."""
    table_scale, table_end = np.float32((len(tone_curve) - 1) / MAX_LINEAR), np.float32(len(tone_curve) - 1)
    if pixels.shape[1] == 3:
        flat = pixels.reshape(-1)
        for i in range(flat.shape[0]):
            flat[i] = tone_curve[np.uint32(min(table_end, light[i] * table_scale))]
        return
    for x in range(pixels.shape[0]):
        covered = np.float32(1.0) - background_share[x]
        pixels[x, 3] = np.uint8(np.float32(255.0) * covered + np.float32(0.5))
        scale = table_scale / max(covered, np.float32(0.01))
        for channel in range(3):
            pixels[x, channel] = tone_curve[np.uint32(min(table_end, light[3 * x + channel] * scale))]
