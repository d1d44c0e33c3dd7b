"""The studio's lamps: how much light falls on a surface, for points of the picture and for vertices.

All in linear light. What is lit together is kept in columns, as many at once as the processor has lanes.
"""

from __future__ import annotations

import numpy as np

from renderer.jit import jit_loop
from renderer.materials import (
    AMBIENT_OCCLUSION,
    BLUE,
    GREEN,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    RED,
    SHADING_BATCH,
    SHININESS,
    SPECULAR,
    WRAP_LIGHTING,
)

MAX_LINEAR = 2.0  # linear light that the tone curve still tells apart

# columns of a block of vertices, each VERTEX_BLOCK long. Normals and the last four change with every frame
VERTEX_BLOCK = 544
(
    V_NORMAL_X,
    V_NORMAL_Y,
    V_NORMAL_Z,
    V_SKY,
    V_SHINE,
    V_WRAP,
    V_ALBEDO_RED,
    V_ALBEDO_GREEN,
    V_ALBEDO_BLUE,
    V_IS_SOLID,
    V_RED,
    V_GREEN,
    V_BLUE,
    V_HIGHLIGHT,
    VERTEX_COLUMNS,
) = range(15)

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


@jit_loop
def _lamps(nx, ny, nz, sky, wrap):
    """Red, green and blue light on a surface of unit normal n, and the share of highlights that reaches it.

    sky: 0..1, how much of the sky is seen; wrap: 0..1, how far light reaches round into the shadow.
    """
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    key = nx * LIGHTS[KEY, 0] + ny * LIGHTS[KEY, 1] + nz * LIGHTS[KEY, 2]
    fill = max(zero, nx * LIGHTS[FILL, 0] + ny * LIGHTS[FILL, 1] + nz * LIGHTS[FILL, 2])
    rim = max(zero, nx * LIGHTS[RIM, 0] + ny * LIGHTS[RIM, 1] + nz * LIGHTS[RIM, 2])
    sky_facing = half + half * ny
    # skin lets light through: towards the shadow red reaches farther than blue
    wrap_amount = np.float32(0.40) * wrap
    diffuse_red = max(zero, (key + wrap_amount) / (one + wrap_amount))
    wrap_amount = np.float32(0.20) * wrap
    diffuse_green = max(zero, (key + wrap_amount) / (one + wrap_amount))
    wrap_amount = np.float32(0.12) * wrap
    diffuse_blue = max(zero, (key + wrap_amount) / (one + wrap_amount))
    # lamps are broad: what hides the sky hides part of them
    visibility = np.float32(0.25) + np.float32(0.75) * sky
    rim *= sky * (one - max(zero, nz))
    below, above = sky * (one - sky_facing), sky * sky_facing
    red = visibility * (diffuse_red * LIGHTS[KEY_COLOUR, 0] + fill * LIGHTS[FILL_COLOUR, 0])
    green = visibility * (diffuse_green * LIGHTS[KEY_COLOUR, 1] + fill * LIGHTS[FILL_COLOUR, 1])
    blue = visibility * (diffuse_blue * LIGHTS[KEY_COLOUR, 2] + fill * LIGHTS[FILL_COLOUR, 2])
    red += rim * LIGHTS[RIM_COLOUR, 0] + below * LIGHTS[AMBIENT_GROUND, 0] + above * LIGHTS[AMBIENT_SKY, 0]
    green += rim * LIGHTS[RIM_COLOUR, 1] + below * LIGHTS[AMBIENT_GROUND, 1] + above * LIGHTS[AMBIENT_SKY, 1]
    blue += rim * LIGHTS[RIM_COLOUR, 2] + below * LIGHTS[AMBIENT_GROUND, 2] + above * LIGHTS[AMBIENT_SKY, 2]
    return red, green, blue, visibility


@jit_loop
def _highlight16(nx, ny, nz):
    """How bright the key lamp's reflection is, to the power of 16: on skin."""
    value = max(
        np.float32(0.0), nx * LIGHTS[HALF_VECTOR, 0] + ny * LIGHTS[HALF_VECTOR, 1] + nz * LIGHTS[HALF_VECTOR, 2]
    )
    value *= value  # 2
    value *= value  # 4
    value *= value  # 8
    return value * value


