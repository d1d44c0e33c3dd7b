"""The readers of an open file, each in a process of its own."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields

import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.media.apart.parent import Reading
from perfrdiff.features.media.audio_track import RATE, Audio
from perfrdiff.features.media.convert import Region
from perfrdiff.features.media.images import LONGEST_SIDE
from perfrdiff.features.media.local_file import LocalFile
from perfrdiff.features.media.video import Part, VideoInfo

__all__ = ["ReadersApart"]

LARGEST_SIDE = 20_000  # pixels
LONGEST_NAME = 100  # letters


class ReadersApart:
    """As ``ReadersHere``. Whatever a decoding process answers is looked at before it is believed."""

    def __init__(self, file: LocalFile) -> None:
        self._file = file

    def probe(self, max_seconds: float, part: Part) -> VideoInfo:
        messages = list(Reading(self._file, "probe", [max_seconds, [part.start, part.end]]))
        try:
            return _info(messages[0][0]["info"], self._file.name)
        except (IndexError, KeyError, TypeError, ValueError, OverflowError):
            raise _nonsense(self._file.name) from None

    def image(self) -> np.ndarray:
        pictures = list(self._pictures(Reading(self._file, "image", []), LONGEST_SIDE))
        if len(pictures) != 1:
            raise _nonsense(self._file.name)
        return pictures[0]

    def frame_reader(self, info: VideoInfo, fps: float, max_seconds: float, long_side: int) -> "_RegionsApart":
        return _RegionsApart(Reading(self._file, "regions", [fps, max_seconds, long_side], asdict(info)), info.name)

    def frames(self, info: VideoInfo, fps: float, max_seconds: float, long_side: int) -> Iterator[np.ndarray]:
        yield from self._pictures(self._reading("frames", info, fps, max_seconds, long_side), long_side)

    def sample_frames(self, info: VideoInfo, step: float, long_side: int) -> Iterator[np.ndarray]:
        yield from self._pictures(self._reading("sample_frames", info, step, long_side), long_side)

    def strip(self, info: VideoInfo, count: int, long_side: int) -> list[np.ndarray]:
        return list(self._pictures(self._reading("strip", info, count, long_side), long_side))[:count]

    def frames_at(
        self, info: VideoInfo, numbers: Iterable[int], long_side: int, fps: float
    ) -> Iterator[tuple[int, np.ndarray]]:
        wanted = sorted(int(number) for number in set(numbers))
        for about, array in self._reading("frames_at", info, wanted, long_side, fps):
            if about.get("number") not in wanted:
                raise _nonsense(info.name)
            yield about["number"], _picture(array, long_side, info.name)

    def audio(self, info: VideoInfo) -> Audio | None:
        pieces = [array for _, array in self._reading("audio", info)]
        if not pieces:
            return None
        samples = pieces[0]
        expected = round(info.seconds * RATE)
        if samples is None or samples.dtype != np.float32 or samples.shape != (expected,) or not _is_sound(samples):
            raise _nonsense(info.name)
        return Audio(samples)

    def _reading(self, do: str, info: VideoInfo, *arguments: object) -> Reading:
        return Reading(self._file, do, list(arguments), asdict(info))

    def _pictures(self, reading: Reading, long_side: int) -> Iterator[np.ndarray]:
        for _, array in reading:
            yield _picture(array, long_side, self._file.name)


class _RegionsApart:
    """As ``video.FrameReader``, for the prefetcher's thread and one that looks at whole pictures."""

    def __init__(self, reading: Reading, name: str) -> None:
        self.region: Region | None = None
        self.number = -1
        self._reading, self._name = reading, name
        self._lock = threading.Lock()

    def __enter__(self) -> "_RegionsApart":
        return self

    def __exit__(self, *_: object) -> None:
        self._reading.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        while (picture := self._ask({"next": self.region})) is not None:
            self.number += 1
            yield picture

    def whole(self, number: int, long_side: int) -> np.ndarray:
        picture = self._ask({"whole": number, "long_side": long_side})
        if picture is None:
            raise _nonsense(self._name)
        return picture

    def _ask(self, about: dict) -> np.ndarray | None:
        with self._lock:
            answer = self._reading.ask(about)
        if answer is None or answer[0].get("last"):
            return None
        return _picture(answer[1], LARGEST_SIDE, self._name)


def _picture(array: np.ndarray | None, long_side: int, name: str) -> np.ndarray:
    is_picture = array is not None and array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3
    if array is None or not is_picture or min(array.shape) < 1 or max(array.shape) > max(long_side, 2):
        raise _nonsense(name)
    return array


def _is_sound(samples: np.ndarray) -> bool:
    return bool(np.isfinite(samples).all() and np.abs(samples).max(initial=0.0) <= 1)


def _info(given: dict, name: str) -> VideoInfo:
    """What a probe answered. Raises KeyError, TypeError, ValueError or OverflowError for what it cannot have."""
    if set(given) != {one.name for one in fields(VideoInfo)}:
        raise ValueError("other fields")
    width, height = int(given["width"]), int(given["height"])
    numbers = {key: float(given[key]) for key in ("frame_rate", "seconds", "start")}
    times = tuple(float(time) for time in given["key_times"])
    header = None if given["header_seconds"] is None else float(given["header_seconds"])
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE) or numbers["seconds"] <= 0:
        raise ValueError("no picture has that size, or no video that length")
    if not np.isfinite([*numbers.values(), *times, header or 0.0]).all():
        raise ValueError("a number that is not finite")
    texts = {key: str(given[key])[:LONGEST_NAME] for key in ("codec", "pixel_format", "container")}
    return VideoInfo(
        name=name, width=width, height=height, has_audio=bool(given["has_audio"]), key_times=times,
        header_seconds=header, is_part=bool(given["is_part"]), **numbers, **texts,
    )  # fmt: skip


def _nonsense(name: str) -> InputError:
    return InputError(f"{name} made its decoder answer nonsense: it is damaged or unsafe, and was not read.")
