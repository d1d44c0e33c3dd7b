"""What a decoding process does: one reading of one file, its results over the socket."""

import socket
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.media.apart.wire import receive, send
from perfrdiff.features.media.local_file import LocalFile
from perfrdiff.features.media.pixels import cap_pixels
from perfrdiff.features.media.readers import ReadersHere
from perfrdiff.features.media.video import Part, VideoInfo

__all__ = ["serve"]


def serve(connection: socket.socket, file: LocalFile, about: dict) -> None:
    """Do what `about` asks for: {"do", "arguments", "info", "pixels"}. The last message says how it ended."""
    cap_pixels(about["pixels"])
    readers = ReadersHere(file)
    info = VideoInfo(**about["info"] | {"key_times": tuple(about["info"]["key_times"])}) if about["info"] else None
    try:
        WORK[about["do"]](connection, readers, info, *about["arguments"])
        send(connection, {"end": True})
    except InputError as error:
        send(connection, {"refused": str(error)})
    except (OSError, MemoryError) as error:  # whoever reads is gone, or the limit of memory is reached
        send(connection, {"failed": type(error).__name__})


def _probe(connection: socket.socket, readers: ReadersHere, _: None, max_seconds: float, part: list) -> None:
    send(connection, {"info": asdict(readers.probe(max_seconds, Part(*part)))})


def _image(connection: socket.socket, readers: ReadersHere, _: None) -> None:
    send(connection, {}, readers.image())


def _frames(connection: socket.socket, readers: ReadersHere, info: VideoInfo, *arguments: float) -> None:
    for picture in readers.frames(info, *arguments):
        send(connection, {}, picture)


def _regions(connection: socket.socket, readers: ReadersHere, info: VideoInfo, *arguments: float) -> None:
    """Pictures as they are asked for: {"next": region or null}, or {"whole": number, "long_side"} of an earlier one,
    also after the last: whoever looks at them is behind whoever asks for the next. The parent ends it."""
    with readers.frame_reader(info, *arguments) as reader:
        pictures = iter(reader)
        while True:
            asked, _ = receive(connection)
            if "whole" in asked:
                send(connection, {}, reader.whole(asked["whole"], asked["long_side"]))
                continue
            reader.region = tuple(asked["next"]) if asked["next"] is not None else None
            try:
                picture = next(pictures, None)
            except InputError as error:
                send(connection, {"refused": str(error), "goes_on": True})
                continue
            send(connection, {"last": True} if picture is None else {}, picture)


def _sample_frames(connection: socket.socket, readers: ReadersHere, info: VideoInfo, *arguments) -> None:
    for picture in readers.sample_frames(info, *arguments):
        send(connection, {}, picture)


def _strip(connection: socket.socket, readers: ReadersHere, info: VideoInfo, *arguments) -> None:
    for picture in readers.strip(info, *arguments):
        send(connection, {}, picture)


def _frames_at(connection: socket.socket, readers: ReadersHere, info: VideoInfo, numbers: list, *arguments) -> None:
    for number, picture in readers.frames_at(info, numbers, *arguments):
        send(connection, {"number": number}, picture)


def _audio(connection: socket.socket, readers: ReadersHere, info: VideoInfo) -> None:
    audio = readers.audio(info)
    if audio is not None:
        send(connection, {}, audio.samples.astype(np.float32, copy=False))


WORK: dict[str, Callable] = {
    "probe": _probe, "image": _image, "frames": _frames, "regions": _regions, "sample_frames": _sample_frames,
    "strip": _strip, "frames_at": _frames_at, "audio": _audio,
}  # fmt: skip
