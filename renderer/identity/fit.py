"""A photo, or several, become one person's head: shape, texture, eyes and hair, with a score for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from renderer.errors import RenderError
from renderer.face_model import FaceModel
from renderer.identity.balance import balanced
from renderer.identity.chart import texture_coordinates
from renderer.identity.eyes import eye_colours, eyes_are_hidden
from renderer.identity.hair import hair_shell
from renderer.identity.identity import Identity
from renderer.identity.photo import FacePhoto, PhotoCanvas, luminance, photo_canvas
from renderer.identity.placement import Placement, place
from renderer.identity.regions import Regions, find_regions
from renderer.identity.scalp import fit_scalp, hidden_ears, tuck_ears
from renderer.identity.shape import Frame, ShapeFit, checked_frame, fit_shapes
from renderer.identity.texture import Sight, encoded, mask, on_head, paint, region_fields
from renderer.identity.units import adapted_units
from renderer.identity.visibility import PosedHead, pose_head
from renderer.portrait.framing import checked_portrait
from renderer.rasterizer import NO_TRIANGLE

LEAST_SCORES = {"light": 0.02, "pose": 0.05, "shape": 0.15}
TRUSTED_MASK = 0.45  # from here on hair may stand off the skull
MOST_HAIR = (1.3, 2.6)  # area of hair beyond the skull over that of the face: usual, and a mask gone wrong
MOST_FOREIGN = 0.5  # share of the lower face in no colour of the person
SAME_HEAD = 0.6  # score of the shape below which a further photo shows somebody else
GOOD_SCORE = 0.5  # below, a note says what was not good enough
NOTES = {
    "mask": "The person is hard to tell from the background, so the hair was kept close to the head.",
    "light": "The light comes hard from one side and stays on the face; an evenly lit photo gives a better head.",
    "pose": "The face is turned away, so one half was completed from the other.",
    "sharpness": "The face is small or blurred in the photo, and so is the head.",
    "shape": "The landmarks do not fit a head well, so the likeness may be poor.",
}
REFUSALS = {
    "light": "Too little of the face is lit in the photo; use one with light from the front.",
    "pose": "The face in the photo is turned too far away; use one that looks towards the camera.",
    "shape": "What the tracker found in the photo does not have the shape of a face; use another photo.",
}


def fit_identity(
    face: FaceModel,
    photo: np.ndarray,
    landmarks: np.ndarray,
    coefficients: np.ndarray,
    further: Sequence[FacePhoto] = (),
) -> Identity:
    """The head of the person in a photo, for the built-in face model.

    Hair, eyes, clothes and the scores but "shape" are the photo's alone; the shape is read from all photos at once, and
    the head's texture is their mean where they agree.

    Args:
        face: the built-in head.
        photo: (H, W, 3) uint8 RGB.
        landmarks: (478, 3) pixels of the photo: x right, y down, z away from the camera.
        coefficients: (58,) as tracked in the photo.
        further: more photos of the same person, such as other calm frames of a clip; what of them cannot be read, or
            shows somebody else, is left out.

    Raises:
        RenderError: in one sentence, why no head can be made: a wrong shape, a face under 40 pixels, turned by more
            than 35 degrees or outside of the photo, or a score below LEAST_SCORES.
    """
    photo, landmarks = checked_portrait(photo, landmarks)
    canvas = photo_canvas(photo, landmarks)
    if eyes_are_hidden(canvas):
        raise RenderError("Dark glasses hide the eyes in the photo; use one that shows them.")
    fit, others = _fits(face, FacePhoto(photo, landmarks, coefficients), further)
    pixels = canvas.from_photo(fit.pixels)
    uv, fills = texture_coordinates(face)
    head = pose_head(fit.world, pixels, face.triangles, canvas.size)
    regions = find_regions(canvas, head, face.triangles, region_fields(face))

    mask_score = _mask_score(head, regions)
    trusted = mask_score >= TRUSTED_MASK
    placement = place(fit.shape, fit.world, pixels, on_head(face).astype(np.float64))
    shape, hidden = fit.shape, hidden_ears(face, head, regions)
    if trusted:
        shape = fit_scalp(face, shape, placement, canvas, regions)
        shape = tuck_ears(face, shape, hidden)
    change = shape - fit.shape
    head = _posed(face, fit, pixels, canvas, placement, change)
    painting = paint(face, Sight(canvas, head, regions), _sights(face, others, change), uv, fills, hidden)
    scores = {
        **fit.scores,
        "mask": mask_score,
        "light": float(np.clip(1.25 - 1.6 * painting.unevenness, 0, 1)),
        "sharpness": _sharpness(canvas),
    }
    _refuse(scores)
    if regions.foreign > MOST_FOREIGN:
        raise RenderError("Something covers the mouth in the photo; use one that shows the whole face.")
    hair = None
    if trusted:
        hair = hair_shell(canvas, regions, head, face.triangles, shape, mask(face, "hair"), placement)
    iris, sclera = eye_colours(canvas)
    identity = Identity(
        shape=np.ascontiguousarray(shape, np.float32),
        expression_basis=adapted_units(face, fit.shape),
        coefficients=fit.coefficients,
        texture=encoded(painting, None if hair is None else hair.colour),
        texture_uv=uv,
        iris=iris,
        sclera=sclera,
        hair=None if hair is None else hair.shell,
        scores=scores,
        notes=tuple(NOTES[name] for name, score in scores.items() if score < GOOD_SCORE),
    )
    return balanced(face, identity, canvas)[0]


def _fits(
    face: FaceModel, photo: FacePhoto, further: Sequence[FacePhoto]
) -> tuple[ShapeFit, list[tuple[FacePhoto, ShapeFit]]]:
    """How one head stands in `photo`, and in those of `further` that show it, too."""

    def frame(one: FacePhoto) -> Frame:
        return Frame(one.landmarks, one.picture.shape[:2], one.coefficients)

    readable = []
    for one in further:
        try:
            picture, landmarks = checked_portrait(one.picture, one.landmarks)
            checked_frame(Frame(landmarks, picture.shape[:2], one.coefficients))
        except RenderError:
            continue
        readable.append(FacePhoto(picture, landmarks, one.coefficients))
    fits = fit_shapes(face, [frame(photo), *map(frame, readable)])
    alike = [one for one, fit in zip(readable, fits[1:], strict=True) if fit.scores["shape"] > SAME_HEAD]
    if len(alike) < len(readable):
        readable, fits = alike, fit_shapes(face, [frame(photo), *map(frame, alike)])
    return fits[0], list(zip(readable, fits[1:], strict=True))


def _sights(face: FaceModel, fits: list[tuple[FacePhoto, ShapeFit]], change: np.ndarray) -> Iterator[Sight]:
    """What the photos show of the head whose resting shape was changed by (V, 3) after the fit."""
    fields, weights = region_fields(face), on_head(face).astype(np.float64)
    for photo, fit in fits:
        canvas = photo_canvas(photo.picture, photo.landmarks)
        pixels = canvas.from_photo(fit.pixels)
        placement = place(fit.shape, fit.world, pixels, weights)
        head = _posed(face, fit, pixels, canvas, placement, change)
        yield Sight(canvas, head, find_regions(canvas, head, face.triangles, fields))


def _posed(
    face: FaceModel, fit: ShapeFit, pixels: np.ndarray, canvas: PhotoCanvas, placement: Placement, change: np.ndarray
) -> PosedHead:
    """The fitted head at `pixels` (V, 2) of the canvas, whose resting shape was changed by (V, 3)."""
    world = fit.world + change @ placement.to_world.T
    return pose_head(world, pixels + change @ placement.to_pixels.T, face.triangles, canvas.size)


def _refuse(scores: dict[str, float]) -> None:
    for name, sentence in REFUSALS.items():
        if scores[name] < LEAST_SCORES[name]:
            raise RenderError(sentence)


def _mask_score(head: PosedHead, regions: Regions) -> float:
    """How far the mask of hair can be trusted, 0..1: its edge is narrow, and there is no more hair than heads have."""
    size = head.seen_triangle.shape[::-1]
    hair, skin = (cv2.resize(share, size, interpolation=cv2.INTER_AREA) for share in (regions.hair, regions.skin))
    solid = float((hair + skin > 0.9).sum())
    undecided = float(((hair + skin > 0.1) & (hair + skin < 0.9) & (hair > skin)).sum())
    beyond = float(((hair > 0.5) & (head.seen_triangle == NO_TRIANGLE)).sum())
    face = float((skin > 0.5).sum())
    decided = 1.3 - 2.2 * undecided / max(solid + undecided, 1.0)
    plausible = (MOST_HAIR[1] - beyond / max(face, 1.0)) / (MOST_HAIR[1] - MOST_HAIR[0])
    return float(np.clip(min(decided, plausible), 0, 1))


def _sharpness(canvas: PhotoCanvas) -> float:
    """Detail of the finest band over that of the next, in the face's middle: 1 sharp, 0 for an enlarged stamp."""
    centre, half = canvas.landmarks[:468, :2].mean(axis=0).astype(int), 110
    window = luminance(canvas.linear[centre[1] - half : centre[1] + half, centre[0] - half : centre[0] + half])
    window = np.sqrt(window)
    blurs = [window, *(cv2.GaussianBlur(window, (0, 0), sigma) for sigma in (1.5, 4.5))]
    fine, coarse = (float((blurs[k] - blurs[k + 1]).std()) for k in range(2))
    return float(np.clip(2.2 * fine / max(coarse, 1e-4), 0, 1))
