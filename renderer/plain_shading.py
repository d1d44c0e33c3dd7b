"""Light of points on plain triangles: between lit corners, times strands of hair or what a texture shows.

What a triangle's corners are like and how that changes from pixel to pixel is written into its record when its first
pixel is drawn.
"""

from __future__ import annotations

import numpy as np

from renderer.jit import jit_inline
from renderer.lighting import KEY_COLOUR, LIGHTS
from renderer.materials import strand_brightness
from renderer.prepared_surface import STRANDS, TEXTURED
from renderer.simd import LANES, plane_values, texture_light, write_planes

# a record: red, green, blue, highlight and place in the texture or pattern at the triangle's first corner, the place of
# that corner in the picture, and from STEP_X and STEP_Y on how the first six change from pixel to pixel
RED, GREEN, BLUE, HIGHLIGHT, U, V, X, Y = range(LANES)
STEP_X, STEP_Y, PLANES = LANES, 2 * LANES, 3 * LANES

_texture_light = texture_light(tuple(LIGHTS[KEY_COLOUR].tolist()))


@jit_inline
def plain_light(face, kind, x, y, planes, texels, texture_width, last_u, last_v):
    """Linear red, green and blue at x, y of a triangle of `kind` PLAIN, STRANDS or TEXTURED whose record is filled.

    texels (H * W,) uint32; last_u, last_v: how far to the right and down they are read.
    """
    p = np.int64(face) * PLANES
    dx, dy = x - planes[np.uint32(p + X)], y - planes[np.uint32(p + Y)]
    if kind == TEXTURED:
        return _texture_light(planes, p, dx, dy, texels, texture_width, last_u, last_v)
    red, green, blue, shine, u, v = plane_values(planes, p, dx, dy)
    if kind == STRANDS:
        strand = strand_brightness(u, v)
        red = red * strand + shine * LIGHTS[KEY_COLOUR, 0]
        green = green * strand + shine * LIGHTS[KEY_COLOUR, 1]
        blue = blue * strand + shine * LIGHTS[KEY_COLOUR, 2]
    return red, green, blue


@jit_inline
def fill_record(face, triangles, screen_vertices, lit_vertices, corners, planes, is_ready):
    """Writes the record of a triangle that is not GENERAL; lit_vertices (V * 4,), corners (F * 6,)."""
    a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
    ax, ay = screen_vertices[a, 0], screen_vertices[a, 1]
    ux, uy = screen_vertices[b, 0] - ax, screen_vertices[b, 1] - ay
    vx, vy = screen_vertices[c, 0] - ax, screen_vertices[c, 1] - ay
    inverse = np.float32(1.0) / (ux * vy - uy * vx)
    write_planes(
        planes, np.int64(face) * PLANES, lit_vertices, np.int64(a), np.int64(b), np.int64(c), corners,
        np.int64(face) * 6, ax, ay, ux * inverse, uy * inverse, vx * inverse, vy * inverse,
    )  # fmt: skip
    is_ready[face] = 1
