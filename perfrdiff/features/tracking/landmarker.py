"""MediaPipe's FaceLandmarker behind one small class: a picture in, faces with 478 landmarks and 52 units out.

The one file that uses mediapipe. Version 0.10.32 opens no socket; later ones carry usage logging and are not for
people's faces (docs/method.md 14.1).
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from perfrdiff.coefficients import EXPRESSION_NAMES
from perfrdiff.errors import InputError
from perfrdiff.features.tracking.mediapipe_tasks import (
    BaseOptions,
    FaceLandmarker,
    FaceLandmarkerOptions,
    Image,
    ImageFormat,
    RunningMode,
)
from perfrdiff.features.tracking.pose import without_parallax
from renderer.resources import asset, read_official

__all__ = ["Face", "FaceTracker", "face_from_model"]

MODEL = asset("tracker/face_landmarker.task")
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
_stderr_lock = threading.Lock()


@dataclass(frozen=True)
class Face:
    """One face in one picture."""

    landmarks: np.ndarray  # (478, 3) float32, pixels of the picture: x right, y down, z away from the camera
    expressions: np.ndarray  # (52,) float32, 0 … 1; tongueOut is 0
    rotation: np.ndarray  # (3, 3), identity = upright and facing the camera, as seen along the ray to the face
    position: np.ndarray  # (3,) centimetres as MediaPipe fits it: x right, y up, z negative; a view angle of 63°
    centimetres_per_pixel: float  # at the face

    @property
    def box(self) -> np.ndarray:
        """(4,) left, top, right, bottom of the landmarks, pixels."""
        return np.concatenate([self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)])

    @property
    def centre(self) -> np.ndarray:
        """(2,) middle of the box, pixels."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def size(self) -> float:
        """Longer side of the box, pixels."""
        return float((self.box[2:] - self.box[:2]).max())


class FaceTracker:
    """Finds up to ``faces`` faces in pictures; close it, or use it in a ``with`` statement.

    Args:
        streaming: True for consecutive frames of one clip, False for pictures that have nothing to do with each other.
        faces: how many to look for. Never 1 while streaming: MediaPipe then smooths the landmarks, with delay, and
            takes a fifth off every blink.

    Raises:
        InputError: the model file is missing or not the official one.
    """

    def __init__(self, streaming: bool, faces: int = 3):
        self._streaming = streaming
        self._clock = 0
        options = FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=_model()),
            running_mode=RunningMode.VIDEO if streaming else RunningMode.IMAGE,
            num_faces=max(faces, 2) if streaming else faces,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        with _silent_stderr():
            self._landmarker = FaceLandmarker.create_from_options(options)
            self.detect(np.zeros((64, 64, 3), dtype=np.uint8))  # the last of its chatter comes with the first picture

    def detect(self, picture: np.ndarray) -> list[Face]:
        """The faces in an (H, W, 3) uint8 RGB picture, largest first."""
        image = Image(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        if self._streaming:
            self._clock += 40  # milliseconds; any steady rate will do
            detected = self._landmarker.detect_for_video(image, self._clock)
        else:
            detected = self._landmarker.detect(image)
        height, width = picture.shape[:2]
        results = detected.face_landmarks, detected.face_blendshapes, detected.facial_transformation_matrixes
        faces = [_face(*result, width, height) for result in zip(*results, strict=True)]
        return sorted(faces, key=lambda face: face.size, reverse=True)

    def close(self) -> None:
        self._landmarker.close()

    def __enter__(self) -> "FaceTracker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def face_from_model(points: np.ndarray, scores: np.ndarray, matrix: np.ndarray, width: int, height: int) -> Face:
    """A face as MediaPipe's landmarker gives it, here or in a browser.

    Args:
        points: (478, 3) landmarks in shares of the picture's width and height; z in the scale of x.
        scores: (51,) of the blend shapes in MediaPipe's order without ``_neutral``, 0 … 1.
        matrix: (4, 4) facial transformation.
        width, height: of the picture, pixels.
    """
    expressions = np.zeros(len(EXPRESSION_NAMES), dtype=np.float32)
    expressions[:51] = scores
    position = np.array(matrix[:3, 3], dtype=np.float64)
    focal = height / 2 / np.tan(np.radians(63.0) / 2)  # MediaPipe's assumed camera
    return Face(
        landmarks=points.astype(np.float32) * np.array([width, height, width], dtype=np.float32),
        expressions=expressions,
        rotation=without_parallax(np.array(matrix[:3, :3], dtype=np.float64), position),
        position=position,
        centimetres_per_pixel=float(-position[2] / focal),
    )


def _face(landmarks, blendshapes, matrix, width: int, height: int) -> Face:
    points = np.array([(point.x, point.y, point.z) for point in landmarks], dtype=np.float32)
    return face_from_model(points, np.array([category.score for category in blendshapes[1:]]), matrix, width, height)


@cache
def _model() -> bytes:
    return read_official(MODEL, MODEL_SHA256, "face tracker", InputError)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Swallow what the C++ side writes to file descriptor 2 while it starts; it has no switch for that."""
    with _stderr_lock:
        original = os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            os.close(original)
            os.close(null)
