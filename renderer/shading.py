"""The studio's light: the compiled loop that turns visible triangles into the colours of pixels.

Shading is per pixel and in linear light. Where a pixel sees several triangles of one surface it is shaded once, in the
middle of the pixel if that is seen; different surfaces are shaded apart and averaged, as multisampling hardware does.
What is painted on a surface is found point by point, for it differs from one to the next; the lamps are the same for
all, so a row's points are kept in columns and lit together, as many at once as the processor has lanes.
"""

from __future__ import annotations

import numpy as np

from renderer.compiled import compiled, inlined
from renderer.rasterizer import EMPTY, MIDDLE, SPREAD, UNSEEN

SKIN, EYE, TEETH, TONGUE, MOUTH = range(5)  # materials; skin includes lips, scalp and what the collar covers
# what is painted at the vertices and read in every pixel, see tools/face_paint.py
FIELDS = ("occlusion", "lips", "browAcross", "hair", "lash", "cloth", "browAlong")
TOOTH = np.float32(0.052)  # model units from one gap between teeth to the next
BRIGHTEST = 2.0  # linear light that the display table still tells apart

# columns of StudioSurface.lasting behind the colour 0..2, its bits above the material's three, and rows of its colours
OCCLUSION, LIPS, BROW_ACROSS, HAIR, LASH, CLOTH, BROW_ALONG, LOCAL_X, LOCAL_Y, LOCAL_Z = range(3, 13)
ON_LIPS, ON_BROW, ON_HAIR, ON_LASH, ON_CLOTH = 1, 2, 4, 8, 16
NUMBER_BITS, NUMBERS = 24, np.int64((1 << 24) - 1)  # of a mark: the triangle's number, above it what surface it is of
NOTHING = UNSEEN >> NUMBER_BITS  # the surface of a sample that sees the wall
ONE_SURFACE = np.float32(0.0006)  # differences in 1 / distance up to this, some 0.04 units of depth, are one surface
LIP_COLOUR, HAIR_COLOUR, IRIS_COLOUR, CLOTH_COLOUR = range(4)

SEVERAL = -2  # the samples of a pixel see different surfaces

# columns of the points of a row, each BATCH long: where in the picture, 1 / distance, the share of the pixel that sees
# the point, and what is there. After `_lit` red, green and blue are light times that share
U, V, NEAR, WEIGHT, RED, GREEN, BLUE, NORMAL_X, NORMAL_Y, NORMAL_Z, SKY, SHINE, WRAP, GLOSS, COLUMNS = range(15)
BATCH = 512
TOGETHER = 32  # a row is lit in whole groups of so many: what stands behind its last point is lit for nothing

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
def _cover(lasting, a, b, c, column, wa, wb, wc, ux, uy, vx, vy, inverse, soft):
    """How far inside a painted field the point lies, 0..1: antialiased over `soft` units or a good pixel.

    u, v: the triangle's edges from its first corner, in pixels; from them the field's slope on the screen, which is
    steep where the surface turns away.
    """
    fa, fb, fc = lasting[a, column], lasting[b, column], lasting[c, column]
    if fa == fb and fb == fc:  # locks and lashes, which are nothing else
        return _step(fa, soft)
    slope_x = ((fb - fa) * vy - (fc - fa) * uy) * inverse
    slope_y = ((fc - fa) * ux - (fb - fa) * vx) * inverse
    footprint = np.float32(1.3) * np.sqrt(slope_x * slope_x + slope_y * slope_y)
    return _step(wa * fa + wb * fb + wc * fc, max(soft, footprint))


@compiled
def _zigzag(t):
    """A triangle wave of period 1 between -1 and 1."""
    return np.float32(4.0) * abs(t - np.floor(t) - np.float32(0.5)) - np.float32(1.0)


