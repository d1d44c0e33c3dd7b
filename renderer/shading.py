"""The studio's light: the compiled loop that turns visible triangles into the colours of pixels.

Shading is per pixel and in linear light. Where a pixel sees several triangles of one surface it is shaded once, at the
middle of the samples that see it; different surfaces are shaded apart and averaged, as multisampling hardware does.
"""

from __future__ import annotations

import numpy as np

from .compiled import compiled, inlined
from .rasterizer import EMPTY, SAMPLES

SKIN, MOUTH, EYE, TEETH, TONGUE = range(5)  # materials; skin includes lips, scalp and what the collar covers
# what is painted at the vertices and read in every pixel, see tools/face_paint.py
FIELDS = ("occlusion", "lips", "browAcross", "hair", "lash", "cloth", "browAlong")
BRIGHTEST = 2.0  # linear light that the display table still tells apart

# The light: unit directions towards key, fill and rim lamp (world space), and their linear colours.
KEY, FILL, RIM = (-0.46, 0.52, 0.72), (0.78, 0.10, 0.62), (0.62, 0.45, -0.64)
_TOWARDS = [np.array(d) / np.linalg.norm(d) for d in (KEY, FILL, RIM)]
_HALF = _TOWARDS[0] + (0.0, 0.0, 1.0)  # between key and viewer, for highlights
LIGHTS = np.array(
    [
        *_TOWARDS,
        (1.62, 1.50, 1.34), (0.34, 0.40, 0.48), (0.60, 0.64, 0.70),  # their colours
        (0.40, 0.43, 0.48), (0.26, 0.22, 0.20),  # ambient light from above and below
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
def _cover(wa, wb, wc, fa, fb, fc, pixel, soft):
    """How far inside a painted field the point lies, antialiased: over `soft` units or a good pixel."""
    return _step(wa * fa + wb * fb + wc * fc, max(soft, np.float32(1.3) * pixel))


@inlined
def _surface(x, y, face, near, points, normals, triangles, surface, lasting, colours, lights, focal):
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
    sky = wa * lasting[a, 3] + wb * lasting[b, 3] + wc * lasting[c, 3]
    sky = min(max(sky, np.float32(0.0)), np.float32(1.0))
    pixel = np.float32(SAMPLES) / (near * focal)  # model units per pixel

    red = wa * lasting[a, 0] + wb * lasting[b, 0] + wc * lasting[c, 0]
    green = wa * lasting[a, 1] + wb * lasting[b, 1] + wc * lasting[c, 1]
    blue = wa * lasting[a, 2] + wb * lasting[b, 2] + wc * lasting[c, 2]
    shine, gloss, wrap, glint = np.float32(0.10), 0, np.float32(1.0), np.float32(0.0)
    dim = np.float32(1.0)
    if kind == SKIN:
        if mask & 16:
            t = _cover(wa, wb, wc, lasting[a, 8], lasting[b, 8], lasting[c, 8], pixel, np.float32(0.006))
            red += t * (colours[3, 0] - red)
            green += t * (colours[3, 1] - green)
            blue += t * (colours[3, 2] - blue)
            shine *= np.float32(1.0) - t
            wrap *= np.float32(1.0) - t
        if mask & 1:
            t = _cover(wa, wb, wc, lasting[a, 4], lasting[b, 4], lasting[c, 4], pixel, np.float32(0.010))
            red += t * (colours[0, 0] - red)
            green += t * (colours[0, 1] - green)
            blue += t * (colours[0, 2] - blue)
            shine += t * np.float32(0.10)
            gloss = 1 if t > 0.5 else 0
        if mask & 2:
            along = wa * lasting[a, 9] + wb * lasting[b, 9] + wc * lasting[c, 9]
            across = wa * lasting[a, 5] + wb * lasting[b, 5] + wc * lasting[c, 5]
            if -0.1 < along < 1.1 and abs(across) < 0.1:
                # a stroke that is full at the nose and thins out to the temple
                thick = np.float32(0.024) * (np.float32(1.05) - along) * (np.float32(0.62) + np.float32(0.9) * along)
                t = _step(thick - abs(across), max(np.float32(0.018), np.float32(1.3) * pixel))
                t *= np.float32(0.88) * _step(along - np.float32(0.04), np.float32(0.16))
                t *= _step(np.float32(0.93) - along, np.float32(0.12))
                red += t * (colours[1, 0] * np.float32(0.8) - red)
                green += t * (colours[1, 1] * np.float32(0.8) - green)
                blue += t * (colours[1, 2] * np.float32(0.8) - blue)
                shine *= np.float32(1.0) - t
        if mask & 4:
            t = _cover(wa, wb, wc, lasting[a, 6], lasting[b, 6], lasting[c, 6], pixel, np.float32(0.045))
            red += t * (colours[1, 0] - red)
            green += t * (colours[1, 1] - green)
            blue += t * (colours[1, 2] - blue)
            wrap *= np.float32(1.0) - t
            shine *= np.float32(1.0) - np.float32(0.7) * t
        if mask & 8:
            t = np.float32(0.85) * _cover(
                wa, wb, wc, lasting[a, 7], lasting[b, 7], lasting[c, 7], pixel, np.float32(0.010)
            )
            red *= np.float32(1.0) - t
            green *= np.float32(1.0) - t
            blue *= np.float32(1.0) - t
            shine *= np.float32(1.0) - t
    elif kind == EYE:
        lx = wa * lasting[a, 10] + wb * lasting[b, 10] + wc * lasting[c, 10]
        ly = wa * lasting[a, 11] + wb * lasting[b, 11] + wc * lasting[c, 11]
        lz = wa * lasting[a, 12] + wb * lasting[b, 12] + wc * lasting[c, 12]
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
            red += iris * (colours[2, 0] * tone * np.float32(1.3) - red)
            green += iris * (colours[2, 1] * tone * np.float32(1.3) - green)
            blue += iris * (colours[2, 2] * tone * np.float32(1.3) - blue)
            red += pupil * (np.float32(0.012) - red)
            green += pupil * (np.float32(0.010) - green)
            blue += pupil * (np.float32(0.010) - blue)
        # the upper lid's shadow
        dim = np.float32(1.0) - np.float32(0.65) * _step(ny - np.float32(0.30), np.float32(0.5))
    elif kind == TEETH:
        nx, ny, nz = np.float32(0.4) * nx, np.float32(0.15), np.float32(0.9)  # the strip is too coarse for normals
        back = wa * lasting[a, 12] + wb * lasting[b, 12] + wc * lasting[c, 12]
        red, green, blue = np.float32(0.80), np.float32(0.74), np.float32(0.64)
        sky, dim, shine, gloss, wrap = (
            np.float32(0.6),
            np.float32(0.85) - np.float32(0.75) * back,
            np.float32(0.2),
            1,
            np.float32(0.0),
        )
    elif kind == TONGUE:
        back = wa * lasting[a, 12] + wb * lasting[b, 12] + wc * lasting[c, 12]
        red, green, blue = np.float32(0.50), np.float32(0.14), np.float32(0.13)
        sky, dim, shine, gloss = np.float32(0.6), np.float32(0.85) - np.float32(0.75) * back, np.float32(0.12), 1
    elif kind == MOUTH:
        back = wa * lasting[a, 12] + wb * lasting[b, 12] + wc * lasting[c, 12]
        red, green, blue = np.float32(0.22), np.float32(0.045), np.float32(0.04)
        sky, dim, shine = (
            np.float32(0.4),
            max(np.float32(0.06), np.float32(0.6) - np.float32(1.6) * back),
            np.float32(0.0),
        )

    key = nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2]
    fill = max(np.float32(0.0), nx * lights[1, 0] + ny * lights[1, 1] + nz * lights[1, 2])
    rim = max(np.float32(0.0), nx * lights[2, 0] + ny * lights[2, 1] + nz * lights[2, 2])
    up = np.float32(0.5) + np.float32(0.5) * ny
    # skin lets light through: towards the shadow red reaches farther than blue
    warm = max(np.float32(0.0), (key + np.float32(0.40) * wrap) / (np.float32(1.0) + np.float32(0.40) * wrap))
    mild = max(np.float32(0.0), (key + np.float32(0.20) * wrap) / (np.float32(1.0) + np.float32(0.20) * wrap))
    cold = max(np.float32(0.0), (key + np.float32(0.12) * wrap) / (np.float32(1.0) + np.float32(0.12) * wrap))
    open_sky = np.float32(0.25) + np.float32(0.75) * sky  # lamps are broad: what hides the sky also hides part of them
    spot = max(np.float32(0.0), nx * lights[8, 0] + ny * lights[8, 1] + nz * lights[8, 2])
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
    lit_red = (
        dim
        * red
        * (
            open_sky * (warm * lights[3, 0] + fill * lights[4, 0])
            + rim * lights[5, 0]
            + sky * (lights[7, 0] + up * (lights[6, 0] - lights[7, 0]))
        )
        + spot * lights[3, 0]
        + glint
    )
    lit_green = (
        dim
        * green
        * (
            open_sky * (mild * lights[3, 1] + fill * lights[4, 1])
            + rim * lights[5, 1]
            + sky * (lights[7, 1] + up * (lights[6, 1] - lights[7, 1]))
        )
        + spot * lights[3, 1]
        + glint
    )
    lit_blue = (
        dim
        * blue
        * (
            open_sky * (cold * lights[3, 2] + fill * lights[4, 2])
            + rim * lights[5, 2]
            + sky * (lights[7, 2] + up * (lights[6, 2] - lights[7, 2]))
        )
        + spot * lights[3, 2]
        + glint
    )
    return lit_red, lit_green, lit_blue


@compiled
def shade(owner, depth, points, normals, triangles, surface, lasting, colours, lights, focal, wall, table, image):
    """Lights every pixel of `image` (S, S, 3) uint8 from the samples' triangles `owner` (2S, 2S).

    points, normals: of this frame's vertices; surface, lasting, colours: see StudioSurface; wall (S, S, 3) linear.
    """
    size = image.shape[0]
    share = np.float32(1.0 / (SAMPLES * SAMPLES))
    bright = np.float32(4095.0 / BRIGHTEST)
    for row in range(size):
        for column in range(size):
            top, left = row * SAMPLES, column * SAMPLES
            face = owner[top, left]
            same = (
                face == owner[top, left + 1] and face == owner[top + 1, left] and face == owner[top + 1, left + 1]
            )  # most pixels
            red = green = blue = np.float32(0.0)
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
                    red += wall[row, column, 0] * share * count
                    green += wall[row, column, 1] * share * count
                    blue += wall[row, column, 2] * share * count
                    continue
                if not same:
                    kind = surface[face] & 7
                    for other in range(first + 1, SAMPLES * SAMPLES):
                        y1, x1 = top + other // SAMPLES, left + other % SAMPLES
                        beside = owner[y1, x1]
                        if beside == EMPTY or done >> other & 1 or surface[beside] & 7 != kind:
                            continue
                        # one surface: same material and hardly farther; 0.0006 is some 0.04 units of depth
                        if abs(depth[y1, x1] - near) < np.float32(0.0006):
                            done |= 1 << other
                            count += np.float32(1.0)
                            x += np.float32(x1) + np.float32(0.5)
                            y += np.float32(y1) + np.float32(0.5)
                    x /= count
                    y /= count
                r, g, b = _surface(
                    x, y, face, near, points, normals, triangles, surface, lasting, colours, lights, focal
                )
                red += r * count * share
                green += g * count * share
                blue += b * count * share
            image[row, column, 0] = table[min(4095, int(red * bright))]
            image[row, column, 1] = table[min(4095, int(green * bright))]
            image[row, column, 2] = table[min(4095, int(blue * bright))]
