"""Where every vertex of one photo goes: the face from MediaPipe's landmarks, the rest on rings round it."""

import numpy as np
from scipy import sparse

from ..face_model import rotation
from .body import Body
from .framing import Framed
from .matte import head_axes
from .motion import POSE_LIMIT, Motion, MotionSource
from .topology import (
    CHIN,
    EAR_LEFT,
    EAR_RIGHT,
    FACE_LANDMARKS,
    LIPS_LOWER_INNER,
    LIPS_UPPER_INNER,
    face_triangles,
    hole_triangles,
)
from .untangle import signed_areas

CAMERA = 6.5  # face heights from the camera to the head: 1.3 m for a 20 cm face, as FaceVerse's camera stands
PIVOT_DOWN = 0.30  # of the face's height below its middle, at ear-lobe level, where the skull sits on the neck
PIVOT_BEHIND = 0.06  # of the face's height behind the ears
DEPTH = 0.85  # of MediaPipe's depth: the outline would fold over at the far cheek with all of it
GAIN_RANGE = (0.75, 1.3)  # how much a photo's features may differ in size from the head model's


class Geometry:
    """Vertices of one photo. Numbering: 468 landmarks, 36 outline midpoints, the rings of `Body`."""

    def __init__(self, framed: Framed, landmarks: np.ndarray, matte: np.ndarray, source: MotionSource) -> None:
        self.body = Body(landmarks, matte)
        centre, _, down, height = head_axes(landmarks)
        self.height = height
        self.face = landmarks[:FACE_LANDMARKS].astype(np.float64)
        ears = 0.5 * (self.face[EAR_RIGHT, 2] + self.face[EAR_LEFT, 2])
        pivot = centre + down * PIVOT_DOWN * height
        self.pivot = np.array([*pivot, ears + PIVOT_BEHIND * height])
        self.scale, self.frame_of_head = _fit(source.rest, self.face)
        self.triangles = np.concatenate([self.body.triangles, hole_triangles(), face_triangles()]).astype(np.int32)
        rest = np.concatenate([self.face, self.body.outline(self.face)[1::2], self.body.rings])
        self.sources = rest[:, :2].astype(np.float32)
        self._unfold()
        self.gain = _feature_gain(source.rest, self.face, self.scale, self.frame_of_head)

    def expressed(self, motion: Motion) -> np.ndarray:
        """(468, 3) landmarks with the expression, before the head's own motion; lips never cross."""
        offset = (self.scale * motion.displacement) @ self.frame_of_head.T * self.gain[:, None]
        face = self.face + offset
        upper, lower = face[LIPS_UPPER_INNER[1:-1]], face[LIPS_LOWER_INNER[1:-1]]
        down = self.face[CHIN, :2] - self.pivot[:2]
        down = down / max(float(np.linalg.norm(down)), 1e-6)
        crossed = ((lower - upper)[:, :2] @ down) < 0
        middle = 0.5 * (upper + lower)
        face[LIPS_UPPER_INNER[1:-1][crossed]] = middle[crossed]
        face[LIPS_LOWER_INNER[1:-1][crossed]] = middle[crossed]
        return face

    def posed(self, points: np.ndarray, motion: Motion) -> np.ndarray:
        """(N, 3) points moved with the head: turned about the top of the neck, shifted, seen in perspective."""
        turned = (points - self.pivot) @ motion.turn.T + self.pivot + self.scale * motion.shift
        far = CAMERA * self.height
        near = (far + points[:, 2:] - self.pivot[2]) / (far + turned[:, 2:] - self.pivot[2])
        turned[:, :2] = self.pivot[:2] + (turned[:, :2] - self.pivot[:2]) * near
        return turned

    def vertices(self, expressed: np.ndarray, face: np.ndarray, motion: Motion) -> np.ndarray:
        """All targets (N, 3) from the expressed landmarks and the finished (posed, lids moved) landmarks."""
        body = self.body
        stretch = body.outline(expressed - self.face)[body.column]
        rings = body.rings + stretch * body.expression_share[:, None]
        rings = rings + (self.posed(rings, motion) - rings) * body.head_share[:, None]
        return np.concatenate([face, body.outline(face)[1::2], rings])

    def _unfold(self) -> None:
        """Flattens the depth where the farthest turns would fold the mesh over itself, as at the far cheek.

        One photo cannot show what lies behind the cheek's edge; a flatter cheek compresses there instead of tearing.
        """
        triangles = self.triangles
        count = len(self.sources)
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        edges = np.concatenate([edges, edges[:, ::-1]])
        adjacency = sparse.csr_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
        adjacency.data[:] = 1.0
        average = sparse.diags_array(1.0 / np.maximum(adjacency.sum(axis=1), 1)) @ adjacency
        own_area = signed_areas(self.sources, triangles)
        sound = np.abs(own_area) > 0.02  # slits of shut lips have no area to lose
        rings = slice(FACE_LANDMARKS + 36, count)
        for _ in range(_UNFOLD_ROUNDS):
            bad = np.zeros(count, dtype=bool)
            for motion in _EXTREMES:
                face = self.posed(self.face, motion)
                targets = self.vertices(self.face, face, motion)
                ratio = signed_areas(targets[:, :2], triangles)[sound] / own_area[sound]
                bad[triangles[sound][ratio < _LEAST_AREA]] = True
            if not bad.any():
                break
            depth = np.concatenate([self.face[:, 2], self.body.outline(self.face)[1::2, 2], self.body.rings[:, 2]])
            share = np.minimum(bad + 0.5 * (average @ bad > 0), 1.0)  # the neighbours follow half way
            depth += (average @ depth - depth) * share * 0.7
            self.face[:, 2] = depth[:FACE_LANDMARKS]
            self.body.rings[:, 2] = depth[rings]

    def head_affine(self, points: np.ndarray, motion: Motion) -> np.ndarray:
        """(2, 3) affine of the picture that follows the head alone near `points` (N, 3) of the photo."""
        moved = self.posed(points, motion)[:, :2]
        design = np.concatenate([points[:, :2], np.ones((len(points), 1))], axis=1)
        return np.linalg.lstsq(design, moved, rcond=None)[0].T


