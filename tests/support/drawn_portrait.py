"""A portrait of nobody for tests and benchmarks: the built-in head, drawn, with landmarks that are exact by making."""

import numpy as np

from renderer.face_model import CAMERA_Z, FaceModel, neutral_coefficients, project
from renderer.mesh import MeshRenderer
from renderer.portrait.topology import EYES, LANDMARKS
from tools.contact_sheet import coefficients


def drawn_portrait(face: FaceModel, size: int = 512) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture (size, size, 3) uint8, its landmarks (478, 3) in pixels, and its coefficients (58,)."""
    renderer = MeshRenderer(face, size)
    rest = neutral_coefficients()
    picture = next(iter(renderer.render(rest))).copy()
    world = face.landmarks(rest)[0]
    landmarks = np.zeros((LANDMARKS, 3), np.float32)
    landmarks[:468, :2] = project(world, size, renderer.focal)
    landmarks[:468, 2] = (world[:, 2].mean() - world[:, 2]) * renderer.focal / (CAMERA_Z - world[:, 2].mean())
    for eye in EYES:
        corners = landmarks[[eye.upper[0], eye.upper[-1]]]
        middle = landmarks[[*eye.upper[3:6], *eye.lower[3:6]]].mean(axis=0)
        radius = 0.2 * np.linalg.norm(corners[1] - corners[0])
        landmarks[eye.iris] = middle
        landmarks[eye.iris[1:], :2] += radius * np.array([[1, 0], [0, -1], [-1, 0], [0, 1]])
    return picture, landmarks, rest[0]


def row(**values: float) -> np.ndarray:
    """Coefficients (58,) from rest; rotations in degrees, a stem without side moves both sides."""
    return coefficients(values)
