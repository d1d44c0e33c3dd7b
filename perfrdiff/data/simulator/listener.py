"""Persons who listen to a simulated speaker, each in their own way.

Defaults come from docs/method.md 15 (section numbers in the comments) or are marked as guesses. The listener is
causal: it reacts to what was heard and seen before, after a latency.
"""

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, TRANSLATION, neutral
from perfrdiff.data.simulator.habits import ListenerHabits
from perfrdiff.data.simulator.motion import (
    DEGREE,
    Motion,
    add_gaze,
    blink_times,
    couple_position_to_head,
    event_times,
)
from perfrdiff.data.simulator.speaker import SimulatedSpeaker
from perfrdiff.data.simulator.tracking import simulate_tracking
from perfrdiff.features.tracking.signals import neutral_offset, without_offset


def simulate_listener(speaker: SimulatedSpeaker, habits: ListenerHabits, rng: np.random.Generator) -> np.ndarray:
    """One appropriate reaction of a person with these habits, as they move, (frames, 58) float32.

    What a tracker would make of it says `simulate_tracking`; only the offset that tracking takes for the resting face
    (docs/method.md 14.4) is taken off here, too. Another `rng` gives another appropriate reaction of the same person.
    """
    frames = len(speaker.coefficients)
    seconds = frames / FPS
    motion = Motion(frames)
    _add_clear_nods(motion, speaker, habits, rng, seconds)
    _add_small_nods(motion, habits, rng, seconds)
    _add_smiles(motion, speaker, habits, rng, seconds)
    _add_brows(motion, speaker, habits, rng, seconds)
    for time in blink_times(rng, habits.blink_rate, seconds):
        motion.blink(time, float(np.clip(rng.normal(0.65, 0.15), 0.35, 0.95)))
    _add_glances(motion, habits, rng, seconds)
    _add_mouth(motion, habits, rng, seconds)
    _add_posture(motion, habits, rng, seconds)
    motion.offsets += habits.rest_face
    couple_position_to_head(motion)
    clip = motion.coefficients()
    clip[:, EXPRESSION] = without_offset(clip[:, EXPRESSION], neutral_offset(clip[:, EXPRESSION]))
    clip[:, TRANSLATION] += neutral()[TRANSLATION] - np.median(clip[:, TRANSLATION], axis=0)
    return clip.astype(np.float32)


def simulate_tracked_listener(
    speaker: SimulatedSpeaker, habits: ListenerHabits, rng: np.random.Generator
) -> np.ndarray:
    """One reaction of a person with these habits as a tracker would see it, (frames, 58) float32."""
    return simulate_tracking(simulate_listener(speaker, habits, rng), rng)


def _add_clear_nods(
    motion: Motion, speaker: SimulatedSpeaker, habits: ListenerHabits, rng: np.random.Generator, seconds: float
) -> None:
    """Clear nods answer phrase ends (most), stress (some) and nothing (the rest), so that the person's rate holds."""
    ends = [e.time for e in speaker.events if e.kind == "phrase_end"]
    stresses = [e.time for e in speaker.events if e.kind == "stress"]
    nod_count = habits.nod_rate * seconds / 60
    starts = list(event_times(rng, habits.nod_rate * (1 - habits.nod_follow), seconds))
    for times, share in ((ends, 0.85), (stresses, 0.15)):
        if times:
            chance = min(nod_count * habits.nod_follow * share / len(times), 0.95)
            starts += [t + rng.lognormal(np.log(0.36), 0.4) for t in times if rng.random() < chance]
    nodding_until = -1.0
    for start in sorted(starts):
        if start < nodding_until:
            continue
        cycles = float(np.clip(habits.nod_cycles * np.exp(0.25 * rng.standard_normal()), 1, 4))
        size = float(np.clip(habits.nod_size * np.exp(0.3 * rng.standard_normal()), 2.0, 14))
        speed = float(np.clip(habits.nod_speed * np.exp(0.12 * rng.standard_normal()) * (4.3 / size) ** 0.15, 1.2, 3.6))
        motion.nod(start, size, speed, cycles)
        nodding_until = start + cycles / speed + 0.2
        if rng.random() < 0.3:  # a silent "mm": lips press, or part
            curve = motion.envelope(start, 0.2, 0.3, 0.3)
            motion.add(*(("mouthPress", 0.25 * curve) if rng.random() < 0.6 else ("jawOpen", 0.12 * curve)))


