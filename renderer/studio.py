"""The studio look: what the head is made of, and the loop that lights it.

Shading is per pixel and in linear light. Where a pixel sees several triangles of one surface it is shaded once, at the
middle of the samples that see it; different surfaces are shaded apart and averaged, as multisampling hardware does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .compiled import compiled
from .face_model import FaceModel
from .rasterizer import EMPTY, SAMPLES

SKIN, MOUTH, EYE, TEETH, TONGUE, LASHES, CLOTH = range(7)
MATERIAL_OF_PART = {
    "skin": SKIN, "lips": SKIN, "mouth": MOUTH, "eyeLeft": EYE, "eyeRight": EYE, "teethUpper": TEETH,
    "teethLower": TEETH, "tongue": TONGUE, "lashes": LASHES, "cloth": CLOTH,
}  # fmt: skip
FIELDS = ("occlusion", "lips", "brow", "hair", "lash", "cloth")  # the painted fields that are read in every pixel


@dataclass(frozen=True)
class Palette:
    """Colours as sRGB 0..255 of one person and their picture's ground."""

    skin: tuple[int, int, int] = (226, 176, 148)
    flush: tuple[int, int, int] = (214, 128, 108)  # cheeks and the tip of the nose
    lips: tuple[int, int, int] = (190, 110, 102)
    hair: tuple[int, int, int] = (72, 50, 38)
    iris: tuple[int, int, int] = (96, 122, 128)
    cloth: tuple[int, int, int] = (62, 84, 104)
    ground: tuple[int, int, int] = (186, 198, 204)
    shade: tuple[int, int, int] = (118, 134, 146)  # the ground towards the picture's rim


@dataclass(frozen=True)
class Person:
    """A listener's look: directions of identity by name (see FaceModel.identity_names), colours, hair or none."""

    identity: dict[str, float] = field(default_factory=dict)
    palette: Palette = Palette()
    hair: bool = True

    def vector(self, face: FaceModel) -> np.ndarray:
        """(I,) identity coefficients for `face`; names that it does not know count as 0."""
        return np.array([self.identity.get(name, 0.0) for name in face.identity_names], np.float32)


PEOPLE: dict[str, Person] = {
    "Alex": Person(),
    "Mara": Person(
        {"masculine": -0.9, "caucasian": 0.4, "lipVolume": 0.4, "chinWidth": -0.4, "eyeSize": 0.3},
        Palette(skin=(238, 192, 168), lips=(196, 96, 98), hair=(122, 74, 44), iris=(86, 118, 84), cloth=(122, 74, 84)),
    ),
    "Kofi": Person(
        {"masculine": 0.7, "african": 0.8, "squareJaw": 0.3},
        Palette(
            skin=(132, 86, 62), flush=(142, 74, 56), lips=(132, 74, 66), hair=(26, 21, 19), iris=(66, 42, 28),
            cloth=(176, 132, 62),
        ),
    ),
    "Yuna": Person(
        {"masculine": -0.6, "asian": 0.8, "roundHead": 0.3},
        Palette(skin=(236, 194, 164), lips=(198, 108, 102), hair=(30, 26, 27), iris=(60, 42, 32), cloth=(84, 110, 92)),
    ),
    "Omar": Person(
        {"masculine": 0.8, "noseHump": 0.6, "noseLength": 0.3, "chinProminence": 0.3},
        Palette(skin=(198, 146, 112), lips=(168, 100, 86), hair=(34, 27, 24), iris=(74, 52, 36), cloth=(70, 72, 82)),
    ),
    "Edda": Person(
        {"masculine": -0.5, "age": 0.9, "cheekVolume": -0.4, "fullness": 0.3},
        Palette(skin=(232, 188, 166), lips=(184, 116, 108), hair=(150, 144, 140), iris=(88, 112, 136), cloth=(84, 78, 110)),
    ),
}  # fmt: skip
"""Ready-made listeners for the built-in head."""


def linear(colour) -> np.ndarray:
    """sRGB 0..255 -> linear light 0..1, float32, any shape."""
    c = np.asarray(colour, np.float64) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


def display_table() -> np.ndarray:
    """(4096,) uint8: linear light 0..1 -> sRGB."""
    c = np.linspace(0, 1, 4096)
    return np.round(255 * np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)).astype(np.uint8)


def ground(size: int, palette: Palette) -> np.ndarray:
    """(size, size, 3) linear float32: a plain wall with a soft pool of light behind the head."""
    at = (np.arange(size) + 0.5) / size - 0.5
    distance = np.hypot(at[None, :] + 0.10, (at[:, None] + 0.12) * 0.9)
    share = np.clip(distance / 0.78, 0, 1)[..., None] ** 1.6
    return (linear(palette.ground) * (1 - share) + linear(palette.shade) * share).astype(np.float32)


