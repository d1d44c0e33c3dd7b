"""The six metrics of multiple appropriate facial reaction generation, as published and corrected (docs/method.md 11).

Notation: N clips, K samples each, T frames, D = 25 attributes (15 action units, valence, arousal, 8 expressions). The
clips whose real listener reaction counts as appropriate for a clip are its row of `neighbour`; the published scripts
read two different matrices under the same metric names (generic, or person-specific for the parallel versions), so say
which one you pass.

Where the columns differ:
* FRCorr, FRDist: the published numbers are *sums* over the K samples; corrected: means.
* FRSyn: the published parallel version scores only the first sample of a clip, and one constant channel makes every lag
  undefined, which counts as 49 frames; corrected: all samples, and the mean over channels leaves constant ones out.
FRRea, the distance between rendered and real frames, needs pictures: evaluation.realism.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.metrics import kernels

LONGEST_LAG = 49  # frames, 2 s
CCC_EPSILON = 1e-8
ATTRIBUTES = 25
COARSE = 15  # frames averaged before the likeliest listener is guessed


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
    corrected: Scores


def evaluate(
    prediction: np.ndarray, truth: np.ndarray, speaker: np.ndarray, neighbour: np.ndarray, threads: int | None = None
) -> Table:
    """All metrics of reactions (N, K, T, 25) to speakers (N, T, 25), with truth (N, T, 25) and neighbour (N, N) of 0/1.

    `threads` None: one for every core.

    Raises InputError for shapes that do not fit, numbers that are not finite, and a clip without any neighbour.
    """
    prediction, truth, speaker, neighbour = _checked(prediction, truth, speaker, neighbour)
    samples = prediction.shape[1]
    corr = float(best_correlation(prediction, truth, neighbour, threads).sum(axis=1).mean())
    dist = float(best_distance(prediction, truth, neighbour, threads).sum(axis=1).mean())
    div, var, dvs = diversity(prediction), variance(prediction), distinctness(prediction)
    return Table(
        Scores(corr, dist, div, var, dvs, synchrony(prediction, speaker, "published", threads=threads)),
        Scores(
            corr / samples, dist / samples, div, var, dvs, synchrony(prediction, speaker, "corrected", threads=threads)
        ),
    )


def concordance(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Concordance correlation, mean over columns: (P, T, D) against (N, T, D) -> (P, N).

    Population moments; a column that is constant on either side counts as 0.
    """
    return _concordance(*_centred(prediction), *_centred(truth))


def _centred(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P, T, D) -> deviations from the mean (D, P, T), means (P, D), population variances (P, D)."""
    columns = np.ascontiguousarray(np.asarray(rows, np.float64).transpose(2, 0, 1))
    mean = columns.mean(axis=2)
    centred = columns - mean[..., None]
    # A constant column is exactly 0 here, whatever rounding its mean picked up.
    centred[columns.max(axis=2) == columns.min(axis=2)] = 0.0
    return centred, mean.T, np.square(centred).mean(axis=2).T


def _concordance(centred_p, mean_p, variance_p, centred_t, mean_t, variance_t) -> np.ndarray:
    covariance = np.matmul(centred_p, centred_t.transpose(0, 2, 1)) / centred_p.shape[2]  # (D, P, N)
    variances = variance_p.T[:, :, None] + variance_t.T[:, None]
    mean_difference = mean_p.T[:, :, None] - mean_t.T[:, None]
    return (2 * covariance / (variances + mean_difference**2 + CCC_EPSILON)).mean(axis=0)


def best_correlation(
    prediction: np.ndarray, truth: np.ndarray, neighbour: np.ndarray, threads: int | None = None
) -> np.ndarray:
    """FRCorr's parts, (N, K): the best concordance of a sample with an appropriate listener."""
    centred, mean, variance = _centred(truth)

    def best_of_clip(i: int) -> np.ndarray:
        appropriate = np.flatnonzero(neighbour[i] > 0)
        listeners = centred[:, appropriate], mean[appropriate], variance[appropriate]
        return _concordance(*_centred(prediction[i]), *listeners).max(axis=1)

    return np.stack(_in_threads(best_of_clip, len(prediction), threads))


