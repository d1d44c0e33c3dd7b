"""A person in FaceVerse's own numbers: its identity, expression, texture and light fitted to a photo, or to several.

Shape, pose and expression are found as the built-in head's are (`landmark_solver`), at the 66 points whose vertices
FaceVerse's file names; texture and light by least squares on the colours that the posed head shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from renderer.coefficients import plausible_coefficients
from renderer.face_model import FaceModel, load_face_model, neutral_coefficients
from renderer.faceverse import AMBIENT, SH_COEFFICIENTS, FaceVerse, spherical_harmonics
from renderer.identity.camera import HEAD_PLACE
from renderer.identity.landmark_sets import IBUG_66, LID_RIMS
from renderer.identity.landmark_solver import FITTED_UNITS, LandmarkModel, Sighting, skull_precision, solve
from renderer.identity.photo import MATTE_EROSION, FacePhoto, PhotoCanvas, photo_canvas, sample
from renderer.identity.shape import Frame, checked_frame
from renderer.identity.visibility import PosedHead, facing_confidence, pose_head
from renderer.portrait.framing import checked_portrait
from renderer.portrait.topology import CHIN, FACE_LANDMARKS, FOREHEAD

SURE_POINTS = 48  # of the 66, whose order is iBUG's in every file; those of the mouth are matched by place
JAW_POINTS, JAW_WEIGHT = 17, 0.35  # the outline slides on a turned head
BESIDE_KEYPOINTS = 0.25  # model units from the nearest of the 66 points at which the skull begins
TEXTURE_VERTICES = 4000  # at most, that texture and light are fitted to
COLOUR_SIGMA = 12.0  # of 255: what a vertex's colour differs by from what the model can show
INDEPENDENT_PATCHES = 300  # of the face: neighbouring vertices share their error
ROUNDS = 5  # light and texture in turn
WHITE_LIGHT = 0.5  # weight of light of one colour against light of three, per sample: else it would explain the skin
LIGHT_RIDGE = 0.02  # on all bands but the constant, per sample
TEXTURE_LIMIT = 3.5  # standard deviations
HUBER = 1.5  # sigmas from which a colour (glasses, a strand of hair) counts less


@dataclass(frozen=True)
class FaceVersePerson:
    """A person as FaceVerse v2 describes one; all float32."""

    identity: np.ndarray  # (150,) N(0, 1)
    texture: np.ndarray  # (251,) N(0, 1)
    expression: np.ndarray  # (52,) in the first photo
    rotation: np.ndarray  # (3,) radians, Euler angles in the first photo
    gamma: np.ndarray  # (3, 9) its light, see FaceVerse.colours
    landmark_error: float  # mean distance of the 66 points from the first photo's, % of the face's height
    colour_error: float  # mean distance of a seen vertex's colour from the first photo's, of 255

    def vectors(self, coefficients: np.ndarray) -> np.ndarray:
        """(T, 58) coefficients -> FaceVerse's packed vectors (T, 486) of this person, in the photo's light.

        Raises RenderError for coefficients of another shape.
        """
        rows = plausible_coefficients(coefficients)

        def each(values: np.ndarray) -> np.ndarray:
            return np.broadcast_to(values.reshape(-1), (len(rows), values.size))

        expression, rotation, place = np.split(rows, [-6, -3], axis=1)
        parts = [each(self.identity), expression, each(self.texture), rotation, each(self.gamma), place]
        return np.concatenate(parts, axis=1).astype(np.float32)


def fit_faceverse(model: FaceVerse, photo: FacePhoto, further: Sequence[FacePhoto] = ()) -> FaceVersePerson:
    """The person of a photo in FaceVerse's numbers; `further` photos of the same person help with the identity.

    Raises RenderError, in one sentence, where the photo cannot be read (see fit_shape).
    """
    photos = [photo, *further]
    pictures = []
    for one in photos:
        picture, landmarks = checked_portrait(one.picture, one.landmarks)
        checked_frame(Frame(landmarks, picture.shape[:2], one.coefficients))
        pictures.append((picture, landmarks))
    points = KeypointModel(model.face)
    starts = [
        points.sighting(landmarks, one.coefficients) for (_, landmarks), one in zip(pictures, photos, strict=True)
    ]
    identity, sightings = solve(points, starts)
    sighting = sightings[0]
    flat = sighting.camera.project(points.world(sighting, identity))
    percent = 100 / (points.height * sighting.camera.pixels_per_unit)
    error = float(np.linalg.norm(flat - sighting.landmarks[:, :2], axis=1).mean() * percent)

    canvas = photo_canvas(*pictures[0])
    texture, gamma, off = _coloured(model.face, canvas, _posed(model.face, canvas, sighting, identity))
    return FaceVersePerson(
        identity=identity.astype(np.float32),
        texture=texture.astype(np.float32),
        expression=sighting.expression,
        rotation=Rotation.from_matrix(sighting.rotation).as_euler("xyz").astype(np.float32),
        gamma=gamma.astype(np.float32),
        landmark_error=error,
        colour_error=off,
    )


class KeypointModel(LandmarkModel):
    """A FaceVerse model at its 66 points, each with the landmark of MediaPipe's that it is."""

    def __init__(self, face: FaceModel):
        self.numbers = _mediapipe_numbers(face)
        vertices = face.ibug_keypoints
        self.mean = face.mean_shape[vertices].astype(np.float64)
        self.identity = face.identity_basis[vertices].astype(np.float64)
        self.units = face.expression_basis[vertices][:, :, FITTED_UNITS].astype(np.float64)
        self.skull = skull_precision(self.mean, face.mean_shape, face.identity_basis, BESIDE_KEYPOINTS)
        # the 66 points do not reach the forehead
        built_in = load_face_model().landmarks(neutral_coefficients())[0]
        size = np.linalg.norm(np.ptp(self.mean, axis=0)) / np.linalg.norm(np.ptp(built_in[self.numbers], axis=0))
        self.height = float(np.linalg.norm(built_in[FOREHEAD] - built_in[CHIN]) * size)
        self.weight = np.full(len(vertices), FACE_LANDMARKS / len(vertices))  # as much as 468 points have to say
        self.weight[:JAW_POINTS] *= JAW_WEIGHT
        self.weight[np.isin(self.numbers, np.concatenate(list(LID_RIMS.values())))] *= 2.0


