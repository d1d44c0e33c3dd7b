"""Who is appropriate for whom: the code that builds neighbour matrices.

REACT 2024 ships its matrices. For other data, and where they are missing, two entries count as neighbours when their
*speakers* behave alike: then the listener of the one could have reacted as the listener of the other did. Alike means a
small time-warped distance of the speakers' attributes (the weighting of FRDist), on means over half a second.
The person-specific matrix keeps only the neighbours in which the same person listens.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.files import atomic_write
from perfrdiff.metrics import challenge as metrics

COARSE = 12  # frames averaged before comparing, about half a second
DEFAULT_MEAN_NEIGHBOURS = 20.0  # mean number per entry aimed at
BLOCK = 64  # rows of distances that are kept together
TIMED_PAIRS = 100
MATRIX_BYTES = 8 + 8 + 1 + 1  # a pair's distance, its copy by entries, and both matrices


@dataclass(frozen=True)
class Cost:
    """What comparing all pairs of `clips` clips takes; it grows with their square."""

    clips: int
    pair_seconds: float  # of one thread
    threads: int

    @property
    def hours(self) -> float:
        return self.clips * (self.clips - 1) / 2 * self.pair_seconds / self.threads / 3600

    @property
    def gigabytes(self) -> float:
        return self.clips**2 * MATRIX_BYTES / 1e9

    def __str__(self) -> str:
        pairs = self.clips * (self.clips - 1) // 2
        minutes = self.hours * 60
        wait = f"{self.hours:.1f} h" if minutes > 100 else f"{max(minutes, 0.1):.1f} min"
        return (
            f"{pairs:,} pairs of {self.clips:,} clips: about {wait} on {self.threads} threads, {self.gigabytes:.1f} GB"
        )


def thread_count() -> int:
    """As many as this process has cores."""
    return len(os.sched_getaffinity(0))


def cost_of(attributes: np.ndarray, threads: int) -> Cost:
    """The cost of the distances of these speakers (N, frames, 25), by the time that some pairs take."""
    coarse = _coarse(attributes[: min(len(attributes), 16)])
    pairs = [(i, j) for i in range(len(coarse)) for j in range(i)][:TIMED_PAIRS]
    if not pairs:
        return Cost(len(attributes), 0.0, threads)
    metrics.warping_distance(coarse[0], coarse[1])  # compiled now, if it was not
    began = time.perf_counter()
    for i, j in pairs:
        metrics.warping_distance(coarse[i], coarse[j])
    return Cost(len(attributes), (time.perf_counter() - began) / len(pairs), threads)


def speaker_distances(
    attributes: np.ndarray,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    kept: Path | None = None,
) -> np.ndarray:
    """Symmetric distances (N, N) of speakers' attributes (N, frames, 25); `progress` gets pairs done and in all.

    kept: a folder in which rows that are done are kept, and from which a run that was stopped goes on; the caller
    removes it. Rows of other attributes in it are left alone.
    """
    coarse = _coarse(attributes)
    count = len(coarse)
    distances = np.zeros((count, count))
    key = hashlib.sha256(np.ascontiguousarray(coarse)).hexdigest()[:16]

    def row(i: int) -> None:
        for j in range(i):
            distances[i, j] = metrics.warping_distance(coarse[i], coarse[j])

    with ThreadPoolExecutor(threads or thread_count()) as pool:
        for block in _blocks(count):
            file = None if kept is None else kept / f"{key}-{block.start}.npy"
            if file is not None and file.is_file():
                distances[block.start : block.stop] = np.load(file)
            else:
                list(pool.map(row, block))
                if file is not None:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    with atomic_write(file) as temporary:
                        np.save(temporary, distances[block.start : block.stop])
            if progress is not None:
                progress(block.stop * (block.stop - 1) // 2, count * (count - 1) // 2)
    lower = np.tril_indices(count, -1)
    distances.T[lower] = distances[lower]
    return distances


def _coarse(attributes: np.ndarray) -> np.ndarray:
    """(N, frames, 25) as means over `COARSE` frames."""
    count, frames, width = attributes.shape
    return attributes[:, : frames - frames % COARSE].reshape(count, -1, COARSE, width).mean(axis=2)


def _blocks(count: int) -> Iterator[range]:
    for start in range(0, count, BLOCK):
        yield range(start, min(start + BLOCK, count))


def neighbour_matrix(distances: np.ndarray, mean_neighbours: float = DEFAULT_MEAN_NEIGHBOURS) -> np.ndarray:
    """(N, N) uint8: pairs below the distance at which an entry has `mean_neighbours` neighbours on average.

    The diagonal is always set; equal distances are treated alike, so that there may be some more.
    """
    count = len(distances)
    pairs = distances[np.triu_indices(count, 1)]
    pair_count = min(round(mean_neighbours * count / 2), len(pairs))
    if pair_count <= 0:
        return np.eye(count, dtype=np.uint8)
    limit = np.partition(pairs, pair_count - 1)[pair_count - 1]
    matrix = (distances <= limit).astype(np.uint8)
    np.fill_diagonal(matrix, 1)
    return matrix


def build_matrix(
    attributes_of: Callable[[str], np.ndarray],
    speakers: list[str],
    mean_neighbours: float = DEFAULT_MEAN_NEIGHBOURS,
    progress: Callable[[int, int], None] | None = None,
    *,
    threads: int | None = None,
    kept: Path | None = None,
    most_hours: float | None = None,
    tell: Callable[[Cost], None] | None = None,
) -> np.ndarray:
    """The generic matrix of entries by their speakers' clips; every clip is compared once.

    threads, kept: see `speaker_distances`. tell: gets the cost before the work.
    Raises InputError, before the work, where it would take more than `most_hours`.
    """
    unique = sorted(set(speakers))
    number = {path: i for i, path in enumerate(unique)}
    rows = [number[path] for path in speakers]
    attributes = np.stack([attributes_of(path) for path in unique])
    cost = cost_of(attributes, threads or thread_count())
    if most_hours is not None and cost.hours > most_hours:
        raise InputError(f"{cost}, more than {most_hours:g} h; allow more with --most-hours, or split the data set.")
    if tell is not None:
        tell(cost)
    distances = speaker_distances(attributes, threads, progress, kept)
    return neighbour_matrix(distances[np.ix_(rows, rows)], mean_neighbours)
