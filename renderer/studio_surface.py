"""What of a studio-lit face stays the same from frame to frame: vertex colours, masks, hair, and the wall behind."""

from __future__ import annotations

import numpy as np

from renderer.face_model import EXPRESSION_NAMES, FaceModel
from renderer.hair import HairMesh, build_hair, build_lashes
from renderer.lighting import MAX_LINEAR
from renderer.materials import EYE, HAS_HAIR, HAS_LASH, IS_LASH, MOUTH, SCLERA, SKIN, TEETH, TONGUE, VERTEX_MASKS
from renderer.mesh_identities import MeshIdentity, Palette
from renderer.rasterizer import vertex_normals
from renderer.texture_map import NO_TEXTURE, TextureMap

MATERIAL_OF_PART = {
    "skin": SKIN, "lips": SKIN, "mouth": MOUTH, "eyeLeft": EYE, "eyeRight": EYE, "teethUpper": TEETH,
    "teethLower": TEETH, "tongue": TONGUE, "cloth": SKIN,
}  # fmt: skip
UPPER_LID_OFFSET = 0.02  # model units, 3 mm: with less the line still breaks at 256 pixels
SCALP_LIFT = {"cropped": 0.02}  # model units of the painted scalp under a cut
SCALP_LIFT_UNDER_LOCKS = 0.04  # the same under a cut that has locks


def srgb_to_linear(colour) -> np.ndarray:
    """sRGB 0..255 -> linear light 0..1, float32, any shape."""
    c = np.asarray(colour, np.float64) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


def tone_curve() -> np.ndarray:
    """(4096,) uint8: linear light 0..MAX_LINEAR -> sRGB, rolling off softly above 0.6 instead of burning out."""
    c = np.linspace(0, MAX_LINEAR, 4096)
    c = np.where(c < 0.6, c, 0.6 + 0.4 * (1 - np.exp(-(c - 0.6) / 0.4)))
    return np.round(255 * np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)).astype(np.uint8)


def studio_background(size: int, palette: Palette) -> np.ndarray:
    """(size, size, 3) linear float32: a plain wall with a soft pool of light behind the head."""
    at = (np.arange(size) + 0.5) / size - 0.5
    distance = np.hypot(at[None, :] + 0.10, (at[:, None] + 0.12) * 0.9)
    share = np.clip(distance / 0.78, 0, 1)[..., None] ** 1.6
    return (srgb_to_linear(palette.background) * (1 - share) + srgb_to_linear(palette.background_edge) * share).astype(
        np.float32
    )


class StudioSurface:
    """Everything about a face that stays the same from frame to frame, laid out for the compiled loop."""

    texture: TextureMap = NO_TEXTURE  # see textured_surface.py

    def __init__(
        self, face: FaceModel, identity: MeshIdentity, shape: np.ndarray, expression_basis: np.ndarray | None = None
    ):
        """shape (V, 3): the face at rest in object space; expression_basis (V, 3, 52): None takes that of `face`."""
        palette = identity.palette
        vertices, triangles = len(face.mean_shape), face.triangles
        parts = np.zeros(len(triangles), np.uint8) if face.parts is None else face.parts
        materials = np.array([MATERIAL_OF_PART[name] for name in face.part_names] or [SKIN], np.uint8)
        triangle_material = materials[parts]

        vertex_masks = np.full((vertices, len(VERTEX_MASKS)), -1.0, np.float32)
        vertex_masks[:, 0] = 1.0
        blush = np.zeros(vertices, np.float32)
        if face.vertex_masks is None:  # a model without masks, such as FaceVerse's: its own colours
            albedo = srgb_to_linear(face.mean_texture)
        else:
            for column, name in enumerate(VERTEX_MASKS):
                vertex_masks[:, column] = face.vertex_masks[:, face.vertex_mask_names.index(name)]
            if not identity.hair:
                vertex_masks[:, VERTEX_MASKS.index("hair")] = -1.0
            blush = face.vertex_masks[:, face.vertex_mask_names.index("blush"), None]
            skin = srgb_to_linear(palette.skin)
            albedo = (skin + 0.30 * blush * (srgb_to_linear(palette.blush) - skin)).astype(np.float32)
            vertex_masks[:, VERTEX_MASKS.index("lips")] -= identity.lip_inset
            vertex_masks[:, VERTEX_MASKS.index("browAcross")] /= identity.brow_thickness
            if face.parts is not None:
                share = identity.beard_density * beard_mask(shape)[:, None]
                albedo += share * (srgb_to_linear(palette.hair) - albedo)
        self.colours = np.concatenate(
            [srgb_to_linear([palette.lips, palette.hair, palette.iris, palette.cloth]), np.array([SCLERA], np.float32)]
        )

        # which masks any of a triangle's corners comes near to: most pixels need none of them
        corners = vertex_masks[triangles][:, :, 1:6]
        near_mask = corners.max(axis=1) > -0.015
        near_mask[:, 1] = (np.abs(corners[:, :, 1]) < 0.1).any(axis=1)
        layers = (near_mask * (1 << np.arange(near_mask.shape[1]))).sum(axis=1)
        # per triangle: its material, and a bit for each mask that is near
        self.triangle_materials = (triangle_material + 8 * layers).astype(np.int32)
        local = _local_coordinates(face, triangle_material, shape)
        # one row of 64 bytes for each vertex: colour 0..2, masks 3..9, local coordinates 10..12
        self.vertex_attributes = np.zeros((vertices, 16), np.float32)
        self.vertex_attributes[:, :13] = np.concatenate([albedo, vertex_masks, local], axis=1)
        hair = vertex_masks[:, VERTEX_MASKS.index("hair")]
        thickness = SCALP_LIFT.get(identity.haircut, SCALP_LIFT_UNDER_LOCKS)
        self.shape = _lift_scalp(shape, triangles, hair, thickness) if identity.hair else shape
        self.triangles, self.head_weight = triangles, face.head_weight
        self.basis = lift_upper_lids(face, face.expression_basis if expression_basis is None else expression_basis)
        if face.parts is not None and identity.hair:
            weight = np.ones(vertices) if face.head_weight is None else face.head_weight
            skin = np.zeros(vertices, bool)
            skin[triangles[np.isin(triangle_material, SKIN)]] = True
            for hair_mesh in build_hair(identity.haircut, self.shape, hair > 0.03, skin & (weight > 0.99)):
                self.append_geometry(hair_mesh, HAS_HAIR, "hair", albedo[0])
        if face.parts is not None and face.landmark_vertices is not None:
            self.append_geometry(build_lashes(face, shape, self.basis), HAS_LASH | IS_LASH, "lash", albedo[0])

    def append_geometry(self, hair_mesh: HairMesh, layers: int, mask: str, albedo: np.ndarray) -> None:
        """Locks or lashes become part of what is drawn: skin on which everything is `mask`."""
        rows = np.zeros((len(hair_mesh.points), self.vertex_attributes.shape[1]), np.float32)
        rows[:, :3] = albedo
        rows[:, 3:10] = -1.0
        rows[:, 3 + VERTEX_MASKS.index("occlusion")] = hair_mesh.occlusion
        rows[:, 3 + VERTEX_MASKS.index(mask)] = 1.0
        rows[:, 10] = hair_mesh.strand_u
        self.triangles = np.concatenate([self.triangles, hair_mesh.triangles + len(self.shape)])
        self.triangle_materials = np.append(
            self.triangle_materials, np.full(len(hair_mesh.triangles), SKIN + 8 * layers, np.int32)
        )
        self.vertex_attributes = np.concatenate([self.vertex_attributes, rows])
        self.shape = np.concatenate([self.shape, hair_mesh.points])
        self.basis = np.concatenate([self.basis, hair_mesh.basis])
        if self.head_weight is not None:
            self.head_weight = np.append(self.head_weight, hair_mesh.head_weight).astype(np.float32)


