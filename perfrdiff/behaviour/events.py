"""Nods, blinks, smiles and brow movements in a clip, detected as in the statistics behind the simulator.

Thresholds are those of docs/method.md 15.12, so that the events can be compared with its ranges. One difference: a
stroke's time is its 10 to 90 % time / 0.8, because a plateau before or after it has no edge of its own.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from scipy.signal import find_peaks, peak_widths

from perfrdiff.coefficients import CHANNEL, FPS, ROTATION

SMOOTHING = 5  # frames of the Savitzky-Golay filter, 0.2 s (docs/method.md 15.12: 0.16 s at 30 and 60 per second)
STROKE_DEGREES = 1.5
STROKE_SECONDS = (0.06, 0.6)
STROKE_GAP = 0.3  # seconds between strokes of one burst
CLEAR_DEGREES, CLEAR_CYCLES = 3.0, 2.0  # a clear nod is as large or as long as one of these
BLINK_PROMINENCE = 0.2
SMILING = 0.2  # of mouthSmile from which on a face counts as smiling
LEAST_RISE = 0.08  # of a blendshape, 0 … 1


@dataclass(frozen=True)
class Nods:
    """Bursts of nodding, one entry each."""

    start: np.ndarray  # (n,) seconds
    strokes: np.ndarray  # (n,) half cycles
    size: np.ndarray  # (n,) degrees peak to peak, mean of its strokes
    frequency: np.ndarray  # (n,) Hz

    @property
    def clear(self) -> np.ndarray:
        """(n,) bool: the nods that a viewer takes for an answer, not those that go along with other movement."""
        return (self.size >= CLEAR_DEGREES) | (self.strokes / 2 >= CLEAR_CYCLES)


@dataclass(frozen=True)
class Blinks:
    """One entry per blink."""

    time: np.ndarray  # (n,) seconds, of the peak
    peak: np.ndarray  # (n,) blendshape weight
    width: np.ndarray  # (n,) seconds, full width at half maximum
    closing: np.ndarray  # (n,) seconds, 10 to 90 %
    opening: np.ndarray  # (n,) seconds, 90 to 10 %


@dataclass(frozen=True)
class BlendshapeRises:
    """Rises and falls of a blendshape, one entry each."""

    start: np.ndarray  # (n,) seconds, where 10 % of the rise is reached
    size: np.ndarray  # (n,) rise
    onset: np.ndarray  # (n,) seconds, 10 to 90 % of the rise
    length: np.ndarray  # (n,) seconds, 10 % of the rise to 10 % of the fall


def _quadratic_fit(points: int) -> np.ndarray:
    """The map (points, points) from samples to the values of the parabola fitted to them."""
    powers = np.vander(np.arange(points) - points // 2, 3).astype(np.float64)
    return powers @ np.linalg.pinv(powers)


_FIT = _quadratic_fit(SMOOTHING)


def smoothed(rows: np.ndarray) -> np.ndarray:
    """Rows (frames, …) float64 through a Savitzky-Golay filter of degree 2, as scipy's, ten times as fast on clips.

    The first and last two frames are read off the parabola through the first and last five; there must be so many.
    """
    half = SMOOTHING // 2
    inner = len(rows) - SMOOTHING + 1
    out = np.empty_like(rows)
    out[half : half + inner] = sum(_FIT[half, i] * rows[i : i + inner] for i in range(SMOOTHING))
    out[:half] = np.tensordot(_FIT[:half], rows[:SMOOTHING], 1)
    out[-half:] = np.tensordot(_FIT[-half:], rows[-SMOOTHING:], 1)
    return out


@njit(cache=True)
def turning_points(x: np.ndarray, threshold: float) -> np.ndarray:
    """Indices of the alternating extremes of x between which it moves by at least `threshold`."""
    turning_points = np.empty(len(x), np.int64)
    count, low, high, direction = 0, 0, 0, 0
    for i in range(1, len(x)):
        if direction >= 0 and x[i] > x[high]:
            high = i
        if direction <= 0 and x[i] < x[low]:
            low = i
        if direction >= 0 and x[high] - x[i] >= threshold:
            turning_points[count], count = high, count + 1
            direction, low = -1, i
        elif direction <= 0 and x[i] - x[low] >= threshold:
            turning_points[count], count = low, count + 1
            direction, high = 1, i
    if direction != 0:
        turning_points[count], count = (high if direction > 0 else low), count + 1
    return turning_points[:count]


def _edges(x: np.ndarray, a: int, b: int) -> tuple[int, int]:
    """The last frame of the stroke a … b within 10 % of its beginning and the first beyond 90 %."""
    share = (x[a : b + 1] - x[a]) / (x[b] - x[a])
    late = int(np.argmax(share >= 0.9))
    early = int(np.flatnonzero(share[: late + 1] <= 0.1)[-1])
    return a + early, a + late


def nods(clip: np.ndarray) -> Nods:
    """Bursts of at least two strokes of the head's pitch in a clip (frames, 58)."""
    angles = smoothed(np.degrees(clip[:, ROTATION].astype(np.float64)))
    pitch = np.ascontiguousarray(angles[:, 0])
    turns = turning_points(pitch, STROKE_DEGREES)
    strokes = []
    for a, b in pairwise(turns):
        first, last = _edges(pitch, a, b)
        seconds = max(last - first, 1) / FPS / 0.8
        size = abs(pitch[b] - pitch[a])
        other_axes = np.ptp(angles[first : last + 1, 1:], axis=0).max()
        if STROKE_SECONDS[0] <= seconds <= STROKE_SECONDS[1] and size > other_axes:
            strokes.append((first, last, size))
    bursts: list[list[tuple]] = []
    for stroke in strokes:
        if bursts and stroke[0] - bursts[-1][-1][1] <= STROKE_GAP * FPS:
            bursts[-1].append(stroke)
        else:
            bursts.append([stroke])
    rows = [
        (burst[0][0] / FPS, len(burst), np.mean([s[2] for s in burst]),
         len(burst) / 2 * FPS / (1.25 * max(burst[-1][1] - burst[0][0], 1)))
        for burst in bursts if len(burst) >= 2
    ]  # fmt: skip
    return Nods(*np.array(rows, np.float64).reshape(-1, 4).T)


