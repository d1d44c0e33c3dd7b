"""What each nod, smile and blink of a listener answers: the speaker's phrase that has just ended, or their smile.

Nobody can see why a person nodded. A cue is the last thing of the speaker, shortly before, that such movements are
known to follow (docs/method.md 15.10 and 15.11): of movements made at random some have one as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfrdiff.behaviour import events
from perfrdiff.coefficients import FPS

ANSWER_WINDOW = (-0.2, 1.2)  # seconds from the end of a phrase in which a movement that answers it begins
SMILE_WINDOW = (
    0.0,
    1.5,
)  # seconds from the beginning of a smile; it is returned after .5 to 1.5 s (docs/method.md 15.11)
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
    is_clear: bool  # whether a viewer takes it for an answer, see `Nods.clear`; smiles and blinks are clear
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
        CuedEvent(
            kind, start, min(end, len(clip) / FPS), size, is_clear, _cue(kind, start, phrase_ends, speaker_smiles)
        )
        for kind, start, end, size, is_clear in (*_nods(clip), *_smiles(clip), *_blinks(clip))
    ]
    return sorted(found, key=lambda event: event.start)


def smile_starts(clip: np.ndarray) -> list[float]:
    """The seconds at which the person of a clip (T, 58) begins to smile so that one sees it."""
    return [start for _, start, *_ in _smiles(clip)]


def _cue(kind: str, start: float, phrase_ends: Sequence[float], speaker_smiles: Sequence[float]) -> Cue | None:
    sources = [(PHRASE_END, phrase_ends, ANSWER_WINDOW)]
    if kind == "smile":
        sources.insert(0, (SMILE, speaker_smiles, SMILE_WINDOW))
    for name, times, (earliest, latest) in sources:
        near = [time for time in times if earliest <= start - time <= latest]
        if near:
            return Cue(name, float(near[-1]))
    return None


_Row = tuple[str, float, float, float, bool]


def _nods(clip: np.ndarray) -> list[_Row]:
    nods = events.nods(clip)
    length = nods.strokes / 2 / nods.frequency
    columns = (nods.start, nods.start + length, nods.size, nods.clear)
    return [("nod", float(a), float(b), float(size), bool(clear)) for a, b, size, clear in zip(*columns, strict=True)]


def _smiles(clip: np.ndarray) -> list[_Row]:
    smiles = events.visible_smiles(clip)
    columns = (smiles.start, smiles.start + smiles.length, smiles.size)
    return [("smile", float(a), float(b), float(size), True) for a, b, size in zip(*columns, strict=True)]


def _blinks(clip: np.ndarray) -> list[_Row]:
    blinks = events.blinks(clip)
    columns = (np.maximum(0, blinks.time - blinks.width), blinks.time + blinks.width, blinks.peak)
    return [("blink", float(a), float(b), float(peak), True) for a, b, peak in zip(*columns, strict=True)]
