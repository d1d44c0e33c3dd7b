"""The two inputs of a run, each read to its end: a speaker and a listener, from videos, photos or features files."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from perfrdiff.behaviour.card import BehaviourCard, measure_behaviour
from perfrdiff.coefficients import FPS, ROTATION
from perfrdiff.errors import InputError
from perfrdiff.features import MAX_SECONDS
from perfrdiff.features.attribute_network import NETWORK_WIDTH, AttributeNetwork, default_network_path
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.features.audio import mfcc
from perfrdiff.features.hearing import HEARING_NAMES, hear
from perfrdiff.features.media.audio_track import RATE, Audio
from perfrdiff.features.media.input import Media, Source, as_media
from perfrdiff.features.mouth_activity import listening_frames
from perfrdiff.features.speech_activity import SPEECH_ON
from perfrdiff.features.tracking.face_track import FaceStill, FaceView, quarter_turns_of, track_image, track_video
from perfrdiff.features.tracking.signals import QUALITIES

__all__ = ["Listener", "Speaker", "read_listener", "read_speaker"]

LEAST_SPEECH = 0.2  # seconds; a speaker with less is said to be silent
LISTENER_SECONDS = 2.0  # the shortest listener video from which a style can be read
SMALLEST_FACE = 24  # pixels from forehead to chin; below, there is nothing to animate
COARSE_FACE = 64  # pixels; below, the notes say that the animation will be blurred
LARGEST_TURN = np.radians(35)  # of a photo's face: beyond, the far eye is hidden
NOTICED_TURN = np.radians(20)
LOW_CONFIDENCE = 0.5  # of a style; below, a note says so


@dataclass(frozen=True)
class Speaker:
    """A talking person at 25 frames per second."""

    audio: np.ndarray  # (T, 78) float32 MFCCs
    coefficients: np.ndarray  # (T, 58) float32
    attributes: np.ndarray  # (T, 25) float32, columns attributes.ATTRIBUTE_NAMES
    waveform: Audio | None  # T/25 s, in step with the frames; None where the file has none
    notes: list[str] = field(default_factory=list)  # sentences for the person who gave the file
    quality: np.ndarray | None = None  # (T,) uint8, index into signals.QUALITIES
    hearing: np.ndarray | None = None  # (T, 8) float32, columns hearing.HEARING_NAMES; None: a file of version 0.1.0

    @property
    def face_seen(self) -> np.ndarray | None:
        """(T,) bool: the frames whose coefficients were read from the face; None where that is not known."""
        return None if self.quality is None else _seen(self.quality)


@dataclass(frozen=True)
class Listener:
    """The person whose reactions are wanted: how they look, and, from a video, how they listen."""

    photo: np.ndarray | None  # (H, W, 3) uint8 RGB; None for a features file, as the next two
    landmarks: np.ndarray | None  # (478, 3) float32, pixels of the photo: x right, y down, z away from the camera
    photo_coefficients: np.ndarray | None  # (58,) float32 of the photo as tracked, no neutral removed
    behaviour: np.ndarray | None  # (T, 58) float32 at 25 frames per second, the listening parts; None for a photo
    notes: list[str] = field(default_factory=list)
    habits: BehaviourCard | None = None  # what was measured on the behaviour
    quality: np.ndarray | None = None  # (T,) uint8 of the behaviour, index into signals.QUALITIES
    head_views: tuple[FaceView, ...] = ()  # of a video: more calm frames, which show other sides of the head


def read_speaker(
    source: Source,
    progress: Callable[[float], None] | None = None,
    max_seconds: float = MAX_SECONDS,
    face_number: int | None = None,
    attribute_network: str | os.PathLike | None = None,
) -> Speaker:
    """The features of a speaker, from a video or from a features file in its place.

    A video without an audio track works: its MFCCs and its hearing are those of silence, and a note says so.

    Args:
        source: a video file of 1 s to ``max_seconds``, or a features file (``tables.py``); a path, or opened already
            (``open_input``).
        progress: called with 0 … 1.
        max_seconds: a longer clip is refused; one that is open was measured by its own limit.
        face_number: the face to follow, as ``people.preview`` numbers them; None: the largest that stays.
        attribute_network: an ONNX file (``attribute_network.py``) that reads valence, arousal and expressions in place
            of the rules; None: checkpoints/affect.onnx where it is there.

    Raises:
        InputError: one sentence about what is wrong with the file.
    """
    with as_media(source, max_seconds) as media:
        if media.kind == "table":
            return _speaker_from_table(media)
        return _speaker_from_video(media, progress, face_number, attribute_network)


def _speaker_from_video(
    media: Media,
    progress: Callable[[float], None] | None,
    face_number: int | None,
    attribute_network: str | os.PathLike | None,
) -> Speaker:
    media.check_video()
    attribute_network = attribute_network or default_network_path()
    network = AttributeNetwork(attribute_network) if attribute_network else None
    track = track_video(media, progress, face_number=face_number, network=network)
    attributes = facial_attributes(track.coefficients)
    if network:
        attributes[:, -NETWORK_WIDTH:] = track.attributes
    frames = len(track.coefficients)
    waveform = media.audio()
    hearing = None
    notes = list(track.notes)
    if waveform is None:
        notes.append(f"{media.name} has no sound; the reactions follow the face alone.")
    else:
        waveform = Audio(_cut_or_padded(waveform.samples, frames * RATE // FPS))
        if waveform.is_silent:
            notes.append(f"The sound of {media.name} is silence; the reactions follow the face alone.")
        else:
            hearing = hear(waveform.samples, frames)
            notes += _notes_on_speech(hearing, media.name)
    samples = waveform.samples if waveform is not None else np.zeros(0, dtype=np.float32)
    return Speaker(
        audio=mfcc(samples, RATE, frames),
        coefficients=track.coefficients,
        attributes=attributes,
        waveform=waveform,
        notes=notes,
        quality=track.quality,
        hearing=hear(samples, frames) if hearing is None else hearing,
    )


def _speaker_from_table(media: Media) -> Speaker:
    table = media.table()
    notes, hearing = list(table.notes), table.hearing
    if not table.has_audio:
        notes.append("Without sound, the reactions follow the face alone.")
        hearing = hear(np.zeros(0, dtype=np.float32), len(table.coefficients))
    elif hearing is None:
        notes.append(
            f"{media.name} is of version 0.1.0; weights that listen to speech activity need it made anew "
            "(perfrdiff features VIDEO)."
        )
    else:
        notes += _notes_on_speech(hearing, media.name)
    return Speaker(table.audio, table.coefficients, table.attributes, None, notes, table.quality, hearing)


def _notes_on_speech(hearing: np.ndarray, name: str) -> list[str]:
    """What is to be said about a speaker of whom (T, 8) is heard: that they do not speak, or nothing."""
    speaks = hearing[:, HEARING_NAMES.index("speech")] >= SPEECH_ON
    if speaks.sum() >= LEAST_SPEECH * FPS:
        return []
    return [f"No speech is heard in {name}; the reactions are those of someone who waits."]


def read_listener(
    source: Source,
    progress: Callable[[float], None] | None = None,
    max_seconds: float = MAX_SECONDS,
    face_number: int | None = None,
    include_speech: bool = False,
) -> Listener:
    """A listener from a photo (portrait), a video of 2 s or more (portrait, behaviour) or a features file (behaviour).

    A picture file, animated or not, is a photo. Of a video, the calmest sharp and frontal frame becomes the photo
    (``portrait_order``), and some more calm frames show the head (``views_of_the_head``). Where the person talks, they
    do not listen: those parts are left out of the behaviour.

    Args:
        source: a photo, video or features file, by its content, not its name; a path, or opened already
            (``open_input``).
        progress: called with 0 … 1.
        max_seconds: a longer clip is refused; one that is open was measured by its own limit.
        face_number: the face to take, as ``people.preview`` numbers them; None: the largest (of a video, that stays).
        include_speech: keep the parts in which the person talks.

    Raises:
        InputError: one sentence about what is wrong with the file.
    """
    with as_media(source, max_seconds) as media:
        if media.kind == "table":
            return _listener_from_table(media, include_speech)
        if media.kind == "image":
            return _listener_from_photo(media, progress, face_number)
        return _listener_from_video(media, progress, face_number, include_speech)


def _listener_from_table(media: Media, include_speech: bool) -> Listener:
    table = media.table()
    if len(table.coefficients) < LISTENER_SECONDS * FPS:
        raise InputError(f"{media.name} lasts less than {LISTENER_SECONDS:g} s; a listening style needs at least that.")
    listener = Listener(None, None, None, table.coefficients, list(table.notes), quality=table.quality)
    return _with_behaviour(listener, table.audio if table.has_audio else None, include_speech)


def _listener_from_photo(media: Media, progress: Callable[[float], None] | None, face_number: int | None) -> Listener:
    photo = media.image()
    still = track_image(photo, media.name, face_number=face_number)
    turns = quarter_turns_of(still.coefficients)
    if turns:
        x, y = still.landmarks[:, :2].mean(axis=0)
        for _ in range(turns % 4):
            photo = np.rot90(photo, -1)
            x, y = photo.shape[1] - 1 - y, x
        photo = np.ascontiguousarray(photo)
        still = track_image(photo, media.name, near=np.array([x, y]))
    notes = _check_photo(still, media.name, face_number)
    if turns:
        notes.append(f"The face in {media.name} did not stand upright; the picture was turned.")
    if progress:
        progress(1.0)
    return Listener(photo, still.landmarks, still.coefficients, None, notes)


def _listener_from_video(
    media: Media, progress: Callable[[float], None] | None, face_number: int | None, include_speech: bool
) -> Listener:
    if media.info.seconds < LISTENER_SECONDS - 0.5 / FPS:
        raise InputError(
            f"{media.name} lasts {media.info.seconds:.1f} s; give a listener video of at least {LISTENER_SECONDS:g} s "
            "or a photo."
        )
    track = track_video(media, progress, portrait=True, face_number=face_number)
    photo, landmarks, photo_coefficients = track.best_frame, track.landmarks, track.best_coefficients
    assert landmarks is not None and photo_coefficients is not None, "a track made for a portrait has them"
    notes = list(track.notes) + _check_photo(FaceStill(photo_coefficients, landmarks), media.name)
    waveform = media.audio()
    audio = None
    if waveform is not None and not waveform.is_silent:
        audio = mfcc(waveform.samples, RATE, len(track.coefficients))
    listener = Listener(photo, landmarks, photo_coefficients, track.coefficients, notes, quality=track.quality)
    listener = replace(listener, head_views=track.head_views)
    return _with_behaviour(listener, audio, include_speech)


def _with_behaviour(listener: Listener, audio: np.ndarray | None, include_speech: bool) -> Listener:
    """The listener with only the frames in which they listen, and the behaviour card of these frames."""
    rows, quality = listener.behaviour, listener.quality
    assert rows is not None and quality is not None, "a photo does not behave"
    notes = list(listener.notes)
    if not include_speech:
        listening, note = listening_frames(rows, audio, LISTENER_SECONDS)
        rows, quality = rows[listening], quality[listening]
        notes += [note] if note else []
    habits = measure_behaviour(rows, seen=_seen(quality))
    if habits.confidence < LOW_CONFIDENCE:
        notes.append(
            f"The listening style stands on {habits.seconds:.0f} s (confidence {habits.confidence:.0%}); "
            "a longer video tells more."
        )
    return replace(listener, behaviour=rows, quality=quality, habits=habits, notes=notes)


def _check_photo(still: FaceStill, name: str, face_number: int | None = None) -> list[str]:
    """Notes on a face that is to be animated; refuses what cannot be."""
    height = float(np.ptp(still.landmarks[:, 1]))
    if height < SMALLEST_FACE:
        raise InputError(
            f"The face in {name} is only {height:.0f} px high; use a closer picture (at least {SMALLEST_FACE} px)."
        )
    pitch, yaw, _ = np.abs(still.coefficients[ROTATION] - np.array([np.pi, 0, 0], dtype=np.float32))
    turn = max(float(pitch), float(yaw))
    if turn > LARGEST_TURN:
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
        which = "the largest" if face_number is None else f"number {face_number}"
        notes.append(f"{still.faces} faces were seen in {name}; {which} is used.")
    return notes


def _seen(quality: np.ndarray) -> np.ndarray:
    """(T,) bool: the frames in which the face was read, by their quality (T,)."""
    return quality < QUALITIES.index("bridged")


def _cut_or_padded(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut or padded with silence to a length."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))
