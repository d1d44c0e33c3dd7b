"""Makes assets/tracker/units.npz: the responses of the tracker's landmarks and network to each face unit and to head
turns, and the weights of the two in each channel.

    python -m tools.calibrate_tracker          # some ten minutes on two cores

Ten made-up people are drawn with known units and tracked (tools/drawn_faces.py), and each is taken a second time in
the mirror. None of them is one of the named people on whom `python -m benchmarks.round_trip` measures the result.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from perfrdiff.coefficients import CHANNEL, EXPRESSION_NAMES, ROTATION, TRANSLATION
from perfrdiff.features.tracking.units import (
    NETWORK_CHANNELS,
    PRIOR,
    REGRESSED_CHANNELS,
    SHAPE_SCALE,
    SHAPE_WIDTH,
    TABLE,
    UNITS,
    bounded_fit,
    fit_rest,
    pose_terms,
    upright,
    with_regression,
)  # fmt: skip
from renderer.face_model import load_face_model, neutral_coefficients
from tools.drawn_faces import Observed, observe, random_person, rows

CALIBRATION_SEEDS = range(1, 11)
TEST_PEOPLE = 2  # the last people, on whom network and fit are weighed; the others make the response
KINDS = (("pose", 160), ("own", 416), ("natural", 520))
FLAT = 478 * 3
# Iris points of the two eyes in the mirror: middle, the eye's outer and inner side changed over, top, bottom.
IRIS_OTHER = (473, 476, 475, 474, 477, 468, 471, 470, 469, 472)
# Real faces differ from drawn ones in more than the drawn ones from one another. Without these two, the fit reads real
# people's small deviations as large units that flicker. Regressions and networks learnt on drawn faces without them
# followed drawn faces better still (mixed movements at 0.65 in place of 0.57), and real ones not: their smiles agreed
# with the tracker's network at 0.28 … 0.46 over six real clips, where the fit's agree at 0.8 … 0.9.
NOISE_FLOOR = 6.0  # times the measured variance that is added to it
ADDED_VARIANCE = np.concatenate([np.full(SHAPE_WIDTH, 0.3), np.full(UNITS, 0.02)])  # to shape and network
LARGEST_SCALE = 2.0  # a unit with a weak response is not scaled up further than this
SHARES = np.linspace(0, 1, 11)  # of the fit that are tried
CORRELATION_TOLERANCE = 0.05  # smaller differences in correlation do not count
NETWORK_CHANNEL_SHARE = 0.5  # of the fit in NETWORK_CHANNELS
REGRESSED_CHANNEL_SHARE = 2 / 3  # in REGRESSED_CHANNELS; of that the regression is half, so that each reads a third
REGRESSION_NOISE = 2.0  # standard deviations of each direction that the regression treats as noise, see above
STILL_SHARE = 1.1  # times what a channel reads at rest (rms) is pressed to 0: more stills, and takes small movements
WANDERING_SHARE = 1.5  # for the gaze sideways, which wanders slowly on a dark, noisy, still face


def observe_person(seed: int) -> dict[str, Observed]:
    """Draw and track one made-up person; the sets of ``KINDS``."""
    rng = np.random.default_rng(seed)
    return {kind: observe(random_person(seed), rows(kind, count, rng), rng) for kind, count in KINDS}


def stable_landmarks() -> tuple[np.ndarray, np.ndarray]:
    """The built-in head's resting landmarks (468, 3) and how little each of them is moved by the units (468,)."""
    face = load_face_model()
    still = neutral_coefficients()
    still[:, -3:] = 0
    points = face.landmarks(still)[0].astype(np.float64)
    basis = np.einsum("lkce,lk->lce", face.expression_basis[face.landmark_vertices], face.landmark_weights)
    weight = 1 / (1e-4 + np.square(basis).sum(axis=(1, 2)))
    weight /= weight.max()
    return points - weight @ points / weight.sum(), weight


def opposite(points: np.ndarray) -> np.ndarray:
    """(478, 3) resting landmarks -> (478,) the index of each point's other side, or its own."""
    face = points[:468]
    distance = np.square(face[:, None] - face[None] * [-1, 1, 1]).sum(axis=2)
    _, other = linear_sum_assignment(distance)
    if not (other[other] == np.arange(len(face))).all():
        raise ValueError("the landmarks of the two sides do not pair up")
    return np.concatenate([other, IRIS_OTHER])


