"""Is it the listener? Asks a recognition network and the tracker about mesh and moved photo, and draws contact sheets.

    python -m tools.identity_report PHOTO_OR_CLIP … --out DIR [--size 256]

Prints a Markdown table and writes DIR/identity_<name>.png for each file: the photo, the mesh in every motion, and below
the photo moved in the same ways.

With --faceverse FILE (FaceVerse v2, converted by `python -m renderer.faceverse`) each person is also fitted in that
model's own numbers: DIR/faceverse_<name>.json has shape, texture and light, DIR/faceverse_<name>.png the motions. These
numbers are a person's face: keep them only with that person's consent.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from perfrdiff.coefficients import CHANNEL
from perfrdiff.errors import InputError
from perfrdiff.features.clip import Listener, read_listener
from perfrdiff.features.tracking.face_track import FaceStill, track_image
from renderer.errors import RenderError
from renderer.face_model import FOCAL_AT_224, FaceModel, load_face_model, pose_vertices, project
from renderer.faceverse import FaceVerse
from renderer.identity.faceverse_fit import fit_faceverse
from renderer.identity.fit import fit_identity
from renderer.identity.identity import Identity
from renderer.identity.photo import FacePhoto
from renderer.mesh import STUDIO_ZOOM, MeshRenderer
from renderer.portrait import WarpAnimator
from renderer.portrait.topology import CHIN, FOREHEAD
from renderer.whole_files import write_whole
from tools.contact_sheet import coefficients
from tools.recognition import SAME_PERSON, descriptor, distances

MOTIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile .8": {"mouthSmile": 0.8, "cheekSquint": 0.3},
    "blink": {"eyeBlink": 1.0},
    "jaw .6": {"jawOpen": 0.6},
    "yaw -20": {"rotationY": -20},
    "yaw +20": {"rotationY": 20},
    "nod": {"rotationX": 12},
}
RECOGNISED_MOVING = 0.65  # distance of a moving face that still counts as the person
SMILES, BLINKS = ("mouthSmileLeft", "mouthSmileRight"), ("eyeBlinkLeft", "eyeBlinkRight")
TRACKED_SIZE = 512  # pixels of the pictures that the tracker and the recognition network look at


@dataclass(frozen=True)
class Fitted:
    """One file's listener and what was drawn of it."""

    name: str
    listener: Listener
    identity: Identity
    seconds: float  # processor time of the fit
    pictures: dict[str, np.ndarray]  # motion -> (S, S, 3) uint8, the mesh
    moved: dict[str, np.ndarray]  # the same of the photo


def fit(path: Path, face: FaceModel) -> Fitted:
    """Fit one file and draw every motion. InputError or RenderError where it is refused."""
    listener = read_listener(path)
    if listener.photo is None or listener.landmarks is None or listener.photo_coefficients is None:
        raise InputError(f"“{path.name}” shows nobody.")
    start = time.process_time()
    views = [FacePhoto(view.picture, view.landmarks, view.coefficients) for view in listener.head_views]
    identity = fit_identity(face, listener.photo, listener.landmarks, listener.photo_coefficients, views)
    seconds = time.process_time() - start
    rows = np.stack([coefficients(values) for values in MOTIONS.values()])
    drawn = MeshRenderer(face, TRACKED_SIZE, mesh_identity=identity, backend="cpu").render(rows)
    animator = WarpAnimator(face, TRACKED_SIZE)
    animator.set_portrait(listener.photo, listener.landmarks, listener.photo_coefficients)
    meshes, moved = (dict(zip(MOTIONS, frames, strict=True)) for frames in (drawn, animator.animate(rows)))
    return Fitted(path.stem, listener, identity, seconds, meshes, moved)


