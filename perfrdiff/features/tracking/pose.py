"""Head pose: from the tracker's matrix to the rotation and translation of the 58-vector.

Both frames have x to the subject's left, y up and z towards the camera. FaceVerse's model is stored y-down, so its
rotation carries an extra half turn about x: ``R_fv = R_head Rx(pi)``, and as Rx is applied first in
R = Rz(c) Ry(b) Rx(a), only ``a`` changes, by pi (docs/method.md 1.2). Positive a nods down, positive b turns
to the subject's left, positive c tilts the head towards the subject's right shoulder. These are scipy's "xyz" angles:
turns about fixed axes, x first.
"""

import numpy as np
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

from perfrdiff.coefficients import react_mean
from perfrdiff.features.tracking.units import MAX_CORRECTED_ANGLE, pose_terms, response

__all__ = [
    "MILLIMETRES_PER_UNIT",
    "euler_angles",
    "model_origins",
    "rotation_matrix",
    "smooth",
    "tracked_angles",
    "translations",
    "without_parallax",
]

MILLIMETRES_PER_UNIT = 162.0
CAMERA_DISTANCE = 10.0  # of the FaceVerse camera, model units

# MediaPipe fits its head to landmarks whose depth is meant along the ray to the face, but places them along the
# camera's axis. A face off the axis is therefore turned towards the camera by this share of the ray's angle
# (measured by moving one picture over a larger canvas: 0.24 … 0.37 over ±30°).
PARALLAX = 0.28

# MediaPipe places a point that is this far from the face model's origin (x, y up, z forward, model units), so that a
# turn on the spot looked like a shift (measured on drawn heads that turn: the rest is 0.005 units, 1 mm).
HEAD_POINT = np.array([0.0, 0.01, 0.06])

SMOOTHING_FRAMES = 5  # with order 2: no lag, a 3 Hz nod keeps 97 % of its height
SMOOTHING_ORDER = 2


def rotation_matrix(angles: np.ndarray) -> np.ndarray:
    """(..., 3) Euler angles a, b, c in radians -> (..., 3, 3), R = Rz(c) Ry(b) Rx(a)."""
    return Rotation.from_euler("xyz", np.asarray(angles, dtype=np.float64)).as_matrix()


def euler_angles(rotation: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotation of a head (identity = upright, facing the camera) -> (..., 3) angles of the 58-vector.

    The first angle lies in 0 … 2 pi and is pi for an upright face, so it is continuous for every face that can be seen.
    """
    angles = Rotation.from_matrix(np.asarray(rotation, dtype=np.float64)).as_euler("xyz")  # a in -pi … pi
    return angles + np.array([np.pi, 0.0, 0.0])


def tracked_angles(rotation: np.ndarray) -> np.ndarray:
    """(..., 3, 3) head rotation as MediaPipe fits it -> (..., 3) angles of the 58-vector, to FaceVerse's scale.

    MediaPipe assumes a camera with a wide view at arm's length, FaceVerse one with a narrow view. Through the latter,
    turns are read back as some 85 % (pitch) and 90 % (yaw) of themselves, a little more or less where two turns meet:
    the measured polynomial ``Response.angles`` undoes it. No constant is subtracted: the built-in head is read nodded
    by some 4 degrees, but people who look straight into a camera are read straight.
    """
    upright = np.array([np.pi, 0.0, 0.0])
    turned = euler_angles(rotation) - upright
    inside = np.clip(turned, -MAX_CORRECTED_ANGLE, MAX_CORRECTED_ANGLE)
    table = response().angles
    corrected = (pose_terms(inside.reshape(-1, 3))[:, :9] @ table).reshape(turned.shape)
    return upright + corrected + (turned - inside) * np.diag(table[:3])


def model_origins(positions: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Positions (T, 3) and rotations (T, 3, 3) as MediaPipe fits them -> (T, 3) of the face model's origin, cm."""
    return positions - 0.1 * MILLIMETRES_PER_UNIT * np.einsum("tij,j->ti", rotations, HEAD_POINT)


def without_parallax(rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Head rotation as seen along the ray to the head instead of along the camera's axis.

    Args:
        rotation: (3, 3) of MediaPipe's transformation matrix.
        position: (3,) its translation, centimetres, z negative in front of the camera.
    """
    x, y, z = position
    yaw, pitch = np.arctan2(x, -z), np.arctan2(y, -z)
    return rotation_matrix(np.array([-PARALLAX * pitch, PARALLAX * yaw, 0.0])) @ rotation


def translations(positions: np.ndarray, seat: np.ndarray) -> np.ndarray:
    """Head positions -> the three translations of the 58-vector, the person's own seat removed.

    x and y are metric. Depth has no metre in a single camera of unknown focal length: what is seen is the apparent
    size. So it is read as FaceVerse's own trackers do, through their camera: a face that appears 5 % larger than
    usual has come 5 % of the mean camera distance nearer, and is drawn 5 % larger.

    Args:
        positions: (T, 3) centimetres, z negative in front of the camera.
        seat: (3,) the usual position (median of the clip), centimetres.

    Returns:
        (T, 3) model units, the REACT mean translation at the seat.
    """
    home = react_mean()[-3:].astype(np.float64)
    moved = (np.asarray(positions, dtype=np.float64) - seat) * 10.0 / MILLIMETRES_PER_UNIT
    moved[..., 2] = (CAMERA_DISTANCE - home[2]) * (1.0 - positions[..., 2] / seat[2])
    return home + moved


def smooth(track: np.ndarray) -> np.ndarray:
    """(T, C) -> the same, lightly smoothed over 5 frames without delay; shorter tracks stay as they are."""
    if len(track) < SMOOTHING_FRAMES:
        return track
    return savgol_filter(track, SMOOTHING_FRAMES, SMOOTHING_ORDER, axis=0, mode="interp")
