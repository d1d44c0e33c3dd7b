"""Any common video file -> upright RGB frames at 25 per second and mono sound at 16 kHz, in step and streamed.

Time: second 0 is the earliest picture of the file; sound before it is cut, sound that starts later is preceded by
silence, and both are cut or padded to the picture's length. Output frame k shows what a player shows at k/25 s: the
newest picture that has begun, or one that begins within half an output frame if that is nearer. So 30, 29.97 and
120 fps lose pictures, 1 fps repeats them, and variable rates keep their timing.

Safety: ffmpeg gets an open file instead of a name, and only the self-contained formats of ``CONTAINERS``; a playlist
or script renamed to .mp4 is refused before anything it names is opened. Sizes are checked before decoding.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.coefficients import FPS
from perfrdiff.features.convert import Converter, Region, shown_size
from perfrdiff.features.images import is_image, read_image
from perfrdiff.features.local_file import open_local, shown_name

__all__ = [
    "CONTAINERS", "LONGEST_SECONDS", "RATE", "SHORTEST_SECONDS", "FrameReader", "Sound", "VideoInfo",
    "frame_at", "frames", "is_image", "probe", "read_audio", "read_image", "sample_frames",
]  # fmt: skip

CONTAINERS = ("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg")  # ffmpeg demuxers
SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 120.0  # the default of every ``max_seconds``
SMALLEST_SIDE = 48  # pixels; a face in less cannot be tracked
MOST_PIXELS = 36_000_000  # 8K; larger pictures are refused before one is decoded
HIGHEST_FRAME_RATE = 480
RATE = 16_000  # samples per second of every Sound
LONGEST_HOLD = 0.5  # seconds a last picture is shown when its own duration is unknown
SOUND_GAP = 0.1  # seconds; smaller jumps in the sound's timestamps are rounding, larger ones are kept as silence


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds, measured by reading it through (not what its header claims)."""

    name: str  # as it may be shown
    width: int  # pixels as shown: upright, square pixels
    height: int
    frame_rate: float  # pictures per second on average
    seconds: float  # length of the picture
    start: float  # timestamp of the earliest picture, seconds; output time 0
    has_audio: bool
    key_times: tuple[float, ...]  # timestamps of the pictures that can be jumped to, seconds
    promised_seconds: float | None  # the header's length where it is longer than what is there, else None


@dataclass(frozen=True)
class Sound:
    """Mono sound in step with the frames: sample 0 belongs to the start of frame 0."""

    samples: np.ndarray  # (N,) float32, -1 … 1
    rate: int = RATE  # samples per second

    @property
    def is_silent(self) -> bool:
        """Whether nothing in it is louder than -80 dB of full scale."""
        return bool(np.abs(self.samples).max(initial=0.0) < 1e-4)


def probe(path: str | os.PathLike, max_seconds: float = LONGEST_SECONDS) -> VideoInfo:
    """Read a video file through without decoding more than one picture, and refuse what cannot be used.

    Raises:
        InputError: no readable video, no picture track, shorter than 1 s, longer than ``max_seconds``, more than
            36 megapixels or less than 48 px a side.
    """
    name = shown_name(path)
    if is_image(path):
        raise InputError(f"{name} is a picture; a video is needed here.")
    with open_local(path) as file, _open(file, name) as container:
        stream = _picture_stream(container, name)
        _check_size(name, stream.codec_context.width, stream.codec_context.height)
        stream.thread_type = "SLICE"  # frame threads would hold the first picture back
        key_times: list[float] = []
        first, count, length, start = None, 0, 0.0, float("inf")
        latest: list[float] = []  # the last three timestamps; packets come in decoding order, not in time order
        for packet in _packets(container, stream):
            if packet.size == 0 or packet.is_discard:
                continue
            if first is None:
                first = next(iter(_decode(packet)), None)
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
            if latest[-1] - start > max_seconds:
                raise InputError(_too_long(name, max_seconds))
            if count > HIGHEST_FRAME_RATE * (latest[-1] - start + 1):
                raise InputError(f"{name} has more than {HIGHEST_FRAME_RATE} pictures per second and was not read.")
        if first is None:
            first = next((frame for frame in _decode(None, stream)), None)
        if first is None or not latest:
            raise InputError(f"{name} holds no picture that can be decoded.")
        seconds = latest[-1] - start + _last_length(length, np.diff(latest))
        if seconds < SHORTEST_SECONDS - 1e-6:
            raise InputError(f"{name} lasts {seconds:.1f} s; at least {SHORTEST_SECONDS:g} s are needed.")
        if seconds > max_seconds + 1e-6:
            raise InputError(_too_long(name, max_seconds))
        width, height = shown_size(first, stream.sample_aspect_ratio)
        _check_size(name, width, height)
        promised = float(stream.duration * stream.time_base) if stream.duration else 0.0
        return VideoInfo(
            name=name,
            width=width,
            height=height,
            frame_rate=count / seconds,
            seconds=seconds,
            start=start,
            has_audio=_sound_stream(container) is not None,
            key_times=tuple(key_times),
            promised_seconds=promised if promised > 1.1 * seconds + 0.1 else None,
        )


