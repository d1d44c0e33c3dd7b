"""Pieces of a real voice joined to a talk, with the speaker's own pauses between them.

A piece is a run of phrases of one recording with the pauses that belong to it: breath, room, lips. Where two pieces
meet, the pause is drawn out with quiet sound of the same speaker, never with digital silence: a listener who has only
heard silent gaps does not know the pauses of people.
"""

import numpy as np

from perfrdiff.data.simulator.speech import RATE
from perfrdiff.data.simulator.voices import Recording

__all__ = ["draw_pause", "join_utterances", "stretch"]

MEAN_FURTHER_PHRASES = 4.0  # in a piece after its first; so most pauses of a talk are the speaker's own
MARGIN = 0.35  # seconds of pause at most that a piece keeps at either end
EDGE = 0.12  # seconds around a phrase that are not taken for quiet: onsets and last breaths of a word
SHORTEST_QUIET = 0.15  # seconds
ENOUGH_QUIET = 0.3  # seconds in all
FADE = 0.02  # seconds of the cross-fade where pieces meet
LARGEST_STRETCH = 0.08  # of tempo and pitch, either way


def join_utterances(rng: np.random.Generator, recordings: tuple[Recording, ...], seconds: float) -> np.ndarray:
    """A talk of one speaker, (seconds * 16000,) float32, from their recordings (one or more, with phrases)."""
    factor = float(np.exp(rng.uniform(-LARGEST_STRETCH, LARGEST_STRETCH)))
    wanted = round(seconds * factor * RATE) + 2
    quiet = _quiet_parts(recordings)
    pieces = [_lengthened(rng, quiet, rng.uniform(0.0, 1.2))]
    length = len(pieces[0])
    skipped = round(rng.uniform(0, 3) * RATE) if rng.random() < 0.5 else 0  # the talk has begun before
    recording, following = recordings[rng.integers(len(recordings))], 0
    while length < wanted + skipped:
        if following >= len(recording.phrases) or rng.random() < 0.1:
            recording = recordings[rng.integers(len(recordings))]
            following = int(rng.integers(len(recording.phrases))) if rng.random() < 0.3 else 0
        last = min(following + rng.poisson(MEAN_FURTHER_PHRASES), len(recording.phrases) - 1)
        piece, margins = _piece(recording, following, last)
        between = _lengthened(rng, quiet, max(0.0, draw_pause(rng) - margins))
        pieces += [piece, between]
        length += len(piece) + len(between) - 2 * round(FADE * RATE)
        following = last + 1
    return stretch(_cross_faded(pieces)[skipped : skipped + wanted], round(seconds * RATE))


def draw_pause(rng: np.random.Generator) -> float:
    """Seconds between two pieces of a talk: breaths, thoughts, and waits in which the other may speak."""
    kind = rng.choice(4, p=[0.50, 0.33, 0.14, 0.03])
    return float(rng.uniform(*((0.25, 0.7), (0.7, 1.8), (1.8, 4.5), (4.5, 9.0))[kind]))


def stretch(samples: np.ndarray, length: int) -> np.ndarray:
    """Sound resampled to another length, tempo and pitch together, (length,) float32."""
    places = np.linspace(0, len(samples) - 1, length)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def _piece(recording: Recording, first: int, last: int) -> tuple[np.ndarray, float]:
    """Phrases first … last of a recording with what is around them, and the seconds of pause in that."""
    phrases = recording.phrases
    before = phrases[first - 1][1] if first else 0.0
    after = phrases[last + 1][0] if last + 1 < len(phrases) else recording.seconds
    (start, _), (_, end) = phrases[first], phrases[last]
    lead = min(MARGIN, (start - before) / (2 if first else 1))
    tail = min(MARGIN, (after - end) / (2 if last + 1 < len(phrases) else 1))
    return recording.sound(start - lead, end + tail), lead + tail


def _quiet_parts(recordings: tuple[Recording, ...]) -> list[np.ndarray]:
    """Sound of a speaker who says nothing; where there is hardly any, their softest fifths of a second."""
    parts = []
    for recording in recordings:
        edges = [-EDGE, *(time for phrase in recording.phrases for time in phrase), recording.seconds + EDGE]
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            if end - start - 2 * EDGE >= SHORTEST_QUIET:
                parts.append(recording.sound(start + EDGE, end - EDGE))
    if sum(map(len, parts)) >= ENOUGH_QUIET * RATE:
        return parts
    sound = recordings[0].sound(0, recordings[0].seconds)
    blocks = sound[: len(sound) // (RATE // 5) * (RATE // 5)].reshape(-1, RATE // 5)
    return parts + list(blocks[np.argsort(np.square(blocks).mean(axis=1))[:2]])


def _lengthened(rng: np.random.Generator, quiet: list[np.ndarray], seconds: float) -> np.ndarray:
    """Quiet parts in random order and direction, joined to a length that is none of theirs."""
    wanted = round(seconds * RATE)
    if wanted < 2 * FADE * RATE:
        return np.zeros(0, np.float32)
    pieces, length = [], 0
    while length < wanted:
        part = quiet[rng.integers(len(quiet))]
        part = part[int(rng.uniform(0, 0.4) * len(part)) :][:: rng.choice([1, -1])]
        pieces.append(part)
        length += max(1, len(part) - round(FADE * RATE))
    return _cross_faded(pieces)[:wanted]


def _cross_faded(pieces: list[np.ndarray]) -> np.ndarray:
    """Pieces one after the other, each faded into the next over ``FADE`` seconds at equal power."""
    fade = round(FADE * RATE)
    rise = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
    pieces = [piece for piece in pieces if len(piece) > 2 * fade]
    out = np.zeros(sum(len(piece) - fade for piece in pieces) + fade, np.float32)
    at = 0
    for number, piece in enumerate(pieces):
        faded = piece.copy()
        if number:
            faded[:fade] *= rise
        if number + 1 < len(pieces):
            faded[-fade:] *= rise[::-1]
        out[at : at + len(piece)] += faded
        at += len(piece) - fade
    return out
