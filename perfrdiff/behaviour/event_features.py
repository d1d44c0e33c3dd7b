"""How somebody moves: one vector of rates, sizes and speeds of what can be seen in a clip, without the resting face.

Two clips of a person are near, those of two persons far, whatever their faces look like at rest; of levels there are
only the smile's and the head's angles. Everything is measured above the noise of a tracker (some 0.012 in expressions,
0.12 degrees in angles): expressions are smoothed first, thresholds and floors lie over what is left of it. So a
generated clip without such noise and a tracked one can be compared.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from perfrdiff.behaviour import events
from perfrdiff.behaviour.bands import BANDS, band_rms
from perfrdiff.behaviour.events import turning_points
from perfrdiff.behaviour.glances import glances
from perfrdiff.coefficients import CHANNEL, FPS, ROTATION, TRANSLATION, WIDTH
from perfrdiff.errors import InputError

__all__ = ["EVENT_FEATURES", "FEATURE_GROUPS", "SHORTEST_CLIP", "event_features"]

FEATURE_GROUPS: dict[str, tuple[str, ...]] = {
    "nods": ("nod rate", "clear nod rate", "nod size", "nod frequency", "strokes per nod", "quick pitch"),
    "blinks": ("blink rate", "blink peak"),
    "smiles": ("smile rate", "smile size", "smile length", "smile onset", "smile level", "smile asymmetry"),
    "brows": ("brow rate", "brow size", "frown rate", "frown size"),
    "gaze": ("glance rate", "glance size", "glance side"),
    "mouth": ("lip press rate", "lip press size", "jaw activity"),
    "posture": (
        "tilt rate", "tilt size", "posture shift rate", "pitch drift", "yaw drift", "roll drift", "slow pitch",
        "medium pitch", "slow yaw", "medium yaw", "slow roll", "medium roll", "shake",
    ),
    "head angles": ("pitch", "yaw", "roll"),
}  # fmt: skip
"""What the features are about: group -> features, in the order of the vector."""
EVENT_FEATURES: tuple[str, ...] = tuple(name for names in FEATURE_GROUPS.values() for name in names)
"""The N names of `event_features`, in order.

