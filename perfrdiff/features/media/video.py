"""The pictures of any common video file -> upright RGB frames at 25 per second, streamed.

Time: second 0 is the earliest picture of the file. Output frame k shows what a player shows at k/25 s: the newest
picture that has begun, or one that begins within half an output frame if that is nearer. So 30, 29.97 and 120 fps lose
pictures, 1 fps repeats them, and variable rates keep their timing.

Sizes are checked before decoding. ``input.open_input`` is the way in: it opens the file and probes it, once.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np

from perfrdiff.coefficients import FPS
from perfrdiff.errors import InputError
from perfrdiff.features import MAX_SECONDS
from perfrdiff.features.media.container import (
    MOST_PIXELS,
    audio_stream,
    decode,
    open_container,
    packets,
    picture_stream,
)
from perfrdiff.features.media.convert import Converter, Region, display_size
from perfrdiff.features.media.local_file import LocalFile
from perfrdiff.features.media.pixels import most_pixels

__all__ = ["SHORTEST_SECONDS", "FrameReader", "Part", "VideoInfo", "frames_at", "probe", "sample_frames", "strip"]

SHORTEST_SECONDS = 1.0
SMALLEST_SIDE = 48  # pixels; a face in less cannot be tracked
HIGHEST_FRAME_RATE = 480
DECODED_STRIP = 20.0  # seconds of a video that is decoded to its end for a strip of pictures
KEPT = 5  # pictures yielded last that a reader can still show whole; one more than are read ahead
LONGEST_HOLD = 0.5  # seconds a last picture is shown when its own duration is unknown


@dataclass(frozen=True)
class Part:
    """Which seconds of a file are used, counted from its earliest picture; the rest is as if it were not there."""

    start: float = 0.0
    end: float | None = None  # None: to the file's end

    def __post_init__(self) -> None:
        if self.end is not None and not self.start < self.end:
            raise InputError(f"The part from {self.start:g} s to {self.end:g} s is empty; end has to lie after start.")

    def __str__(self) -> str:
        return f"{self.start:g} s to {'the end' if self.end is None else f'{self.end:g} s'}"


WHOLE = Part()


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds, measured by reading it through (not what its header claims).

    Of a part, what the part holds: second 0 is its start.
    """

    name: str  # as it may stand in a sentence
    width: int  # display pixels: upright and square
    height: int
    frame_rate: float  # pictures per second on average
    seconds: float  # length of the picture
    start: float  # timestamp of output time 0, seconds: of the earliest picture, or of the part's start
    has_audio: bool
    key_times: tuple[float, ...]  # timestamps of the pictures that can be jumped to, seconds
    header_seconds: float | None  # the header's length where it is longer than the pictures, else None
    is_part: bool = False  # whether pictures after ``seconds`` are to be left out
    codec: str = ""  # ffmpeg's names
    pixel_format: str = ""
    container: str = ""


def probe(file: LocalFile, max_seconds: float = MAX_SECONDS, part: Part = WHOLE) -> VideoInfo:
    """Read a video file through without decoding more than one picture, and refuse what cannot be used.

    Raises:
        InputError: no readable video, no picture track, more than 36 megapixels or less than 48 px a side; the file,
            or the part of it, is shorter than 1 s or longer than ``max_seconds``.
    """
    name = file.name
    with open_container(file) as container:
        stream = picture_stream(container, name)
        _check_size(name, stream.codec_context.width, stream.codec_context.height)
        key_times: list[float] = []
        first, count, length, start = None, 0, 0.0, float("inf")
        latest: list[float] = []  # the last three timestamps; packets come in decoding order, not in time order
        for packet in packets(container, stream):
            if packet.size == 0 or packet.is_discard:
                continue
            if first is None:
                first = next(iter(decode(packet)), None)
            if packet.is_keyframe and packet.pts is not None:
                key_times.append(float(packet.pts * packet.time_base))
            count += 1
            if packet.pts is None:
                continue
            stamp = float(packet.pts * packet.time_base)
            start = min(start, stamp)
            if not latest or stamp > latest[-1]:
                length = float((packet.duration or 0) * packet.time_base)
            latest = sorted({*latest, stamp})[-3:]
            if part.end is not None and len(latest) == 3 and latest[0] - start > part.end:
                break  # all that follows is left out
            if part.end is None and latest[-1] - start > part.start + max_seconds:
                raise InputError(_too_long(name, max_seconds, part, stream))
            if count > HIGHEST_FRAME_RATE * (latest[-1] - start + 1):
                raise InputError(f"{name} has more than {HIGHEST_FRAME_RATE} pictures per second and was not read.")
        if first is None:
            first = next((frame for frame in decode(None, stream)), None)
        if first is None or not latest:
            raise InputError(f"{name} holds no picture that can be decoded.")
        total = latest[-1] - start + _last_length(length, np.diff(latest))
        seconds = min(total, total if part.end is None else part.end) - part.start
        if part != WHOLE and seconds < SHORTEST_SECONDS - 1e-6:
            raise InputError(
                f"The part from {part} of {name}, which lasts {total:.1f} s, is too short; at least "
                f"{SHORTEST_SECONDS:g} s are needed."
            )
        if seconds < SHORTEST_SECONDS - 1e-6:
            raise InputError(f"{name} lasts {seconds:.1f} s; at least {SHORTEST_SECONDS:g} s are needed.")
        if seconds > max_seconds + 1e-6:
            raise InputError(_too_long(name, max_seconds, part, stream))
        width, height = display_size(first, stream.sample_aspect_ratio)
        _check_size(name, width, height)
        promised = float(stream.duration * stream.time_base) if stream.duration else 0.0
        return VideoInfo(
            name=name,
            width=width,
            height=height,
            frame_rate=count / total,
            seconds=seconds,
            start=start + part.start,
            has_audio=audio_stream(container) is not None,
            key_times=tuple(key_times),
            header_seconds=promised if part.end is None and promised > 1.1 * total + 0.1 else None,
            is_part=part.end is not None and part.end < total,
            codec=stream.codec_context.name,
            pixel_format=stream.codec_context.pix_fmt or "",
            container=container.format.name,
        )


