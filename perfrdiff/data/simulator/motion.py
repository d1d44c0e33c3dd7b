"""Shapes of facial and head movement in time, at 25 frames per second, shared by the simulated speaker and listener."""

import numpy as np
from scipy.signal import lfilter

from perfrdiff.coefficients import CHANNEL, FPS, ROTATION, TRANSLATION, WIDTH, neutral
from perfrdiff.data.simulator.habits import left_right_columns

DEGREE = np.pi / 180


class Motion:
    """Offsets (frames, 58) from the upright resting face, to which movements are added; head angles in radians."""

    def __init__(self, frames: int):
        self.frames = frames
        self.time = np.arange(frames) / FPS
        self.offsets = np.zeros((frames, WIDTH), np.float32)

    def add(self, name: str, curve: np.ndarray, asymmetry: float = 0.0) -> None:
        """Add a curve to a channel, or to its left and right (asymmetry -1 … 1 moves it to the right … left)."""
        columns = left_right_columns(name)
        weights = (1.0,) if len(columns) == 1 else (1 + asymmetry, 1 - asymmetry)
        for column, weight in zip(columns, weights, strict=True):
            self.offsets[:, column] += weight * curve

    def envelope(self, start: float, onset: float, hold: float, offset: float) -> np.ndarray:
        """0 → 1 in `onset` s, held for `hold` s, back to 0 in `offset` s, with soft ends, (frames,)."""
        t = self.time - start
        rise = np.clip(t / onset, 0, 1)
        fall = np.clip((t - onset - hold) / offset, 0, 1)
        return _smoothstep(rise) * (1 - _smoothstep(fall))

    def step(self, start: float, length: float) -> np.ndarray:
        """0 → 1 in `length` s, with soft ends, (frames,)."""
        return _smoothstep(np.clip((self.time - start) / length, 0, 1))

    def blink(self, start: float, peak: float) -> None:
        """Closes in 51 ms, opens in 100 ms, 10 to 90 % (docs/method.md 15.2); the eye looks down by 0.46 of it."""
        t = self.time - start
        shape = np.where(t < 0, np.exp(-((t / 0.045) ** 2)), np.exp(-((t / 0.085) ** 2))).astype(np.float32) * peak
        self.add("eyeBlink", shape)
        self.add("eyeLookDown", 0.46 * shape)

    def nod(self, start: float, size: float, speed: float, cycles: float) -> None:
        """`cycles` strokes down and up, `size` degrees peak to peak, `speed` Hz; pitch down is positive rotationX."""
        length = cycles / speed
        t = (self.time - start) / length
        inside = (t >= 0) & (t <= 1)
        envelope = np.where(inside, np.sin(np.pi * np.clip(t, 0, 1)) ** 0.5, 0.0)
        wave = 0.5 * (1 - np.cos(2 * np.pi * cycles * np.clip(t, 0, 1)))
        self.offsets[:, CHANNEL["rotationX"]] += envelope * wave * size * DEGREE

    def drift(self, rng: np.random.Generator, scale: float, seconds: float) -> np.ndarray:
        """Smooth Ornstein-Uhlenbeck motion with standard deviation `scale` and correlation time `seconds`."""
        decay = np.exp(-1 / (FPS * seconds))
        noise = rng.standard_normal(self.frames + 200) * np.sqrt(1 - decay**2)
        slow = lfilter([1.0], [1.0, -decay], noise)
        return (scale * lfilter([0.3], [1.0, -0.7], slow)[200:]).astype(np.float32)

    def coefficients(self) -> np.ndarray:
        """The coefficients (frames, 58) float32, expressions clipped to 0 … 1."""
        out = self.offsets + neutral()
        expressions = slice(0, ROTATION.start)
        out[:, expressions] = np.clip(out[:, expressions], 0, 1)
        return out


def _smoothstep(x: np.ndarray) -> np.ndarray:
    return (x * x * (3 - 2 * x)).astype(np.float32)


def event_times(rng: np.random.Generator, rate: float, seconds: float) -> np.ndarray:
    """Start times of a Poisson process of `rate` per minute."""
    return np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds / 60)))


def blink_times(rng: np.random.Generator, rate: float, seconds: float) -> np.ndarray:
    """Log-normal intervals, sigma 0.75, and 17 % doubles within 0.6 s (docs/method.md 15.2)."""
    times, now = [], -rng.uniform(0, 3)
    mean = 60 / rate
    while now < seconds:
        if rng.random() < 0.17:
            now += rng.uniform(0.25, 0.6)
        else:
            now += max(0.3, 1.15 * mean * np.exp(0.75 * rng.standard_normal() - 0.28))
        times.append(now)
    return np.array([x for x in times if 0 <= x < seconds])


def couple_position_to_head(motion: Motion) -> None:
    """Moving the head moves the neck: a turn or a nod shifts the face's centre a little (model units)."""
    angles = motion.offsets[:, ROTATION]
    motion.offsets[:, TRANSLATION.start] += 0.35 * angles[:, 1] + 0.45 * -angles[:, 2]
    motion.offsets[:, TRANSLATION.start + 1] -= 0.30 * angles[:, 0]


def add_gaze(motion: Motion, yaw: np.ndarray, pitch: np.ndarray) -> None:
    """Eye direction in eyeLook units (1 = 35 degrees): yaw > 0 looks to the subject's left, pitch > 0 up."""
    left, right = np.clip(yaw, 0, None), np.clip(-yaw, 0, None)
    motion.offsets[:, CHANNEL["eyeLookOutLeft"]] += left
    motion.offsets[:, CHANNEL["eyeLookInRight"]] += left
    motion.offsets[:, CHANNEL["eyeLookInLeft"]] += right
    motion.offsets[:, CHANNEL["eyeLookOutRight"]] += right
    motion.add("eyeLookUp", np.clip(pitch, 0, None))
    motion.add("eyeLookDown", np.clip(-pitch, 0, None))