def frames(
    path: str | os.PathLike,
    fps: float = FPS,
    max_seconds: float = LONGEST_SECONDS,
    long_side: int = 1280,
    info: VideoInfo | None = None,
) -> Iterator[np.ndarray]:
    """The pictures of a video at a steady rate, one after the other.

    Args:
        path: the file.
        fps: frames per second wanted.
        max_seconds: a longer video is refused.
        long_side: larger pictures are shrunk while decoding so that their long side is this many pixels.
        info: the result of ``probe``, if it is already known.

    Yields:
        (H, W, 3) uint8 RGB, upright, square pixels, all of one size. Pictures that cannot be decoded are replaced by
        the one before.

    Raises:
        InputError: as ``probe``; also, at the end, when less than 1 s could be decoded.
    """
    return iter(FrameReader(path, info or probe(path, max_seconds), fps, max_seconds, long_side))


class FrameReader:
    """``frames`` with a window: iterate for the pictures; ``region`` may be changed between two of them.

    Attributes:
        region: (x, y, width, height) in shown pixels (``VideoInfo``), the part that is converted to RGB, or None for
            the whole picture. Converting a region costs its own size, not the picture's.
        held: the newest picture that has begun, as decoded; None before the first.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        info: VideoInfo,
        fps: float = FPS,
        max_seconds: float = LONGEST_SECONDS,
        long_side: int = 1280,
    ):
        self.region: Region | None = None
        self._path, self._info, self._fps, self._max_seconds, self._long_side = path, info, fps, max_seconds, long_side
        self._converter = Converter(info.width, info.height)
        self.held: av.VideoFrame | None = None

    def whole(self, long_side: int) -> np.ndarray:
        """The whole of the picture that was yielded last, (H, W, 3) uint8 RGB."""
        return self._converter.rgb(self.held, None, long_side)

    def _picture(self) -> np.ndarray:
        return self._converter.rgb(self.held, self.region, self._long_side)

    def __iter__(self) -> Iterator[np.ndarray]:
        info, fps, half = self._info, self._fps, 0.5 / self._fps
        ticks, held_time, gaps = 0, 0.0, (0.0, 0.0)
        with open_local(self._path) as file, _open(file, info.name) as container:
            for frame in _pictures(container, info.name):
                time = (frame.time if frame.time is not None else held_time + info.start + 1 / fps) - info.start
                if self.held is not None and time <= held_time:
                    continue  # timestamps that run backwards
                while self.held is not None and ticks / fps < time - 1e-6:
                    now = ticks / fps
                    if time - now < min(half, now - held_time):
                        break  # the coming picture is nearer than the one held
                    yield self._picture()
                    ticks += 1
                    if ticks / fps > self._max_seconds:
                        raise InputError(_too_long(info.name, self._max_seconds))
                gaps = (gaps[1], time - held_time) if self.held is not None else gaps
                self.held, held_time = frame, time
            if self.held is None:
                raise InputError(f"{info.name} holds no picture that can be decoded.")
            own = self.held.duration
            length = float(own * self.held.time_base) if own and self.held.time_base else 0.0
            end = min(held_time + _last_length(length, gaps), self._max_seconds)
            while ticks / fps + half <= end + 1e-6:
                yield self._picture()
                ticks += 1
        if ticks < SHORTEST_SECONDS * fps:
            raise InputError(
                f"Only {ticks / fps:.1f} s of {info.name} could be decoded; at least {SHORTEST_SECONDS:g} s are needed."
            )


def sample_frames(path: str | os.PathLike, info: VideoInfo, step: float, long_side: int) -> Iterator[np.ndarray]:
    """Whole pictures for a first look: key frames spread over the video, then one every ``step`` seconds.

    Key frames are jumped to and cost little; the rest is decoded only as far as the caller goes on asking.
    """
    converter = Converter(info.width, info.height)
    with open_local(path) as file, _open(file, info.name) as container:
        stream = _picture_stream(container, info.name)
        spread = np.linspace(0, len(info.key_times) - 1, min(len(info.key_times), 12))
        for time in np.array(info.key_times)[spread.round().astype(int)]:
            try:
                container.seek(int(time / stream.time_base) + 1, stream=stream)
            except (av.FFmpegError, OSError, ValueError):
                continue
            frame = next((frame for packet in _packets(container, stream) for frame in _decode(packet)), None)
            if frame is not None:
                yield converter.rgb(frame, None, long_side)
    with open_local(path) as file, _open(file, info.name) as container:
        coming = step
        for frame in _pictures(container, info.name):
            if frame.time is not None and frame.time - info.start >= coming:
                yield converter.rgb(frame, None, long_side)
                coming = frame.time - info.start + step


def frame_at(path: str | os.PathLike, info: VideoInfo, tick: int, long_side: int, fps: float = FPS) -> np.ndarray:
    """The whole picture that ``frames`` yields as number ``tick``, (H, W, 3) uint8 RGB, by decoding up to it."""
    reader = FrameReader(path, info, fps, info.seconds + 1)
    reader.region = (0, 0, 2, 2)  # nothing of the pictures before it is converted
    for _ in itertools.islice(reader, tick + 1):
        pass
    return reader.whole(long_side)


def read_audio(path: str | os.PathLike, info: VideoInfo | None = None) -> Sound | None:
    """The first sound track as mono at 16 kHz, cut or padded with silence to the picture's length.

    All channels are mixed. Gaps in the track's timestamps stay silent; what cannot be decoded is silent.

    Returns:
        The sound, or None where the file has no sound track that can be decoded.

    Raises:
        InputError: as ``probe``.
    """
    info = info or probe(path)
    samples = np.zeros(round(info.seconds * RATE), dtype=np.float32)
    with open_local(path) as file, _open(file, info.name) as container:
        stream = _sound_stream(container)
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


# --- ffmpeg, guarded -------------------------------------------------------------------------------------------------


def _open(file, name: str) -> av.container.InputContainer:
    limits = {"max_pixels": str(MOST_PIXELS)}  # ffmpeg may decode a picture to learn the stream's format
    guards = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": ""}
    try:
        return av.open(file, options=limits, container_options=guards, buffer_size=1 << 18, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError):
        raise InputError(
            f"{name} is damaged or not a video that can be read (MP4, MOV, WebM, MKV, AVI, MPEG, OGV, FLV and WMV can)."
        ) from None


def _picture_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    for stream in container.streams.video:
        if stream.codec_context is not None and not stream.disposition & av.stream.Disposition.attached_pic:
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}  # holds when the size changes midway, too
            return stream
    raise InputError(f"{name} has no video track that can be decoded.")


def _sound_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    streams = container.streams.audio
    return streams[0] if streams and streams[0].codec_context is not None else None


def _too_long(name: str, max_seconds: float) -> str:
    return f"{name} is longer than {max_seconds:g} s; shorten it or raise the setting max_seconds."


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{name} has {width} x {height} pixels; at most {MOST_PIXELS // 10**6} megapixels can be read."
        )
    if 0 < min(width, height) < SMALLEST_SIDE or not width or not height:
        raise InputError(f"{name} has {width} x {height} pixels; at least {SMALLEST_SIDE} px a side are needed.")


def _packets(container: av.container.InputContainer, stream) -> Iterator[av.Packet]:
    """Packets up to the end or to the first place where the container itself is broken."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError):
            return
        if packet is None:
            return
        yield packet


