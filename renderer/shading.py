"""The studio's light: the compiled loop that turns visible triangles into the colours of pixels.

Shading is per pixel and in linear light. Where a pixel sees several triangles of one surface it is shaded once, at the
middle of the samples that see it; different surfaces are shaded apart and averaged, as multisampling hardware does.
"""

from __future__ import annotations

import numpy as np

from .compiled import compiled, inlined
from .rasterizer import EMPTY, SAMPLES

SKIN, EYE, TEETH, TONGUE, MOUTH = range(5)  # materials; skin includes lips, scalp and what the collar covers
# what is painted at the vertices and read in every pixel, see tools/face_paint.py
FIELDS = ("occlusion", "lips", "browAcross", "hair", "lash", "cloth", "browAlong")
TOOTH = np.float32(0.052)  # model units from one gap between teeth to the next
BRIGHTEST = 2.0  # linear light that the display table still tells apart

# columns of StudioSurface.lasting behind the colour 0..2, its bits above the material's three, and rows of its colours
OCCLUSION, LIPS, BROW_ACROSS, HAIR, LASH, CLOTH, BROW_ALONG, LOCAL_X, LOCAL_Y, LOCAL_Z = range(3, 13)
ON_LIPS, ON_BROW, ON_HAIR, ON_LASH, ON_CLOTH = 1, 2, 4, 8, 16
SEPARATE = 7 + 8 * (ON_LASH | ON_HAIR)  # bits that tell surfaces apart at an edge: material, lashes, locks of hair
LIP_COLOUR, HAIR_COLOUR, IRIS_COLOUR, CLOTH_COLOUR = range(4)

# rows of LIGHTS: unit directions towards key, fill and rim lamp in world space, their linear colours, the ambient light
# from above and below, and the direction halfway between key and viewer, for highlights
KEY, FILL, RIM, KEY_COLOUR, FILL_COLOUR, RIM_COLOUR, ABOVE, BELOW, HALFWAY = range(9)
_TOWARDS = [np.array(d) / np.linalg.norm(d) for d in ((-0.46, 0.52, 0.72), (0.78, 0.10, 0.62), (0.62, 0.45, -0.64))]
_HALF = _TOWARDS[KEY] + (0.0, 0.0, 1.0)
LIGHTS = np.array(
    [
        *_TOWARDS,
        (1.30, 1.21, 1.09), (0.26, 0.31, 0.38), (0.60, 0.64, 0.70),
        (0.40, 0.43, 0.48), (0.26, 0.22, 0.20),
        _HALF / np.linalg.norm(_HALF),
    ],
    np.float32,
)  # fmt: skip


@compiled
def _step(distance, width):
    """0 outside, 1 inside, smooth over `width` about zero."""
    t = min(max(distance / width + np.float32(0.5), np.float32(0.0)), np.float32(1.0))
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


@compiled
def _at(lasting, a, b, c, column, wa, wb, wc):
    """One column of the vertices' rows, interpolated."""
    return wa * lasting[a, column] + wb * lasting[b, column] + wc * lasting[c, column]


@compiled
def _cover(fa, fb, fc, wa, wb, wc, ux, uy, vx, vy, inverse, soft):
    """How far inside a painted field (its corner values) the point lies: antialiased over `soft` units or a good pixel.

    u, v: the triangle's edges from its first corner, in samples; from them the field's slope on the screen, which is
    steep where the surface turns away.
    """
    if fa == fb and fb == fc:  # locks and lashes, which are nothing else
        return _step(fa, soft)
    slope_x = ((fb - fa) * vy - (fc - fa) * uy) * inverse
    slope_y = ((fc - fa) * ux - (fb - fa) * vx) * inverse
    footprint = np.float32(1.3 * SAMPLES) * np.sqrt(slope_x * slope_x + slope_y * slope_y)
    return _step(wa * fa + wb * fb + wc * fc, max(soft, footprint))


