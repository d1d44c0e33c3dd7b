"""What a person hands in: opened once, recognised by its content, probed once, and handed on.

    with open_input("talk.mp4") as media:
        for picture in media.frames(): ...
        audio = media.audio()

Everything that is read later is read through the one open file. Every reader has a position of its own, so that the
pictures, the audio and the pictures a second time may be read at once, in any threads.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from perfrdiff.coefficients import FPS
from perfrdiff.errors import InputError
from perfrdiff.features import MAX_SECONDS
from perfrdiff.features.media import apart
from perfrdiff.features.media.audio_track import Audio
from perfrdiff.features.media.images import is_image
from perfrdiff.features.media.local_file import LocalFile, open_local
from perfrdiff.features.media.readers import Readers, RegionReader
from perfrdiff.features.media.video import WHOLE, Part, VideoInfo
from perfrdiff.features.tables import HEAD_BYTES, FeatureTable, is_table, read_table

__all__ = ["Media", "Part", "Source", "as_media", "open_input"]


class Media:
    """An open file and what it is. ``open_input`` makes it; use it in a ``with`` statement, or ``close`` it.

    Attributes:
        name: the file's name as it may stand in a sentence.
        kind: by its content: "table" (a features file), "image" (a photo; an animation is one, too), else "video".
        max_seconds: a longer video or features file is refused.
        part: the seconds that are used of a video or features file; a photo has none.
    """

    def __init__(self, file: LocalFile, max_seconds: float, part: Part = WHOLE):
        """file: closed by this object from now on. Raises as ``open_input``, except where the file is not opened."""
        self.name, self.max_seconds, self.part = file.name, max_seconds, part
        self._file = file
        self._readers: Readers = apart.readers_of(file)
        with file.reader() as reader:
            head = reader.read(HEAD_BYTES)
        self.kind: Literal["table", "image", "video"] = "video"
        if is_table(head):
            self.kind = "table"
        elif is_image(head):
            self.kind = "image"
        self._info = self._readers.probe(max_seconds, part) if self.kind == "video" else None

    @property
    def info(self) -> VideoInfo:
        """What the video holds, as measured on opening.

        Raises:
            InputError: the file is no video. So do all that read a video: ``frames`` to ``audio``.
        """
        self.check_video()
        assert self._info is not None, "a video has been probed"
        return self._info

    def check_video(self) -> None:
        """Raise InputError where the file is no video."""
        if self.kind != "video":
            what = "a picture" if self.kind == "image" else "a features file"
            raise InputError(f"{self.name} is {what}; a video is needed here.")

    def image(self) -> np.ndarray:
        """The photo, (H, W, 3) uint8 RGB, upright, long side at most 2048.

        Raises:
            InputError: as ``images.read_image``.
        """
        return self._readers.image()

    def table(self) -> FeatureTable:
        """The numbers of a features file.

        Raises:
            InputError: as ``tables.read_table``; longer than ``max_seconds``.
        """
        table = read_table(self._file)
        if self.part != WHOLE:
            table = table.cut(self.part.start, self.part.end, self.name)
        frames = len(table.coefficients)
        if frames > self.max_seconds * FPS:
            raise InputError(
                f"{self.name} lasts {frames / FPS:.1f} s; at most {self.max_seconds:g} s are taken: choose a part by "
                "its start and end."
            )
        return table

    def frame_reader(self, long_side: int = 1280, fps: float = FPS) -> RegionReader:
        """The pictures of the video at a steady rate, of which a region can be chosen while they are read, in a
        ``with`` statement.

        Args:
            long_side: larger pictures are shrunk while decoding so that their long side is this many pixels.
            fps: frames per second wanted.
        """
        return self._readers.frame_reader(self.info, fps, self.max_seconds, long_side)

    def frames(self, long_side: int = 1280, fps: float = FPS) -> Iterator[np.ndarray]:
        """The pictures of the video at a steady rate, one after the other; for the arguments see ``frame_reader``.

        Yields:
            (H, W, 3) uint8 RGB, upright, square pixels, all of one size. Pictures that cannot be decoded are replaced
            by the one before.

        Raises:
            InputError: at the end, when less than 1 s could be decoded.
        """
        return self._readers.frames(self.info, fps, self.max_seconds, long_side)

    def sample_frames(self, step: float, long_side: int) -> Iterator[np.ndarray]:
        """Full pictures for a survey, (H, W, 3) uint8 RGB: key frames spread over the video, then one every ``step``
        seconds."""
        return self._readers.sample_frames(self.info, step, long_side)

    def strip(self, count: int, long_side: int) -> list[np.ndarray]:
        """`count` pictures spread over the video, (H, W, 3) uint8 RGB, in little time; fewer where it is damaged."""
        return self._readers.strip(self.info, count, long_side)

    def frames_at(
        self, numbers: Iterable[int], long_side: int = 1280, fps: float = FPS
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(number, full picture (H, W, 3) uint8 RGB) of what ``frames`` yields as these ``numbers``, in time order.

        The video is decoded once, up to the last of them.
        """
        return self._readers.frames_at(self.info, numbers, long_side, fps)

    def audio(self) -> Audio | None:
        """The video's first audio track in step with the frames; None where there is none that can be decoded."""
        return self._readers.audio(self.info)

    def sha256(self) -> str:
        """Of the file's content, in hexadecimal digits."""
        with self._file.reader() as reader:
            return hashlib.file_digest(reader, "sha256").hexdigest()

    def close(self) -> None:
        """Close the file; what is read afterwards raises ValueError."""
        self._file.close()

    def __enter__(self) -> "Media":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Source = str | os.PathLike | Media
"""A file, or one that is open already."""


def open_input(path: str | os.PathLike, max_seconds: float = MAX_SECONDS, part: Part = WHOLE) -> Media:
    """Open a video, photo or features file; what is none of them is refused as a video.

    Args:
        path: a regular file on this machine; its content decides what it is, not its name.
        max_seconds: a longer video is refused here, a longer features file when it is read.
        part: the seconds that are used; they, not the file, may last ``max_seconds``.

    Raises:
        InputError: no such file, empty, or not readable; a video that cannot be used (``video.probe``).
    """
    file = open_local(path)
    try:
        return Media(file, max_seconds, part)
    except BaseException:
        file.close()
        raise


@contextmanager
def as_media(source: Source, max_seconds: float = MAX_SECONDS) -> Iterator[Media]:
    """An open file as it is, left open and with its own ``max_seconds``; a path opened, and closed at the end.

    Raises:
        InputError: as ``open_input``.
    """
    if isinstance(source, Media):
        yield source
        return
    with open_input(source, max_seconds) as media:
        yield media
