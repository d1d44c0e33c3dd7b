"""The head that is given to other programs: whose it is, and where its vertices are in their axes.

Other programs measure in metres, with x to the subject's left, y up and z to the front. A head at rest, where REACT's
pictures have it on average, has its origin at (0, 0, 0).
"""

from __future__ import annotations

import numpy as np

from renderer.coefficients import plausible_coefficients
from renderer.errors import RenderError
from renderer.face_model import EXPRESSIONS, REACT_TRANSLATION, load_face_model
from renderer.identity.identity import Identity
from renderer.mesh_identities import MESH_IDENTITIES
from renderer.posing import pose_bust
from renderer.studio_surface import StudioSurface
from renderer.textured_surface import textured_surface

METRES_PER_UNIT = 0.162  # see FaceModel
TO_FILE_AXES = np.array([1.0, -1.0, -1.0], np.float32)  # from object space, which has y down and the nose towards -z
_FULL_RESOLUTION = np.inf  # a camera so near that the texture is never made smaller


def head_surface(head: Identity | str) -> StudioSurface:
    """The surface of a real person's head, or of a made-up person's by name.

    Raises RenderError for a name that is not in MESH_IDENTITIES and for an identity of another head model.
    """
    face = load_face_model()
    if isinstance(head, Identity):
        return textured_surface(face, head, _FULL_RESOLUTION)
    if head not in MESH_IDENTITIES:
        raise RenderError(f"There is no listener named {head!r}; choose one of {', '.join(MESH_IDENTITIES)}.")
    person = MESH_IDENTITIES[head]
    shape = np.ascontiguousarray(face.neutral_vertices(person.identity_coefficients(face)), np.float32)
    return StudioSurface(face, person, shape)


def world_vertices(surface: StudioSurface, coefficients: np.ndarray) -> np.ndarray:
    """(T, 58) coefficients -> (T, V, 3) float32 vertices in world space as the mesh videos draw them, see FaceModel."""
    rows = plausible_coefficients(coefficients)
    moved = rows[:, :EXPRESSIONS] @ surface.basis.reshape(-1, EXPRESSIONS).T
    vertices = surface.shape + moved.reshape(len(rows), -1, 3)
    return np.ascontiguousarray(pose_bust(vertices, rows, surface.head_weight), np.float32)


def in_metres(world: np.ndarray) -> np.ndarray:
    """World positions (..., 3) -> the same in metres, the origin where a head at rest has it."""
    return (world - np.array(REACT_TRANSLATION, np.float32)) * np.float32(METRES_PER_UNIT)
