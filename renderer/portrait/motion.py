"""From 58 coefficients to what moves in one photo: expression, pose, lids and gaze, relative to the photo itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import pi

import numpy as np

from renderer.coefficients import plausible_coefficients
from renderer.errors import RenderError
from renderer.face_model import (
    COEFFICIENT_NAMES,
    EXPRESSION_NAMES,
    REACT_TRANSLATION,
    FaceModel,
    neutral_coefficients,
    rotation_matrix,
)
from renderer.portrait.topology import FACE_LANDMARKS, LIP_CONTOURS

CHANNEL = {name: index for index, name in enumerate(COEFFICIENT_NAMES)}
EXPRESSIONS = len(EXPRESSION_NAMES)

UNDO_SHARE = 0.35
"""How far the photo's own expression may be undone: a reaction of 0 on a photo that smiles 0.8 takes 0.28 away.
More would have to invent what the smile hides; nothing would freeze everything below the photo's own smile."""

POSE_UNDO_SHARE = 0.15
"""The same for head pose and gaze: an upright reaction turns a photo only a little towards the camera, because one
photo cannot show the hidden cheek, and the tracker's idea of upright is off by up to 20 degrees on single photos."""

POSE_LIMIT = np.radians([15.0, 24.0, 20.0])  # pitch, yaw, roll away from the photo; eased towards these
TRANSLATION_LIMIT = np.array([0.18, 0.18, 0.6])  # model units, eased likewise
GAZE_LIMIT = 0.9  # of a full eyeLook unit

SMILE_PARTS, SMILE_PARTED = 0.3, 0.85  # of mouthSmile: closed lips begin to part, and are parted
LIPS_OF_A_SMILE = {"mouthUpperUp": 0.55, "mouthLowerDown": 0.5, "jawOpen": 0.1}
"""What a wide smile adds: people who smile that much show their teeth, and the tracker reads little of it as units of
their own. Lips that stay shut are drawn out to a line, and the face makes a grimace."""
SMILE_SQUINT = 0.3  # raised lower lids of a full smile; one with the mouth alone looks polite at best

ROWS_AT_ONCE = 16  # whose motions are computed together

_EYE_CHANNELS = ("eyeBlink", "eyeLook", "eyeWide")  # lids and irises are moved by eyes.py, not by the head's units


@dataclass(frozen=True)
class Motion:
    """One frame, relative to the photo."""

    displacement: np.ndarray  # (468, 3) float32, the head's own frame (x picture right, y down, z away), model units
    rotation: np.ndarray  # (3, 3) float64 rotation of the head in picture axes
    translation: np.ndarray  # (3,) model units in picture axes
    lid_closure: np.ndarray  # (2,) closure of the right and left upper lid: 1 closed, below 0 wider than in the photo
    squint: np.ndarray  # (2,) raised lower lid, 0…1
    gaze: np.ndarray  # (2, 2) right and left eye: picture right, picture down; 1 = a full look


class BlendshapeMotion:
    """Turns coefficients into motion of MediaPipe's 468 landmarks with the built-in head's expression units."""

    def __init__(self, face: FaceModel) -> None:
        rest = neutral_coefficients(1 + EXPRESSIONS)
        rest[1:, :EXPRESSIONS] = np.eye(EXPRESSIONS, dtype=np.float32)
        points = face.landmarks(rest).astype(np.float64)
        if points.shape != (1 + EXPRESSIONS, FACE_LANDMARKS, 3):
            raise RenderError("The face model does not carry MediaPipe's 468 landmarks; use the built-in head.")
        points *= [1.0, -1.0, -1.0]  # world (y up, z to the camera) to picture axes
        basis = points[1:] - points[0]
        basis[[name.startswith(_EYE_CHANNELS) for name in EXPRESSION_NAMES]] = 0.0
        self.rest = points[0] - points[0].mean(axis=0)  # (468, 3)
        for contour in LIP_CONTOURS:
            basis[:, contour] = _smooth_lip_motion(basis[:, contour])
        self.basis = basis.reshape(EXPRESSIONS, -1)  # (52, 468 * 3)


def _smooth_lip_motion(motion: np.ndarray) -> np.ndarray:
    """Motion (52, 11, 3) along one lip contour as a smooth bow over the straight line of its corners.

    The mesh's lips have few vertices near the corners, so a jaw that opens would draw a box; lips open to an almond.
    """
    along = np.linspace(0.0, 1.0, motion.shape[1])
    straight = motion[:, :1] + (motion[:, -1:] - motion[:, :1]) * along[None, :, None]
    sine = np.sin(np.pi * along)
    shapes = np.stack([sine.clip(0) ** 0.85, np.sin(2 * np.pi * along), np.sin(3 * np.pi * along) * sine], axis=1)
    projection = shapes @ np.linalg.pinv(shapes)  # (11, 11) least-squares projection
    return straight + np.einsum("ij,ejc->eic", projection, motion - straight)