def _add_small_nods(motion: Motion, habits: ListenerHabits, rng: np.random.Generator, seconds: float) -> None:
    """Small nods hardly follow what is said (docs/method.md 15.10); they have the person's speed."""
    for start in event_times(rng, habits.small_nod_rate, seconds):
        size = float(np.clip(habits.small_nod_size * np.exp(0.15 * rng.standard_normal()), 1.3, 2.8))
        speed = float(np.clip(habits.nod_speed * np.exp(0.12 * rng.standard_normal()), 1.2, 3.6))
        motion.nod(start, size, speed, 1.0)


def _add_smile(
    motion: Motion, start: float, size: float, hold: float, habits: ListenerHabits, rng: np.random.Generator
) -> None:
    onset, offset = rng.uniform(0.3, 0.9), rng.uniform(0.5, 1.5)  # onset 0.52 s [0.2-1.4] (docs/method.md 15.3)
    curve = size * motion.envelope(start, onset, hold, offset)
    curve = curve * np.clip(1 + motion.drift(rng, habits.smile_flicker, 0.35), 0.2, 1.8)
    motion.add("mouthSmile", curve, asymmetry=habits.smile_asymmetry)
    motion.add("cheekSquint", 0.4 * curve)
    motion.add("eyeSquint", 0.25 * curve)
    motion.add("mouthDimple", 0.2 * curve)
    motion.add("mouthUpperUp", 0.15 * np.clip(curve - 0.3, 0, None))
    motion.add("browInnerUp", 0.06 * curve)


def _add_laugh(motion: Motion, start: float, length: float, habits: ListenerHabits, rng: np.random.Generator) -> None:
    """A wide smile, an opened mouth that beats some four times a second, a head that goes back and shakes."""
    size = float(np.clip(0.35 + 0.6 * habits.laugh_gain + 0.3 * habits.smile_size, 0.4, 1.0))
    _add_smile(motion, start, size, length + rng.uniform(0.5, 1.5), habits, rng)
    burst = motion.envelope(start + 0.15, 0.25, 0.7 * length, 0.5)
    beat = 0.75 + 0.25 * np.cos(2 * np.pi * rng.uniform(3.8, 5.0) * (motion.time - start))
    motion.add("jawOpen", 0.4 * size * burst * beat)
    motion.add("mouthUpperUp", 0.25 * size * burst)
    motion.offsets[:, CHANNEL["rotationX"]] -= rng.uniform(1.0, 4.0) * habits.energy * DEGREE * burst
    if rng.random() < 0.6:
        motion.nod(start + 0.3, 2.5 * habits.energy, 3.0, 3)


