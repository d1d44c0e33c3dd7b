"""The two things a person hands in, read whole: a talking speaker and a listener."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.affect import affect_attributes
from perfrdiff.features.audio import mfcc
from perfrdiff.features.coefficients import FPS, ROTATION
from perfrdiff.features.local_file import shown_name
from perfrdiff.features.media import LONGEST_SECONDS, RATE, Sound, is_image, probe, read_audio, read_image
from perfrdiff.features.tracking import FaceStill, quarter_turns_of, track_image, track_video

__all__ = ["Listener", "Speaker", "read_listener", "read_speaker"]

LISTENER_SECONDS = 2.0  # the shortest listener video from which a style can be read
SMALLEST_FACE = 24  # pixels from forehead to chin; below, there is nothing to animate
COARSE_FACE = 64  # pixels; below, the notes say that the animation will be blurred
FURTHEST_TURN = np.radians(35)  # of a photo's face: beyond, the far eye is hidden
NOTICED_TURN = np.radians(20)


@dataclass(frozen=True)
class Speaker:
    """A talking person at 25 frames per second."""

    audio: np.ndarray  # (T, 78) float32 MFCCs
    coefficients: np.ndarray  # (T, 58) float32
    affect: np.ndarray  # (T, 25) float32
    sound: Sound | None  # T/25 s, in step with the frames; None where the file has none
    notes: list[str] = field(default_factory=list)  # sentences for the person who gave the file


@dataclass(frozen=True)
class Listener:
    """The person whose reactions are wanted: how they look, and, from a video, how they listen."""

    photo: np.ndarray  # (H, W, 3) uint8 RGB
    landmarks: np.ndarray  # (478, 3) float32, pixels of the photo: x right, y down, z away from the camera
    photo_coefficients: np.ndarray  # (58,) float32 of the photo as tracked, no neutral removed
    behaviour: np.ndarray | None  # (T, 58) float32 at 25 frames per second, None for a photo
    notes: list[str] = field(default_factory=list)


def read_speaker(
    path: str | os.PathLike,
    progress: Callable[[float], None] | None = None,
    max_seconds: float = LONGEST_SECONDS,
) -> Speaker:
    """Everything the models want to know of a speaker video.

    A video without sound works: its MFCCs are those of silence, and a note says so.

    Args:
        path: a video file of 1 s to ``max_seconds``.
        progress: called with 0 … 1.
        max_seconds: a longer video is refused.

    Raises:
        InputError: one sentence about what is wrong with the file.
    """
    info = probe(path, max_seconds)
    track = track_video(path, progress, max_seconds=max_seconds, info=info)
    frames = len(track.coefficients)
    sound = read_audio(path, info)
    notes = list(track.notes)
    if sound is None:
        notes.append(f"{info.name} has no sound; the reactions follow the face alone.")
    else:
        sound = Sound(_fit(sound.samples, frames * RATE // FPS))
        if sound.is_silent:
            notes.append(f"The sound of {info.name} is silence; the reactions follow the face alone.")
    samples = sound.samples if sound is not None else np.zeros(0, dtype=np.float32)
    return Speaker(
        audio=mfcc(samples, RATE, frames),
        coefficients=track.coefficients,
        affect=affect_attributes(track.coefficients),
        sound=sound,
        notes=notes,
    )


def read_listener(
    path: str | os.PathLike,
    progress: Callable[[float], None] | None = None,
    max_seconds: float = LONGEST_SECONDS,
) -> Listener:
    """A listener from a photo (looks only) or a video of 2 s or more (looks and behaviour).

    A picture file, animated or not, is a photo. Of a video, the sharpest frontal frame with open eyes and a closed
    mouth becomes the photo.

    Args:
        path: a photo or video file; its content decides, not its name.
        progress: called with 0 … 1.
        max_seconds: a longer video is refused.

    Raises:
        InputError: one sentence about what is wrong with the file.
    """
    name = shown_name(path)
    if is_image(path):
        photo = read_image(path)
        still = track_image(photo, name)
        turns = quarter_turns_of(still.coefficients)
        if turns:
            photo = np.ascontiguousarray(np.rot90(photo, -turns))
            still = track_image(photo, name)
        notes = _check_photo(still, name)
        if turns:
            notes.append(f"The face in {name} did not stand upright; the picture was turned.")
        if progress:
            progress(1.0)
        return Listener(photo, still.landmarks, still.coefficients, None, notes)
    info = probe(path, max_seconds)
    if info.seconds < LISTENER_SECONDS - 0.5 / FPS:
        raise InputError(
            f"{name} lasts {info.seconds:.1f} s; give a listener video of at least {LISTENER_SECONDS:g} s or a photo."
        )
    track = track_video(path, progress, max_seconds=max_seconds, portrait=True, info=info)
    notes = list(track.notes) + _check_photo(FaceStill(track.best_coefficients, track.landmarks), name)
    return Listener(track.best_frame, track.landmarks, track.best_coefficients, track.coefficients, notes)


def _check_photo(still: FaceStill, name: str) -> list[str]:
    """Notes on a face that is to be animated; refuses what cannot be."""
    height = float(np.ptp(still.landmarks[:, 1]))
    if height < SMALLEST_FACE:
        raise InputError(
            f"The face in {name} is only {height:.0f} px high; use a closer picture (at least {SMALLEST_FACE} px)."
        )
    pitch, yaw, _ = np.abs(still.coefficients[ROTATION] - np.array([np.pi, 0, 0], dtype=np.float32))
    turn = max(float(pitch), float(yaw))
    if turn > FURTHEST_TURN:
        raise InputError(
            f"The face in {name} is turned away by {np.degrees(turn):.0f} degrees; use a picture from the front."
        )
    notes = []
    if height < COARSE_FACE:
        notes.append(
            f"The face in {name} is only {height:.0f} px high and will look blurred; a closer picture is better."
        )
    if turn > NOTICED_TURN:
        notes.append(f"The face in {name} is turned by {np.degrees(turn):.0f} degrees; a frontal one moves better.")
    if still.faces > 1:
        notes.append(f"{still.faces} faces were seen in {name}; the largest is used.")
    return notes


def _fit(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut or padded with silence to a length."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))