def beard_mask(shape: np.ndarray) -> np.ndarray:
    """(V,) float32 0..1: where a beard grows on a face (V, 3) at rest, from the sideburns to under the chin."""
    lateral, height, forward = np.abs(shape[:, 0]), -shape[:, 1], -shape[:, 2]
    cheek = ((0.0, 0.10, 0.19, 0.28, 0.34, 0.40, 0.45), (-0.125, -0.13, -0.21, -0.23, -0.17, -0.03, 0.06))
    throat = ((0.0, 0.2, 0.3, 0.38, 0.45), (-0.60, -0.56, -0.47, -0.33, -0.10))
    upper, lower = np.interp(lateral, *cheek), np.interp(lateral, *throat)
    inside = np.minimum(np.minimum(upper - height, height - lower), forward + 0.22)  # in front of the ears
    return np.clip(inside / 0.08 + 0.4, 0, 1).astype(np.float32)


def lift_upper_lids(face: FaceModel, basis: np.ndarray) -> np.ndarray:
    """The expression `basis` (V, 3, 52) whose closing upper lids come to lie on the lower ones, not inside them.

    Where the two rims cross each other the lash line breaks up into dashes. Models without parts keep their own.
    """
    if face.parts is None:
        return basis
    basis = basis.copy()
    skin = np.zeros(len(basis), bool)
    skin[face.triangles[face.parts == face.part_names.index("skin")]] = True
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        unit = EXPRESSION_NAMES.index(name)
        down = basis[:, 1, unit]  # of the closing lid; y points down, -z to the front
        basis[:, 2, unit] -= UPPER_LID_OFFSET * skin * np.clip((down / down.max() - 0.3) / 0.5, 0, 1)
    return basis


def _lift_scalp(shape: np.ndarray, triangles: np.ndarray, hair: np.ndarray, thickness: float) -> np.ndarray:
    """Short hair has a thickness: the scalp is lifted along its normals, softly from the hairline on."""
    normals = np.zeros_like(shape)
    vertex_normals(shape, triangles, normals)
    lift = np.clip(hair[:, None] / 0.16, 0, 1)
    return np.ascontiguousarray(shape + thickness * lift * (2 - lift) * normals)


def _local_coordinates(face: FaceModel, triangle_material: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """(V, 3): on an eyeball the point of the unit sphere, z to where it looks; in the mouth z is the depth 0..1.

    Everywhere else it is the resting place itself, x to the subject's left, y up, z to the front.
    """
    local = shape * np.array([1, -1, -1], np.float32)
    if face.parts is None:
        return local
    for inner in (EYE, TEETH, TONGUE, MOUTH):
        for part in np.unique(face.parts[triangle_material == inner]):
            ids = np.unique(face.triangles[face.parts == part])
            points = shape[ids] * [1, -1, -1]
            if inner == EYE:
                offset = points - (points.max(axis=0) + points.min(axis=0)) / 2
                local[ids] = offset / np.linalg.norm(offset, axis=1, keepdims=True)
            else:
                local[ids] = points
                local[ids, 2] = np.clip((points[:, 2].max() - points[:, 2]) / 0.25, 0, 1)
    return local