_STILL = np.array(
    [10, 67, 297, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 33, 133, 263, 362, 234, 454, 127, 356, 93, 323, 132, 361, 58,
     288, 205, 425, 50, 280, 129, 358]
)  # fmt: skip
"""Landmarks that expressions move little: the pose is fitted to these."""


def _extreme(pitch: float, yaw: float) -> Motion:
    axes = np.array([1.0, -1.0, -1.0])
    turn = axes[:, None] * rotation(np.array([pitch, yaw, 0.0])).astype(np.float64) * axes
    none = np.zeros((FACE_LANDMARKS, 3))
    return Motion(none, turn, np.zeros(3), np.zeros(2), np.zeros(2), np.zeros((2, 2)), 0.0, 0.0)


_UNFOLD_ROUNDS = 80
_LEAST_AREA = 0.12  # of a triangle's area in the photo that must be left at the farthest turn
_EXTREMES = tuple(
    _extreme(pitch * POSE_LIMIT[0], yaw * POSE_LIMIT[1])
    for pitch, yaw in ((0, 1), (0, -1), (1, 0), (-1, 0), (0.7, 0.8), (0.7, -0.8), (-0.7, 0.8), (-0.7, -0.8))
)


def _fit(model: np.ndarray, photo: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and rotation that take the head model's landmarks (468, 3) to the photo's, by Umeyama's closed form."""
    a = model[_STILL] - model[_STILL].mean(axis=0)
    b = photo[_STILL] - photo[_STILL].mean(axis=0)
    u, _, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ sign @ vt
    # The scale from what is seen: MediaPipe's depth is a guess.
    seen = (a @ turn.T)[:, :2]
    scale = float((seen * b[:, :2]).sum() / (seen**2).sum())
    return scale, turn


def _feature_gain(model: np.ndarray, photo: np.ndarray, scale: float, turn: np.ndarray) -> np.ndarray:
    """(468,) factor on the model's motion: a wide mouth moves more than a small one, smoothly between features."""
    fitted = scale * model @ turn.T

    def ratio(pairs: list[tuple[int, int]]) -> float:
        ours = sum(np.linalg.norm(photo[i, :2] - photo[j, :2]) for i, j in pairs)
        theirs = sum(np.linalg.norm(fitted[i, :2] - fitted[j, :2]) for i, j in pairs)
        return float(np.clip(ours / max(theirs, 1e-6), *GAIN_RANGE))

    features = (
        (ratio([(61, 291)]), photo[[61, 291, 13, 14, 17, 0]].mean(axis=0)),
        (ratio([(33, 133), (105, 159)]), photo[[33, 133, 105]].mean(axis=0)),
        (ratio([(263, 362), (334, 386)]), photo[[263, 362, 334]].mean(axis=0)),
    )
    size = np.linalg.norm(photo[FOREHEAD_CHIN[0], :2] - photo[FOREHEAD_CHIN[1], :2])
    weights = np.stack(
        [np.exp(-(np.linalg.norm((photo - c)[:, :2], axis=1) ** 2) / (0.25 * size) ** 2) for _, c in features]
    )
    values = np.array([value for value, _ in features])
    return (weights.T @ values + 0.2) / (weights.sum(axis=0) + 0.2)


FOREHEAD_CHIN = (10, 152)
