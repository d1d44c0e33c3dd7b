"""All videos of one run in a single pass: every reaction alone, and all of them beside the speaker.

Each picture is drawn once, goes to its own file and into the side-by-side picture, and is forgotten. Work goes piece by
piece over a few threads: drawing and encoding let go of Python's lock, so they share the cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from renderer.errors import RenderError
from renderer.video.alpha import AlphaVideoWriter
from renderer.video.frame_file import FPS
from renderer.video.layout import Grid, stamp_label
from renderer.video.writer import VideoWriter

PIECE = 12
"""Frames of one piece of work: long enough to keep threads busy, short enough for 20 videos of 512² in 200 MB."""


@dataclass(frozen=True)
class Strip:
    """One video to be: the pictures of one reaction in one look.

    frames: squares (size, size, 3) uint8 RGB in time order; drawn when asked for, one thread at a time.
    path: the file they go to. To a .webm go squares (size, size, 4) with opacity.
    """

    frames: Iterator[np.ndarray]
    path: Path


def write_reel(
    reactions: Sequence[Sequence[Strip]],
    speaker: Iterator[np.ndarray] | None,
    grid: Grid,
    side_by_side: Path,
    frames: int,
    size: int,
    audio: tuple[np.ndarray, int] | None = None,
    metadata: dict[str, str] | None = None,
    label: str | None = None,
    progress: Callable[[float], None] | None = None,
    workers: int | None = None,
    apart: Sequence[Strip] = (),
) -> None:
    """Draw and write every strip and the side-by-side video; all of them last exactly frames / 25 seconds.

    reactions: for each reaction its strips, in the order of the grid's cards.
    speaker: the speaker's pictures at 25 fps, (H, W, 3) uint8 RGB; where they end before `frames`, the last is held.
    frames: length of every video; each strip must yield this many.
    size: edge in pixels of the strips' squares.
    audio: sound of all videos, (samples (N,) float32 mono, Hz).
    label: text stamped on the single videos; None leaves them bare (the side-by-side video has its own line of text).
    progress: called with the fraction done, from the calling thread.
    workers: threads; None takes the machine's cores.
    apart: further strips that get a file of their own but no place in the grid.
    Raises RenderError if a strip ends early. On any error none of the videos is left behind.
    """
    workers = workers or len(os.sched_getaffinity(0))
    strips = [*(strip for card in reactions for strip in card), *apart]
    held = _hold_last(speaker) if speaker is not None else None
    with ExitStack() as stack:
        # Leaving the stack normally closes the writers one after the other; by an exception it discards them all.
        writers = [stack.enter_context(_writer(strip, size, audio, metadata)) for strip in strips]
        whole = stack.enter_context(VideoWriter(side_by_side, grid.size, FPS, audio, metadata, threads=workers))
        pool = stack.enter_context(ThreadPoolExecutor(workers))

        def draw(strip: Strip, writer: VideoWriter | AlphaVideoWriter, count: int) -> list[np.ndarray]:
            pictures = list(islice(strip.frames, count))
            if len(pictures) < count:
                raise RenderError(f"{strip.path.name} ended {count - len(pictures)} frames early.")
            for picture in pictures:
                writer.write(stamp_label(picture, label) if label else picture)
            return pictures

        def lay(pieces: list[list[np.ndarray]], faces: list[np.ndarray] | None, count: int) -> None:
            for index in range(count):
                pictures = iter([piece[index] for piece in pieces])  # those apart come last: nobody asks for them
                cards = [[next(pictures) for _ in card] for card in reactions]
                whole.write(grid.compose(None if faces is None else faces[index], cards))

        laying = None
        for start in range(0, frames, PIECE):
            count = min(PIECE, frames - start)
            seen = pool.submit(lambda n: list(islice(held, n)), count) if held is not None else None
            drawing = [pool.submit(draw, strip, writer, count) for strip, writer in zip(strips, writers, strict=True)]
            pieces = [job.result() for job in drawing]
            faces = seen.result() if seen is not None else None
            if laying is not None:
                laying.result()  # one piece at most waits to be laid out: memory does not grow with the clip
            laying = pool.submit(lay, pieces, faces, count)
            if progress is not None:
                progress((start + count) / frames)
        if laying is not None:
            laying.result()


def _writer(
    strip: Strip, size: int, audio: tuple[np.ndarray, int] | None, metadata: dict[str, str] | None
) -> VideoWriter | AlphaVideoWriter:
    if strip.path.suffix == ".webm":
        return AlphaVideoWriter(strip.path, (size, size), FPS, metadata)
    return VideoWriter(strip.path, (size, size), FPS, audio, metadata)


def _hold_last(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, then the last of them for ever."""
    last = None
    for last in frames:
        yield last
    if last is None:
        raise RenderError("The speaker's video has no picture to show beside the reactions.")
    while True:
        yield last