@inlined
def _surface(row, at, face, points, normals, triangles, surface, lasting, colours, focal, mouth):
    """What triangle `face` is like at the noted point `at` of `row`, written beside it.

    Weights are linear on the screen: within one of these small triangles perspective changes them by under 1 %.
    """
    x, y, near = row[U * BATCH + at], row[V * BATCH + at], row[NEAR * BATCH + at]
    kind, mask = surface[face] & 7, surface[face] >> 3
    a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
    ax, ay = points[a, 0], points[a, 1]
    ux, uy = points[b, 0] - ax, points[b, 1] - ay
    vx, vy = points[c, 0] - ax, points[c, 1] - ay
    inverse = np.float32(1.0) / (ux * vy - uy * vx)
    wb = ((x - ax) * vy - (y - ay) * vx) * inverse
    wc = ((y - ay) * ux - (x - ax) * uy) * inverse
    wa = np.float32(1.0) - wb - wc
    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
    nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
    scale = np.float32(1.0) / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    sky = _at(lasting, a, b, c, OCCLUSION, wa, wb, wc)
    pixel = np.float32(1.0) / (near * focal)  # model units per pixel

    red = _at(lasting, a, b, c, 0, wa, wb, wc)
    green = _at(lasting, a, b, c, 1, wa, wb, wc)
    blue = _at(lasting, a, b, c, 2, wa, wb, wc)
    shine, gloss, wrap = np.float32(0.10), np.float32(0.0), np.float32(1.0)
    dim = np.float32(1.0)
    if kind == SKIN:
        if mask & ON_CLOTH:
            t = _cover(lasting, a, b, c, CLOTH, wa, wb, wc, ux, uy, vx, vy, inverse, np.float32(0.006))
            red += t * (colours[CLOTH_COLOUR, 0] - red)
            green += t * (colours[CLOTH_COLOUR, 1] - green)
            blue += t * (colours[CLOTH_COLOUR, 2] - blue)
            shine *= np.float32(1.0) - t
            wrap *= np.float32(1.0) - t
        if mask & ON_LIPS:
            t = _cover(lasting, a, b, c, LIPS, wa, wb, wc, ux, uy, vx, vy, inverse, np.float32(0.010))
            red += t * (colours[LIP_COLOUR, 0] - red)
            green += t * (colours[LIP_COLOUR, 1] - green)
            blue += t * (colours[LIP_COLOUR, 2] - blue)
            shine += t * np.float32(0.10)
            gloss = np.float32(1.0) if t > 0.5 else gloss
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
            t = _cover(lasting, a, b, c, HAIR, wa, wb, wc, ux, uy, vx, vy, inverse, np.float32(0.05))
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
            t = _cover(lasting, a, b, c, LASH, wa, wb, wc, ux, uy, vx, vy, inverse, np.float32(0.010))
            t *= np.float32(0.85)
            red *= np.float32(1.0) - t
            green *= np.float32(1.0) - t
            blue *= np.float32(1.0) - t
            shine *= np.float32(1.0) - t
    elif kind == EYE:
        lx = _at(lasting, a, b, c, LOCAL_X, wa, wb, wc)
        ly = _at(lasting, a, b, c, LOCAL_Y, wa, wb, wc)
        lz = _at(lasting, a, b, c, LOCAL_Z, wa, wb, wc)
        red, green, blue = np.float32(0.80), np.float32(0.77), np.float32(0.75)
        shine, gloss, wrap = np.float32(0.9), np.float32(2.0), np.float32(0.0)
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
        sky, shine, gloss, wrap = np.float32(0.6), np.float32(0.2), np.float32(1.0), np.float32(0.0)
    elif kind == TONGUE:
        back = _at(lasting, a, b, c, LOCAL_Z, wa, wb, wc)
        red, green, blue = np.float32(0.60), np.float32(0.20), np.float32(0.19)
        across = _at(lasting, a, b, c, LOCAL_X, wa, wb, wc)
        groove = np.float32(0.22) * _step(np.float32(0.012) - abs(across), np.float32(0.03))
        dim = (np.float32(0.95) - np.float32(0.90) * back) * (np.float32(1.0) - groove)
        sky, shine, gloss = np.float32(0.6), np.float32(0.22) * dim, np.float32(1.0)
    elif kind == MOUTH:
        back = _at(lasting, a, b, c, LOCAL_Z, wa, wb, wc)
        red, green, blue = np.float32(0.22), np.float32(0.045), np.float32(0.04)
        dim = max(np.float32(0.06), np.float32(0.6) - np.float32(1.6) * back)
        sky, shine = np.float32(0.4), np.float32(0.0)

    if kind >= TEETH:
        dim *= mouth
    row[RED * BATCH + at] = dim * red
    row[GREEN * BATCH + at] = dim * green
    row[BLUE * BATCH + at] = dim * blue
    row[NORMAL_X * BATCH + at] = nx
    row[NORMAL_Y * BATCH + at] = ny
    row[NORMAL_Z * BATCH + at] = nz
    row[SKY * BATCH + at] = min(max(sky, np.float32(0.0)), np.float32(1.0))
    row[SHINE * BATCH + at] = shine
    row[WRAP * BATCH + at] = wrap
    row[GLOSS * BATCH + at] = gloss


