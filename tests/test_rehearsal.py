"""A listener's manner, and the rehearsal that finds it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from perfrdiff import checkpoints
from perfrdiff.behaviour import events
from perfrdiff.behaviour.statistics import HABITS, habits_of
from perfrdiff.coefficients import CHANNEL, FPS
from perfrdiff.data.simulator.conversation import simulate_listener, simulate_speaker
from perfrdiff.data.simulator.habits import Habits
from perfrdiff.errors import InputError
from perfrdiff.personal.calibration import FOLLOWED, NAMES, RATES, Rehearsal, manner_for
from perfrdiff.personal.motion_gain import LEAST, MOST, Manner, manners_together
from perfrdiff.personal.weight_shift import ListenerShift, mixed
from perfrdiff.reactor import Reactor

PITCH, YAW = CHANNEL["rotationX"], CHANNEL["rotationY"]


def nodding(degrees, wander=0.0, seconds=12):
    """A clip of half a second of nodding at 2 Hz every 3 s, over a head that slowly wanders by so much."""
    time = np.arange(seconds * FPS) / FPS
    clip = np.zeros((len(time), 58), np.float32)
    wave = np.where(time % 3 < 1, np.sin(2 * np.pi * 2 * time), 0.0) * degrees / 2
    clip[:, PITCH] = np.radians(wave + wander * np.sin(2 * np.pi * time / 6))
    return clip


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(3)
    person = replace(Habits(), nod_rate=9.0, smile_rate=4.0, brow_rate=8.0)
    return np.stack([simulate_listener(simulate_speaker(rng, 20.0), person, rng) for _ in range(4)])


def test_no_manner_changes_nothing(clips):
    assert Manner().applied(clips) is clips
    assert Manner(1.5, 0.5, 2.0, 0.1, 0.1, 0.1).times(0.0) == Manner()


@pytest.mark.parametrize("factor", [0.6, 1.8])
def test_nods_grow_and_the_head_goes_where_it_went(factor):
    clip = nodding(6.0, wander=10.0)
    made = Manner(nods=factor).applied(clip)
    before, after = events.nods(clip), events.nods(made)
    assert len(after.start) == len(before.start) == 4
    assert after.size.mean() / before.size.mean() == pytest.approx(factor, rel=0.2)
    still = np.arange(len(clip)) / FPS % 3 > 2
    assert np.degrees(np.abs(made - clip)[still, PITCH]).max() < 0.1


def test_small_movement_between_nods_does_not_become_a_nod():
    clip = nodding(6.0)
    clip[:, PITCH] += np.radians(0.6 * np.sin(2 * np.pi * 2 * np.arange(len(clip)) / FPS))
    assert len(events.nods(Manner(nods=2.5).applied(clip)).start) == len(events.nods(clip).start)


def test_levels_and_pose(clips):
    made = Manner(smile=0.5, brows=3.0, yaw=0.2).applied(clips)
    smile, brow = CHANNEL["mouthSmileLeft"], CHANNEL["browInnerUp"]
    assert np.allclose(made[..., smile], 0.5 * clips[..., smile])
    assert np.allclose(made[..., brow], np.minimum(3 * clips[..., brow], 1))
    assert np.allclose(made[..., YAW] - clips[..., YAW], 0.2, atol=1e-6)
    assert np.array_equal(made[..., PITCH], clips[..., PITCH])


def test_manners_mix():
    mix = manners_together([(Manner(nods=2.25, yaw=0.2), 0.5), (Manner(nods=1.0, yaw=-0.1), 0.5)])
    assert mix.nods == pytest.approx(1.5) and mix.yaw == pytest.approx(0.05)
    assert Manner(nods=2.0, brows=0.5).times(2.0) == Manner(nods=MOST, brows=LEAST), "nobody nods four times as far"


def test_the_manner_brings_reactions_to_the_goal(clips):
    goal = habits_of(clips)
    for name, change in (("nod size", 0.4), ("smile level", 0.1), ("brow activity", -0.1), ("rest tilt", 5.0)):
        goal[NAMES.index(name)] += change
    got = habits_of(manner_for(clips, goal).applied(clips))
    for name in FOLLOWED:
        if NAMES.index(name) not in RATES:
            off = abs(got - goal)[NAMES.index(name)]
            assert off < (0.3 if name.startswith("rest") else 0.06), name


def test_who_never_nods_is_left_to_it():
    still = np.zeros((2, 250, 58), np.float32)
    goal = np.zeros(len(HABITS))
    assert manner_for(still, goal).nods == 1.0


@pytest.fixture(scope="module")
def reactor():
    return Reactor.load("demo", "cpu")


@pytest.mark.slow
def test_the_demo_listener_has_a_manner_and_keeps_it(reactor, clips, tmp_path):
    speaker = simulate_speaker(np.random.default_rng(8), 8.0)

    def made():
        return reactor.react(speaker.audio, speaker.coefficients, samples=2).coefficients

    reactor.set_listener(clips[0])
    shift, personal = reactor.shift, made()
    assert shift.manner != Manner()
    shift.save(tmp_path / "me.safetensors")
    reactor.set_listener(ListenerShift.load(tmp_path / "me.safetensors"))
    assert np.array_equal(made(), personal)
    for wrong in (Manner(nods=-2.0), Manner(yaw=float("nan"))):
        replace(shift, manner=wrong).save(tmp_path / "damaged.safetensors")
        with pytest.raises(InputError, match=r"damaged\.safetensors is damaged"):
            ListenerShift.load(tmp_path / "damaged.safetensors")
    reactor.set_listener(replace(shift, manner=Manner()))
    plain = made()
    assert np.allclose(shift.manner.applied(plain), personal, atol=1e-6)
    assert mixed([(shift, 0.5)]).manner == shift.manner.times(0.5)
    reactor.set_listener(shift, 0.0)
    weak = made()
    reactor.set_listener(None)
    assert np.allclose(made(), weak, atol=1e-5)
    reactor.set_listener("Warm")
    assert reactor.shift.manner == Manner()


def test_a_rehearsal_travels_in_the_checkpoint(reactor, tmp_path):
    checkpoints.save(reactor.checkpoint, tmp_path / "copy.safetensors")
    again = checkpoints.load("copy", tmp_path).rehearsal
    kept = reactor.checkpoint.rehearsal.state_dict()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in kept.items())


@pytest.mark.slow
def test_larger_nods_of_the_listener_are_larger_in_the_reactions(reactor):
    """Two listeners who differ in nothing but the size of their nods."""
    speakers = [simulate_speaker(np.random.default_rng(20 + i), 30.0) for i in range(2)]
    sizes = []
    for size in (2.6, 7.5):
        person = replace(Habits(), nod_rate=12.0, nod_size=size)
        reactor.set_listener(simulate_listener(speakers[0], person, np.random.default_rng(5)))
        answers = reactor.react(speakers[1].audio, speakers[1].coefficients, samples=6).coefficients
        found = [events.nods(clip) for clip in answers]
        strokes = np.concatenate([nods.strokes for nods in found])
        sizes.append(np.average(np.concatenate([nods.size for nods in found]), weights=strokes))
    assert sizes[1] > 1.4 * sizes[0]


@pytest.mark.slow
def test_who_blinks_more_does_so_after_the_rehearsal():
    """Reactions of few and many blinks, drawn here by the simulator, are counted until the listener's rate is met."""
    blinks = NAMES.index("blink rate")
    speakers = [simulate_speaker(np.random.default_rng(i), 30.0) for i in range(3)]

    def made(style):
        person = replace(Habits(), blink_rate=12 * np.exp(0.5 * float(style[1])))
        return np.stack([simulate_listener(speaker, person, np.random.default_rng(5)) for speaker in speakers])

    usual, moves = torch.tensor(habits_of(made(torch.zeros(2)))), torch.zeros(len(NAMES), 2)
    moves[RATES] = torch.eye(2)
    reading = SimpleNamespace(usual=usual, spread=torch.ones(len(NAMES)), moves=moves)
    rehearsal = Rehearsal(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), torch.eye(2), torch.zeros(len(NAMES)))
    expected = np.zeros(len(NAMES))
    expected[blinks] = 1.0  # root of blinks a minute: 25 instead of 16
    style, manner = rehearsal.settled(torch.zeros(2), expected, True, reading, made)
    more = habits_of(manner.applied(made(style))) - usual.numpy()
    assert more[blinks] == pytest.approx(1.0, abs=0.25)
    # Where such an audience makes all listeners blink more, the listener is no closer to the usual for it.
    chance = torch.zeros(len(NAMES))
    chance[blinks] = 0.6
    style, _ = replace(rehearsal, chance=chance).settled(torch.zeros(2), expected, True, reading, made)
    assert habits_of(made(style))[blinks] - usual[blinks] == pytest.approx(1.6, abs=0.3)
