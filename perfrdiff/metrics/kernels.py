"""The loops of the metrics, compiled: time warping that gives up early, and correlations at many lags.

All are exact. They run without Python's lock, so that threads share the clips.
"""

import numpy as np

from renderer.jit import jit

GROUPS = ((0, 15, 1 / 15), (15, 17, 1.0), (17, 25, 1 / 8))  # first and last column, weight in FRDist
_MATH = {"reassoc", "contract", "nsz", "nnan"}  # sums may be reordered, nothing is NaN; infinity keeps its meaning


@jit(fastmath=_MATH, error_model="python")
def _fill_diagonal(
    a: np.ndarray, b: np.ndarray, group: int, where: tuple, before: np.ndarray, before_that: np.ndarray, out: np.ndarray
) -> None:
    """One anti-diagonal of cumulated costs over a group of columns, all cells at once, from the two before it.

    a (D, S) is reversed in time, so that a diagonal runs forward through both. `where`: first frame in a, in b, cells.
    """
    first, last, _ = GROUPS[group]
    in_a, in_b, count = where
    cells = out[in_b + 1 : in_b + 1 + count]
    cells[:] = 0.0
    for d in range(first, last):
        x, y = a[d, in_a : in_a + count], b[d, in_b : in_b + count]
        for n in range(count):
            difference = x[n] - y[n]
            cells[n] += difference * difference
    above, left, corner = before[in_b + 1 :], before[in_b:], before_that[in_b:]
    for n in range(count):
        cells[n] += min(min(above[n], left[n]), corner[n])
    out[in_b] = np.inf  # beside the diagonal there is nothing to come from
    out[in_b + 1 + count] = np.inf


@jit(fastmath=_MATH, error_model="python")
def _box_bound(a: np.ndarray, low: np.ndarray, high: np.ndarray, first: int, last: int) -> float:
    """Least squared distance of the frames of a (D, S) to a box: no warping path can cost less."""
    total = 0.0
    for d in range(first, last):
        row, lowest, highest = a[d], low[d], high[d]
        for i in range(row.shape[0]):
            difference = max(lowest - row[i], row[i] - highest, 0.0)
            total += difference * difference
    return total


@jit(fastmath=False, error_model="python")
def _lower_bound(a: np.ndarray, b: np.ndarray, a_box: np.ndarray, b_box: np.ndarray, group: int) -> float:
    """No warping distance of a (D, S) and b (D, T) over a group of columns is below this."""
    first, last, _ = GROUPS[group]
    bound = _box_bound(a, b_box[0], b_box[1], first, last)
    return np.sqrt(max(bound, _box_bound(b, a_box[0], a_box[1], first, last)))


@jit(fastmath=False, error_model="python")
def warping_distance(a: np.ndarray, b: np.ndarray, group: int, limit: float) -> float:
    """Warping distance over one group of columns of a, transposed and reversed in time (25, S), and b transposed
    (25, T); infinity once it cannot be below `limit`.

    Cells of an anti-diagonal do not need one another, so the processor works on many at a time.
    """
    frames_a, frames_b = a.shape[1], b.shape[1]
    rows = np.full((3, frames_b + 3), np.inf)  # diagonal modulo 3, frame of b + 1
    rows[1, 0] = 0.0  # what the first cell follows: the corner before it
    for k in range(frames_a + frames_b - 1):
        begin, end = max(0, k - frames_a + 1), min(k, frames_b - 1)
        where = (frames_a - 1 - k + begin, begin, end - begin + 1)
        now, before, before_that = k % 3, (k - 1) % 3, (k - 2) % 3
        _fill_diagonal(a, b, group, where, rows[before], rows[before_that], rows[now])
        if k == 0:
            rows[1, 0] = np.inf
        if k % 16 == 15 and limit < np.inf:  # every path has a cell on this diagonal or on the one before
            cells = slice(begin, end + 2)  # the one before may reach a cell further back
            if min(rows[now, cells].min(), rows[before, cells].min()) >= limit * limit:
                return np.inf
    return np.sqrt(rows[(frames_a + frames_b - 2) % 3, frames_b])