@compiled
def _lit(row, count, lights):
    """The light of the first `count` points of `row` (COLUMNS * BATCH,), written over their colours."""
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    for i in range(count):
        nx, ny, nz = row[NORMAL_X * BATCH + i], row[NORMAL_Y * BATCH + i], row[NORMAL_Z * BATCH + i]
        sky, shine, wrap = row[SKY * BATCH + i], row[SHINE * BATCH + i], row[WRAP * BATCH + i]
        gloss, weight = row[GLOSS * BATCH + i], row[WEIGHT * BATCH + i]
        key = nx * lights[KEY, 0] + ny * lights[KEY, 1] + nz * lights[KEY, 2]
        fill = max(zero, nx * lights[FILL, 0] + ny * lights[FILL, 1] + nz * lights[FILL, 2])
        rim = max(zero, nx * lights[RIM, 0] + ny * lights[RIM, 1] + nz * lights[RIM, 2])
        up = half + half * ny
        # skin lets light through: towards the shadow red reaches farther than blue
        through = np.float32(0.40) * wrap
        warm = max(zero, (key + through) / (one + through))
        through = np.float32(0.20) * wrap
        mild = max(zero, (key + through) / (one + through))
        through = np.float32(0.12) * wrap
        cold = max(zero, (key + through) / (one + through))
        open_sky = np.float32(0.25) + np.float32(0.75) * sky  # lamps are broad: what hides the sky hides part of them
        spot = max(zero, nx * lights[HALFWAY, 0] + ny * lights[HALFWAY, 1] + nz * lights[HALFWAY, 2])
        spot *= spot  # 2
        spot *= spot  # 4
        spot *= spot  # 8
        broad = spot * spot  # 16: skin
        wet = broad * broad  # 32: lips, teeth, tongue
        narrow = wet * wet  # 64
        narrow *= narrow  # 128: eyes, whose lamp is seen as it is
        glint = shine * min(one, narrow * np.float32(1.6))
        glint = glint if gloss > np.float32(1.5) else zero
        spot = wet if gloss > half else broad
        spot = zero if gloss > np.float32(1.5) else spot * shine * open_sky
        rim *= sky * (one - max(zero, nz))
        below, above = sky * (one - up), sky * up
        red = open_sky * (warm * lights[KEY_COLOUR, 0] + fill * lights[FILL_COLOUR, 0]) + rim * lights[RIM_COLOUR, 0]
        green = open_sky * (mild * lights[KEY_COLOUR, 1] + fill * lights[FILL_COLOUR, 1]) + rim * lights[RIM_COLOUR, 1]
        blue = open_sky * (cold * lights[KEY_COLOUR, 2] + fill * lights[FILL_COLOUR, 2]) + rim * lights[RIM_COLOUR, 2]
        red += below * lights[BELOW, 0] + above * lights[ABOVE, 0]
        green += below * lights[BELOW, 1] + above * lights[ABOVE, 1]
        blue += below * lights[BELOW, 2] + above * lights[ABOVE, 2]
        row[RED * BATCH + i] = weight * (row[RED * BATCH + i] * red + spot * lights[KEY_COLOUR, 0] + glint)
        row[GREEN * BATCH + i] = weight * (row[GREEN * BATCH + i] * green + spot * lights[KEY_COLOUR, 1] + glint)
        row[BLUE * BATCH + i] = weight * (row[BLUE * BATCH + i] * blue + spot * lights[KEY_COLOUR, 2] + glint)