def soft_clip(value: np.ndarray, limit: np.ndarray | float) -> np.ndarray:
    """The identity up to 0.6 of the limit, then bending smoothly so that the limit is never passed."""
    value = np.asarray(value, dtype=np.float64)
    threshold = 0.6 * np.asarray(limit)
    headroom = np.asarray(limit) - threshold
    excess = np.abs(value) - threshold
    return np.sign(value) * np.where(excess > 0, threshold + headroom * np.tanh(excess / headroom), np.abs(value))


def relative_to_photo(value: np.ndarray, photo_value: np.ndarray, undo_share: np.ndarray | float) -> np.ndarray:
    """What a value adds to a photo that already shows `photo_value`: 0 there, slope 1 beyond, `undo_share` before.

    Works for signed quantities too: between rest (0) and `photo_value` the slope is `undo_share`, elsewhere 1.
    """
    value, photo_value = np.asarray(value, dtype=np.float64), np.asarray(photo_value, dtype=np.float64)
    aligned = value * np.where(photo_value < 0, -1.0, 1.0)
    magnitude = np.abs(photo_value)
    offset = np.where(
        aligned >= magnitude, aligned - magnitude, undo_share * (aligned.clip(min=0) - magnitude) + aligned.clip(max=0)
    )
    return offset * np.where(photo_value < 0, -1.0, 1.0)


class RelativeMotion:
    """The motion source with one photo's own coefficients as its neutral."""

    def __init__(self, source: BlendshapeMotion, photo_coefficients: np.ndarray) -> None:
        values = np.asarray(photo_coefficients, dtype=np.float32)
        if values.shape != (len(COEFFICIENT_NAMES),):
            raise RenderError(f"The photo's coefficients must be {len(COEFFICIENT_NAMES)} numbers, not {values.shape}.")
        self.source = source
        self.photo_coefficients = plausible_coefficients(values[None])[0].astype(np.float64)
        self.photo_angles = _angles_from_upright(self.photo_coefficients)
        self.undo_share = np.full(EXPRESSIONS, UNDO_SHARE)
        # A mouth that is open in the photo must be able to shut.
        for name in ("jawOpen", "mouthFunnel", "mouthLowerDownLeft", "mouthLowerDownRight"):
            self.undo_share[CHANNEL[name]] = 0.8
        # Undoing pressed or rolled lips would part them and show a slit that the photo has not.
        for name, index in CHANNEL.items():
            if name.startswith(("mouthPress", "mouthRoll", "mouthShrug", "mouthClose")):
                self.undo_share[index : index + 1] = 0.0

    def __call__(self, row: np.ndarray) -> Motion:
        """One row (58,) of `plausible_coefficients` to its motion."""
        return next(self.motions(row[None]))

    def motions(self, rows: np.ndarray) -> Iterator[Motion]:
        """Rows (T, 58) of `plausible_coefficients` to their motions. Each is the same alone as among others."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE].astype(np.float64)
            # always as many, for sums of products are rounded otherwise when there are fewer
            padded = np.concatenate([part, np.repeat(part[-1:], ROWS_AT_ONCE - len(part), axis=0)])
            yield from islice(self._motions(padded), len(part))

    def _motions(self, rows: np.ndarray) -> Iterator[Motion]:
        photo = self.photo_coefficients
        expression = relative_to_photo(rows[:, :EXPRESSIONS], photo[:EXPRESSIONS], self.undo_share)
        self._part_smiling_lips(expression, rows)
        expression = np.minimum(expression, 1.0)
        _limit_shared_units(expression)
        displacement = (expression @ self.source.basis).reshape(len(rows), -1, 3)

        turns = relative_to_photo(_angles_from_upright(rows), self.photo_angles, POSE_UNDO_SHARE)
        axes = np.array([1.0, -1.0, -1.0])
        # world to picture axes
        rotation = axes[:, None] * rotation_matrix(soft_clip(turns, POSE_LIMIT)).astype(np.float64) * axes
        middle = photo[-3:] if np.any(photo[-3:]) else np.array(REACT_TRANSLATION)
        translation = soft_clip(rows[:, -3:] - middle, TRANSLATION_LIMIT) * axes

        gaze = soft_clip(relative_to_photo(_gaze(rows), _gaze(photo), POSE_UNDO_SHARE), GAZE_LIMIT)
        blink, photo_blink = _both(rows, "eyeBlink"), _both(photo, "eyeBlink").clip(max=0.7)
        lid_closure = np.where(
            blink > photo_blink, (blink - photo_blink) / (0.85 - photo_blink).clip(min=0.1), 0.1 * (blink - photo_blink)
        )
        # the upper lid follows the gaze
        lid_closure += 0.28 * gaze[..., 1].clip(0) - 0.12 * (-gaze[..., 1]).clip(0)
        lid_closure -= 0.22 * (_both(rows, "eyeWide") - _both(photo, "eyeWide")).clip(0)
        smile_squint = SMILE_SQUINT * (_both(rows, "mouthSmile") - _both(photo, "mouthSmile")).clip(0)
        squint = np.maximum((_both(rows, "eyeSquint") - _both(photo, "eyeSquint")).clip(0, 1), smile_squint)
        lid_closure = lid_closure.clip(-0.25, 1.0)
        for values in zip(displacement, rotation, translation, lid_closure, squint, gaze, strict=True):
            yield Motion(*values)

    def _part_smiling_lips(self, expression: np.ndarray, rows: np.ndarray) -> None:
        """Adds LIPS_OF_A_SMILE to `expression` (T, 52), in place, as far as the smile goes beyond the photo's own."""
        parted = (_parted_by_smile(rows) - _parted_by_smile(self.photo_coefficients)).clip(0)
        for side, share in zip(("Right", "Left"), parted.T, strict=True):
            for stem, value in LIPS_OF_A_SMILE.items():
                name = stem if stem in CHANNEL else stem + side
                missing = (value - rows[:, CHANNEL[name]].clip(0)).clip(0)
                expression[:, CHANNEL[name]] += share * missing * (0.5 if name == stem else 1.0)


