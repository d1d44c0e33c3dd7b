"""A camera's pictures that are tracked on the server, where a browser cannot: JPEG in, faces out, nothing kept."""

from __future__ import annotations

import io
from threading import Lock

import numpy as np
from PIL import Image

from perfrdiff.errors import InputError
from perfrdiff.features.tracking.landmarker import Face, FaceTracker

SMALLEST_SIDE, LARGEST_SIDE = 16, 1280  # pixels; a page sends 480


class PictureTracker:
    """Follows the largest face in a session's pictures; close it."""

    def __init__(self) -> None:
        self._tracker = FaceTracker(streaming=True)
        self._lock = Lock()
        self._is_open = True

    def face(self, jpeg: bytes) -> Face | None:
        """The face in the next picture; None: nobody, or the tracker is closed. Raises as `decoded`."""
        picture = decoded(jpeg)
        with self._lock:
            return next(iter(self._tracker.detect(picture)), None) if self._is_open else None

    def close(self) -> None:
        with self._lock:
            if self._is_open:
                self._tracker.close()
            self._is_open = False


def decoded(jpeg: bytes) -> np.ndarray:
    """The picture, (H, W, 3) uint8 RGB. Raises InputError for what is no JPEG, damaged, or of another size than a
    camera's: that is looked up before it is decoded."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            width, height = picture.size
            is_a_cameras = min(width, height) >= SMALLEST_SIDE and max(width, height) <= LARGEST_SIDE
            if is_a_cameras:
                return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise InputError("A camera's picture came that is no JPEG, or a damaged one.") from None
    raise InputError(f"A camera's picture of {width} x {height} pixels came; {LARGEST_SIDE} are the most.")
