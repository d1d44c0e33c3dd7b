"""Finds pose, camera, identity and expression whose landmarks fall on those seen in one or more photos of a person.

Robust Gauss-Newton (iteratively reweighted least squares, Cauchy's weights) with Gaussian priors. Only the vertices
under the landmarks enter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from renderer.face_model import CAMERA_Z, EXPRESSION_NAMES, FaceModel, rotation_matrix
from renderer.identity.basis import IdentityBasis
from renderer.identity.camera import DISTANCE, HEAD_PLACE, PhotoCamera
from renderer.identity.landmark_sets import LID_RIMS
from renderer.portrait.topology import CHIN, FACE_LANDMARKS, FOREHEAD, OVAL

ROUNDS = 8
ACTIVE_SET_ROUNDS = 4  # of one round, for parameters at their limits
LANDMARK_SIGMA = 0.007  # of the face's height: what the tracker's points scatter, and what the mesh's places are worth
CAUCHY = 2.0  # sigmas from which a landmark counts less
DEPTH_WEIGHT = 0.12  # the tracker's depth is a guess
ANGLE_SIGMA = np.radians(1.5)  # about the tracked pose; looser, and the skull becomes a cone in other poses
UNIT_SIGMA = 0.15  # about the tracked unit
IDENTITY_LIMIT = 3.5  # standard deviations
SKULL_SIGMA = 0.05  # model units, 8 mm: the spread of people's skulls; landmarks alone draw them into cones
SKULL_POINTS = 10  # independent points that the skull counts for
BESIDE_FACE = 0.12  # model units from the nearest landmark at which the skull begins

FITTED_UNITS = np.array([
    i for i, name in enumerate(EXPRESSION_NAMES) if not name.startswith("eyeLook") and name != "tongueOut"
])  # fmt: skip

# What the tracker reads on a resting face, by the first word that fits a unit's name. Without this a resting squint
# would be taken for an expression, removed, and the person would stare.
RESTING = (
    ("eyeSquint", 0.45), ("eyeBlink", 0.35), ("eyeWide", 0.3), ("mouthPress", 0.3), ("mouthShrug", 0.3),
    ("mouthPucker", 0.3), ("brow", 0.25), ("mouthRoll", 0.25), ("mouthStretch", 0.2), ("mouthClose", 0.2), ("", 0.08),
)  # fmt: skip


@dataclass(frozen=True)
class Sighting:
    """One photo of the person: what is known, and what is looked for, of its pose, camera and expression."""

    landmarks: np.ndarray  # (L, 3) pixels, z away from the camera
    tracked_rotation: np.ndarray  # (3, 3)
    tracked_units: np.ndarray  # (U,) above the resting baseline, order of FITTED_UNITS
    rotation: np.ndarray  # (3, 3)
    camera: PhotoCamera
    units: np.ndarray  # (U,)

    @property
    def expression(self) -> np.ndarray:
        """(52,) float32, zero where no unit is fitted."""
        return _all_units(self.units)

    @property
    def strongest_expression(self) -> np.ndarray:
        """(52,) float32, of each unit what was fitted or tracked, whichever is more."""
        return _all_units(np.maximum(self.units, self.tracked_units))


def _all_units(fitted: np.ndarray) -> np.ndarray:
    expression = np.zeros(len(EXPRESSION_NAMES), np.float32)
    expression[FITTED_UNITS] = fitted
    return expression


def above_rest(expression: np.ndarray) -> np.ndarray:
    """Tracked units (52,) -> what of them (52,) is more than the tracker reads on a resting face, 0..1."""
    rest = np.array([next(value for word, value in RESTING if name.startswith(word)) for name in EXPRESSION_NAMES])
    return np.clip((expression - rest) / (1 - rest), 0, 1)


class LandmarkModel:
    """The linear face at its L landmarks: points = mean + identity · coefficients + units · values.

    Of the built-in head these are MediaPipe's 468; see faceverse_fit for another model's.
    """

    numbers = np.arange(FACE_LANDMARKS)  # (L,) MediaPipe's landmark of each

    def __init__(self, face: FaceModel, basis: IdentityBasis):
        vertices, weights = face.landmark_vertices, face.landmark_weights
        assert vertices is not None and weights is not None, "fit_shape checks it"

        def at_landmarks(field: np.ndarray) -> np.ndarray:
            return np.einsum("lk...,lk->l...", field[vertices], weights).astype(np.float64)

        self.mean = at_landmarks(face.mean_shape)
        self.identity = at_landmarks(basis.components)  # (468, 3, K)
        self.units = at_landmarks(face.expression_basis[:, :, FITTED_UNITS])  # (468, 3, U)
        self.skull = self._skull_prior(face, basis)  # (K, K)
        self.height = float(np.linalg.norm(self.mean[FOREHEAD] - self.mean[CHIN]))
        self.weight = np.ones(FACE_LANDMARKS)
        self.weight[OVAL] = 0.35
        self.weight[np.concatenate(list(LID_RIMS.values()))] = 2.0

    def _skull_prior(self, face: FaceModel, basis: IdentityBasis) -> np.ndarray:
        """The precision of coefficients that keeps skull and ears, which carry no landmarks, near the mean head's."""
        assert face.head_weight is not None and face.parts is not None, "the built-in head has them"
        skin = np.zeros(len(face.mean_shape), bool)
        skin[face.triangles[face.parts == face.part_names.index("skin")]] = True
        skin &= face.head_weight > 0.99
        return skull_precision(self.mean, face.mean_shape[skin], basis.components[skin], BESIDE_FACE)

    def world(self, sighting: Sighting, identity: np.ndarray) -> np.ndarray:
        """(468, 3) in front of the camera of HEAD_PLACE."""
        return (self.mean + self.identity @ identity + self.units @ sighting.units) @ sighting.rotation.T + HEAD_PLACE

    def sighting(self, landmarks: np.ndarray, coefficients: np.ndarray) -> Sighting:
        """Where the search starts: the mean face in the tracked pose and expression, as large as what is seen."""
        rotation = rotation_matrix(coefficients[-6:-3]).astype(np.float64)
        units = above_rest(coefficients[: len(EXPRESSION_NAMES)].astype(np.float64))[FITTED_UNITS]
        seen = landmarks[self.numbers].astype(np.float64)
        start = Sighting(seen, rotation, units, rotation, PhotoCamera(DISTANCE, np.zeros(2)), units)
        flat = start.camera.project(self.world(start, np.zeros(self.identity.shape[2])))
        middle, seen_middle = flat.mean(axis=0), seen[:, :2].mean(axis=0)
        scale = ((flat - middle) * (seen[:, :2] - seen_middle)).sum() / ((flat - middle) ** 2).sum()
        return replace(start, camera=PhotoCamera(DISTANCE * scale, seen_middle - scale * middle))


