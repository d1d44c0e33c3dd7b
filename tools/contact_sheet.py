"""Contact sheets of every motion, to be looked at: on every portrait, and on the mesh in both styles.

    python -m tools.contact_sheet [PHOTO …] --out DIR [--size 256]

Writes DIR/portrait_<name>.png for each photo (its own frame first, then each motion of the list below), and
DIR/mesh_studio.png, DIR/mesh_grey.png, DIR/mesh_people.png.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.media.images import read_image
from perfrdiff.features.tracking.face_track import track_image
from renderer.errors import RenderError
from renderer.face_model import COEFFICIENT_NAMES, load_face_model, neutral_coefficients
from renderer.mesh import MESH_STYLES, MeshRenderer
from renderer.mesh_identities import MESH_IDENTITIES
from renderer.portrait import ANIMATORS, PortraitAnimator, portrait_animator

MOTIONS: dict[str, dict[str, float]] = {  # units 0…1, rotations in degrees; a stem without side means both sides
    "neutral": {},
    "half blink": {"eyeBlink": 0.45},
    "blink": {"eyeBlink": 1.0},
    "smile": {"mouthSmile": 0.9, "cheekSquint": 0.5},
    "brows up": {"browInnerUp": 0.9, "browOuterUp": 0.8},
    "frown": {"browDown": 0.9, "mouthFrown": 0.7},
    "jaw 0.3": {"jawOpen": 0.3},
    "jaw 0.7": {"jawOpen": 0.7},
    "pucker": {"mouthPucker": 0.9},
    "laugh": {"mouthSmile": 0.9, "jawOpen": 0.4, "mouthUpperUp": 0.5, "cheekSquint": 0.6},
    "tongue": {"jawOpen": 0.35, "tongueOut": 0.9},
    "gaze left": {"eyeLookOutLeft": 0.8, "eyeLookInRight": 0.8},
    "gaze right": {"eyeLookOutRight": 0.8, "eyeLookInLeft": 0.8},
    "gaze down": {"eyeLookDown": 0.7},
    "nod -12": {"rotationX": -12},
    "nod +12": {"rotationX": 12},
    "turn -20": {"rotationY": -20},
    "turn +20": {"rotationY": 20},
    "tilt -15": {"rotationZ": -15},
    "tilt +15": {"rotationZ": 15},
    "smile and nod": {"mouthSmile": 0.8, "cheekSquint": 0.4, "jawOpen": 0.15, "rotationX": 10},
}
POINT_ATTRIBUTES = 5


def coefficients(values: dict[str, float]) -> np.ndarray:
    """(58,) coefficients of one motion of the list above, from rest."""
    row = neutral_coefficients()[0]
    for name, value in values.items():
        value = np.radians(value) if name.startswith("rotation") else value
        for full in (name,) if name in COEFFICIENT_NAMES else (name + "Left", name + "Right"):
            row[COEFFICIENT_NAMES.index(full)] += value
    return row


def portrait_sheet(animator: PortraitAnimator, photo: Path) -> np.ndarray:
    """All motions of one photo as one picture, RGB."""
    picture = read_image(photo)
    face = track_image(picture, photo.name)
    animator.set_portrait(picture, face.landmarks, face.coefficients)
    rows = [face.coefficients, *(coefficients(values) for values in MOTIONS.values())]
    return _laid_out(list(animator.animate(np.stack(rows))), ("photo", *MOTIONS))


def mesh_sheet(mesh_style: str, size: int) -> np.ndarray:
    """All motions of the first mesh identity in one style."""
    rows = np.stack([coefficients(values) for values in MOTIONS.values()])
    renderer = MeshRenderer(load_face_model(), size, mesh_style, mesh_identity="Alex", backend="cpu")
    return _laid_out(list(renderer.render(rows)), tuple(MOTIONS))


def identity_sheet(size: int) -> np.ndarray:
    """Every mesh identity at rest and laughing."""
    rows = np.stack([coefficients(MOTIONS[name]) for name in ("neutral", "laugh")])
    face = load_face_model()
    frames = [frame for name in MESH_IDENTITIES for frame in MeshRenderer(face, size, mesh_identity=name).render(rows)]
    return _laid_out(frames, [f"{name}{laughs}" for name in MESH_IDENTITIES for laughs in ("", ", laughing")])


def _laid_out(frames: list[np.ndarray], names: Sequence[str]) -> np.ndarray:
    for frame, name in zip(frames, names, strict=True):
        for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(frame, name, (5, frame.shape[0] - 7), 0, 0.45, colour, width, cv2.LINE_AA)
    frames += [np.zeros_like(frames[0])] * (-len(frames) % POINT_ATTRIBUTES)
    return np.vstack([np.hstack(frames[k : k + POINT_ATTRIBUTES]) for k in range(0, len(frames), POINT_ATTRIBUTES)])


def main() -> int:
    parser = argparse.ArgumentParser(description="Contact sheets of the photo animator and the mesh.")
    parser.add_argument("photos", nargs="*", type=Path, metavar="PHOTO")
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNGs")
    parser.add_argument("--size", type=int, default=256, help="side of one frame in pixels")
    parser.add_argument("--animator", choices=ANIMATORS, default="auto", help="what moves the photos")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    try:
        animator = portrait_animator(load_face_model(), options.size, options.animator)
    except RenderError as error:
        print(error, file=sys.stderr)
        return 2
    sheets = {f"mesh_{mesh_style}": mesh_sheet(mesh_style, options.size) for mesh_style in MESH_STYLES}
    for name, picture in (sheets | {"mesh_people": identity_sheet(options.size)}).items():
        cv2.imwrite(str(options.out / f"{name}.png"), picture[..., ::-1])
        print(options.out / f"{name}.png")
    for photo in options.photos:
        try:
            picture = portrait_sheet(animator, photo)
        except (InputError, RenderError) as error:
            print(f"{photo.name}: {error}", file=sys.stderr)
            failed = 2
            continue
        target = options.out / f"portrait_{photo.stem}.png"
        cv2.imwrite(str(target), picture[..., ::-1])
        print(target)
    return failed


if __name__ == "__main__":
    sys.exit(main())
