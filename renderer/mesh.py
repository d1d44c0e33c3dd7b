"""Draws the face mesh from coefficients, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from renderer.backends import BACKENDS, CPUBackend, StaticScene, choose_backend
from renderer.coefficients import plausible_coefficients
from renderer.errors import RenderError
from renderer.face_model import (
    CAMERA_Z,
    EXPRESSIONS,
    FOCAL_AT_224,
    FaceModel,
    neutral_coefficients,
    pose_vertices,
)
from renderer.identity.identity import Identity
from renderer.jit import jit
from renderer.mesh_identities import MESH_IDENTITIES, MeshIdentity, Palette
from renderer.posing import blended, pose_moved
from renderer.studio_surface import StudioSurface, studio_background, tone_curve
from renderer.textured_surface import check_identity, textured_surface

MESH_STYLES = ("studio", "grey")

STUDIO_ZOOM = 0.67
"""FaceVerse's camera frames a face without skull and neck; the studio style steps back by this factor of its focal."""

ROOM_ABOVE = 0.04  # of the picture, over a person's hair at rest: it goes up in a nod
LEAST_ZOOM = 0.57  # below, the ends of the shoulders would be seen

FRAMES_PER_BATCH = 32  # frames whose vertices are computed together
STUDIO_FRAMES_PER_BATCH = 16  # of the studio style; their vertices stay in the cache until they are posed
CLOSED_LIPS, PARTED_LIPS = 0.010, 0.060  # model units between the inner rims: no light enters, all of it does


