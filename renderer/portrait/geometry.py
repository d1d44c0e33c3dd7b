"""Where every vertex of one photo goes: the face from MediaPipe's landmarks, the rest on rings round it."""

import numpy as np
from scipy.spatial.transform import Rotation

from renderer.jit import jit_loop
from renderer.portrait.body import SurroundingRings
from renderer.portrait.framing import PortraitCrop, head_axes
from renderer.portrait.motion import BlendshapeMotion, Motion
from renderer.portrait.topology import (
    CHIN,
    EAR_LEFT,
    EAR_RIGHT,
    FACE_LANDMARKS,
    LIPS_LOWER_INNER,
    LIPS_UPPER_INNER,
    OVAL,
    face_triangles,
    hole_triangles,
)
from renderer.portrait.unfold import signed_areas, unfold

CAMERA_DISTANCE = 6.5  # face heights from the camera to the head: 1.3 m for a 20 cm face, as FaceVerse's camera stands
PIVOT_DOWN = 0.30  # of the face's height below its middle, at ear-lobe level, where the skull sits on the neck
PIVOT_BEHIND = 0.06  # of the face's height behind the ears
LIP_ADHESION = 0.02  # of the mouth's width: how far shut lips are pulled before they part
MAX_DEPTH_SLOPE = 1.2  # depth per distance across: at a turn of 24 degrees 2.2 would fold
_UNFOLD_ROUNDS = 30
_MIN_AREA_SHARE = 0.03  # of a triangle's area in the photo that must be left in every frame
GAIN_RANGE = (0.75, 1.3)  # how much a photo's features may differ in size from the head model's


@jit_loop
def _move_with_head(points, pivot, rotation, shift, camera_distance, moved):
    """`PortraitMesh.apply_pose`, written to `moved` (N, 3)."""
    for i in range(points.shape[0]):
        x, y, z = points[i, 0] - pivot[0], points[i, 1] - pivot[1], points[i, 2] - pivot[2]
        away = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + shift[2]
        scale = (camera_distance + z) / (camera_distance + away)
        for k in range(2):
            turned = rotation[k, 0] * x + rotation[k, 1] * y + rotation[k, 2] * z + shift[k]
            moved[i, k] = pivot[k] + turned * scale
        moved[i, 2] = pivot[2] + away