class FrameReader:
    """Iterate for the pictures of a video at a steady rate; ``region`` may be changed between two of them.

    Attributes:
        region: (x, y, width, height) in display pixels (``VideoInfo``), what is converted to RGB, or None for the full
            picture. Converting a region costs its own size, not the picture's.
        current_frame: the newest picture that has begun, as decoded; None before the first.
        number: of the picture yielded last, from 0, for ``whole``.
    """

    def __init__(
        self,
        file: LocalFile,
        info: VideoInfo,
        fps: float = FPS,
        max_seconds: float = MAX_SECONDS,
        long_side: int = 1280,
    ):
        """fps: pictures per second; long_side: larger pictures are shrunk to it. Reading raises as ``Media.frames``."""
        self.region: Region | None = None
        self._file, self._info, self._fps, self._max_seconds, self._long_side = file, info, fps, max_seconds, long_side
        self._converter = Converter(info.width, info.height)
        self._whole_converter = Converter(info.width, info.height)  # another thread may use it
        self._latest: dict[int, av.VideoFrame] = {}
        self.current_frame: av.VideoFrame | None = None
        self.number = -1

    def full_picture(self, long_side: int) -> np.ndarray:
        """All of the picture that was yielded last, (H, W, 3) uint8 RGB."""
        return self._converter.rgb(self.current_frame, None, long_side)

    def whole(self, number: int, long_side: int) -> np.ndarray:
        """All of the picture that was yielded with this ``number``, one of the latest ``KEPT``; in any one thread."""
        return self._whole_converter.rgb(self._latest[number], None, long_side)

    def __enter__(self) -> "FrameReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._latest.clear()

    def _picture(self) -> np.ndarray:
        self.number += 1
        self._latest[self.number] = self.current_frame
        self._latest.pop(self.number - KEPT, None)
        return self._converter.rgb(self.current_frame, self.region, self._long_side)

    def __iter__(self) -> Iterator[np.ndarray]:
        info, fps, half = self._info, self._fps, 0.5 / self._fps
        most_ticks = int((info.seconds + 1e-6) * fps + 0.5) if info.is_part else None
        ticks, current_time, gaps = 0, 0.0, (0.0, 0.0)
        with open_container(self._file) as container:
            for frame in _pictures(container, info):
                time = (frame.time if frame.time is not None else current_time + info.start + 1 / fps) - info.start
                if self.current_frame is not None and time <= current_time:
                    continue  # timestamps that run backwards
                while self.current_frame is not None and ticks / fps < time - 1e-6:
                    now = ticks / fps
                    if time - now < min(half, now - current_time):
                        break  # the coming picture is nearer than the current one
                    if ticks == most_ticks:
                        return
                    yield self._picture()
                    ticks += 1
                    if ticks / fps > self._max_seconds:
                        raise InputError(_too_long(info.name, self._max_seconds))
                gaps = (gaps[1], time - current_time) if self.current_frame is not None else gaps
                self.current_frame, current_time = frame, time
            if self.current_frame is None:
                raise InputError(f"{info.name} holds no picture that can be decoded.")
            duration, unit = self.current_frame.duration, self.current_frame.time_base
            length = float(duration * unit) if duration and unit else 0.0
            end = min(current_time + _last_length(length, gaps), self._max_seconds)
            while ticks / fps + half <= end + 1e-6 and ticks != most_ticks:
                yield self._picture()
                ticks += 1
        if ticks < SHORTEST_SECONDS * fps:
            raise InputError(
                f"Only {ticks / fps:.1f} s of {info.name} could be decoded; at least {SHORTEST_SECONDS:g} s are needed."
            )


