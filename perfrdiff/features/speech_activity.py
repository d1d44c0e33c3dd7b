"""When a voice is heard: Silero's probability of speech every 32 ms, and the phrases and pauses it makes.

Silero VAD 6.2.3 (assets/hearing) is a small recurrent network that hears 4 ms of context and 32 ms at a time and never
looks ahead (https://github.com/snakers4/silero-vad). Unlike a threshold on the level, it tells breath and room from
speech.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnxruntime

from perfrdiff.errors import InputError
from perfrdiff.features.media.audio_track import RATE
from renderer.resources import asset, read_official

__all__ = [
    "SPEECH_OFF",
    "SPEECH_ON",
    "WINDOW",
    "Phrase",
    "SpeechStream",
    "checked",
    "phrase_ends",
    "phrases",
    "speech_probability",
]

MODEL = asset("hearing/silero_vad_16k_sequence.onnx")
MODEL_SHA256 = "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"

WINDOW = 512  # samples of one probability, 32 ms
CONTEXT = 64  # samples before a window that the network hears with it
BATCH = 256  # windows in one call, 8.2 s
SPEECH_ON, SPEECH_OFF = 0.5, 0.35  # probability at which speech begins, and below which it ends: Silero's own defaults
SHORTEST_PHRASE = 0.5  # seconds
SHORTEST_PAUSE = 0.2  # seconds; a shorter gap belongs to the phrase


@dataclass(frozen=True)
class Phrase:
    """Speech between two pauses, in seconds from the first sample."""

    start: float
    end: float


class SpeechStream:
    """Probabilities of speech of a signal that arrives in pieces."""

    def __init__(self) -> None:
        self._network = _network()
        self._rest = np.zeros(CONTEXT, np.float32)  # the context of the next window and what there is of it already
        self._hidden = np.zeros((1, 1, 128), np.float32)
        self._cell = np.zeros((1, 1, 128), np.float32)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """(n,) float32, 0 … 1: the probability of every window of 32 ms that ``samples`` (N,) at 16 kHz complete."""
        signal = np.concatenate([self._rest, samples.astype(np.float32, copy=False)])
        count = (len(signal) - CONTEXT) // WINDOW
        self._rest = signal[count * WINDOW :].copy()
        probabilities = np.empty(count, np.float32)
        for start in range(0, count, BATCH):
            stop = min(start + BATCH, count)
            piece = signal[start * WINDOW : stop * WINDOW + CONTEXT]
            windows = np.lib.stride_tricks.sliding_window_view(piece, CONTEXT + WINDOW)[::WINDOW]
            found, self._hidden, self._cell = self._network.run(
                ["speech_probs", "hn", "cn"],
                {"input": np.ascontiguousarray(windows), "h": self._hidden, "c": self._cell},
            )
            probabilities[start:stop] = found.reshape(-1)
        return probabilities


def speech_probability(samples: np.ndarray) -> np.ndarray:
    """(ceil(N / 512),) float32, 0 … 1: the probability of speech in every 32 ms, the last of them filled with silence.

    Args:
        samples: (N,) mono sound at 16 kHz, -1 … 1.

    Raises:
        InputError: samples that are not one channel, or not finite.
    """
    samples = checked(samples)
    return SpeechStream().push(np.pad(samples, (0, -len(samples) % WINDOW)))


def phrases(samples: np.ndarray) -> list[Phrase]:
    """The phrases of a signal: speech of 0.5 s or more between pauses of 0.2 s or more, in order of time.

    Speech begins with a probability of 0.5 and ends below 0.35. A phrase that the signal cuts off ends with the signal.

    Args:
        samples: (N,) mono sound at 16 kHz, -1 … 1.

    Raises:
        InputError: samples that are not one channel, or not finite.
    """
    samples = checked(samples)
    runs: list[list[float]] = []
    speaks = False
    for number, probability in enumerate(speech_probability(samples)):
        time = number * WINDOW / RATE
        if not speaks and probability >= SPEECH_ON:
            if runs and time - runs[-1][1] < SHORTEST_PAUSE:
                runs[-1][1] = np.inf
            else:
                runs.append([time, np.inf])
            speaks = True
        elif speaks and probability < SPEECH_OFF:
            runs[-1][1] = time
            speaks = False
    seconds = len(samples) / RATE
    found = [Phrase(start, float(min(end, seconds))) for start, end in runs]
    return [phrase for phrase in found if phrase.end - phrase.start >= SHORTEST_PHRASE]


def phrase_ends(samples: np.ndarray) -> np.ndarray:
    """(n,) float64 seconds: the ends of the phrases after which a pause of 0.2 s or more is there to be heard.

    Args and errors as ``phrases``.
    """
    return np.array(ends_before_pauses(phrases(samples), len(samples) / RATE))


def ends_before_pauses(spoken: Sequence[Phrase], seconds: float) -> list[float]:
    """The ends, in seconds, of those phrases of a sound of so many seconds after which 0.2 s or more are left."""
    return [phrase.end for phrase in spoken if seconds - phrase.end >= SHORTEST_PAUSE]


def checked(samples: np.ndarray) -> np.ndarray:
    """(N,) float32 of mono sound, clipped to -1 … 1; raises InputError where it is not one channel, or not finite."""
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise InputError(
            f"Mono sound of shape (N,) was expected, got shape {samples.shape}; average the channels first."
        )
    if not np.isfinite(samples).all():
        raise InputError("The sound holds numbers that are not finite.")
    return samples.clip(-1, 1).astype(np.float32, copy=False)


@cache
def _network() -> onnxruntime.InferenceSession:
    """The speech detector on one thread; a session may be run from several threads at once."""
    model = read_official(MODEL, MODEL_SHA256, "speech detector", InputError)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