class LocalAffine:
    """Points (N, 3) about one place of the photo, to which an affine map is fitted in every frame."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = points
        homogeneous = np.concatenate([points[:, :2], np.ones((len(points), 1))], axis=1)
        self.pseudo_inverse = np.linalg.pinv(homogeneous)  # (3, N)


class PortraitMesh:
    """Vertices of one photo. Numbering: 468 landmarks, 36 outline midpoints, the rings of `SurroundingRings`."""

    def __init__(self, crop: PortraitCrop, landmarks: np.ndarray, matte: np.ndarray, source: BlendshapeMotion) -> None:
        self.surroundings = SurroundingRings(landmarks, matte)
        centre, _, down, height = head_axes(landmarks)
        self.height = height
        self.face = landmarks[:FACE_LANDMARKS].astype(np.float64)
        ears = 0.5 * (self.face[EAR_RIGHT, 2] + self.face[EAR_LEFT, 2])
        pivot = centre + down * PIVOT_DOWN * height
        self.pivot = np.array([*pivot, ears + PIVOT_BEHIND * height])
        self.scale, self.head_rotation = _fit_head_pose(source.rest, self.face)
        self.triangles = np.concatenate([self.surroundings.triangles, hole_triangles(), face_triangles()]).astype(
            np.int32
        )
        upper, lower = self.face[LIPS_UPPER_INNER], self.face[LIPS_LOWER_INNER]
        self.is_shut = bool(np.allclose(upper, lower))
        self.lip_adhesion = LIP_ADHESION * float(np.linalg.norm(upper[-1] - upper[0]))
        rest = np.concatenate([self.face, self.surroundings.outline(self.face)[1::2], self.surroundings.rings])
        self.sources = rest[:, :2].astype(np.float32)
        areas = signed_areas(self.sources, self.triangles)
        signs = np.sign(areas)
        # Shut lips have no area in the photo, but they too must not pass through each other. The mouth's triangles
        # come first after the rings' and turn clockwise in the picture.
        slit = slice(len(self.surroundings.triangles), len(self.surroundings.triangles) + 2 * len(LIPS_UPPER_INNER) - 4)
        signs[slit] = 1.0
        self._fold_constraints = self.triangles, signs, _MIN_AREA_SHARE * np.abs(areas)
        self._limit_depth_slope()
        self.feature_scale = _feature_scale(source.rest, self.face, self.scale, self.head_rotation)

    def apply_expression(self, motion: Motion) -> np.ndarray:
        """(468, 3) landmarks with the expression, before the head's own motion; lips never cross."""
        offset = (self.scale * motion.displacement) @ self.head_rotation.T * self.feature_scale[:, None]
        face = self.face + offset
        self._keep_lips_apart(face)
        return face

    def _keep_lips_apart(self, face: np.ndarray) -> None:
        """Keeps the upper inner lip of `face` (468, 3) above the lower one, in place."""
        upper, lower = face[LIPS_UPPER_INNER[1:-1]], face[LIPS_LOWER_INNER[1:-1]]
        down = self.face[CHIN, :2] - self.pivot[:2]
        down = down / max(float(np.linalg.norm(down)), 1e-6)
        gap = ((lower - upper)[:, :2] @ down).clip(0)[:, None]
        if self.is_shut:  # shut lips stick: units that hardly part them must not leave a dotted slit
            gap = gap * gap / (gap + self.lip_adhesion)
        lateral_offset = (lower - upper) - np.append(down, 0.0) * ((lower - upper)[:, :2] @ down)[:, None]
        lip_gap_vector = lateral_offset + np.append(down, 0.0) * gap
        middle = 0.5 * (upper + lower)
        face[LIPS_UPPER_INNER[1:-1]] = middle - 0.5 * lip_gap_vector
        face[LIPS_LOWER_INNER[1:-1]] = middle + 0.5 * lip_gap_vector

    def apply_pose(self, points: np.ndarray, motion: Motion) -> np.ndarray:
        """(N, 3) points moved with the head: turned about the top of the neck, shifted, seen in perspective."""
        moved = np.empty_like(points)
        shift, camera_distance = self.scale * motion.translation, CAMERA_DISTANCE * self.height
        _move_with_head(points, self.pivot, motion.rotation, shift, camera_distance, moved)
        return moved

    def all_vertices(self, expressed: np.ndarray, face: np.ndarray, motion: Motion) -> np.ndarray:
        """All targets (N, 3) from the landmarks with expression and the finished ones (posed, lids moved)."""
        surroundings = self.surroundings
        stretch = surroundings.outline(expressed - self.face)[surroundings.column]
        rings = surroundings.rings + stretch * surroundings.expression_weight[:, None]
        rings = rings + (self.apply_pose(rings, motion) - rings) * surroundings.head_weight[:, None]
        return np.concatenate([face, surroundings.outline(face)[1::2], rings])

    def without_folds(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices (N, 3) without folded triangles.

        Units add up linearly, skin does not; several strong ones at once (or a shut mouth pulled further shut) would
        push one row of vertices through the next.
        """
        result = vertices.copy()
        unfold(result, *self._fold_constraints, _UNFOLD_ROUNDS)
        result[FACE_LANDMARKS : FACE_LANDMARKS + len(OVAL)] = self.surroundings.outline(result)[1::2]
        return result

    def _limit_depth_slope(self) -> None:
        """Flattens the depth where it falls off so steeply that a turn would fold the mesh, as at the far cheek.

        One photo cannot show what lies behind the cheek's edge; a flatter cheek compresses there instead of tearing.
        The depth becomes the middle of its two closest envelopes of bounded slope (McShane's extension).
        """
        points = np.concatenate([self.face, self.surroundings.rings])
        depth = points[:, 2]
        above, below = np.empty_like(depth), np.empty_like(depth)
        for start in range(0, len(points), 256):  # blocks keep the distance table small
            block = slice(start, start + 256)
            max_difference = MAX_DEPTH_SLOPE * np.linalg.norm(points[block, None, :2] - points[None, :, :2], axis=2)
            above[block] = (depth + max_difference).min(axis=1)
            below[block] = (depth - max_difference).max(axis=1)
        limited = 0.5 * (above + below)
        self.face[:, 2] = limited[:FACE_LANDMARKS]
        self.surroundings.rings[:, 2] = limited[FACE_LANDMARKS:]

    def head_affine(self, local: LocalAffine, motion: Motion) -> np.ndarray:
        """(2, 3) affine map by which only the head's motion moves the pixels about `local.points`."""
        return (local.pseudo_inverse @ self.apply_pose(local.points, motion)[:, :2]).T


_RIGID_LANDMARKS = np.array(
    [10, 67, 297, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 33, 133, 263, 362, 234, 454, 127, 356, 93, 323, 132, 361, 58,
     288, 205, 425, 50, 280, 129, 358]
)  # fmt: skip
"""Landmarks that expressions move little: the pose is fitted to these."""


def _fit_head_pose(model: np.ndarray, photo: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and rotation that take the head model's landmarks (468, 3) to the photo's."""
    a = model[_RIGID_LANDMARKS] - model[_RIGID_LANDMARKS].mean(axis=0)
    b = photo[_RIGID_LANDMARKS] - photo[_RIGID_LANDMARKS].mean(axis=0)
    rotation = Rotation.align_vectors(b, a)[0].as_matrix()
    # The scale from what is seen: MediaPipe's depth is a guess.
    projected = (a @ rotation.T)[:, :2]
    scale = float((projected * b[:, :2]).sum() / (projected**2).sum())
    return scale, rotation


def _feature_scale(model: np.ndarray, photo: np.ndarray, scale: float, rotation: np.ndarray) -> np.ndarray:
    """(468,) factor on the model's motion: a wide mouth moves more than a small one, smoothly between features."""
    fitted = scale * model @ rotation.T

    def ratio(pairs: list[tuple[int, int]]) -> float:
        photo_length = sum(np.linalg.norm(photo[i, :2] - photo[j, :2]) for i, j in pairs)
        model_length = sum(np.linalg.norm(fitted[i, :2] - fitted[j, :2]) for i, j in pairs)
        return float(np.clip(photo_length / max(model_length, 1e-6), *GAIN_RANGE))

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