def faceverse_report(model: FaceVerse, fitted: Fitted, folder: Path) -> str:
    """Fits one person in FaceVerse's numbers and writes them and a sheet of pictures; one line of what was found."""
    listener = fitted.listener
    assert listener.photo is not None and listener.landmarks is not None and listener.photo_coefficients is not None
    views = [FacePhoto(view.picture, view.landmarks, view.coefficients) for view in listener.head_views]
    person = fit_faceverse(model, FacePhoto(listener.photo, listener.landmarks, listener.photo_coefficients), views)
    numbers = {name: getattr(person, name).tolist() for name in ("identity", "texture", "gamma")}
    errors = {"landmark_error_percent": person.landmark_error, "colour_error_of_255": person.colour_error}
    text = json.dumps(numbers | errors, indent=1)
    write_whole(folder / f"faceverse_{fitted.name}.json", lambda file: file.write(text.encode()))
    rows = np.stack([coefficients(values) for values in MOTIONS.values()])
    drawn = model.images(person.vectors(rows), TRACKED_SIZE // 2, FOCAL_AT_224 * STUDIO_ZOOM * TRACKED_SIZE / 448)
    pictures = np.where(drawn[..., 3:] > 0, drawn[..., :3], 255).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(folder / f"faceverse_{fitted.name}.png"), np.hstack(list(pictures))[..., ::-1])
    return (
        f"{fitted.name} in FaceVerse's numbers: {np.linalg.norm(person.identity):.1f} sigma of identity, "
        f"{np.linalg.norm(person.texture):.1f} of texture; landmarks off by {person.landmark_error:.2f} %, colours by "
        f"{person.colour_error:.1f} of 255"
    )


def tracked_again(fitted: Fitted, face: FaceModel) -> dict[str, float]:
    """What the tracker reads of the drawn mesh: units, and the landmarks' error in % of the face's height."""
    found = {name: track_image(fitted.pictures[name], name) for name in ("neutral", "smile .8", "blink")}
    photo = {name: track_image(fitted.moved[name], name) for name in ("smile .8", "blink")}

    def mean(motion: str, names: tuple[str, str], tracked: dict[str, FaceStill] = found) -> float:
        return float(np.mean([tracked[motion].coefficients[CHANNEL[name]] for name in names]))

    seen = found["neutral"].landmarks[:468, :2]
    assert face.landmark_vertices is not None and face.landmark_weights is not None, "the built-in head has them"
    vertices = pose_vertices(fitted.identity.shape[None], coefficients({})[None])[0]
    points = np.einsum("lkc,lk->lc", vertices[face.landmark_vertices], face.landmark_weights)
    renderer = MeshRenderer(face, TRACKED_SIZE, mesh_identity=fitted.identity, backend="cpu")
    wanted = project(points, TRACKED_SIZE, renderer.focal)
    height = np.linalg.norm(wanted[CHIN] - wanted[FOREHEAD])
    return {
        "landmarks": float(np.linalg.norm(seen - wanted, axis=1).mean() / height * 100),
        "neutral smile": mean("neutral", SMILES),
        "smile": mean("smile .8", SMILES),
        "blink": mean("blink", BLINKS),
        "moved smile": mean("smile .8", SMILES, photo),
        "moved blink": mean("blink", BLINKS, photo),
    }


def sheet(fitted: Fitted, size: int) -> np.ndarray:
    """The photo and every motion, of the mesh and of the photo, in two rows of pictures (size, size), RGB."""
    photo, points = fitted.listener.photo, fitted.listener.landmarks
    assert photo is not None and points is not None, "of a fitted listener"
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    centre, side = (low + high) / 2, 2.1 * (high - low).max()
    square = cv2.warpAffine(
        photo, np.array([[size / side, 0, size / 2 - centre[0] * size / side],
                         [0, size / side, size / 2 - centre[1] * size / side]]), (size, size), flags=cv2.INTER_AREA
    )  # fmt: skip
    rows = (
        [cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA) for one in frames.values()]
        for frames in (fitted.pictures, fitted.moved)
    )
    return np.vstack([np.hstack([square, *row]) for row in rows])


