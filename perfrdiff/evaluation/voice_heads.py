"""Faces for a voice without a picture: somebody who only sits there, or whose mouth opens with the loudness."""

import numpy as np

from perfrdiff.coefficients import CHANNEL, FPS
from perfrdiff.data.simulator.speaker import idle_face

HEADS = ("idle", "envelope")
OPENING = {"jawOpen": 0.25, "mouthLowerDownLeft": 0.11, "mouthLowerDownRight": 0.11}  # in the loudest tenth of frames
LOUDNESS_RANGE = 25.0  # dB below that, at which the mouth is closed
FLOOR = 1e-9  # power


def voice_head(head: str, samples: np.ndarray, rate: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """A tracked face (frames, 58) to a voice (N,) at `rate` samples per second; `head` is one of `HEADS`."""
    face = idle_face(rng, frames)
    return with_envelope(face, samples, rate) if head == "envelope" else face


def with_envelope(face: np.ndarray, samples: np.ndarray, rate: int) -> np.ndarray:
    """The face (frames, 58) with a mouth that opens with the loudness of a sound (N,) of `rate` samples per second."""
    hop = rate // FPS
    sound = np.zeros(len(face) * hop)
    sound[: min(len(samples), len(sound))] = samples[: len(sound)]
    level = 10 * np.log10(np.maximum(np.square(sound.reshape(len(face), hop)).mean(axis=1), FLOOR))
    opening = np.clip(1 + (level - np.percentile(level, 90)) / LOUDNESS_RANGE, 0, 1)
    out = face.copy()
    for name, most in OPENING.items():
        out[:, CHANNEL[name]] = np.clip(out[:, CHANNEL[name]] + most * opening, 0, 1)
    return out
