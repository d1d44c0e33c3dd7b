"""Pictures decoded, cropped and converted in a thread of their own, a few ahead of whoever iterates.

Decoding and tracking take turns on one core otherwise. Which region of a picture is needed follows from the face found
in an earlier one, so the region is requested ``PREFETCHED`` pictures in advance: always as many, whatever the threads'
pace, so that a clip is read the same every time.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from perfrdiff.features.media.convert import Region
from perfrdiff.features.media.readers import RegionReader

__all__ = ["PREFETCHED", "CroppedFrame", "Prefetcher"]

PREFETCHED = 3  # pictures; the reader keeps each decoded (3 MB at 1080 x 1920)


@dataclass(frozen=True)
class CroppedFrame:
    """One picture of a clip, of which a region was converted."""

    picture: np.ndarray  # (H, W, 3) uint8 RGB of the region
    region: Region  # x, y, width, height in display pixels
    number: int  # of the full picture, for the reader's ``whole``

    @property
    def scale(self) -> float:
        """Display pixels per pixel of the picture."""
        return self.region[2] / self.picture.shape[1]


class Prefetcher:
    """Iterate for the ``CroppedFrame`` of every frame; after each, ``request_region`` of the one ``PREFETCHED`` later.

    Use it in a ``with`` statement: leaving it ends the thread, early or not. Errors of the reader come out of the
    iteration.
    """

    def __init__(self, reader: RegionReader, region: Region):
        """reader: read by this object's thread alone; region: of the first ``PREFETCHED`` pictures."""
        self._reader = reader
        self._regions: queue.SimpleQueue[Region | None] = queue.SimpleQueue()
        self._frames: queue.SimpleQueue[CroppedFrame | Exception | None] = queue.SimpleQueue()
        for _ in range(PREFETCHED):
            self._regions.put(region)
        self._closed = False
        self._thread = threading.Thread(target=self._read, name="prefetcher", daemon=True)

    def request_region(self, region: Region) -> None:
        """The region of the picture after those requested so far. Call it once for every frame taken."""
        self._regions.put(region)

    def __iter__(self) -> Iterator[CroppedFrame]:
        while (frame := self._frames.get()) is not None:
            if isinstance(frame, Exception):
                raise frame
            yield frame

    def __enter__(self) -> "Prefetcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._regions.put(None)
        self._thread.join()

    def _read(self) -> None:
        pictures = iter(self._reader)
        try:
            while (region := self._regions.get()) is not None and not self._closed:
                self._reader.region = region
                picture = next(pictures, None)
                if picture is None:
                    break
                self._frames.put(CroppedFrame(picture, region, self._reader.number))
            self._frames.put(None)
        except Exception as error:  # raised again by whoever iterates
            self._frames.put(error)
