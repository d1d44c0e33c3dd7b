"""Simulated dyads with known truth that no training saw: persons, speakers and chance come from seeds of their own."""

from dataclasses import dataclass

import numpy as np

from perfrdiff.behaviour.signature import level_count, signature
from perfrdiff.coefficients import FPS
from perfrdiff.data.simulator.conversation import MOVING_COLUMNS, SimulatedSpeaker, simulate_listener, simulate_speaker
from perfrdiff.data.simulator.habits import Habits, draw_habits
from perfrdiff.evaluation.recognition import PersonClassifier
from perfrdiff.features.attributes import affect_attributes

HELD_OUT = 990_000  # first number of every seed here; training seeds begin with small numbers
POOL, BANK, DYAD = 1, 2, 3  # second number of a seed
LONG_SECONDS = 120.0
DRIFT_EVERY = 4  # every so many persons also react for 2 minutes
GALLERY = 4  # of the further true clips show the classifier who somebody is


@dataclass(frozen=True)
class Setting:
    """How much is simulated and generated. The same setting gives the same dyads."""

    persons: int = 200
    speakers: int = 3  # per person
    samples: int = 10  # reactions to each speaker
    seconds: float = 30.0
    redraws: int = 10  # the simulator's own reactions to a person's first speaker: what counts as appropriate
    truth_clips: int = 16  # further clips of a person, of which the true habits are measured
    pool: int = 24  # speakers of those further clips
    bank_persons: int = 300  # other persons, of whom the classifier learns and the nearest neighbour is taken
    bank_clips: int = 4
    seed: int = 0
    long_style: bool = True  # also listen with the style of a 2-minute clip, and react for 2 minutes
    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class Dyad:
    """One held-out person with speakers of their own."""

    habits: Habits
    speakers: list[SimulatedSpeaker]
    redraws: np.ndarray  # (redraws, frames, 58) reactions of the person to speakers[0]
    truth: np.ndarray  # (truth clips, frames, 58) reactions to other speakers
    style: np.ndarray  # (frames, 58) what the generator is shown of the person
    long_style: np.ndarray | None = None  # (3000, 58) the same, 2 minutes
    long_speaker: SimulatedSpeaker | None = None  # to whom long_style was the reaction


@dataclass(frozen=True)
class World:
    """What all dyads share."""

    setting: Setting
    pool: list[SimulatedSpeaker]
    by_all: PersonClassifier
    by_movement: PersonClassifier
    bank_speaker: np.ndarray  # (M, frames, 25) attributes
    bank_listener: np.ndarray  # (M, frames, 25) attributes of one listener each
    mean_sequence: np.ndarray  # (frames, 25)


def _rng(setting: Setting, *path: int) -> np.random.Generator:
    return np.random.default_rng([HELD_OUT, setting.seed, *path])


def build_world(setting: Setting) -> World:
    """Simulate the shared speakers and the bank of other persons, and fit the classifiers on them."""
    rng = _rng(setting, POOL)
    pool = [simulate_speaker(rng, setting.seconds) for _ in range(setting.pool)]
    rng = _rng(setting, BANK)
    speakers = [simulate_speaker(rng, setting.seconds) for _ in range(setting.pool)]
    signatures, of_speaker, of_listener = [], [], []
    for _ in range(setting.bank_persons):
        habits = draw_habits(rng)
        chosen = rng.integers(len(speakers), size=setting.bank_clips)
        clips = [simulate_listener(speakers[s], habits, rng) for s in chosen]
        signatures.append([signature(clip, MOVING_COLUMNS) for clip in clips])
        of_speaker.append(affect_attributes(speakers[chosen[0]].coefficients))
        of_listener.append(affect_attributes(clips[0]))
    seen = np.array(signatures)
    listener = np.stack(of_listener)
    return World(
        setting,
        pool,
        PersonClassifier.fit(seen),
        PersonClassifier.fit(seen[..., level_count(MOVING_COLUMNS) :]),
        np.stack(of_speaker),
        listener,
        listener.mean(axis=0),
    )


def draw_dyad(world: World, index: int) -> Dyad:
    """Held-out person number `index`; always the same one, whatever else is asked for."""
    setting = world.setting
    rng = _rng(setting, DYAD, index)
    habits = draw_habits(rng)
    style = simulate_listener(simulate_speaker(rng, setting.seconds), habits, rng)
    chosen = rng.permutation(max(len(world.pool), setting.truth_clips))[: setting.truth_clips] % len(world.pool)
    truth = np.stack([simulate_listener(world.pool[s], habits, rng) for s in chosen])
    speakers = [simulate_speaker(rng, setting.seconds) for _ in range(setting.speakers)]
    redraws = np.stack([simulate_listener(speakers[0], habits, rng) for _ in range(setting.redraws)])
    if not setting.long_style:
        return Dyad(habits, speakers, redraws, truth, style)
    rng = _rng(setting, DYAD, index, 1)
    long_speaker = simulate_speaker(rng, LONG_SECONDS)
    return Dyad(habits, speakers, redraws, truth, style, simulate_listener(long_speaker, habits, rng), long_speaker)


def style_of_person(world: World, index: int) -> np.ndarray:
    """The 30-second style clip of a held-out person, without simulating the rest of the dyad."""
    rng = _rng(world.setting, DYAD, index)
    habits = draw_habits(rng)
    return simulate_listener(simulate_speaker(rng, world.setting.seconds), habits, rng)


def after(speaker: SimulatedSpeaker, kinds: tuple[str, ...], begin: float, end: float, frames: int) -> np.ndarray:
    """(frames,) bool: `begin` to `end` seconds after an event of one of these kinds."""
    near = np.zeros(frames, bool)
    for event in speaker.events:
        if event.kind in kinds:
            near[max(round((event.time + begin) * FPS), 0) : max(round((event.time + end) * FPS), 0)] = True
    return near