class StudioSurface:
    """Everything about a face that stays the same from frame to frame, laid out for the compiled loop."""

    def __init__(self, face: FaceModel, person: Person, shape: np.ndarray):
        """`shape` (V, 3): the person's expressionless face in object space."""
        palette = person.palette
        vertices, triangles = len(face.mean_shape), face.triangles
        parts = np.zeros(len(triangles), np.uint8) if face.parts is None else face.parts
        materials = np.array([MATERIAL_OF_PART[name] for name in face.part_names] or [SKIN], np.uint8)
        self.material = materials[parts]
        self.two_sided = self.material == LASHES

        self.fields = np.full((vertices, len(FIELDS)), -1.0, np.float32)
        self.fields[:, 0] = 1.0
        blush = np.zeros(vertices, np.float32)
        if face.paint is None:  # a model without paint, such as FaceVerse's: its own colours
            self.albedo = linear(face.mean_texture)
        else:
            for column, name in enumerate(FIELDS):
                self.fields[:, column] = face.paint[:, face.paint_names.index(name)]
            if not person.hair:
                self.fields[:, FIELDS.index("hair")] = -1.0
            blush = face.paint[:, face.paint_names.index("blush"), None]
            skin = linear(palette.skin)
            self.albedo = (skin + 0.55 * blush * (linear(palette.flush) - skin)).astype(np.float32)
        self.colours = linear([palette.lips, palette.hair, palette.iris, palette.cloth])

        # which fields any of a triangle's corners comes near to: most pixels need none of them
        near = self.fields[triangles].max(axis=1)[:, 1:] > -0.03
        self.layers = (near * (1 << np.arange(near.shape[1]))).sum(axis=1).astype(np.uint8)
        self.local = self._local_coordinates(face, shape)

    def _local_coordinates(self, face: FaceModel, shape: np.ndarray) -> np.ndarray:
        """(V, 3): on an eyeball the point of the unit sphere, z to where it looks; on teeth across, up, depth 0..1."""
        local = np.zeros_like(shape)
        for material in (EYE, TEETH, TONGUE, MOUTH):
            for part in np.unique(face.parts[self.material == material]) if face.parts is not None else ():
                ids = np.unique(face.triangles[face.parts == part])
                points = shape[ids] * [1, -1, -1]
                if material == EYE:
                    offset = points - (points.max(axis=0) + points.min(axis=0)) / 2
                    local[ids] = offset / np.linalg.norm(offset, axis=1, keepdims=True)
                else:
                    front = points[:, 2].max()
                    local[ids] = points
                    local[ids, 2] = np.clip((front - points[:, 2]) / 0.30, 0, 1)
        return np.ascontiguousarray(local, np.float32)


# The light: unit directions towards key, fill and rim lamp (world space), and their linear colours.
KEY, FILL, RIM = (-0.46, 0.52, 0.72), (0.78, 0.10, 0.62), (0.62, 0.45, -0.64)
LIGHTS = np.array(
    [np.array(d) / np.linalg.norm(d) for d in (KEY, FILL, RIM)]
    + [(1.62, 1.50, 1.34), (0.34, 0.40, 0.48), (0.60, 0.64, 0.70)]
    + [(0.40, 0.43, 0.48), (0.26, 0.22, 0.20)],  # sky and floor of the ambient light
    np.float32,
)