def mirrored(observed: Observed, other: np.ndarray) -> Observed:
    """The same frames in a mirror: twice as many people, and two sides that are read alike."""
    coefficients = observed.coefficients.copy()
    coefficients[:, : len(EXPRESSION_NAMES)] = coefficients[:, _sides()]
    coefficients[:, ROTATION.start + 1 : ROTATION.stop] *= -1
    coefficients[:, TRANSLATION.start] *= -1
    flip = np.array([-1.0, 1.0, 1.0])
    return Observed(
        coefficients=coefficients,
        landmarks=observed.landmarks[:, other] * flip,
        network=observed.network[:, _sides()],
        rotations=flip[:, None] * observed.rotations * flip,
        positions=observed.positions * flip,
        seen=observed.seen,
    )


@dataclass(frozen=True)
class Reading:
    """One person's readings, less their rest and their response to head turns."""

    units: np.ndarray  # (T, 52) as drawn
    change: np.ndarray  # (T, FLAT + 52)


def angle_terms(angles: np.ndarray) -> np.ndarray:
    """(T, 3) -> (T, 9): the angles and their products, as tracking.pose applies them."""
    return pose_terms(angles)[:, :9]


def main() -> None:
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # the cores that this process may use
        people = list(pool.map(observe_person, CALIBRATION_SEEDS))
    calibrate(people)


