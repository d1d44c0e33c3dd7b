"""What a surface is made of: the compiled functions that give each point of a pixel its colour, normal and gloss.

What is painted on a surface is found point by point, for it differs from one to the next.
"""

from __future__ import annotations

import numpy as np

from renderer.jit import jit, jit_inline
from renderer.texture_map import LAST_TEXEL

SKIN, EYE, TEETH, TONGUE, MOUTH = range(5)  # materials; skin includes lips, scalp and what the collar covers
# what is painted at the vertices and read in every pixel, see tools/face_paint.py
VERTEX_MASKS = ("occlusion", "lips", "browAcross", "hair", "lash", "cloth", "browAlong")
TOOTH_SPACING = np.float32(0.052)  # model units from one gap between teeth to the next

# of StudioSurface: columns of vertex_attributes behind the colour 0..2, bits of triangle_materials above the material's
# three, rows of colours. SHINE and WRAP are read of textured skin only
OCCLUSION, LIPS, BROW_ACROSS, HAIR, LASH, CLOTH, BROW_ALONG, LOCAL_X, LOCAL_Y, LOCAL_Z, SHINE, WRAP = range(3, 15)
HAS_LIPS, HAS_BROW, HAS_HAIR, HAS_LASH, HAS_CLOTH, HAS_TEXTURE = 1, 2, 4, 8, 16, 32
IS_LASH = 64  # a lash itself, not the lid that is painted like one
# model units over which a mask's edge is soft, where that is more than a pixel
SOFT_CLOTH, SOFT_LIPS, SOFT_BROW, SOFT_HAIR, SOFT_LASH = map(np.float32, (0.006, 0.010, 0.018, 0.05, 0.010))
# strands combed back: two waves across them that do not keep step; phase per unit of the local x and z
STRAND_WAVES = ((19.0, 2.5), (33.0, -3.5))
STRAND_DEPTH = np.float32(0.08)
LIP_COLOUR, HAIR_COLOUR, IRIS_COLOUR, CLOTH_COLOUR, SCLERA_COLOUR = range(5)
# linear RGB
SCLERA = (0.80, 0.77, 0.75)
TEETH_COLOUR = np.array([0.93, 0.88, 0.79], np.float32)
TONGUE_COLOUR = np.array([0.42, 0.095, 0.09], np.float32)
MOUTH_COLOUR = np.array([0.22, 0.045, 0.04], np.float32)

# attributes of the points that are shaded together, each SHADING_BATCH long: where in the picture, 1 / distance, and
# what is there; `apply_lights` writes light over the colours
(
    SCREEN_X,
    SCREEN_Y,
    INVERSE_DEPTH,
    RED,
    GREEN,
    BLUE,
    NORMAL_X,
    NORMAL_Y,
    NORMAL_Z,
    AMBIENT_OCCLUSION,
    SPECULAR,
    WRAP_LIGHTING,
    SHININESS,
    POINT_ATTRIBUTES,
) = range(14)
SHADING_BATCH = 544  # no power of two, for then the columns would push each other out of the cache


@jit
def _smoothstep(distance, width):
    """0 outside, 1 inside, smooth over `width` about zero."""
    t = min(max(distance / width + np.float32(0.5), np.float32(0.0)), np.float32(1.0))
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


@jit
def _interpolate(vertex_attributes, a, b, c, column, wa, wb, wc):
    """One column of the vertices' rows, interpolated."""
    return wa * vertex_attributes[a, column] + wb * vertex_attributes[b, column] + wc * vertex_attributes[c, column]


@jit
def _mask_coverage(vertex_attributes, a, b, c, column, wa, wb, wc, ux, uy, vx, vy, inverse, soft):
    """How far inside a vertex mask the point lies, 0..1: antialiased over `soft` units or a good pixel.

    u, v: the triangle's edges from its first corner, in pixels; from them the mask's slope on the screen, which is
    steep where the surface turns away.
    """
    fa, fb, fc = vertex_attributes[a, column], vertex_attributes[b, column], vertex_attributes[c, column]
    if fa == fb and fb == fc:  # locks and lashes, which are nothing else
        return _smoothstep(fa, soft)
    slope_x = ((fb - fa) * vy - (fc - fa) * uy) * inverse
    slope_y = ((fc - fa) * ux - (fb - fa) * vx) * inverse
    footprint = np.float32(1.3) * np.sqrt(slope_x * slope_x + slope_y * slope_y)
    return _smoothstep(wa * fa + wb * fb + wc * fc, max(soft, footprint))