def surface_marks(surface: np.ndarray) -> np.ndarray:
    """(F,) int64 marks for `visible_triangles`, from StudioSurface.surface: number, and the surface a triangle is of.

    Surfaces are told apart at an edge by material; lashes and locks of hair are surfaces of their own.
    """
    layers = surface >> 3
    kind = surface & 7 | (layers & ON_HAIR > 0) << 3 | (layers & ON_LASH > 0) << 4
    return np.arange(len(surface)) | kind.astype(np.int64) << NUMBER_BITS


@compiled
def shade(seen, points, normals, triangles, surface, lasting, colours, lights, focal, mouth, wall, table, image):
    """Lights every pixel of `image` (S, S, 3 or 4) uint8 from the samples `seen`: SPREAD, with `surface_marks`.

    With 4 channels the wall is left out and the last is the opacity; colours are those of the surface alone.

    points, normals: of this frame's vertices; surface, lasting, colours: see StudioSurface; wall (S, S, 3) linear;
    mouth: 0..1, the light that parted lips let in.
    """
    size, samples, apart = image.shape[0], SPREAD.shape[0], image.shape[2] == 4
    row, pixel, face = np.zeros(COLUMNS * BATCH, np.float32), np.zeros(BATCH, np.int32), np.zeros(BATCH, np.int32)
    alone, light, bare = np.empty(size, np.int32), np.empty(3 * size, np.float32), np.empty(size, np.float32)
    low, high = np.empty(size, np.int32), np.empty(size, np.int32)
    for y in range(size):
        top = seen[y * samples : (y + 1) * samples]
        _one_surface(top, alone, low, high)
        behind = wall[y].reshape(-1)
        for i in range(3 * size):
            light[i] = np.float32(0.0) if apart else behind[i]
        count = 0
        for x in range(size):
            bare[x] = np.float32(1.0)
            if alone[x] == EMPTY:  # half of the picture
                continue
            if alone[x] == SEVERAL:
                bare[x], count = _points_of_pixel(top, x, y, row, pixel, face, count)
            else:
                bare[x] = np.float32(0.0)
                count = _point(top, MIDDLE, x, y, np.float32(1.0), row, pixel, face, count)
            for channel in range(3 * x, 3 * x + 3):
                light[channel] *= bare[x]
            if count > BATCH - samples:
                _light_points(
                    row, pixel, face, count, points, normals, triangles, surface, lasting, colours, lights, focal,
                    mouth, light,
                )  # fmt: skip
                count = 0
        _light_points(
            row, pixel, face, count, points, normals, triangles, surface, lasting, colours, lights, focal, mouth, light
        )
        _displayed(light, bare, table, image[y])


@compiled
def _near(sample):
    """1 / distance of a sample."""
    return np.int32(sample >> 32).view(np.float32)