def calibrate(people: list[dict[str, Observed]]) -> None:
    """Write the table from the people's readings; see the module's text."""
    print(f"{sum(len(observed.units) for person in people for observed in person.values())} frames seen", flush=True)
    reference, stability = stable_landmarks()
    calm = np.concatenate([observed.landmarks[observed.units.sum(axis=1) < 1e-6] for observed in people[0].values()])
    other = opposite(upright(calm, reference, stability).mean(axis=0))
    reference = (reference + reference[other[:468]] * [-1, 1, 1]) / 2
    stability = (stability + stability[other[:468]]) / 2
    people = [
        side
        for person in people
        for side in (person, {kind: mirrored(observed, other) for kind, observed in person.items()})
    ]  # fmt: skip
    test_sides = 2 * TEST_PEOPLE

    def seen_of(observed: Observed) -> np.ndarray:
        shape = SHAPE_SCALE * upright(observed.landmarks, reference, stability).reshape(len(observed.units), -1)
        return np.concatenate([shape, observed.network], axis=1).astype(np.float32)

    seen = [{kind: seen_of(observed) for kind, observed in person.items()} for person in people]
    turns, moved = 0.0, 0.0
    for person, shapes in zip(people[:-test_sides], seen, strict=False):
        terms = pose_terms(person["pose"].angles)
        turns, moved = turns + terms.T @ terms, moved + terms.T @ (shapes["pose"] - _rest(person, shapes))
    pose_response = np.linalg.solve(turns + 0.025 * np.eye(len(turns)), moved)
    readings = [_reading(person, shapes, pose_response) for person, shapes in zip(people, seen, strict=True)]
    training = readings[:-test_sides]
    spread = sum(reading.change[:, :FLAT].T @ reading.change[:, :FLAT] for reading in training)
    directions = np.linalg.eigh(spread)[1][:, ::-1][:, :SHAPE_WIDTH]

    def along(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([rows[:, :FLAT] @ directions, rows[:, FLAT:]], axis=1)

    truth = np.concatenate([reading.units for reading in training])
    change = np.concatenate([along(reading.change) for reading in training])
    units = np.linalg.solve(truth.T @ truth + np.eye(UNITS), truth.T @ change)
    residual = change - truth @ units
    noise = residual.T @ residual / len(residual)
    noise += np.diag(NOISE_FLOOR * np.diag(noise) + ADDED_VARIANCE)
    precision = np.linalg.inv(noise)

    regression = _regression(change[:, :SHAPE_WIDTH], truth[:, [CHANNEL[name] for name in REGRESSED_CHANNELS]])
    share, scale, resting_noise = _weigh_fit(
        [Reading(reading.units, along(reading.change)) for reading in readings[-test_sides:]],
        units,
        precision,
        regression,
    )
    np.savez_compressed(
        TABLE,
        reference=reference.astype(np.float32),
        stability=stability.astype(np.float32),
        directions=directions.astype(np.float16).astype(np.float32),
        turning=along(pose_response).astype(np.float32),  # this and two more: the names of units.STORED_NAMES
        units=units.astype(np.float32),
        precision=precision.astype(np.float32),
        straight=regression.astype(np.float32),
        fit_share=share.astype(np.float32),
        fit_scale=scale.astype(np.float32),
        restless=resting_noise.astype(np.float32),
        angles=_angles(people),
    )
    print(f"{TABLE}: {TABLE.stat().st_size / 1e3:.0f} kB, prior {PRIOR:g}")


def _rest(person: dict[str, Observed], seen: dict[str, np.ndarray]) -> np.ndarray:
    calm = [
        seen[kind][(observed.units.sum(axis=1) < 1e-6) & (np.abs(observed.true_angles).max(axis=1) < np.radians(12))]
        for kind, observed in person.items()
    ]
    return np.concatenate(calm).mean(axis=0)


def _reading(person: dict[str, Observed], seen: dict[str, np.ndarray], pose_response: np.ndarray) -> Reading:
    units = np.concatenate([observed.units for observed in person.values()])
    terms = np.concatenate([pose_terms(observed.angles) for observed in person.values()])
    change = np.concatenate(list(seen.values())) - terms @ pose_response
    calm = units.sum(axis=1) < 1e-6
    rest, personal = fit_rest(change[calm], terms[calm])
    return Reading(units, change - rest - terms @ personal)


def _regression(shapes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(T, SHAPE_WIDTH) and (T, n) -> (SHAPE_WIDTH, n): ridge regression, its gain brought to 1."""
    width = shapes.std(axis=0)
    centred, shapes = truth - truth.mean(axis=0), shapes / width
    pull = REGRESSION_NOISE**2 * len(shapes) * np.eye(SHAPE_WIDTH)
    weights = np.linalg.solve(shapes.T @ shapes + pull, shapes.T @ centred)
    gain = (centred * (shapes @ weights)).sum(axis=0) / np.square(centred).sum(axis=0)
    return weights / width[:, None] / gain


def _weigh_fit(
    readings: list[Reading], units: np.ndarray, precision: np.ndarray, regression: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight of the fit against the network, the fit's scale, and the width of the dead zone, (52,) each.

    The weight is that with which the two together follow the truth best, on people who made neither. Of weights that do
    about as well, the largest: the network often follows, but hardly moves. Channels that the network reads well on
    real faces, too, get half of each, for drawn faces do not show the network's worth there.
    """
    truth = np.concatenate([reading.units for reading in readings])
    fits = np.concatenate([bounded_fit(reading.change, units, precision) for reading in readings])
    nets = np.clip(np.concatenate([reading.change[:, SHAPE_WIDTH:] for reading in readings]), 0, 1)
    centred = truth - truth.mean(axis=0)
    power = np.square(centred).sum(axis=0)
    scale = np.clip(power / np.maximum((centred * fits).sum(axis=0), 1e-3 * power), 0.7, LARGEST_SCALE)

    shapes = np.concatenate([reading.change[:, :SHAPE_WIDTH] for reading in readings])
    fits = with_regression(scale * fits, shapes, regression)

    def correlation(share: float) -> np.ndarray:
        read = np.clip(share * fits + (1 - share) * nets, 0, 1)
        return (centred * read).sum(axis=0) / np.sqrt(power * read.var(axis=0) * len(read) + 1e-12)

    correlations = np.array([correlation(share) for share in SHARES])
    nearly_best = correlations >= correlations.max(axis=0) - CORRELATION_TOLERANCE
    share = SHARES[::-1][nearly_best[::-1].argmax(axis=0)]
    share = np.where(np.isin(EXPRESSION_NAMES, NETWORK_CHANNELS), NETWORK_CHANNEL_SHARE, share)
    share = np.where(np.isin(EXPRESSION_NAMES, REGRESSED_CHANNELS), REGRESSED_CHANNEL_SHARE, share)
    read = np.clip(share * fits + (1 - share) * nets, 0, 1)
    still = [np.sqrt(np.square(read[truth[:, c] == 0, c]).mean()) for c in range(UNITS)]
    wandering = [name.startswith(("eyeLookIn", "eyeLookOut")) for name in EXPRESSION_NAMES]
    return share, scale, np.where(wandering, WANDERING_SHARE, STILL_SHARE) * np.array(still)


def _sides() -> list[int]:
    """The index of each channel's other side, or its own."""
    swap = {"Left": "Right", "Right": "Left"}
    names = [next((n[: -len(e)] + swap[e] for e in swap if n.endswith(e)), n) for n in EXPRESSION_NAMES]
    return [EXPRESSION_NAMES.index(name) for name in names]


def _angles(people: list[dict[str, Observed]]) -> np.ndarray:
    """(9, 3): least squares from tracked to true angles about each person's own rest."""
    tracked = [angle_terms(person["pose"].angles) for person in people]
    true = [person["pose"].true_angles for person in people]
    x = np.concatenate([angles - angles.mean(axis=0) for angles in tracked])
    y = np.concatenate([angles - angles.mean(axis=0) for angles in true])
    return np.linalg.lstsq(x, y, rcond=None)[0]


if __name__ == "__main__":
    sys.exit(main())
