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
from renderer.video.layout import SideBySideLayout, stamp_label
from renderer.video.writer import VideoWriter

CHUNK_FRAMES = 12
"""Frames of one piece of work: long enough to keep threads busy, short enough for 20 videos of 512² in 200 MB."""


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
            VideoWriter(side_by_side, layout.size, FPS, audio, metadata, threads=workers)
        )
        pool = stack.enter_context(ThreadPoolExecutor(workers))

        def draw(track: VideoTrack, writer: VideoWriter | AlphaVideoWriter, count: int) -> list[np.ndarray]:
            pictures = list(islice(track.frames, count))
            if len(pictures) < count:
                raise RenderError(f"{track.path.name} ended {count - len(pictures)} frames early.")
            for picture in pictures:
                writer.write(stamp_label(picture, label) if label else picture)
            return pictures

        def compose_chunk(chunks: list[list[np.ndarray]], speaker_chunk: list[np.ndarray] | None, count: int) -> None:
            for index in range(count):
                pictures = iter([chunk[index] for chunk in chunks])  # standalone tracks come last: nobody asks for them
                cards = [[next(pictures) for _ in card] for card in reactions]
                layout_writer.write(layout.compose(None if speaker_chunk is None else speaker_chunk[index], cards))

        pending_compose = None
        for start in range(0, frames, CHUNK_FRAMES):
            count = min(CHUNK_FRAMES, frames - start)
            speaker_job = (
                pool.submit(lambda n: list(islice(speaker_frames, n)), count) if speaker_frames is not None else None
            )
            draw_jobs = [pool.submit(draw, track, writer, count) for track, writer in zip(tracks, writers, strict=True)]
            chunks = [job.result() for job in draw_jobs]
            speaker_chunk = speaker_job.result() if speaker_job is not None else None
            if pending_compose is not None:
                pending_compose.result()  # one chunk at most waits to be composed: memory does not grow with the clip
            pending_compose = pool.submit(compose_chunk, chunks, speaker_chunk, count)
            if progress is not None:
                progress((start + count) / frames)
        if pending_compose is not None:
            pending_compose.result()


def _writer(
    track: VideoTrack, size: int, audio: tuple[np.ndarray, int] | None, metadata: dict[str, str] | None
) -> VideoWriter | AlphaVideoWriter:
    if track.path.suffix == ".webm":
        return AlphaVideoWriter(track.path, (size, size), FPS, metadata)
    return VideoWriter(track.path, (size, size), FPS, audio, metadata)


def _repeat_last_frame(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, then the last of them for ever."""
    last = None
    for last in frames:
        yield last
    if last is None:
        raise RenderError("The speaker's video has no picture to show beside the reactions.")
    while True:
        yield last