def _decode(packet: av.Packet | None, stream=None) -> list:
    """The frames of a packet; none where it is damaged. A packet of None flushes ``stream``."""
    try:
        return packet.decode() if packet is not None else stream.decode(None)
    except (av.FFmpegError, ValueError):
        return []


def _pictures(container: av.container.InputContainer, name: str) -> Iterator[av.VideoFrame]:
    stream = _picture_stream(container, name)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(4, os.cpu_count() or 1)  # each thread holds pictures of its own
    for packet in _packets(container, stream):
        if not packet.is_discard:
            yield from _decode(packet)


def _last_length(own: float, gaps: Sequence[float]) -> float:
    """Seconds the last picture is shown: its own duration, or the pace of the two before it where that is slower.

    Files of variable rate often give the last picture a token duration; a single long gap is a lost picture instead.
    """
    return max(own, min(*gaps, LONGEST_HOLD)) if len(gaps) == 2 else own


def _sound_pieces(container: av.container.InputContainer, stream) -> Iterator[tuple[float, np.ndarray]]:
    """Runs of unbroken sound: (timestamp of the first sample in seconds, (n,) float32 at RATE)."""
    resampler, start, fed, made = None, 0.0, 0.0, 0  # of the current run: its start, seconds put in, samples got out
    for packet in _packets(container, stream):
        if packet.is_discard:
            continue
        for frame in _decode(packet):
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
