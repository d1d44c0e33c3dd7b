"""The studio's light: the compiled loop that turns visible triangles into the colours of pixels.

Shading is per pixel and in linear light. Where a pixel sees several triangles of one surface it is shaded once, in the
middle of the pixel if that is seen; different surfaces are shaded apart and averaged, as multisampling hardware does.
What is painted on a surface is found point by point, for it differs from one to the next; the lamps are the same for
all, so a row's points are kept in columns and lit together, as many at once as the processor has lanes.
"""

from __future__ import annotations

import numpy as np

from renderer.jit import jit
from renderer.materials import (
    AMBIENT_OCCLUSION,
    BLUE,
    GLOSS,
    GREEN,
    INVERSE_DEPTH,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    ON_HAIR,
    ON_LASH,
    POINT_ATTRIBUTES,
    RED,
    SCREEN_X,
    SCREEN_Y,
    SHADING_BATCH,
    SHINE,
    WEIGHT,
    WRAP,
    evaluate_material,
)
from renderer.rasterizer import CLEARED_SAMPLE, MIDDLE, NO_TRIANGLE, SAMPLE_PATTERN

MAX_LINEAR = 2.0  # linear light that the display table still tells apart
NUMBER_BITS, NUMBERS = 24, np.int64((1 << 24) - 1)  # of a mark: the triangle's number, above it what surface it is of
BACKGROUND_SURFACE = CLEARED_SAMPLE >> NUMBER_BITS  # the surface of a sample that sees the wall
SAME_SURFACE_TOLERANCE = np.float32(0.0006)  # of 1 / distance: some 0.04 units of depth are one surface
MIXED_PIXEL = -2  # the samples of a pixel see different surfaces
SIMD_GROUP = 32  # a row is lit in whole groups of so many: what stands behind its last point is lit for nothing

# rows of LIGHTS: unit directions towards key, fill and rim lamp in world space, their linear colours, the ambient light
# from above and below, and the direction halfway between key and viewer, for highlights
KEY, FILL, RIM, KEY_COLOUR, FILL_COLOUR, RIM_COLOUR, ABOVE, BELOW, HALFWAY = range(9)
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
def _apply_lights(row, count, lights):
    """The light of the first `count` points of `row` (COLUMNS * BATCH,), written over their colours."""
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    for i in range(count):
        nx, ny, nz = (
            row[NORMAL_X * SHADING_BATCH + i],
            row[NORMAL_Y * SHADING_BATCH + i],
            row[NORMAL_Z * SHADING_BATCH + i],
        )
        sky, shine, wrap = (
            row[AMBIENT_OCCLUSION * SHADING_BATCH + i],
            row[SHINE * SHADING_BATCH + i],
            row[WRAP * SHADING_BATCH + i],
        )
        gloss, weight = row[GLOSS * SHADING_BATCH + i], row[WEIGHT * SHADING_BATCH + i]
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
        light_visibility = (
            np.float32(0.25) + np.float32(0.75) * sky
        )  # lamps are broad: what hides the sky hides part of them
        specular = max(zero, nx * lights[HALFWAY, 0] + ny * lights[HALFWAY, 1] + nz * lights[HALFWAY, 2])
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
        red += below * lights[BELOW, 0] + above * lights[ABOVE, 0]
        green += below * lights[BELOW, 1] + above * lights[ABOVE, 1]
        blue += below * lights[BELOW, 2] + above * lights[ABOVE, 2]
        row[RED * SHADING_BATCH + i] = weight * (
            row[RED * SHADING_BATCH + i] * red + specular * lights[KEY_COLOUR, 0] + eye_highlight
        )
        row[GREEN * SHADING_BATCH + i] = weight * (
            row[GREEN * SHADING_BATCH + i] * green + specular * lights[KEY_COLOUR, 1] + eye_highlight
        )
        row[BLUE * SHADING_BATCH + i] = weight * (
            row[BLUE * SHADING_BATCH + i] * blue + specular * lights[KEY_COLOUR, 2] + eye_highlight
        )


