"""The rule to beat: a nod after every pause that follows a moving pitch (Truong, Poppe, Heylen; Interspeech 2010)."""

from collections.abc import Sequence

import numpy as np
from swift_f0 import SwiftF0

from perfrdiff.features.media.audio_track import RATE
from perfrdiff.features.speech_activity import Phrase

PAUSE = 0.4  # seconds of silence after which the rule nods
SPEECH = 1.0  # seconds of speech that came before
PITCH_CHANGE = 30.0  # Hz within the last of its voice
PITCH_SECONDS = 0.1
REFRACTORY = 1.4  # seconds after a nod without another
LOWEST, HIGHEST = 50.0, 550.0  # Hz
VOICED = 0.5  # confidence
PERIOD = 256 / RATE  # seconds between pitches


def rule_nods(samples: np.ndarray, phrases: Sequence[Phrase]) -> np.ndarray:
    """Times (n,) in seconds at which the rule nods.

    Args:
        samples: (N,) mono sound at 16 kHz, -1 … 1.
        phrases: the speech in it, in order of time.
    """
    seconds = len(samples) / RATE
    pitch = SwiftF0(threads=1, spin=False).detect(samples, RATE, LOWEST, HIGHEST)
    hertz, voiced = np.asarray(pitch.pitch_hz), np.asarray(pitch.confidence) >= VOICED
    times: list[float] = []
    for number, phrase in enumerate(phrases):
        following = phrases[number + 1].start if number + 1 < len(phrases) else seconds
        nod = phrase.end + PAUSE
        if phrase.end - phrase.start < SPEECH or following < nod or (times and nod - times[-1] < REFRACTORY):
            continue
        spoken = slice(int(phrase.start / PERIOD), int(phrase.end / PERIOD))
        last = hertz[spoken][voiced[spoken]][-round(PITCH_SECONDS / PERIOD) :]
        if len(last) and np.ptp(last) >= PITCH_CHANGE:
            times.append(nod)
    return np.array(times)