def _add_smiles(
    motion: Motion, speaker: SimulatedSpeaker, habits: ListenerHabits, rng: np.random.Generator, seconds: float
) -> None:
    for e in speaker.events:
        latency = max(0.25, habits.smile_latency + 0.15 * rng.standard_normal())
        if e.kind == "smile" and rng.random() < 0.25 + 0.7 * habits.smile_gain:
            size = habits.smile_size * (0.4 + 0.8 * habits.smile_gain) * e.size * np.exp(0.2 * rng.standard_normal())
            _add_smile(motion, e.time + latency, size, max(0.2, e.length + rng.normal(0, 0.6)), habits, rng)
        elif e.kind == "laugh":
            if rng.random() < 0.15 + 0.75 * habits.laugh_gain:
                _add_laugh(motion, e.time + 0.6 * latency, e.length, habits, rng)
            elif rng.random() < 0.3 + 0.6 * habits.smile_gain:
                _add_smile(motion, e.time + latency, habits.smile_size, e.length + 0.5, habits, rng)
    for time in event_times(rng, habits.smile_rate, seconds):
        size = habits.smile_size * np.exp(0.3 * rng.standard_normal())
        _add_smile(motion, time, size, rng.lognormal(np.log(0.6), 0.6), habits, rng)
    for time in event_times(rng, 0.15 * habits.laugh_gain, seconds):
        _add_laugh(motion, time, rng.uniform(0.5, 1.5), habits, rng)


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
        hold = rng.uniform(0.2, 0.9)
        curve = habits.brow_size * np.exp(0.3 * rng.standard_normal()) * motion.envelope(time, 0.24, hold, 0.4)
        motion.add("browInnerUp", curve)
        motion.add("browOuterUp", 0.7 * curve)
        motion.add("eyeWide", 0.15 * curve)
    for time in frowns:  # 1.7 s
        hold = rng.uniform(0.5, 1.6)
        curve = habits.frown_size * np.exp(0.3 * rng.standard_normal()) * motion.envelope(time, 0.35, hold, 0.5)
        motion.add("browDown", curve)
        motion.add("eyeSquint", 0.3 * curve)
        motion.add("mouthFrown", 0.15 * curve)
    restless = 0.12 * habits.brow_size * np.sqrt(habits.brow_rate)
    motion.add("browInnerUp", motion.drift(rng, restless, 0.5))
    motion.add("browOuterUp", motion.drift(rng, 0.7 * restless, 0.5))
    motion.add("browDown", motion.drift(rng, 0.5 * restless, 0.6))


def _add_glances(motion: Motion, habits: ListenerHabits, rng: np.random.Generator, seconds: float) -> None:
    """Looks away for 0.5 s [0.17-2.1] and back, each in 0.1 s (docs/method.md 15.6), the head going half the way; and
    the eyes wander slowly about where they rest."""
    yaw = rng.normal(0, 0.06) + motion.drift(rng, habits.gaze_drift, 1.2)
    pitch = motion.drift(rng, habits.gaze_drift, 0.8)
    for time in event_times(rng, habits.gaze_rate, seconds):
        dwell = float(np.clip(rng.lognormal(np.log(0.8), 0.7), 0.2, 4))
        away = motion.envelope(time, 0.12, dwell, 0.12)
        turn = (1 if rng.random() < 0.5 + 0.5 * habits.gaze_side else -1) * habits.gaze_size
        turn *= np.exp(0.2 * rng.standard_normal())
        tip = habits.gaze_size * rng.choice([-0.8, 0.5, 0.0], p=[0.5, 0.2, 0.3])
        yaw = yaw + turn * away
        pitch = pitch + tip * away
        slow = motion.envelope(time, 0.45, dwell, 0.5)
        motion.offsets[:, CHANNEL["rotationY"]] += 0.35 * turn * 35 * DEGREE * slow * rng.uniform(0, 0.7)
        motion.offsets[:, CHANNEL["rotationX"]] -= 0.25 * tip * 30 * DEGREE * slow * rng.uniform(0, 0.7)
    add_gaze(motion, yaw, pitch)


MOUTH_SHAPES: tuple[dict[str, float], ...] = (
    {"mouthRollLower": 1.2, "mouthRollUpper": 0.8},
    {"mouthRollUpper": 1.0, "mouthPress": 0.5},
    {"mouthPucker": 1.4, "mouthFunnel": 0.4},
    {"mouthShrugUpper": 1.0, "mouthShrugLower": 1.0},
    {"mouthDimple": 1.0, "mouthStretch": 0.4},
    {"mouthFrown": 0.7, "mouthShrugLower": 0.8},
    {"mouthLowerDown": 0.8, "jawOpen": 0.9},
    {"jawOpen": 1.2, "mouthUpperUp": 0.4},
    {"mouthSmile": 0.9},
)
"""What a listening mouth does now and then: channels and how much of each."""


