"""Styles that are moved to what is counted in the listener's own clip."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from perfrdiff import checkpoints
from perfrdiff.behaviour.statistics import HABITS, quantities, read_habits
from perfrdiff.coefficients import CHANNEL
from perfrdiff.data.simulator.conversation import simulate_listener, simulate_speaker
from perfrdiff.data.simulator.habits import Habits, draw_habits
from perfrdiff.personal.style_probe import StyleReading, spread_of
from perfrdiff.reactor import Reactor

pytestmark = pytest.mark.slow

STYLE = 24
BLINKS = list(HABITS).index("blink rate")
NOD_SIZE = list(HABITS).index("nod size")


@pytest.fixture(scope="module")
def people():
    """What is counted in four clips each of sixty persons, (60, 4, Q), and the clips of the first."""
    rng = np.random.default_rng(0)
    speakers = [simulate_speaker(rng, 30.0) for _ in range(4)]
    clips = []
    for _ in range(60):
        person = draw_habits(rng)
        clips.append([simulate_listener(speaker, person, rng) for speaker in speakers])
    return np.array([[quantities(clip) for clip in of_person] for of_person in clips]), clips[0]


def read(counted, error):
    """Styles (P, style) of first clips, whose axes say habits with so large an error, and their reading."""

    def styles(counted, seed):
        habits = read_habits(counted)
        habits = (habits - habits.mean(0)) / habits.std(0)
        wrong = error * np.random.default_rng(seed).standard_normal(habits.shape)
        rows = np.concatenate([habits + wrong, np.full((len(habits), STYLE - habits.shape[1]), 3.0)], axis=1)
        return normalize(torch.tensor(rows).float(), dim=-1)

    parts = counted[:, :1], counted[:, :1], counted[:, :3]
    told_by = [(styles(part, seed), part) for seed, part in enumerate(parts)]
    return told_by[1][0], StyleReading.fit(
        styles(counted, 3), counted, told_by, told_by, counted[:, 3:], torch.tensor([0.5, 1.0, 0.7])
    )


def test_a_style_that_says_all_is_left_nearly_as_it_is(people):
    counted, clips = people
    styles, reading = read(counted, 0.0)
    said = reading.habits(styles).numpy()
    own = (read_habits(counted[:, :1]) - reading.usual.numpy()) / reading.spread.numpy()
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(said.T, own.T, strict=True)) > 0.8
    moved = reading.habits(reading.told(styles[0], clips[0])) - reading.habits(styles[0])
    assert moved.abs().max() < 1.5


def test_a_style_that_says_nothing_is_moved_to_what_is_counted(people):
    counted, _ = people
    _, reading = read(counted, 30.0)
    assert (reading.trust[:, 1] > reading.trust[:, 0].abs()).float().mean() > 0.8
    style = reading.mean
    often, seldom = (
        simulate_listener(simulate_speaker(np.random.default_rng(7)), replace(Habits(), blink_rate=rate),
                          np.random.default_rng(8)) for rate in (40.0, 6.0)
    )  # fmt: skip
    gap = (reading.habits(reading.told(style, often)) - reading.habits(reading.told(style, seldom)))[BLINKS]
    assert gap > 1.0


def test_minutes_are_trusted_more_than_half_a_minute(people):
    counted, _ = people
    _, reading = read(counted, 30.0)
    assert reading.trust.shape == (3, 2, len(HABITS))
    assert reading.trust[2, 1].mean() > reading.trust[1, 1].mean()


def test_whoever_never_nods_tells_nothing_of_the_size_of_nods(people):
    counted, _ = people
    _, reading = read(counted, 30.0)
    still = np.zeros((750, 58), np.float32)
    still[:, CHANNEL["rotationX"]] = np.pi
    told = reading.told(reading.mean, still)
    assert told.isfinite().all()
    alone = reading.with_tensors(moves=torch.eye(len(HABITS), STYLE))
    assert alone.told(reading.mean, still)[NOD_SIZE] == pytest.approx(float(reading.mean[NOD_SIZE]), abs=1e-5)


def test_expected_habits_are_as_far_apart_as_persons_are(people):
    counted, clips = people
    styles, reading = read(counted, 1.0)
    said = reading.habits(styles).numpy()
    own = ((read_habits(counted[:, :1]) - reading.usual.numpy()) / reading.spread.numpy()).clip(-2.5, 2.5)
    trust = reading.trust_known[1].numpy()
    nearest = trust[0] * said + trust[1] * own
    assert np.allclose(nearest.std(axis=0), reading.reach_known[1], rtol=1e-3)
    assert (reading.reach_known[1] < 1).all()
    first, apart = reading.expected(styles[0], clips[0], known=True)
    assert torch.allclose(apart, first / reading.reach_known[1], atol=1e-4)


def test_only_what_the_encoder_cannot_know_is_moved(people):
    _, reading = read(people[0], 1.0)
    still = torch.zeros(30, 8)
    lively = 3 * torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    assert spread_of(lively) > reading.liveliest
    assert not reading.unknown(still) and reading.unknown(lively)


def rough(clip, rng):
    """A clip with a real tracker's restless face around the lids."""
    noise = 0.12 * np.abs(rng.standard_normal((len(clip), 52))).astype(np.float32)
    noise[:, [CHANNEL["eyeBlinkLeft"], CHANNEL["eyeBlinkRight"]]] = 0
    return np.concatenate([np.clip(clip[:, :52] + noise, 0, 1), clip[:, 52:]], axis=1)


def test_the_demo_weights_move_real_listeners_styles_and_keep_their_reading(tmp_path):
    reactor = Reactor.load("demo", "cpu")
    reading = reactor.checkpoint.style_reading
    clip = simulate_listener(simulate_speaker(np.random.default_rng(5)), Habits(), np.random.default_rng(6))
    for behaviour, moved in ((clip, False), (rough(clip, np.random.default_rng(7)), True)):
        rows = reactor.checkpoint.normalizer.coefficients(torch.tensor(behaviour))[None]
        with torch.no_grad():
            plain = normalize(reactor.checkpoint.style_encoder(rows)[0], dim=0)
        assert reading.unknown(rows[0]) == moved
        assert torch.allclose(reactor.style_of(behaviour), reading.told(plain, behaviour) if moved else plain)
    checkpoints.save(reactor.checkpoint, tmp_path / "copy.safetensors")
    again = checkpoints.load("copy", tmp_path).style_reading
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in reading.state_dict().items())


def test_a_real_face_does_not_make_the_demo_listener_flutter():
    """A listener who blinks eight times a minute, simulated and with a real tracker's restless face."""
    rng = np.random.default_rng(4)
    speaker = simulate_speaker(rng, 20.0)
    calm = simulate_listener(speaker, replace(Habits(), blink_rate=8.0), rng)
    reactor = Reactor.load("demo", "cpu")
    blinks = []
    for listener in (calm, rough(calm, rng)):
        reactor.set_listener(listener)
        made = reactor.react(speaker.audio, speaker.coefficients, samples=3, seed=0).coefficients
        blinks.append(np.mean([HABITS["blink rate"].read(quantities(clip)[None]) for clip in made]))
    assert max(blinks) < 30 and abs(blinks[0] - blinks[1]) < 15
