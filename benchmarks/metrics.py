"""How much faster the metrics are than a plain double loop over clips and neighbours: `python -m benchmarks.metrics`.

The plain loop does what the published evaluation does, one pair and one column at a time: concordance by
`np.corrcoef`, time warping by a compiled textbook loop without any shortcut, correlation at every lag by `np.corrcoef`.
Both give the same numbers, which is checked. Times are processor time of all threads together, so that neither a busy
machine nor the number of cores counts. Data: simulated listeners; appropriate for a clip are those who hear the same
talk and, as in REACT 2024, some who hear another one.
"""

import argparse
import time

import numpy as np
from numba import njit

from perfrdiff.data.simulator.habits import draw_habits
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.metrics import challenge as metrics

PARTS = ((slice(0, 15), 1 / 15), (slice(15, 17), 1.0), (slice(17, 25), 1 / 8))


@njit
def _warping(a: np.ndarray, b: np.ndarray) -> float:
    table = np.full((len(a) + 1, len(b) + 1), np.inf)
    table[0, 0] = 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            cost = 0.0
            for d in range(a.shape[1]):
                cost += (a[i, d] - b[j, d]) ** 2
            table[i + 1, j + 1] = cost + min(table[i, j], table[i + 1, j], table[i, j + 1])
    return np.sqrt(table[-1, -1])


def _concordance(p: np.ndarray, t: np.ndarray) -> float:
    concordances = []
    for d in range(p.shape[1]):
        r = np.nan_to_num(np.corrcoef(p[:, d], t[:, d])[0, 1])
        denominator = p[:, d].var() + t[:, d].var() + (p[:, d].mean() - t[:, d].mean()) ** 2 + 1e-8
        concordances.append(2 * r * p[:, d].std() * t[:, d].std() / denominator)
    return float(np.mean(concordances))


def _lag(p: np.ndarray, s: np.ndarray) -> int:
    best, at = -np.inf, 0
    for lag in range(-49, 50):
        x, y = p[max(lag, 0) : len(p) + min(lag, 0)], s[max(-lag, 0) : len(s) - max(lag, 0)]
        r = np.array([np.corrcoef(x[:, d], y[:, d])[0, 1] for d in range(x.shape[1])])
        r = np.nanmean(r) if np.isfinite(r).any() else -np.inf
        best, at = max((best, at), (r, lag))
    return abs(at)


def plain(prediction, truth, speaker, neighbour) -> dict[str, float]:
    """FRCorr, FRDist (sums over samples) and FRSyn (all samples)."""
    corr = dist = syn = 0.0
    clips, samples = prediction.shape[:2]
    for i in range(clips):
        for k in range(samples):
            p, best, least = prediction[i, k], -np.inf, np.inf
            for j in np.flatnonzero(neighbour[i]):
                best = max(best, _concordance(p, truth[j]))
                least = min(least, sum(w * _warping(p[:, part], truth[j][:, part]) for part, w in PARTS))
            corr, dist, syn = corr + best, dist + least, syn + _lag(p, speaker[i])
    return {"FRCorr": corr / clips, "FRDist": dist / clips, "FRSyn": syn / clips / samples}


def data(talks: int, listeners: int, samples: int, far: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Reactions, truth, speakers (float64) and neighbours of talks x listeners clips."""
    rng = np.random.default_rng(seed)
    prediction, truth, speakers, talk_of_clip = [], [], [], []
    for t in range(talks):
        speaker = simulate_speaker(rng, 30.0)
        for _ in range(listeners):
            habits = draw_habits(rng)
            clips = [facial_attributes(simulate_listener(speaker, habits, rng)) for _ in range(samples + 1)]
            truth.append(clips[0])
            prediction.append(clips[1:])
            speakers.append(facial_attributes(speaker.coefficients))
            talk_of_clip.append(t)
    neighbour = np.equal.outer(talk_of_clip, talk_of_clip)
    for row in neighbour:
        row[rng.choice(len(row), min(far, len(row)), replace=False)] = True
    return *(np.array(x, np.float64) for x in (prediction, truth, speakers)), neighbour.astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--talks", type=int, default=5)
    parser.add_argument("--listeners", type=int, default=4)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--far", type=int, default=12, help="further neighbours of a clip")
    parser.add_argument("--threads", type=int, help="default: one for every core")
    options = parser.parse_args()
    clips_and_neighbours = data(options.talks, options.listeners, options.samples, options.far)
    tiny = tuple(x[:2] for x in clips_and_neighbours[:3])
    metrics.evaluate(*tiny, np.ones((2, 2)))  # compile
    _warping(np.zeros((2, 2)), np.zeros((2, 2)))

    started = time.process_time()
    fast = metrics.evaluate(*clips_and_neighbours, threads=options.threads)
    fast_seconds = time.process_time() - started
    started = time.process_time()
    slow = plain(*clips_and_neighbours)
    slow_seconds = time.process_time() - started
    assert np.isclose(fast.published.FRCorr, slow["FRCorr"], rtol=1e-9)
    assert np.isclose(fast.published.FRDist, slow["FRDist"], rtol=1e-9)
    assert np.isclose(fast.corrected.FRSyn, slow["FRSyn"])
    clips, samples = clips_and_neighbours[0].shape[:2]
    appropriate = clips_and_neighbours[3].sum() / clips
    print(f"{clips} clips x {samples} samples, {appropriate:.1f} appropriate each, 750 frames")
    ratio = slow_seconds / fast_seconds
    print(f"processor time: plain double loop {slow_seconds:.1f} s, here {fast_seconds:.2f} s: {ratio:.1f} x")


if __name__ == "__main__":
    main()
