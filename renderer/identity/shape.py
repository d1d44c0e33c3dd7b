"""The shape of a person's head from the landmarks of a photo, or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from renderer.errors import RenderError
from renderer.face_model import COEFFICIENTS, FaceModel, rotation_matrix
from renderer.identity.basis import load_identity_basis
from renderer.identity.camera import HEAD_PLACE, PhotoCamera
from renderer.identity.landmark_solver import LandmarkModel, Sighting, solve
from renderer.identity.residual import LandmarkSpline, landmark_shifts, smooth_step, trust_near_side
from renderer.identity.rest import close_lips, mouth_activity, seat_eyes, seat_mouth, towards_mean_mouth
from renderer.portrait.framing import SMALLEST_FACE
from renderer.portrait.topology import FACE_LANDMARKS, LANDMARKS

LARGEST_TURN = np.radians(35.0)  # of the face away from the camera; beyond, half of it is a guess

REST_LEAST = 0.2  # a frame with a resting mouth counts 6 times as much as one with a broad smile


@dataclass(frozen=True)
class Frame:
    """What a tracker saw in one photo."""

    landmarks: np.ndarray  # (478, 3) pixels: x right, y down, z away from the camera
    image_size: tuple[int, int]  # (height, width) pixels
    coefficients: np.ndarray  # (58,), see renderer.face_model.COEFFICIENT_NAMES


@dataclass(frozen=True)
class ShapeFit:
    """A person's head, and how it stands in the photo that it was fitted to."""

    shape: np.ndarray  # (V, 3) float32, at rest, object space
    coefficients: np.ndarray  # (K,) float32 of the identity basis; `shape` has what they leave besides
    expression: np.ndarray  # (52,) float32, 0..1, in the photo
    rotation: np.ndarray  # (3, 3) float32, object to world space
    camera: PhotoCamera  # its focal length and centre are pixels of the photo
    world: np.ndarray  # (V, 3) float32, in front of `camera`, with the photo's pose, expression and every residual
    pixels: np.ndarray  # (V, 2) float32, where `world` falls in the photo
    landmark_error: float  # mean distance of the landmarks of `world` from those of the photo, % of the face's height
    scores: dict[str, float]  # 0..1: "shape", "pose"; below 0.3 the head is not to be trusted


def fit_shape(
    face: FaceModel, landmarks: np.ndarray, image_size: tuple[int, int], coefficients: np.ndarray
) -> ShapeFit:
    """The head whose landmarks are those of a photo.

    Args:
        face: the built-in head.
        landmarks: (478, 3) pixels of the photo: x right, y down, z away from the camera.
        image_size: (height, width) of the photo, pixels.
        coefficients: (58,) as tracked in the photo; the place is not used.

    Raises:
        RenderError: a wrong shape, NaN, a face under 40 pixels or outside of the photo, one turned by more than 35
            degrees, or a face model without landmarks.
    """
    return fit_shapes(face, [Frame(landmarks, image_size, coefficients)])[0]


def fit_shapes(face: FaceModel, frames: Sequence[Frame]) -> list[ShapeFit]:
    """One head from several photos of one person: a fit for each, all with the same `shape` and coefficients.

    The components are fitted to all frames at once, and what they leave is the mean of the frames'. Raises RenderError
    as `fit_shape` does.
    """
    if not len(frames):
        raise RenderError("A head's shape needs at least one photo.")
    if face.landmark_vertices is None or face.parts is None:
        raise RenderError("This face model carries no MediaPipe landmarks; use the built-in head for that.")
    basis = load_identity_basis()
    if len(basis.components) != len(face.mean_shape):
        raise RenderError("The identity basis belongs to the built-in head, and this face model is another.")
    frames = [checked_frame(frame) for frame in frames]
    model = LandmarkModel(face, basis)
    identity, sightings = solve(model, [model.sighting(frame.landmarks, frame.coefficients) for frame in frames])
    head = _FittedHead(
        face, model, LandmarkSpline(face, model), identity, face.mean_shape + basis.components @ identity
    )
    shifts = [landmark_shifts(model, sighting, identity) for sighting in sightings]
    shape = head.at_rest(sightings, shifts, basis.landmark_mirror)
    return [head.in_photo(sighting, shift, shape) for sighting, shift in zip(sightings, shifts, strict=True)]


