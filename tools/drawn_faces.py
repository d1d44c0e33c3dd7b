"""Drawn faces of known units, as the tracker sees them: what the tracker is calibrated on and measured with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION_NAMES, ROTATION, TRANSLATION, neutral
from perfrdiff.features.tracking.landmarker import FaceTracker
from perfrdiff.features.tracking.pose import euler_angles
from renderer.face_model import load_face_model
from renderer.hair import HAIRCUTS
from renderer.mesh import MeshRenderer
from renderer.mesh_identities import MeshIdentity, Palette

SIZES = (224, 320, 448)  # pixels; the face fills about half of it
RUN = 40  # frames drawn at one size before the next

# One choice of each region may act at a time: what real faces combine, and nothing that contradicts itself.
REGIONS = (
    ("browDown", "browInnerUp", "browOuterUp"),
    ("eyeBlink", "eyeLookDown", "eyeLookUp", "eyeSquint", "eyeWide", "gaze left", "gaze right"),
    ("cheekPuff", "cheekSquint", "noseSneer"),
    (
        "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimple", "mouthFrown", "mouthFunnel",
        "mouthLeft", "mouthLowerDown", "mouthPress", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper",
        "mouthShrugLower", "mouthShrugUpper", "mouthSmile", "mouthStretch", "mouthUpperUp",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Observed:
    """What the tracker made of drawn frames (those in which it saw a face)."""

    coefficients: np.ndarray  # (T, 58) as drawn
    landmarks: np.ndarray  # (T, 478, 3) pixels
    network: np.ndarray  # (T, 52)
    rotations: np.ndarray  # (T, 3, 3) as MediaPipe fits them
    positions: np.ndarray  # (T, 3) as MediaPipe fits them, centimetres
    seen: float  # share of the frames in which a face was found

    @property
    def units(self) -> np.ndarray:
        return self.coefficients[:, : len(EXPRESSION_NAMES)].astype(np.float64)

    @property
    def angles(self) -> np.ndarray:
        """(T, 3) of ``rotations``, about upright, radians."""
        return euler_angles(self.rotations) - [np.pi, 0, 0]

    @property
    def true_angles(self) -> np.ndarray:
        return self.coefficients[:, ROTATION].astype(np.float64) - [np.pi, 0, 0]


def random_person(seed: int) -> MeshIdentity:
    """Somebody who is none of the named people: identity, skin, hair and wall drawn at random.

    As far from the mean as the named people are, not farther: with every direction at 0.45, noses and lips broke open.
    """
    rng = np.random.default_rng(seed)
    identity = {name: float(np.clip(rng.normal(0, 0.18), -0.4, 0.4)) for name in load_face_model().identity_names}
    identity["masculine"] = float(rng.uniform(-0.9, 0.9))
    identity["age"] = float(rng.uniform(-0.2, 0.9))
    for ancestry in ("african", "asian", "caucasian"):
        identity[ancestry] = 0.0
    identity[("african", "asian", "caucasian")[rng.integers(3)]] = float(rng.uniform(0, 0.8))

    def shade(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
        return tuple(int(x) for x in np.clip(np.array(colour) * factor + rng.normal(0, 4, 3), 10, 250))

    skin = rng.uniform(0.5, 1.05)
    palette = Palette(
        skin=shade((226, 176, 148), skin),
        blush=shade((214, 128, 108), skin),
        lips=shade((190, 110, 102), skin),
        hair=shade((72, 50, 38), rng.uniform(0.3, 2.5)),
        iris=shade((96, 122, 128), rng.uniform(0.5, 1.2)),
        background=shade((186, 198, 204), rng.uniform(0.4, 1.1)),
    )
    return MeshIdentity(
        identity, palette, bool(rng.random() < 0.85), haircut=tuple(HAIRCUTS)[rng.integers(len(HAIRCUTS))]
    )


def rows(kind: str, count: int, rng: np.random.Generator, widest: float = 30.0) -> np.ndarray:
    """(count, 58) coefficients to draw.

    kind: "pose" (a resting face that turns), "own" (frame k moves channel k mod 52 alone) or "natural" (up to one
    movement in each of the four regions, mostly on both sides). Half of the frames turn by up to ``widest`` degrees
    about each axis, half by a third of that; all shift and come nearer and farther.
    """
    out = np.tile(neutral(), (count, 1))
    reach = np.where(rng.random((count, 1)) < (1.0 if kind == "pose" else 0.5), widest, widest / 3)
    out[:, ROTATION] += np.radians(reach * rng.uniform(-1, 1, (count, 3)))
    out[:, TRANSLATION] += rng.uniform(-1, 1, (count, 3)) * [0.2, 0.15, 0.7]
    for frame, row in enumerate(out):
        if kind == "own" and rng.random() > 0.2:
            row[frame % len(EXPRESSION_NAMES)] = rng.uniform(0, 1)
        elif kind == "natural" and rng.random() > 0.12:
            for region in REGIONS:
                if rng.random() < 0.45:
                    _move(row, region[rng.integers(len(region))], rng.uniform(0.1, 1), rng)
    return out


def _move(row: np.ndarray, name: str, size: float, rng: np.random.Generator) -> None:
    if name == "gaze left":
        names = ["eyeLookOutLeft", "eyeLookInRight"]
    elif name == "gaze right":
        names = ["eyeLookInLeft", "eyeLookOutRight"]
    else:
        names = [name] if name in CHANNEL else [name + "Left", name + "Right"]
        if len(names) == 2 and "Look" not in name and rng.random() < 0.25:
            names = [names[rng.integers(2)]]
    for one in names:
        row[CHANNEL[one]] = np.clip(size * (1 + 0.1 * rng.standard_normal()), 0, 1)
    if name == "mouthClose":  # lips that stay closed over an open jaw
        row[CHANNEL["jawOpen"]] = row[CHANNEL["mouthClose"]]


def observe(
    person: str | MeshIdentity, coefficients: np.ndarray, rng: np.random.Generator, lights: bool = True
) -> Observed:
    """Draw (T, 58) coefficients of a person at several sizes and lights, and track each picture on its own."""
    face = load_face_model()
    renderers = [MeshRenderer(face, size=size, mesh_identity=person) for size in SIZES]
    found, kept = [], []
    with FaceTracker(streaming=False, faces=1) as tracker:
        for start in range(0, len(coefficients), RUN):
            renderer = renderers[start // RUN % len(renderers)]
            for index, picture in enumerate(renderer.render(coefficients[start : start + RUN]), start):
                faces = tracker.detect(lit(picture, rng) if lights else picture)
                if faces:
                    found.append(faces[0])
                    kept.append(index)
    return Observed(
        coefficients=coefficients[kept],
        landmarks=np.stack([one.landmarks for one in found]),
        network=np.stack([one.expressions for one in found]).astype(np.float64),
        rotations=np.stack([one.rotation for one in found]),
        positions=np.stack([one.position for one in found]),
        seen=len(kept) / len(coefficients),
    )


def lit(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture under a light that falls off across it, and darker by up to a half."""
    height, width = picture.shape[:2]
    across = np.linspace(*rng.uniform(0.6, 1.1, 2), width)[None, :, None]
    down = np.linspace(*rng.uniform(0.75, 1.1, 2), height)[:, None, None]
    return np.clip(picture * (across * down * rng.uniform(0.5, 1.05)), 0, 255).astype(np.uint8)
