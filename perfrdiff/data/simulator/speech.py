"""A made-up voice: phrases of syllables with pitch and formants, and breaths in the pauses between them.

Not speech anybody understands; what matters to a listener model is there: phrases and pauses, stress, falling pitch at
phrase ends, laughter, breath. Rates follow docs/method.md 15.5 (2.8-3.4 jaw openings a second in running speech, up to
4.5).
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

RATE = 16000
VOWELS = (
    (700, 1150, 2500),
    (400, 2000, 2600),
    (300, 2300, 3000),
    (450, 850, 2400),
    (320, 800, 2300),
    (550, 1700, 2450),
)


@dataclass(frozen=True)
class Voice:
    """What sets one speaker's voice apart."""

    pitch: float  # Hz
    tract: float  # formant scale, 1 = adult male
    tempo: float  # syllables per second
    level: float  # dB full scale of stressed syllables
    noise: float  # dB full scale of the quiet between breaths
    breath: float  # dB under the voice


@dataclass(frozen=True)
class Syllable:
    start: float  # seconds
    length: float
    stress: float  # 0.4 weak … 1 stressed
    vowel: int
    last: bool  # ends a phrase
    laugh: bool = False


def draw_voice(rng: np.random.Generator) -> Voice:
    high = rng.random() < 0.5
    return Voice(
        pitch=float(rng.normal(200, 25) if high else rng.normal(115, 18)),
        tract=float(rng.normal(1.15, 0.04) if high else rng.normal(1.0, 0.05)),
        tempo=float(np.clip(rng.normal(4.0, 0.5), 2.8, 5.4)),
        level=float(rng.uniform(-26, -6)),
        noise=float(rng.uniform(-80, -50)),
        breath=float(rng.uniform(14, 40)),
    )


def _resonate(excitation: np.ndarray, frequency: float, bandwidth: float) -> np.ndarray:
    radius = np.exp(-np.pi * bandwidth / RATE)
    a = [1.0, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius * radius]
    return lfilter([sum(a)], a, excitation)


def _voice_syllable(s: Syllable, voice: Voice, pitch: float, rng: np.random.Generator) -> np.ndarray:
    count = max(int(s.length * RATE), 400)
    t = np.arange(count) / count
    fall = (0.75 if s.last else 0.93) - (0.0 if not s.laugh else 0.1)
    f0 = pitch * (1 + 0.25 * (s.stress - 0.6)) * (1 + (fall - 1) * t) * (1 + 0.01 * rng.standard_normal())
    phase = np.cumsum(f0) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0)  # one impulse a period
    breath = rng.standard_normal(count) * (0.12 if s.laugh else 0.02)
    source = lfilter([1.0], [1.0, -0.95], pulses) + breath
    waveform = np.zeros(count)
    for formant, width, gain in zip(VOWELS[s.vowel], (80, 110, 160), (1.0, 0.6, 0.3), strict=True):
        waveform += gain * _resonate(source, formant * voice.tract, width)
    waveform *= np.sin(np.pi * t) ** 0.6
    onset = min(int(0.06 * RATE), count // 3)  # a consonant: a short breath of noise
    hiss = rng.standard_normal(onset) * np.hanning(onset)
    hiss = np.diff(hiss, prepend=0.0)
    waveform /= np.abs(waveform).max() + 1e-9
    waveform[:onset] = 0.35 * waveform[:onset] + 0.12 * hiss * rng.random()
    return waveform * 10 ** (voice.level / 20) * s.stress


def _breath(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Air through an open mouth, swelling and ending quickly; loudest sample about 1."""
    count = round(seconds * RATE)
    hiss = _resonate(rng.standard_normal(count), rng.uniform(900, 2200), rng.uniform(600, 1500))
    hiss *= np.sin(np.pi * (np.arange(count) / count) ** 1.6)
    return hiss / (np.abs(hiss).max() + 1e-9)


def synthesize_speech(syllables: list[Syllable], voice: Voice, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """The waveform, (seconds * 16000,) float32 in [-1, 1]; before phrases that follow a pause, mostly a breath."""
    out = lfilter([0.3], [1.0, -0.8], rng.standard_normal(int(seconds * RATE))) * 10 ** (voice.noise / 20)
    pitch, spoken_until = voice.pitch, 0.0

    def add(piece: np.ndarray, start: float) -> None:
        begin = int(start * RATE)
        piece = piece[: max(len(out) - begin, 0)]
        out[begin : begin + len(piece)] += piece

    for s in syllables:
        pause = s.start - spoken_until
        if pause > 0.25 and rng.random() < 0.7:
            length = min(rng.uniform(0.15, 0.45), pause - 0.05)
            loud = voice.level - voice.breath + 6 * rng.standard_normal()
            add(_breath(length, rng) * 10 ** (min(loud, voice.level - 8) / 20), s.start - length - 0.03)
        add(_voice_syllable(s, voice, pitch, rng), s.start)
        spoken_until = s.start + s.length
        pitch = voice.pitch * 1.08 if s.last else pitch * 0.985  # declination, reset at a new phrase
    return np.clip(out, -1, 1).astype(np.float32)
