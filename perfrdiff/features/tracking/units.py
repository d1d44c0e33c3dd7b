"""Face units from the shape of the face, beside the tracker's network: a bounded least-squares fit on the landmarks.

MediaPipe's network hardly reads half of the 52 units (docs/method.md 14.5), though its 478 landmarks move with most of
them. So the landmarks of every frame are set upright and to one size, compared with the person's resting shape, and
explained as a sum of the units' responses (docs/method.md 14.6). The responses, the disturbance by head turns and the
weights of network and fit in each channel were measured on drawn faces of known units (tools/calibrate_tracker.py,
stored in assets/tracker/units.npz) and are checked on other people (python -m benchmarks.round_trip).
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Self

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION_NAMES, UNTRUSTED_COLUMNS
from perfrdiff.errors import InputError
from perfrdiff.features.tracking.jitter_filter import dead_zone
from renderer.resources import asset

__all__ = [
    "REGRESSED_CHANNELS", "SHAPE_WIDTH", "PersonalRest", "Response", "face_shape", "fit_rest", "pose_terms",
    "read_units",
]  # fmt: skip

TABLE = asset("tracker/units.npz")
UNITS = len(EXPRESSION_NAMES)
SHAPE_WIDTH = 60  # directions in the 478 x 3 numbers of a shape; they hold 99.7 % of what units move
SHAPE_SCALE = 30.0  # brings head-sized shape changes to the size of the network's readings
MAX_CORRECTED_ANGLE = 0.6  # radians; the pose correction is a cubic, and is not followed beyond its data
PRIOR = 8.0  # pull of every unit towards 0, in units of the measured noise
ITERATIONS = 150
MAX_UNIT = 1.2  # of a unit that is fitted

NETWORK_CHANNELS: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "jawOpen",
    "mouthSmileLeft", "mouthSmileRight",
)  # fmt: skip
"""Channels that the network alone reads well, on drawn faces (correlation 0.9 and more) as on real ones."""

REGRESSED_CHANNELS: tuple[str, ...] = ("mouthSmileLeft", "mouthSmileRight")
"""Channels that are also read from the shape by a plain regression. The fit gives part of a smile to its neighbours
(dimples, pressed and stretched lips), to each person's in another way: the same smile is read 0.6 times as large on one
and 1.6 times on another. The regression is alike on all."""

PERSONAL_TURN_RIDGE = 3.0
"""Squared radians, summed over a clip's frames, at which half of a person's deviation from the common response to head
turns is corrected: 300 frames of ±8 degrees. Where the head hardly turns, the common response stays."""
ROBUST_ROUNDS = 2  # of that fit
CLIPPED_DEVIATION = 1.5  # times the median deviation: what is farther off is a movement of the face, and is clipped


@dataclass(frozen=True)
class Response:
    """What the tracker read from drawn faces of known units; see tools/calibrate_tracker.py."""

    reference: np.ndarray  # (468, 3) resting landmarks, model units: x to the subject's left, y up, z to the camera
    stability: np.ndarray  # (468,) 0 … 1: how little a landmark is moved by any unit
    directions: np.ndarray  # (1434, SHAPE_WIDTH) orthonormal
    pose_response: np.ndarray  # (13, SHAPE_WIDTH + 52): what the terms of a head turn do to shape and network
    units: np.ndarray  # (52, SHAPE_WIDTH + 52): what a full unit does to them
    precision: np.ndarray  # (SHAPE_WIDTH + 52, SHAPE_WIDTH + 52): inverse covariance of the residual
    regression: np.ndarray  # (SHAPE_WIDTH, len(REGRESSED_CHANNELS)): a full unit is read as 1
    fit_share: np.ndarray  # (52,) 0 … 1: weight of the fit in a channel against the network's
    fit_scale: np.ndarray  # (52,) brings a full unit's fit to 1, within limits
    resting_noise: np.ndarray  # (52,) what a channel reads (rms) while it is at rest
    angles: np.ndarray  # (9, 3) from tracked angles and their products to the head's angles, radians


STORED_NAMES = {"pose_response": "turning", "regression": "straight", "resting_noise": "restless"}
"""Fields of ``Response`` that have another name in the table's file."""


