"""The mesh drawn by pyrender on EGL, for who knows that library; the package's extra `pyrender` brings it.

pyrender's own physically based shading stands in for the studio's: same lamps, same texture, but no wrapped light, no
rim that only edges catch, and what the loops paint in every pixel (brows, strands) is painted at the vertices. Pictures
resemble those of the other back ends and do not equal them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from renderer.export.parts import Part, surface_parts
from renderer.face_model import CAMERA_Z
from renderer.lighting import (
    AMBIENT_GROUND,
    AMBIENT_SKY,
    FILL,
    FILL_COLOUR,
    KEY,
    KEY_COLOUR,
    LIGHTS,
    MAX_LINEAR,
    RIM,
    RIM_COLOUR,
)
from renderer.materials import OCCLUSION
from renderer.rasterizer import vertex_normals

if TYPE_CHECKING:
    from renderer.backends import StaticScene

IN_MOUTH = ("teeth", "tongue", "mouth")
NEAR, FAR = 1.0, 100.0  # model units from the camera
RIM_SHARE = 0.5  # of the rim lamp: here it lights all that faces it, not edges alone


@lru_cache(maxsize=1)
def _pyrender_thread() -> ThreadPoolExecutor:
    """OpenGL contexts belong to the thread that made them: all drawing goes through one."""
    return ThreadPoolExecutor(1, "pyrender")


def _pyrender() -> Any:
    """The library, told to draw without a window before it loads OpenGL. Raises ImportError where it is missing."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    import pyrender  # an extra; it loads GL libraries

    return pyrender


class PyrenderBackend:
    """Draws by pyrender. Threads may share one: all drawing happens in one thread, frame by frame."""

    def __init__(self, scene: StaticScene) -> None:
        self._scene = scene
        self._run(self._create_resources)

    @staticmethod
    def _run(function: Callable, *arguments: Any) -> Any:
        return _pyrender_thread().submit(function, *arguments).result()

    def _create_resources(self) -> None:
        pyrender, scene = _pyrender(), self._scene
        self._library = pyrender
        self._offscreen = pyrender.OffscreenRenderer(scene.size, scene.size)
        ambient = (LIGHTS[AMBIENT_SKY] + LIGHTS[AMBIENT_GROUND]) / 2
        self._graph = pyrender.Scene(bg_color=np.zeros(4), ambient_light=ambient)
        centre = scene.size // 2  # which counts from the left and from below, see project_to_screen
        camera = pyrender.IntrinsicsCamera(scene.focal, scene.focal, centre, scene.size - centre, NEAR, FAR)
        pose = np.eye(4)
        pose[2, 3] = CAMERA_Z
        self._graph.add(camera, pose=pose)
        if scene.surface is None or scene.background is None or scene.tone_curve is None:  # the grey style
            return
        for direction, colour, share in (
            (KEY, KEY_COLOUR, 1.0),
            (FILL, FILL_COLOUR, 1.0),
            (RIM, RIM_COLOUR, RIM_SHARE),
        ):
            strength = float(LIGHTS[colour].max())
            lamp = pyrender.DirectionalLight(LIGHTS[colour] / strength, share * np.pi * strength)  # PBR divides by pi
            self._graph.add(lamp, pose=_towards(LIGHTS[direction]))
        images: dict[int, Any] = {}
        self._parts = [(part, self._material(part, images)) for part in surface_parts(scene.surface)]
        self._occlusion = scene.surface.vertex_attributes[:, OCCLUSION, None]
        levels = np.minimum(scene.background * ((len(scene.tone_curve) - 1) / MAX_LINEAR), len(scene.tone_curve) - 1)
        self._background = scene.tone_curve[levels.astype(int)].astype(np.float32)

    def _material(self, part: Part, images: dict[int, Any]) -> Any:
        """Of one part; parts that share an image share it on the card as well, by way of `images`."""
        if part.image is not None and id(part.image) not in images:
            opaque = np.full((*part.image.shape[:2], 1), 255, np.uint8)  # OpenGL wants rows of whole groups of 4 bytes
            source = np.concatenate([part.image, opaque], axis=2)
            images[id(part.image)] = self._library.Texture(source=source, source_channels="RGBA")
        return self._library.MetallicRoughnessMaterial(
            baseColorTexture=images.get(id(part.image)), metallicFactor=0.0, roughnessFactor=part.roughness
        )

    def studio(self, frames: Iterable[tuple[np.ndarray, float | np.float32]], channels: int) -> Iterator[np.ndarray]:
        for world, mouth_brightness in frames:
            normals = np.empty_like(world)
            vertex_normals(world, self._scene.triangles, normals)
            rgba = self._run(self._draw_studio, world, normals, float(mouth_brightness)).astype(np.float32)
            opacity = rgba[..., 3:] / 255
            if channels == 4:
                rgba[..., :3] /= np.maximum(opacity, 0.01)
            else:
                rgba = rgba[..., :3] + (1 - opacity) * self._background
            yield np.clip(np.rint(rgba), 0, 255).astype(np.uint8)

    def _draw_studio(self, world: np.ndarray, normals: np.ndarray, mouth_brightness: float) -> np.ndarray:
        """(S, S, 4) uint8, colours times opacity."""
        primitives = []
        for part, material in self._parts:
            if part.colours is not None:
                shades = part.colours * (mouth_brightness if part.name in IN_MOUTH else 1.0)
            else:
                shades = np.repeat(self._occlusion[part.vertices], 3, axis=1)
            primitives.append(
                self._library.Primitive(
                    positions=world[part.vertices],
                    normals=normals[part.vertices],
                    texcoord_0=None if part.uv is None else (part.uv * (1, -1) + (0, 1)).astype(np.float32),
                    color_0=np.column_stack([np.clip(shades, 0, 1), np.ones(len(shades))]).astype(np.float32),
                    indices=part.triangles,
                    material=material,
                )
            )
        return self._draw(primitives, self._library.RenderFlags.RGBA)

    def grey(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        for world, triangle_greys in frames:
            yield self._run(self._draw_grey, world, triangle_greys)

    def _draw_grey(self, world: np.ndarray, triangle_greys: np.ndarray) -> np.ndarray:
        """(S, S) float32; every corner is a vertex of its own, so that triangles are of one shade."""
        shades = np.repeat(triangle_greys / np.float32(255), 3)[:, None]
        corners = world[self._scene.triangles.reshape(-1)]
        flat = self._library.Primitive(
            positions=corners,
            color_0=np.hstack([shades, shades, shades, np.ones_like(shades)]).astype(np.float32),
            indices=np.arange(len(corners), dtype=np.uint32).reshape(-1, 3),
        )
        flags = self._library.RenderFlags
        return self._draw([flat], flags.RGBA | flags.FLAT | flags.SKIP_CULL_FACES)[..., 0].astype(np.float32)

    def _draw(self, primitives: list[Any], flags: int) -> np.ndarray:
        node = self._graph.add(self._library.Mesh(primitives))
        try:
            return self._offscreen.render(self._graph, flags=flags)[0]
        finally:
            self._graph.remove_node(node)


def _towards(direction: np.ndarray) -> np.ndarray:
    """(4, 4) pose of a lamp that stands in `direction` (3,) and shines along its own -z."""
    back = direction / np.linalg.norm(direction)
    side = np.cross([0.0, 1.0, 0.0], back)
    side /= np.linalg.norm(side)
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([side, np.cross(back, side), back])
    return pose
