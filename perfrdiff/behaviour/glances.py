"""Glances: the eyes leave where they usually look, and come back."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from perfrdiff.coefficients import CHANNEL, FPS
from renderer.jit import jit

USUAL_SECONDS = 6.0  # of a running median: more than half of that time the eyes look where they usually look
USUAL_STEP = 5  # frames: that direction is slow, so its median is taken of every fifth
LEFT_AT, BACK_AT = 0.12, 0.06  # eyeLook (1 = 35°) from there; between them a glance goes on
VERTICAL_SHARE = 0.25  # a lowered head and closing lids read as looking down, so up and down count from 4 times as far
SMOOTHING = 1.0  # frames of a Gaussian: a shift of the gaze takes 0.1 s (docs/method.md 15.6)
FAR_AT = 0.16  # eyeLook from which on where the eyes are says to which side somebody looks away
SIDE_PRIOR = 0.4  # eyeLook times seconds to each side alike, before any is seen
LID_COUPLING = 0.46  # of eyeBlink that is read as looking down (docs/method.md 15.2)


@dataclass(frozen=True)
class Glances:
    """One entry per glance."""

    start: np.ndarray  # (n,) seconds
    size: np.ndarray  # (n,) eyeLook units at the farthest, 1 = 35°
    side: np.ndarray  # (n,) the share of it that is sideways: -1 the subject's right … 1 left
    length: np.ndarray  # (n,) seconds


def gaze(clip: np.ndarray) -> np.ndarray:
    """Direction (frames, 2) of the eyes in a clip (frames, 58): to the subject's left and up, eyeLook units."""

    def mean(first: str, second: str) -> np.ndarray:
        return (clip[:, CHANNEL[first]].astype(np.float64) + clip[:, CHANNEL[second]]) / 2

    left = mean("eyeLookOutLeft", "eyeLookInRight") - mean("eyeLookInLeft", "eyeLookOutRight")
    up = mean("eyeLookUpLeft", "eyeLookUpRight") - mean("eyeLookDownLeft", "eyeLookDownRight")
    return np.stack([left, up + LID_COUPLING * mean("eyeBlinkLeft", "eyeBlinkRight")], axis=1)


@jit(fastmath=False, error_model="python")
def _excursions(distance: np.ndarray, out_at: float, back_at: float) -> np.ndarray:
    """First, farthest and last frame (n, 3) of the times from a distance of `out_at` until one below `back_at`."""
    found = np.empty((len(distance), 3), np.int64)
    count, first, farthest = 0, -1, -1
    for i in range(len(distance)):
        if first < 0 and distance[i] >= out_at:
            first, farthest = i, i
        elif first >= 0:
            if distance[i] > distance[farthest]:
                farthest = i
            if distance[i] < back_at or i == len(distance) - 1:
                found[count] = np.array([first, farthest, i])
                count, first = count + 1, -1
    return found[:count]


def _away(clip: np.ndarray) -> np.ndarray:
    """How far (frames, 2) to the subject's left and up the eyes are from where they usually look."""
    direction = gaussian_filter1d(gaze(clip), SMOOTHING, axis=0)
    window = 2 * int(USUAL_SECONDS * FPS / USUAL_STEP / 2) + 1
    usual = median_filter(direction[::USUAL_STEP], size=(window, 1), mode="nearest")
    frames = np.arange(len(direction))
    return direction - np.stack([np.interp(frames, frames[::USUAL_STEP], column) for column in usual.T], axis=1)


def glances(clip: np.ndarray) -> Glances:
    """Glances in a clip (frames, 58)."""
    away = _away(clip)
    distance = np.maximum(np.abs(away[:, 0]), VERTICAL_SHARE * np.abs(away[:, 1]))
    first, farthest, last = _excursions(distance, LEFT_AT, BACK_AT).T
    size = np.hypot(*away[farthest].T)
    return Glances(first / FPS, size, away[farthest, 0] / np.maximum(size, 1e-9), (last - first) / FPS)


def averted_side(clip: np.ndarray) -> float:
    """To which side somebody looks away in a clip (frames, 58), -1 (the subject's right) … 1 (left).

    Told by how far and how long the eyes are there. Half a minute holds five glances, and how many go to each side is
    more of a chance (docs/method.md 16.4).
    """
    sideways = _away(clip)[:, 0]
    far = sideways[np.abs(sideways) > FAR_AT]
    return float(far.sum() / (np.abs(far).sum() + SIDE_PRIOR * FPS))
