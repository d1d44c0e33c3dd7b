"""The face of a simulated speaker before a tracker looks at it: who it is, what it shows, how it holds the head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from perfrdiff.coefficients import CHANNEL, FPS
from perfrdiff.data.simulator.habits import REST_SCALE, left_right_columns
from perfrdiff.data.simulator.motion import DEGREE, Motion, add_gaze, blink_times, event_times
from perfrdiff.data.simulator.wandering import EVEN, HEAD_WANDERING, WANDERING, coloured_noise, rectified

__all__ = ["Talker", "add_eyes", "add_feelings", "add_head", "add_rest", "add_wandering", "draw_talker"]

MIDDLE_LIVELINESS = 1.15  # with which the middle of all persons, still ones included, is that of the talkers measured
LIVELINESS_SPREAD = 0.5  # of the logarithm, between persons (a guess; four talkers span a factor of 10)
PART_SPREAD = 0.35  # the same between the parts of a person's face
CHANNEL_SPREAD = 0.4  # and between channels
STILL_SHARES = {"lively": 0.88, "idle": 0.06, "avatar": 0.04, "photo": 0.02}  # of the persons
EYE_TURN = 35 * DEGREE  # of the eyes, where eyeLook is 1


class FaceEvent(Protocol):
    """What is read of an event of `speaker.Event`."""

    @property
    def time(self) -> float: ...
    @property
    def kind(self) -> str: ...
    @property
    def size(self) -> float: ...
    @property
    def length(self) -> float: ...


@dataclass(frozen=True)
class Talker:
    """How lively a person is, by the parts of the face; 1 is like the talkers measured (docs/method.md 16.5)."""

    mouth: float
    brows: float
    smile: float
    head: float
    eyes: float  # 0: a picture, which does not blink
    speech: float  # of what the sound moves
    smiles_while_talking: bool


def draw_talker(rng: np.random.Generator) -> Talker:
    """A person, lively or one of those who hardly move: with an idle face, an avatar, a photo that talks."""
    kind = rng.choice(list(STILL_SHARES), p=list(STILL_SHARES.values()))
    overall = MIDDLE_LIVELINESS * np.exp(LIVELINESS_SPREAD * rng.standard_normal())
    mouth, brows, smile, head = overall * np.exp(PART_SPREAD * rng.standard_normal(4))
    eyes, speech = 1.0, float(np.exp(PART_SPREAD * rng.standard_normal()) * overall**0.6)
    smiles_while_talking = bool(rng.random() < 0.4)
    if kind == "idle":
        mouth, brows, smile, head = 0.12 * np.array([mouth, brows, smile, head])
    elif kind == "avatar":
        mouth, brows, smile, head = 0.0, 0.0, 0.0, 0.1 * head
    elif kind == "photo":
        mouth = brows = smile = head = eyes = speech = 0.0
    smiles_while_talking &= kind == "lively"
    return Talker(float(mouth), float(brows), float(smile), float(head), eyes, speech, smiles_while_talking)


def add_feelings(motion: Motion, events: Sequence[FaceEvent], talker: Talker, rng: np.random.Generator) -> None:
    """Smiles, laughs, raised and lowered brows of the events, and the smiles of people who talk with a smile."""

    def smile(curve: np.ndarray, asymmetry: float) -> None:
        motion.add("mouthSmile", curve, asymmetry)
        motion.add("mouthUpperUp", rng.uniform(0.0, 0.3) * curve)

    asymmetry = rng.normal(0, 0.06)
    for e in events:
        if e.kind in ("smile", "laugh"):
            size = 0.9 * e.size * min(1.3, 0.4 + 0.7 * talker.smile)
            smile(size * motion.envelope(e.time, rng.uniform(0.3, 0.8), e.length, rng.uniform(0.5, 1.2)), asymmetry)
            if e.kind == "laugh":
                motion.add("jawOpen", 0.3 * size * motion.envelope(e.time + 0.2, 0.3, 0.6 * e.length, 0.5))
        elif e.kind == "raise":
            curve = e.size * talker.brows**0.5 * motion.envelope(e.time, 0.24, min(e.length, 1.2), 0.4)
            motion.add("browInnerUp", 0.6 * curve)
            motion.add("browOuterUp", 0.3 * curve)
            motion.add("eyeWide", 0.15 * curve)
        elif e.kind == "concern":
            curve = e.size * talker.brows**0.5 * motion.envelope(e.time, 0.4, e.length, 0.6)
            motion.add("browDown", 0.5 * curve)
            motion.add("browInnerUp", 0.2 * curve)
            motion.add("mouthFrown", 0.2 * curve)
        elif e.kind == "stress" and rng.random() < 0.5:
            curve = rng.uniform(0.1, 0.6) * motion.envelope(e.time - 0.1, 0.2, rng.uniform(0.1, 0.6), 0.3)
            motion.add("browInnerUp", talker.brows * curve)
            motion.add("browOuterUp", 0.3 * talker.brows * curve)
    if talker.smiles_while_talking:
        for time in event_times(rng, rng.uniform(3, 12), motion.time[-1]):
            curve = motion.envelope(time, rng.uniform(0.3, 1.0), rng.lognormal(np.log(1.5), 0.6), rng.uniform(0.4, 1.5))
            smile(rng.uniform(0.2, 0.7) * min(1.2, talker.smile) * curve, asymmetry)


def add_wandering(motion: Motion, speaks: np.ndarray, talker: Talker, rng: np.random.Generator) -> None:
    """What moves by itself in every expression, more while the person speaks (frames,) 0 … 1; see `WANDERING`."""
    for name, wandering in WANDERING.items():
        part = talker.mouth
        if name.startswith(("brow", "nose")):
            part = talker.brows
        elif name == "mouthSmile":
            part = talker.smile
        elif name == "jawOpen":
            part = talker.speech
        size = part * wandering.spread * np.exp(CHANNEL_SPREAD * rng.standard_normal())
        threshold = float(np.clip(rng.normal(0.25, 0.5), -0.8, 1.6))
        gain = size * (wandering.rest + (1 - wandering.rest) * speaks)
        shared = coloured_noise(rng, motion.frames, wandering.colour)
        columns = left_right_columns(name)
        for column in columns:
            noise = shared
            if len(columns) > 1:
                own = coloured_noise(rng, motion.frames, wandering.colour)
                noise = np.sqrt(wandering.alike) * shared + np.sqrt(1 - wandering.alike) * own
            motion.offsets[:, column] += gain * rectified(noise, threshold)


def add_head(
    motion: Motion, events: Sequence[FaceEvent], speaks: np.ndarray, talker: Talker, rng: np.random.Generator
) -> None:
    """The head about its rest: it wanders, more while the person speaks, and beats on stressed syllables."""
    for name, wandering in HEAD_WANDERING.items():
        size = talker.head * wandering.spread * np.exp(0.5 * CHANNEL_SPREAD * rng.standard_normal())
        gain = size * (wandering.rest + (1 - wandering.rest) * speaks)
        unit = DEGREE if name.startswith("rotation") else 1.0
        motion.offsets[:, CHANNEL[name]] += gain * unit * coloured_noise(rng, motion.frames, wandering.colour)
    beats = rng.uniform(0.2, 0.8)
    for e in events:
        if e.kind == "stress" and rng.random() < beats:
            size = rng.uniform(1.5, 6) * talker.head
            motion.nod(e.time - 0.15 - rng.uniform(0, 0.1), size, rng.uniform(1.8, 3.2), 1.0)


def add_rest(motion: Motion, rng: np.random.Generator) -> None:
    """A resting face and pose of the person's own."""
    for name, scale in REST_SCALE.items():
        motion.add(name, np.full(motion.frames, rng.random() * abs(rng.standard_normal()) * scale, np.float32))
    for name, mean, sd in (("rotationX", -5.0, 6.0), ("rotationY", 0.0, 6.0), ("rotationZ", 0.0, 3.0)):
        motion.offsets[:, CHANNEL[name]] += rng.normal(mean, sd) * DEGREE