def surface_ids(surface: np.ndarray) -> np.ndarray:
    """(F,) int64 marks for `visible_triangles`, from StudioSurface.surface: number, and the surface a triangle is of.

    Surfaces are told apart at an edge by material; lashes and locks of hair are surfaces of their own.
    """
    layers = surface >> 3
    material = surface & 7 | (layers & ON_HAIR > 0) << 3 | (layers & ON_LASH > 0) << 4
    return np.arange(len(surface)) | material.astype(np.int64) << NUMBER_BITS


@jit
def shade(
    visibility_buffer, points, normals, triangles, surface, lasting, colours, lights, focal, mouth, wall, table, image
):
    """Lights every pixel of `image` (S, S, 3 or 4) uint8 from the samples `visibility_buffer`, with `surface_ids`.

    With 4 channels the wall is left out and the last is the opacity; colours are those of the surface alone.

    points, normals: of this frame's vertices; surface, lasting, colours: see StudioSurface; wall (S, S, 3) linear;
    mouth: 0..1, the light that parted lips let in.
    """
    size, samples, apart = image.shape[0], SAMPLE_PATTERN.shape[0], image.shape[2] == 4
    row, pixel, face = (
        np.zeros(POINT_ATTRIBUTES * SHADING_BATCH, np.float32),
        np.zeros(SHADING_BATCH, np.int32),
        np.zeros(SHADING_BATCH, np.int32),
    )
    pixel_class, light, background_share = (
        np.empty(size, np.int32),
        np.empty(3 * size, np.float32),
        np.empty(size, np.float32),
    )
    min_depth_bits, max_depth_bits = np.empty(size, np.int32), np.empty(size, np.int32)
    for y in range(size):
        pixel_samples = visibility_buffer[y * samples : (y + 1) * samples]
        _classify_pixels(pixel_samples, pixel_class, min_depth_bits, max_depth_bits)
        background_row = wall[y].reshape(-1)
        for i in range(3 * size):
            light[i] = np.float32(0.0) if apart else background_row[i]
        count = 0
        for x in range(size):
            background_share[x] = np.float32(1.0)
            if pixel_class[x] == NO_TRIANGLE:  # half of the picture
                continue
            if pixel_class[x] == MIXED_PIXEL:
                background_share[x], count = _add_pixel_points(pixel_samples, x, y, row, pixel, face, count)
            else:
                background_share[x] = np.float32(0.0)
                count = _add_shading_point(pixel_samples, MIDDLE, x, y, np.float32(1.0), row, pixel, face, count)
            for channel in range(3 * x, 3 * x + 3):
                light[channel] *= background_share[x]
            if count > SHADING_BATCH - samples:
                _shade_points(
                    row, pixel, face, count, points, normals, triangles, surface, lasting, colours, lights, focal,
                    mouth, light,
                )  # fmt: skip
                count = 0
        _shade_points(
            row, pixel, face, count, points, normals, triangles, surface, lasting, colours, lights, focal, mouth, light
        )
        _tone_map_row(light, background_share, table, image[y])


@jit
def _near(sample):
    """1 / distance of a sample."""
    return np.int32(sample >> 32).view(np.float32)


@jit
def _classify_pixels(pixel_samples, pixel_class, min_depth_bits, max_depth_bits):
    """For each pixel of a row: EMPTY where only the wall is seen, SEVERAL where more than one surface is, else 0."""
    for x in range(pixel_class.shape[0]):
        pixel_class[x] = 0
        min_depth_bits[x] = max_depth_bits[x] = np.int32(
            pixel_samples[MIDDLE, x] >> 32
        )  # of positive floats the bits are in the same order
    for k in range(pixel_samples.shape[0]):
        for x in range(pixel_class.shape[0]):
            pixel_class[x] |= np.int32(
                ((pixel_samples[k, x] ^ pixel_samples[MIDDLE, x]) & CLEARED_SAMPLE) >> NUMBER_BITS
            )
            min_depth_bits[x], max_depth_bits[x] = (
                min(min_depth_bits[x], np.int32(pixel_samples[k, x] >> 32)),
                max(max_depth_bits[x], np.int32(pixel_samples[k, x] >> 32)),
            )
    for x in range(pixel_class.shape[0]):
        apart = np.int32(max_depth_bits[x]).view(np.float32) - np.int32(min_depth_bits[x]).view(np.float32)
        one = NO_TRIANGLE if np.int32(pixel_samples[MIDDLE, x] & CLEARED_SAMPLE) == NO_TRIANGLE else 0
        pixel_class[x] = one if (pixel_class[x] == 0) & (apart < SAME_SURFACE_TOLERANCE) else MIXED_PIXEL


