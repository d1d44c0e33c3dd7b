"""Movement that no event explains, in every channel in which tracked talkers move: coloured noise in their spectra.

A tracked channel rests at 0 and departs to one side only, like the part of a normal variable above a threshold. So each
channel is such a variable of its own, with the spread and the colour that real talkers show after what explains it has
been taken out (smiles, openings of the jaw, brows, blinks, turns): docs/method.md 16.5.
"""

from dataclasses import dataclass

import numpy as np

from perfrdiff.coefficients import FPS

__all__ = ["EVEN", "HEAD_WANDERING", "WANDERING", "Wandering", "coloured_noise", "rectified"]

CENTRES = np.array([0.17, 0.55, 1.7, 4.9])  # Hz, of the bands .1-.3, .3-1, 1-3 and 3-8
WIDTHS = np.array([0.2, 0.7, 2.0, 5.0])
SLOW = (0.74, 0.50, 0.36, 0.19)  # rms in the four bands by that of all: brows
EVEN = (0.50, 0.60, 0.52, 0.25)  # smiles, cheeks
QUICK = (0.36, 0.58, 0.62, 0.37)  # lips


@dataclass(frozen=True)
class Wandering:
    """How a channel, or a pair of channels, moves by itself."""

    spread: float  # standard deviation of a talker like those measured; expressions 0 … 1, degrees, model units
    colour: tuple[float, float, float, float]
    alike: float = 1.0  # correlation of left and right
    rest: float = 0.0  # share that goes on while nothing is said


WANDERING: dict[str, Wandering] = {
    "browDown": Wandering(0.12, SLOW, 0.85, 0.4),
    "browInnerUp": Wandering(0.14, SLOW, 1.0, 0.4),
    "browOuterUp": Wandering(0.045, SLOW, 0.7, 0.4),
    "cheekPuff": Wandering(0.075, QUICK, 1.0, 0.5),
    "eyeBlink": Wandering(0.03, EVEN, 0.95, 0.8),
    "eyeLookDown": Wandering(0.03, EVEN, 0.8, 0.8),
    "eyeLookUp": Wandering(0.05, EVEN, 0.8, 0.8),
    "eyeSquint": Wandering(0.055, EVEN, 0.6, 0.5),
    "eyeWide": Wandering(0.03, EVEN, 0.75, 0.5),
    "jawLeft": Wandering(0.055, EVEN, 1.0, 0.3),
    "jawOpen": Wandering(0.06, QUICK, 1.0, 0.1),
    "jawRight": Wandering(0.07, EVEN, 1.0, 0.3),
    "mouthClose": Wandering(0.03, QUICK, 1.0, 0.5),
    "mouthDimple": Wandering(0.06, EVEN, 0.6, 0.5),
    "mouthFrown": Wandering(0.045, QUICK, 0.2, 0.4),
    "mouthFunnel": Wandering(0.035, QUICK, 1.0, 0.2),
    "mouthLeft": Wandering(0.06, EVEN, 1.0, 0.4),
    "mouthLowerDown": Wandering(0.045, QUICK, 0.1, 0.2),
    "mouthPress": Wandering(0.055, QUICK, 0.5, 0.5),
    "mouthPucker": Wandering(0.04, QUICK, 1.0, 0.2),
    "mouthRight": Wandering(0.06, EVEN, 1.0, 0.4),
    "mouthRollLower": Wandering(0.04, QUICK, 1.0, 0.5),
    "mouthRollUpper": Wandering(0.14, QUICK, 1.0, 0.4),
    "mouthShrugLower": Wandering(0.055, QUICK, 1.0, 0.3),
    "mouthShrugUpper": Wandering(0.09, EVEN, 1.0, 0.5),
    "mouthSmile": Wandering(0.17, EVEN, 0.95, 0.4),
    "mouthStretch": Wandering(0.07, QUICK, 0.2, 0.3),
    "mouthUpperUp": Wandering(0.13, EVEN, 0.85, 0.2),
    "noseSneer": Wandering(0.03, SLOW, 0.9, 0.4),
}
"""Expression, without side where it has two -> its own movement; medians of four tracked talkers."""

HEAD_WANDERING: dict[str, Wandering] = {
    "rotationX": Wandering(5.0, (0.60, 0.62, 0.36, 0.12), rest=0.6),
    "rotationY": Wandering(6.5, (0.75, 0.50, 0.33, 0.07), rest=0.6),
    "rotationZ": Wandering(3.6, (0.55, 0.66, 0.36, 0.11), rest=0.6),
    "translationX": Wandering(0.06, (0.75, 0.60, 0.20, 0.06), rest=0.8),
    "translationY": Wandering(0.045, (0.65, 0.68, 0.30, 0.08), rest=0.8),
    "translationZ": Wandering(0.10, (0.70, 0.60, 0.30, 0.15), rest=0.8),
}
"""The same of the head: degrees about the rest, and model units."""


def coloured_noise(rng: np.random.Generator, frames: int, colour: tuple[float, float, float, float]) -> np.ndarray:
    """Normal noise of standard deviation 1 (over many clips), (frames,), with these rms in the four bands."""
    length = 2 * frames  # the first half: ends do not meet
    frequency = np.fft.rfftfreq(length, 1 / FPS)
    density = np.log(np.square(colour) / WIDTHS)
    power = np.exp(np.interp(np.log(np.maximum(frequency, 0.04)), np.log(CENTRES), density))
    power[frequency > CENTRES[-1]] *= (CENTRES[-1] / frequency[frequency > CENTRES[-1]]) ** 3
    power[0] = 0.0
    chance = rng.standard_normal(len(power)) + 1j * rng.standard_normal(len(power))
    return np.fft.irfft(length / 2 * np.sqrt(power / power.sum()) * chance, length)[:frames]


def rectified(noise: np.ndarray, threshold: float) -> np.ndarray:
    """What of a standard normal noise is above a threshold, scaled to a standard deviation of about 1."""
    return np.clip(noise - threshold, 0, None) / max(0.12, 0.58 - 0.33 * threshold)
