"""Pictures decoded and converted in a thread of their own, a few ahead of whoever looks at them.

Decoding and tracking take turns on one core otherwise. What part of a picture is wanted follows from what was seen in
one before it, so the part is asked for ``AHEAD`` pictures in advance: always as many, whatever the threads' pace, so
that a clip is read the same every time.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np

from perfrdiff.features.media.convert import Region
from perfrdiff.features.media.video import FrameReader

__all__ = ["AHEAD", "Part", "ReadAhead"]

AHEAD = 3  # pictures; each holds a decoded frame (3 MB at 1080 x 1920)


@dataclass(frozen=True)
class Part:
    """One picture of a clip, of which a region was converted."""

    picture: np.ndarray  # (H, W, 3) uint8 RGB of the region
    region: Region  # x, y, width, height in shown pixels
    frame: av.VideoFrame  # the whole, as decoded

    @property
    def scale(self) -> float:
        """Shown pixels per pixel of the picture."""
        return self.region[2] / self.picture.shape[1]


class ReadAhead:
    """Iterate for the ``Part`` of every frame; after each of them, ``ask`` for the region of the one ``AHEAD`` later.

    Use it in a ``with`` statement: leaving it ends the thread, early or not. Errors of the reader come out of the
    iteration.
    """

    def __init__(self, reader: FrameReader, region: Region):
        self._reader = reader
        self._asked: queue.SimpleQueue[Region | None] = queue.SimpleQueue()
        self._parts: queue.SimpleQueue[Part | Exception | None] = queue.SimpleQueue()
        for _ in range(AHEAD):
            self._asked.put(region)
        self._left = False
        self._thread = threading.Thread(target=self._read, name="pictures ahead", daemon=True)

    def ask(self, region: Region) -> None:
        """The region of the picture after those that are on their way. Call it once for every part taken."""
        self._asked.put(region)

    def __iter__(self) -> Iterator[Part]:
        while (part := self._parts.get()) is not None:
            if isinstance(part, Exception):
                raise part
            yield part

    def __enter__(self) -> "ReadAhead":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        self._asked.put(None)
        self._thread.join()

    def _read(self) -> None:
        pictures = iter(self._reader)
        try:
            while (region := self._asked.get()) is not None and not self._left:
                self._reader.region = region
                picture = next(pictures, None)
                if picture is None:
                    break
                self._parts.put(Part(picture, region, self._reader.held))
            self._parts.put(None)
        except Exception as error:  # told to whoever iterates
            self._parts.put(error)
