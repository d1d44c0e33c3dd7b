"""Real voices: a folder of speech, held in memory, from which the talks of simulated speakers are built."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av
import numpy as np

from perfrdiff.data.simulator.speech import RATE
from perfrdiff.errors import InputError
from perfrdiff.features import speech_activity
from perfrdiff.features.media.local_file import open_local

__all__ = ["Recording", "Voices", "read_voices"]

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a")
FORMATS = "wav,flac,ogg,mp3,mov"  # ffmpeg demuxers; nothing that names another file
SHORTEST = 2.0  # seconds of a file that is used
LONGEST = 300.0  # seconds that are kept of a file: one reader is not to outweigh all others
LEAST_LEVEL = 10 ** (-60 / 20)  # of the loudest 20 ms, full scale; below, a file is silent


@dataclass(frozen=True)
class Recording:
    """The speech of one person, mono at 16 kHz."""

    name: str  # within the folder
    speaker: str  # files that begin alike up to the first "-", in one folder, are of one person
    pcm: np.ndarray  # (N,) int16
    phrases: tuple[tuple[float, float], ...]  # (start, end) in seconds, as the hearing code hears them

    @property
    def seconds(self) -> float:
        return len(self.pcm) / RATE

    def sound(self, start: float, end: float) -> np.ndarray:
        """The sound between two times in seconds, (n,) float32 in -1 … 1."""
        return self.pcm[max(0, round(start * RATE)) : round(end * RATE)].astype(np.float32) / 32768


@dataclass(frozen=True)
class Voices:
    """Recordings of several speakers."""

    recordings: tuple[Recording, ...]

    @cached_property
    def speakers(self) -> tuple[tuple[Recording, ...], ...]:
        """The recordings of each speaker."""
        by_speaker: dict[str, list[Recording]] = {}
        for recording in self.recordings:
            by_speaker.setdefault(recording.speaker, []).append(recording)
        return tuple(map(tuple, by_speaker.values()))

    def draw_speaker(self, rng: np.random.Generator) -> tuple[Recording, ...]:
        """The recordings of a speaker drawn at random."""
        return self.speakers[rng.integers(len(self.speakers))]


def read_voices(folder: Path) -> Voices:
    """All speech in a folder and the folders in it.

    Files that cannot be read, are silent, hold no speech or less than 2 s are named on stdout and left out; of a long
    one the first 5 minutes are kept. A file that begins with a number or name and "-" belongs to the speaker of that
    name (LibriSpeech: reader-chapter-utterance); any other is a speaker of its own.

    Raises:
        InputError: no such folder, or nothing in it that can be used.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give one with recordings of speech ({', '.join(SUFFIXES)}).")
    recordings = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        name = path.relative_to(folder).as_posix()
        try:
            recordings.append(_read(path, name))
        except InputError as error:
            print(f"{name} is left out: {error}")
    if not recordings:
        raise InputError(
            f"No file in {folder} can be used as a voice; speech of {SHORTEST:g} s or more is needed "
            f"({', '.join(SUFFIXES)})."
        )
    return Voices(tuple(recordings))


def _read(path: Path, name: str) -> Recording:
    """One file. Raises InputError: what it lacks."""
    samples = _decode(path)
    if len(samples) < SHORTEST * RATE:
        raise InputError(f"it lasts {len(samples) / RATE:.1f} s, and {SHORTEST:g} s are needed.")
    blocks = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    if np.sqrt(np.square(blocks).mean(axis=1)).max() < LEAST_LEVEL:
        raise InputError("it is silent.")
    phrases = tuple((phrase.start, phrase.end) for phrase in speech_activity.phrases(samples))
    if not phrases:
        raise InputError("no speech is heard in it.")
    folder, _, file = name.rpartition("/")
    first, dash, _ = file.partition("-")
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    return Recording(name, f"{folder}/{first}" if dash else name, pcm, phrases)


def _decode(path: Path) -> np.ndarray:
    """(N,) float32, mono at 16 kHz; what is damaged in the middle ends it. Raises InputError: not a sound file."""
    pieces: list[np.ndarray] = []
    guards = {"format_whitelist": FORMATS, "protocol_whitelist": ""}
    with open_local(path) as file:
        try:
            opened = av.open(file.reader(), mode="r", container_options=guards, metadata_errors="replace")
            with opened as container:
                resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
                length = 0
                for frame in container.decode(audio=0):
                    pieces += [piece.to_ndarray().reshape(-1) for piece in resampler.resample(frame)]
                    length += len(pieces[-1]) if pieces else 0
                    if length > LONGEST * RATE:
                        break
                pieces += [piece.to_ndarray().reshape(-1) for piece in resampler.resample(None)]
        except (av.FFmpegError, ValueError, IndexError, OSError):
            if not pieces:
                raise InputError("it is no sound that can be read.") from None
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return np.nan_to_num(samples[: round(LONGEST * RATE)], posinf=1.0, neginf=-1.0).astype(np.float32)
