"""A head as it is in one frame, as files of trimesh's: OBJ, PLY, and a GLB without movement. In metres, see head.py."""

from __future__ import annotations

import numpy as np
import trimesh
from trimesh.exchange.obj import export_obj
from trimesh.visual.material import SimpleMaterial

from renderer.export.head import in_metres, world_vertices
from renderer.export.parts import surface_parts
from renderer.export.trimesh_scene import part_mesh
from renderer.rasterizer import vertex_normals
from renderer.studio_surface import StudioSurface

STILLS = ("obj", "ply", "glb")
WHITE, BLACK = (255, 255, 255, 255), (0, 0, 0, 255)


def still_files(surface: StudioSurface, coefficients: np.ndarray, stem: str, kind: str) -> dict[str, bytes]:
    """Name -> content of the files of a head posed by `coefficients` (58,): one, or for "obj" its textures besides.

    surface: of `head_surface`.
    kind: "obj" (a material for each part and its texture), "ply" (one mesh, coloured at its vertices, the textures'
    detail lost) or "glb". Raises RenderError for coefficients that cannot be drawn.
    """
    meshes = _meshes(surface, np.atleast_2d(coefficients)[:1])
    if kind == "glb":
        return {f"{stem}.glb": trimesh.Scene(meshes).export(file_type="glb")}
    if kind == "obj":
        return _obj(meshes, stem)
    assert kind == "ply", "one of STILLS"
    return {f"{stem}.ply": _one_mesh(meshes).export(file_type="ply", vertex_normal=True)}


def _meshes(surface: StudioSurface, rows: np.ndarray) -> dict[str, trimesh.Trimesh]:
    world = world_vertices(surface, rows)[0]
    normals = np.empty_like(world)
    vertex_normals(world, surface.triangles, normals)
    vertices = in_metres(world)
    return {part.name: part_mesh(part, vertices, normals) for part in surface_parts(surface)}


def _obj(meshes: dict[str, trimesh.Trimesh], stem: str) -> dict[str, bytes]:
    """Parts without a texture come first: a line `usemtl` holds until the next."""
    scene = trimesh.Scene()
    for name, mesh in sorted(meshes.items(), key=lambda one: hasattr(one[1].visual, "material")):
        if hasattr(mesh.visual, "material"):
            image = mesh.visual.material.baseColorTexture
            mesh.visual.material = SimpleMaterial(image, diffuse=WHITE, specular=BLACK, name=f"{stem}_{name}")
        else:
            mesh.visual.vertex_colors = _shown(mesh.visual.vertex_colors)
        scene.add_geometry(mesh, geom_name=name)
    text, files = export_obj(scene, include_normals=True, return_texture=True, mtl_name=f"{stem}.mtl", header=None)
    return {f"{stem}.obj": text.encode(), **files}


def _one_mesh(meshes: dict[str, trimesh.Trimesh]) -> trimesh.Trimesh:
    parts = list(meshes.values())
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    colours = [
        part.visual.to_color().vertex_colors if hasattr(part.visual, "material") else _shown(part.visual.vertex_colors)
        for part in parts
    ]
    return trimesh.Trimesh(
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)]),
        vertex_normals=np.concatenate([part.vertex_normals for part in parts]),
        vertex_colors=np.concatenate(colours),
        process=False,
    )


def _shown(linear: np.ndarray) -> np.ndarray:
    """(N, 4) uint8 colours of linear light, as trimesh and glTF have them -> sRGB, as OBJ and PLY have them."""
    light = np.asarray(linear, np.float64) / 255
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * np.column_stack([encoded[:, :3], light[:, 3:]])).astype(np.uint8)
