"""What can be read of one open file; here, or in a process of its own (``apart``)."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from perfrdiff.features.media.audio_track import Audio, read_audio
from perfrdiff.features.media.convert import Region
from perfrdiff.features.media.images import read_image
from perfrdiff.features.media.local_file import LocalFile
from perfrdiff.features.media.video import FrameReader, Part, VideoInfo, frames_at, probe, sample_frames, strip

__all__ = ["Readers", "ReadersHere", "RegionReader"]


class RegionReader(Protocol):
    """The pictures of a video, of which a region is chosen while they are read; see ``video.FrameReader``."""

    region: Region | None
    number: int

    def __enter__(self) -> "RegionReader": ...

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...

    def whole(self, number: int, long_side: int) -> np.ndarray:
        """All of the picture of that ``number``, one of the latest ``video.KEPT``, (H, W, 3) uint8 RGB."""
        ...


class Readers(Protocol):
    """See ``input.Media``, which hands these on, for what each returns and raises."""

    def probe(self, max_seconds: float, part: Part) -> VideoInfo: ...

    def image(self) -> np.ndarray: ...

    def frame_reader(self, info: VideoInfo, fps: float, max_seconds: float, long_side: int) -> RegionReader: ...

    def frames(self, info: VideoInfo, fps: float, max_seconds: float, long_side: int) -> Iterator[np.ndarray]: ...

    def sample_frames(self, info: VideoInfo, step: float, long_side: int) -> Iterator[np.ndarray]: ...

    def strip(self, info: VideoInfo, count: int, long_side: int) -> list[np.ndarray]: ...

    def frames_at(
        self, info: VideoInfo, numbers: Iterable[int], long_side: int, fps: float
    ) -> Iterator[tuple[int, np.ndarray]]: ...

    def audio(self, info: VideoInfo) -> Audio | None: ...


class ReadersHere:
    """Readers in this process."""

    def __init__(self, file: LocalFile) -> None:
        self._file = file

    def probe(self, max_seconds: float, part: Part) -> VideoInfo:
        return probe(self._file, max_seconds, part)

    def image(self) -> np.ndarray:
        return read_image(self._file)

    def frame_reader(self, info: VideoInfo, fps: float, max_seconds: float, long_side: int) -> FrameReader:
        return FrameReader(self._file, info, fps, max_seconds, long_side)

    def frames(self, info: VideoInfo, fps: float, max_seconds: float, long_side: int) -> Iterator[np.ndarray]:
        return iter(FrameReader(self._file, info, fps, max_seconds, long_side))

    def sample_frames(self, info: VideoInfo, step: float, long_side: int) -> Iterator[np.ndarray]:
        return sample_frames(self._file, info, step, long_side)

    def strip(self, info: VideoInfo, count: int, long_side: int) -> list[np.ndarray]:
        return strip(self._file, info, count, long_side)

    def frames_at(
        self, info: VideoInfo, numbers: Iterable[int], long_side: int, fps: float
    ) -> Iterator[tuple[int, np.ndarray]]:
        return frames_at(self._file, info, numbers, long_side, fps)

    def audio(self, info: VideoInfo) -> Audio | None:
        return read_audio(self._file, info)