Rates are log(events per minute + 1). Sizes, lengths and frequencies are means of logarithms over the events, drawn
towards a default that also stands where there was no event; `quick`, `medium` and `slow` are log rms of an angle at
1-3, 0.3-1 and 0.1-0.3 Hz (`shake`: the yaw at 1-3 Hz), `drift` the log spread of the held angle. Sides and asymmetry
are -1 (right) … 1 (left), angles the median in degrees."""

SHORTEST_CLIP = 2 * FPS  # frames
FACE_SMOOTHING = (
    1.5  # frames of a Gaussian over the expressions other than lids and eyes; leaves .4 of a tracker's noise
)
SMOOTHED_COLUMNS = [
    CHANNEL[name] for name in ("mouthSmileLeft", "mouthSmileRight", "browInnerUp", "browDownLeft", "browDownRight",
                               "mouthPressLeft", "mouthPressRight", "jawOpen")
]  # fmt: skip
PRIOR_EVENTS = 0.5  # of the default size, among the events of a clip
QUICK_FLOOR, MEDIUM_FLOOR, SLOW_FLOOR, DRIFT_FLOOR = 0.1, 0.2, 0.3, 0.3  # degrees, added as power, as noise would be
JAW_FLOOR, SMILE_FLOOR, ASYMMETRY_FLOOR = 0.02, 0.02, 0.03
HOLD_SMOOTHING = 7.0  # frames of a Gaussian that leaves held poses and the steps between them
DRIFT_SMOOTHING = 12.0
TILT_DEGREES = 2.5  # of a step of the roll
SHIFT_UNITS = 0.08  # of a step of the head to or from the camera, model units (13 mm)


def event_features(clip: np.ndarray) -> np.ndarray:
    """The features (N,) float64, in the order of `EVENT_FEATURES`, of a clip (frames, 58) of 2 s or more.

    Raises InputError for another width and for a shorter clip.
    """
    rows = np.array(clip, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != WIDTH or len(rows) < SHORTEST_CLIP:
        raise InputError(f"Movement needs coefficients of shape ({SHORTEST_CLIP} or more, {WIDTH}), got {rows.shape}.")
    smooth = rows.copy()
    smooth[:, SMOOTHED_COLUMNS] = gaussian_filter1d(rows[:, SMOOTHED_COLUMNS], FACE_SMOOTHING, axis=0)
    minutes = len(rows) / FPS / 60
    features = _nods(rows, minutes) | _blinks(rows, minutes) | _smiles(smooth, minutes) | _face(smooth, minutes)
    features |= _glances(rows, minutes) | _posture(rows, minutes)
    return np.array([features[name] for name in EVENT_FEATURES])


def _rate(count: float, minutes: float) -> float:
    return float(np.log(count / minutes + 1.0))


def _size(values: np.ndarray, default: float) -> float:
    """Mean logarithm of positive values (n,) and of the default, which counts as much as `PRIOR_EVENTS` of them."""
    return float((np.log(values).sum() + PRIOR_EVENTS * np.log(default)) / (len(values) + PRIOR_EVENTS))


def _amount(rms: float, floor: float) -> float:
    """Logarithm of a root mean square to whose power a floor is added."""
    return float(np.log(np.hypot(rms, floor)))


def _nods(rows: np.ndarray, minutes: float) -> dict[str, float]:
    nods = events.nods(rows)
    return {
        "nod rate": _rate(len(nods.start), minutes),
        "clear nod rate": _rate(nods.clear.sum(), minutes),
        "nod size": _size(nods.size, 4.3),
        "nod frequency": _size(nods.frequency, 2.3),
        "strokes per nod": _size(nods.strokes, 2.8),
    }


def _blinks(rows: np.ndarray, minutes: float) -> dict[str, float]:
    blinks = events.blinks(rows)
    return {"blink rate": _rate(len(blinks.time), minutes), "blink peak": _size(blinks.peak, 0.6)}


def _smiles(smooth: np.ndarray, minutes: float) -> dict[str, float]:
    smiles = events.smiles(smooth)
    left, right = smooth[:, CHANNEL["mouthSmileLeft"]], smooth[:, CHANNEL["mouthSmileRight"]]
    moved, leaning = left + right, left - right
    variance = moved.var() + ASYMMETRY_FLOOR**2
    return {
        "smile rate": _rate(len(smiles.start), minutes),
        "smile size": _size(smiles.size, 0.3),
        "smile length": _size(smiles.length, 2.0),
        "smile onset": _size(smiles.onset, 0.4),
        "smile level": float(np.log(moved.mean() / 2 + SMILE_FLOOR)),
        "smile asymmetry": float(np.mean((leaning - leaning.mean()) * (moved - moved.mean())) / variance),
    }


def _face(smooth: np.ndarray, minutes: float) -> dict[str, float]:
    features = {}
    for name, channel, default in (
        ("brow", "browInnerUp", 0.25), ("frown", "browDown", 0.2), ("lip press", "mouthPress", 0.2),
    ):  # fmt: skip
        rises = events.blendshape_rises(smooth, channel)
        features[f"{name} rate"] = _rate(len(rises.start), minutes)
        features[f"{name} size"] = _size(rises.size, default)
    features["jaw activity"] = float(
        np.log(band_rms(smooth[:, CHANNEL["jawOpen"]], BANDS[1][0], BANDS[2][1]) + JAW_FLOOR)
    )
    return features


def _glances(rows: np.ndarray, minutes: float) -> dict[str, float]:
    found = glances(rows)
    return {
        "glance rate": _rate(len(found.start), minutes),
        "glance size": _size(found.size, 0.35),
        "glance side": float(found.side.sum() / (len(found.side) + 1)),
    }


def _posture(rows: np.ndarray, minutes: float) -> dict[str, float]:
    angles = np.degrees(rows[:, ROTATION] - [np.pi, 0, 0])
    slow, medium, quick = (band_rms(angles, *band) for band in BANDS)
    held = gaussian_filter1d(angles, HOLD_SMOOTHING, axis=0)
    tilts = _steps(held[:, 2], TILT_DEGREES)
    distance = gaussian_filter1d(rows[:, TRANSLATION.stop - 1], HOLD_SMOOTHING)
    drift = gaussian_filter1d(angles, DRIFT_SMOOTHING, axis=0).std(axis=0)
    features = {
        "quick pitch": _amount(quick[0], QUICK_FLOOR),
        "shake": _amount(quick[1], QUICK_FLOOR),
        "tilt rate": _rate(len(tilts), minutes),
        "tilt size": _size(tilts, 5.0),
        "posture shift rate": _rate(len(_steps(distance, SHIFT_UNITS)), minutes),
    }
    for axis, name in enumerate(FEATURE_GROUPS["head angles"]):
        features |= {
            f"slow {name}": _amount(slow[axis], SLOW_FLOOR),
            f"medium {name}": _amount(medium[axis], MEDIUM_FLOOR),
            f"{name} drift": _amount(drift[axis], DRIFT_FLOOR),
            name: float(np.median(angles[:, axis])),
        }
    return features


def _steps(held: np.ndarray, threshold: float) -> np.ndarray:
    """Sizes (n,) of the steps by at least `threshold` between the turning points of a held signal (frames,)."""
    return np.abs(np.diff(held[turning_points(np.ascontiguousarray(held), threshold)]))