def _mediapipe_numbers(face: FaceModel) -> np.ndarray:
    """(66,) MediaPipe's landmark at each keypoint. Files agree on the first 48; the mouth's are told by their place."""
    numbers = np.array(IBUG_66)
    built_in = load_face_model()
    ours, theirs = (model.mean_shape[model.ibug_keypoints].astype(np.float64) for model in (built_in, face))
    middle, their_middle = ours[:SURE_POINTS].mean(axis=0), theirs[:SURE_POINTS].mean(axis=0)
    scale = np.linalg.norm(theirs[:SURE_POINTS] - their_middle) / np.linalg.norm(ours[:SURE_POINTS] - middle)
    expected = (ours[SURE_POINTS:] - middle) * scale + their_middle
    # upper and lower lip lie close together: what matters is where on the mouth's own outline a point lies
    expected, found = (one - one.mean(axis=0) for one in (expected, theirs[SURE_POINTS:]))
    distance = np.linalg.norm(found[:, None] - expected[None], axis=2)
    keypoint, landmark = linear_sum_assignment(distance)
    numbers[SURE_POINTS + keypoint] = np.array(IBUG_66)[SURE_POINTS + landmark]
    return numbers


def _posed(face: FaceModel, canvas: PhotoCanvas, sighting: Sighting, identity: np.ndarray) -> PosedHead:
    shape = face.neutral_vertices(identity) + face.expression_basis @ sighting.expression
    world = shape @ sighting.rotation.T + HEAD_PLACE
    pixels = canvas.from_photo(sighting.camera.project(world))
    return pose_head(world, pixels, face.triangles, canvas.size)


def _coloured(face: FaceModel, canvas: PhotoCanvas, head: PosedHead) -> tuple[np.ndarray, np.ndarray, float]:
    """Texture (251,), light (3, 9) and what is left of the colours, of 255, of the vertices that are seen."""
    sure = cv2.erode(canvas.person, np.ones((MATTE_EROSION, MATTE_EROSION), np.uint8))
    weights = facing_confidence(head.facing) * head.visible(head.pixels, head.depth) * sample(sure, head.pixels)
    seen = np.flatnonzero(weights > 0)
    seen = seen[:: -(-len(seen) // TEXTURE_VERTICES)]
    picture = cv2.GaussianBlur(canvas.picture, (0, 0), 1.5).astype(np.float32)  # a vertex stands for its surroundings
    colours, weights = sample(picture, head.pixels[seen]), weights[seen].astype(np.float64)
    weights *= INDEPENDENT_PATCHES / weights.sum()
    bands = spherical_harmonics(head.normals[seen]).astype(np.float64)
    mean, basis = face.mean_texture[seen].astype(np.float64), face.texture_basis[seen].astype(np.float64)
    texture, robust = np.zeros(basis.shape[2]), np.ones(len(seen))
    for _ in range(ROUNDS):
        albedo = mean + basis @ texture
        light = _light(albedo, colours, bands, weights * robust)
        shade = bands @ light.T  # (N, 3)
        off = np.linalg.norm(colours - albedo * shade, axis=1)
        robust = np.minimum(1, HUBER * COLOUR_SIGMA * np.sqrt(3) / np.maximum(off, 1e-6))
        drawn = (basis * shade[:, :, None]).reshape(-1, basis.shape[2])
        trust = np.repeat(weights * robust, 3)[:, None] / COLOUR_SIGMA**2
        normal = drawn.T @ (drawn * trust) + np.eye(len(texture))
        wanted = (colours - mean * shade).reshape(-1)
        texture = np.linalg.solve(normal, (drawn * trust).T @ wanted).clip(-TEXTURE_LIMIT, TEXTURE_LIMIT)
    off = np.abs(colours - (mean + basis @ texture) * shade).mean(axis=1)
    light[:, 0] -= AMBIENT  # which the model adds
    return texture, light, float(np.average(off, weights=weights))


def _light(albedo: np.ndarray, colours: np.ndarray, bands: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(3, 9) of red, green and blue light under which the albedo (N, 3) has the colours (N, 3); bands (N, 9)."""
    size = SH_COEFFICIENTS
    normal, gradient = np.zeros((3 * size, 3 * size)), np.zeros(3 * size)
    strength = float(weights @ (albedo**2).mean(axis=1)) / 3
    ridge = np.full(size, LIGHT_RIDGE * strength)
    ridge[0] = 0.0
    for channel in range(3):
        lit = bands * albedo[:, channel : channel + 1]
        own = slice(channel * size, (channel + 1) * size)
        normal[own, own] = (lit * weights[:, None]).T @ lit + np.diag(ridge)
        gradient[own] = (lit * weights[:, None]).T @ colours[:, channel]
    apart = np.eye(3) - 1 / 3  # of the three from their mean
    normal += WHITE_LIGHT * strength * np.kron(apart, np.eye(size))
    return np.linalg.solve(normal, gradient).reshape(3, size)