def skull_precision(points: np.ndarray, vertices: np.ndarray, components: np.ndarray, beside: float) -> np.ndarray:
    """(K, K) precision of coefficients under which vertices (V, 3) that lie farther than `beside` from all landmarks
    (L, 3) keep near their mean place; components (V, 3, K) move them."""
    skull = components[cKDTree(points).query(vertices)[0] > beside]
    flat = skull[::4].reshape(-1, skull.shape[2])  # neighbours move alike
    return (flat.T @ flat).astype(np.float64) * (3 * SKULL_POINTS / SKULL_SIGMA**2 / max(len(flat), 1))


def solve(model: LandmarkModel, sightings: list[Sighting]) -> tuple[np.ndarray, list[Sighting]]:
    """Identity coefficients (K,), one for all sightings, and the sightings with pose, camera and units found."""
    count, own = model.identity.shape[2], 6 + len(FITTED_UNITS)
    identity = np.zeros(count)
    parameters = count + own * len(sightings)
    for _ in range(ROUNDS):
        normal, gradient = np.zeros((parameters, parameters)), np.zeros(parameters)
        prior = (np.eye(count) + model.skull) * len(sightings) ** 0.5  # frames of one clip share their errors
        normal[:count, :count] = prior
        gradient[:count] = -prior @ identity
        for number, sighting in enumerate(sightings):
            jacobian, residual = _linearised(model, sighting, identity)
            columns = np.r_[:count, count + own * number : count + own * (number + 1)]
            normal[np.ix_(columns, columns)] += jacobian.T @ jacobian
            gradient[columns] += jacobian.T @ residual
            _add_priors(normal, gradient, count + own * number, sighting)
        lowest, highest = np.full(parameters, -np.inf), np.full(parameters, np.inf)
        lowest[:count], highest[:count] = -IDENTITY_LIMIT - identity, IDENTITY_LIMIT - identity
        for number, sighting in enumerate(sightings):
            units = slice(count + own * number + 6, count + own * (number + 1))
            lowest[units], highest[units] = -sighting.units, 1 - sighting.units
        step = _step_within(normal, gradient, lowest, highest)
        identity = identity + step[:count]
        sightings = [_moved(s, step[count + own * n : count + own * (n + 1)]) for n, s in enumerate(sightings)]
    return identity, sightings