@compiled
def _one_surface(top, alone, low, high):
    """For each pixel of a row: EMPTY where only the wall is seen, SEVERAL where more than one surface is, else 0."""
    for x in range(alone.shape[0]):
        alone[x] = 0
        low[x] = high[x] = np.int32(top[MIDDLE, x] >> 32)  # of positive floats the bits are in the same order
    for k in range(top.shape[0]):
        for x in range(alone.shape[0]):
            alone[x] |= np.int32(((top[k, x] ^ top[MIDDLE, x]) & UNSEEN) >> NUMBER_BITS)
            low[x], high[x] = min(low[x], np.int32(top[k, x] >> 32)), max(high[x], np.int32(top[k, x] >> 32))
    for x in range(alone.shape[0]):
        apart = np.int32(high[x]).view(np.float32) - np.int32(low[x]).view(np.float32)
        one = EMPTY if np.int32(top[MIDDLE, x] & UNSEEN) == EMPTY else 0
        alone[x] = one if (alone[x] == 0) & (apart < ONE_SURFACE) else SEVERAL


@compiled
def _point(top, sample, x, y, weight, row, pixel, face, count):
    """Notes that a sample's place in pixel x, y is to be shaded; returns how many points there are now."""
    row[U * BATCH + count] = np.float32(x) + SPREAD[sample]
    row[V * BATCH + count] = np.float32(y) + (np.float32(sample) + np.float32(0.5)) / np.float32(SPREAD.shape[0])
    row[NEAR * BATCH + count], row[WEIGHT * BATCH + count] = _near(top[sample, x]), weight
    pixel[count], face[count] = x, np.int32(top[sample, x] & NUMBERS)
    return count + 1


@compiled
def _points_of_pixel(top, x, y, row, pixel, face, count):
    """Notes a point for each surface in a pixel; returns the wall's share and how many points there are now."""
    samples, bare = top.shape[0], np.float32(0.0)
    share = np.float32(1.0 / SPREAD.shape[0])
    done = 0  # bits of the samples that belong to an earlier point
    for start in range(samples):
        first = (start + MIDDLE) % samples  # of a surface that the middle sees, the middle is shaded
        if done >> first & 1:
            continue
        kind = (top[first, x] & UNSEEN) >> NUMBER_BITS
        weight, near = np.float32(0.0), _near(top[first, x])
        for other in range(samples):
            same = (top[other, x] & UNSEEN) >> NUMBER_BITS == kind and not done >> other & 1
            if same and abs(_near(top[other, x]) - near) < ONE_SURFACE:
                done |= 1 << other
                weight += share
        if kind == NOTHING:
            bare += weight
        else:
            count = _point(top, first, x, y, weight, row, pixel, face, count)
    return bare, count


@compiled
def _light_points(
    row, pixel, face, count, points, normals, triangles, surface, lasting, colours, lights, focal, mouth, light
):
    """Shades the noted points and adds them to the row's `light` (3 S,)."""
    for i in range(count):
        _surface(row, i, face[i], points, normals, triangles, surface, lasting, colours, focal, mouth)
    _lit(row, min(BATCH, (count + TOGETHER - 1) // TOGETHER * TOGETHER), lights)
    for i in range(count):
        at = 3 * pixel[i]
        light[at] += row[RED * BATCH + i]
        light[at + 1] += row[GREEN * BATCH + i]
        light[at + 2] += row[BLUE * BATCH + i]


@compiled
def _displayed(light, bare, table, pixels):
    """One row's light (3 S,) as colours, pixels (S, 3 or 4); with 4, the wall's share `bare` (S,) is transparent."""
    bright, last = np.float32((len(table) - 1) / BRIGHTEST), np.float32(len(table) - 1)
    if pixels.shape[1] == 3:
        flat = pixels.reshape(-1)
        for i in range(flat.shape[0]):
            flat[i] = table[np.uint32(min(last, light[i] * bright))]
        return
    for x in range(pixels.shape[0]):
        covered = np.float32(1.0) - bare[x]
        pixels[x, 3] = np.uint8(np.float32(255.0) * covered + np.float32(0.5))
        scale = bright / max(covered, np.float32(0.01))
        for channel in range(3):
            pixels[x, channel] = table[np.uint32(min(last, light[3 * x + channel] * scale))]
