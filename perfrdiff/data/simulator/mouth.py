"""The mouth of somebody who talks: openings with the loudness, lips with what is said, as far as it shows in the sound.

Nobody's words are recognised. Where the sound hisses, lips stretch; where a voice is dark, they round; where it dips
inside a phrase, they close now and then, as for b, m or p. Of the tracked jaws of real talkers only a part goes with
the loudness, so the rest moves by itself while there is speech.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from perfrdiff.coefficients import FPS
from perfrdiff.data.simulator.motion import Motion
from perfrdiff.data.simulator.speech import RATE
from perfrdiff.data.simulator.talk import Talk, loudness

__all__ = ["MouthCues", "add_speech", "mouth_cues"]

DARK, CLEAR, HISS = (100, 700), (700, 2600), (3500, 7500)  # Hz, bands whose balance tells vowels from hissing
OPEN_RANGE = 26.0  # dB under the louder parts of speech at which the mouth is shut
OPENING_SMOOTHING = 0.9  # frames, standard deviation: some 3 openings a second remain of 4 to 5 syllables


@dataclass(frozen=True)
class MouthCues:
    """What the sound tells about the mouth, each (frames,) and 0 … 1."""

    speaks: np.ndarray  # 1 in phrases, with soft edges
    opening: np.ndarray
    hissing: np.ndarray
    rounding: np.ndarray
    closures: np.ndarray  # frames at which lips may meet, int


def mouth_cues(talk: Talk, frames: int) -> MouthCues:
    """What the clean voice of a talk tells about the mouth in each of its frames."""
    hop = RATE // FPS
    level = loudness(talk.clean)[:frames]
    speaks = np.zeros(frames)
    for phrase in talk.phrases:
        speaks[int(phrase.start * FPS) : int(phrase.end * FPS) + 1] = 1.0
    sound = np.pad(talk.clean[: frames * hop], (0, max(0, frames * hop - len(talk.clean)))).reshape(frames, hop)
    power = np.square(np.abs(np.fft.rfft(sound * np.hanning(hop), axis=1)))
    frequency = np.fft.rfftfreq(hop, 1 / RATE)
    dark, clear, hiss = (
        10 * np.log10(power[:, (frequency >= low) & (frequency < high)].sum(axis=1) + 1e-9)
        for low, high in (DARK, CLEAR, HISS)
    )
    voiced = speaks * np.clip(1 + level / OPEN_RANGE, 0, 1)
    inside = speaks > 0
    balance = dark - clear
    balance = (balance - np.median(balance[inside])) / (balance[inside].std() + 1e-6) if inside.any() else balance * 0
    opening = gaussian_filter1d(np.clip(1 + level / OPEN_RANGE, 0, 1) * speaks, OPENING_SMOOTHING)
    dips = (opening[1:-1] < opening[:-2]) & (opening[1:-1] <= opening[2:]) & inside[1:-1]
    return MouthCues(
        speaks=gaussian_filter1d(speaks, 2.0),
        opening=opening,
        hissing=gaussian_filter1d(speaks * np.clip((hiss - np.maximum(dark, clear)) / 15, 0, 1), 1.0),
        rounding=gaussian_filter1d(voiced * np.clip(balance, 0, 2) / 2, 1.5),
        closures=np.flatnonzero(dips) + 1,
    )


def add_speech(motion: Motion, cues: MouthCues, liveliness: float, rng: np.random.Generator) -> None:
    """Move jaw and lips with the sound, 0 to 40 ms after it; `liveliness` 1 is a talker like those measured."""
    late = rng.uniform(0.0, 1.0)  # frames

    def delayed(curve: np.ndarray) -> np.ndarray:
        return np.interp(np.arange(motion.frames) - late, np.arange(motion.frames), curve)

    opening, hissing, rounding = map(delayed, (cues.opening, cues.hissing, cues.rounding))
    size = liveliness * rng.uniform(0.10, 0.38)
    motion.add("jawOpen", size * opening)
    motion.add("mouthLowerDown", rng.uniform(0.1, 0.45) * size * opening)
    motion.add("mouthUpperUp", rng.uniform(0.1, 0.7) * size * opening)
    motion.add("mouthShrugLower", rng.uniform(0.0, 0.4) * size * opening)
    hissed = liveliness * rng.uniform(0.05, 0.35) * hissing
    motion.add("mouthStretch", hissed, asymmetry=rng.normal(0, 0.4))
    motion.add("mouthUpperUp", 0.5 * hissed)
    rounded = liveliness * 0.3 * np.exp(0.6 * rng.standard_normal()) * rounding
    motion.add("mouthPucker", rounded)
    motion.add("mouthFunnel", 0.7 * rounded)
    motion.add("cheekPuff", 0.8 * rounded)
    closed = np.zeros(motion.frames)
    chosen = cues.closures[rng.random(len(cues.closures)) < 0.5]
    closed[chosen] = rng.uniform(0.4, 1.0, len(chosen))
    closed = delayed(gaussian_filter1d(maximum_filter1d(closed, 2), 0.8))
    lips = liveliness * closed
    for name, least, most in (
        ("mouthRollUpper", 0.05, 0.35), ("mouthRollLower", 0.02, 0.15), ("mouthPress", 0.02, 0.2),
        ("mouthClose", 0.02, 0.15),
    ):  # fmt: skip
        motion.add(name, rng.uniform(least, most) * lips)
    motion.add("jawOpen", -0.4 * size * closed)
