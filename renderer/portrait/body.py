"""Everything of the person outside MediaPipe's face: hair, ears, neck, shoulders, as rings of vertices round it."""

from itertools import pairwise

import numpy as np

from renderer.portrait.framing import head_axes
from renderer.portrait.topology import CHIN, EAR_LEFT, EAR_RIGHT, FACE_LANDMARKS, OVAL

_RING_DISTANCES = np.array([0.05, 0.1, 0.16, 0.23, 0.31, 0.40, 0.5, 0.62, 0.76, 0.92, 1.15, 1.45, 1.9])
"""Rings, in face heights from the outline of the face; the last lies beyond the corners of the frame."""

COLLAR_HEAD_SHARE = 0.10  # of the head's motion is left at the collar
SHOULDER_HEAD_SHARE = 0.03  # and beside the neck, where a tilt's lever is long
NECK_LENGTH = 0.62  # face heights from the chin to where only the shoulders' share is left
LEAST_HAIR = 0.14  # face heights from the forehead's landmarks to the top of a bald head
EXPRESSION_FALLOFF = 0.26  # face heights over which the outline's own motion (jaw, temples) dies away


class SurroundingRings:
    """Rings of vertices outside the face's outline and how much of the head's motion each takes.

    landmarks (478, 3): the photo's; matte (P, P) float32: the person in the picture. Vertex numbering: 468 landmarks,
    36 midpoints of the outline, then the rings of 72, innermost first.
    """

    def __init__(self, landmarks: np.ndarray, matte: np.ndarray) -> None:
        centre, right, down, height = head_axes(landmarks)
        oval = landmarks[OVAL].astype(np.float64)
        outline = np.empty((72, 3))
        outline[::2] = oval
        outline[1::2] = 0.5 * (oval + np.roll(oval, -1, axis=0))
        outward = outline[:, :2] - centre
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        rings = outline[None, :, :2] + outward[None] * (_RING_DISTANCES * height)[:, None, None]
        distance = np.broadcast_to(_RING_DISTANCES[:, None], rings.shape[:2])

        extent = _person_extent(rings, matte, centre, outward, height)
        ears = 0.5 * (landmarks[EAR_RIGHT, 2] + landmarks[EAR_LEFT, 2])
        behind = ears + 0.10 * height
        profile = _depth_profile(distance, extent, -outward @ down)
        z = outline[None, :, 2] + (behind - outline[None, :, 2]) * profile
        self.rings = np.concatenate([rings, z[..., None]], axis=2).reshape(-1, 3)

        sideways = ((rings - centre) @ right) / height
        below = ((rings - centre) @ down) / height
        chin = float((landmarks[CHIN, :2] - centre) @ down) / height
        # how far a vertex lies under the outline it hangs on
        depth_below_outline = distance * (outward @ down).clip(0)[None]
        depth_below_outline = np.maximum(depth_below_outline, (below - chin).clip(0))
        self.head_weight = 1 - (1 - COLLAR_HEAD_SHARE) * _smoothstep(0.02, NECK_LENGTH, depth_below_outline)
        # Shoulders are beside the neck and soon below the chin; hair that hangs down on them ends where they are.
        shoulder_mask = _smoothstep(0.34, 0.62, np.abs(sideways)) * _smoothstep(-0.08, 0.18, below - chin)
        self.head_weight = (
            self.head_weight * (1 - shoulder_mask) + np.minimum(self.head_weight, SHOULDER_HEAD_SHARE) * shoulder_mask
        )
        # Away from the person nothing follows the head; the matte hides it anyway, this keeps its soft edge calm.
        outside_weight = _smoothstep(extent[None] + 0.12, extent[None] + 0.75, distance)
        upper_weight = 1 - _smoothstep(0.3, 0.8, below)
        self.head_weight = (self.head_weight * (1 - outside_weight * np.maximum(upper_weight, 0.5))).reshape(-1)
        self.expression_weight = np.exp(-((distance / EXPRESSION_FALLOFF) ** 2) * 2.0).reshape(-1)
        self.column = np.tile(np.arange(72), len(_RING_DISTANCES))
        self.sideways = sideways.reshape(-1)
        self.triangles = _ring_triangles(len(_RING_DISTANCES))

    def outline(self, face: np.ndarray) -> np.ndarray:
        """(72, D) values on the face's outline from (468, D) values on the landmarks."""
        oval = face[OVAL]
        result = np.empty((72, face.shape[1]), dtype=face.dtype)
        result[::2] = oval
        result[1::2] = 0.5 * (oval + np.roll(oval, -1, axis=0))
        return result


def _smoothstep(low, high, value):
    t = ((value - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)


def _depth_profile(distance: np.ndarray, extent: np.ndarray, upward: np.ndarray) -> np.ndarray:
    """How far a vertex lies between the outline's depth (0) and the middle of the skull (1).

    distance (R, 72), extent (72,): face heights from the outline to the vertex, and to where the person ends; upward
    (72,): 1 above the face, -1 below. Points in the middle of the skull hardly move when the head turns, as a head's
    silhouette does. Above the face hair lies on the skull, which is round: up to near its edge it turns with the
    forehead, or it would slide over it. Below, the neck falls back at once.
    """
    share = (distance / np.maximum(extent, LEAST_HAIR)[None]).clip(0, 1)
    skull = 1 - np.sqrt(1 - share**2)
    neck = 1 - np.exp(-distance / 0.14)
    return neck + (skull - neck) * _smoothstep(-0.1, 0.5, upward)[None]


def _person_extent(rings, matte, centre, outward, height) -> np.ndarray:
    """(72,) face heights from the outline to where the person ends in each direction, smoothed round the head."""
    limit = np.array(matte.shape[::-1]) - 1
    steps = np.linspace(0, 1.0, 41)
    start = rings[0] - outward * _RING_DISTANCES[0] * height
    points = start[None] + outward[None] * (steps * height)[:, None, None]
    index = np.clip(np.round(points), 0, limit).astype(int)
    person = matte[index[..., 1], index[..., 0]] > 0.3
    extent = np.where(person, steps[:, None], 0).max(axis=0)
    kernel = np.array([1, 2, 3, 2, 1]) / 9
    padded = np.concatenate([extent[-2:], extent, extent[:2]])
    return np.convolve(padded, kernel, mode="valid")


def _ring_triangles(rings: int) -> np.ndarray:
    outline = np.empty(72, dtype=np.int32)
    outline[::2] = OVAL
    outline[1::2] = FACE_LANDMARKS + np.arange(36)
    rows = [outline, *(FACE_LANDMARKS + 36 + 72 * k + np.arange(72) for k in range(rings))]
    triangles = []
    for inner, outer in pairwise(rows):
        for j in range(72):
            k = (j + 1) % 72
            triangles += [(inner[j], outer[j], outer[k]), (inner[j], outer[k], inner[k])]
    return np.array(triangles, dtype=np.int32)
