"""A person's head as trimesh objects, for the tools that read those."""

from __future__ import annotations

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.color import ColorVisuals
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from renderer.export.head import head_surface, world_vertices
from renderer.export.parts import Part, surface_parts
from renderer.face_model import neutral_coefficients
from renderer.identity.identity import Identity
from renderer.rasterizer import vertex_normals


def identity_scene(head: Identity | str, coefficients: np.ndarray | None = None) -> trimesh.Scene:
    """The head of an identity or of a made-up person by name, posed by `coefficients` (58,); None: at rest.

    One geometry a part, named as Part.name. World space, see FaceModel. Raises RenderError for coefficients of another
    shape, an identity of another head or a name that nobody has.
    """
    surface = head_surface(head)
    rows = neutral_coefficients() if coefficients is None else np.atleast_2d(coefficients)[:1]
    world = world_vertices(surface, rows)[0]
    normals = np.empty_like(world)
    vertex_normals(world, surface.triangles, normals)
    scene = trimesh.Scene()
    for part in surface_parts(surface):
        scene.add_geometry(part_mesh(part, world, normals), geom_name=part.name)
    return scene


def part_mesh(part: Part, world: np.ndarray, normals: np.ndarray) -> trimesh.Trimesh:
    """One part at the surface's vertices `world` (V, 3) with `normals` (V, 3)."""
    visual: TextureVisuals | ColorVisuals
    if part.image is not None and part.uv is not None:
        material = PBRMaterial(
            baseColorTexture=Image.fromarray(part.image), metallicFactor=0.0, roughnessFactor=part.roughness
        )
        visual = TextureVisuals(uv=part.uv * (1, -1) + (0, 1), material=material)  # trimesh counts from below
    else:
        visual = ColorVisuals(vertex_colors=_rgba(part.colours))
    return trimesh.Trimesh(
        vertices=world[part.vertices],
        faces=part.triangles,
        vertex_normals=normals[part.vertices],
        visual=visual,
        process=False,
    )


def _rgba(colours: np.ndarray | None) -> np.ndarray:
    """(N, 4) uint8 from linear RGB; glTF and trimesh take the colours of vertices as linear light."""
    assert colours is not None, "a part without an image has colours"
    return np.column_stack([np.rint(255 * np.clip(colours, 0, 1)), np.full(len(colours), 255)]).astype(np.uint8)