def warping_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Weighted time-warped distance of two reactions (·, 25): action units / 15 + affect + expressions / 8.

    Each part is the root of the least cumulated squared Euclidean cost over all warping paths, without a band.
    """
    a, b = _columns(np.asarray(a)[::-1]), _columns(b)
    groups = enumerate(kernels.GROUPS)
    return sum(weight * kernels.warping_distance(a, b, group, np.inf) for group, (_, _, weight) in groups)


def best_distance(
    prediction: np.ndarray, truth: np.ndarray, neighbour: np.ndarray, threads: int | None = None
) -> np.ndarray:
    """FRDist's parts, (N, K): the least weighted warping distance of a sample to an appropriate listener."""
    columns, coarse = _columns(truth), _columns(_coarse(truth))
    boxes = np.stack([columns.min(axis=2), columns.max(axis=2)], axis=1)  # (M, 2, D)
    count, samples = prediction.shape[:2]
    appropriate = [np.flatnonzero(row > 0) for row in neighbour]

    def least_of_sample(item: int) -> float:
        rows = prediction[item // samples, item % samples, ::-1]
        candidates = appropriate[item // samples]
        return kernels.least_distance(_columns(rows), columns, boxes, _columns(_coarse(rows)), coarse, candidates)

    return np.array(_in_threads(least_of_sample, count * samples, threads)).reshape(count, samples)


def _coarse(rows: np.ndarray) -> np.ndarray:
    """(…, T, D) -> (…, T / COARSE, D): means of frames."""
    frames, step = rows.shape[-2], min(COARSE, rows.shape[-2])
    steps = rows[..., : frames - frames % step, :]
    return steps.reshape(*rows.shape[:-2], -1, step, rows.shape[-1]).mean(axis=-2, dtype=np.float64)


def _columns(rows: np.ndarray) -> np.ndarray:
    """(…, T, D) -> (…, D, T) float64, frames next to one another in memory."""
    return np.ascontiguousarray(np.swapaxes(np.asarray(rows, np.float64), -1, -2))


def _in_threads(function: Callable[[int], object], count: int, threads: int | None) -> list:
    """Results of `function` for 0 … count - 1, by so many threads; None: as many as there are cores."""
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        return list(pool.map(function, range(count)))


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


def lagged_correlation(reaction: np.ndarray, speaker: np.ndarray, compat: str = "corrected") -> np.ndarray:
    """Mean correlation over columns of (T, D) and (T, D) for lags -49 … 49, (99,).

    A positive lag compares the reaction with what the speaker did that many frames earlier. A constant column makes
    the mean NaN as published; "corrected" leaves it out (NaN only where every column is constant).
    """
    return kernels.lagged_correlation(_columns(reaction), _columns(speaker), LONGEST_LAG, compat == "corrected")


def best_lag(reaction: np.ndarray, speaker: np.ndarray, compat: str = "corrected") -> float:
    """Lag in frames at which a reaction follows its speaker best, positive = after the speaker.

    As published, an undefined correlation counts as -49; corrected: NaN if there is no lag with any moving column.
    """
    correlation = lagged_correlation(reaction, speaker, compat)
    if compat == "published":
        return float(np.argmax(correlation) - LONGEST_LAG)  # numpy's argmax takes the first NaN there is
    return float(np.nanargmax(correlation) - LONGEST_LAG) if np.isfinite(correlation).any() else float("nan")


def synchrony(
    prediction: np.ndarray,
    speaker: np.ndarray,
    compat: str = "corrected",
    samples: int | None = None,
    threads: int | None = None,
) -> float:
    """FRSyn: mean absolute best lag.

    `samples`: how many of each clip's samples are scored. None: one as in the published parallel version, all in the
    corrected one. Reactions without a defined lag are left out of the corrected mean; NaN if none has one.
    """
    if samples is None:
        samples = 1 if compat == "published" else prediction.shape[1]

    def lag_of_sample(item: int) -> float:
        return best_lag(prediction[item // samples, item % samples], speaker[item // samples], compat)

    lags = np.array(_in_threads(lag_of_sample, len(prediction) * samples, threads))
    lags = np.abs(lags[np.isfinite(lags)])
    return float(lags.mean()) if len(lags) else float("nan")


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
    isolated = np.flatnonzero(~(neighbour > 0).any(axis=1))
    if len(isolated):
        raise InputError(f"Clip {isolated[0]} has no appropriate listener in the neighbour matrix.")
    for what, x in (("reactions", prediction), ("real reactions", truth), ("speakers", speaker)):
        if not np.isfinite(x).all():
            raise InputError(f"The {what} hold numbers that are not finite.")
    return prediction, truth, speaker, neighbour
