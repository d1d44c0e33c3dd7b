"""What `Reactor.react` is given of a speaker, checked, and as the networks of the weights see it."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from perfrdiff.checkpoints import Checkpoint
from perfrdiff.coefficients import WIDTH, neutral
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import ATTRIBUTE_COUNT, facial_attributes
from perfrdiff.features.audio import LOWEST_RATE, MFCC_WIDTH, mfcc
from perfrdiff.features.hearing import HEARING_WIDTH
from perfrdiff.features.speaker_face import relative_face
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.published.inference import SpeakerClips

SILENT_RANGE = 1e-3  # of the MFCCs of a clip without sound


class SpeakerStreams(Protocol):
    """What is known of a speaker at 25 frames per second; None where nothing is."""

    @property
    def audio(self) -> np.ndarray | None: ...  # (frames, 78) MFCCs

    @property
    def coefficients(self) -> np.ndarray | None: ...  # (frames, 58)

    @property
    def attributes(self) -> np.ndarray | None: ...  # (frames, 25)

    @property
    def hearing(self) -> np.ndarray | None: ...  # (frames, 8)

    @property
    def face_seen(self) -> np.ndarray | None: ...  # (frames,) bool


def checked_rows(rows: np.ndarray, width: int, what: str) -> np.ndarray:
    """The rows (frames, width) as float32. Raises InputError for another shape and numbers that are not finite."""
    rows = np.asarray(rows, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise InputError(f"The {what} has shape {rows.shape}; expected (frames, {width}).")
    if not np.isfinite(rows).all():
        bad = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise InputError(f"The {what} holds a number that is not finite, first in frame {bad}.")
    return rows


@dataclass(frozen=True)
class GivenSpeaker:
    """A speaker at 25 frames per second; None where nothing is known."""

    frames: int
    audio: np.ndarray | None  # (frames, 78) MFCCs
    coefficients: np.ndarray | None  # (frames, 58)
    attributes: np.ndarray | None  # (frames, 25)
    hearing: np.ndarray | None  # (frames, 8)
    face_seen: np.ndarray | None  # (frames,) bool; None: wherever there are coefficients

    @classmethod
    def checked(
        cls,
        audio: np.ndarray | None,
        coefficients: np.ndarray | None,
        attributes: np.ndarray | None = None,
        hearing: np.ndarray | None = None,
        face_seen: np.ndarray | None = None,
    ) -> Self:
        """Raises InputError for shapes, lengths and numbers that do not fit, and where nothing is given."""
        streams = {"audio": audio, "coefficients": coefficients, "attributes": attributes, "hearing": hearing}
        widths = {"audio": MFCC_WIDTH, "coefficients": WIDTH, "attributes": ATTRIBUTE_COUNT, "hearing": HEARING_WIDTH}
        rows = {
            name: checked_rows(stream, widths[name], f"speaker {name}")
            for name, stream in streams.items()
            if stream is not None
        }
        lengths = {name: len(stream) for name, stream in rows.items()}
        if not lengths:
            raise InputError("There is neither a voice nor a face of the speaker; at least one is needed.")
        if face_seen is not None:
            lengths["seen faces"] = len(face_seen)
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{count} frames of {name}" for name, count in lengths.items())
            raise InputError(f"What is given of the speaker is not equally long: {listed}.")
        frames = next(iter(lengths.values()))
        seen = None if face_seen is None else np.asarray(face_seen, bool)
        return cls(frames, **{name: rows.get(name) for name in streams}, face_seen=seen)

    def for_networks(self, checkpoint: Checkpoint, device: torch.device) -> SpeakerClips:
        """One clip, in network units; attributes only for weights of the paper.

        Raises InputError for weights that listen to what these features do not hold.
        """
        if isinstance(checkpoint.normalizer, ListeningCodec):
            return self._as_heard(checkpoint.normalizer, checkpoint.name, device)
        return self._as_mfccs(checkpoint, device)

    def _as_heard(self, codec: ListeningCodec, weights: str, device: torch.device) -> SpeakerClips:
        """Tokens of what is heard and of how the face moves; zeros where there is nothing to hear or to see."""
        if self.hearing is None and self.audio is not None and np.ptp(self.audio, axis=0).max() > SILENT_RANGE:
            raise InputError(
                f"The speaker's features hold sound, but not what '{weights}' listens to; make them anew: "
                "perfrdiff features VIDEO --out FILE."
            )
        seen = np.full(self.frames, self.coefficients is not None)
        if self.face_seen is not None:
            seen &= self.face_seen
        face = np.zeros((self.frames, WIDTH), np.float32) if self.coefficients is None else self.coefficients
        heard = np.zeros((self.frames, HEARING_WIDTH), np.float32) if self.hearing is None else self.hearing
        audio = codec.audio(_tensor(heard, device))
        face_tokens = codec.speaker(_tensor(relative_face(face, seen), device))
        return SpeakerClips(audio[None] if self.hearing is not None else 0 * audio[None], face_tokens[None], None)

    def _as_mfccs(self, checkpoint: Checkpoint, device: torch.device) -> SpeakerClips:
        """Normalised MFCCs and coefficients; a face that is not there rests, a voice that is not there is silent."""
        face = np.tile(neutral(), (self.frames, 1)) if self.coefficients is None else self.coefficients
        audio = mfcc(np.zeros(0, np.float32), LOWEST_RATE, self.frames) if self.audio is None else self.audio
        attributes = self.attributes
        if attributes is None and checkpoint.published:
            attributes = facial_attributes(face)
        normalizer = checkpoint.normalizer
        return SpeakerClips(
            normalizer.audio(_tensor(audio, device))[None],
            normalizer.speaker(_tensor(face, device))[None],
            None if attributes is None else _tensor(attributes, device)[None],
        )


def _tensor(rows: np.ndarray, device: torch.device) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32, device=device)
