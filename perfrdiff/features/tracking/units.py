"""Face units from the shape of the face, beside the tracker's network: a bounded least-squares fit on the landmarks.

MediaPipe's network hardly sees half of the 52 units (docs/method.md 14.5), though its 478 landmarks move with most of
them. So the landmarks of every frame are set upright and to one size, compared with the person's own resting shape, and
explained as a sum of what each unit does to them. What a unit does, how head turns disturb it, and how far the network
or the fit can be trusted for each channel was measured on drawn faces of known units (tools/calibrate_tracker.py, kept
in assets/tracker/units.npz) and is checked on other people (python -m benchmarks.round_trip).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION_NAMES, UNTRUSTED
from perfrdiff.errors import InputError
from perfrdiff.features.tracking.jitter_filter import dead_zone
from renderer.resources import asset

__all__ = [
    "SHAPE_WIDTH", "STRAIGHT", "Response", "pose_terms", "read_units", "resting", "shape_of",
]  # fmt: skip

TABLE = asset("tracker/units.npz")
UNITS = len(EXPRESSION_NAMES)
SHAPE_WIDTH = 60  # directions of shape that are kept of 478 x 3 numbers; they hold 99.7 % of what units move
SHAPE_SCALE = 30.0  # brings head-sized shape changes to the size of the network's readings
FURTHEST = 0.6  # radians; the pose correction is a cubic and is not followed beyond what it was measured on
PRIOR = 8.0  # pull of every unit towards 0, in units of the measured noise
ITERATIONS = 150
HIGHEST = 1.2  # of a unit that is fitted

SURE: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "jawOpen",
    "mouthSmileLeft", "mouthSmileRight",
)  # fmt: skip
"""Channels that the network alone reads well, on drawn faces (correlation 0.9 and more) as on real ones."""

STRAIGHT: tuple[str, ...] = ("mouthSmileLeft", "mouthSmileRight")
"""Channels that are read from the shape by a plain regression, too. The fit gives part of a smile to its neighbours
(dimples, pressed and stretched lips), to each person's in another way: the same smile is read 0.6 times as large on one
and 1.6 times on another. The regression is alike on all."""

OWN_TURN = 3.0
"""Squared radians, summed over a clip's frames, at which half of what turns of the head do to this person beyond what
they do to all is taken off: 300 frames of ±8 degrees. Where the head hardly turns, the common response stays."""
ROUNDS = 2  # of the robust fit of it
FAR = 1.5  # times the median deviation: what is farther off is a movement of the face, and is clipped there


@dataclass(frozen=True)
class Response:
    """What drawn faces of known units looked like to the tracker; see tools/calibrate_tracker.py."""

    reference: np.ndarray  # (468, 3) resting landmarks, model units: x to the subject's left, y up, z to the camera
    stability: np.ndarray  # (468,) 0 … 1: how little a landmark is moved by any unit
    directions: np.ndarray  # (1434, SHAPE_WIDTH) orthonormal
    turning: np.ndarray  # (13, SHAPE_WIDTH + 52): what a turn of the head does to shape and network at rest
    units: np.ndarray  # (52, SHAPE_WIDTH + 52): what a full unit does to them
    precision: np.ndarray  # (SHAPE_WIDTH + 52, SHAPE_WIDTH + 52): inverse covariance of what is left
    straight: np.ndarray  # (SHAPE_WIDTH, len(STRAIGHT)): the regression, a full unit is read as 1
    fit_share: np.ndarray  # (52,) 0 … 1: weight of the fit in a channel, the rest is the network's
    fit_scale: np.ndarray  # (52,) brings a full unit's fit to 1, within limits
    restless: np.ndarray  # (52,) what a channel reads (rms) while it is at rest
    angles: np.ndarray  # (9, 3) from tracked angles and their products to the head's


@cache
def response() -> Response:
    """The measured table, read once.

    Raises:
        InputError: the file is missing or not such a table.
    """
    try:
        with np.load(TABLE, allow_pickle=False) as table:
            return Response(**{name: table[name].astype(np.float64) for name in Response.__dataclass_fields__})
    except (OSError, ValueError, KeyError):
        raise InputError(f"The table {TABLE} is missing or damaged; restore it from the repository.") from None


def upright(landmarks: np.ndarray, reference: np.ndarray, stability: np.ndarray) -> np.ndarray:
    """Landmarks turned, shifted and scaled onto a reference by the points that no expression moves.

    Args:
        landmarks: (T, 478, 3) pixels, as ``Face.landmarks``.
        reference, stability: see ``Response``.

    Returns:
        (T, 478, 3) in the reference's units, its orientation and about its weighted middle. The fit is orthographic
        (Kabsch 1976, Umeyama 1991): near enough for a face, and what perspective leaves is in ``Response.turning``.
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


def shape_of(landmarks: np.ndarray) -> np.ndarray:
    """(478, 3) landmarks in pixels -> (SHAPE_WIDTH,) float32: the face's shape whatever its place, size and turn."""
    table = response()
    points = upright(landmarks[None], table.reference, table.stability)
    return (SHAPE_SCALE * points.reshape(-1) @ table.directions).astype(np.float32)


