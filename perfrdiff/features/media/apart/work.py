"""What a decoding process does: one reading of one file, its results over the socket."""

import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.media.apart.wire import Slot, receive, send
from perfrdiff.features.media.local_file import LocalFile
from perfrdiff.features.media.pixels import cap_pixels
from perfrdiff.features.media.readers import ReadersHere
from perfrdiff.features.media.video import Part, VideoInfo

__all__ = ["Channel", "serve"]


@dataclass
class Channel:
    """The way to the parent."""

    connection: socket.socket
    slot: Slot | None = None

    def send(self, about: dict, array: np.ndarray | None = None) -> None:
        send(self.connection, about, array, self.slot)

    def receive(self) -> dict:
        return receive(self.connection, self.slot)[0]


def serve(channel: Channel, file: LocalFile, about: dict) -> None:
    """Do what `about` asks for: {"do", "arguments", "info", "pixels"}. The last message says how it ended."""
    cap_pixels(about["pixels"])
    readers = ReadersHere(file)
    info = VideoInfo(**about["info"] | {"key_times": tuple(about["info"]["key_times"])}) if about["info"] else None
    try:
        WORK[about["do"]](channel, readers, info, *about["arguments"])
        channel.send({"end": True})
    except InputError as error:
        channel.send({"refused": str(error)})
    except (OSError, MemoryError) as error:  # whoever reads is gone, or the limit of memory is reached
        channel.send({"failed": type(error).__name__})


def _probe(channel: Channel, readers: ReadersHere, _: None, max_seconds: float, part: list) -> None:
    channel.send({"info": asdict(readers.probe(max_seconds, Part(*part)))})


def _image(channel: Channel, readers: ReadersHere, _: None) -> None:
    channel.send({}, readers.image())


def _frames(channel: Channel, readers: ReadersHere, info: VideoInfo, *arguments: float) -> None:
    for picture in readers.frames(info, *arguments):
        channel.send({}, picture)


def _regions(channel: Channel, readers: ReadersHere, info: VideoInfo, *arguments: float) -> None:
    """Pictures as they are asked for: {"next": region or null}, or {"whole": number, "long_side"} of an earlier one,
    also after the last: whoever looks at them is behind whoever asks for the next. The parent ends it."""
    with readers.frame_reader(info, *arguments) as reader:
        pictures = iter(reader)
        while True:
            asked = channel.receive()
            if "whole" in asked:
                channel.send({}, reader.whole(asked["whole"], asked["long_side"]))
                continue
            reader.region = tuple(asked["next"]) if asked["next"] is not None else None
            try:
                picture = next(pictures, None)
            except InputError as error:
                channel.send({"refused": str(error), "goes_on": True})
                continue
            channel.send({"last": True} if picture is None else {}, picture)


def _sample_frames(channel: Channel, readers: ReadersHere, info: VideoInfo, *arguments) -> None:
    for picture in readers.sample_frames(info, *arguments):
        channel.send({}, picture)


def _strip(channel: Channel, readers: ReadersHere, info: VideoInfo, *arguments) -> None:
    for picture in readers.strip(info, *arguments):
        channel.send({}, picture)


def _frames_at(channel: Channel, readers: ReadersHere, info: VideoInfo, numbers: list, *arguments) -> None:
    for number, picture in readers.frames_at(info, numbers, *arguments):
        channel.send({"number": number}, picture)


def _audio(channel: Channel, readers: ReadersHere, info: VideoInfo) -> None:
    audio = readers.audio(info)
    if audio is not None:
        channel.send({}, audio.samples.astype(np.float32, copy=False))


WORK: dict[str, Callable] = {
    "probe": _probe, "image": _image, "frames": _frames, "regions": _regions, "sample_frames": _sample_frames,
    "strip": _strip, "frames_at": _frames_at, "audio": _audio,
}  # fmt: skip
