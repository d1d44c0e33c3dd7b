"""Makes assets/tracker/units.npz: what each face unit does to the tracker's landmarks and network, how head turns
disturb both, and how far either can be trusted.

    python -m tools.calibrate_tracker          # some ten minutes on two cores

Eight made-up people are drawn with known units and tracked (tools/drawn_faces.py). None of them is one of the named
people on whom `python -m benchmarks.round_trip` measures the result.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from perfrdiff.features.coefficients import EXPRESSION_NAMES
from perfrdiff.features.units import (
    PRIOR,
    SHAPE_SCALE,
    SHAPE_WIDTH,
    TABLE,
    UNITS,
    bounded_fit,
    pose_terms,
    upright,
)  # fmt: skip
from renderer.face_model import load_face_model, neutral_coefficients
from tools.drawn_faces import Observed, observe, random_person, rows

PEOPLE = range(1, 9)
JUDGES = 2  # the last people judge network and fit; the others make the response
KINDS = (("pose", 160), ("own", 416), ("natural", 520))
FLAT = 478 * 3
# Real faces differ from drawn ones in more than the drawn ones from one another. Without these two, the fit reads real
# people's small deviations as large units that flicker (seen on four real clips: with them a channel moves half as much
# from frame to frame, and the fit agrees with the network's brows at 0.90 instead of 0.85).
NOISE_FLOOR = 0.95  # share added to every measured variance
STRANGENESS = np.concatenate([np.full(SHAPE_WIDTH, 0.3), np.full(UNITS, 0.01)])  # variance added to each
LARGEST_SCALE = 1.6  # a weakly seen unit is not blown up further than this


def look(seed: int) -> dict[str, Observed]:
    rng = np.random.default_rng(seed)
    return {kind: observe(random_person(seed), rows(kind, count, rng), rng) for kind, count in KINDS}


def anchors() -> tuple[np.ndarray, np.ndarray]:
    """The built-in head's resting landmarks (468, 3) and how little each of them is moved by the units (468,)."""
    face = load_face_model()
    still = neutral_coefficients()
    still[:, -3:] = 0
    points = face.landmarks(still)[0].astype(np.float64)
    basis = np.einsum("lkce,lk->lce", face.expression_basis[face.landmark_vertices], face.landmark_weights)
    weight = 1 / (1e-4 + np.square(basis).sum(axis=(1, 2)))
    weight /= weight.max()
    return points - weight @ points / weight.sum(), weight


def angle_terms(angles: np.ndarray) -> np.ndarray:
    """(T, 3) -> (T, 9): the angles and their products, as features.pose applies them."""
    return pose_terms(angles)[:, :9]


def main() -> None:
    with ProcessPoolExecutor(2) as pool:
        people = list(pool.map(look, PEOPLE))
    print(f"{sum(len(one.units) for person in people for one in person.values())} frames seen", flush=True)
    reference, stability = anchors()
    makers = people[:-JUDGES]

    def flat(one: Observed) -> np.ndarray:
        return SHAPE_SCALE * upright(one.landmarks, reference, stability).reshape(len(one.units), -1)

    shapes = [{kind: flat(one) for kind, one in person.items()} for person in people]
    resting = [_resting(person, shape) for person, shape in zip(people, shapes, strict=True)]

    def change(index: int, kind: str) -> np.ndarray:
        return np.concatenate([shapes[index][kind], people[index][kind].network], axis=1) - resting[index]

    turns = np.concatenate([pose_terms(person["pose"].angles) for person in makers])
    moved = np.concatenate([change(index, "pose") for index in range(len(makers))])
    turning = np.linalg.solve(turns.T @ turns + 0.025 * np.eye(turns.shape[1]), turns.T @ moved)

    def freed(index: int, kind: str) -> np.ndarray:
        return change(index, kind) - pose_terms(people[index][kind].angles) @ turning

    truth = np.concatenate([person[kind].units for person in makers for kind, _ in KINDS])
    seen = np.concatenate([freed(index, kind) for index in range(len(makers)) for kind, _ in KINDS])
    _, directions = np.linalg.eigh(seen[:, :FLAT].T @ seen[:, :FLAT])
    directions = directions[:, ::-1][:, :SHAPE_WIDTH]
    seen = np.concatenate([seen[:, :FLAT] @ directions, seen[:, FLAT:]], axis=1)
    units = np.linalg.solve(truth.T @ truth + np.eye(UNITS), truth.T @ seen)
    left = seen - truth @ units
    noise = left.T @ left / len(left)
    noise += np.diag(NOISE_FLOOR * np.diag(noise) + STRANGENESS)
    precision = np.linalg.inv(noise)

    share, scale = _trust(people, freed, directions, units, precision)
    angles = _angles(people)
    np.savez_compressed(
        TABLE,
        reference=reference.astype(np.float32),
        stability=stability.astype(np.float32),
        directions=directions.astype(np.float16).astype(np.float32),
        turning=np.concatenate([turning[:, :FLAT] @ directions, turning[:, FLAT:]], axis=1).astype(np.float32),
        units=units.astype(np.float32),
        precision=precision.astype(np.float32),
        fit_share=share.astype(np.float32),
        fit_scale=scale.astype(np.float32),
        angles=angles,
    )
    print(f"{TABLE}: {TABLE.stat().st_size / 1e3:.0f} kB, prior {PRIOR:g}")


