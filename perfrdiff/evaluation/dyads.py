"""Simulated dyads with known truth that no training saw: persons, speakers and chance come from seeds of their own."""

from dataclasses import dataclass

import numpy as np

from perfrdiff.behaviour.event_features import event_features
from perfrdiff.data.simulator.habits import ListenerHabits, draw_habits
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.speaker import SimulatedSpeaker, simulate_speaker
from perfrdiff.data.simulator.tracking import MOVING_COLUMNS, simulate_tracking
from perfrdiff.evaluation.recognition import VIEWS, PersonClassifier
from perfrdiff.features.attributes import facial_attributes

HELD_OUT = 990_000  # first number of every seed here; training seeds begin with small numbers
POOL, BANK, DYAD = 1, 2, 3  # second number of a seed
LONG_SECONDS = 120.0
EVERY = 4  # of so many persons one also reacts for 2 minutes, with the style of 2 minutes, and with another's style
GALLERY = 4  # of the further true clips show the classifier who somebody is


@dataclass(frozen=True)
class EvaluationSettings:
    """How much is simulated and generated. The same setting gives the same dyads."""

    persons: int = 200
    speakers: int = 2  # per person
    samples: int = 6  # reactions to each speaker
    seconds: float = 30.0
    redraws: int = 6  # the simulator's own reactions to a person's first speaker: what counts as appropriate
    truth_clips: int = 16  # further clips of a person, of which the true habits are measured
    pool: int = 24  # speakers of those further clips
    bank_persons: int = 300  # other persons, of whom the classifier learns and the nearest neighbour is taken
    bank_clips: int = 4
    seed: int = 0
    long_style: bool = True  # one person in `EVERY` also listens with the style of 2 minutes, and reacts for 2 minutes
    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class Dyad:
    """One held-out person with speakers of their own. Styles are tracked, everything else is how the person moves."""

    habits: ListenerHabits
    speakers: list[SimulatedSpeaker]
    redraws: np.ndarray  # (redraws, frames, 58) reactions of the person to speakers[0]
    truth: np.ndarray  # (truth clips, frames, 58) reactions to other speakers
    style: np.ndarray  # (frames, 58) what the generator is shown of the person
    long_style: np.ndarray | None = None  # (3000, 58) the same, 2 minutes; None for most persons
    long_reaction: np.ndarray | None = None  # (3000, 58) how the person moved in it
    long_speaker: SimulatedSpeaker | None = None  # to whom long_style was the reaction


@dataclass(frozen=True)
class SharedSimulation:
    """What all dyads share."""

    settings: EvaluationSettings
    pool: list[SimulatedSpeaker]
    classifiers: dict[str, PersonClassifier]  # one for each of recognition.VIEWS
    bank_speakers: np.ndarray  # (M, frames, 25) attributes
    bank_listeners: np.ndarray  # (M, frames, 25) attributes of one listener each
    mean_sequence: np.ndarray  # (frames, 25)


def _rng(settings: EvaluationSettings, *path: int) -> np.random.Generator:
    return np.random.default_rng([HELD_OUT, settings.seed, *path])


def simulate_shared(settings: EvaluationSettings) -> SharedSimulation:
    """Simulate the shared speakers and the bank of other persons, and fit the classifiers on them."""
    rng = _rng(settings, POOL)
    pool = [simulate_speaker(rng, settings.seconds) for _ in range(settings.pool)]
    rng = _rng(settings, BANK)
    speakers = [simulate_speaker(rng, settings.seconds) for _ in range(settings.pool)]
    descriptions, speaker_attributes, listener_attributes = [], [], []
    for _ in range(settings.bank_persons):
        habits = draw_habits(rng)
        chosen = rng.integers(len(speakers), size=settings.bank_clips)
        clips = [simulate_listener(speakers[s], habits, rng) for s in chosen]
        descriptions.append([describe(clip) for clip in clips])
        speaker_attributes.append(facial_attributes(speakers[chosen[0]].coefficients))
        listener_attributes.append(facial_attributes(clips[0]))
    bank = np.array(descriptions)
    listener = np.stack(listener_attributes)
    classifiers = {name: PersonClassifier.fit(bank[..., columns]) for name, columns in VIEWS.items()}
    return SharedSimulation(settings, pool, classifiers, np.stack(speaker_attributes), listener, listener.mean(axis=0))


def describe(clip: np.ndarray) -> np.ndarray:
    """What a classifier may know of a clip (frames, 58): its event features, then its resting face, (N + M,)."""
    return np.concatenate([event_features(clip), np.sqrt(clip[:, MOVING_COLUMNS].astype(np.float64).mean(axis=0))])


def draw_dyad(shared: SharedSimulation, index: int) -> Dyad:
    """Held-out person number `index`; always the same one, whatever else is asked for."""
    settings = shared.settings
    rng = _rng(settings, DYAD, index)
    habits = draw_habits(rng)
    style = _style(settings, habits, rng)
    chosen = rng.permutation(max(len(shared.pool), settings.truth_clips))[: settings.truth_clips] % len(shared.pool)
    truth = np.stack([simulate_listener(shared.pool[s], habits, rng) for s in chosen])
    speakers = [simulate_speaker(rng, settings.seconds) for _ in range(settings.speakers)]
    redraws = np.stack([simulate_listener(speakers[0], habits, rng) for _ in range(settings.redraws)])
    if not settings.long_style or index % EVERY:
        return Dyad(habits, speakers, redraws, truth, style)
    rng = _rng(settings, DYAD, index, 1)
    long_speaker = simulate_speaker(rng, LONG_SECONDS)
    reaction = simulate_listener(long_speaker, habits, rng)
    long_style = simulate_tracking(reaction, rng)
    return Dyad(habits, speakers, redraws, truth, style, long_style, reaction, long_speaker)


def style_of_person(shared: SharedSimulation, index: int) -> np.ndarray:
    """The 30-second style clip of a held-out person, without simulating the rest of the dyad."""
    rng = _rng(shared.settings, DYAD, index)
    habits = draw_habits(rng)
    return _style(shared.settings, habits, rng)


def _style(settings: EvaluationSettings, habits: ListenerHabits, rng: np.random.Generator) -> np.ndarray:
    return simulate_tracking(simulate_listener(simulate_speaker(rng, settings.seconds), habits, rng), rng)
