"""A voice in a room, before a microphone: reverberation, noise, other voices, a narrow line, a gate, a level.

What a listener model hears of people is never the clean voice. All ranges are choices, wide enough for phones, laptops
and meeting rooms; nothing is measured.
"""

import numpy as np
from scipy.signal import butter, lfilter, oaconvolve, sosfilt

from perfrdiff.data.simulator.speech import RATE
from perfrdiff.data.simulator.voices import Voices

__all__ = ["record", "speech_level"]

LEVELS = (-34.0, -8.0)  # dB of full scale, of the louder parts of speech
SIGNAL_TO_NOISE = (8.0, 50.0)  # dB
SOFTER_VOICES = (18.0, 40.0)  # dB by which others who talk are softer: whom one listens to is plain


def record(rng: np.random.Generator, clean: np.ndarray, voices: Voices | None = None) -> np.ndarray:
    """What a microphone makes of a clean voice (N,): (N,) float32 in -1 … 1, in step with it.

    Args:
        rng: draws room, noise, line and level.
        clean: mono at 16 kHz.
        voices: whose speech may be in the background; None: nobody's.
    """
    sound = clean
    if rng.random() < 0.75:
        sound = _in_room(rng, sound)
    if rng.random() < 0.08:
        sound = _gated(rng, sound)
    sound = sound * 10 ** (-speech_level(sound) / 20)  # loud parts at 0 dB from here on
    sound = sound + _noise(rng, len(clean)) * 10 ** (-rng.uniform(*SIGNAL_TO_NOISE) / 20)
    if voices is not None and rng.random() < 0.25:  # somebody else in the room, or several far away
        others = sum(_other_voice(rng, len(clean), voices) for _ in range(rng.choice([1, 4])))
        sound = sound + others * 10 ** (-rng.uniform(*SOFTER_VOICES) / 20)
    if rng.random() < 0.3:
        sound = _through_a_line(rng, sound)
    return np.clip(sound * 10 ** (rng.uniform(*LEVELS) / 20), -1, 1).astype(np.float32)


def speech_level(samples: np.ndarray) -> float:
    """dB of full scale of the louder parts: the mean power of the 40 ms that are within 15 dB of the loudest tenth."""
    power = np.square(samples[: len(samples) // 640 * 640].reshape(-1, 640)).mean(axis=1)
    loud = power[power > np.percentile(power, 90) * 10**-1.5]
    return float(10 * np.log10(loud.mean() + 1e-12)) if len(loud) else -120.0


def _in_room(rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """Reverberation: noise that decays by 60 dB in .1 to .6 s, duller with time, -3 to 18 dB under the direct sound."""
    seconds = rng.uniform(0.1, 0.6)
    time = np.arange(round(seconds * RATE)) / RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail[: round(rng.uniform(0.001, 0.012) * RATE)] = 0.0  # before the first reflection
    tail = lfilter([1.0], [1.0, -rng.uniform(0.0, 0.7)], tail)
    tail *= 10 ** (-rng.uniform(-3, 18) / 20) / (np.sqrt(np.square(tail).sum()) + 1e-9)
    tail[0] += 1.0
    return oaconvolve(sound, tail.astype(np.float32))[: len(sound)]


def _gated(rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """The noise gate of a call: what is soft is turned down, with some delay in closing."""
    block = RATE // 100
    blocks = sound[: len(sound) // block * block].reshape(-1, block)
    level = 10 * np.log10(np.square(blocks).mean(axis=1) + 1e-12)
    opened = (level > speech_level(sound) - rng.uniform(20, 32)).astype(np.float64)
    hold = rng.integers(8, 40)  # of 10 ms
    kept = np.convolve(opened, np.ones(hold))[: len(opened)] > 0
    gain = np.where(kept, 1.0, 10 ** (-rng.uniform(15, 60) / 20))
    smooth = np.convolve(np.pad(gain, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    return sound * np.interp(np.arange(len(sound)), np.arange(len(gain)) * block, smooth)


def _noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """Noise of power 1, (length,): white, pink, brown, or hum."""
    kind = rng.choice(["white", "pink", "brown", "hum"], p=[0.15, 0.40, 0.30, 0.15])
    if kind == "hum":
        time = np.arange(length) / RATE
        tone = rng.choice([50.0, 60.0, rng.uniform(90, 240)])
        noise = sum(np.sin(2 * np.pi * tone * k * time + rng.uniform(0, 6.3)) * rng.random() / k for k in range(1, 8))
        noise = noise + 0.2 * rng.standard_normal(length)
    else:
        poles = {"white": (0.0,), "pink": (0.995, 0.94, 0.6), "brown": (0.99,)}[str(kind)]
        white = rng.standard_normal(length)
        noise = sum(lfilter([1 - pole], [1.0, -pole], white) * (1 - pole) ** -0.5 for pole in poles)
    if rng.random() < 0.3:  # it comes and goes
        noise = noise * np.interp(np.arange(length), np.linspace(0, length, 12), rng.uniform(0.3, 1.0, 12))
    return noise / (np.sqrt(np.square(noise).mean()) + 1e-9)


def _other_voice(rng: np.random.Generator, length: int, voices: Voices) -> np.ndarray:
    """Somebody else's speech, (length,), loud parts at 0 dB, from a random place on, repeated where it is too short."""
    recording = voices.recordings[rng.integers(len(voices.recordings))]
    sound = recording.sound(0, recording.seconds)
    return np.resize(np.roll(sound, -rng.integers(len(sound))), length) * 10 ** (-speech_level(sound) / 20)


def _through_a_line(rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """The band of a telephone, a laptop or a cheap microphone."""
    low, high = ((300, 3400), (rng.uniform(120, 250), 7000), (60, rng.uniform(3500, 6500)))[rng.integers(3)]
    return sosfilt(butter(2, (low, high), "bandpass", fs=RATE, output="sos"), sound)
