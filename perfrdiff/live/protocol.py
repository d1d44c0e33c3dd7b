"""What goes over the socket of a live session: binary messages, little-endian, each with a byte that says what it is.

A client sends AUDIO and FACE (or PICTURE, where the server is to track), as they come; the server answers with
REACTIONS and HEARD as frames become final. Texts are JSON objects with a "type". docs/live.md has the layout for people
who write a client.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from perfrdiff.coefficients import WIDTH
from perfrdiff.errors import InputError
from perfrdiff.features.hearing import HEARING_NAMES
from perfrdiff.features.tracking.landmarker import Face, face_from_model
from perfrdiff.live.session import LiveFrames

AUDIO, FACE, PICTURE, REACTIONS, HEARD, PHOTO = 0x01, 0x02, 0x03, 0x81, 0x82, 0x83
MOST_SAMPLES = 16_000  # of one AUDIO message, a second
LANDMARKS, SCORES = 478, 52
FACE_HEAD = struct.Struct("<BBHHHd")  # FACE, seen, width, height, 0, seconds
FACE_BYTES = FACE_HEAD.size + 2 * 3 * LANDMARKS + 2 * SCORES + 4 * 16
PICTURE_HEAD = struct.Struct("<B7xd")  # PICTURE, seconds
LARGEST_PICTURE = 64_000  # bytes of a JPEG; one of 480 pixels has 20,000
LARGEST_MESSAGE = PICTURE_HEAD.size + LARGEST_PICTURE  # bytes; a second of sound has 32,004, a face 3,052
REACTIONS_HEAD = struct.Struct("<BBHI")  # REACTIONS, K, frames, first frame
LOWEST_POINT, POINT_SPAN = -0.5, 2.0  # of a coordinate, in pictures: 0 … 65535 stand for -0.5 … 1.5
HEARD_COLUMNS = [HEARING_NAMES.index(name) for name in ("speech", "loudness", "since_end")]


@dataclass(frozen=True)
class SoundMessage:
    """The next samples of the microphone, (n,) float32 at 16 kHz, -1 … 1."""

    samples: np.ndarray


@dataclass(frozen=True)
class FaceMessage:
    """What the camera saw, so many seconds after the first sample; None: nobody."""

    seconds: float
    face: Face | None


@dataclass(frozen=True)
class PictureMessage:
    """A picture of the camera, so many seconds after the first sample; only where the server tracks."""

    seconds: float
    jpeg: bytes


def parse(message: bytes) -> SoundMessage | FaceMessage | PictureMessage:
    """A client's binary message.

    Raises InputError, in one sentence, for a message of an unknown kind or another length than its kind has, and for
    numbers that are not finite.
    """
    if not message or len(message) > LARGEST_MESSAGE:
        raise InputError(f"A message of {len(message)} bytes is none of this protocol's; at most {LARGEST_MESSAGE}.")
    if message[0] == AUDIO:
        if len(message) < 6 or len(message) % 2 or len(message) > 4 + 2 * MOST_SAMPLES:
            raise InputError(
                f"A sound message has {len(message)} bytes; expected 4 and 2 for each of 1 to {MOST_SAMPLES} samples."
            )
        return SoundMessage(np.frombuffer(message, "<i2", offset=4).astype(np.float32) / 32768)
    if message[0] == FACE:
        return _parse_face(message)
    if message[0] == PICTURE:
        if len(message) <= PICTURE_HEAD.size:
            raise InputError(f"A picture's message has {len(message)} bytes; expected {PICTURE_HEAD.size} and a JPEG.")
        return PictureMessage(PICTURE_HEAD.unpack_from(message)[1], message[PICTURE_HEAD.size :])
    raise InputError(
        f"There is no message of kind {message[0]}; a client sends {AUDIO} (sound), {FACE} (face), {PICTURE} (picture)."
    )


def _parse_face(message: bytes) -> FaceMessage:
    is_seen = len(message) > 1 and message[1] == 1
    expected = FACE_BYTES if is_seen else FACE_HEAD.size
    if len(message) != expected:
        raise InputError(f"A face message has {len(message)} bytes; expected {expected}.")
    _, _, width, height, _, seconds = FACE_HEAD.unpack_from(message)
    if not is_seen:
        return FaceMessage(seconds, None)
    numbers = np.frombuffer(message, "<u2", 3 * LANDMARKS + SCORES, FACE_HEAD.size) / 65535
    points = LOWEST_POINT + POINT_SPAN * numbers[: 3 * LANDMARKS].reshape(LANDMARKS, 3)
    matrix = np.frombuffer(message, "<f4", 16, FACE_BYTES - 64).reshape(4, 4).T  # by columns, as in the browser
    if not np.isfinite(matrix).all() or not width or not height:
        raise InputError("A face message holds a pose that is not finite, or a picture without a size.")
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-6 or matrix[2, 3] >= 0:
        raise InputError("A face message holds a pose that is none: the face has to be in front of the camera.")
    return FaceMessage(seconds, face_from_model(points, numbers[3 * LANDMARKS + 1 :], matrix, width, height))


def pack_face(
    seconds: float, points: np.ndarray, scores: np.ndarray, matrix: np.ndarray, size: tuple[int, int]
) -> bytes:
    """A FACE message, as a browser sends it.

    Args:
        seconds: after the first sample of the sound.
        points: (478, 3) landmarks in shares of the picture; scores: (52,) with ``_neutral`` first, 0 … 1.
        matrix: (4, 4) facial transformation; size: width and height of the picture in pixels.
    """
    numbers = np.concatenate([(np.ravel(points) - LOWEST_POINT) / POINT_SPAN, scores])
    numbers = np.round(65535 * numbers.clip(0, 1)).astype("<u2")
    head = FACE_HEAD.pack(FACE, 1, *size, 0, seconds)
    return head + numbers.tobytes() + np.asarray(matrix, "<f4").T.tobytes()


def pack_nobody(seconds: float) -> bytes:
    """A FACE message of a picture in which nobody was seen."""
    return FACE_HEAD.pack(FACE, 0, 0, 0, 0, seconds)


def pack_picture(seconds: float, jpeg: bytes) -> bytes:
    """A PICTURE message."""
    return PICTURE_HEAD.pack(PICTURE, seconds) + jpeg


def pack_sound(samples: np.ndarray) -> bytes:
    """An AUDIO message of samples (n,), -1 … 1."""
    return bytes([AUDIO, 0, 0, 0]) + (np.clip(samples, -1, 32767 / 32768) * 32768).astype("<i2").tobytes()


def pack_frames(frames: LiveFrames) -> list[bytes]:
    """The server's messages for what a session gave; none where nothing became final."""
    messages = []
    hearing = frames.speaker.hearing
    if hearing is not None and len(hearing):
        head = REACTIONS_HEAD.pack(HEARD, len(HEARD_COLUMNS), len(hearing), frames.first_speaker_frame)
        messages.append(head + hearing[:, HEARD_COLUMNS].astype("<f4").tobytes())
    samples, count, _ = frames.reactions.shape
    if count:
        head = REACTIONS_HEAD.pack(REACTIONS, samples, count, frames.first_frame)
        messages.append(head + frames.reactions.astype("<f4").tobytes())
    return messages


def pack_photo(sample: int, frame: int, jpeg: bytes) -> bytes:
    """A PHOTO message: reaction `sample` in the listener's frame `frame`, as a picture."""
    return REACTIONS_HEAD.pack(PHOTO, sample, 0, frame) + jpeg


def unpack_reactions(message: bytes) -> tuple[int, np.ndarray]:
    """First frame and coefficients (K, n, 58) of a REACTIONS message; for clients in Python."""
    kind, samples, count, first = REACTIONS_HEAD.unpack_from(message)
    if kind != REACTIONS:
        raise InputError(f"This is a message of kind {kind}, not of reactions ({REACTIONS}).")
    return first, np.frombuffer(message, "<f4", offset=REACTIONS_HEAD.size).reshape(samples, count, WIDTH).copy()