def sample_frames(file: LocalFile, info: VideoInfo, step: float, long_side: int) -> Iterator[np.ndarray]:
    """Full pictures for a survey, (H, W, 3) uint8 RGB: key frames spread over the video, then one every ``step`` s.

    Key frames are jumped to and cost little; the rest is decoded only as far as the caller iterates.
    """
    converter = Converter(info.width, info.height)
    with open_container(file) as container:
        stream = picture_stream(container, info.name)
        key_times = [time for time in info.key_times if 0 <= time - info.start + 1e-6 <= info.seconds]
        spread = np.linspace(0, len(key_times) - 1, min(len(key_times), 12))
        for time in np.array(key_times)[spread.round().astype(int)]:
            try:
                container.seek(int(time / stream.time_base) + 1, stream=stream)
            except (av.FFmpegError, OSError, ValueError):
                continue
            frame = next((frame for packet in packets(container, stream) for frame in decode(packet)), None)
            if frame is not None:
                yield converter.rgb(frame, None, long_side)
    with open_container(file) as container:
        coming = step
        for frame in _pictures(container, info):
            if info.is_part and frame.time is not None and frame.time - info.start > info.seconds:
                break
            if frame.time is not None and frame.time - info.start >= coming:
                yield converter.rgb(frame, None, long_side)
                coming = frame.time - info.start + step


def strip(file: LocalFile, info: VideoInfo, count: int, long_side: int) -> list[np.ndarray]:
    """`count` pictures spread over the video, (H, W, 3) uint8 RGB; fewer where some cannot be decoded.

    Of a video longer than `DECODED_STRIP` seconds, the key pictures before the places: they are jumped to.
    """
    if info.seconds <= DECODED_STRIP:
        reader = FrameReader(file, info, count / info.seconds, info.seconds + 1, long_side)
        return list(itertools.islice(reader, count))
    converter, pictures = Converter(info.width, info.height), []
    with open_container(file) as container:
        stream = picture_stream(container, info.name)
        for place in range(count):
            time = info.start + (place + 0.5) / count * info.seconds
            try:
                container.seek(int(time / stream.time_base), stream=stream)
            except (av.FFmpegError, OSError, ValueError):
                continue
            frame = next((frame for packet in packets(container, stream) for frame in decode(packet)), None)
            if frame is not None:
                pictures.append(converter.rgb(frame, None, long_side))
    return pictures


def frames_at(
    file: LocalFile, info: VideoInfo, ticks: Iterable[int], long_side: int, fps: float = FPS
) -> Iterator[tuple[int, np.ndarray]]:
    """(tick, full picture) of those that ``Media.frames`` yields as numbers ``ticks``, in time order, in one pass."""
    wanted = set(ticks)
    reader = FrameReader(file, info, fps, info.seconds + 1)
    reader.region = (0, 0, 2, 2)  # nothing of the pictures between is converted
    for tick, _ in enumerate(itertools.islice(reader, max(wanted, default=-1) + 1)):
        if tick in wanted:
            yield tick, reader.full_picture(long_side)


def _too_long(name: str, max_seconds: float, part: Part = WHOLE, stream: av.VideoStream | None = None) -> str:
    """The sentence for what is longer than `max_seconds`; the stream's header says how long, where it is credible."""
    header = float(stream.duration * stream.time_base) if stream is not None and stream.duration else 0.0
    length = f"lasts {header:.0f} s" if max_seconds < header < 86_400 else f"is longer than {max_seconds:g} s"
    if part != WHOLE:
        return f"The part from {part} of {name} is longer than {max_seconds:g} s; choose a shorter one."
    return f"{name} {length}; at most {max_seconds:g} s are taken: choose a part by its start and end."


def _check_size(name: str, width: int, height: int) -> None:
    most = most_pixels(MOST_PIXELS)
    if width * height > most:
        raise InputError(f"{name} has {width} x {height} pixels; at most {most / 10**6:g} megapixels can be read.")
    if 0 < min(width, height) < SMALLEST_SIDE or not width or not height:
        raise InputError(f"{name} has {width} x {height} pixels; at least {SMALLEST_SIDE} px a side are needed.")


def _pictures(container: av.container.InputContainer, info: VideoInfo) -> Iterator[av.VideoFrame]:
    """The decoded pictures from the last one before ``info.start`` that can be jumped to."""
    stream = picture_stream(container, info.name)
    earlier = [time for time in info.key_times if time <= info.start]
    if len(earlier) > 1:
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):  # then all is decoded from the beginning
            container.seek(int(earlier[-1] / stream.time_base), stream=stream)
    for packet in packets(container, stream):
        if not packet.is_discard:
            yield from decode(packet)


def _last_length(length: float, gaps: Sequence[float]) -> float:
    """Seconds the last picture is shown: its own duration, or the pace of the two before it where that is slower.

    Files of variable rate often give the last picture a token duration; a single long gap is a lost picture instead.
    """
    return max(length, min(*gaps, LONGEST_HOLD)) if len(gaps) == 2 else length
