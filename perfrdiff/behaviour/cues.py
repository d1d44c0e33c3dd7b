"""What each nod, smile and blink of a listener answers: the speaker's phrase that has just ended, or their smile.

Nobody can see why a person nodded. A cue is the last thing of the speaker, shortly before, that such movements are known
to follow (docs/method.md 15.3, 15.10): of movements made at random some have one as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfrdiff.behaviour import events

ANSWER_WINDOW = (-0.2, 1.2)  # seconds from the end of a phrase in which a movement that answers it begins
SMILE_WINDOW = (0.0, 1.5)  # seconds from the beginning of a smile; it is returned after .5 to 1.5 s (docs/method.md 15.11)
LEAST_SMILE = 0.1  # of mouthSmile: what a viewer takes for a smile
PHRASE_END, SMILE = "phrase end", "smile"  # of the speaker
KINDS = ("nod", "smile", "blink")  # of the listener


@dataclass(frozen=True)
class Cue:
    """Something of the speaker's that a listener answers."""

    kind: str  # PHRASE_END or SMILE
    time: float  # seconds: when the phrase ended, or the smile began


@dataclass(frozen=True)
class CuedEvent:
    """One movement of a listener, and what it answers."""

    kind: str  # of KINDS
    start: float  # seconds
    end: float  # seconds
    size: float  # degrees of a nod, peak to peak; blendshape weight of the others
    cue: Cue | None  # None: nothing that it is known to follow


def cued_events(clip: np.ndarray, phrase_ends: Sequence[float], speaker_smiles: Sequence[float]) -> list[CuedEvent]:
    """The nods, smiles and blinks of a listener in order of time, each with its cue.

    A smile answers a smile before the end of a phrase; a nod or a blink answers the end of a phrase alone. Of several
    cues it is the last.

    Args:
        clip: (T, 58) coefficients of the listener at 25 frames per second, half a second or more.
        phrase_ends: seconds, in order, at which a phrase of the speaker ended.
        speaker_smiles: seconds, in order, at which the speaker began to smile (`smile_starts`).
    """
    found = [
        CuedEvent(kind, start, end, size, _cue(kind, start, phrase_ends, speaker_smiles))
        for kind, start, end, size in (*_nods(clip), *_smiles(clip), *_blinks(clip))
    ]
    return sorted(found, key=lambda event: event.start)


def smile_starts(clip: np.ndarray) -> list[float]:
    """The seconds at which the person of a clip (T, 58) begins to smile so that one sees it."""
    return [start for _, start, _, _ in _smiles(clip)]


def _cue(kind: str, start: float, phrase_ends: Sequence[float], speaker_smiles: Sequence[float]) -> Cue | None:
    sources = [(PHRASE_END, phrase_ends, ANSWER_WINDOW)]
    if kind == "smile":
        sources.insert(0, (SMILE, speaker_smiles, SMILE_WINDOW))
    for name, times, (earliest, latest) in sources:
        near = [time for time in times if earliest <= start - time <= latest]
        if near:
            return Cue(name, float(near[-1]))
    return None


def _nods(clip: np.ndarray) -> list[tuple[str, float, float, float]]:
    nods = events.nods(clip)
    length = nods.strokes / 2 / nods.frequency
    return [
        ("nod", float(start), float(start + seconds), float(size))
        for start, seconds, size in zip(nods.start, length, nods.size, strict=True)
    ]


def _smiles(clip: np.ndarray) -> list[tuple[str, float, float, float]]:
    smiles = events.smiles(clip)
    return [
        ("smile", float(start), float(start + length), float(size))
        for start, length, size in zip(smiles.start, smiles.length, smiles.size, strict=True)
        if size >= LEAST_SMILE
    ]


def _blinks(clip: np.ndarray) -> list[tuple[str, float, float, float]]:
    blinks = events.blinks(clip)
    return [
        ("blink", max(0.0, float(time - width)), float(time + width), float(peak))
        for time, width, peak in zip(blinks.time, blinks.width, blinks.peak, strict=True)
    ]
