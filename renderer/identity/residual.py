"""What 80 components leave of a face: the landmarks' shifts, spread over the skin by a biharmonic spline."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from renderer.face_model import FaceModel
from renderer.identity.landmark_sets import LID_RIMS
from renderer.identity.landmark_solver import LandmarkModel, Sighting
from renderer.portrait.topology import FACE_LANDMARKS, OVAL

SMOOTHING, SMOOTHING_OVAL, SMOOTHING_LIDS = 0.02, 0.06, 0.006  # model units; the oval slides on a turned head
FULL_WITHIN, NONE_BEYOND = 0.10, 0.45  # model units from the nearest landmark
NEAR_SIDE_FROM, NEAR_SIDE_ONLY = np.radians(8.0), np.radians(18.0)  # of yaw: the far side follows the near one
MIDDLE = 0.06  # model units beside the middle plane over which the far side takes over


def smooth_step(value: np.ndarray | float, start: float, end: float) -> np.ndarray:
    """0 up to `start`, 1 from `end` on, with level ends between."""
    share = np.clip((np.asarray(value) - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)


def landmark_shifts(model: LandmarkModel, sighting: Sighting, identity: np.ndarray) -> np.ndarray:
    """(468, 3) object space: how far each landmark of the fitted head is seen from its place, at equal depth."""
    world = model.world(sighting, identity)
    missing = sighting.landmarks[:, :2] - sighting.camera.project(world)
    return sighting.camera.unproject_shift(missing, world) @ sighting.rotation


def trust_near_side(shifts: np.ndarray, places: np.ndarray, rotation: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Shifts (468, 3) in which the side of a turned head that is hardly seen moves as the other does, mirrored.

    places (468, 3): the landmarks on the mean head; mirror (468,): their twins.
    """
    ahead = -rotation[:, 2]  # the nose points along -z of object space
    yaw = float(np.arctan2(ahead[0], ahead[2]))
    turned = smooth_step(abs(yaw), NEAR_SIDE_FROM, NEAR_SIDE_ONLY)
    far = turned * np.clip(places[:, 0] * np.sign(yaw) / MIDDLE + 0.5, 0, 1)
    return shifts + far[:, None] * (shifts[mirror] * (-1.0, 1.0, 1.0) - shifts)


class LandmarkSpline:
    """Spreads values at the landmarks over the vertices of the mean head.

    The kernel is that of 3-D biharmonic splines, phi(r) = r, with an affine part and smoothing (Wahba 1990): it bends
    as little as it can. Far from all landmarks the spread values fade out.
    """

    def __init__(self, face: FaceModel, model: LandmarkModel):
        self._places, self._points = model.mean, face.mean_shape.astype(np.float64)
        self._smoothing = np.full(FACE_LANDMARKS, SMOOTHING)
        self._smoothing[OVAL] = SMOOTHING_OVAL
        self._smoothing[np.concatenate(list(LID_RIMS.values()))] = SMOOTHING_LIDS
        self._fade = 1 - smooth_step(cKDTree(self._places).query(self._points)[0], FULL_WITHIN, NONE_BEYOND)
        if face.head_weight is not None:
            self._fade *= face.head_weight

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(468, C) -> (V, C)."""
        spline = RBFInterpolator(self._places, values, smoothing=self._smoothing, kernel="linear", degree=1)
        moving = np.flatnonzero(self._fade > 0)
        spread = np.zeros((len(self._points), values.shape[1]))
        spread[moving] = self._fade[moving, None] * spline(self._points[moving])
        return spread