@cache
def response() -> Response:
    """The measured table, read once.

    Raises:
        InputError: the file is missing or not such a table.
    """
    try:
        with np.load(TABLE, allow_pickle=False) as table:
            arrays = {name: table[STORED_NAMES.get(name, name)] for name in Response.__dataclass_fields__}
            return Response(**{name: array.astype(np.float64) for name, array in arrays.items()})
    except (OSError, ValueError, KeyError):
        raise InputError(f"The table {TABLE} is missing or damaged; restore it from the repository.") from None


def upright(landmarks: np.ndarray, reference: np.ndarray, stability: np.ndarray) -> np.ndarray:
    """Landmarks turned, shifted and scaled onto a reference by the points that no expression moves.

    Args:
        landmarks: (T, 478, 3) pixels, as ``Face.landmarks``.
        reference, stability: see ``Response``.

    Returns:
        (T, 478, 3) in the reference's units, its orientation and about its weighted middle. The fit is orthographic
        (Kabsch 1976, Umeyama 1991): near enough for a face, and what perspective adds is in ``Response.pose_response``.
    """
    points = np.asarray(landmarks, np.float64) * [1, -1, -1]
    middle = np.einsum("tlc,l->tc", points[:, :468], stability) / stability.sum()
    points = points - middle[:, None]
    mixed = np.einsum("tlc,ld,l->tcd", points[:, :468], reference, stability)
    left, _, right = np.linalg.svd(mixed)
    left[:, :, 2] *= np.linalg.det(left @ right)[:, None]  # a rotation, never a mirror
    points = points @ (left @ right)
    size = np.einsum("tlc,lc,l->t", points[:, :468], reference, stability)
    return points / (size / np.einsum("lc,lc,l->", reference, reference, stability))[:, None, None]


def face_shape(landmarks: np.ndarray) -> np.ndarray:
    """(478, 3) landmarks in pixels -> (SHAPE_WIDTH,) float32: the face's shape without place, size and turn."""
    table = response()
    points = upright(landmarks[None], table.reference, table.stability)
    return (SHAPE_SCALE * points.reshape(-1) @ table.directions).astype(np.float32)


def pose_terms(angles: np.ndarray) -> np.ndarray:
    """(T, 3) head angles about upright in radians -> (T, 13) polynomial terms of ``Response.pose_response``."""
    a, b, c = np.clip(np.asarray(angles, np.float64), -MAX_CORRECTED_ANGLE, MAX_CORRECTED_ANGLE).T
    return np.stack([a, b, c, a * a, b * b, c * c, a * b, a * c, b * c, a**3, b**3, a * a * b, a * b * b], axis=1)


