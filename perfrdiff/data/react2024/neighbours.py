"""Who is appropriate for whom: the code that builds neighbour matrices.

REACT 2024 ships its matrices. For other data, and where they are missing, two entries count as neighbours when their
*speakers* behave alike: then the listener of the one could have reacted as the listener of the other did. Alike means a
small time-warped distance of the speakers' attributes (the weighting of FRDist), on means over half a second.
The person-specific matrix keeps only the neighbours in which the same person listens.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from perfrdiff.metrics import challenge as metrics

COARSE = 12  # frames averaged before comparing, about half a second
DEFAULT_MEAN_NEIGHBOURS = 20.0  # mean number per entry aimed at


def speaker_distances(
    attributes: np.ndarray, threads: int | None = None, progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """Symmetric distances (N, N) of speakers' attributes (N, frames, 25); `progress` gets pairs done and in all."""
    count, frames, width = attributes.shape
    usable = frames - frames % COARSE
    coarse = attributes[:, :usable].reshape(count, -1, COARSE, width).mean(axis=2)
    distances = np.zeros((count, count))

    def row(i: int) -> None:
        for j in range(i):
            distances[i, j] = distances[j, i] = metrics.warping_distance(coarse[i], coarse[j])

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for i, _ in enumerate(pool.map(row, range(count))):
            if progress is not None:
                progress(i * (i + 1) // 2, count * (count - 1) // 2)
    return distances


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
) -> np.ndarray:
    """The generic matrix of entries by their speakers' clips; every clip is compared once."""
    unique = sorted(set(speakers))
    number = {path: i for i, path in enumerate(unique)}
    rows = [number[path] for path in speakers]
    distances = speaker_distances(np.stack([attributes_of(path) for path in unique]), progress=progress)
    return neighbour_matrix(distances[np.ix_(rows, rows)], mean_neighbours)
