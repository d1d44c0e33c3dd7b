"""A listener's motion gain, and the calibration that fits it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from perfrdiff import checkpoints
from perfrdiff.behaviour import events
from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES, measure_clips
from perfrdiff.coefficients import CHANNEL, FPS
from perfrdiff.data.simulator.habits import ListenerHabits
from perfrdiff.data.simulator.listener import simulate_tracked_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.personal.calibration import (
    CORRECTED_SHARE,
    HABIT_NAMES,
    RATE_COLUMNS,
    CalibrationSpeakers,
    fit_motion_gain,
)
from perfrdiff.personal.motion_gain import MAX_FACTOR, MIN_FACTOR, MotionGain, combined_gains
from perfrdiff.personal.weight_shift import WeightShift, mix_weight_shifts
from perfrdiff.reactor import Reactor

PITCH, YAW = CHANNEL["rotationX"], CHANNEL["rotationY"]


def nodding_clip(degrees, drift=0.0, seconds=12):
    """A clip of half a second of nodding at 2 Hz every 3 s, over a head that slowly wanders by so much."""
    time = np.arange(seconds * FPS) / FPS
    clip = np.zeros((len(time), 58), np.float32)
    wave = np.where(time % 3 < 1, np.sin(2 * np.pi * 2 * time), 0.0) * degrees / 2
    clip[:, PITCH] = np.radians(wave + drift * np.sin(2 * np.pi * time / 6))
    return clip


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(3)
    person = replace(ListenerHabits(), nod_rate=9.0, smile_rate=4.0, brow_rate=8.0)
    return np.stack([simulate_tracked_listener(simulate_speaker(rng, 20.0), person, rng) for _ in range(4)])


def test_no_gain_changes_nothing(clips):
    assert MotionGain().apply(clips) is clips
    assert MotionGain(1.5, 0.5, 2.0, 0.1, 0.1, 0.1).scaled(0.0) == MotionGain()


@pytest.mark.parametrize("factor", [0.6, 1.8])
def test_nods_grow_and_the_head_goes_where_it_went(factor):
    clip = nodding_clip(6.0, drift=10.0)
    scaled = MotionGain(nods=factor).apply(clip)
    before, after = events.nods(clip), events.nods(scaled)
    assert len(after.start) == len(before.start) == 4
    assert after.size.mean() / before.size.mean() == pytest.approx(factor, rel=0.2)
    still = np.arange(len(clip)) / FPS % 3 > 2
    assert np.degrees(np.abs(scaled - clip)[still, PITCH]).max() < 0.1


def test_small_movement_between_nods_does_not_become_a_nod():
    clip = nodding_clip(6.0)
    clip[:, PITCH] += np.radians(0.6 * np.sin(2 * np.pi * 2 * np.arange(len(clip)) / FPS))
    assert len(events.nods(MotionGain(nods=2.5).apply(clip)).start) == len(events.nods(clip).start)


def test_levels_and_pose(clips):
    scaled = MotionGain(smile=0.5, brows=3.0, yaw=0.2).apply(clips)
    smile, brow = CHANNEL["mouthSmileLeft"], CHANNEL["browInnerUp"]
    assert np.allclose(scaled[..., smile], 0.5 * clips[..., smile])
    assert np.allclose(scaled[..., brow], np.minimum(3 * clips[..., brow], 1))
    assert np.allclose(scaled[..., YAW] - clips[..., YAW], 0.2, atol=1e-6)
    assert np.array_equal(scaled[..., PITCH], clips[..., PITCH])


def test_gains_mix():
    mix = combined_gains([(MotionGain(nods=2.25, yaw=0.2), 0.5), (MotionGain(nods=1.0, yaw=-0.1), 0.5)])
    assert mix.nods == pytest.approx(1.5) and mix.yaw == pytest.approx(0.05)
    assert MotionGain(nods=2.0, brows=0.5).scaled(2.0) == MotionGain(
        nods=MAX_FACTOR, brows=MIN_FACTOR
    )  # nobody nods four times as far


def test_the_gain_brings_reactions_to_the_goal(clips):
    goal = measure_clips(clips)
    for name, change in (("nod size", 0.4), ("smile level", 0.1), ("brow activity", -0.1), ("rest tilt", 5.0)):
        goal[HABIT_NAMES.index(name)] += change
    reached = measure_clips(fit_motion_gain(clips, goal).apply(clips))
    for name in CORRECTED_SHARE:
        if HABIT_NAMES.index(name) not in RATE_COLUMNS:
            off = abs(reached - goal)[HABIT_NAMES.index(name)]
            assert off < (0.3 if name.startswith("rest") else 0.06), name


def test_who_never_nods_is_left_to_it():
    still = np.zeros((2, 250, 58), np.float32)
    goal = np.zeros(len(BEHAVIOUR_MEASURES))
    assert fit_motion_gain(still, goal).nods == 1.0


@pytest.fixture(scope="module")
def reactor():
    return Reactor.load("demo", "cpu")


@pytest.mark.slow
def test_a_motion_gain_belongs_to_the_demo_listener_s_shift(reactor, clips, tmp_path):
    speaker = simulate_speaker(np.random.default_rng(8), 8.0)

    def react():
        return reactor.react_to(speaker, samples=2).coefficients

    reactor.set_listener(clips[0])
    shift, personal = reactor.shift, react()
    assert shift.motion_gain != MotionGain()
    shift.save(tmp_path / "me.safetensors")
    reactor.set_listener(WeightShift.load(tmp_path / "me.safetensors"))
    assert np.array_equal(react(), personal)
    for wrong in (MotionGain(nods=-2.0), MotionGain(yaw=float("nan"))):
        replace(shift, motion_gain=wrong).save(tmp_path / "damaged.safetensors")
        with pytest.raises(InputError, match=r"damaged\.safetensors is damaged"):
            WeightShift.load(tmp_path / "damaged.safetensors")
    reactor.set_listener(replace(shift, motion_gain=MotionGain()))
    plain = react()
    assert np.allclose(shift.motion_gain.apply(plain), personal, atol=1e-6)
    assert mix_weight_shifts([(shift, 0.5)]).motion_gain == shift.motion_gain.scaled(0.5)
    reactor.set_listener(shift, 0.0)
    weak = react()
    reactor.set_listener(None)
    assert np.allclose(react(), weak, atol=1e-5)
    reactor.set_listener("Warm")
    assert reactor.shift.motion_gain == MotionGain()


def test_weights_of_format_1_are_still_read(reactor, tmp_path):
    """Whoever trained demo weights with 0.1.0 has tensors of other names; they are the same numbers."""
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    checkpoints.save(reactor.checkpoint, new)
    names = {today: before for before, today in checkpoints.FORMAT_1_KEYS.items()}
    with safe_open(new, "pt") as file:
        assert file.metadata()["format"] == "2" and set(names) <= set(file.keys())
        metadata = file.metadata() | {"format": "1"}
    save_file({names.get(key, key): tensor for key, tensor in load_file(new).items()}, old, metadata)
    again = checkpoints.load("old", tmp_path)
    for fitted in checkpoints.FITTED:
        expected = getattr(reactor.checkpoint, fitted).state_dict()
        assert all(torch.equal(value, getattr(again, fitted).state_dict()[name]) for name, value in expected.items())


@pytest.mark.slow
def test_larger_nods_of_the_listener_are_larger_in_the_reactions(reactor):
    """Two listeners who differ in nothing but the size of their nods."""
    speakers = [simulate_speaker(np.random.default_rng(20 + i), 30.0) for i in range(2)]
    sizes, bursts = [], []
    for size in (2.6, 7.5):
        person, nods = replace(ListenerHabits(), nod_rate=12.0, nod_size=size), []
        for seed in range(5, 8):
            reactor.set_listener(simulate_tracked_listener(speakers[0], person, np.random.default_rng(seed)))
            nods += [events.nods(clip) for clip in reactor.react_to(speakers[1], samples=4).coefficients]
        strokes = np.concatenate([one.strokes for one in nods])
        sizes.append(np.average(np.concatenate([one.size for one in nods]), weights=strokes))
        bursts.append(len(strokes) / len(nods))
    assert sizes[1] > 1.25 * sizes[0], "the clips' own differ by 1.7; nods too small to be seen count in neither"
    assert bursts[0] > 1.5, "half a minute: whoever nods a little still nods"


@pytest.mark.slow
def test_who_blinks_more_does_so_after_calibration():
    """Reactions of few and many blinks, drawn here by the simulator, are counted until the listener's rate is met."""
    blinks = HABIT_NAMES.index("blink rate")
    speakers = [simulate_speaker(np.random.default_rng(i), 30.0) for i in range(3)]

    def react(style):
        person = replace(ListenerHabits(), blink_rate=12 * np.exp(0.5 * float(style[1])))
        return np.stack([simulate_tracked_listener(speaker, person, np.random.default_rng(5)) for speaker in speakers])

    mean, directions = torch.tensor(measure_clips(react(torch.zeros(2)))), torch.zeros(len(HABIT_NAMES), 2)
    directions[RATE_COLUMNS] = torch.eye(2)
    probe = SimpleNamespace(population_mean=mean, population_std=torch.ones(len(HABIT_NAMES)), directions=directions)
    calibration = CalibrationSpeakers(*torch.zeros(2, 1, 1, 1), torch.eye(2), torch.zeros(len(HABIT_NAMES)))
    expected = np.zeros(len(HABIT_NAMES))
    expected[blinks] = 1.0  # root of blinks a minute: 25 instead of 16
    style, motion_gain = calibration.calibrate(torch.zeros(2), expected, True, probe, react)
    increase = measure_clips(motion_gain.apply(react(style))) - mean.numpy()
    assert increase[blinks] == pytest.approx(1.0, abs=0.25)
    # Where such speakers make all listeners blink more, the listener is no closer to the population's mean for it.
    bias = torch.zeros(len(HABIT_NAMES))
    bias[blinks] = 0.6
    style, _ = calibration.with_tensors(bias=bias).calibrate(torch.zeros(2), expected, True, probe, react)
    assert measure_clips(react(style))[blinks] - mean[blinks] == pytest.approx(1.6, abs=0.4)
