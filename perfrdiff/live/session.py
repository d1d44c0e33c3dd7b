"""One live session: sound and faces with their times in, frames of the listener out.

The sound is the clock: its samples come without gaps, and frame i of the session is what lies between i / 25 and
(i + 1) / 25 seconds of it. A face belongs to the frame in which it was filmed; a frame without one keeps the last. So a
camera at any rate, or one that stops, never holds up the listener. Without a microphone the faces' times are the clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import floor

import numpy as np

from perfrdiff.coefficients import FPS
from perfrdiff.errors import InputError
from perfrdiff.features.stream import SpeakerFrames, SpeakerStream
from perfrdiff.features.tracking.landmarker import Face
from perfrdiff.reaction_stream import ReactionStream

RATE = 16_000  # samples per second of the sound
HOP = RATE // FPS
CAMERA_PATIENCE = 5  # frames that sound waits for a face; one that comes later is left out
LONGEST_JUMP = 5.0  # seconds that the sound may be ahead of the last face, or a face of the sound


@dataclass(frozen=True)
class LiveFrames:
    """What a session gives: the speaker's frames that were taken in, and the listener's that became final."""

    first_speaker_frame: int
    speaker: SpeakerFrames
    first_frame: int  # of the listener
    reactions: np.ndarray  # (K, n, 58) float32


class LiveSession:
    """Takes what camera and microphone give, in any pieces; what comes out depends on the pieces' content alone.

    Bad input raises InputError; the session cannot go on then.
    """

    def __init__(self, listener: ReactionStream, has_audio: bool = True, has_camera: bool = True) -> None:
        """Raises ValueError where there is neither microphone nor camera."""
        self.listener = listener
        self._speaker = SpeakerStream(has_audio, has_camera)
        self.has_audio, self.has_camera = has_audio, has_camera
        self._samples = 0  # of sound, so far
        self._faces: deque[tuple[int, Face | None]] = deque()  # frame and face, in order of time
        self._frames_with_faces = 0  # frames that were given a face, or went without
        self._last_time = 0.0
        self._given = self._taken = 0
        self.late_faces = 0  # that came after their frame had gone on without them

    @property
    def seconds(self) -> float:
        """How long the session lasts, by its clock."""
        return self._samples / RATE if self.has_audio else self._last_time

    def push_audio(self, samples: np.ndarray) -> None:
        """The next samples (n,) at 16 kHz, -1 … 1, right after the last ones."""
        self._speaker.push_audio(samples)
        self._samples += len(samples)

    def push_face(self, time: float, face: Face | None) -> None:
        """What the camera saw `time` seconds after the session's first sample; None: nobody.

        Raises InputError for a time that is no number, runs backwards, or is seconds away from the sound's.
        """
        if not np.isfinite(time) or time < self._last_time:
            raise InputError(f"A face's time is {time:g} s after one at {self._last_time:g} s; times have to rise.")
        if self.has_audio and time > self.seconds + LONGEST_JUMP:
            raise InputError(f"A face's time is {time:g} s, but there are {self.seconds:.1f} s of sound only.")
        if not self.has_audio and time > self._last_time + LONGEST_JUMP:
            raise InputError(f"No face came for {time - self._last_time:.1f} s; start again.")
        self._last_time = time
        frame = floor(time * FPS)
        if frame < self._frames_with_faces:
            self.late_faces += 1
        elif self._faces and self._faces[-1][0] == frame:
            self._faces[-1] = frame, face  # two pictures in one frame: the later one
        else:
            self._faces.append((frame, face))

    def advance(self) -> LiveFrames:
        """Take in what is complete, and give what became final."""
        if self.has_camera:
            self._speaker.push_faces(self._faces_until(self._frames_due()))
        return self._react(self._speaker.take())

    def finish(self) -> LiveFrames:
        """The last frames, with silence after the end. Nothing can be pushed afterwards."""
        if self.has_camera:
            last = self._faces[-1][0] + 1 if self._faces else 0
            end = max(self._frames_with_faces, -(-self._samples // HOP) if self.has_audio else last)
            self._speaker.push_faces(self._faces_until(end))
        final = self._react(self._speaker.finish())
        rest = self.listener.finish()
        self._given += rest.shape[1]
        reactions = np.concatenate([final.reactions, rest], axis=1)
        return LiveFrames(final.first_speaker_frame, final.speaker, final.first_frame, reactions)

    def _frames_due(self) -> int:
        """Frames whose faces are here, or will not be waited for any longer."""
        newest = self._faces[-1][0] if self._faces else self._frames_with_faces - 1
        if not self.has_audio:
            return newest  # the frame itself may still get a later picture
        heard = self._samples // HOP
        return min(heard, max(newest + 1, heard - CAMERA_PATIENCE))

    def _faces_until(self, end: int) -> list[Face | None]:
        """One entry for each frame up to `end` that has none yet. A frame between two pictures takes the nearer
        earlier one, so that a slow camera does not look like a face that comes and goes."""
        faces = []
        for frame in range(self._frames_with_faces, end):
            while len(self._faces) > 1 and self._faces[1][0] <= frame:
                self._faces.popleft()
            held = self._faces[0] if self._faces else None
            is_near = held is not None and frame - CAMERA_PATIENCE <= held[0] <= frame
            faces.append(held[1] if held is not None and is_near else None)
        self._frames_with_faces = max(self._frames_with_faces, end)
        return faces

    def _react(self, frames: SpeakerFrames) -> LiveFrames:
        first_speaker_frame, first_frame = self._taken, self._given
        if len(frames):
            reactions = self.listener.push(frames.hearing, frames.coefficients, frames.face_seen)
        else:
            reactions = np.zeros((self.listener.samples, 0, 58), np.float32)
        self._taken += len(frames)
        self._given += reactions.shape[1]
        return LiveFrames(first_speaker_frame, frames, first_frame, reactions)
