"""An Identity of nobody: the built-in head under a smooth pattern of colours, for the tests of drawing and files."""

import numpy as np

from renderer.face_model import FaceModel
from renderer.identity.identity import HairShell, Identity


def made_up_identity(face: FaceModel, texture_size: int = 256, hair: bool = False) -> Identity:
    """Skin whose red grows from left to right and whose green from top to bottom, seen from the front."""
    at = (np.arange(texture_size) + 0.5) / texture_size
    linear = np.stack(
        [0.15 + 0.6 * at[None, :] + 0 * at[:, None], 0.2 + 0.4 * at[:, None] + 0 * at, np.full((len(at),) * 2, 0.2)], -1
    )
    texture = np.rint(255 * np.sqrt(linear)).astype(np.uint8)
    uv = _from_the_front(face.mean_shape, face.mean_shape[face.head_weight == 1])[face.triangles]
    uv[np.isin(face.parts, [face.part_names.index(name) for name in ("mouth", "eyeLeft", "teethUpper")])] = np.nan
    return Identity(
        shape=face.mean_shape,
        expression_basis=face.expression_basis,
        coefficients=np.zeros(80, np.float32),
        texture=texture,
        texture_uv=uv,
        iris=np.array([0.02, 0.10, 0.30], np.float32),
        sclera=np.array([0.60, 0.57, 0.55], np.float32),
        hair=_plane_beside_the_head() if hair else None,
        scores={"light": 0.75, "shape": 0.5},
        notes=("The light comes from the side.",),
    )


def _from_the_front(points: np.ndarray, head: np.ndarray) -> np.ndarray:
    """(N, 3) in object space -> (N, 2), 0..1 over the head; shoulders lie on the texture's rim."""
    low, high = head[:, :2].min(axis=0), head[:, :2].max(axis=0)
    return np.clip((points[:, :2] - low) / (high - low), 0, 1).astype(np.float32)


def _plane_beside_the_head() -> HairShell:
    """A square of hair to the subject's left that both sides of can be seen; object space has y down."""
    points = np.array([[0.75, -0.9, 0.2], [1.15, -0.9, 0.2], [1.15, -0.4, 0.2], [0.75, -0.4, 0.2]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uv = np.array([[0.9, 0.9], [1.0, 0.9], [1.0, 1.0], [0.9, 1.0]], np.float32)[triangles]
    return HairShell(points, triangles, uv, np.ones(4, np.float32))
