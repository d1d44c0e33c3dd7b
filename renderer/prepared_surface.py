"""A StudioSurface laid out for quick drawing at one size: which triangles are plain, and what their corners are like.

On most of a head nothing is painted that a pixel would have to find out: bare skin, cloth away from the collar, hair
away from the hairline, a photo's texture. There the corners are lit, and a pixel lies between them. The triangles are
small, so it sees no difference. Where a mask ends inside a triangle, and on eyes, teeth and tongue, every point is
evaluated by itself (GENERAL).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from renderer.face_model import CAMERA_Z, REACT_TRANSLATION
from renderer.lighting import (
    V_ALBEDO_BLUE,
    V_ALBEDO_GREEN,
    V_ALBEDO_RED,
    V_IS_SOLID,
    V_SHINE,
    V_SKY,
    V_WRAP,
    VERTEX_BLOCK,
    VERTEX_COLUMNS,
)
from renderer.materials import (
    BROW_ACROSS,
    BROW_ALONG,
    CLOTH,
    CLOTH_COLOUR,
    HAIR,
    HAIR_COLOUR,
    HAS_BROW,
    HAS_CLOTH,
    HAS_HAIR,
    HAS_LASH,
    HAS_LIPS,
    HAS_TEXTURE,
    IS_LASH,
    LASH,
    LIPS,
    LOCAL_X,
    LOCAL_Z,
    OCCLUSION,
    SHINE,
    SKIN,
    SOFT_BROW,
    SOFT_CLOTH,
    SOFT_HAIR,
    SOFT_LASH,
    SOFT_LIPS,
    STRAND_WAVES,
    WRAP,
)
from renderer.studio_surface import StudioSurface

GENERAL, PLAIN, STRANDS, TEXTURED = range(4)  # kinds of triangles

BROW_HALF_WIDTH, BROW_ENDS = 0.018, (-0.06, 1.06)  # where a brow may be, across and along it


class PreparedSurface(NamedTuple):
    """Of F triangles and V vertices."""

    kinds: np.ndarray  # (F,) uint8: GENERAL, PLAIN, STRANDS or TEXTURED
    corners: np.ndarray  # (F, 6) float32: texture's x, y, or the phases of two waves of strands, of each corner
    thin: np.ndarray  # triangles thinner than a pixel
    vertex_columns: np.ndarray  # (blocks * VERTEX_COLUMNS * VERTEX_BLOCK,), see lighting.py: what does not change


def prepare_surface(surface: StudioSurface, focal: float, general_only: bool = False) -> PreparedSurface:
    """`surface` for a camera of `focal` pixels; general_only: every point is evaluated by itself, the slow way."""
    attributes, triangles, materials = surface.vertex_attributes, surface.triangles, surface.triangle_materials
    pixel = (CAMERA_Z - REACT_TRANSLATION[2]) / focal  # model units, about
    masks = materials >> 3

    def share(column: int, soft: float) -> np.ndarray:
        """(V,) 1 where all of the mask is seen, 0 where none, NaN where its edge is near."""
        value, near = attributes[:, column], 0.5 * soft + pixel
        return np.where(value >= near, 1.0, np.where(value <= -near, 0.0, np.nan))

    cloth, hair = share(CLOTH, SOFT_CLOTH), share(HAIR, SOFT_HAIR)
    lips, lash = share(LIPS, SOFT_LIPS), share(LASH, SOFT_LASH)
    textured = masks & HAS_TEXTURE > 0

    def of_triangles(mask: int, share: np.ndarray) -> np.ndarray:
        """(F,) the share that all corners agree on, NaN where they do not."""
        corners = share[triangles]
        agreed = np.where(np.ptp(corners, axis=1) == 0, corners[:, 0], np.nan)
        return np.where(masks & mask > 0, agreed, 0.0)

    cloth_of, hair_of = of_triangles(HAS_CLOTH, cloth), np.where(textured, 0.0, of_triangles(HAS_HAIR, hair))
    painted = (of_triangles(HAS_LIPS, lips) != 0) | (of_triangles(HAS_LASH, lash) != 0) | _near_brow(surface, pixel)
    simple = (materials & 7 == SKIN) & ~painted & np.isfinite(cloth_of) & (cloth_of * hair_of == 0)
    kinds = np.where(textured, TEXTURED, np.where(hair_of == 1, STRANDS, PLAIN))
    kinds = np.where(simple & np.isfinite(hair_of), kinds, GENERAL).astype(np.uint8)

    # what each kind asks of its corners; a vertex can be one thing only, so triangles that want another stay GENERAL
    shine, wrap, albedo = np.full(len(attributes), 0.10), np.ones(len(attributes)), attributes[:, :3].copy()
    looks = np.zeros(len(attributes), np.uint8)  # 0 skin, 1 cloth, 2 hair, 3 texture
    look_of = np.select([kinds == TEXTURED, kinds == STRANDS, cloth_of == 1], [3, 2, 1], 0)
    for look in (1, 2, 3):
        looks[triangles[(kinds != GENERAL) & (look_of == look)]] = look
    shine[looks == 1], wrap[looks == 1], albedo[looks == 1] = 0.0, 0.0, surface.colours[CLOTH_COLOUR]
    shine[looks == 2], wrap[looks == 2], albedo[looks == 2] = 0.03, 0.0, surface.colours[HAIR_COLOUR]
    albedo[looks == 3] = 1.0  # the texture brings it
    shine[looks == 3], wrap[looks == 3] = attributes[looks == 3, SHINE], attributes[looks == 3, WRAP]
    kinds[(looks[triangles] != look_of[:, None]).any(axis=1)] = GENERAL
    if general_only:
        kinds[:] = GENERAL

    corners = np.zeros((len(triangles), 3, 2), np.float32)
    if textured.any():
        corners[textured] = surface.texture.corners.reshape(-1, 3, 2)[textured]
    phases = attributes[:, [LOCAL_X, LOCAL_Z]] @ np.array(STRAND_WAVES, np.float32).T
    corners[kinds == STRANDS] = phases[triangles[kinds == STRANDS]]
    columns = np.zeros((-(-len(attributes) // VERTEX_BLOCK), VERTEX_COLUMNS, VERTEX_BLOCK), np.float32)
    for column, values in (
        (V_SKY, np.clip(attributes[:, OCCLUSION], 0, 1)),
        (V_SHINE, shine),
        (V_WRAP, wrap),
        (V_ALBEDO_RED, albedo[:, 0]),
        (V_ALBEDO_GREEN, albedo[:, 1]),
        (V_ALBEDO_BLUE, albedo[:, 2]),
        (V_IS_SOLID, looks < 2),
    ):
        padded = np.zeros(len(columns) * VERTEX_BLOCK, np.float32)
        padded[: len(values)] = values
        columns[:, column] = padded.reshape(-1, VERTEX_BLOCK)
    return PreparedSurface(
        kinds,
        np.ascontiguousarray(corners.reshape(-1, 6)),
        np.flatnonzero(masks & IS_LASH),
        columns.reshape(-1),
    )


def _near_brow(surface: StudioSurface, pixel: float) -> np.ndarray:
    """(F,) bool: whether something of a brow may be seen on a triangle."""
    across = surface.vertex_attributes[:, BROW_ACROSS][surface.triangles]
    along = surface.vertex_attributes[:, BROW_ALONG][surface.triangles]
    width = BROW_HALF_WIDTH + max(0.5 * SOFT_BROW, 0.65 * pixel)
    beside = (across.min(axis=1) > width) | (across.max(axis=1) < -width)
    beyond = (along.min(axis=1) > BROW_ENDS[1]) | (along.max(axis=1) < BROW_ENDS[0])
    return (surface.triangle_materials >> 3 & HAS_BROW > 0) & ~(beside | beyond)