class MeshRenderer:
    """Coefficients in, pictures out: `MeshRenderer(face).render(coefficients)`.

    mesh_style: "studio" (lit, antialiased, shoulders that stay while the head turns) or "grey" (as the REACT data's
    videos have it: flat grey on black, FaceVerse's own framing; docs/method.md 13.5).
    mesh_identity: a name in renderer.mesh_identities.MESH_IDENTITIES, a MeshIdentity, an Identity (a real person's
    head with its texture; the grey style draws its shape alone), up to I identity coefficients, or None for the mean
    face.
    backend: "cpu" (compiled loops), "gl" (OpenGL on EGL; where that is missing the CPU draws, with a warning), or
    "pyrender" (that library's shading, an extra; else the CPU, with a warning), or "auto": OpenGL where there is a GPU.
    focal: pixels; None takes FaceVerse's, 1315 at 224, times STUDIO_ZOOM in the studio style, and farther away for a
    person with high hair.
    """

    def __init__(
        self,
        face: FaceModel,
        size: int = 256,
        mesh_style: str = "studio",
        mesh_identity: str | MeshIdentity | Identity | np.ndarray | None = None,
        focal: float | None = None,
        backend: str = "auto",
    ):
        if mesh_style not in MESH_STYLES:
            raise RenderError(f"There is no mesh style named {mesh_style!r}; choose one of {', '.join(MESH_STYLES)}.")
        if not 16 <= size <= 4096:
            raise RenderError(f"The picture's size must lie between 16 and 4096 pixels, not {size}.")
        if backend not in BACKENDS:
            raise RenderError(f"There is no back end named {backend!r}; choose one of {', '.join(BACKENDS)}.")
        self.face, self.size, self.mesh_style = face, int(size), mesh_style
        zoom = _zoom(mesh_identity) if mesh_style == "studio" else 1.0
        self.focal = FOCAL_AT_224 * self.size / 224 * zoom if focal is None else float(focal)
        palette, basis = Palette(), face.expression_basis
        if isinstance(mesh_identity, Identity):
            check_identity(face, mesh_identity)
            self._shape, basis = mesh_identity.shape, mesh_identity.expression_basis
        else:
            mesh_identity, identity_coefficients = _resolve_identity(face, mesh_identity)
            self._shape = np.ascontiguousarray(face.neutral_vertices(identity_coefficients), np.float32)
            palette = mesh_identity.palette
        self._head_weight: np.ndarray | None = None
        landmarks = face.landmark_vertices
        self._inner_lip_vertices = None if landmarks is None else landmarks[[13, 14], 0]
        if mesh_style == "studio":
            surface = (
                textured_surface(face, mesh_identity, self.focal)
                if isinstance(mesh_identity, Identity)
                else StudioSurface(face, mesh_identity, self._shape)
            )
            self._shape = surface.shape
            basis = surface.basis
            self._head_weight = surface.head_weight  # neck, shoulders and long hair do not turn fully with the head
            background = studio_background(self.size, palette)
            scene = StaticScene(surface.triangles, self.size, self.focal, surface, background, tone_curve())
        else:
            # FaceVerse's own pictures are reproduced, jags and all; on the built-in head the rims of its lids and lips,
            # thinner than a pixel, would break up into dashes
            scene = StaticScene(face.triangles, self.size, self.focal, antialias_grey=face.parts is not None)
        self._moving = np.flatnonzero(basis.any(axis=(1, 2)))  # vertices that expressions move: not hair and shoulders
        self._moving_basis = np.ascontiguousarray(basis[self._moving].reshape(-1, EXPRESSIONS).T)
        self._triangles = scene.triangles
        self._backend = choose_backend(backend, scene)

    def render(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """(T, 58) coefficients -> T pictures (size, size, 3) uint8 RGB, drawn one by one as they are asked for.

        Values beyond what a face can do are clamped: expressions to 0..1, turns to 75° from upright, the place to
        what the camera can hold. Raises RenderError at once for a wrong shape, NaN or infinity. Threads may share one
        renderer.
        """
        coefficients = plausible_coefficients(coefficients)
        return self._render_studio(coefficients) if self.mesh_style == "studio" else self._render_grey(coefficients)

    def render_transparent(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """The same without a background: pictures (size, size, 4) uint8, RGB and opacity 0..255."""
        coefficients = plausible_coefficients(coefficients)
        if self.mesh_style == "studio":
            return self._render_studio(coefficients, channels=4)
        return self._grey_with_alpha(coefficients)

    def _object_vertices(self, coefficients: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(coefficients), FRAMES_PER_BATCH):
            rows = coefficients[start : start + FRAMES_PER_BATCH]
            vertices = np.repeat(self._shape[None], len(rows), axis=0)
            vertices[:, self._moving] += self._moved(rows)
            yield rows, vertices

    def _studio_vertices(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """World vertices (V, 3) of each frame, as pose_bust has them; the next frame overwrites them."""
        for start in range(0, len(coefficients), STUDIO_FRAMES_PER_BATCH):
            rows = coefficients[start : start + STUDIO_FRAMES_PER_BATCH]
            yield from pose_moved(self._shape, self._moving, self._moved(rows), rows, self._head_weight)

    def _moved(self, coefficients: np.ndarray) -> np.ndarray:
        """(T, M, 3): what expressions add to the vertices that they move."""
        expressions = np.ascontiguousarray(coefficients[:, :EXPRESSIONS], np.float32)
        return blended(expressions, self._moving_basis).reshape(len(coefficients), -1, 3)

    def _render_studio(self, coefficients: np.ndarray, channels: int = 3) -> Iterator[np.ndarray]:
        frames = ((world, self._mouth_brightness(world)) for world in self._studio_vertices(coefficients))
        return self._backend.studio(frames, channels)

    def _mouth_brightness(self, world: np.ndarray) -> np.float32:
        """0..1: how much light falls past the lips of one frame's vertices (V, 3)."""
        if self._inner_lip_vertices is None:
            return np.float32(1.0)
        gap = math.dist(*world[self._inner_lip_vertices].tolist())
        return np.float32(min(max((gap - CLOSED_LIPS) / (PARTED_LIPS - CLOSED_LIPS), 0.1), 1.0))

    def _render_grey(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        frames = ((world, flat_shading(world, self._triangles)) for world in self._posed_vertices(coefficients))
        for grey in self._backend.grey(frames):
            yield np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)  # truncated, as REACT does

    def _grey_with_alpha(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """The same with opacity: every frame is drawn a second time in plain white, to see how much is covered."""
        white = np.full(len(self._triangles), 255, np.float32)
        frames = (
            (world, triangle_greys)
            for world in self._posed_vertices(coefficients)
            for triangle_greys in (flat_shading(world, self._triangles), white)
        )
        drawn = self._backend.grey(frames)
        for grey, coverage in zip(drawn, drawn, strict=True):
            unpremultiplied = (grey * 255 / np.maximum(coverage, 1))[:, :, None]
            yield np.concatenate(
                [unpremultiplied, unpremultiplied, unpremultiplied, coverage[:, :, None]], axis=2
            ).astype(np.uint8)

    def _posed_vertices(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        for rows, vertices in self._object_vertices(coefficients):
            yield from pose_vertices(vertices, rows)


def grey_image(world: np.ndarray, triangles: np.ndarray, size: int, focal: float) -> np.ndarray:
    """(size, size) float32, 0..210 on background 0: flat-shaded grey as in REACT's videos (docs/method.md 13.5)."""
    scene = StaticScene(triangles, size, focal)
    return next(CPUBackend(scene).grey([(world, flat_shading(world, scene.triangles))]))


def flat_shading(world: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(F,) float32, 20..210: the grey of every triangle of world vertices (V, 3), lit from the viewer's side."""
    triangle_greys = np.empty(len(triangles), np.float32)
    _shade_flat(np.ascontiguousarray(world, np.float32), triangles, triangle_greys)
    return triangle_greys


@jit
def _shade_flat(world, triangles, triangle_greys):
    for face in range(triangles.shape[0]):
        a, b, c = world[triangles[face, 0]], world[triangles[face, 1]], world[triangles[face, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        lx, ly = -(a[0] + b[0] + c[0]) / 3.0, -(a[1] + b[1] + c[1]) / 3.0
        lz = 1e5 - (a[2] + b[2] + c[2]) / 3.0  # the lamp stands at (0, 0, 1e5)
        cosine = (nx * lx + ny * ly + nz * lz) / np.sqrt(
            (nx * nx + ny * ny + nz * nz) * (lx * lx + ly * ly + lz * lz) + 1e-30
        )
        triangle_greys[face] = 200.0 * (0.1 + 0.95 * max(0.0, cosine))


def studio_focal(identity: str | MeshIdentity | Identity | np.ndarray | None) -> float:
    """The focal length of the studio style's pictures of this identity, in picture heights."""
    return FOCAL_AT_224 / 224 * _zoom(identity)


def _zoom(identity: str | MeshIdentity | Identity | np.ndarray | None) -> float:
    """The studio's zoom: STUDIO_ZOOM, or for a real person that at which all hair is in the picture."""
    if not isinstance(identity, Identity):
        return STUDIO_ZOOM
    points = identity.shape if identity.hair is None else np.concatenate([identity.shape, identity.hair.points])
    world = pose_vertices(points[None], neutral_coefficients())[0]
    highest = float((world[:, 1] / (CAMERA_Z - world[:, 2])).max())  # of the focal length, above the picture's middle
    half = 224 / 2 / FOCAL_AT_224
    return float(np.clip((1 - 2 * ROOM_ABOVE) * half / max(highest, 1e-6), LEAST_ZOOM, STUDIO_ZOOM))


def _resolve_identity(
    face: FaceModel, identity: str | MeshIdentity | np.ndarray | None
) -> tuple[MeshIdentity, np.ndarray | None]:
    if identity is None:
        return MeshIdentity(), None
    if isinstance(identity, str):
        if identity not in MESH_IDENTITIES:
            raise RenderError(f"There is no listener named {identity!r}; choose one of {', '.join(MESH_IDENTITIES)}.")
        identity = MESH_IDENTITIES[identity]
    if isinstance(identity, MeshIdentity):
        return identity, identity.identity_coefficients(face)
    return MeshIdentity(), np.asarray(identity, np.float32)