@compiled
def shade(
    owner, depth, points, normals, triangles, material, layers, albedo, fields, local, colours, lights, focal, wall,
    table, image,
):  # fmt: skip
    """Lights every pixel of `image` (S, S, 3) uint8 from the samples' triangles `owner` (2S, 2S)."""
    size = image.shape[0]
    share = np.float32(1.0 / (SAMPLES * SAMPLES))
    half = np.empty(3, np.float32)  # between key and the viewer, for highlights
    norm = np.float32(0.0)
    for k in range(3):
        half[k] = lights[0, k] + (np.float32(1.0) if k == 2 else np.float32(0.0))
        norm += half[k] * half[k]
    for k in range(3):
        half[k] /= np.sqrt(norm)
    colour = np.empty(3, np.float32)
    for row in range(size):
        for column in range(size):
            red = green = blue = np.float32(0.0)
            done = 0  # bits of the samples already shaded with an earlier one
            for first in range(SAMPLES * SAMPLES):
                if done >> first & 1:
                    continue
                y0, x0 = row * SAMPLES + first // SAMPLES, column * SAMPLES + first % SAMPLES
                face = owner[y0, x0]
                if face == EMPTY:
                    red += wall[row, column, 0] * share
                    green += wall[row, column, 1] * share
                    blue += wall[row, column, 2] * share
                    continue
                kind, near = material[face], depth[y0, x0]
                count = np.float32(1.0)
                x, y = np.float32(x0) + np.float32(0.5), np.float32(y0) + np.float32(0.5)
                for other in range(first + 1, SAMPLES * SAMPLES):
                    y1, x1 = row * SAMPLES + other // SAMPLES, column * SAMPLES + other % SAMPLES
                    if owner[y1, x1] == EMPTY or done >> other & 1:
                        continue
                    # one surface: same material and hardly farther; 0.0006 is some 0.04 units of depth
                    if material[owner[y1, x1]] == kind and abs(depth[y1, x1] - near) < np.float32(0.0006):
                        done |= 1 << other
                        count += np.float32(1.0)
                        x += np.float32(x1) + np.float32(0.5)
                        y += np.float32(y1) + np.float32(0.5)
                _surface(
                    x / count, y / count, face, kind, near, points, normals, triangles, layers, albedo, fields, local,
                    colours, lights, half, focal, colour,
                )  # fmt: skip
                red += colour[0] * count * share
                green += colour[1] * count * share
                blue += colour[2] * count * share
            image[row, column, 0] = table[min(4095, int(red * np.float32(4095.0)))]
            image[row, column, 1] = table[min(4095, int(green * np.float32(4095.0)))]
            image[row, column, 2] = table[min(4095, int(blue * np.float32(4095.0)))]


