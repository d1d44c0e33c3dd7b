"""A speaker's features while they talk: sound and faces in, in pieces of any size; what listens gets whole frames out.

    stream = SpeakerStream()
    stream.push_audio(samples)              # at 16 kHz
    stream.push_faces([face, None, face])   # one entry for every 1/25 s, of FaceTracker or of a browser
    frames = stream.take()                  # hearing, coefficients and which faces were seen

The sound of a frame is known 0.16 s after the frame's end (features.hearing), its face at once; a frame is handed out
when both are. Source: docs/method.md 16.8.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from perfrdiff.coefficients import WIDTH
from perfrdiff.features.hearing import HEARING_WIDTH, Hearing
from perfrdiff.features.tracking.landmarker import Face
from perfrdiff.features.tracking.live_face import LiveFace

__all__ = ["SpeakerFrames", "SpeakerStream"]


@dataclass(frozen=True)
class SpeakerFrames:
    """Some frames of a speaker, one after the other; arguments of `ReactionStream.push`."""

    hearing: np.ndarray | None  # (n, 8) float32, columns hearing.HEARING_NAMES; None: there is no microphone
    coefficients: np.ndarray | None  # (n, 58) float32; None: there is no camera
    face_seen: np.ndarray | None  # (n,) bool; None: there is no camera

    def __len__(self) -> int:
        rows = self.coefficients if self.hearing is None else self.hearing
        return 0 if rows is None else len(rows)


class SpeakerStream:
    """One speaker; where there is no microphone, or no camera, nothing is pushed there.

    Raises ValueError where there is neither.
    """

    def __init__(self, has_audio: bool = True, has_camera: bool = True) -> None:
        if not (has_audio or has_camera):
            raise ValueError("a speaker is heard, seen, or both")
        self._hearing = Hearing() if has_audio else None
        self._face = LiveFace() if has_camera else None
        self._heard = np.zeros((0, HEARING_WIDTH), np.float32)
        self._coefficients, self._seen = np.zeros((0, WIDTH), np.float32), np.zeros(0, bool)

    @property
    def waiting(self) -> int:
        """How many more frames of faces than of sound have arrived; negative where it is the other way round."""
        return len(self._coefficients) - len(self._heard)

    def push_audio(self, samples: np.ndarray) -> None:
        """The next samples (n,) at 16 kHz, -1 … 1. Raises InputError as `Hearing.push`."""
        if self._hearing is None:
            raise ValueError("this speaker is not heard")
        self._heard = np.concatenate([self._heard, self._hearing.push(samples)])

    def push_faces(self, faces: Iterable[Face | None]) -> None:
        """The next frames' faces; None where none was seen."""
        if self._face is None:
            raise ValueError("this speaker is not seen")
        read = [self._face.push(face) for face in faces]
        rows = np.array([row for row, _ in read], np.float32).reshape(-1, WIDTH)
        self._coefficients = np.concatenate([self._coefficients, rows])
        self._seen = np.concatenate([self._seen, np.array([seen for _, seen in read], bool)])

    def take(self) -> SpeakerFrames:
        """The frames that are complete and were not taken yet."""
        if self._hearing is None:
            count = len(self._coefficients)
        elif self._face is None:
            count = len(self._heard)
        else:
            count = min(len(self._heard), len(self._coefficients))
        heard, self._heard = np.split(self._heard, [min(count, len(self._heard))])
        coefficients, self._coefficients = np.split(self._coefficients, [min(count, len(self._coefficients))])
        seen, self._seen = np.split(self._seen, [min(count, len(self._seen))])
        return SpeakerFrames(
            heard if self._hearing is not None else None,
            coefficients if self._face is not None else None,
            seen if self._face is not None else None,
        )

    def finish(self) -> SpeakerFrames:
        """The frames that are left, with silence after the end, as many as there were faces (without a camera: as the
        sound has begun). Nothing can be pushed afterwards."""
        if self._hearing is not None:
            left = self._hearing.finish(None)
            self._heard = np.concatenate([self._heard, left])
            missing = len(self._coefficients) - len(self._heard)
            if self._face is not None and missing > 0:  # the sound ended before the pictures
                self._heard = np.concatenate([self._heard, np.zeros((missing, HEARING_WIDTH), np.float32)])
        return self.take()
