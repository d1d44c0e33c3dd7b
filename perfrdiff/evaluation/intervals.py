"""Bootstrap intervals over independent units (persons, clips)."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap

RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % percentile bootstrap interval."""

    value: float
    low: float
    high: float

    def __format__(self, digits: str) -> str:
        digits = digits or ".2f"
        if not np.isfinite(self.value):
            return "–"
        return f"{self.value:{digits}} [{self.low:{digits}}, {self.high:{digits}}]"


def estimate(statistic: Callable[[np.ndarray], float], units: int, seed: int = 0) -> Estimate:
    """`statistic` of the unit indices (n,) it is given, over all units and over resamples of them.

    Resamples in which the statistic is undefined (a rate of nothing) are left out.
    """
    all_units = np.arange(units)
    value = float(statistic(all_units))
    if units < 2:
        return Estimate(value, value, value)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # scipy's own interval is not taken
        resampled = bootstrap(
            (all_units,), statistic, n_resamples=RESAMPLES, vectorized=False, method="percentile",
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution  # fmt: skip
    resampled = resampled[np.isfinite(resampled)]
    if not len(resampled):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.percentile(resampled, (2.5, 97.5))
    return Estimate(value, float(low), float(high))


def mean(values: np.ndarray) -> Estimate:
    """Mean over units (n,), those that are not a number left out."""
    values = np.asarray(values, np.float64)
    return estimate(lambda i: _mean(values[i]), len(values))


def ratio(above: np.ndarray, below: np.ndarray) -> Estimate:
    """Sum over units of `above` (n,) by sum of `below` (n,)."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return estimate(lambda i: _divided(np.nansum(above[i]), np.nansum(below[i])), len(above))


def rate_ratio(inside: np.ndarray, outside: np.ndarray) -> Estimate:
    """Rate inside by rate outside: (n, 2) of counts and times each."""

    def ratio_of_rates(i):
        a, b = inside[i].sum(axis=0), outside[i].sum(axis=0)
        return _divided(_divided(a[0], a[1]), _divided(b[0], b[1]))

    return estimate(ratio_of_rates, len(inside))


def correlation(x: np.ndarray, y: np.ndarray) -> Estimate:
    """Pearson correlation over units."""
    return estimate(lambda i: pearson(x[i], y[i]), len(x))


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / scale) if scale > 1e-12 else 0.0


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def _divided(a: float, b: float) -> float:
    return float(a / b) if b else float("nan")
