"""The six metrics of multiple appropriate facial reaction generation, as published and sound (spec metrics.md).

Notation: N clips, K samples each, T frames, D = 25 attributes (15 action units, valence, arousal, 8 expressions). The
clips whose real listener reaction counts as appropriate for a clip are its row of `neighbour`; the published scripts
read two different matrices under the same metric names (generic, or person-specific for the parallel versions), so say
which one you pass.

Where the columns differ:
* FRCorr, FRDist: the published numbers are *sums* over the K samples; sound: means.
* FRSyn: the published parallel version scores only the first sample of a clip, and one constant channel makes every lag
  undefined, which counts as 49 frames; sound: all samples, constant channels are left out of the mean over channels.
FRRea, the distance between rendered and real frames, needs pictures and is not here.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit

from perfrdiff.errors import InputError

GROUPS = ((slice(0, 15), 1 / 15), (slice(15, 17), 1.0), (slice(17, 25), 1 / 8))  # columns and weight in FRDist
LONGEST_LAG = 49  # frames, 2 s
CCC_EPSILON = 1e-8
ATTRIBUTES = 25


@dataclass(frozen=True)
class Scores:
    """One column of a results table; arrows: which way is better."""

    FRCorr: float  # ↑
    FRDist: float  # ↓
    FRDiv: float  # ↑
    FRVar: float  # ↑
    FRDvs: float  # ↑
    FRSyn: float  # ↓, frames


@dataclass(frozen=True)
class Table:
    """The same reactions in both columns."""

    published: Scores
    sound: Scores


def evaluate(
    prediction: np.ndarray, truth: np.ndarray, speaker: np.ndarray, neighbour: np.ndarray, threads: int = 1
) -> Table:
    """All metrics of reactions (N, K, T, 25) to speakers (N, T, 25), with truth (N, T, 25) and neighbour (N, N) of 0/1.

    Raises InputError for shapes that do not fit, numbers that are not finite, and a clip without any neighbour.
    """
    prediction, truth, speaker, neighbour = _checked(prediction, truth, speaker, neighbour)
    samples = prediction.shape[1]
    corr = float(best_correlation(prediction, truth, neighbour).sum(axis=1).mean())
    dist = float(best_distance(prediction, truth, neighbour, threads).sum(axis=1).mean())
    div, var, dvs = diversity(prediction), variance(prediction), distinctness(prediction)
    return Table(
        Scores(corr, dist, div, var, dvs, synchrony(prediction, speaker, "published")),
        Scores(corr / samples, dist / samples, div, var, dvs, synchrony(prediction, speaker, "sound")),
    )


def concordance(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Concordance correlation, mean over columns: (P, T, D) against (N, T, D) -> (P, N).

    Population moments; a column that is constant on either side counts as 0.
    """
    prediction, truth = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    frames = prediction.shape[1]
    mean_p, mean_t = prediction.mean(axis=1), truth.mean(axis=1)  # (·, D)
    moved_p, moved_t = prediction - mean_p[:, None], truth - mean_t[:, None]
    # A constant column is exactly 0 here, whatever rounding its mean picked up.
    moved_p[np.broadcast_to(_constant(prediction)[:, None], moved_p.shape)] = 0.0
    moved_t[np.broadcast_to(_constant(truth)[:, None], moved_t.shape)] = 0.0
    shared = np.matmul(moved_p.transpose(2, 0, 1), moved_t.transpose(2, 1, 0)) / frames  # (D, P, N)
    spread_p, spread_t = (moved_p**2).mean(axis=1), (moved_t**2).mean(axis=1)
    apart = (mean_p.T[:, :, None] - mean_t.T[:, None]) ** 2
    both = spread_p.T[:, :, None] + spread_t.T[:, None]
    return (2 * shared / (both + apart + CCC_EPSILON)).mean(axis=0)


def best_correlation(prediction: np.ndarray, truth: np.ndarray, neighbour: np.ndarray) -> np.ndarray:
    """FRCorr's parts, (N, K): the best concordance of a sample with an appropriate listener."""
    every = np.stack([concordance(samples, truth) for samples in prediction])  # (N, K, N)
    return np.where(neighbour[:, None] > 0, every, -np.inf).max(axis=2)


@njit(nogil=True, cache=True)
def _warped(a: np.ndarray, b: np.ndarray) -> float:
    """Dynamic time warping of (S, D) and (T, D): root of the least cumulated squared Euclidean cost, no band."""
    row = np.full(len(b) + 1, np.inf)
    row[0] = 0.0
    for i in range(len(a)):
        corner = row[0]
        row[0] = np.inf
        for j in range(len(b)):
            cost = 0.0
            for d in range(a.shape[1]):
                cost += (a[i, d] - b[j, d]) ** 2
            best = min(corner, row[j], row[j + 1])
            corner = row[j + 1]
            row[j + 1] = cost + best
    return np.sqrt(row[len(b)])


def warping_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Weighted time-warped distance of two reactions (T, 25): action units / 15 + affect + expressions / 8."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return sum(
        weight * _warped(np.ascontiguousarray(a[:, columns]), np.ascontiguousarray(b[:, columns]))
        for columns, weight in GROUPS
    )


def best_distance(prediction: np.ndarray, truth: np.ndarray, neighbour: np.ndarray, threads: int = 1) -> np.ndarray:
    """FRDist's parts, (N, K): the least weighted warping distance of a sample to an appropriate listener."""

    def of_clip(i: int) -> list[float]:
        appropriate = truth[neighbour[i] > 0]
        return [min(warping_distance(sample, real) for real in appropriate) for sample in prediction[i]]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        return np.array(list(pool.map(of_clip, range(len(prediction)))))


