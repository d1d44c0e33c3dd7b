"""All videos of one run in a single pass: every reaction alone, and all of them beside the speaker.

Each picture is drawn once, goes to its own file and into the side-by-side picture, and is forgotten. Work goes piece by
piece over a few threads: drawing and encoding let go of Python's lock, so they share the cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

from renderer.errors import RenderError
from renderer.video.alpha import AlphaVideoWriter
from renderer.video.frame_file import FPS
from renderer.video.layout import SideBySideLayout, stamp_label, stamped_yuv
from renderer.video.writer import VideoWriter
from renderer.yuv420 import YuvPicture, to_yuv420

CHUNK_FRAMES = 12
"""Frames of one piece of work: long enough to keep threads busy, short enough for 20 videos of 512² in 200 MB."""


ENCODER_THREADS = 2
"""Of the side-by-side video, on any machine: x264 writes other bytes for another number of threads."""

REPORT_SECONDS = 0.2
"""Between two reports while pieces are drawn."""


@dataclass(frozen=True)
class VideoTrack:
    """One video to be: the pictures of one reaction in one view.

    frames: squares (size, size, 3) uint8 RGB in time order; drawn when asked for, one thread at a time.
    path: the file they go to. To a .webm go squares (size, size, 4) with opacity.
    """

    frames: Iterator[np.ndarray]
    path: Path


@dataclass(frozen=True)
class VideoOptions:
    """What all videos of one run have in common."""

    frames: int  # length of every video at 25 per second; each track must yield this many
    size: int  # edge in pixels of the tracks' squares
    audio: tuple[np.ndarray, int] | None = None  # samples (N,) float32 mono, Hz
    metadata: dict[str, str] | None = None  # of the containers
    label: str | None = None  # stamped on the single videos; None leaves them bare
    workers: int | None = None  # threads; None takes the machine's cores


def export_videos(
    reactions: Sequence[Sequence[VideoTrack]],
    speaker: Iterator[np.ndarray] | None,
    layout: SideBySideLayout,
    side_by_side: Path,
    options: VideoOptions,
    progress: Callable[[float], None] | None = None,
    standalone: Sequence[VideoTrack] = (),
) -> None:
    """Draw and write every track and the side-by-side video; all of them last exactly frames / 25 seconds.

    reactions: for each reaction its tracks, in the order of the layout's captions.
    speaker: the speaker's pictures at 25 fps, (H, W, 3) uint8 RGB; where they end early, the last is repeated.
    side_by_side: the file of all of them together; it has a line of text of its own in place of the label.
    progress: called with the fraction done, from the calling thread.
    standalone: further tracks that get a file of their own but no place in the layout.
    Raises RenderError if a track ends early. On any error none of the videos is left behind.
    """
    frames, size, label = options.frames, options.size, options.label
    audio, metadata = options.audio, options.metadata
    workers = options.workers or len(os.sched_getaffinity(0))
    tracks = [*(track for card in reactions for track in card), *standalone]
    speaker_frames = _repeat_last_frame(speaker) if speaker is not None else None
    with ExitStack() as stack:
        # Leaving the stack normally closes the writers one after the other; by an exception it discards them all.
        writers = [stack.enter_context(_writer(track, size, audio, metadata)) for track in tracks]
        layout_writer = stack.enter_context(
            VideoWriter(side_by_side, layout.size, FPS, audio, metadata, ENCODER_THREADS)
        )
        threads = stack.enter_context(_Threads(workers, progress))

        def draw(track: VideoTrack, writer: VideoWriter | AlphaVideoWriter, count: int) -> list[YuvPicture]:
            drawn, pictures = 0, []
            for picture in islice(track.frames, count):
                threads.check()
                drawn += 1
                if isinstance(writer, VideoWriter):
                    pictures.append(_write(writer, picture, label))
                else:
                    writer.write(stamp_label(picture, label) if label else picture)
            if drawn < count:
                raise RenderError(f"{track.path.name} ended {count - drawn} frames early.")
            return pictures

        def compose_chunk(chunks: list[list[YuvPicture]], speaker_chunk: list[np.ndarray] | None, count: int) -> None:
            for index in range(count):
                threads.check()
                pictures = (chunk[index] for chunk in chunks)  # standalone tracks come last: nobody asks for them
                cards = [[next(pictures) for _ in card] for card in reactions]
                layout_writer.write_yuv(layout.compose(None if speaker_chunk is None else speaker_chunk[index], cards))

        compose_job: list[Future] = []
        for start in range(0, frames, CHUNK_FRAMES):
            count = min(CHUNK_FRAMES, frames - start)
            jobs = [threads.submit(draw, track, writer, count) for track, writer in zip(tracks, writers, strict=True)]
            if speaker_frames is not None:
                jobs.append(threads.submit(lambda n: list(islice(speaker_frames, n)), count))
            # One chunk at most waits to be composed: memory does not grow with the clip.
            threads.wait([*jobs, *compose_job])
            chunks = [job.result() for job in jobs]
            speaker_chunk = chunks.pop() if speaker_frames is not None else None
            compose_job = [threads.submit(compose_chunk, chunks, speaker_chunk, count)]
            threads.report((start + count) / frames)
        threads.wait(compose_job)


class _Threads:
    """Threads that end together: an error in one, or in `progress`, ends the others within a picture."""

    def __init__(self, count: int, progress: Callable[[float], None] | None) -> None:
        self._pool = ThreadPoolExecutor(count, "draw")
        self._progress, self._fraction = progress, 0.0
        self._is_stopped = False

    def submit(self, work: Callable[..., object], *arguments: object) -> Future:
        return self._pool.submit(work, *arguments)

    def check(self) -> None:
        """Called between pictures: raises CancelledError where the work is of no use any more."""
        if self._is_stopped:
            raise CancelledError

    def report(self, fraction: float) -> None:
        self._fraction = fraction
        if self._progress is not None:
            self._progress(fraction)

    def wait(self, jobs: Sequence[Future]) -> None:
        """Wait for the jobs, and raise the error of the first that fails. Reports while it waits: whoever follows the
        progress may end it there."""
        pending = set(jobs)
        while pending:
            done, pending = wait(pending, REPORT_SECONDS, FIRST_EXCEPTION)
            for job in done:
                job.result()
            if pending:
                self.report(self._fraction)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_stopped = kind is not None
        self._pool.shutdown(cancel_futures=True)


def _writer(
    track: VideoTrack, size: int, audio: tuple[np.ndarray, int] | None, metadata: dict[str, str] | None
) -> VideoWriter | AlphaVideoWriter:
    if track.path.suffix == ".webm":
        return AlphaVideoWriter(track.path, (size, size), FPS, metadata)
    return VideoWriter(track.path, (size, size), FPS, audio, metadata)


def _write(writer: VideoWriter, picture: np.ndarray, label: str | None) -> YuvPicture:
    """Writes a picture with the label; what comes back has none, for a place beside others."""
    writer.check(picture)
    converted = to_yuv420(picture)
    writer.write_yuv(stamped_yuv(picture, converted, label) if label else converted)
    return converted


def _repeat_last_frame(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, then the last of them for ever."""
    last = None
    for last in frames:
        yield last
    if last is None:
        raise RenderError("The speaker's video has no picture to show beside the reactions.")
    while True:
        yield last