@jit
def _triangle_wave(t):
    """A triangle wave of period 1 between -1 and 1."""
    return np.float32(4.0) * abs(t - np.floor(t) - np.float32(0.5)) - np.float32(1.0)


@jit
def strand_brightness(first, second):
    """How bright a strand of hair is against its neighbours, from the phases of STRAND_WAVES."""
    return np.float32(1.0) + STRAND_DEPTH * (_triangle_wave(first) + _triangle_wave(second))


@jit
def sample_texture(texels, u, v):
    """Linear red, green and blue 0..1 of `texels` (H, W, 4) at u, v, in texels; what is outside is clamped."""
    # in thin triangles rounding may lead outside
    u = min(max(u, np.float32(0.0)), np.float32(texels.shape[1]) - np.float32(LAST_TEXEL))
    v = min(max(v, np.float32(0.0)), np.float32(texels.shape[0]) - np.float32(LAST_TEXEL))
    left, top = np.uint32(u), np.uint32(v)
    u, v = u - np.float32(left), v - np.float32(top)
    return (
        _blend_texels(texels, left, top, 0, u, v),
        _blend_texels(texels, left, top, 1, u, v),
        _blend_texels(texels, left, top, 2, u, v),
    )


@jit
def _blend_texels(texels, left, top, channel, x, y):
    """Linear light 0..1 at x, y (0..1) between four texels; they are stored as square roots, which rounds less."""
    upper = (
        np.float32(texels[top, left, channel]) * (np.float32(1.0) - x) + np.float32(texels[top, left + 1, channel]) * x
    )
    lower = (
        np.float32(texels[top + 1, left, channel]) * (np.float32(1.0) - x)
        + np.float32(texels[top + 1, left + 1, channel]) * x
    )
    root = (upper + y * (lower - upper)) * np.float32(1 / 255)
    return root * root


