"""A simulated speaker: a voice and a face, with the events that a listener may answer.

Defaults come from docs/method.md 15 (section numbers in the comments) or are marked as guesses.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from perfrdiff.coefficients import FPS
from perfrdiff.data.simulator.motion import Motion, couple_position_to_head
from perfrdiff.data.simulator.mouth import add_speech, mouth_cues
from perfrdiff.data.simulator.speech import RATE
from perfrdiff.data.simulator.talk import Talk, draw_talk
from perfrdiff.data.simulator.talking_face import (
    add_eyes,
    add_feelings,
    add_head,
    add_rest,
    add_wandering,
    draw_talker,
)
from perfrdiff.data.simulator.tracked_speaker import hide_face, track_speaker
from perfrdiff.data.simulator.voices import Voices
from perfrdiff.features.audio import mfcc
from perfrdiff.features.hearing import hear

FEELINGS = {"smile": 0.42, "laugh": 0.16, "raise": 0.22, "concern": 0.20}  # shares (guesses)
FEELING_CHANCE = 0.30  # after a phrase: about 3 a minute
STRESS_CHANCE = 0.35  # that a stressed syllable is one that a listener may answer


@dataclass(frozen=True)
class Event:
    """Something the speaker did that a listener may answer."""

    time: float  # seconds, when it can be perceived
    kind: str  # phrase_end, stress, smile, laugh, raise, concern
    size: float  # 0 … 1
    length: float  # seconds


@dataclass(frozen=True)
class SimulatedSpeaker:
    """A speaker's face and voice, with the events that a listener may answer."""

    coefficients: np.ndarray  # (frames, 58)
    events: tuple[Event, ...]
    face_seen: np.ndarray  # (frames,) bool; elsewhere the coefficients are filled in
    waveform: np.ndarray  # (N,) float32 at 16 kHz
    hearing: np.ndarray  # (frames, 8) of `hearing.hear`

    @property
    def attributes(self) -> None:
        """Read off the face where they are wanted."""
        return None

    @cached_property
    def audio(self) -> np.ndarray:
        """(frames, 78) MFCCs."""
        return mfcc(self.waveform, RATE, len(self.coefficients))


def simulate_speaker(rng: np.random.Generator, seconds: float = 30.0, voices: Voices | None = None) -> SimulatedSpeaker:
    """A talking person with phrases, pauses, episodes of feeling, head motion, blinks and gaze.

    Args:
        rng: draws everything; the same state and voices give the same speaker.
        seconds: length of the talk.
        voices: real ones, of which most talks are built (`voices.read_voices`); None: all are made up.
    """
    frames = round(seconds * FPS)
    talk = draw_talk(rng, seconds, voices)
    events = _events(rng, talk)
    talker = draw_talker(rng)
    cues = mouth_cues(talk, frames)
    motion = Motion(frames)
    add_rest(motion, rng)
    add_speech(motion, cues, talker.speech, rng)
    add_feelings(motion, events, talker, rng)
    add_wandering(motion, cues.speaks, talker, rng)
    add_head(motion, events, cues.speaks, talker, rng)
    add_eyes(motion, talker, rng)
    couple_position_to_head(motion)
    coefficients, seen = hide_face(track_speaker(motion.coefficients(), rng), rng)
    return SimulatedSpeaker(coefficients, events, seen, talk.waveform, hear(talk.waveform, frames))


def idle_face(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A tracked face that rests and blinks, moves a little and says nothing, (frames, 58): to listen to a voice by."""
    talker = replace(draw_talker(rng), mouth=0.1, brows=0.1, smile=0.1, head=0.15, eyes=1.0)
    motion = Motion(frames)
    add_rest(motion, rng)
    add_wandering(motion, np.zeros(frames), talker, rng)
    add_head(motion, (), np.zeros(frames), talker, rng)
    add_eyes(motion, talker, rng)
    couple_position_to_head(motion)
    return track_speaker(motion.coefficients(), rng)


def _events(rng: np.random.Generator, talk: Talk) -> tuple[Event, ...]:
    """Ends of phrases, stresses and laughs as they are heard, and feelings that begin about ends of phrases."""
    ends = [
        time for time in talk.phrase_ends if not any(laugh.start <= time < laugh.end + 0.3 for laugh in talk.laughs)
    ]
    events = [Event(time, "phrase_end", 1.0, 0.0) for time in ends]
    events += [Event(time + 0.1, "stress", 1.0, 0.3) for time in talk.stresses() if rng.random() < STRESS_CHANCE]
    for laugh in talk.laughs:
        events.append(Event(laugh.start, "laugh", float(rng.uniform(0.6, 1.0)), laugh.end - laugh.start + 0.5))
    feeling_until = 0.0
    for time in ends:
        if time > feeling_until and rng.random() < FEELING_CHANCE:
            kind = str(rng.choice(list(FEELINGS), p=list(FEELINGS.values())))
            length = float(np.clip(rng.lognormal(np.log(2.5), 0.5), 0.8, 7))
            begin = time - rng.uniform(0.0, 1.5)
            events.append(Event(begin, kind, float(rng.uniform(0.45, 1.0)), length))
            feeling_until = begin + length + 1.0
    return tuple(sorted((e for e in events if 0 <= e.time < talk.seconds), key=lambda e: e.time))