def small_nods(clip: np.ndarray) -> np.ndarray:
    """Beginnings (n,), in seconds, of all movements by which the chin sinks 1.5° or more in a clip (frames, 58).

    Every peak of the pitch counts, however slow or alone, and each one of a burst: so studies count that speak of small
    nods (docs/method.md 15.10). `nods` are bursts of quick ones.
    """
    pitch = np.ascontiguousarray(smoothed(np.degrees(clip[:, CHANNEL["rotationX"]].astype(np.float64))))
    turns = turning_points(pitch, STROKE_DEGREES)
    return np.array([_edges(pitch, a, b)[0] / FPS for a, b in pairwise(turns) if pitch[b] > pitch[a]])


def blinks(clip: np.ndarray) -> Blinks:
    """Blinks in a clip (frames, 58): peaks of both lids' mean."""
    lids = np.pad(_both(clip, "eyeBlink"), 1, mode="edge")
    peaks, properties = find_peaks(lids, prominence=BLINK_PROMINENCE)
    if not len(peaks):
        return Blinks(*np.zeros((5, 0)))
    prominences = (properties["prominences"], properties["left_bases"], properties["right_bases"])
    half, top, foot = (peak_widths(lids, peaks, level, prominences) for level in (0.5, 0.1, 0.9))
    rows = (peaks - 1, lids[peaks] * FPS, half[0], top[2] - foot[2], foot[3] - top[3])
    return Blinks(*(np.asarray(row) / FPS for row in rows))


def blendshape_rises(clip: np.ndarray, name: str, threshold: float = LEAST_RISE) -> BlendshapeRises:
    """Rises by at least `threshold` of a blendshape (or of the mean of its left and right) that fall again."""
    x = np.ascontiguousarray(smoothed(_both(clip, name)))
    turns = turning_points(x, threshold)
    rows = []
    for a, b, c in zip(turns[:-2], turns[1:-1], turns[2:], strict=True):
        if x[b] > x[a]:
            first, top = _edges(x, a, b)
            _, last = _edges(x, b, c)
            rows.append((first / FPS, x[b] - x[a], (top - first) / FPS, (last - first) / FPS))
    return BlendshapeRises(*np.array(rows, np.float64).reshape(-1, 4).T)


def smiles(clip: np.ndarray) -> BlendshapeRises:
    """Smiles in a clip (frames, 58)."""
    return blendshape_rises(clip, "mouthSmile")


def visible_smiles(clip: np.ndarray) -> BlendshapeRises:
    """The smiles in a clip (frames, 58) that a viewer takes for one: rises that reach the level of a smiling face."""
    found, level = smiles(clip), _both(clip, "mouthSmile")
    tops = [level[int(a * FPS) : int((a + b) * FPS) + 1].max() for a, b in zip(found.start, found.length, strict=True)]
    chosen = (found.size >= SMILING / 2) & (np.array(tops) >= SMILING)
    return BlendshapeRises(found.start[chosen], found.size[chosen], found.onset[chosen], found.length[chosen])


def _both(clip: np.ndarray, name: str) -> np.ndarray:
    columns = [CHANNEL[name]] if name in CHANNEL else [CHANNEL[name + "Left"], CHANNEL[name + "Right"]]
    return clip[:, columns].astype(np.float64).mean(axis=1)