def _mean_pair_distance(items: np.ndarray) -> float:
    """Mean squared difference of the ordered pairs of (M, …), 0 for a single one."""
    count = len(items)
    if count < 2:
        return 0.0
    rows = items.reshape(count, -1).astype(np.float64)
    rows = rows - rows.mean(axis=0)  # then the sum over pairs is 2 M times the sum of squares
    return float(2 * count * (rows**2).sum() / (count * (count - 1)) / rows.shape[1])


def diversity(prediction: np.ndarray) -> float:
    """FRDiv: mean squared difference between the samples of a clip; 0 for a single sample."""
    return float(np.mean([_mean_pair_distance(samples) for samples in prediction]))


def distinctness(prediction: np.ndarray) -> float:
    """FRDvs: mean squared difference between the clips, sample by sample; 0 for a single clip."""
    return float(np.mean([_mean_pair_distance(prediction[:, k]) for k in range(prediction.shape[1])]))


def variance(prediction: np.ndarray) -> float:
    """FRVar: unbiased variance over time of every column of (…, T, D), averaged."""
    return float(np.asarray(prediction, np.float64).var(axis=-2, ddof=1).mean())


def lagged_correlation(reaction: np.ndarray, speaker: np.ndarray, compat: str = "sound") -> np.ndarray:
    """Mean correlation over columns of (T, D) and (T, D) for lags -49 … 49, (99,).

    A positive lag compares the reaction with what the speaker did that many frames earlier. A constant column makes
    the mean NaN as published; "sound" leaves it out (NaN only where every column is constant).
    """
    reaction, speaker = np.asarray(reaction, np.float64), np.asarray(speaker, np.float64)
    frames, peaks = len(reaction), []
    for lag in range(-LONGEST_LAG, LONGEST_LAG + 1):
        late = reaction[max(lag, 0) : frames + min(lag, 0)]
        early = speaker[max(-lag, 0) : frames - max(lag, 0)]
        undefined = _constant(late[None])[0] | _constant(early[None])[0]
        late, early = late - late.mean(axis=0), early - early.mean(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (late * early).sum(axis=0) / np.sqrt((late**2).sum(axis=0) * (early**2).sum(axis=0))
        r[undefined] = np.nan
        if compat == "sound":
            peaks.append(r[~undefined].mean() if not undefined.all() else np.nan)
        else:
            peaks.append(r.mean())
    return np.array(peaks)


def best_lag(reaction: np.ndarray, speaker: np.ndarray, compat: str = "sound") -> float:
    """Lag in frames at which a reaction follows its speaker best, positive = after the speaker.

    As published, an undefined correlation counts as -49; sound: NaN if there is no lag with any moving column.
    """
    correlation = lagged_correlation(reaction, speaker, compat)
    if compat == "published":
        return float(np.argmax(correlation) - LONGEST_LAG)  # numpy's argmax takes the first NaN there is
    return float(np.nanargmax(correlation) - LONGEST_LAG) if np.isfinite(correlation).any() else float("nan")


def synchrony(prediction: np.ndarray, speaker: np.ndarray, compat: str = "sound", samples: int | None = None) -> float:
    """FRSyn: mean absolute best lag.

    `samples`: how many of each clip's samples are scored. None: one as in the published parallel version, all in the
    sound one. Reactions without a defined lag are left out of the sound mean; NaN if none has one.
    """
    if samples is None:
        samples = 1 if compat == "published" else prediction.shape[1]
    lags = np.array(
        [
            best_lag(sample, talk, compat)
            for clip, talk in zip(prediction, speaker, strict=True)
            for sample in clip[:samples]
        ]
    )
    lags = np.abs(lags[np.isfinite(lags)])
    return float(lags.mean()) if len(lags) else float("nan")


def _constant(x: np.ndarray) -> np.ndarray:
    """Which columns of (P, T, D) never change, (P, D)."""
    return x.max(axis=1) == x.min(axis=1)


def _checked(prediction, truth, speaker, neighbour) -> tuple[np.ndarray, ...]:
    prediction, truth, speaker = (np.asarray(x) for x in (prediction, truth, speaker))
    neighbour = np.asarray(neighbour)
    if prediction.ndim != 4 or prediction.shape[-1] != ATTRIBUTES or 0 in prediction.shape:
        raise InputError(f"The reactions have shape {prediction.shape}; expected (clips, samples, frames, 25).")
    clips, _, frames, _ = prediction.shape
    if frames <= LONGEST_LAG + 1:
        raise InputError(f"The reactions have {frames} frames; the metrics need more than {LONGEST_LAG + 1} (2 s).")
    for what, x in (("real reactions", truth), ("speakers", speaker)):
        if x.shape != (clips, frames, ATTRIBUTES):
            raise InputError(f"The {what} have shape {x.shape}; expected {(clips, frames, ATTRIBUTES)}.")
    if neighbour.shape != (clips, clips):
        raise InputError(f"The neighbour matrix has shape {neighbour.shape}; expected {(clips, clips)}.")
    lonely = np.flatnonzero(~(neighbour > 0).any(axis=1))
    if len(lonely):
        raise InputError(f"Clip {lonely[0]} has no appropriate listener in the neighbour matrix.")
    for what, x in (("reactions", prediction), ("real reactions", truth), ("speakers", speaker)):
        if not np.isfinite(x).all():
            raise InputError(f"The {what} hold numbers that are not finite.")
    return prediction, truth, speaker, neighbour
