"""A simulated speaker: a voice and a face, with the events that a listener may answer.

Defaults come from docs/method.md 15 (section numbers in the comments) or are marked as guesses.
"""

from dataclasses import dataclass

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
from perfrdiff.data.simulator.speech import RATE, VOWELS, Syllable, draw_voice, synthesize_speech
from perfrdiff.data.simulator.tracking import simulate_tracking
from perfrdiff.features.audio import mfcc


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
    audio: np.ndarray  # (frames, 78) MFCCs
    events: tuple[Event, ...]
    waveform: np.ndarray | None = None  # (N,) float32 at 16 kHz; None for a tracked video


def simulate_speaker(rng: np.random.Generator, seconds: float = 30.0) -> SimulatedSpeaker:
    """A talking person with phrases, pauses, episodes of feeling, head motion, blinks and gaze."""
    frames = round(seconds * FPS)
    voice = draw_voice(rng)
    syllables, events = _phrases(rng, voice.tempo, seconds)
    motion = Motion(frames)
    _add_speech(motion, syllables, rng)
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
    waveform = synthesize_speech(syllables, voice, seconds, rng)
    audio = mfcc(waveform, RATE, frames)
    return SimulatedSpeaker(simulate_tracking(motion.coefficients(), rng), audio, tuple(events), waveform)


def _phrases(rng: np.random.Generator, tempo: float, seconds: float) -> tuple[list[Syllable], list[Event]]:
    syllables: list[Syllable] = []
    events: list[Event] = []
    now = rng.uniform(-1.0, 1.2)
    mood_until = 0.0
    while now < seconds - 0.4:
        count = max(3, round(rng.lognormal(np.log(8.5), 0.45)))  # about 2 s a phrase
        for i in range(count):
            stress = 1.0 if i % rng.integers(2, 5) == 1 else rng.uniform(0.45, 0.75)
            length = rng.uniform(0.75, 1.25) / tempo * (1.35 if i == count - 1 else 1.0)
            last = i == count - 1
            if 0 <= now < seconds:
                syllables.append(Syllable(now, length * 0.92, stress, int(rng.integers(len(VOWELS))), last))
                if stress == 1.0 and rng.random() < 0.35:
                    events.append(Event(now + 0.1, "stress", 1.0, 0.3))
            now += length
        events.append(Event(now, "phrase_end", 1.0, 0.0))
        if now > mood_until and rng.random() < 0.30:  # an episode of feeling, about 3 in a minute
            kind = rng.choice(["smile", "laugh", "raise", "concern"], p=[0.42, 0.16, 0.22, 0.20])
            length = float(np.clip(rng.lognormal(np.log(2.5), 0.5), 0.8, 7))
            begin = now - rng.uniform(0.0, 1.5)
            events.append(Event(begin, str(kind), float(rng.uniform(0.45, 1.0)), length))
            mood_until = begin + length + 1.0
            if kind == "laugh":
                at = now + 0.1
                for _ in range(rng.integers(3, 7)):
                    if 0 <= at < seconds:
                        syllables.append(Syllable(at, 0.13, 0.7, 0, False, laugh=True))
                    at += 0.21
                now = at
        now += rng.choice([rng.uniform(0.25, 0.7), rng.uniform(0.7, 1.8), rng.uniform(1.8, 4.5)], p=[0.55, 0.33, 0.12])
    return syllables, [e for e in sorted(events, key=lambda e: e.time) if 0 <= e.time < seconds]


def _add_speech(motion: Motion, syllables: list[Syllable], rng: np.random.Generator) -> None:
    # .26-.32 (docs/method.md 15.5), tracked: less
    size = float(np.clip(0.22 * np.exp(0.5 * rng.standard_normal()), 0.05, 0.55))
    openness = (1.0, 0.6, 0.4, 0.7, 0.4, 0.7)
    for s in syllables:
        half_width = 0.5 * s.length + 0.05
        t = (motion.time - s.start - 0.5 * s.length) / half_width
        shape = np.where(np.abs(t) < 1, 0.5 * (1 + np.cos(np.pi * np.clip(t, -1, 1))), 0) * s.stress
        motion.add("jawOpen", size * openness[s.vowel] * shape)
        motion.add("mouthLowerDown", 0.45 * size * shape)
        motion.add("mouthStretch", 0.2 * size * shape)
        if s.vowel in (3, 4):
            motion.add("mouthPucker", 0.5 * shape)
            motion.add("mouthFunnel", 0.2 * shape)
        else:
            motion.add("mouthUpperUp", 0.2 * size * shape)


def _add_emotions(motion: Motion, events: list[Event], rng: np.random.Generator) -> None:
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
