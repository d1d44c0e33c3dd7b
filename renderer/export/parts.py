"""A drawn surface taken apart into what other programs draw: triangles with one image, or with colours at vertices.

What the project's own loops paint in every pixel, such as brows, is painted at the vertices here, which is coarser; a
person's own texture loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renderer.materials import (
    BROW_ACROSS,
    BROW_ALONG,
    CLOTH,
    CLOTH_COLOUR,
    EYE,
    HAIR,
    HAIR_COLOUR,
    HAS_BROW,
    HAS_HAIR,
    HAS_TEXTURE,
    IRIS_COLOUR,
    IS_LASH,
    LIP_COLOUR,
    LIPS,
    LOCAL_X,
    LOCAL_Y,
    LOCAL_Z,
    MOUTH,
    MOUTH_COLOUR,
    OCCLUSION,
    SCLERA_COLOUR,
    SKIN,
    TEETH,
    TEETH_COLOUR,
    TONGUE,
    TONGUE_COLOUR,
)
from renderer.studio_surface import StudioSurface

EYE_IMAGE_SIZE = 256  # pixels across an eyeball seen from the front
IRIS_RADIUS, PUPIL_RADIUS = 0.40, 0.18  # of the eyeball's
LASH_DARKNESS = 0.15  # of the skin's light
MOUTH_DEPTH_SHADE = 0.8  # share of the light that is gone at the mouth's back
BROW_SOFTNESS = 0.03  # model units; vertices are about so far apart
_ROUGHNESS = {"face": 0.6, "skin": 0.6, "hair": 0.8, "eyes": 0.2, "teeth": 0.35, "tongue": 0.45}  # others 0.9


@dataclass(frozen=True)
class Part:
    """Triangles that are made of one thing."""

    name: str  # "face" (textured), "skin" (not textured), "hair", "lashes", "eyes", "teeth", "tongue" or "mouth"
    vertices: np.ndarray  # (N,) int64, numbers of the surface's vertices; at a seam one stands there several times
    triangles: np.ndarray  # (M, 3) int32, of `vertices`
    uv: np.ndarray | None  # (N, 2) float32, 0..1 from left and top of `image`
    image: np.ndarray | None  # (H, W, 3) uint8 sRGB
    colours: np.ndarray | None  # (N, 3) float32, linear RGB 0..1, where there is no image
    roughness: float  # 0 like glass, 1 like chalk


def surface_parts(surface: StudioSurface) -> list[Part]:
    """The parts of `surface` that have triangles."""
    material, layers = surface.triangle_materials & 7, surface.triangle_materials >> 3
    textured = layers & HAS_TEXTURE > 0
    hair = (layers & HAS_HAIR > 0) & _all_corners(surface, HAIR)
    lashes = layers & IS_LASH > 0
    skin = (material == SKIN) & ~lashes
    texture = _srgb(_linear_texture(surface))
    places = (surface.texture.corners.reshape(-1, 3, 2) + 0.5) / texture.shape[1::-1]
    eye_places = 0.5 + 0.5 * _seen_from_the_front(surface)[surface.triangles] * (1, -1)
    colours = _vertex_colours(surface)
    dark = LASH_DARKNESS * surface.vertex_attributes[:, :3]
    selections = (
        ("face", skin & textured & ~hair, places, texture, None),
        ("hair", skin & textured & hair, places, texture, None),
        ("skin", skin & ~textured, None, None, colours),
        ("lashes", lashes, None, None, dark),
        ("eyes", material == EYE, eye_places, _eye_image(surface), None),
        ("teeth", material == TEETH, None, None, _shaded(surface, TEETH_COLOUR)),
        ("tongue", material == TONGUE, None, None, _shaded(surface, TONGUE_COLOUR)),
        ("mouth", material == MOUTH, None, None, _shaded(surface, MOUTH_COLOUR)),
    )
    return [_part(surface, *selection) for selection in selections if selection[1].any()]


def _part(
    surface: StudioSurface,
    name: str,
    chosen: np.ndarray,
    places: np.ndarray | None,
    image: np.ndarray | None,
    colours: np.ndarray | None,
) -> Part:
    """The part of the `chosen` (F,) triangles; places (F, 3, 2) in the image, colours (V, 3)."""
    corners = surface.triangles[chosen].reshape(-1)
    roughness = _ROUGHNESS.get(name, 0.9)
    if colours is not None:
        vertices, number = np.unique(corners, return_inverse=True)
        return Part(name, vertices, number.reshape(-1, 3).astype(np.int32), None, None, colours[vertices], roughness)
    assert places is not None, "what has no colours lies in an image"
    keys = np.column_stack([corners, places[chosen].reshape(-1, 2)])
    keys, number = np.unique(keys, axis=0, return_inverse=True)
    return Part(
        name, keys[:, 0].astype(np.int64), number.reshape(-1, 3).astype(np.int32), keys[:, 1:].astype(np.float32),
        image, None, roughness,
    )  # fmt: skip


def _all_corners(surface: StudioSurface, column: int) -> np.ndarray:
    """(F,) whether the triangle is nothing but the mask in `column`: locks, shells and lashes."""
    return (surface.vertex_attributes[surface.triangles, column] == 1.0).all(axis=1)


def _linear_texture(surface: StudioSurface) -> np.ndarray:
    return (surface.texture.texels[..., :3] / np.float32(255)) ** 2


def _srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light 0..1 -> sRGB uint8."""
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)