@jit
def _add_shading_point(pixel_samples, sample, x, y, weight, row, pixel, face, count):
    """Notes that a sample's place in pixel x, y is to be shaded; returns how many points there are now."""
    row[SCREEN_X * SHADING_BATCH + count] = np.float32(x) + SAMPLE_PATTERN[sample]
    row[SCREEN_Y * SHADING_BATCH + count] = np.float32(y) + (np.float32(sample) + np.float32(0.5)) / np.float32(
        SAMPLE_PATTERN.shape[0]
    )
    row[INVERSE_DEPTH * SHADING_BATCH + count], row[WEIGHT * SHADING_BATCH + count] = (
        _near(pixel_samples[sample, x]),
        weight,
    )
    pixel[count], face[count] = x, np.int32(pixel_samples[sample, x] & NUMBERS)
    return count + 1


@jit
def _add_pixel_points(pixel_samples, x, y, row, pixel, face, count):
    """Notes a point for each surface in a pixel; returns the wall's share and how many points there are now."""
    samples, background_share = pixel_samples.shape[0], np.float32(0.0)
    share = np.float32(1.0 / SAMPLE_PATTERN.shape[0])
    handled_samples = 0  # bits of the samples that belong to an earlier point
    for start in range(samples):
        first = (start + MIDDLE) % samples  # of a surface that the middle sees, the middle is shaded
        if handled_samples >> first & 1:
            continue
        material = (pixel_samples[first, x] & CLEARED_SAMPLE) >> NUMBER_BITS
        weight, near = np.float32(0.0), _near(pixel_samples[first, x])
        for other in range(samples):
            same = (
                pixel_samples[other, x] & CLEARED_SAMPLE
            ) >> NUMBER_BITS == material and not handled_samples >> other & 1
            if same and abs(_near(pixel_samples[other, x]) - near) < SAME_SURFACE_TOLERANCE:
                handled_samples |= 1 << other
                weight += share
        if material == BACKGROUND_SURFACE:
            background_share += weight
        else:
            count = _add_shading_point(pixel_samples, first, x, y, weight, row, pixel, face, count)
    return background_share, count


@jit
def _shade_points(
    row, pixel, face, count, points, normals, triangles, surface, lasting, colours, lights, focal, mouth, light
):
    """Shades the noted points and adds them to the row's `light` (3 S,)."""
    for i in range(count):
        evaluate_material(row, i, face[i], points, normals, triangles, surface, lasting, colours, focal, mouth)
    _apply_lights(row, min(SHADING_BATCH, (count + SIMD_GROUP - 1) // SIMD_GROUP * SIMD_GROUP), lights)
    for i in range(count):
        at = 3 * pixel[i]
        light[at] += row[RED * SHADING_BATCH + i]
        light[at + 1] += row[GREEN * SHADING_BATCH + i]
        light[at + 2] += row[BLUE * SHADING_BATCH + i]


@jit
def _tone_map_row(light, background_share, table, pixels):
    """One row's light (3 S,) as colours, pixels (S, 3 or 4); with 4, `background_share` (S,) is transparent."""
    table_scale, table_end = np.float32((len(table) - 1) / MAX_LINEAR), np.float32(len(table) - 1)
    if pixels.shape[1] == 3:
        flat = pixels.reshape(-1)
        for i in range(flat.shape[0]):
            flat[i] = table[np.uint32(min(table_end, light[i] * table_scale))]
        return
    for x in range(pixels.shape[0]):
        covered = np.float32(1.0) - background_share[x]
        pixels[x, 3] = np.uint8(np.float32(255.0) * covered + np.float32(0.5))
        scale = table_scale / max(covered, np.float32(0.01))
        for channel in range(3):
            pixels[x, channel] = table[np.uint32(min(table_end, light[3 * x + channel] * scale))]
