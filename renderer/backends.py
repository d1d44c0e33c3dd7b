"""Ways of drawing one scene behind one interface: compiled loops on the CPU, OpenGL, and pyrender.

OpenGL is reached through moderngl on EGL, without a window. pyrender draws on EGL too, by its own shading, and fewer
pictures a second; it is there for who asks for it by name (pyrender_backend.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from renderer.depth_buffer import draw_depths, new_depth_buffer, row_stride
from renderer.edges import find_edges, new_edge_pixels
from renderer.face_model import CAMERA_Z
from renderer.lighting import LIGHTS, MAX_LINEAR, light_vertices
from renderer.materials import TOOTH_SPACING
from renderer.prepared_surface import PreparedSurface, prepare_surface
from renderer.pyrender_backend import PyrenderBackend
from renderer.rasterizer import (
    CENTRE_SAMPLE,
    SAMPLE_PATTERN,
    new_visibility_buffer,
    project_to_screen,
    rasterise,
    resolve_grey,
    vertex_normals,
)
from renderer.shaders import FULLSCREEN_VERTEX, GREY_FRAGMENT, MESH_VERTEX, RESOLVE_FRAGMENT, STUDIO_FRAGMENT
from renderer.shading import ShadedScene, new_frame, shade, surface_ids, tone_mapped
from renderer.studio_surface import StudioSurface
from renderer.texture_map import LAST_TEXEL

BACKENDS = ("auto", "cpu", "gl", "pyrender")
GPU_DEVICES = ("/dev/dri/renderD*", "/dev/nvidia[0-9]*")
SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast")  # GL without a GPU: slower than the loops
TEXTURE_WIDTH = 1024  # triangles in one row of a texture


class Backend(Protocol):
    """Draws world vertices of one mesh, size and camera."""

    def studio(self, frames: Iterable[tuple[np.ndarray, float | np.float32]], channels: int) -> Iterator[np.ndarray]:
        """(vertices (V, 3), light in the mouth 0..1) of each frame -> (S, S, 3 or 4) uint8."""
        ...

    def grey(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """(vertices (V, 3), shade of each triangle (F,)) of each frame -> (S, S) float32, 0 where nothing is."""
        ...


class StaticScene:
    """What stays the same from frame to frame.

    surface, background (S, S, 3) linear, tone_curve: of the studio style only.
    antialias_grey: whether the grey style is antialiased.
    """

    def __init__(
        self,
        triangles: np.ndarray,
        size: int,
        focal: float,
        surface: StudioSurface | None = None,
        background: np.ndarray | None = None,
        tone_curve: np.ndarray | None = None,
        antialias_grey: bool = False,
    ) -> None:
        self.triangles = triangles.astype(np.uint32)  # unsigned: no check for negative indices in the loops
        self.size, self.focal = size, focal
        self.surface, self.background, self.tone_curve, self.antialias_grey = (
            surface,
            background,
            tone_curve,
            antialias_grey,
        )


def choose_backend(kind: str, scene: StaticScene) -> Backend:
    """The back end to draw with: "cpu", "gl", "pyrender", or "auto": OpenGL where there is a GPU.

    Where OpenGL or pyrender was asked for and cannot be had, the CPU draws, and one sentence says so (a warning).
    """
    if kind == "pyrender":
        try:
            return PyrenderBackend(scene)
        except Exception as error:
            _warn_of_cpu("pyrender", error)
    if kind == "gl" or (kind == "auto" and has_gpu()):
        try:
            backend = GLBackend(scene)
        except Exception as error:  # whatever a driver or a missing library raises: the picture matters more
            if kind == "gl":
                _warn_of_cpu("OpenGL", error)
        else:
            if kind == "gl" or not backend.renderer_name.lower().startswith(SOFTWARE_RENDERERS):
                return backend
    return CPUBackend(scene)


def _warn_of_cpu(missing: str, error: Exception) -> None:
    reason = " ".join(str(error).split()) or type(error).__name__
    warnings.warn(f"{missing} cannot be used ({reason}); the CPU draws instead.", stacklevel=4)


def has_gpu() -> bool:
    """Whether the machine shows a GPU; asked before any GL library is touched, for those may end the process."""
    return any(any(Path("/").glob(pattern[1:])) for pattern in GPU_DEVICES)


class _StudioBuffers:
    """What one call draws a picture in; fresh memory is slow the first time it is written to."""

    def __init__(self, prepared: PreparedSurface, size: int, vertices: int, triangles: int) -> None:
        self.depths, self.edges = new_depth_buffer(size, triangles), new_edge_pixels(size)
        self.frame = new_frame(vertices, triangles)
        self.vertex_columns = prepared.vertex_columns.copy()


class CPUBackend:
    """The compiled loops. Threads may share one: every call has its own buffers.

    supersample: draws the studio style the slow way, every pixel from all its samples and every point by itself, as the
    measure of what the quick way leaves out.
    """

    def __init__(self, scene: StaticScene, supersample: bool = False) -> None:
        self._scene, self._supersample = scene, supersample
        self._spare_buffers: list[_StudioBuffers] = []  # of calls that have come to their end
        surface = scene.surface
        if surface is None:
            return
        self._prepared = prepare_surface(surface, scene.focal, supersample)
        self._wall = tone_mapped(scene.background, scene.tone_curve)
        self._shaded = ShadedScene(
            scene.triangles, surface.triangle_materials, surface.vertex_attributes, surface.colours,
            surface.texture.texels, surface.texture.texels.view(np.uint32).reshape(-1), surface.texture.corners,
            self._prepared, scene.background.reshape(-1, 3), scene.tone_curve, np.float32(scene.focal),
        )  # fmt: skip

    def studio(self, frames: Iterable[tuple[np.ndarray, float]], channels: int) -> Iterator[np.ndarray]:
        scene, prepared = self._scene, self._prepared
        triangles, size, ids = scene.triangles, scene.size, surface_ids(scene.surface.triangle_materials)
        stride, empty = row_stride(size), self._wall if channels == 3 else np.zeros((size, size, 4), np.uint8)
        try:
            buffers = self._spare_buffers.pop()
        except IndexError:
            buffers = _StudioBuffers(self._prepared, size, len(scene.surface.shape), len(triangles))
        depths, frame = buffers.depths, buffers.frame
        for world, mouth_brightness in frames:
            vertex_normals(world, triangles, frame.normals)
            light_vertices(frame.normals, buffers.vertex_columns, frame.lit_vertices)
            project_to_screen(world, scene.focal, size // 2, size, CAMERA_Z, frame.screen_vertices)
            facing = draw_depths(frame.screen_vertices, triangles, ids, size, stride, depths)
            buffers.edges = find_edges(
                depths, facing, frame.screen_vertices, triangles, ids, prepared.thin, buffers.edges, self._supersample
            )
            frame.mouth_brightness[0] = mouth_brightness
            image = empty.copy()
            shade(depths, stride, buffers.edges, self._shaded, frame, size, channels, image.reshape(-1))
            yield image
        self._spare_buffers.append(buffers)

    def grey(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        scene, sample_offsets = self._scene, SAMPLE_PATTERN if self._scene.antialias_grey else CENTRE_SAMPLE
        visibility_buffer = new_visibility_buffer(scene.size, sample_offsets)
        cull = np.zeros(len(scene.triangles), bool)
        for world, triangle_greys in frames:
            world = np.ascontiguousarray(world, np.float32)
            screen_vertices = np.empty_like(world)
            project_to_screen(world, scene.focal, scene.size // 2, scene.size, CAMERA_Z, screen_vertices)
            rasterise(screen_vertices, scene.triangles, cull, visibility_buffer, sample_offsets)
            image = np.empty((scene.size,) * 2, np.float32)
            resolve_grey(visibility_buffer, triangle_greys, image)
            yield image


@lru_cache(maxsize=1)
def _gl_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="gl")  # a context belongs to the thread that made it


@lru_cache(maxsize=1)
def _context():
    """The one context of the process. Called in the GL thread only."""
    import moderngl  # loads GL libraries: not where the CPU draws

    return moderngl.create_context(standalone=True, backend="egl", require=330)


class GLBackend:
    """OpenGL 3.3. Threads may share one: all drawing happens in the GL thread, frame by frame."""

    def __init__(self, scene: StaticScene) -> None:
        self._scene = scene
        self.renderer_name: str = self._run(self._create_resources)  # what the driver calls itself

    @staticmethod
    def _run(function: Callable, *arguments):
        return _gl_thread().submit(function, *arguments).result()

    def _create_resources(self) -> str:
        gl, scene, surface = _context(), self._scene, self._scene.surface
        antialiased = surface is not None or scene.antialias_grey
        samples = scene.size * (2 if antialiased else 1)  # a square of four, see shaders.py
        rows = -(-len(scene.triangles) // TEXTURE_WIDTH)
        self._per_triangle = gl.texture((TEXTURE_WIDTH, rows), 1, dtype="f4")
        fragment = (
            (GREY_FRAGMENT if surface is None else STUDIO_FRAGMENT)
            .replace("TEXTURE_WIDTH", str(TEXTURE_WIDTH))
            .replace("TOOTH_SPACING", f"{TOOTH_SPACING:.6f}")
            .replace("LAST_TEXEL", f"{LAST_TEXEL:.6f}")
        )
        self._program = gl.program(MESH_VERTEX, fragment)
        self._set_uniforms(
            focal_scale=2 * scene.focal / scene.size, principal_offset=2 * (scene.size // 2) / scene.size - 1
        )
        self._drawn_vertices, triangles, texel_positions = _split_seams(scene)
        self._vertex_buffer = gl.buffer(reserve=len(self._drawn_vertices) * 24, dynamic=True)
        vertex_buffers = [
            (
                self._vertex_buffer,
                "3f 3f" if surface is not None else "3f 3x4",
                "position",
                *self._studio_attributes("normal"),
            )
        ]
        if surface is not None:
            columns = np.hstack([surface.vertex_attributes[self._drawn_vertices, :15], texel_positions])
            names = ("albedo_occlusion", "lips_brow_hair", "lash_cloth_along", "local_position", "shine_wrap")
            vertex_buffers.append((gl.buffer(columns), "4f 3f 3f 3f 2f 2f", *names, "texel_position"))
            height, width = surface.texture.texels.shape[:2]
            self._texels = gl.texture((width, height), 4, surface.texture.texels, alignment=1)
            self._upload_triangle_values(surface.triangle_materials)
            self._set_uniforms(lights=LIGHTS, colours=surface.colours, focal=scene.focal)
            self._resolve = gl.program(FULLSCREEN_VERTEX, RESOLVE_FRAGMENT.replace("MAX_LINEAR", f"{MAX_LINEAR:.3f}"))
            corners = gl.buffer(np.array([-1, -1, 3, -1, -1, 3], np.float32))
            self._fullscreen_triangle = gl.vertex_array(self._resolve, [(corners, "2f", "corner")])
            self._background_texture = gl.texture(
                (scene.size,) * 2, 3, np.ascontiguousarray(scene.background[::-1], np.float32), dtype="f4"
            )
            self._output_framebuffer = gl.framebuffer([gl.renderbuffer((scene.size,) * 2, 4)])
        self._mesh_array = gl.vertex_array(self._program, vertex_buffers, gl.buffer(triangles))
        self._sample_texture = gl.texture((samples,) * 2, 4, dtype="f4")
        self._sample_framebuffer = gl.framebuffer([self._sample_texture], gl.depth_renderbuffer((samples,) * 2))
        return gl.info["GL_RENDERER"]

    def _studio_attributes(self, name: str) -> tuple[str, ...]:
        return (name,) if self._scene.surface is not None else ()

    def _set_uniforms(self, **values) -> None:
        for name, value in values.items():
            if name in self._program:
                uniform = self._program[name]
                if isinstance(value, np.ndarray):
                    uniform.write(np.ascontiguousarray(value, np.float32).tobytes())
                else:
                    uniform.value = value

    def _upload_triangle_values(self, values: np.ndarray) -> None:
        padded = np.zeros(self._per_triangle.width * self._per_triangle.height, np.float32)
        padded[: len(values)] = values
        self._per_triangle.write(padded)

    def studio(self, frames: Iterable[tuple[np.ndarray, float]], channels: int) -> Iterator[np.ndarray]:
        for world, mouth_brightness in frames:
            normals = np.empty_like(world)
            vertex_normals(world, self._scene.triangles, normals)
            yield self._run(self._draw_studio, np.hstack([world, normals]), float(mouth_brightness), channels)

    def grey(self, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        for world, triangle_greys in frames:
            yield self._run(self._draw_grey, np.hstack([world, np.zeros_like(world)]), triangle_greys)

    def _draw(self, vertices: np.ndarray, cull_backfaces: bool) -> None:
        import moderngl

        gl = _context()
        self._vertex_buffer.write(np.ascontiguousarray(vertices[self._drawn_vertices], np.float32))
        self._sample_framebuffer.use()
        self._sample_framebuffer.clear()
        gl.enable_only(moderngl.DEPTH_TEST | (moderngl.CULL_FACE if cull_backfaces else 0))
        self._per_triangle.use(0)
        self._mesh_array.render()

    def _draw_grey(self, vertices: np.ndarray, triangle_greys: np.ndarray) -> np.ndarray:
        self._upload_triangle_values(triangle_greys)
        self._draw(vertices, cull_backfaces=False)
        size, samples_per_axis = self._scene.size, self._sample_texture.width // self._scene.size
        samples = np.frombuffer(self._sample_texture.read(), np.float32).reshape(
            size, samples_per_axis, size, samples_per_axis, 4
        )
        return samples[::-1, :, :, :, 0].mean(axis=(1, 3))

    def _draw_studio(self, vertices: np.ndarray, mouth_brightness: float, channels: int) -> np.ndarray:
        import moderngl

        self._set_uniforms(mouth_brightness=mouth_brightness, texels=1)
        self._texels.use(1)
        self._draw(vertices, cull_backfaces=True)
        self._output_framebuffer.use()
        _context().enable_only(moderngl.NOTHING)
        self._sample_texture.use(0)
        self._background_texture.use(1)
        self._resolve["samples"].value = 0
        self._resolve["background"].value = 1
        self._resolve["has_alpha"].value = channels == 4
        self._fullscreen_triangle.render()
        size = self._scene.size
        pixels = np.frombuffer(self._output_framebuffer.read(components=channels, alignment=1), np.uint8)
        return pixels.reshape(size, size, channels)[::-1].copy()


def _split_seams(scene: StaticScene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices as OpenGL wants them: one that lies in several places of the texture is there several times.

    Returns their numbers among the scene's (N,), triangles of them (F, 3) uint32, their places in texels (N, 2).
    """
    if scene.surface is None or not scene.surface.texture.textured.any():
        vertices = np.arange(scene.triangles.max() + 1)
        return vertices, scene.triangles, np.zeros((len(vertices), 2), np.float32)
    corners = np.column_stack([scene.triangles.reshape(-1), scene.surface.texture.corners.reshape(-1, 2)])
    corners, number = np.unique(corners.astype(np.float32), axis=0, return_inverse=True)  # exact up to 2^24
    return corners[:, 0].astype(int), number.reshape(-1, 3).astype(np.uint32), corners[:, 1:]
