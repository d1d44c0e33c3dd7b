"""Simulated conversations: a speaker with a voice and a face, and persons who listen, each in their own way.

Defaults come from docs/method.md 15 (section numbers in the comments) or are marked as guesses. The listener is
causal: it reacts to what was heard and seen before, after a latency.
"""

from dataclasses import dataclass

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION, EXPRESSION_NAMES, FPS, ROTATION, TRANSLATION, WIDTH
from perfrdiff.data.simulator.habits import REST_SCALE, ListenerHabits, left_right_columns
from perfrdiff.data.simulator.motion import DEGREE, Motion, add_gaze, blink_times, couple_position_to_head, event_times
from perfrdiff.data.simulator.speech import RATE, VOWELS, Syllable, draw_voice, synthesize_speech
from perfrdiff.features.audio import mfcc
from perfrdiff.features.tracking.signals import neutral_offset, without_offset

STILL_CHANNELS = (
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "jawForward", "jawLeft", "jawRight", "mouthClose", "mouthLeft",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""Expressions that simulated people leave at rest: MediaPipe's own network hardly sees them (docs/method.md 14.5)."""
MOVING_COLUMNS = [CHANNEL[name] for name in EXPRESSION_NAMES if name not in STILL_CHANNELS]
"""The columns of all other expressions."""


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
    _add_head_drift(motion, rng, 1.6 * float(np.exp(0.3 * rng.standard_normal())))
    for event in events:
        if event.kind == "stress" and rng.random() < 0.5:
            motion.nod(event.time - 0.15, rng.uniform(1.5, 6), rng.uniform(1.8, 3.2), 1.0)
    _add_gaze_aversion(motion, rng, rate=18, size=0.3, side=rng.uniform(-0.5, 0.5))
    motion.add("eyeLookDown", np.abs(motion.drift(rng, rng.uniform(0, 0.2), 1.0)))
    _add_rest_face(motion, rng)
    couple_position_to_head(motion)
    waveform = synthesize_speech(syllables, voice, seconds, rng)
    audio = mfcc(waveform, RATE, frames)
    return SimulatedSpeaker(simulate_tracking(motion.coefficients(), rng), audio, tuple(events), waveform)


def simulate_listener(speaker: SimulatedSpeaker, habits: ListenerHabits, rng: np.random.Generator) -> np.ndarray:
    """One appropriate reaction of a person with these habits, as a tracker would see it, (frames, 58) float32.

    Another `rng` gives another appropriate reaction of the same person.
    """
    frames = len(speaker.coefficients)
    seconds = frames / FPS
    motion = Motion(frames)
    _add_nods(motion, speaker, habits, rng, seconds)
    _add_smiles(motion, speaker, habits, rng, seconds)
    _add_brows(motion, speaker, habits, rng, seconds)
    for time in blink_times(rng, habits.blink_rate, seconds):
        motion.blink(time, float(np.clip(rng.normal(0.65, 0.15), 0.35, 0.95)))
    _add_gaze_aversion(motion, rng, habits.gaze_rate, habits.gaze_size, habits.gaze_side)
    for time in event_times(rng, habits.press_rate, seconds):
        curve = rng.uniform(0.15, 0.5) * motion.envelope(time, 0.3, rng.uniform(0.2, 0.8), 0.4)
        motion.add("mouthPress", curve)
        motion.add("mouthShrugLower", 0.5 * curve)
    _add_posture(motion, habits, rng, seconds)
    motion.offsets += habits.rest_face
    couple_position_to_head(motion)
    return simulate_tracking(motion.coefficients(), rng)


def simulate_tracking(coefficients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same motion with a tracker's noise, cross-talk and blind spots (docs/method.md 14.9; sizes are guesses)."""
    out = coefficients.copy()
    pitch = out[:, CHANNEL["rotationX"]] - np.pi
    for name in ("eyeLookDown", "eyeBlink"):  # a lowered head reads as lowered lids
        for column in left_right_columns(name):
            out[:, column] += np.clip(pitch, 0, None) * (0.8 if name == "eyeLookDown" else 0.35)
    smile = out[:, CHANNEL["mouthSmileLeft"]] + out[:, CHANNEL["mouthSmileRight"]]
    for column in left_right_columns("eyeSquint"):
        out[:, column] += 0.25 * smile * rng.uniform(0.5, 1.0)
    gain = np.ones(WIDTH, np.float32)
    gain[EXPRESSION] = np.exp(0.10 * rng.standard_normal(EXPRESSION.stop))
    first_pose = out[:1] * 0
    first_pose[:, ROTATION], first_pose[:, TRANSLATION] = out[:1, ROTATION], out[:1, TRANSLATION]
    out = first_pose + (out - first_pose) * gain
    noise = rng.standard_normal(out.shape).astype(np.float32)
    noise[1:] = 0.6 * noise[1:] + 0.4 * noise[:-1]
    size = np.full(WIDTH, 0.006, np.float32)
    size[EXPRESSION] += 0.02 * np.sqrt(np.clip(out[:, EXPRESSION].mean(0), 0, 1))
    size[ROTATION] = 0.12 * DEGREE
    size[TRANSLATION] = (0.002, 0.002, 0.006)
    out += noise * size
    for name in STILL_CHANNELS:
        out[:, CHANNEL[name]] = np.abs(0.004 * noise[:, CHANNEL[name]])
    out[:, EXPRESSION] = np.clip(out[:, EXPRESSION], 0, 1)
    out[:, EXPRESSION] = without_offset(out[:, EXPRESSION], neutral_offset(out[:, EXPRESSION]))
    out[:, TRANSLATION] += np.array([-0.005627, -0.018014, 1.837867]) - np.median(out[:, TRANSLATION], axis=0)
    return out.astype(np.float32)


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


def _add_nods(
    motion: Motion, speaker: SimulatedSpeaker, habits: ListenerHabits, rng: np.random.Generator, seconds: float
) -> None:
    """Nods answer phrase ends (most), stress (some) and nothing (the rest), so that the person's rate holds."""
    ends = [e.time for e in speaker.events if e.kind == "phrase_end"]
    stresses = [e.time for e in speaker.events if e.kind == "stress"]
    nod_count = habits.nod_rate * seconds / 60
    starts = list(event_times(rng, habits.nod_rate * (1 - habits.nod_follow), seconds))
    for times, share in ((ends, 0.8), (stresses, 0.2)):
        if times:
            chance = min(nod_count * habits.nod_follow * share / len(times), 0.97)
            starts += [t + rng.lognormal(np.log(0.38), 0.45) for t in times if rng.random() < chance]
    nodding_until = -1.0
    for start in sorted(starts):
        if start < nodding_until:
            continue
        cycles = float(np.clip(habits.nod_cycles * np.exp(0.35 * rng.standard_normal()), 1, 4))
        size = float(np.clip(habits.nod_size * np.exp(0.4 * rng.standard_normal()), 1.2, 16))
        speed = float(np.clip(habits.nod_speed * np.exp(0.15 * rng.standard_normal()) * (4.3 / size) ** 0.15, 1.2, 3.6))
        motion.nod(start, size, speed, cycles)
        nodding_until = start + cycles / speed + 0.2
        if rng.random() < 0.25:  # a silent "mm": lips press or part
            motion.add("mouthPress", 0.2 * motion.envelope(start, 0.2, 0.3, 0.3))


def _add_smile(
    motion: Motion, start: float, size: float, hold: float, habits: ListenerHabits, rng: np.random.Generator
) -> None:
    onset, offset = rng.uniform(0.3, 0.9), rng.uniform(0.5, 1.5)  # onset 0.52 s [0.2-1.4] (docs/method.md 15.3)
    curve = size * motion.envelope(start, onset, hold, offset)
    motion.add("mouthSmile", curve, asymmetry=habits.smile_asymmetry)
    motion.add("mouthDimple", 0.2 * curve)
    motion.add("mouthUpperUp", 0.15 * np.clip(curve - 0.3, 0, None))
    motion.add("browInnerUp", 0.06 * curve)


def _add_smiles(
    motion: Motion, speaker: SimulatedSpeaker, habits: ListenerHabits, rng: np.random.Generator, seconds: float
) -> None:
    for e in speaker.events:
        latency = max(0.25, habits.smile_latency + 0.2 * rng.standard_normal())
        if e.kind == "smile" and rng.random() < 0.25 + 0.7 * habits.smile_gain:
            size = habits.smile_size * (0.4 + 0.8 * habits.smile_gain) * e.size * np.exp(0.2 * rng.standard_normal())
            _add_smile(motion, e.time + latency, size, max(0.2, e.length + rng.normal(0, 0.6)), habits, rng)
        elif e.kind == "laugh" and rng.random() < 0.45 + 0.5 * habits.smile_gain:
            size = min(1.0, 1.4 * habits.smile_size * (0.5 + 0.7 * habits.smile_gain))
            start = e.time + 0.7 * latency
            _add_smile(motion, start, size, e.length + 0.5, habits, rng)
            motion.add("jawOpen", 0.35 * size * motion.envelope(start + 0.2, 0.3, 0.6 * e.length, 0.5))
            motion.nod(start + 0.3, 3.0 * habits.energy, 3.0, 3)
    for time in event_times(rng, habits.smile_rate, seconds):
        size = habits.smile_size * np.exp(0.3 * rng.standard_normal())
        _add_smile(motion, time, size, rng.lognormal(np.log(0.8), 0.6), habits, rng)


def _add_brows(
    motion: Motion, speaker: SimulatedSpeaker, habits: ListenerHabits, rng: np.random.Generator, seconds: float
) -> None:
    raises = list(event_times(rng, 0.5 * habits.brow_rate, seconds))
    frowns = list(event_times(rng, 0.5 * habits.frown_rate, seconds))
    raise_chance = min(0.95, 0.08 * habits.brow_rate)
    frown_chance = min(0.95, 0.15 * habits.frown_rate)
    for e in speaker.events:
        if e.kind == "raise" and rng.random() < raise_chance:
            raises.append(e.time + rng.uniform(0.3, 0.8))
        elif e.kind == "stress" and rng.random() < 0.1 * raise_chance:
            raises.append(e.time + rng.uniform(0.3, 0.7))
        elif e.kind == "concern" and rng.random() < frown_chance:
            frowns.append(e.time + rng.uniform(0.4, 1.0))
    for time in raises:  # 1.0 s [0.56-1.7], onset 0.24 s (docs/method.md 15.4)
        curve = (
            habits.brow_size
            * np.exp(0.3 * rng.standard_normal())
            * motion.envelope(time, 0.24, rng.uniform(0.2, 0.9), 0.4)
        )
        motion.add("browInnerUp", curve)
        motion.add("browOuterUp", 0.7 * curve)
        motion.add("eyeWide", 0.15 * curve)
    for time in frowns:  # 1.7 s
        curve = (
            habits.frown_size
            * np.exp(0.3 * rng.standard_normal())
            * motion.envelope(time, 0.35, rng.uniform(0.5, 1.6), 0.5)
        )
        motion.add("browDown", curve)
        motion.add("eyeSquint", 0.3 * curve)
        motion.add("mouthFrown", 0.15 * curve)


def _add_gaze_aversion(motion: Motion, rng: np.random.Generator, rate: float, size: float, side: float) -> None:
    """Looks away for 0.5 s [0.17-2.1] and back, each in 0.1 s (docs/method.md 15.6); the head goes half the way."""
    yaw = rng.normal(0, 0.10) + motion.drift(rng, 0.025, 0.5)
    pitch = motion.drift(rng, 0.02, 0.5)
    for time in event_times(rng, rate, motion.frames / FPS):
        dwell = float(np.clip(rng.lognormal(np.log(0.8), 0.7), 0.2, 4))
        away = motion.envelope(time, 0.12, dwell, 0.12)
        turn = (1 if rng.random() < 0.5 + 0.5 * side else -1) * size * np.exp(0.3 * rng.standard_normal())
        tip = size * rng.choice([-0.8, 0.5, 0.0], p=[0.5, 0.2, 0.3])
        yaw = yaw + turn * away
        pitch = pitch + tip * away
        slow = motion.envelope(time, 0.45, dwell, 0.5)
        motion.offsets[:, CHANNEL["rotationY"]] += 0.35 * turn * 35 * DEGREE * slow * rng.uniform(0, 0.7)
        motion.offsets[:, CHANNEL["rotationX"]] -= 0.25 * tip * 30 * DEGREE * slow * rng.uniform(0, 0.7)
    add_gaze(motion, yaw, pitch)


def _add_head_drift(motion: Motion, rng: np.random.Generator, energy: float) -> None:
    for name, scale in (("rotationX", 1.2), ("rotationY", 1.6), ("rotationZ", 0.9)):
        column = CHANNEL[name]
        motion.offsets[:, column] += motion.drift(rng, scale * energy * DEGREE, 1.2)
        motion.offsets[:, column] += motion.drift(rng, 0.15 * energy * DEGREE, 0.15)
    for name, scale in (("translationX", 0.02), ("translationY", 0.012), ("translationZ", 0.04)):
        motion.offsets[:, CHANNEL[name]] += motion.drift(rng, scale * energy, 3.0)


def _add_posture(motion: Motion, habits: ListenerHabits, rng: np.random.Generator, seconds: float) -> None:
    """Hold and shift (docs/method.md 15.1): a rest pose, steps of 0.85 s to others, held tilts, little else."""
    _add_head_drift(motion, rng, 0.5 * habits.energy)
    rest = {"rotationX": habits.rest_pitch, "rotationY": habits.rest_yaw, "rotationZ": habits.rest_roll}
    for name, value in rest.items():
        motion.offsets[:, CHANNEL[name]] += (value + rng.normal(0, 0.8)) * DEGREE
    for time in event_times(rng, habits.shift_rate, seconds):
        hold = rng.uniform(2, 12)
        curve = motion.envelope(time, rng.uniform(0.6, 1.2), hold, rng.uniform(0.6, 1.5))
        for name, scale in (("rotationX", 2.0), ("rotationY", 3.5), ("rotationZ", 1.2)):
            motion.offsets[:, CHANNEL[name]] += rng.normal(0, scale) * habits.energy * DEGREE * curve
        motion.offsets[:, CHANNEL["translationZ"]] += rng.normal(0, 0.12) * habits.energy * curve
        motion.offsets[:, CHANNEL["translationX"]] += rng.normal(0, 0.06) * habits.energy * curve
    for time in event_times(rng, habits.tilt_rate, seconds):
        curve = motion.envelope(time, 0.85, rng.uniform(1.5, 7), 0.9)
        size = habits.tilt_size * np.exp(0.35 * rng.standard_normal()) * rng.choice([-1, 1])
        motion.offsets[:, CHANNEL["rotationZ"]] += size * DEGREE * curve


def _add_rest_face(motion: Motion, rng: np.random.Generator) -> None:
    for name, scale in REST_SCALE.items():
        motion.add(name, np.full(motion.frames, rng.random() * abs(rng.standard_normal()) * scale, np.float32))
    for name, mean, sd in (("rotationX", -4.0, 4.5), ("rotationY", 0.0, 7.0), ("rotationZ", 0.0, 3.0)):
        motion.offsets[:, CHANNEL[name]] += rng.normal(mean, sd) * DEGREE