@jit_inline
def evaluate_material(
    shading_points,
    index,
    face,
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
):
    """What triangle `face` is like at the point `index` of `shading_points`, written beside it.

    Weights are linear on the screen: within one of these small triangles perspective changes them by under 1 %.
    """
    x, y, inverse_depth = (
        shading_points[SCREEN_X * SHADING_BATCH + index],
        shading_points[SCREEN_Y * SHADING_BATCH + index],
        shading_points[INVERSE_DEPTH * SHADING_BATCH + index],
    )
    material, mask = triangle_materials[face] & 7, triangle_materials[face] >> 3
    a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
    ax, ay = screen_vertices[a, 0], screen_vertices[a, 1]
    ux, uy = screen_vertices[b, 0] - ax, screen_vertices[b, 1] - ay
    vx, vy = screen_vertices[c, 0] - ax, screen_vertices[c, 1] - ay
    inverse = np.float32(1.0) / (ux * vy - uy * vx)
    wb = ((x - ax) * vy - (y - ay) * vx) * inverse
    wc = ((y - ay) * ux - (x - ax) * uy) * inverse
    wa = np.float32(1.0) - wb - wc
    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
    nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
    scale = np.float32(1.0) / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    sky = _interpolate(vertex_attributes, a, b, c, OCCLUSION, wa, wb, wc)
    pixel = np.float32(1.0) / (inverse_depth * focal)  # model units per pixel

    red = _interpolate(vertex_attributes, a, b, c, 0, wa, wb, wc)
    green = _interpolate(vertex_attributes, a, b, c, 1, wa, wb, wc)
    blue = _interpolate(vertex_attributes, a, b, c, 2, wa, wb, wc)
    shine, gloss, wrap = np.float32(0.10), np.float32(0.0), np.float32(1.0)
    shadow = np.float32(1.0)
    if material == SKIN:
        if mask & HAS_TEXTURE:
            u = wa * texture_corners[face, 0] + wb * texture_corners[face, 2] + wc * texture_corners[face, 4]
            v = wa * texture_corners[face, 1] + wb * texture_corners[face, 3] + wc * texture_corners[face, 5]
            red, green, blue = sample_texture(texels, u, v)
            shine = _interpolate(vertex_attributes, a, b, c, SHINE, wa, wb, wc)
            wrap = _interpolate(vertex_attributes, a, b, c, WRAP, wa, wb, wc)
        if mask & HAS_CLOTH:
            t = _mask_coverage(vertex_attributes, a, b, c, CLOTH, wa, wb, wc, ux, uy, vx, vy, inverse, SOFT_CLOTH)
            red += t * (colours[CLOTH_COLOUR, 0] - red)
            green += t * (colours[CLOTH_COLOUR, 1] - green)
            blue += t * (colours[CLOTH_COLOUR, 2] - blue)
            shine *= np.float32(1.0) - t
            wrap *= np.float32(1.0) - t
        if mask & HAS_LIPS:
            t = _mask_coverage(vertex_attributes, a, b, c, LIPS, wa, wb, wc, ux, uy, vx, vy, inverse, SOFT_LIPS)
            red += t * (colours[LIP_COLOUR, 0] - red)
            green += t * (colours[LIP_COLOUR, 1] - green)
            blue += t * (colours[LIP_COLOUR, 2] - blue)
            shine += t * np.float32(0.10)
            gloss = np.float32(1.0) if t > 0.5 else gloss
        if mask & HAS_BROW:
            along = _interpolate(vertex_attributes, a, b, c, BROW_ALONG, wa, wb, wc)
            across = _interpolate(vertex_attributes, a, b, c, BROW_ACROSS, wa, wb, wc)
            if -0.1 < along < 1.1 and abs(across) < 0.1:
                # a stroke that is full at the nose and thins out to the temple
                brow_thickness = (
                    np.float32(0.024) * (np.float32(1.05) - along) * (np.float32(0.62) + np.float32(0.9) * along)
                )
                t = _smoothstep(brow_thickness - abs(across), max(SOFT_BROW, np.float32(1.3) * pixel))
                t *= np.float32(0.88) * _smoothstep(along - np.float32(0.04), np.float32(0.16))
                t *= _smoothstep(np.float32(0.93) - along, np.float32(0.12))
                red += t * (colours[HAIR_COLOUR, 0] * np.float32(0.8) - red)
                green += t * (colours[HAIR_COLOUR, 1] * np.float32(0.8) - green)
                blue += t * (colours[HAIR_COLOUR, 2] * np.float32(0.8) - blue)
                shine *= np.float32(1.0) - t
        if mask & HAS_HAIR and not mask & HAS_TEXTURE:
            t = _mask_coverage(vertex_attributes, a, b, c, HAIR, wa, wb, wc, ux, uy, vx, vy, inverse, SOFT_HAIR)
            lx, lz = (
                _interpolate(vertex_attributes, a, b, c, LOCAL_X, wa, wb, wc),
                _interpolate(vertex_attributes, a, b, c, LOCAL_Z, wa, wb, wc),
            )
            strand = strand_brightness(
                lx * np.float32(STRAND_WAVES[0][0]) + lz * np.float32(STRAND_WAVES[0][1]),
                lx * np.float32(STRAND_WAVES[1][0]) + lz * np.float32(STRAND_WAVES[1][1]),
            )
            red += t * (colours[HAIR_COLOUR, 0] * strand - red)
            green += t * (colours[HAIR_COLOUR, 1] * strand - green)
            blue += t * (colours[HAIR_COLOUR, 2] * strand - blue)
            wrap *= np.float32(1.0) - t
            shine *= np.float32(1.0) - np.float32(0.7) * t
        if mask & HAS_LASH:
            t = _mask_coverage(vertex_attributes, a, b, c, LASH, wa, wb, wc, ux, uy, vx, vy, inverse, SOFT_LASH)
            t *= np.float32(0.85)
            red *= np.float32(1.0) - t
            green *= np.float32(1.0) - t
            blue *= np.float32(1.0) - t
            shine *= np.float32(1.0) - t
    elif material == EYE:
        lx = _interpolate(vertex_attributes, a, b, c, LOCAL_X, wa, wb, wc)
        ly = _interpolate(vertex_attributes, a, b, c, LOCAL_Y, wa, wb, wc)
        lz = _interpolate(vertex_attributes, a, b, c, LOCAL_Z, wa, wb, wc)
        red, green, blue = colours[SCLERA_COLOUR, 0], colours[SCLERA_COLOUR, 1], colours[SCLERA_COLOUR, 2]
        shine, gloss, wrap = np.float32(0.9), np.float32(2.0), np.float32(0.0)
        sky = np.float32(0.75)
        if lz > 0.0:
            ring = np.sqrt(lx * lx + ly * ly) / np.sqrt(lx * lx + ly * ly + lz * lz)
            blur = pixel / np.float32(0.25)  # on the unit sphere: an eyeball's radius is about 0.25 units
            iris = _smoothstep(np.float32(0.40) - ring, max(blur, np.float32(0.05)))
            pupil = _smoothstep(np.float32(0.18) - ring, max(blur, np.float32(0.04)))
            iris_shade = (
                np.float32(0.45)
                + np.float32(1.3) * max(np.float32(0.0), np.float32(0.36) - ring)
                - ly * np.float32(0.6)
            )
            iris_shade = max(iris_shade, np.float32(0.25))
            red += iris * (colours[IRIS_COLOUR, 0] * iris_shade * np.float32(1.3) - red)
            green += iris * (colours[IRIS_COLOUR, 1] * iris_shade * np.float32(1.3) - green)
            blue += iris * (colours[IRIS_COLOUR, 2] * iris_shade * np.float32(1.3) - blue)
            red += pupil * (np.float32(0.012) - red)
            green += pupil * (np.float32(0.010) - green)
            blue += pupil * (np.float32(0.010) - blue)
        # the upper lid's shadow
        shadow = np.float32(1.0) - np.float32(0.65) * _smoothstep(ny - np.float32(0.30), np.float32(0.5))
    elif material == TEETH:
        nx, ny, nz = np.float32(0.4) * nx, np.float32(0.15), np.float32(0.9)  # the strip is too coarse for normals
        back = _interpolate(vertex_attributes, a, b, c, LOCAL_Z, wa, wb, wc)
        gap = _smoothstep(
            _triangle_wave(_interpolate(vertex_attributes, a, b, c, LOCAL_X, wa, wb, wc) / TOOTH_SPACING)
            - np.float32(0.85),
            np.float32(0.4),
        )
        red, green, blue = TEETH_COLOUR[0], TEETH_COLOUR[1], TEETH_COLOUR[2]
        shadow = max(np.float32(0.05), np.float32(1.0) - np.float32(1.2) * back) * (
            np.float32(1.0) - np.float32(0.20) * gap
        )
        mouth_brightness = mouth_brightness ** np.float32(1 / 3)  # they stand right behind the lips
        sky, shine, gloss, wrap = np.float32(0.6), np.float32(0.2), np.float32(1.0), np.float32(0.0)
    elif material == TONGUE:
        back = _interpolate(vertex_attributes, a, b, c, LOCAL_Z, wa, wb, wc)
        red, green, blue = TONGUE_COLOUR[0], TONGUE_COLOUR[1], TONGUE_COLOUR[2]
        across = _interpolate(vertex_attributes, a, b, c, LOCAL_X, wa, wb, wc)
        groove = np.float32(0.22) * _smoothstep(np.float32(0.012) - abs(across), np.float32(0.03))
        shadow = max(np.float32(0.10), np.float32(0.90) - np.float32(1.20) * back) * (np.float32(1.0) - groove)
        sky, shine, gloss = np.float32(0.6), np.float32(0.10) * shadow * mouth_brightness, np.float32(1.0)
    elif material == MOUTH:
        back = _interpolate(vertex_attributes, a, b, c, LOCAL_Z, wa, wb, wc)
        red, green, blue = MOUTH_COLOUR[0], MOUTH_COLOUR[1], MOUTH_COLOUR[2]
        shadow = max(np.float32(0.06), np.float32(0.6) - np.float32(1.6) * back)
        sky, shine = np.float32(0.4), np.float32(0.0)

    if material >= TEETH:
        shadow *= mouth_brightness
    shading_points[RED * SHADING_BATCH + index] = shadow * red
    shading_points[GREEN * SHADING_BATCH + index] = shadow * green
    shading_points[BLUE * SHADING_BATCH + index] = shadow * blue
    shading_points[NORMAL_X * SHADING_BATCH + index] = nx
    shading_points[NORMAL_Y * SHADING_BATCH + index] = ny
    shading_points[NORMAL_Z * SHADING_BATCH + index] = nz
    shading_points[AMBIENT_OCCLUSION * SHADING_BATCH + index] = min(max(sky, np.float32(0.0)), np.float32(1.0))
    shading_points[SPECULAR * SHADING_BATCH + index] = shine
    shading_points[WRAP_LIGHTING * SHADING_BATCH + index] = wrap
    shading_points[SHININESS * SHADING_BATCH + index] = gloss
