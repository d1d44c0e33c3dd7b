"""A simulated speaker: a voice and a face, with the events that a listener may answer.

Defaults come from docs/method.md 15 (section numbers in the comments) or are marked as guesses.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perfrdiff.coefficients import CHANNEL, FPS
from perfrdiff.data.simulator.habits import REST_SCALE
from perfrdiff.data.simulator.motion import (
    DEGREE,
    Motion,
    add_gaze_aversion,
    add_head_drift,
    blink_times,
    couple_position_to_head,
)
from perfrdiff.data.simulator.speech import RATE
from perfrdiff.data.simulator.talk import Talk, draw_talk, loudness
from perfrdiff.data.simulator.tracking import simulate_tracking
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
    waveform: np.ndarray | None = None  # (N,) float32 at 16 kHz; None where nothing is heard
    hearing: np.ndarray | None = None  # (frames, 8) of `hearing.hear`

    @cached_property
    def audio(self) -> np.ndarray:
        """(frames, 78) MFCCs."""
        samples = np.zeros(0, np.float32) if self.waveform is None else self.waveform
        return mfcc(samples, RATE, len(self.coefficients))


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
    motion = Motion(frames)
    _add_speech(motion, talk, rng)
    _add_emotions(motion, events, rng)
    for time in blink_times(rng, float(np.clip(22 * np.exp(0.35 * rng.standard_normal()), 6, 45)), seconds):
        motion.blink(time, float(np.clip(rng.normal(0.65, 0.18), 0.3, 0.95)))
    add_head_drift(motion, rng, 1.6 * float(np.exp(0.3 * rng.standard_normal())))
    for event in events:
        if event.kind == "stress" and rng.random() < 0.5:
            motion.nod(event.time - 0.15, rng.uniform(1.5, 6), rng.uniform(1.8, 3.2), 1.0)
    add_gaze_aversion(motion, rng, rate=18, size=0.3, side=rng.uniform(-0.5, 0.5))
    motion.add("eyeLookDown", np.abs(motion.drift(rng, rng.uniform(0, 0.2), 1.0)))
    _add_rest_face(motion, rng)
    couple_position_to_head(motion)
    coefficients = simulate_tracking(motion.coefficients(), rng)
    hearing = hear(talk.waveform, frames)
    return SimulatedSpeaker(coefficients, events, np.ones(frames, bool), talk.waveform, hearing)


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


def _add_speech(motion: Motion, talk: Talk, rng: np.random.Generator) -> None:
    size = float(np.clip(0.22 * np.exp(0.5 * rng.standard_normal()), 0.05, 0.55))
    opening = np.clip(1 + loudness(talk.clean) / 25, 0, 1)[: motion.frames]
    motion.add("jawOpen", size * opening)
    motion.add("mouthLowerDown", 0.45 * size * opening)
    motion.add("mouthStretch", 0.2 * size * opening)
    motion.add("mouthUpperUp", 0.2 * size * opening)


def _add_emotions(motion: Motion, events: tuple[Event, ...], rng: np.random.Generator) -> None:
    for e in events:
        if e.kind in ("smile", "laugh"):
            curve = e.size * motion.envelope(e.time, rng.uniform(0.3, 0.8), e.length, rng.uniform(0.5, 1.2))
            motion.add("mouthSmile", 0.9 * curve, asymmetry=rng.normal(0, 0.06))
            motion.add("mouthDimple", 0.15 * curve)
            motion.add("mouthUpperUp", 0.4 * curve)
        elif e.kind == "raise":
            curve = e.size * motion.envelope(e.time, 0.24, min(e.length, 1.2), 0.4)
            motion.add("browInnerUp", 0.6 * curve)
            motion.add("browOuterUp", 0.5 * curve)
            motion.add("eyeWide", 0.15 * curve)
        elif e.kind == "concern":
            curve = e.size * motion.envelope(e.time, 0.4, e.length, 0.6)
            motion.add("browDown", 0.5 * curve)
            motion.add("browInnerUp", 0.2 * curve)
            motion.add("mouthFrown", 0.2 * curve)
        elif e.kind == "stress" and rng.random() < 0.5:
            curve = rng.uniform(0.1, 0.6) * motion.envelope(e.time - 0.1, 0.2, rng.uniform(0.1, 0.6), 0.3)
            motion.add("browInnerUp", curve)
            motion.add("browOuterUp", 0.7 * curve)


def _add_rest_face(motion: Motion, rng: np.random.Generator) -> None:
    for name, scale in REST_SCALE.items():
        motion.add(name, np.full(motion.frames, rng.random() * abs(rng.standard_normal()) * scale, np.float32))
    for name, mean, sd in (("rotationX", -4.0, 4.5), ("rotationY", 0.0, 7.0), ("rotationZ", 0.0, 3.0)):
        motion.offsets[:, CHANNEL[name]] += rng.normal(mean, sd) * DEGREE
