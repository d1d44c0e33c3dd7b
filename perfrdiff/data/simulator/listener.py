"""Persons who listen to a simulated speaker, each in their own way.

Defaults come from docs/method.md 15 (section numbers in the comments) or are marked as guesses. The listener is
causal: it reacts to what was heard and seen before, after a latency.
"""

import numpy as np

from perfrdiff.coefficients import CHANNEL, FPS
from perfrdiff.data.simulator.habits import ListenerHabits
from perfrdiff.data.simulator.motion import (
    DEGREE,
    Motion,
    add_gaze_aversion,
    add_head_drift,
    blink_times,
    couple_position_to_head,
    event_times,
)
from perfrdiff.data.simulator.speaker import SimulatedSpeaker
from perfrdiff.data.simulator.tracking import simulate_tracking


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
    add_gaze_aversion(motion, rng, habits.gaze_rate, habits.gaze_size, habits.gaze_side)
    for time in event_times(rng, habits.press_rate, seconds):
        curve = rng.uniform(0.15, 0.5) * motion.envelope(time, 0.3, rng.uniform(0.2, 0.8), 0.4)
        motion.add("mouthPress", curve)
        motion.add("mouthShrugLower", 0.5 * curve)
    _add_posture(motion, habits, rng, seconds)
    motion.offsets += habits.rest_face
    couple_position_to_head(motion)
    return simulate_tracking(motion.coefficients(), rng)


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


def _add_posture(motion: Motion, habits: ListenerHabits, rng: np.random.Generator, seconds: float) -> None:
    """Hold and shift (docs/method.md 15.1): a rest pose, steps of 0.85 s to others, held tilts, little else."""
    add_head_drift(motion, rng, 0.5 * habits.energy)
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