@jit(fastmath=False, error_model="python")
def _by_coarse_distance(sample: np.ndarray, truth: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """`candidates` in the order of the weighted warping distance of coarse clips (25, ·): a guess, no bound."""
    distance = np.zeros(len(candidates))
    for i in range(len(candidates)):
        for group in range(3):
            distance[i] += GROUPS[group][2] * warping_distance(sample, truth[candidates[i]], group, np.inf)
    return candidates[np.argsort(distance)]


@jit(fastmath=False, error_model="python")
def least_distance(
    sample: np.ndarray, truth: np.ndarray, boxes: np.ndarray, coarse_sample: np.ndarray, coarse_truth: np.ndarray,
    candidates: np.ndarray,
) -> float:  # fmt: skip
    """Least weighted warping distance of a sample, transposed and reversed in time (25, S), to
    truth[candidates] (·, 25, T); boxes (·, 2, 25) hold their least and greatest values.

    Candidates are compared in the order of their coarse distance: the first is mostly the nearest, and the others are
    given up as soon as they cannot be nearer. Valence and arousal cost least to compare and weigh most, so they come
    first.
    """
    box = np.empty((2, sample.shape[0]))
    for d in range(sample.shape[0]):
        box[0, d], box[1, d] = sample[d].min(), sample[d].max()
    best = np.inf
    for j in _by_coarse_distance(coarse_sample, coarse_truth, candidates):
        real, real_box = truth[j], boxes[j]
        units = _lower_bound(sample, real, box, real_box, 0) / 15
        expressions = _lower_bound(sample, real, box, real_box, 2) / 8
        distance = warping_distance(sample, real, 1, best - units - expressions)
        if distance + units + expressions < best:
            distance += warping_distance(sample, real, 2, 8 * (best - distance - units)) / 8
            if distance + units < best:
                best = min(best, distance + warping_distance(sample, real, 0, 15 * (best - distance)) / 15)
    return best


@jit(fastmath=_MATH, error_model="python")
def _moments(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Sums of squares of x and of y and of their products, about their means."""
    mean_x, mean_y, count = 0.0, 0.0, x.shape[0]
    for i in range(count):
        mean_x += x[i]
        mean_y += y[i]
    mean_x /= count
    mean_y /= count
    xx, yy, xy = 0.0, 0.0, 0.0
    for i in range(count):
        dx, dy = x[i] - mean_x, y[i] - mean_y
        xx += dx * dx
        yy += dy * dy
        xy += dx * dy
    return xx, yy, xy


@jit(fastmath=False, error_model="python")
def _is_constant(x: np.ndarray, first: int, last: int) -> bool:
    for i in range(first + 1, last):  # noqa: SIM110 - a generator does not compile
        if x[i] != x[first]:
            return False
    return True


@jit(fastmath=False, error_model="python")
def lagged_correlation(reaction: np.ndarray, speaker: np.ndarray, longest: int, corrected: bool) -> np.ndarray:
    """Mean correlation over columns of (D, T) and (D, T) for every lag; see challenge.lagged_correlation."""
    columns, frames = reaction.shape
    out = np.empty(2 * longest + 1)
    for index in range(2 * longest + 1):
        lag = index - longest
        late, early, count = max(lag, 0), max(-lag, 0), frames - abs(lag)
        total, counted = 0.0, 0
        for d in range(columns):
            if _is_constant(reaction[d], late, late + count) or _is_constant(speaker[d], early, early + count):
                if not corrected:
                    total = np.nan
                continue
            xx, yy, xy = _moments(reaction[d, late : late + count], speaker[d, early : early + count])
            total += xy / np.sqrt(xx * yy)
            counted += 1
        if corrected:
            out[index] = total / counted if counted else np.nan
        else:
            out[index] = total / columns
    return out
