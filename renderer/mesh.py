"""Draws the face mesh from coefficients, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from renderer.backends import BACKENDS, CPUBackend, Scene, choose
from renderer.coefficients import UPRIGHT, sane_coefficients
from renderer.compiled import compiled
from renderer.errors import RenderError
from renderer.face_model import (
    EXPRESSIONS,
    FOCAL_AT_224,
    FaceModel,
    place,
    rotation,
)
from renderer.studio import PEOPLE, Person, StudioSurface, display_table, ground

LOOKS = ("studio", "grey")

STUDIO_ZOOM = 0.67
"""FaceVerse's camera frames a face without skull and neck; the studio look steps back by this factor of its focal."""

CHUNK = 32  # frames whose vertices are computed in one matrix product
CLOSED_LIPS, PARTED_LIPS = 0.010, 0.060  # model units between the inner rims: no light enters, all of it does
NECK = np.array([0.0, 0.62, 0.42], np.float32)  # object space: about the third vertebra, where the head turns
NECK_FOLLOWS = 0.5  # share of the neck joint's travel that the shoulders take up


class MeshRenderer:
    """Coefficients in, pictures out: `MeshRenderer(face).render(coefficients)`.

    look: "studio" (lit, antialiased, shoulders that stay while the head turns) or "grey" (as the REACT challenge's
    videos look: flat grey on black, FaceVerse's own framing; docs/method.md 13.5).
    identity: a name in renderer.studio.PEOPLE, a Person, up to I identity coefficients, or None for the mean face.
    backend: "cpu" (compiled loops), "gl" (OpenGL on EGL; where that is missing the CPU draws, with a warning), or
    "auto": OpenGL where there is a GPU.
    focal: pixels; None takes FaceVerse's, 1315 at 224, times STUDIO_ZOOM in the studio look.
    """

    def __init__(
        self,
        face: FaceModel,
        size: int = 256,
        look: str = "studio",
        identity: str | Person | np.ndarray | None = None,
        focal: float | None = None,
        backend: str = "auto",
    ):
        if look not in LOOKS:
            raise RenderError(f"There is no look named {look!r}; choose one of {', '.join(LOOKS)}.")
        if not 16 <= size <= 4096:
            raise RenderError(f"The picture's size must lie between 16 and 4096 pixels, not {size}.")
        if backend not in BACKENDS:
            raise RenderError(f"There is no back end named {backend!r}; choose one of {', '.join(BACKENDS)}.")
        self.face, self.size, self.look = face, int(size), look
        person, vector = _person(face, identity)
        zoom = STUDIO_ZOOM if look == "studio" else 1.0
        self.focal = FOCAL_AT_224 * self.size / 224 * zoom if focal is None else float(focal)
        self._shape = np.ascontiguousarray(face.shape(vector), np.float32)
        self._basis = face.expression_basis.reshape(-1, EXPRESSIONS)
        self._bending: np.ndarray | None = None
        self._lips = None if face.landmark_vertices is None else face.landmark_vertices[[13, 14], 0]  # inner rims
        if look == "studio":
            surface = StudioSurface(face, person, self._shape)
            self._shape = surface.shape
            self._basis = surface.basis.reshape(-1, EXPRESSIONS)
            if surface.head_weight is not None:  # neck, shoulders and long hair do not turn fully with the head
                self._bending = np.flatnonzero(surface.head_weight < 1)
                self._head_weight = surface.head_weight[self._bending, None]
            wall = ground(self.size, person.palette)
            scene = Scene(surface.triangles, self.size, self.focal, surface, wall, display_table())
        else:
            # FaceVerse's own pictures are reproduced, jags and all; on the built-in head the rims of its lids and lips,
            # thinner than a pixel, would break up into dashes
            scene = Scene(face.triangles, self.size, self.focal, smooth=face.parts is not None)
        self._triangles = scene.triangles
        self._backend = choose(backend, scene)

    def render(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """(T, 58) coefficients -> T pictures (size, size, 3) uint8 RGB, drawn one by one as they are asked for.

        Values beyond what a face can do are clamped: expressions to 0..1, turns to 75° from upright, the place to
        what the camera can hold. Raises RenderError at once for a wrong shape, NaN or infinity. Threads may share one
        renderer.
        """
        coefficients = sane_coefficients(coefficients)
        return self._studio(coefficients) if self.look == "studio" else self._grey(coefficients)

    def render_transparent(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """The same without a ground: pictures (size, size, 4) uint8, RGB and opacity 0..255."""
        coefficients = sane_coefficients(coefficients)
        if self.look == "studio":
            return self._studio(coefficients, channels=4)
        return self._grey_apart(coefficients)

    def _object_vertices(self, coefficients: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(coefficients), CHUNK):
            rows = coefficients[start : start + CHUNK]
            moved = rows[:, :EXPRESSIONS] @ self._basis.T
            yield rows, self._shape + moved.reshape(len(rows), -1, 3)

    def _studio(self, coefficients: np.ndarray, channels: int = 3) -> Iterator[np.ndarray]:
        frames = (
            (world, self._mouth_light(world))
            for rows, vertices in self._object_vertices(coefficients)
            for world in self._with_shoulders(vertices, rows)
        )
        return self._backend.studio(frames, channels)

    def _mouth_light(self, world: np.ndarray) -> np.float32:
        """0..1: how much light falls past the lips of one frame's vertices (V, 3)."""
        if self._lips is None:
            return np.float32(1.0)
        gap = np.linalg.norm(world[self._lips[0]] - world[self._lips[1]])
        return np.float32(np.clip((gap - CLOSED_LIPS) / (PARTED_LIPS - CLOSED_LIPS), 0.1, 1.0))

    def _with_shoulders(self, vertices: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """World vertices (T, V, 3) with the neck bent between a turning head and upright shoulders.

        The model's own rule turns everything rigidly; a bust that turns with its head looks like a figurine.
        """
        world = place(vertices, rows)
        if self._bending is None:
            return world
        upright = np.tile(np.append(UPRIGHT, (0, 0, 0)), (len(rows), 1)).astype(np.float32)
        joint = (rotation(rows[:, -6:-3]) - rotation(upright[:, :3])) @ NECK
        upright[:, 3:] = rows[:, -3:] + NECK_FOLLOWS * joint
        still = place(vertices[:, self._bending], upright)
        world[:, self._bending] = still + self._head_weight * (world[:, self._bending] - still)
        return world

    def _grey(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        frames = ((world, triangle_shades(world, self._triangles)) for world in self._worlds(coefficients))
        for grey in self._backend.grey(frames):
            yield np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)  # truncated, as REACT does

    def _grey_apart(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """The same with opacity: every frame is drawn a second time in plain white, to see how much is covered."""
        white = np.full(len(self._triangles), 255, np.float32)
        frames = (
            (world, shades)
            for world in self._worlds(coefficients)
            for shades in (triangle_shades(world, self._triangles), white)
        )
        drawn = self._backend.grey(frames)
        for grey, covered in zip(drawn, drawn, strict=True):
            whole = (grey * 255 / np.maximum(covered, 1))[:, :, None]
            yield np.concatenate([whole, whole, whole, covered[:, :, None]], axis=2).astype(np.uint8)

    def _worlds(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        for rows, vertices in self._object_vertices(coefficients):
            yield from place(vertices, rows)


def grey_image(world: np.ndarray, triangles: np.ndarray, size: int, focal: float) -> np.ndarray:
    """(size, size) float32, 0..210 on ground 0: flat-shaded grey as in REACT's videos (docs/method.md 13.5)."""
    scene = Scene(triangles, size, focal)
    return next(CPUBackend(scene).grey([(world, triangle_shades(world, scene.triangles))]))


def triangle_shades(world: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(F,) float32, 20..210: the grey of every triangle of world vertices (V, 3), lit from the viewer's side."""
    shades = np.empty(len(triangles), np.float32)
    _flat_grey(np.ascontiguousarray(world, np.float32), triangles, shades)
    return shades


@compiled
def _flat_grey(world, triangles, shades):
    for face in range(triangles.shape[0]):
        a, b, c = world[triangles[face, 0]], world[triangles[face, 1]], world[triangles[face, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        lx, ly = -(a[0] + b[0] + c[0]) / 3.0, -(a[1] + b[1] + c[1]) / 3.0
        lz = 1e5 - (a[2] + b[2] + c[2]) / 3.0  # the lamp stands at (0, 0, 1e5)
        lit = (nx * lx + ny * ly + nz * lz) / np.sqrt(
            (nx * nx + ny * ny + nz * nz) * (lx * lx + ly * ly + lz * lz) + 1e-30
        )
        shades[face] = 200.0 * (0.1 + 0.95 * max(0.0, lit))


def _person(face: FaceModel, identity: str | Person | np.ndarray | None) -> tuple[Person, np.ndarray | None]:
    if identity is None:
        return Person(), None
    if isinstance(identity, str):
        if identity not in PEOPLE:
            raise RenderError(f"There is no listener named {identity!r}; choose one of {', '.join(PEOPLE)}.")
        identity = PEOPLE[identity]
    if isinstance(identity, Person):
        return identity, identity.vector(face)
    return Person(), np.asarray(identity, np.float32)