def _resting(person: dict[str, Observed], shapes: dict[str, np.ndarray]) -> np.ndarray:
    rest = []
    for kind, one in person.items():
        calm = (one.units.sum(axis=1) < 1e-6) & (np.abs(one.true_angles).max(axis=1) < np.radians(12))
        rest.append(np.concatenate([shapes[kind], one.network], axis=1)[calm])
    return np.concatenate(rest).mean(axis=0)


def _trust(people, freed, directions, units, precision) -> tuple[np.ndarray, np.ndarray]:
    """Weight of the fit against the network, by how well each follows the truth on people who made neither; its scale.

    With correlations r, r² / (1 - r²) is the signal's share over the noise's; two readings with independent noise are
    weighted by it.
    """
    truth, fits, nets = [], [], []
    for index in range(len(people) - JUDGES, len(people)):
        for kind in ("own", "natural"):
            seen = freed(index, kind)
            seen = np.concatenate([seen[:, :FLAT] @ directions, seen[:, FLAT:]], axis=1)
            fits.append(bounded_fit(seen, units, precision))
            nets.append(np.clip(seen[:, SHAPE_WIDTH:], 0, 1))
            truth.append(people[index][kind].units)
    truth, fits, nets = (np.concatenate(one) for one in (truth, fits, nets))
    centred = truth - truth.mean(axis=0)
    power = np.square(centred).sum(axis=0)

    def quality(read: np.ndarray) -> np.ndarray:
        r = (centred * (read - read.mean(axis=0))).sum(axis=0) / np.sqrt(power * read.var(axis=0) * len(read) + 1e-12)
        r = np.clip(r, 0, 0.99)
        return r**2 / (1 - r**2)

    both = _sides()
    share = quality(fits) / (quality(fits) + quality(nets) + 1e-6)
    gain = (centred * fits).sum(axis=0) / power
    share, gain = (share + share[both]) / 2, (gain + gain[both]) / 2  # two sides of one face are read alike
    return np.where(share > 0.9, 1.0, share), np.clip(1 / np.maximum(gain, 1e-3), 0.7, LARGEST_SCALE)


def _sides() -> list[int]:
    """The index of each channel's other side, or its own."""
    swap = {"Left": "Right", "Right": "Left"}
    names = [next((n[: -len(e)] + swap[e] for e in swap if n.endswith(e)), n) for n in EXPRESSION_NAMES]
    return [EXPRESSION_NAMES.index(name) for name in names]


def _angles(people) -> np.ndarray:
    """(9, 3): least squares from tracked to true angles about each person's own rest."""
    tracked = [angle_terms(person["pose"].angles) for person in people]
    true = [person["pose"].true_angles for person in people]
    x = np.concatenate([one - one.mean(axis=0) for one in tracked])
    y = np.concatenate([one - one.mean(axis=0) for one in true])
    return np.linalg.lstsq(x, y, rcond=None)[0]


if __name__ == "__main__":
    sys.exit(main())
