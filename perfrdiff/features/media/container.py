"""ffmpeg, guarded: the containers that are read at all, their tracks, packets and decoded frames.

Safety: ffmpeg gets an open file instead of a name, and only the self-contained formats of ``CONTAINERS``; a playlist
or script renamed to .mp4 is refused before anything it names is opened.
"""

from collections.abc import Iterator

import av

from perfrdiff.errors import InputError
from perfrdiff.features.media.local_file import LocalFile
from perfrdiff.features.media.pixels import most_pixels

__all__ = ["CONTAINERS", "MOST_PIXELS", "audio_stream", "decode", "open_container", "packets", "picture_stream"]

CONTAINERS = ("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg")  # ffmpeg demuxers
MOST_PIXELS = 36_000_000  # 8K; larger pictures are refused before one is decoded


def open_container(file: LocalFile) -> av.container.InputContainer:
    """A container on a reader of its own, to be used in a ``with`` statement.

    Raises:
        InputError: not one of the formats of ``CONTAINERS``, or damaged.
    """
    limits = {"max_pixels": str(most_pixels(MOST_PIXELS))}  # ffmpeg may decode a picture to learn the stream's format
    guards = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": ""}
    reader = file.reader()
    try:
        return av.open(reader, options=limits, container_options=guards, buffer_size=1 << 18, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError):
        raise InputError(
            f"{file.name} is damaged, or neither a video nor a picture that can be read "
            "(MP4, MOV, WebM, MKV, AVI, MPEG, OGV, FLV and WMV can; of pictures JPEG, PNG, WebP)."
        ) from None


def picture_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The first video track that is no cover picture; InputError where there is none.

    It is decoded on one thread: of a damaged file several threads make other pictures each time, because what one of
    them conceals the next may have read before. Tracking takes longer than decoding and has a core of its own.
    """
    for stream in container.streams.video:
        if stream.codec_context is not None and not stream.disposition & av.stream.Disposition.attached_pic:
            stream.codec_context.options = {
                "max_pixels": str(most_pixels(MOST_PIXELS))
            }  # holds when the size changes midway, too
            stream.codec_context.thread_count = 1
            return stream
    raise InputError(f"{name} has no video track that can be decoded.")


def audio_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The first audio track, or None."""
    streams = container.streams.audio
    return streams[0] if streams and streams[0].codec_context is not None else None


def packets(container: av.container.InputContainer, stream) -> Iterator[av.Packet]:
    """Packets up to the end or to the first place where the container itself is broken."""
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed, None)
        except (av.FFmpegError, OSError):
            return
        if packet is None:
            return
        yield packet


def decode(packet: av.Packet | None, stream=None) -> list:
    """The frames of a packet; none where it is damaged. A packet of None flushes ``stream``."""
    try:
        return packet.decode() if packet is not None else stream.decode(None)
    except (av.FFmpegError, ValueError):
        return []
