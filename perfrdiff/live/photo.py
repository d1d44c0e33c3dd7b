"""A listener's photo, moved while the reactions come: coefficients in, JPEG pictures out."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.clip import Listener
from perfrdiff.pipeline.videos import built_in_face
from renderer.portrait import portrait_animator

SIZE, QUALITY = 256, 80  # pixels, and of JPEG: 9 kB a picture


class LivePhoto:
    """Draws one listener. Raises InputError where there is no photo, RenderError for one that cannot be moved."""

    def __init__(self, listener: Listener | None) -> None:
        if listener is None or listener.photo is None:
            raise InputError("There is no photo of this listener; let the head be shown, or give a photo or a video.")
        assert listener.landmarks is not None and listener.photo_coefficients is not None
        self._animator = portrait_animator(built_in_face(), SIZE, "warp")  # the one that is quick enough on any machine
        self._animator.set_portrait(listener.photo, listener.landmarks, listener.photo_coefficients)

    def pictures(self, reactions: np.ndarray) -> Iterator[tuple[int, int, bytes]]:
        """Reaction, frame and JPEG of each frame of (K, n, 58) coefficients."""
        for sample, rows in enumerate(reactions):
            for frame, picture in enumerate(self._animator.animate(rows)):
                _, jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
                yield sample, frame, jpeg.tobytes()
