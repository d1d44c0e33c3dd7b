"""The face at rest: a mouth without its smile, lips that touch, eyes in their lids, teeth behind the lips."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from renderer.face_model import EXPRESSION_NAMES, FaceModel
from renderer.identity.landmark_sets import LID_RIMS, LIPS, LOWER_LIP_RIM, MOUTH_CORNERS, UPPER_LIP_RIM
from renderer.identity.landmark_solver import LandmarkModel
from renderer.identity.residual import smooth_step

# Sum of the units of a broad smile or an open mouth at which the mouth begins to be taken from the mean head, and at
# which it is as far as it gets
MOVED_FROM, MOVED_TO = 0.15, 0.60
BACK = 1.0  # of the way to the mean mouth; with less, laughing people read as smiling at rest
AROUND_MOUTH = 0.14  # model units from the lips over which this fades out
LIP_OVERLAP = 0.002  # model units by which the rims of closed lips cross, so that nothing shows between
LIP_REACH = 0.07  # model units from their rims over which lips are closed
LID_REACH = (1.25, 2.2)  # radii of the eyeball within which skin keeps its distance to the ball, and where that ends
LID_THICKNESS = 1.015  # radii of the eyeball: skin stays farther out
MOUTH_SIZES = (0.85, 1.15)  # of the mean head's, for teeth and tongue


def mouth_activity(expression: np.ndarray) -> float:
    """0..1: how far a face of units (52,) smiles, speaks or opens its mouth."""

    def unit(name: str) -> float:
        return float(expression[EXPRESSION_NAMES.index(name)])

    def both(name: str) -> float:
        return (unit(f"{name}Left") + unit(f"{name}Right")) / 2

    broad = max(both("mouthSmile"), both("mouthStretch"), both("mouthUpperUp"), both("mouthLowerDown"))
    return float(
        smooth_step(max(broad, unit("jawOpen"), unit("mouthFunnel"), unit("mouthPucker")), MOVED_FROM, MOVED_TO)
    )


def towards_mean_mouth(shifts: np.ndarray, model: LandmarkModel, identity: np.ndarray, activity: float) -> np.ndarray:
    """Shifts (468, 3) after which the mouth is mostly the mean head's, moved to where this person's lies."""
    changed = model.identity @ identity + shifts
    distance = cKDTree(model.mean[LIPS]).query(model.mean)[0]
    share = BACK * activity * (1 - smooth_step(distance, 0.0, AROUND_MOUTH))
    return shifts - share[:, None] * (changed - changed[LIPS].mean(axis=0))


def close_lips(shape: np.ndarray, face: FaceModel) -> np.ndarray:
    """The head (V, 3) with lips that touch; those of the mean head leave a gap of a millimetre."""
    assert face.landmark_vertices is not None, "fit_shape checks it"
    upper, lower = (face.landmark_vertices[rim, 0] for rim in (UPPER_LIP_RIM, LOWER_LIP_RIM))
    touching = (face.mean_shape[lower] - face.mean_shape[upper]) * (1.0, 0.0, 1.0) - (0.0, LIP_OVERLAP, 0.0)
    excess = (shape[lower] - shape[upper]) - touching
    lips = mouth_vertices(face)
    follows = lower_jaw(face)[lips]
    closed = shape.copy()
    for ids, rim, sign in ((lips[~follows], upper, 0.5), (lips[follows], lower, -0.5)):
        near, nearest = cKDTree(face.mean_shape[rim]).query(face.mean_shape[ids], k=3)
        weight = 1 / (near + 1e-3)
        weight /= weight.sum(axis=1, keepdims=True)
        reach = 1 - smooth_step(near[:, 0], 0.0, LIP_REACH)
        closed[ids] += sign * reach[:, None] * np.einsum("vk,vkc->vc", weight, excess[nearest])
    return closed


def mouth_vertices(face: FaceModel) -> np.ndarray:
    """Vertices of skin, lips and the inside of the mouth near the lips' rims."""
    soft = np.unique(face.triangles[np.isin(face.parts, [face.part_names.index(n) for n in ("skin", "lips", "mouth")])])
    assert face.landmark_vertices is not None, "fit_shape checks it"
    rims = face.mean_shape[face.landmark_vertices[np.concatenate([UPPER_LIP_RIM, LOWER_LIP_RIM]), 0]]
    return soft[cKDTree(rims).query(face.mean_shape[soft])[0] < LIP_REACH]


def lower_jaw(face: FaceModel) -> np.ndarray:
    """(V,) bool: follows the jaw when it opens, as the lower lip does and the upper one does not."""
    down = face.expression_basis[:, 1, EXPRESSION_NAMES.index("jawOpen")]
    return down > 0.25 * down.max()


def seat_eyes(shape: np.ndarray, before: np.ndarray, shifts: np.ndarray, face: FaceModel) -> np.ndarray:
    """The head (V, 3) with its eyeballs moved as their lids were, and the lids lying on them as before.

    before (V, 3): the head without `shifts` (468, 3) of its landmarks.
    """
    seated = shape.copy()
    skin = np.unique(face.triangles[face.parts == face.part_names.index("skin")])
    for side in ("Left", "Right"):
        ball = np.unique(face.triangles[face.parts == face.part_names.index(f"eye{side}")])
        move = shifts[LID_RIMS[side]].mean(axis=0)
        seated[ball] = before[ball] + move
        middle = (before[ball].min(axis=0) + before[ball].max(axis=0)) / 2
        radius = np.linalg.norm(before[ball] - middle, axis=1).max()
        own = np.linalg.norm(before[skin] - middle, axis=1)
        near = skin[own < LID_REACH[1] * radius]
        own = own[own < LID_REACH[1] * radius]
        outward = shape[near] - (middle + move)
        distance = np.linalg.norm(outward, axis=1)
        keep = 1 - smooth_step(own / radius, *LID_REACH)
        kept = np.maximum(distance + keep * (own - distance), np.minimum(LID_THICKNESS * radius, own))
        seated[near] = middle + move + outward * (kept / distance)[:, None]
    return seated


def seat_mouth(shape: np.ndarray, model: LandmarkModel, landmarks: np.ndarray, face: FaceModel) -> np.ndarray:
    """The head (V, 3) with the mean head's teeth and tongue, moved and scaled with the lips of `landmarks` (468, 3)."""
    own, mean = landmarks[LIPS].mean(axis=0), model.mean[LIPS].mean(axis=0)
    scale = np.clip(mouth_width(landmarks) / mouth_width(model.mean), *MOUTH_SIZES)
    seated = shape.copy()
    names = [face.part_names.index(name) for name in ("teethUpper", "teethLower", "tongue")]
    inner = np.unique(face.triangles[np.isin(face.parts, names)])
    seated[inner] = own + (face.mean_shape[inner] - mean) * scale
    return seated


def mouth_width(landmarks: np.ndarray) -> float:
    """Between the corners of the mouth of landmarks (468, 3)."""
    right, left = landmarks[MOUTH_CORNERS]
    return float(np.linalg.norm(left - right))