def add_eyes(motion: Motion, talker: Talker, rng: np.random.Generator) -> None:
    """Blinks, glances, and eyes that stay on the listener while the head turns: call it when the head is done."""
    if not talker.eyes:
        return
    seconds = motion.frames / FPS
    size = rng.normal(0.8, 0.12)
    for time in blink_times(rng, float(np.clip(25 * np.exp(0.4 * rng.standard_normal()), 4, 60)), seconds):
        lids = motion.envelope(time - 0.06, 0.07, rng.exponential(0.04), rng.uniform(0.1, 0.2))
        lids *= np.clip(size + 0.15 * rng.standard_normal(), 0.25, 1.0)
        motion.add("eyeBlink", lids)
        motion.add("eyeLookDown", 0.15 * lids)
    turn = motion.offsets[:, CHANNEL["rotationY"]] - np.median(motion.offsets[:, CHANNEL["rotationY"]])
    tip = motion.offsets[:, CHANNEL["rotationX"]] - np.median(motion.offsets[:, CHANNEL["rotationX"]])
    yaw = rng.normal(0, 0.08) - np.clip(rng.normal(1.25, 0.3), 0.3, 1.8) * turn / EYE_TURN
    pitch = rng.normal(0, 0.05) + np.clip(rng.normal(0.4, 0.2), 0.0, 1.0) * tip / EYE_TURN
    side, size = rng.uniform(-0.5, 0.5), rng.uniform(0.15, 0.55)
    for time in event_times(rng, float(np.clip(16 * np.exp(0.6 * rng.standard_normal()), 1, 60)), seconds):
        away = motion.envelope(time, 0.12, float(np.clip(rng.lognormal(np.log(0.8), 0.7), 0.2, 4)), 0.12)
        yaw = yaw + rng.choice([-1, 1], p=[0.5 - 0.5 * side, 0.5 + 0.5 * side]) * size * away
        pitch = pitch + size * rng.choice([-0.6, 0.5, 0.0], p=[0.3, 0.3, 0.4]) * away
    restless = float(np.exp(0.5 * rng.standard_normal()))
    yaw = yaw + 0.05 * restless * coloured_noise(rng, motion.frames, EVEN)
    add_gaze(motion, yaw, pitch + 0.03 * restless * coloured_noise(rng, motion.frames, EVEN))