def pose_terms(angles: np.ndarray) -> np.ndarray:
    """(T, 3) head angles about upright in radians -> (T, 13) polynomial terms of ``Response.turning``."""
    a, b, c = np.clip(np.asarray(angles, np.float64), -FURTHEST, FURTHEST).T
    return np.stack([a, b, c, a * a, b * b, c * c, a * b, a * c, b * c, a**3, b**3, a * a * b, a * b * b], axis=1)


def read_units(shapes: np.ndarray, network: np.ndarray, angles: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The 52 units of every frame, from shape and network together.

    Args:
        shapes: (T, SHAPE_WIDTH) of ``shape_of``.
        network: (T, 52) readings of the tracker's network, 0 … 1.
        angles: (T, 3) head angles about upright as MediaPipe fits them, radians.
        offset: (52,) the person's resting readings of the network (``signals.neutral_offset``).

    Returns:
        (T, 52), 0 … 1. The person's own resting shape is the zero (``resting``): that of the clip, less what the
        network's sure channels say is going on (a smile held throughout stays a smile). Every other channel is taken to
        rest in half of the frames or more.
    """
    table = response()
    network = np.asarray(network, np.float64)
    terms = pose_terms(angles)
    seen = np.concatenate([shapes, network], axis=1) - terms @ table.turning
    sure = [CHANNEL[name] for name in SURE]
    explained = _freed(seen[:, SHAPE_WIDTH:], network, offset)[:, sure] @ table.units[sure]
    rest, own = resting(seen - explained, terms)
    seen -= terms @ own
    rest[SHAPE_WIDTH:][sure] = offset[sure]
    fitted = bounded_fit(seen - rest, table.units, table.precision) * table.fit_scale
    fitted = with_straight(fitted, (seen - rest)[:, :SHAPE_WIDTH], table.straight)
    freed = _freed(seen[:, SHAPE_WIDTH:], network, np.clip(rest[SHAPE_WIDTH:], 0, 1))
    units = np.clip(table.fit_share * fitted + (1 - table.fit_share) * freed, 0, 1)
    units = dead_zone(units, table.restless)
    units[:, UNTRUSTED] = 0.0
    return units


def with_straight(fitted: np.ndarray, shapes: np.ndarray, straight: np.ndarray) -> np.ndarray:
    """(T, 52) units of the fit, in the ``STRAIGHT`` ones the mean of it and of the regression on (T, SHAPE_WIDTH)."""
    fitted = fitted.copy()
    channels = [CHANNEL[name] for name in STRAIGHT]
    fitted[:, channels] = (fitted[:, channels] + np.clip(shapes @ straight, 0, HIGHEST)) / 2
    return fitted


def resting(seen: np.ndarray, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A person's resting shape, and what turns of the head do to it beyond what they do to everybody.

    A ridge regression on the turns, with movements of the face clipped (Huber 1964) so that they do not pull at it.

    Args:
        seen: (T, n) shape and network, freed of the common response to turns.
        terms: (T, 13) of ``pose_terms``.

    Returns:
        rest (n,) and own turning (13, n): at rest, ``seen`` is about ``rest + terms @ own``.
    """
    rest = np.median(seen, axis=0)
    own = np.zeros((terms.shape[1], seen.shape[1]))
    solve = np.linalg.solve(terms.T @ terms + OWN_TURN * np.eye(terms.shape[1]), terms.T)
    for _ in range(ROUNDS):
        turned = terms @ own
        left = seen - rest - turned
        limit = FAR * 1.4826 * np.median(np.abs(left), axis=0)
        own = solve @ (turned + np.clip(left, -limit, limit))
        rest = np.median(seen - terms @ own, axis=0)
    return rest, own


def _freed(seen: np.ndarray, network: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(T, 52) readings of the network, freed of the head's turn and of the person's rest."""
    seen = np.minimum(seen, network + 0.1)  # a turn may hide a movement; it makes none
    return np.clip((seen - rest) / np.maximum(1 - rest, 1e-3), 0, 1)


def bounded_fit(change: np.ndarray, units: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Units between 0 and ``HIGHEST`` whose sum explains a change best, all frames at once.

    Minimises (c - x U)' P (c - x U) + PRIOR |x|² by accelerated projected gradients (Beck & Teboulle 2009).

    Args:
        change: (T, n); units: (52, n); precision: (n, n).

    Returns:
        (T, 52).
    """
    weighted = units @ precision
    normal = weighted @ units.T + PRIOR * np.eye(len(units))
    target = change @ weighted.T
    step = 1 / np.linalg.eigvalsh(normal)[-1]
    x = np.zeros_like(target)
    ahead, pace = x, 1.0
    for _ in range(ITERATIONS):
        after = np.clip(ahead - step * (ahead @ normal - target), 0.0, HIGHEST)
        faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
        ahead = after + (pace - 1) / faster * (after - x)
        x, pace = after, faster
    return x