def _add_mouth(motion: Motion, habits: ListenerHabits, rng: np.random.Generator, seconds: float) -> None:
    for time in event_times(rng, habits.press_rate, seconds):
        size = habits.press_size * np.exp(0.25 * rng.standard_normal())
        curve = size * motion.envelope(time, 0.3, rng.uniform(0.2, 0.8), 0.4)
        motion.add("mouthPress", curve)
        motion.add("mouthShrugLower", 0.5 * curve)
        motion.add("mouthRollLower", 0.3 * curve)
    for time in event_times(rng, habits.mouth_rate, seconds):
        size = habits.mouth_size * np.exp(0.35 * rng.standard_normal())
        curve = size * motion.envelope(time, rng.uniform(0.15, 0.4), rng.exponential(0.4), rng.uniform(0.2, 0.5))
        for name, share in MOUTH_SHAPES[rng.integers(len(MOUTH_SHAPES))].items():
            motion.add(name, share * curve)
    for time in event_times(rng, 0.15 * habits.mouth_rate, seconds):  # to one side
        curve = 0.6 * habits.mouth_size * motion.envelope(time, 0.3, rng.uniform(0.2, 1.0), 0.4)
        side = rng.choice(["Left", "Right"])
        motion.add(f"mouth{side}", curve)
        motion.add(f"jaw{side}", 0.4 * curve)
    restless = 0.15 * habits.mouth_size * np.sqrt(habits.mouth_rate / 13)
    for name in ("mouthPress", "mouthRollLower", "mouthShrugLower", "mouthPucker", "mouthSmile"):
        motion.add(name, np.abs(motion.drift(rng, restless, 0.6)))
    motion.add("jawOpen", np.abs(motion.drift(rng, 0.8 * restless, 0.5)))


def _add_head_drift(motion: Motion, habits: ListenerHabits, rng: np.random.Generator) -> None:
    """Restless motion, slow and less slow; standard deviations in degrees for a person of energy 1."""
    for name, slow, quick in (("rotationX", 1.35, 0.8), ("rotationY", 1.5, 0.5), ("rotationZ", 0.4, 0.38)):
        column = CHANNEL[name]
        motion.offsets[:, column] += motion.drift(rng, slow * habits.energy * DEGREE, 2.0)
        motion.offsets[:, column] += motion.drift(rng, quick * habits.energy * DEGREE, 0.4)
    for name, scale in (("translationX", 0.010), ("translationY", 0.006), ("translationZ", 0.02)):
        motion.offsets[:, CHANNEL[name]] += motion.drift(rng, scale * habits.energy, 3.0)


def _add_posture(motion: Motion, habits: ListenerHabits, rng: np.random.Generator, seconds: float) -> None:
    """Hold and shift (docs/method.md 15.1): a rest pose, steps of 0.85 s to others, held tilts, little else."""
    _add_head_drift(motion, habits, rng)
    rest = {"rotationX": habits.rest_pitch, "rotationY": habits.rest_yaw, "rotationZ": habits.rest_roll}
    for name, value in rest.items():
        motion.offsets[:, CHANNEL[name]] += (value + rng.normal(0, 0.8)) * DEGREE
    for time in event_times(rng, habits.shift_rate, seconds):
        hold = rng.uniform(2, 12)
        curve = motion.envelope(time, rng.uniform(0.6, 1.2), hold, rng.uniform(0.6, 1.5))
        for name, scale in (("rotationX", 2.0), ("rotationY", 3.2), ("rotationZ", 0.9)):
            motion.offsets[:, CHANNEL[name]] += rng.normal(0, scale) * habits.energy * DEGREE * curve
        motion.offsets[:, CHANNEL["translationZ"]] += rng.normal(0, 0.12) * habits.energy * curve
        motion.offsets[:, CHANNEL["translationX"]] += rng.normal(0, 0.06) * habits.energy * curve
    for time in event_times(rng, habits.tilt_rate, seconds):
        curve = motion.envelope(time, 0.85, rng.uniform(1.5, 7), 0.9)
        size = habits.tilt_size * np.exp(0.35 * rng.standard_normal()) * rng.choice([-1, 1])
        motion.offsets[:, CHANNEL["rotationZ"]] += size * DEGREE * curve