@compiled
def _margin(face, x, y, points, triangles):
    """The least barycentric weight of a point in a triangle on the screen: negative outside."""
    a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
    ax, ay = points[a, 0], points[a, 1]
    ux, uy = points[b, 0] - ax, points[b, 1] - ay
    vx, vy = points[c, 0] - ax, points[c, 1] - ay
    inverse = np.float32(1.0) / (ux * vy - uy * vx)
    wb = ((x - ax) * vy - (y - ay) * vx) * inverse
    wc = ((y - ay) * ux - (x - ax) * uy) * inverse
    return min(np.float32(1.0) - wb - wc, min(wb, wc))


@compiled
def _zigzag(t):
    """A triangle wave of period 1 between -1 and 1."""
    return np.float32(4.0) * abs(t - np.floor(t) - np.float32(0.5)) - np.float32(1.0)


@inlined
def _surface(x, y, face, near, points, normals, triangles, surface, lasting, colours, lights, focal, mouth):
    """Linear colour of triangle `face` at sample coordinates x, y.

    Weights are linear on the screen: within one of these small triangles perspective changes them by under 1 %.
    """
    kind, mask = surface[face] & 7, surface[face] >> 3
    a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
    ax, ay = points[a, 0], points[a, 1]
    ux, uy = points[b, 0] - ax, points[b, 1] - ay
    vx, vy = points[c, 0] - ax, points[c, 1] - ay
    inverse = np.float32(1.0) / (ux * vy - uy * vx)
    wb = ((x - ax) * vy - (y - ay) * vx) * inverse
    wc = ((y - ay) * ux - (x - ax) * uy) * inverse
    # the middle of a pixel's samples may lie beside this one triangle: never extrapolate
    wb, wc = max(wb, np.float32(0.0)), max(wc, np.float32(0.0))
    excess = np.float32(1.0) / max(wb + wc, np.float32(1.0))
    wb, wc = wb * excess, wc * excess
    wa = np.float32(1.0) - wb - wc
    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
    nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
    scale = np.float32(1.0) / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    sky = _at(lasting, a, b, c, OCCLUSION, wa, wb, wc)
    sky = min(max(sky, np.float32(0.0)), np.float32(1.0))
    pixel = np.float32(SAMPLES) / (near * focal)  # model units per pixel

    red = _at(lasting, a, b, c, 0, wa, wb, wc)
    green = _at(lasting, a, b, c, 1, wa, wb, wc)
    blue = _at(lasting, a, b, c, 2, wa, wb, wc)
    shine, gloss, wrap, glint = np.float32(0.10), 0, np.float32(1.0), np.float32(0.0)
    dim = np.float32(1.0)
    if kind == SKIN:
        if mask & ON_CLOTH:
            t = _cover(
                lasting[a, CLOTH],
                lasting[b, CLOTH],
                lasting[c, CLOTH],
                wa,
                wb,
                wc,
                ux,
                uy,
                vx,
                vy,
                inverse,
                np.float32(0.006),
            )
            red += t * (colours[CLOTH_COLOUR, 0] - red)
            green += t * (colours[CLOTH_COLOUR, 1] - green)
            blue += t * (colours[CLOTH_COLOUR, 2] - blue)
            shine *= np.float32(1.0) - t
            wrap *= np.float32(1.0) - t
        if mask & ON_LIPS:
            t = _cover(
                lasting[a, LIPS],
                lasting[b, LIPS],
                lasting[c, LIPS],
                wa,
                wb,
                wc,
                ux,
                uy,
                vx,
                vy,
                inverse,
                np.float32(0.010),
            )
            red += t * (colours[LIP_COLOUR, 0] - red)
            green += t * (colours[LIP_COLOUR, 1] - green)
            blue += t * (colours[LIP_COLOUR, 2] - blue)
            shine += t * np.float32(0.10)
            gloss = 1 if t > 0.5 else 0
        if mask & ON_BROW:
            along = _at(lasting, a, b, c, BROW_ALONG, wa, wb, wc)
            across = _at(lasting, a, b, c, BROW_ACROSS, wa, wb, wc)
            if -0.1 < along < 1.1 and abs(across) < 0.1:
                # a stroke that is full at the nose and thins out to the temple
                thick = np.float32(0.024) * (np.float32(1.05) - along) * (np.float32(0.62) + np.float32(0.9) * along)
                t = _step(thick - abs(across), max(np.float32(0.018), np.float32(1.3) * pixel))
                t *= np.float32(0.88) * _step(along - np.float32(0.04), np.float32(0.16))
                t *= _step(np.float32(0.93) - along, np.float32(0.12))
                red += t * (colours[HAIR_COLOUR, 0] * np.float32(0.8) - red)
                green += t * (colours[HAIR_COLOUR, 1] * np.float32(0.8) - green)
                blue += t * (colours[HAIR_COLOUR, 2] * np.float32(0.8) - blue)
                shine *= np.float32(1.0) - t
        if mask & ON_HAIR:
            t = _cover(
                lasting[a, HAIR], lasting[b, HAIR], lasting[c, HAIR], wa, wb, wc, ux, uy, vx, vy, inverse,
                np.float32(0.05),
            )  # fmt: skip
            # strands combed back: two waves across them that do not keep step
            lx, lz = _at(lasting, a, b, c, LOCAL_X, wa, wb, wc), _at(lasting, a, b, c, LOCAL_Z, wa, wb, wc)
            fine = _zigzag(lx * np.float32(19.0) + lz * np.float32(2.5))
            fine += _zigzag(lx * np.float32(33.0) - lz * np.float32(3.5))
            strand = np.float32(1.0) + np.float32(0.08) * fine
            red += t * (colours[HAIR_COLOUR, 0] * strand - red)
            green += t * (colours[HAIR_COLOUR, 1] * strand - green)
            blue += t * (colours[HAIR_COLOUR, 2] * strand - blue)
            wrap *= np.float32(1.0) - t
            shine *= np.float32(1.0) - np.float32(0.7) * t
        if mask & ON_LASH:
            t = np.float32(0.85) * _cover(
                lasting[a, LASH],
                lasting[b, LASH],
                lasting[c, LASH],
                wa,
                wb,
                wc,
                ux,
                uy,
                vx,
                vy,
                inverse,
                np.float32(0.010),
            )
            red *= np.float32(1.0) - t
            green *= np.float32(1.0) - t
            blue *= np.float32(1.0) - t
            shine *= np.float32(1.0) - t
    elif kind == EYE:
        lx = _at(lasting, a, b, c, LOCAL_X, wa, wb, wc)
        ly = _at(lasting, a, b, c, LOCAL_Y, wa, wb, wc)
        lz = _at(lasting, a, b, c, LOCAL_Z, wa, wb, wc)
        red, green, blue = np.float32(0.80), np.float32(0.77), np.float32(0.75)
        shine, gloss, wrap = np.float32(0.9), 2, np.float32(0.0)
        sky = np.float32(0.75)
        if lz > 0.0:
            ring = np.sqrt(lx * lx + ly * ly) / np.sqrt(lx * lx + ly * ly + lz * lz)
            blur = pixel / np.float32(0.25)  # on the unit sphere: an eyeball's radius is about 0.25 units
            iris = _step(np.float32(0.40) - ring, max(blur, np.float32(0.05)))
            pupil = _step(np.float32(0.18) - ring, max(blur, np.float32(0.04)))
            tone = (
                np.float32(0.45)
                + np.float32(1.3) * max(np.float32(0.0), np.float32(0.36) - ring)
                - ly * np.float32(0.6)
            )
            tone = max(tone, np.float32(0.25))
            red += iris * (colours[IRIS_COLOUR, 0] * tone * np.float32(1.3) - red)
            green += iris * (colours[IRIS_COLOUR, 1] * tone * np.float32(1.3) - green)
            blue += iris * (colours[IRIS_COLOUR, 2] * tone * np.float32(1.3) - blue)
            red += pupil * (np.float32(0.012) - red)
            green += pupil * (np.float32(0.010) - green)
            blue += pupil * (np.float32(0.010) - blue)
        # the upper lid's shadow
        dim = np.float32(1.0) - np.float32(0.65) * _step(ny - np.float32(0.30), np.float32(0.5))
    elif kind == TEETH:
        nx, ny, nz = np.float32(0.4) * nx, np.float32(0.15), np.float32(0.9)  # the strip is too coarse for normals
        back = _at(lasting, a, b, c, LOCAL_Z, wa, wb, wc)
        gap = _step(_zigzag(_at(lasting, a, b, c, LOCAL_X, wa, wb, wc) / TOOTH) - np.float32(0.85), np.float32(0.4))
        red, green, blue = np.float32(0.80), np.float32(0.74), np.float32(0.64)
        dim = (np.float32(0.88) - np.float32(0.80) * back) * (np.float32(1.0) - np.float32(0.25) * gap)
        sky, shine, gloss, wrap = np.float32(0.6), np.float32(0.2), 1, np.float32(0.0)
    elif kind == TONGUE:
        back = _at(lasting, a, b, c, LOCAL_Z, wa, wb, wc)
        red, green, blue = np.float32(0.60), np.float32(0.20), np.float32(0.19)
        across = _at(lasting, a, b, c, LOCAL_X, wa, wb, wc)
        groove = np.float32(0.22) * _step(np.float32(0.012) - abs(across), np.float32(0.03))
        dim = (np.float32(0.95) - np.float32(0.90) * back) * (np.float32(1.0) - groove)
        sky, shine, gloss = np.float32(0.6), np.float32(0.22) * dim, 1
    elif kind == MOUTH:
        back = _at(lasting, a, b, c, LOCAL_Z, wa, wb, wc)
        red, green, blue = np.float32(0.22), np.float32(0.045), np.float32(0.04)
        dim = max(np.float32(0.06), np.float32(0.6) - np.float32(1.6) * back)
        sky, shine = np.float32(0.4), np.float32(0.0)

    if kind >= TEETH:
        dim *= mouth
    key = nx * lights[KEY, 0] + ny * lights[KEY, 1] + nz * lights[KEY, 2]
    fill = max(np.float32(0.0), nx * lights[FILL, 0] + ny * lights[FILL, 1] + nz * lights[FILL, 2])
    rim = max(np.float32(0.0), nx * lights[RIM, 0] + ny * lights[RIM, 1] + nz * lights[RIM, 2])
    up = np.float32(0.5) + np.float32(0.5) * ny
    # skin lets light through: towards the shadow red reaches farther than blue
    warm = max(np.float32(0.0), (key + np.float32(0.40) * wrap) / (np.float32(1.0) + np.float32(0.40) * wrap))
    mild = max(np.float32(0.0), (key + np.float32(0.20) * wrap) / (np.float32(1.0) + np.float32(0.20) * wrap))
    cold = max(np.float32(0.0), (key + np.float32(0.12) * wrap) / (np.float32(1.0) + np.float32(0.12) * wrap))
    open_sky = np.float32(0.25) + np.float32(0.75) * sky  # lamps are broad: what hides the sky also hides part of them
    spot = max(np.float32(0.0), nx * lights[HALFWAY, 0] + ny * lights[HALFWAY, 1] + nz * lights[HALFWAY, 2])
    spot *= spot  # 2
    spot *= spot  # 4
    spot *= spot  # 8
    spot *= spot  # 16
    if gloss >= 1:
        spot *= spot  # 32
    if gloss == 2:
        spot *= spot  # 64
        spot *= spot  # 128
        glint = min(np.float32(1.0), spot * np.float32(1.6))
        spot = np.float32(0.0)
    spot *= shine * open_sky
    rim *= sky * (np.float32(1.0) - max(np.float32(0.0), nz))
    glint *= shine
    ambient = sky * (np.float32(1.0) - up), sky * up
    lit_red = open_sky * (warm * lights[KEY_COLOUR, 0] + fill * lights[FILL_COLOUR, 0]) + rim * lights[RIM_COLOUR, 0]
    lit_green = open_sky * (mild * lights[KEY_COLOUR, 1] + fill * lights[FILL_COLOUR, 1]) + rim * lights[RIM_COLOUR, 1]
    lit_blue = open_sky * (cold * lights[KEY_COLOUR, 2] + fill * lights[FILL_COLOUR, 2]) + rim * lights[RIM_COLOUR, 2]
    lit_red += ambient[0] * lights[BELOW, 0] + ambient[1] * lights[ABOVE, 0]
    lit_green += ambient[0] * lights[BELOW, 1] + ambient[1] * lights[ABOVE, 1]
    lit_blue += ambient[0] * lights[BELOW, 2] + ambient[1] * lights[ABOVE, 2]
    return (
        dim * red * lit_red + spot * lights[KEY_COLOUR, 0] + glint,
        dim * green * lit_green + spot * lights[KEY_COLOUR, 1] + glint,
        dim * blue * lit_blue + spot * lights[KEY_COLOUR, 2] + glint,
    )


