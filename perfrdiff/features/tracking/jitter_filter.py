"""A jitter filter that stills a resting face and leaves movements alone, without delay.

A track is split into a smooth curve (Savitzky-Golay filters over one second and over half of one) and details. A detail
stays where it is large against the track's noise and is removed where it is small: the shrinkage of wavelet denoising
(Donoho & Johnstone 1994), in the smooth form of the Wiener filter, on two bands. A blink or a quick nod is many times
the noise and stays; jitter goes. The filters look equally far into past and future, so nothing is late (docs/method.md
14.7). Measured by benchmarks/steadiness.py.
"""

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import savgol_filter

__all__ = ["SMALLEST_ANGLE", "SMALLEST_UNIT", "dead_zone", "filter_jitter"]

FILTER_FRAMES = (13, 25)  # of the two filters
ORDER = 2
SMALLEST_ANGLE = np.radians(0.05)  # standard deviation of what counts as jitter in any case
SMALLEST_UNIT = 0.01
NOISE_FACTOR = 1.5  # detail is halved where its power is this often the noise's, squared
POWER_FRAMES = 5  # over which the power of detail is averaged


def filter_jitter(track: np.ndarray, smallest: float) -> np.ndarray:
    """Remove a track's jitter.

    Args:
        track: (T, C) at 25 frames per second.
        smallest: standard deviation of detail that counts as jitter in any case, in the track's unit.

    Returns:
        (T, C); tracks shorter than the filters stay as they are.
    """
    if len(track) < max(FILTER_FRAMES):
        return track
    rough, smooth = (savgol_filter(track, length, ORDER, axis=0, mode="interp") for length in FILTER_FRAMES)
    return smooth + _shrunk(rough - smooth, smallest, FILTER_FRAMES[0]) + _shrunk(track - rough, smallest, POWER_FRAMES)


def dead_zone(units: np.ndarray, width: np.ndarray) -> np.ndarray:
    """(T, C) units >= 0 -> the same with what lies well below ``width`` (C,) pressed to 0: u³ / (u² + w²).

    A channel at rest reads the positive half of its noise; a third of a unit loses a tenth at a width of 0.1.
    """
    return units**3 / np.maximum(np.square(units) + np.square(width), 1e-9)


def _shrunk(detail: np.ndarray, smallest: float, frames: int) -> np.ndarray:
    # The noise of a channel: the median of detail is not moved by the few frames of a blink.
    noise = np.clip(1.4826 * np.median(np.abs(detail), axis=0), smallest / 2, 2 * smallest)
    power = uniform_filter1d(np.square(detail), frames, axis=0, mode="nearest")
    power = np.maximum(power, 0.5 * maximum_filter1d(np.square(detail), 3, axis=0))
    return detail * power / (power + np.square(NOISE_FACTOR * noise))