def _step_within(normal: np.ndarray, gradient: np.ndarray, lowest: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """The step (P,) that solves normal · step = gradient, no parameter beyond its limits.

    What would leave its limits is held there, and the others are solved for again.
    """
    step, free = np.zeros(len(gradient)), np.arange(len(gradient))
    for _ in range(ACTIVE_SET_ROUNDS):
        step[free] = 0.0
        missing = gradient - normal @ step  # by what is held at its limits
        step[free] = cho_solve(cho_factor(normal[np.ix_(free, free)]), missing[free])
        beyond = (step < lowest) | (step > highest)
        step = np.clip(step, lowest, highest)
        if not beyond.any():
            break
        free = free[~beyond[free]]
    return step


def _linearised(model: LandmarkModel, sighting: Sighting, identity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted Jacobian (3 * 468, K + 6 + U) of u, v and depth, in landmark sigmas, and the residual (3 * 468,)."""
    camera, world = sighting.camera, model.world(sighting, identity)
    arm = world - HEAD_PLACE
    zero = np.zeros(len(arm))
    x, y, z = arm.T
    turn = np.stack([np.stack(row) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))])  # (turn, axis, 468)
    moved = np.concatenate(  # (468, 3, K + 3 + U): world displacement for each parameter that moves the head
        [sighting.rotation @ model.identity, turn.transpose(2, 1, 0), sighting.rotation @ model.units], axis=2
    )
    inverse_depth = 1 / (CAMERA_Z - world[:, 2])
    scale = (camera.focal * inverse_depth)[:, None]
    seen = np.empty_like(moved)
    seen[:, 0] = scale * (moved[:, 0] + (world[:, 0] * inverse_depth)[:, None] * moved[:, 2])
    seen[:, 1] = -scale * (moved[:, 1] + (world[:, 1] * inverse_depth)[:, None] * moved[:, 2])
    seen[:, 2] = -camera.pixels_per_unit * (moved[:, 2] - moved[:, 2].mean(axis=0))
    flat = camera.project(world)
    place = np.zeros((len(arm), 3, 3))
    place[:, 0, 0] = place[:, 1, 1] = 1.0
    place[:, :2, 2] = flat - camera.centre  # by the logarithm of the focal length
    depth = -camera.pixels_per_unit * (z - z.mean())
    place[:, 2, 2] = depth
    count = len(identity)
    jacobian = np.concatenate([seen[:, :, : count + 3], place, seen[:, :, count + 3 :]], axis=2)

    behind = sighting.landmarks[:, 2] - sighting.landmarks[:, 2].mean()
    residual = np.concatenate([sighting.landmarks[:, :2] - flat, (behind - depth)[:, None]], axis=1)
    sigma = LANDMARK_SIGMA * model.height * camera.pixels_per_unit
    distance = np.linalg.norm(residual[:, :2], axis=1) / sigma
    weight = np.sqrt(model.weight / (1 + (distance / CAUCHY) ** 2))[:, None] / sigma * (1.0, 1.0, DEPTH_WEIGHT)
    return (jacobian * weight[:, :, None]).reshape(-1, jacobian.shape[2]), (residual * weight).reshape(-1)


def _add_priors(normal: np.ndarray, gradient: np.ndarray, start: int, sighting: Sighting) -> None:
    turned = Rotation.from_matrix(sighting.rotation @ sighting.tracked_rotation.T).as_rotvec()
    angles, units = np.arange(start, start + 3), np.arange(start + 6, start + 6 + len(FITTED_UNITS))
    normal[angles, angles] += ANGLE_SIGMA**-2
    gradient[angles] -= turned * ANGLE_SIGMA**-2
    normal[units, units] += UNIT_SIGMA**-2
    gradient[units] -= (sighting.units - sighting.tracked_units) * UNIT_SIGMA**-2


def _moved(sighting: Sighting, step: np.ndarray) -> Sighting:
    """The sighting after a step (3 angles, 2 of the centre, log focal, units)."""
    camera = sighting.camera
    return replace(
        sighting,
        rotation=Rotation.from_rotvec(step[:3]).as_matrix() @ sighting.rotation,
        camera=PhotoCamera(float(camera.focal * np.exp(np.clip(step[5], -0.5, 0.5))), camera.centre + step[3:5]),
        units=np.clip(sighting.units + step[6:], 0, 1),
    )
