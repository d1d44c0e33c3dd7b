"""The sound track of a video file -> mono at 16 kHz, in step with the frames of ``media.py``.

Sound before the earliest picture is cut, sound that starts later is preceded by silence, and both are cut or padded to
the picture's length.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np

from perfrdiff.features.media.container import audio_stream, decode, open_container, packets
from perfrdiff.features.media.local_file import LocalFile
from perfrdiff.features.media.video import VideoInfo

__all__ = ["RATE", "Sound", "read_sound"]

RATE = 16_000  # samples per second of every Sound
SOUND_GAP = 0.1  # seconds; smaller jumps in the sound's timestamps are rounding, larger ones are kept as silence


@dataclass(frozen=True)
class Sound:
    """Mono sound in step with the frames: sample 0 belongs to the start of frame 0."""

    samples: np.ndarray  # (N,) float32, -1 … 1
    rate: int = RATE  # samples per second

    @property
    def is_silent(self) -> bool:
        """Whether nothing in it is louder than -80 dB of full scale."""
        return bool(np.abs(self.samples).max(initial=0.0) < 1e-4)


def read_sound(file: LocalFile, info: VideoInfo) -> Sound | None:
    """The first sound track as mono at 16 kHz, cut or padded with silence to the picture's length.

    All channels are mixed. Gaps in the track's timestamps stay silent; what cannot be decoded is silent.

    Returns:
        The sound, or None where the file has no sound track that can be decoded.
    """
    samples = np.zeros(round(info.seconds * RATE), dtype=np.float32)
    with open_container(file) as container:
        stream = audio_stream(container)
        if stream is None:
            return None
        pieces = 0
        for start, piece in _sound_pieces(container, stream):
            at = round((start - info.start) * RATE)
            if at >= len(samples):
                break
            piece = piece[max(0, -at) :]
            at = max(0, at)
            piece = piece[: len(samples) - at]
            samples[at : at + len(piece)] = piece
            pieces += 1
    if not pieces:
        return None
    return Sound(np.clip(np.nan_to_num(samples, posinf=1.0, neginf=-1.0), -1.0, 1.0))


def _sound_pieces(container: av.container.InputContainer, stream) -> Iterator[tuple[float, np.ndarray]]:
    """Runs of unbroken sound: (timestamp of the first sample in seconds, (n,) float32 at RATE)."""
    resampler, start, fed, made = None, 0.0, 0.0, 0  # of the current run: its start, seconds put in, samples got out
    for packet in packets(container, stream):
        if packet.is_discard:
            continue
        for frame in decode(packet):
            time = frame.time if frame.time is not None else start + fed
            if resampler is None or abs(time - (start + fed)) > SOUND_GAP:
                if resampler is not None:
                    yield from ((start + made / RATE, piece) for piece in _resample(resampler, None))
                resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
                start, fed, made = time, 0.0, 0
            fed += frame.samples / frame.sample_rate
            for piece in _resample(resampler, frame):
                yield start + made / RATE, piece
                made += len(piece)
    if resampler is not None:
        yield from ((start + made / RATE, piece) for piece in _resample(resampler, None))


def _resample(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[np.ndarray]:
    try:
        return [piece.to_ndarray().reshape(-1) for piece in resampler.resample(frame)]
    except (av.FFmpegError, ValueError):
        return []