def _vertex_colours(surface: StudioSurface) -> np.ndarray:
    """(V, 3) linear: what is painted at the vertices, darker where little of the sky is seen."""
    rows, colours = surface.vertex_attributes, surface.vertex_attributes[:, :3].copy()
    for column, colour in ((LIPS, LIP_COLOUR), (CLOTH, CLOTH_COLOUR), (HAIR, HAIR_COLOUR)):
        colours[rows[:, column] > 0] = surface.colours[colour]
    brows = _brow_shares(surface)[:, None]
    colours += brows * (0.8 * surface.colours[HAIR_COLOUR] - colours)
    return np.clip(colours * rows[:, OCCLUSION, None], 0, 1)


def _brow_shares(surface: StudioSurface) -> np.ndarray:
    """(V,) 0..1: how much of a vertex is brow, where brows are painted; the stroke is that of materials.py, wider."""
    along, across = surface.vertex_attributes[:, BROW_ALONG], np.abs(surface.vertex_attributes[:, BROW_ACROSS])
    painted = np.zeros(len(along), bool)
    painted[surface.triangles[(surface.triangle_materials >> 3) & HAS_BROW > 0]] = True
    thickness = 0.024 * (1.05 - along) * (0.62 + 0.9 * along)
    ends = np.clip((along - 0.04) / 0.16 + 0.5, 0, 1) * np.clip((0.93 - along) / 0.12 + 0.5, 0, 1)
    return painted * ends * 0.88 * np.clip((thickness - across) / BROW_SOFTNESS + 0.5, 0, 1)


def _shaded(surface: StudioSurface, colour: np.ndarray) -> np.ndarray:
    """(V, 3) linear: `colour`, darker towards the mouth's back."""
    depth = np.clip(surface.vertex_attributes[:, LOCAL_Z, None], 0, 1)
    return (colour * (1 - MOUTH_DEPTH_SHADE * depth)).astype(np.float32)


def _seen_from_the_front(surface: StudioSurface) -> np.ndarray:
    """(V, 2) of an eyeball's vertices: -1..1, x to the subject's left and y up; its back lies on the rim."""
    place = surface.vertex_attributes[:, LOCAL_X : LOCAL_Y + 1]
    length = np.linalg.norm(place, axis=1, keepdims=True)
    behind = surface.vertex_attributes[:, LOCAL_Z, None] <= 0
    return np.clip(np.where(behind, place / np.maximum(length, 1e-6), place), -1, 1)


def _eye_image(surface: StudioSurface) -> np.ndarray:
    """(S, S, 3) sRGB: white, iris and pupil of an eyeball, as materials.py has them."""
    at = (np.arange(EYE_IMAGE_SIZE) + 0.5) / EYE_IMAGE_SIZE * 2 - 1
    ring, up = np.hypot(at[None, :], at[:, None])[..., None], -at[:, None, None]
    soft = 2.0 / EYE_IMAGE_SIZE
    image = np.broadcast_to(surface.colours[SCLERA_COLOUR], (*ring.shape[:2], 3))
    shade = np.maximum(0.45 + 1.3 * np.maximum(0, 0.36 - ring) - 0.6 * up, 0.25)
    for radius, colour in ((IRIS_RADIUS, surface.colours[IRIS_COLOUR] * shade * 1.3), (PUPIL_RADIUS, 0.01)):
        image = image + np.clip((radius - ring) / (2 * soft) + 0.5, 0, 1) * (colour - image)
    return _srgb(image)