def _both(rows: np.ndarray, stem: str) -> np.ndarray:
    """(..., 2): a unit of the right and of the left side, of rows (..., 58)."""
    return rows[..., [CHANNEL[stem + "Right"], CHANNEL[stem + "Left"]]]


def _gaze(rows: np.ndarray) -> np.ndarray:
    """(..., 2, 2) gaze of the right and left eye: picture right, picture down. The right eye looks out to the left."""
    look_in, look_out = _both(rows, "eyeLookIn"), _both(rows, "eyeLookOut")
    across = (look_in - look_out) * [1.0, -1.0]
    down = _both(rows, "eyeLookDown") - _both(rows, "eyeLookUp")
    own = np.stack([across, down], axis=-1)  # (..., eye, direction)
    # One gaze for both eyes with a little of each eye's own: a photo that squints looks broken at once.
    return 0.9 * own.mean(axis=-2, keepdims=True) + 0.1 * own


def _parted_by_smile(rows: np.ndarray) -> np.ndarray:
    """(..., 2) 0…1: how far the smile of rows (..., 58) parts the lips, right and left; lips held shut do not."""
    t = ((_both(rows, "mouthSmile") - SMILE_PARTS) / (SMILE_PARTED - SMILE_PARTS)).clip(0, 1)
    held_shut = rows[..., [CHANNEL[name] for name in ("mouthClose", "mouthPressLeft", "mouthPressRight")]].max(axis=-1)
    return t * t * (3 - 2 * t) * np.clip(1 - 1.5 * held_shut, 0, 1)[..., None]


def _angles_from_upright(rows: np.ndarray) -> np.ndarray:
    """Pitch, yaw, roll of rows (..., 58) away from upright, wrapped to -pi…pi. Rotation X of an upright face is pi."""
    angles = rows[..., EXPRESSIONS : EXPRESSIONS + 3].astype(np.float64) - [pi, 0.0, 0.0]
    return (angles + pi) % (2 * pi) - pi


def _limit_shared_units(expression: np.ndarray) -> None:
    """Units that pull the same skin share it, in place: several at once would add up beyond what a mouth can do."""
    for group, limit in _SHARED_UNITS:
        units = expression[:, group]
        total = units.clip(0).sum(axis=1, keepdims=True)
        expression[:, group] = np.where(
            (units > 0) & (total > limit), units * (limit / np.maximum(total, limit)), units
        )


def _group(*names: str) -> np.ndarray:
    return np.array([CHANNEL[name] for name in names])


_SHARED_UNITS = (
    (_group("mouthSmileLeft", "mouthDimpleLeft", "mouthStretchLeft"), 1.0),
    (_group("mouthSmileRight", "mouthDimpleRight", "mouthStretchRight"), 1.0),
    (_group("mouthFunnel", "mouthPucker"), 1.0),
    (_group("mouthUpperUpLeft", "noseSneerLeft"), 1.0),
    (_group("mouthUpperUpRight", "noseSneerRight"), 1.0),
)
