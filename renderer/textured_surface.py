"""The surface of one real person's head: what StudioSurface paints at the vertices, taken from a texture instead."""

from __future__ import annotations

import numpy as np

from renderer.errors import RenderError
from renderer.face_model import CAMERA_Z, EXPRESSIONS, REACT_TRANSLATION, FaceModel
from renderer.hair import HairMesh
from renderer.identity.identity import HairShell, Identity
from renderer.materials import (
    CLOTH_COLOUR,
    HAIR_COLOUR,
    HAS_BROW,
    HAS_HAIR,
    HAS_LASH,
    HAS_TEXTURE,
    IRIS_COLOUR,
    LASH,
    LIP_COLOUR,
    SCLERA_COLOUR,
    SHINE,
    SKIN,
    WRAP,
)
from renderer.mesh_identities import MeshIdentity, Palette
from renderer.studio_surface import MATERIAL_OF_PART, StudioSurface, srgb_to_linear
from renderer.texture_map import fit_texture

FACE_DEPTH = 0.4  # model units by which a face lies before the head's own origin
# how much textured skin, lips, scalp and cloth shine, and how far light wraps round them
SKIN_SHINE, LIP_SHINE, SCALP_SHINE, CLOTH_SHINE = 0.05, 0.07, 0.02, 0.0
SCALP_WRAP, CLOTH_WRAP = 0.3, 0.0
LASH_INSET = 0.006  # model units by which the painted line of the lashes is thinner: the photo has its own


def check_identity(face: FaceModel, identity: Identity) -> None:
    """Raises RenderError where `identity` was not made for `face`, which must know its parts."""
    if face.parts is None:
        raise RenderError("A listener's identity can be drawn on the built-in head only.")
    texture = identity.texture
    if texture.dtype != np.uint8 or texture.ndim != 3 or texture.shape[2] != 3 or min(texture.shape) < 2:
        raise RenderError(f"The identity's texture is {texture.dtype} of shape {texture.shape}, not a colour picture.")
    found = (identity.shape.shape, identity.expression_basis.shape, identity.texture_uv.shape)
    expected = (face.mean_shape.shape, face.expression_basis.shape, (len(face.triangles), 3, 2))
    if found != expected:
        raise RenderError(
            f"The identity was made for another head: its shape, expression basis and texture places are {found}, "
            f"not {expected}."
        )


def textured_surface(face: FaceModel, identity: Identity, focal: float) -> StudioSurface:
    """The surface of `identity` on `face` for a camera of `focal` pixels.

    Skin, scalp and cloth with a place in the texture show it, and nothing is painted there but the line of the lashes.
    Where there is none, skin and cloth have the average colour of the rest. Eyes, teeth and tongue keep their own.
    """
    check_identity(face, identity)
    colours = _average_colours(face, identity)
    surface = StudioSurface(face, MeshIdentity(hair=False), identity.shape, identity.expression_basis)
    surface.vertex_attributes[:, :3] = colours["skin"]
    surface.colours[[LIP_COLOUR, HAIR_COLOUR, CLOTH_COLOUR]] = [colours[name] for name in ("lips", "scalp", "cloth")]
    surface.colours[IRIS_COLOUR], surface.colours[SCLERA_COLOUR] = identity.iris, identity.sclera
    surface.triangle_materials &= ~(8 * HAS_BROW)
    uv, inner = np.full((len(surface.triangles), 3, 2), np.nan, np.float32), surface.triangle_materials & 7 != SKIN
    uv[: len(face.triangles)] = identity.texture_uv
    uv[inner] = np.nan
    cloth, lips, scalp = (_mask(face, name) > 0 for name in ("cloth", "lips", "hair"))
    rows = surface.vertex_attributes[: len(face.mean_shape)]
    rows[scalp, :3] = colours["scalp"]
    rows[:, SHINE], rows[:, WRAP] = SKIN_SHINE, 1.0
    rows[scalp, SHINE], rows[scalp, WRAP] = SCALP_SHINE, SCALP_WRAP
    rows[lips, SHINE] = LIP_SHINE
    rows[:, LASH] -= LASH_INSET
    rows[cloth, SHINE], rows[cloth, WRAP] = CLOTH_SHINE, CLOTH_WRAP
    if identity.hair is not None:
        uv = np.concatenate([uv, _append_shell(surface, identity.hair, colours["scalp"])])
    pixels_per_unit = focal / (CAMERA_Z - REACT_TRANSLATION[2] - FACE_DEPTH)
    surface.texture = fit_texture(identity.texture, uv, surface.shape, surface.triangles, pixels_per_unit)
    kept = surface.triangle_materials & 8 * (HAS_LASH | HAS_HAIR)
    surface.triangle_materials = np.where(
        surface.texture.textured, kept + SKIN + 8 * HAS_TEXTURE, surface.triangle_materials
    ).astype(np.int32)
    return surface


def _append_shell(surface: StudioSurface, shell: HairShell, colour: np.ndarray) -> np.ndarray:
    """Adds the shell of hair, front and back; returns where its triangles lie in the texture (2 M, 3, 2)."""
    count, start = len(shell.points), len(surface.shape)
    # the back has vertices of its own, since its normals point the other way
    two_sided = HairMesh(
        np.concatenate([shell.points, shell.points]),
        np.concatenate([shell.triangles, shell.triangles[:, ::-1] + count]),
        np.zeros((2 * count, 3, EXPRESSIONS), np.float32),
        np.ones(2 * count),
        np.zeros(2 * count),
        np.concatenate([shell.head_weight, shell.head_weight]),
    )
    surface.append_geometry(two_sided, HAS_HAIR, "hair", colour)
    surface.vertex_attributes[start:, SHINE], surface.vertex_attributes[start:, WRAP] = SCALP_SHINE, SCALP_WRAP
    return np.concatenate([shell.texture_uv, shell.texture_uv[:, ::-1]])


def _mask(face: FaceModel, name: str) -> np.ndarray:
    """(V,) a mask of the built-in head by its name."""
    assert face.vertex_masks is not None, "check_identity asks for the built-in head"
    return face.vertex_masks[:, face.vertex_mask_names.index(name)]


def _average_colours(face: FaceModel, identity: Identity) -> dict[str, np.ndarray]:
    """Median linear RGB (3,) of the texture on "skin" of the face, "lips", "scalp" and "cloth"."""
    height, width = identity.texture.shape[:2]
    textured = np.isfinite(identity.texture_uv).all(axis=(1, 2))
    textured &= np.array([MATERIAL_OF_PART[name] == SKIN for name in face.part_names])[face.parts]
    triangles = face.triangles[textured]
    place = np.clip(identity.texture_uv[textured].mean(axis=1), 0, 1) * (width - 1, height - 1)
    column, row = place.astype(int).T
    linear = (identity.texture[row, column] / np.float32(255)) ** 2
    lips, scalp, cloth = (_mask(face, name)[triangles].max(axis=1) > 0 for name in ("lips", "hair", "cloth"))
    points = identity.shape[triangles]
    front = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])[:, 2] < 0
    skin = front & ~lips & ~scalp & ~cloth
    default = Palette()
    painted = {"skin": default.skin, "lips": default.lips, "scalp": default.hair, "cloth": default.cloth}
    return {
        name: np.median(linear[here], axis=0) if here.any() else srgb_to_linear(painted[name])
        for name, here in {"skin": skin, "lips": lips, "scalp": scalp, "cloth": cloth}.items()
    }