def report(fitted: list[Fitted], face: FaceModel) -> str:
    """The table, Markdown."""
    photos = [_of_photo(one) for one in fitted]
    apart = {
        motion: distances([_described(one.pictures[motion], motion) for one in fitted], photos) for motion in MOTIONS
    }
    columns = (
        "file", "own", "nearest other", "worst moving", "landmarks", "neutral smile", "smile .8", "blink", "fit",
        "photo: worst moving", "smile .8", "blink",
    )  # fmt: skip
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    own, first, moving = [], 0, []
    for i, one in enumerate(fitted):
        others = np.delete(apart["neutral"][i], i)
        nearest = float(others.min()) if len(others) else float("nan")
        worst = max(apart[motion][i, i] for motion in MOTIONS)
        read = tracked_again(one, face)
        photo = max(
            distances([_described(picture, name)], photos[i : i + 1])[0, 0] for name, picture in one.moved.items()
        )
        rows.append(
            f"| {one.name} | {apart['neutral'][i, i]:.2f} | {nearest:.2f} | {worst:.2f} | {read['landmarks']:.2f} % | "
            f"{read['neutral smile']:.2f} | {read['smile']:.2f} | {read['blink']:.2f} | {one.seconds:.2f} s | "
            f"{photo:.2f} | {read['moved smile']:.2f} | {read['moved blink']:.2f} |"
        )
        own.append(apart["neutral"][i, i])
        first += not len(others) or own[-1] < nearest
        moving += [apart[motion][i, i] < RECOGNISED_MOVING for motion in MOTIONS]
    rows.append("")
    rows.append(
        f"Own distance below .55: {np.mean(np.array(own) < 0.55):.0%}, below {SAME_PERSON}: "
        f"{np.mean(np.array(own) < SAME_PERSON):.0%}; nearest is the own photo: {first} of {len(fitted)}; "
        f"moving, below {RECOGNISED_MOVING}: {np.mean(moving):.0%}."
    )
    return "\n".join(rows)


def _of_photo(one: Fitted) -> np.ndarray:
    assert one.listener.photo is not None, "of a fitted listener"
    found = descriptor(one.listener.photo, one.listener.landmarks)
    assert found is not None, "landmarks say where the face is"
    return found


def _described(picture: np.ndarray, motion: str) -> np.ndarray:
    found = descriptor(picture)
    if found is None:
        found = descriptor(picture, track_image(picture, motion).landmarks)
    assert found is not None, "landmarks say where the face is"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="PHOTO_OR_CLIP")
    parser.add_argument("--out", type=Path, required=True, help="folder for the contact sheets")
    parser.add_argument("--size", type=int, default=256, help="side of one picture of a sheet in pixels")
    parser.add_argument("--faceverse", type=Path, metavar="FILE", help="FaceVerse v2 as .npz: fit people in it, too")
    options = parser.parse_args()
    try:
        faceverse = FaceVerse(load_face_model(options.faceverse)) if options.faceverse else None
    except RenderError as error:
        print(error, file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    face, fitted = load_face_model(), []
    for path in options.files:
        try:
            fitted.append(fit(path, face))
        except (InputError, RenderError) as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        target = options.out / f"identity_{path.stem}.png"
        cv2.imwrite(str(target), sheet(fitted[-1], options.size)[..., ::-1])
        print(f"{target}  {' '.join(f'{name} {value:.2f}' for name, value in fitted[-1].identity.scores.items())}  "
              f"{' '.join(fitted[-1].identity.notes)}")  # fmt: skip
        if faceverse is not None:
            print(faceverse_report(faceverse, fitted[-1], options.out))
    if not fitted:
        return 2
    print(f"\n{report(fitted, face)}")
    return 0 if len(fitted) == len(options.files) else 1


if __name__ == "__main__":
    sys.exit(main())