@dataclass(frozen=True)
class _FittedHead:
    """The head of the components alone, and what is needed to go on from there."""

    face: FaceModel
    model: LandmarkModel
    spline: LandmarkSpline
    identity: np.ndarray  # (K,)
    fitted: np.ndarray  # (V, 3)

    def at_rest(self, sightings: list[Sighting], shifts: list[np.ndarray], mirror: np.ndarray) -> np.ndarray:
        """(V, 3) float32: moved by the mean of the frames' landmark shifts (468, 3), with a resting mouth."""
        trusted = [
            trust_near_side(shift, self.model.mean, sighting.rotation, mirror)
            for sighting, shift in zip(sightings, shifts, strict=True)
        ]
        activities = np.array([mouth_activity(sighting.strongest_expression) for sighting in sightings])
        calm = 1 / (REST_LEAST + activities)  # a smile or a word leaves traces in what is taken for form
        mean_shift = np.average(trusted, axis=0, weights=calm)
        activity = float(np.average(activities, weights=calm))
        mean_shift = towards_mean_mouth(mean_shift, self.model, self.identity, activity)
        return np.ascontiguousarray(close_lips(self._moved(mean_shift), self.face), np.float32)

    def in_photo(self, sighting: Sighting, shifts: np.ndarray, shape: np.ndarray) -> ShapeFit:
        """How the person of the resting `shape` stands in one photo, whose landmark shifts are (468, 3)."""
        face, model = self.face, self.model
        moved = self._moved(shifts) + face.expression_basis @ sighting.expression
        world = moved @ sighting.rotation.T + HEAD_PLACE
        pixels = sighting.camera.project(world)
        assert face.landmark_vertices is not None and face.landmark_weights is not None, "fit_shapes checks it"
        drawn = np.einsum("lkc,lk->lc", pixels[face.landmark_vertices], face.landmark_weights)
        percent = 100 / (model.height * sighting.camera.pixels_per_unit)
        error = float(np.linalg.norm(drawn - sighting.landmarks[:, :2], axis=1).mean() * percent)
        components_alone = float(np.linalg.norm(shifts, axis=1).mean() * 100 / model.height)
        return ShapeFit(
            shape=shape,
            coefficients=self.identity.astype(np.float32),
            expression=sighting.expression,
            rotation=sighting.rotation.astype(np.float32),
            camera=sighting.camera,
            world=world.astype(np.float32),
            pixels=pixels.astype(np.float32),
            landmark_error=error,
            scores={
                "shape": float(1 - smooth_step(components_alone, 0.7, 2.0)),
                "pose": float(1 - smooth_step(_turn(sighting.rotation), np.radians(12.0), np.radians(40.0))),
            },
        )

    def _moved(self, shifts: np.ndarray) -> np.ndarray:
        """(V, 3) moved by landmark shifts (468, 3), eyes in their lids and teeth behind the lips."""
        shape = seat_eyes(self.fitted + self.spline.spread(shifts), self.fitted, shifts, self.face)
        return seat_mouth(shape, self.model, self.model.mean + self.model.identity @ self.identity + shifts, self.face)


def _turn(rotation: np.ndarray) -> float:
    """Angle, radians, between where a face looks and the camera."""
    return float(np.arccos(np.clip(-rotation[2, 2], -1, 1)))


def checked_frame(frame: Frame) -> Frame:
    """The frame as arrays, of a face whose shape can be read; raises RenderError, see fit_shape."""
    landmarks, coefficients = np.asarray(frame.landmarks), np.asarray(frame.coefficients)
    if landmarks.shape != (LANDMARKS, 3):
        raise RenderError(f"Expected landmarks of shape ({LANDMARKS}, 3), got {landmarks.shape}.")
    if coefficients.shape != (COEFFICIENTS,):
        raise RenderError(f"Expected coefficients of shape ({COEFFICIENTS},), got {coefficients.shape}.")
    if not (np.isfinite(landmarks).all() and np.isfinite(coefficients).all()):
        raise RenderError("The photo's landmarks or coefficients contain NaN or infinity.")
    height, width = frame.image_size
    points = landmarks[:FACE_LANDMARKS, :2]
    size = float(np.ptp(points, axis=0).max())
    if size < SMALLEST_FACE:
        raise RenderError(f"The face in the photo is {size:.0f} pixels large; its shape needs {SMALLEST_FACE}.")
    if not ((points > 0) & (points < (width, height))).all(axis=1).mean() > 0.8:
        raise RenderError("The face lies largely outside of the photo.")
    turn = _turn(rotation_matrix(coefficients[-6:-3]))
    if turn > LARGEST_TURN:
        raise RenderError(
            f"The face in the photo is turned by {np.degrees(turn):.0f} degrees; its shape can be read up to "
            f"{np.degrees(LARGEST_TURN):.0f}."
        )
    return Frame(landmarks, frame.image_size, coefficients)
