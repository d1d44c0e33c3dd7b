"""Do two pictures show the same person? Asked of a network that the project neither ships nor trains with.

dlib's face recognition network (King 2017; packages `dlib-bin` and `face_recognition_models`, in requirements-dev.txt):
128 numbers a face, and pictures of one person are less than 0.6 apart.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

SAME_PERSON = 0.6  # distance below which dlib calls two faces one person
FACE_MARGIN = 0.08  # of the landmarks' box: dlib's detector frames a face so much more closely than its outline


@lru_cache(maxsize=1)
def _networks() -> tuple[Any, Any, Any]:
    """Detector, five-point predictor and recognition network. ImportError where the two packages are missing."""
    import dlib

    package = importlib.util.find_spec("face_recognition_models")  # importing it would need pkg_resources
    if package is None or package.origin is None:
        raise ImportError("face_recognition_models is not installed; it is in requirements-dev.txt")
    models = Path(package.origin).parent / "models"
    return (
        dlib.get_frontal_face_detector(),
        dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat")),
        dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat")),
    )


def descriptor(picture: np.ndarray, landmarks: np.ndarray | None = None) -> np.ndarray | None:
    """(128,) of the largest face in `picture` (H, W, 3) uint8 RGB, or None where dlib sees none.

    `landmarks` (478, 2 or 3), pixels: where the face is, in place of dlib's own detector.
    """
    import dlib

    detector, predictor, network = _networks()
    picture = np.ascontiguousarray(picture)
    if landmarks is None:
        boxes = list(detector(picture, 1))
        if not boxes:
            return None
        box = max(boxes, key=lambda one: one.area())
    else:
        low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
        inset = FACE_MARGIN * (high - low)
        box = dlib.rectangle(*np.round([*(low + inset), *(high - inset)]).astype(int).tolist())
    return np.array(network.compute_face_descriptor(picture, predictor(picture, box), 1))


def distances(drawn: list[np.ndarray], photos: list[np.ndarray]) -> np.ndarray:
    """(len(drawn), len(photos)) distances between descriptors."""
    return np.linalg.norm(np.array(drawn)[:, None] - np.array(photos)[None], axis=2)