@dataclass(frozen=True)
class PersonalRest:
    """A person's resting face: what shape and network read of it, and how that moves with the head's turns."""

    rest: np.ndarray  # (SHAPE_WIDTH + 52,)
    personal: np.ndarray  # (13, SHAPE_WIDTH + 52), response to ``pose_terms`` beyond the common one

    @classmethod
    def fit(cls, shapes: np.ndarray, network: np.ndarray, angles: np.ndarray, offset: np.ndarray) -> Self:
        """From the frames of a clip; for the arguments see ``read_units``.

        The resting shape is that of the clip, less the movements that the ``NETWORK_CHANNELS`` show (a smile held
        throughout stays a smile). Every other channel is assumed to rest in half of the frames or more.
        """
        table = response()
        network, terms = np.asarray(network, np.float64), pose_terms(angles)
        readings = np.concatenate([shapes, network], axis=1) - terms @ table.pose_response
        reliable = [CHANNEL[name] for name in NETWORK_CHANNELS]
        explained = _network_units(readings[:, SHAPE_WIDTH:], network, offset)[:, reliable] @ table.units[reliable]
        rest, personal = fit_rest(readings - explained, terms)
        rest[SHAPE_WIDTH:][reliable] = offset[reliable]
        return cls(rest, personal)

    def units(self, shapes: np.ndarray, network: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """The 52 units (T, 52) of frames of this person, 0 … 1; for the arguments see ``read_units``."""
        table = response()
        network, terms = np.asarray(network, np.float64), pose_terms(angles)
        readings = np.concatenate([shapes, network], axis=1) - terms @ table.pose_response
        readings -= terms @ self.personal
        fitted = bounded_fit(readings - self.rest, table.units, table.precision) * table.fit_scale
        fitted = with_regression(fitted, (readings - self.rest)[:, :SHAPE_WIDTH], table.regression)
        from_network = _network_units(readings[:, SHAPE_WIDTH:], network, np.clip(self.rest[SHAPE_WIDTH:], 0, 1))
        units = np.clip(table.fit_share * fitted + (1 - table.fit_share) * from_network, 0, 1)
        units = dead_zone(units, table.resting_noise)
        units[:, UNTRUSTED_COLUMNS] = 0.0
        return units


def read_units(shapes: np.ndarray, network: np.ndarray, angles: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The 52 units of every frame of a clip, from shape and network together.

    Args:
        shapes: (T, SHAPE_WIDTH) of ``face_shape``.
        network: (T, 52) readings of the tracker's network, 0 … 1.
        angles: (T, 3) head angles about upright as MediaPipe fits them, radians.
        offset: (52,) the person's resting readings of the network (``signals.neutral_offset``).

    Returns:
        (T, 52), 0 … 1; the person's resting face (``PersonalRest``) is the zero.
    """
    return PersonalRest.fit(shapes, network, angles, offset).units(shapes, network, angles)


def with_regression(fitted: np.ndarray, shapes: np.ndarray, regression: np.ndarray) -> np.ndarray:
    """(T, 52) units of the fit; in ``REGRESSED_CHANNELS``, the mean with the regression on (T, SHAPE_WIDTH) shapes."""
    fitted = fitted.copy()
    channels = [CHANNEL[name] for name in REGRESSED_CHANNELS]
    fitted[:, channels] = (fitted[:, channels] + np.clip(shapes @ regression, 0, MAX_UNIT)) / 2
    return fitted


def fit_rest(readings: np.ndarray, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A person's resting shape, and its response to head turns beyond the common one.

    A ridge regression on the turns, with movements of the face clipped (Huber 1964) so that they do not pull at it.

    Args:
        readings: (T, n) shape and network, less the common response to turns.
        terms: (T, 13) of ``pose_terms``.

    Returns:
        rest (n,) and personal response (13, n): at rest, ``readings`` is about ``rest + terms @ personal``.
    """
    rest = np.median(readings, axis=0)
    personal = np.zeros((terms.shape[1], readings.shape[1]))
    solve = np.linalg.solve(terms.T @ terms + PERSONAL_TURN_RIDGE * np.eye(terms.shape[1]), terms.T)
    for _ in range(ROBUST_ROUNDS):
        by_turns = terms @ personal
        residual = readings - rest - by_turns
        limit = CLIPPED_DEVIATION * 1.4826 * np.median(np.abs(residual), axis=0)
        personal = solve @ (by_turns + np.clip(residual, -limit, limit))
        rest = np.median(readings - terms @ personal, axis=0)
    return rest, personal


def _network_units(corrected: np.ndarray, network: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(T, 52) readings of the network, ``corrected`` for the head's turn, less the person's rest; 0 … 1."""
    corrected = np.minimum(corrected, network + 0.1)  # a turn may conceal a movement; it makes none
    return np.clip((corrected - rest) / np.maximum(1 - rest, 1e-3), 0, 1)


def bounded_fit(change: np.ndarray, units: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Units between 0 and ``MAX_UNIT`` whose sum explains a change best, all frames at once.

    Minimises (c - x U)' P (c - x U) + PRIOR |x|² by accelerated projected gradients (Beck & Teboulle 2009).

    Args:
        change: (T, n); units: (52, n); precision: (n, n).

    Returns:
        (T, 52).
    """
    weighted, normal, step = _normal_equations(units.tobytes(), precision.tobytes(), len(units))
    target = change @ weighted.T
    x = np.zeros_like(target)
    extrapolated, momentum = x, 1.0
    for _ in range(ITERATIONS):
        next_x = np.clip(extrapolated - step * (extrapolated @ normal - target), 0.0, MAX_UNIT)
        next_momentum = (1 + np.sqrt(1 + 4 * momentum * momentum)) / 2
        extrapolated = next_x + (momentum - 1) / next_momentum * (next_x - x)
        x, momentum = next_x, next_momentum
    return x


@lru_cache(maxsize=4)
def _normal_equations(units: bytes, precision: bytes, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Of ``bounded_fit`` for float64 tables: the weighted units (count, n), the matrix (count, count) and the step."""
    table = np.frombuffer(units).reshape(count, -1)
    weighted = table @ np.frombuffer(precision).reshape(table.shape[1], -1)
    normal = weighted @ table.T + PRIOR * np.eye(count)
    return weighted, normal, float(1 / np.linalg.eigvalsh(normal)[-1])