@jit_loop
def apply_lights(shading_points, count):
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
        gloss = shading_points[SHININESS * SHADING_BATCH + i]
        red, green, blue, visibility = _lamps(nx, ny, nz, sky, wrap)
        specular16 = _highlight16(nx, ny, nz)
        specular32 = specular16 * specular16  # lips, teeth, tongue
        specular128 = specular32 * specular32  # 64
        specular128 *= specular128  # 128: eyes, whose lamp is seen as it is
        eye_highlight = shine * min(one, specular128 * np.float32(1.6))
        eye_highlight = eye_highlight if gloss > np.float32(1.5) else zero
        specular = specular32 if gloss > half else specular16
        specular = zero if gloss > np.float32(1.5) else specular * shine * visibility
        shading_points[RED * SHADING_BATCH + i] = (
            shading_points[RED * SHADING_BATCH + i] * red + specular * LIGHTS[KEY_COLOUR, 0] + eye_highlight
        )
        shading_points[GREEN * SHADING_BATCH + i] = (
            shading_points[GREEN * SHADING_BATCH + i] * green + specular * LIGHTS[KEY_COLOUR, 1] + eye_highlight
        )
        shading_points[BLUE * SHADING_BATCH + i] = (
            shading_points[BLUE * SHADING_BATCH + i] * blue + specular * LIGHTS[KEY_COLOUR, 2] + eye_highlight
        )


@jit_loop
def light_vertices(normals, vertex_columns, lit_vertices):
    """Lights all vertices: `lit_vertices` (V, 4) become red, green, blue and highlight.

    normals (V, 3); vertex_columns: see PreparedSurface. Where V_IS_SOLID is 1 the highlight is in the colour already.
    """
    for start in range(0, normals.shape[0], VERTEX_BLOCK):
        block = vertex_columns[start * VERTEX_COLUMNS : (start + VERTEX_BLOCK) * VERTEX_COLUMNS]
        count = min(VERTEX_BLOCK, normals.shape[0] - start)
        for i in range(count):
            block[V_NORMAL_X * VERTEX_BLOCK + i] = normals[start + i, 0]
            block[V_NORMAL_Y * VERTEX_BLOCK + i] = normals[start + i, 1]
            block[V_NORMAL_Z * VERTEX_BLOCK + i] = normals[start + i, 2]
        for i in range(VERTEX_BLOCK):
            nx, ny, nz = (
                block[V_NORMAL_X * VERTEX_BLOCK + i],
                block[V_NORMAL_Y * VERTEX_BLOCK + i],
                block[V_NORMAL_Z * VERTEX_BLOCK + i],
            )
            red, green, blue, visibility = _lamps(
                nx, ny, nz, block[V_SKY * VERTEX_BLOCK + i], block[V_WRAP * VERTEX_BLOCK + i]
            )
            highlight = _highlight16(nx, ny, nz) * visibility * block[V_SHINE * VERTEX_BLOCK + i]
            solid = highlight * block[V_IS_SOLID * VERTEX_BLOCK + i]
            block[V_RED * VERTEX_BLOCK + i] = (
                red * block[V_ALBEDO_RED * VERTEX_BLOCK + i] + solid * LIGHTS[KEY_COLOUR, 0]
            )
            block[V_GREEN * VERTEX_BLOCK + i] = (
                green * block[V_ALBEDO_GREEN * VERTEX_BLOCK + i] + solid * LIGHTS[KEY_COLOUR, 1]
            )
            block[V_BLUE * VERTEX_BLOCK + i] = (
                blue * block[V_ALBEDO_BLUE * VERTEX_BLOCK + i] + solid * LIGHTS[KEY_COLOUR, 2]
            )
            block[V_HIGHLIGHT * VERTEX_BLOCK + i] = highlight
        for i in range(count):
            lit_vertices[start + i, 0] = block[V_RED * VERTEX_BLOCK + i]
            lit_vertices[start + i, 1] = block[V_GREEN * VERTEX_BLOCK + i]
            lit_vertices[start + i, 2] = block[V_BLUE * VERTEX_BLOCK + i]
            lit_vertices[start + i, 3] = block[V_HIGHLIGHT * VERTEX_BLOCK + i]