@compiled
def _surface(
    x, y, face, kind, near, points, normals, triangles, layers, albedo, fields, local, colours, lights, half, focal,
    colour,
):  # fmt: skip
    """Linear colour of triangle `face` at sample coordinates x, y.

    Weights are linear on the screen: within one of these small triangles perspective changes them by under 1 %.
    """
    a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
    ax, ay = points[a, 0], points[a, 1]
    ux, uy = points[b, 0] - ax, points[b, 1] - ay
    vx, vy = points[c, 0] - ax, points[c, 1] - ay
    inverse = np.float32(1.0) / (ux * vy - uy * vx)
    wb = ((x - ax) * vy - (y - ay) * vx) * inverse
    wc = ((y - ay) * ux - (x - ax) * uy) * inverse
    wb, wc = min(max(wb, np.float32(-0.5)), np.float32(1.5)), min(max(wc, np.float32(-0.5)), np.float32(1.5))
    wa = np.float32(1.0) - wb - wc
    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
    nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
    scale = np.float32(1.0) / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
    if ux * vy - uy * vx > 0.0:  # seen from behind
        scale = -scale
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    sky = wa * fields[a, 0] + wb * fields[b, 0] + wc * fields[c, 0]
    sky = min(max(sky, np.float32(0.0)), np.float32(1.0))
    pixel = np.float32(SAMPLES) / (near * focal)  # model units per pixel

    red = wa * albedo[a, 0] + wb * albedo[b, 0] + wc * albedo[c, 0]
    green = wa * albedo[a, 1] + wb * albedo[b, 1] + wc * albedo[c, 1]
    blue = wa * albedo[a, 2] + wb * albedo[b, 2] + wc * albedo[c, 2]
    shine, gloss, wrap, glint = np.float32(0.10), 0, np.float32(1.0), np.float32(0.0)
    dim = np.float32(1.0)
    if kind == SKIN or kind == CLOTH:
        mask = layers[face]
        if mask & 16:
            t = _cover(wa, wb, wc, fields[a, 5], fields[b, 5], fields[c, 5], pixel, np.float32(0.006))
            red += t * (colours[3, 0] - red)
            green += t * (colours[3, 1] - green)
            blue += t * (colours[3, 2] - blue)
            shine *= np.float32(1.0) - t
            wrap *= np.float32(1.0) - t
        if mask & 1:
            t = _cover(wa, wb, wc, fields[a, 1], fields[b, 1], fields[c, 1], pixel, np.float32(0.010))
            red += t * (colours[0, 0] - red)
            green += t * (colours[0, 1] - green)
            blue += t * (colours[0, 2] - blue)
            shine += t * np.float32(0.10)
            gloss = 1 if t > 0.5 else 0
        if mask & 2:
            t = np.float32(0.85) * _cover(
                wa, wb, wc, fields[a, 2], fields[b, 2], fields[c, 2], pixel, np.float32(0.022)
            )
            red += t * (colours[1, 0] - red)
            green += t * (colours[1, 1] - green)
            blue += t * (colours[1, 2] - blue)
            shine *= np.float32(1.0) - t
        if mask & 4:
            t = np.float32(0.92) * _cover(wa, wb, wc, fields[a, 3], fields[b, 3], fields[c, 3], pixel, np.float32(0.05))
            red += t * (colours[1, 0] - red)
            green += t * (colours[1, 1] - green)
            blue += t * (colours[1, 2] - blue)
            wrap *= np.float32(1.0) - t
        if mask & 8:
            t = np.float32(0.7) * _cover(wa, wb, wc, fields[a, 4], fields[b, 4], fields[c, 4], pixel, np.float32(0.010))
            red *= np.float32(1.0) - t
            green *= np.float32(1.0) - t
            blue *= np.float32(1.0) - t
    elif kind == EYE:
        lx = wa * local[a, 0] + wb * local[b, 0] + wc * local[c, 0]
        ly = wa * local[a, 1] + wb * local[b, 1] + wc * local[c, 1]
        lz = wa * local[a, 2] + wb * local[b, 2] + wc * local[c, 2]
        red, green, blue = np.float32(0.80), np.float32(0.77), np.float32(0.75)
        shine, gloss, wrap = np.float32(0.9), 2, np.float32(0.0)
        sky = np.float32(0.75)
        if lz > 0.0:
            ring = np.sqrt(lx * lx + ly * ly) / np.sqrt(lx * lx + ly * ly + lz * lz)
            blur = pixel / np.float32(0.25)  # on the unit sphere: an eyeball's radius is about 0.25 units
            iris = _step(np.float32(0.43) - ring, max(blur, np.float32(0.05)))
            pupil = _step(np.float32(0.18) - ring, max(blur, np.float32(0.04)))
            tone = (
                np.float32(0.45)
                + np.float32(1.3) * max(np.float32(0.0), np.float32(0.40) - ring)
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
        back = wa * local[a, 2] + wb * local[b, 2] + wc * local[c, 2]
        red, green, blue = np.float32(0.80), np.float32(0.74), np.float32(0.64)
        sky, dim, shine, gloss, wrap = (
            np.float32(0.6),
            np.float32(0.85) - np.float32(0.75) * back,
            np.float32(0.2),
            1,
            np.float32(0.0),
        )
    elif kind == TONGUE:
        back = wa * local[a, 2] + wb * local[b, 2] + wc * local[c, 2]
        red, green, blue = np.float32(0.50), np.float32(0.14), np.float32(0.13)
        sky, dim, shine, gloss = np.float32(0.6), np.float32(0.85) - np.float32(0.75) * back, np.float32(0.12), 1
    elif kind == MOUTH:
        back = wa * local[a, 2] + wb * local[b, 2] + wc * local[c, 2]
        red, green, blue = np.float32(0.22), np.float32(0.045), np.float32(0.04)
        sky, dim, shine = (
            np.float32(0.4),
            max(np.float32(0.06), np.float32(0.6) - np.float32(1.6) * back),
            np.float32(0.0),
        )
    elif kind == LASHES:
        red, green, blue = (
            colours[1, 0] * np.float32(0.3),
            colours[1, 1] * np.float32(0.3),
            colours[1, 2] * np.float32(0.3),
        )
        shine, wrap = np.float32(0.0), np.float32(0.0)

    key = nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2]
    fill = max(np.float32(0.0), nx * lights[1, 0] + ny * lights[1, 1] + nz * lights[1, 2])
    rim = max(np.float32(0.0), nx * lights[2, 0] + ny * lights[2, 1] + nz * lights[2, 2])
    up = np.float32(0.5) + np.float32(0.5) * ny
    # skin lets light through: towards the shadow red reaches farther than blue
    warm = max(np.float32(0.0), (key + np.float32(0.40) * wrap) / (np.float32(1.0) + np.float32(0.40) * wrap))
    mild = max(np.float32(0.0), (key + np.float32(0.20) * wrap) / (np.float32(1.0) + np.float32(0.20) * wrap))
    cold = max(np.float32(0.0), (key + np.float32(0.12) * wrap) / (np.float32(1.0) + np.float32(0.12) * wrap))
    open_sky = np.float32(0.25) + np.float32(0.75) * sky  # lamps are broad: what hides the sky also hides part of them
    spot = max(np.float32(0.0), nx * half[0] + ny * half[1] + nz * half[2])
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
    colour[0] = (
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
    colour[1] = (
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
    colour[2] = (
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


@compiled
def _step(distance, width):
    """0 outside, 1 inside, smooth over `width` about zero."""
    t = min(max(distance / width + np.float32(0.5), np.float32(0.0)), np.float32(1.0))
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


@compiled
def _cover(wa, wb, wc, fa, fb, fc, pixel, soft):
    """How far inside a painted field the point lies, antialiased: over `soft` units or a good pixel."""
    return _step(wa * fa + wb * fb + wc * fc, max(soft, np.float32(1.3) * pixel))
