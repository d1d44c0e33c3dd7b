"""The audio track of a video file -> mono at 16 kHz, in step with the frames of ``video.py``.

Audio before the earliest picture is cut, audio that starts later is preceded by silence, and both are cut or padded to
the picture's length.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np

from perfrdiff.features.media.container import audio_stream, decode, open_container, packets
from perfrdiff.features.media.local_file import LocalFile
from perfrdiff.features.media.video import VideoInfo

__all__ = ["RATE", "Audio", "read_audio"]

RATE = 16_000  # samples per second of every Audio
LARGEST_ROUNDING = 0.1  # seconds; smaller jumps in the timestamps are rounding, larger ones stay as silence


@dataclass(frozen=True)
class Audio:
    """A mono signal in step with the frames: sample 0 belongs to the start of frame 0."""

    samples: np.ndarray  # (N,) float32, -1 … 1
    rate: int = RATE  # samples per second

    @property
    def is_silent(self) -> bool:
        """Whether nothing in it is louder than -80 dB of full scale."""
        return bool(np.abs(self.samples).max(initial=0.0) < 1e-4)


def read_audio(file: LocalFile, info: VideoInfo) -> Audio | None:
    """The first audio track as mono at 16 kHz, cut or padded with silence to the picture's length.

    All channels are mixed. Gaps in the track's timestamps stay silent; what cannot be decoded is silent.

    Returns:
        The signal, or None where the file has no audio track that can be decoded.
    """
    samples = np.zeros(round(info.seconds * RATE), dtype=np.float32)
    with open_container(file) as container:
        stream = audio_stream(container)
        if stream is None:
            return None
        decoded_pieces = 0
        for start, piece in _unbroken_runs(container, stream):
            at = round((start - info.start) * RATE)
            if at >= len(samples):
                break
            piece = piece[max(0, -at) :]
            at = max(0, at)
            piece = piece[: len(samples) - at]
            samples[at : at + len(piece)] = piece
            decoded_pieces += 1
    if not decoded_pieces:
        return None
    return Audio(np.clip(np.nan_to_num(samples, posinf=1.0, neginf=-1.0), -1.0, 1.0))


def _unbroken_runs(container: av.container.InputContainer, stream) -> Iterator[tuple[float, np.ndarray]]:
    """Runs of unbroken audio: (timestamp of the first sample in seconds, (n,) float32 at RATE)."""
    resampler, start, seconds_in, samples_out = None, 0.0, 0.0, 0  # of the current run
    for packet in packets(container, stream):
        if packet.is_discard:
            continue
        for frame in decode(packet):
            time = frame.time if frame.time is not None else start + seconds_in
            if resampler is None or abs(time - (start + seconds_in)) > LARGEST_ROUNDING:
                if resampler is not None:
                    yield from ((start + samples_out / RATE, piece) for piece in _resample(resampler, None))
                resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
                start, seconds_in, samples_out = time, 0.0, 0
            seconds_in += frame.samples / frame.sample_rate
            for piece in _resample(resampler, frame):
                yield start + samples_out / RATE, piece
                samples_out += len(piece)
    if resampler is not None:
        yield from ((start + samples_out / RATE, piece) for piece in _resample(resampler, None))


def _resample(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[np.ndarray]:
    try:
        return [piece.to_ndarray().reshape(-1) for piece in resampler.resample(frame)]
    except (av.FFmpegError, ValueError):
        return []
