"""78 MFCC numbers per video frame, as the published loaders compute them (docs/method.md 2), in one batch.

The published code calls a Kaldi-style MFCC once for every 40 ms video frame. Frames do not overlap, so all of them can
be cut, windowed and transformed together; the result is the same (``tests/test_features_audio.py``).
"""

from functools import cache
from math import log

import numpy as np
from scipy.fft import rfft

from perfrdiff.coefficients import FPS
from perfrdiff.errors import InputError

__all__ = ["LOWEST_RATE", "MFCC_WIDTH", "mfcc"]

LOWEST_RATE = 8000  # Hz; below this, 23 filters from 20 Hz to Nyquist have empty triangles
WINDOW_SECONDS = 0.025
SHIFT_SECONDS = 0.010
SUBFRAMES = 2  # 25 ms windows every 10 ms that fit whole into 40 ms ("snip edges")
FILTERS = 23
CEPSTRA = 13
LOWEST_FILTER_HZ = 20.0
PRE_EMPHASIS = 0.97
LIFTER = 22
DELTA_GAIN = 0.3  # regression window 5 over two edge-replicated sub-frames: (1*(b-a) + 2*(b-a)) / 10
MFCC_WIDTH = 3 * CEPSTRA * SUBFRAMES  # 78
BATCH_FRAMES = 128  # half a megabyte of windows stays in the cache: twice as fast as 2048; the same numbers


def mfcc(samples: np.ndarray, rate: int, frames: int) -> np.ndarray:
    """MFCC, delta and delta-delta of each 40 ms video frame.

    Args:
        samples: (N,) mono audio in -1 … 1, sample 0 at the start of video frame 0. Cut or zero-padded to ``frames``.
        rate: samples per second, at least 8000.
        frames: number of video frames at 25 per second.

    Returns:
        (frames, 78) float32, index ``type * 26 + coefficient * 2 + subframe`` (type 0 MFCC, 1 delta, 2 delta-delta;
        coefficient 0 is the log energy, floored at 0). Finite for every finite input, silence included.

    Raises:
        InputError: rate below 8000, samples that are not one channel, or not finite.

    Source: docs/method.md 2.1 (Kaldi compliance MFCC on unscaled floats).
    """
    samples = np.asarray(samples)
    if rate < LOWEST_RATE:
        raise InputError(f"The sound has {rate} samples per second; at least {LOWEST_RATE} are needed.")
    if samples.ndim != 1:
        raise InputError(
            f"Mono sound of shape (N,) was expected, got shape {samples.shape}; average the channels first."
        )
    hop = int(rate / FPS)
    fitted = np.zeros(frames * hop, dtype=np.float32)
    count = min(len(samples), len(fitted))
    fitted[:count] = samples[:count]
    if not np.isfinite(fitted).all():
        raise InputError("The sound holds numbers that are not finite.")
    rows = fitted.reshape(frames, hop)

    cepstra = np.empty((frames, SUBFRAMES, CEPSTRA), dtype=np.float32)
    for start in range(0, frames, BATCH_FRAMES):
        cepstra[start : start + BATCH_FRAMES] = _cepstra(rows[start : start + BATCH_FRAMES], rate)
    delta = DELTA_GAIN * (cepstra[:, 1] - cepstra[:, 0])  # (frames, 13), the same for both sub-frames

    features = np.zeros((frames, 3, CEPSTRA, SUBFRAMES), dtype=np.float32)  # delta-delta of two equal deltas is 0
    features[:, 0] = cepstra.transpose(0, 2, 1)
    features[:, 1] = delta[:, :, None]
    return features.reshape(frames, MFCC_WIDTH)


def _cepstra(rows: np.ndarray, rate: int) -> np.ndarray:
    """(frames, samples of 40 ms) -> (frames, 2, 13): log energy and cepstra 1 … 12 of both sub-frames."""
    length = int(rate * WINDOW_SECONDS)
    shift = int(rate * SHIFT_SECONDS)
    window, filters, cosines = _tables(rate)

    windows = np.lib.stride_tricks.sliding_window_view(rows, length, axis=1)[:, ::shift][:, :SUBFRAMES]
    windows = windows - windows.mean(axis=-1, keepdims=True)  # (frames, 2, length), DC removed
    energy = np.einsum("fsl,fsl->fs", windows, windows)
    # Kaldi's energy floor is 1.0; on unscaled floats most quiet frames lie on it.
    log_energy = np.log(np.maximum(energy, 1.0))

    emphasised = np.empty_like(windows)
    emphasised[..., 1:] = windows[..., 1:] - PRE_EMPHASIS * windows[..., :-1]
    emphasised[..., 0] = (1 - PRE_EMPHASIS) * windows[..., 0]  # the first sample is its own predecessor
    emphasised *= window
    # scipy's transform takes several windows at a time: five times as fast here as numpy's.
    spectrum = rfft(emphasised.reshape(-1, length), n=_fft_size(length))[:, :-1]  # the Nyquist bin has no weight
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    log_mel = np.log(np.maximum(power @ filters, np.finfo(np.float32).eps))
    cepstra = (log_mel @ cosines).reshape(*log_energy.shape, CEPSTRA)
    cepstra[..., 0] = log_energy
    return cepstra


def _fft_size(length: int) -> int:
    return 1 << (length - 1).bit_length()


@cache
def _tables(rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Window (length,), filters (bins, 23) and liftered cosine transform (23, 13) of a sample rate, float32."""
    length = int(rate * WINDOW_SECONDS)
    size = _fft_size(length)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))
    window = hann**0.85  # Povey's window

    # In float32 on purpose, here and in the cosines: the published features carry that rounding (1.5e-4 at scale 72).
    def mel(hertz: np.ndarray) -> np.ndarray:
        return np.float32(1127.0) * np.log(np.float32(1.0) + hertz.astype(np.float32) / np.float32(700.0))

    lowest, highest = (1127.0 * log(1.0 + hertz / 700.0) for hertz in (LOWEST_FILTER_HZ, rate / 2))
    interval = np.float32((highest - lowest) / (FILTERS + 1))
    left = np.float32(lowest) + np.arange(FILTERS, dtype=np.float32) * interval
    centre = np.float32(lowest) + np.arange(1, FILTERS + 1, dtype=np.float32) * interval
    right = np.float32(lowest) + np.arange(2, FILTERS + 2, dtype=np.float32) * interval
    bins = mel(np.arange(size // 2) * rate / size)[:, None]
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))

    order = np.arange(CEPSTRA, dtype=np.float32)
    place = np.arange(FILTERS, dtype=np.float32)[:, None] + np.float32(0.5)
    cosines = np.sqrt(2 / FILTERS) * np.cos(np.float32(np.pi / FILTERS) * place * order)
    cosines[:, 0] = np.sqrt(1 / FILTERS)
    cosines *= 1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER)
    return window.astype(np.float32), filters.astype(np.float32), cosines.astype(np.float32)