@compiled
def shade(
    owner, depth, points, normals, triangles, surface, lasting, colours, lights, focal, mouth, wall, table, image
):
    """Lights every pixel of `image` (S, S, 3 or 4) uint8 from the samples' triangles `owner` (2S, 2S).

    With 4 channels the wall is left out and the last is the opacity; colours are those of the surface alone.

    points, normals: of this frame's vertices; surface, lasting, colours: see StudioSurface; wall (S, S, 3) linear;
    mouth: 0..1, the light that parted lips let in.
    """
    size, apart = image.shape[0], image.shape[2] == 4
    share = np.float32(1.0 / (SAMPLES * SAMPLES))
    bright = np.float32(4095.0 / BRIGHTEST)
    for row in range(size):
        for column in range(size):
            top, left = row * SAMPLES, column * SAMPLES
            face = owner[top, left]
            same = (
                face == owner[top, left + 1] and face == owner[top + 1, left] and face == owner[top + 1, left + 1]
            )  # most pixels
            if same and face == EMPTY:  # half of the picture: the bare wall
                if apart:
                    image[row, column, 3] = 0
                for channel in range(3):
                    light = np.float32(0.0) if apart else wall[row, column, channel]
                    image[row, column, channel] = table[min(4095, int(light * bright))]
                continue
            red = green = blue = np.float32(0.0)
            covered = np.float32(1.0)
            done = 0  # bits of the samples already shaded with an earlier one
            for first in range(SAMPLES * SAMPLES):
                if done >> first & 1:
                    continue
                y0, x0 = top + first // SAMPLES, left + first % SAMPLES
                face, near = owner[y0, x0], depth[y0, x0]
                count = np.float32(1.0)
                x, y = np.float32(x0) + np.float32(0.5), np.float32(y0) + np.float32(0.5)
                if same:
                    done = 15
                    count, x, y = np.float32(4.0), np.float32(left + 1), np.float32(top + 1)
                if face == EMPTY:
                    covered -= share * count
                    if apart:
                        continue
                    red += wall[row, column, 0] * share * count
                    green += wall[row, column, 1] * share * count
                    blue += wall[row, column, 2] * share * count
                    continue
                if not same:
                    kind = surface[face] & SEPARATE
                    for other in range(first + 1, SAMPLES * SAMPLES):
                        y1, x1 = top + other // SAMPLES, left + other % SAMPLES
                        beside = owner[y1, x1]
                        if beside == EMPTY or done >> other & 1 or surface[beside] & SEPARATE != kind:
                            continue
                        # one surface: same material and hardly farther; 0.0006 is some 0.04 units of depth
                        if abs(depth[y1, x1] - near) < np.float32(0.0006):
                            done |= 1 << other
                            count += np.float32(1.0)
                            x += np.float32(x1) + np.float32(0.5)
                            y += np.float32(y1) + np.float32(0.5)
                    x /= count
                    y /= count
                    if count > 1:
                        best = _margin(face, x, y, points, triangles)
                        for other in range(first + 1, SAMPLES * SAMPLES):
                            beside = owner[top + other // SAMPLES, left + other % SAMPLES]
                            if best < 0.0 and beside != EMPTY and beside != face and surface[beside] & SEPARATE == kind:
                                margin = _margin(beside, x, y, points, triangles)
                                if margin > best:
                                    best, face = margin, beside
                r, g, b = _surface(
                    x, y, face, near, points, normals, triangles, surface, lasting, colours, lights, focal, mouth
                )
                red += r * count * share
                green += g * count * share
                blue += b * count * share
            if apart:
                image[row, column, 3] = np.uint8(np.float32(255.0) * covered + np.float32(0.5))
                if covered > 0.0:
                    whole = np.float32(1.0) / covered
                    red, green, blue = red * whole, green * whole, blue * whole
            image[row, column, 0] = table[min(4095, int(red * bright))]
            image[row, column, 1] = table[min(4095, int(green * bright))]
            image[row, column, 2] = table[min(4095, int(blue * bright))]
