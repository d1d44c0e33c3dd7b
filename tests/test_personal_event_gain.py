"""What is expected of a listener beside the habits, and the gain that brings reactions to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from perfrdiff.behaviour.event_features import EVENT_FEATURES, event_features
from perfrdiff.behaviour.glances import averted_side, gaze
from perfrdiff.coefficients import CHANNEL
from perfrdiff.data.simulator.habits import ListenerHabits
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.personal.event_gain import MIN_NODS, lacking, nod_factor, with_event_gain
from perfrdiff.personal.event_probe import EventProbe, told_by_clips
from perfrdiff.personal.motion_gain import MAX_FACTOR, MAX_LEAN, MotionGain
from perfrdiff.personal.style_probe import CLIP_SECONDS, cross_fitted, fit_blend

COUNT = len(EVENT_FEATURES)
NOTHING_LACKS = dict.fromkeys(EVENT_FEATURES, 0.0)


def features(clips):
    return dict(zip(EVENT_FEATURES, np.mean([event_features(clip) for clip in clips], axis=0), strict=True))


@pytest.fixture(scope="module")
def clips():
    """A person who nods, smiles and glances a lot."""
    rng = np.random.default_rng(4)
    person = replace(ListenerHabits(), nod_rate=10.0, smile_rate=10.0, gaze_rate=15.0)
    return np.stack([simulate_listener(simulate_speaker(rng, 30.0), person, rng) for _ in range(4)])


@pytest.fixture(scope="module")
def probe():
    """A probe of 400 made-up persons: a style of 6 numbers tells the first 6 features, a clip all, with noise."""
    rng = np.random.default_rng(1)
    persons = rng.normal(size=(400, COUNT))
    styles = torch.tensor(persons[:, :6] + 0.3 * rng.normal(size=(400, 6)))
    counted = [2.0 * persons + noise * rng.normal(size=persons.shape) + 5.0 for noise in (4.0, 2.0, 1.0)]
    return EventProbe.fit([styles] * 3, counted, [persons] * 3)


def test_nothing_lacks_nothing_changes(clips):
    gain = with_event_gain(MotionGain(smile=1.2, yaw=0.1), clips, NOTHING_LACKS)
    assert gain == MotionGain(smile=gain.smile, yaw=gain.yaw)
    assert gain.smile == pytest.approx(1.2) and gain.yaw == pytest.approx(0.1)
    assert nod_factor(NOTHING_LACKS) == 1.0


@pytest.mark.parametrize(
    ("name", "lack", "least"),
    [("smile size", 0.4, 0.1), ("smile size", -0.4, -0.1), ("frown size", 0.4, 0.15), ("glance size", 0.3, 0.1),
     ("smile asymmetry", 0.3, 0.2), ("smile asymmetry", -0.3, -0.2),
     ("blink peak", 0.1, 0.06), ("blink peak", -0.2, -0.1)],
)  # fmt: skip
def test_what_lacks_is_made_up_for(clips, name, lack, least):
    gain = with_event_gain(MotionGain(), clips, NOTHING_LACKS | {name: lack})
    before, after = features(clips), features(gain.apply(clips))
    assert gain.is_valid
    assert (after[name] - before[name]) / least > 1.0
    for level in ("smile level", "nod rate", "blink rate", "pitch", "yaw", "roll"):
        assert after[level] == pytest.approx(before[level], abs=0.25), "the rest stays nearly as it is"


@pytest.mark.parametrize("lack", [0.4, -0.4])
def test_glances_to_one_side_go_farther(clips, lack):
    leaning = with_event_gain(MotionGain(), clips, NOTHING_LACKS | {"glance side": lack}).apply(clips)
    before, after = (gaze(of_all.reshape(-1, of_all.shape[-1]))[:, 0] for of_all in (clips, leaning))
    side = np.sign(lack)
    assert np.quantile(side * after, 0.98) > 1.3 * np.quantile(side * before, 0.98)
    assert np.quantile(-side * after, 0.98) < 0.8 * np.quantile(-side * before, 0.98)


def test_large_smiles_are_no_more_smiles(clips):
    """A factor would lift small movements over what counts as a smile."""
    contrast = with_event_gain(MotionGain(), clips, NOTHING_LACKS | {"smile size": 0.4}).apply(clips)
    assert features(contrast)["smile rate"] <= features(clips)["smile rate"] + 0.1
    assert features(MotionGain(smile=1.8).apply(clips))["smile rate"] > features(clips)["smile rate"] + 0.1


@pytest.mark.parametrize(("axis", "name"), [("yaw", "rotationY"), ("roll", "rotationZ")])
def test_a_head_turns_farther_about_where_it_usually_is(clips, axis, name):
    lacks = NOTHING_LACKS | {f"slow {axis}": 0.5, f"medium {axis}": 0.5, f"{axis} drift": 0.5}
    turned = with_event_gain(MotionGain(), clips, lacks).apply(clips)
    before, after = clips[..., CHANNEL[name]], turned[..., CHANNEL[name]]
    assert np.median(after) == pytest.approx(np.median(before), abs=1e-3)
    assert after.std() / before.std() == pytest.approx(np.exp(0.5), rel=0.05)


def test_nobody_is_made_a_monster(clips):
    for lack in (-20.0, 20.0):
        lacks = dict.fromkeys(EVENT_FEATURES, lack)
        gain = with_event_gain(replace(MotionGain(), nods=nod_factor(lacks)), clips, lacks)
        assert gain.is_valid and abs(gain.smile_lean) <= MAX_LEAN
        assert MIN_NODS <= gain.nods <= MAX_FACTOR
        assert np.isfinite(gain.apply(clips)).all()


def test_gains_apply_frame_by_frame_and_travel(clips):
    gain = with_event_gain(MotionGain(), clips, dict.fromkeys(EVENT_FEATURES, 0.3))
    whole = gain.apply(clips)
    pieces = np.concatenate([gain.apply(part) for part in np.array_split(clips, 7, axis=1)], axis=1)
    assert np.array_equal(whole, pieces)
    half = gain.scaled(0.5)
    assert half.gaze_contrast == pytest.approx(gain.gaze_contrast**0.5)
    assert half.glance_lean == pytest.approx(gain.glance_lean / 2) and half.scaled(2.0).is_valid
    assert not replace(gain, glance_lean=0.9).is_valid and not replace(gain, lids=3.0).is_valid


def test_a_style_and_a_count_are_blended_by_what_they_tell(probe):
    nobody, usual = torch.zeros(6), torch.full((COUNT,), 5.0)
    assert np.abs(probe.expected(nobody, usual, 30.0)).max() < 0.3
    style = torch.tensor([2.0, 0, 0, 0, 0, 0])
    by_style = probe.expected(style, usual, 30.0)
    assert by_style[0] > 1.0 and np.abs(by_style[1:]).max() < 0.4
    counted = usual.clone()
    counted[20] += 4.0  # two persons' deviations, of a feature of which the style says nothing
    by_count = [probe.expected(nobody, counted, seconds)[20] for seconds in (2.0, 10.0, 30.0, 90.0)]
    assert by_count == sorted(by_count) and by_count[0] < 0.5 * by_count[1] and by_count[-1] > 1.0


def test_parts_of_a_clip_tell_their_mean_and_the_side_of_glances_by_time(clips):
    events = torch.tensor(np.array([event_features(clip) for clip in clips]))
    told = told_by_clips(events, clips)
    others = [name != "glance side" for name in EVENT_FEATURES]
    assert torch.equal(told[others], events.mean(0)[others])
    side = told[EVENT_FEATURES.index("glance side")]
    assert side == pytest.approx(np.mean([averted_side(clip) for clip in clips]), abs=1e-6)


def test_expected_features_are_as_far_apart_as_persons_are():
    rng = np.random.default_rng(2)
    persons = rng.normal(size=(300, COUNT))
    counted = persons + rng.normal(size=persons.shape)
    styles = torch.tensor(rng.normal(size=(300, 6)))
    probe = EventProbe.fit([styles] * 3, [counted] * 3, [persons] * 3)
    expected = [probe.expected(style.float(), torch.tensor(row).float(), CLIP_SECONDS[1])
                for style, row in zip(styles, counted, strict=True)]  # fmt: skip
    assert np.std(expected, axis=0) == pytest.approx(np.ones(COUNT), abs=0.12)


def test_what_reactions_of_everybody_show_is_not_this_persons(clips, probe):
    """Half of what a minute shows is chance, of nods more: a count is drawn towards what others' reactions show."""
    shown = np.mean([event_features(clip) for clip in clips], axis=0)
    level = torch.tensor(shown).float()
    assert max(map(abs, lacking(clips, shown, probe.with_tensors(reaction_mean=level)).values())) < 1e-4
    more = lacking(clips, shown + 1.0, probe.with_tensors(reaction_mean=level))
    assert more["smile size"] == pytest.approx(1.0, abs=1e-4)
    less = lacking(clips, shown, probe.with_tensors(reaction_mean=level - 1.0))
    assert less["smile size"] == pytest.approx(0.5, abs=1e-4) and less["quick pitch"] == pytest.approx(0.8, abs=1e-4)
    biased = probe.with_tensors(reaction_mean=level + 1.0, reaction_bias=torch.ones(COUNT))
    assert max(map(abs, lacking(clips, shown + 1.0, biased).values())) < 1e-4


def test_persons_to_whom_a_probe_was_fitted_are_not_believed_more():
    """Styles of pure noise tell nothing of others, however well weights can be fitted to them."""
    rng = np.random.default_rng(0)
    styles, habits = torch.tensor(rng.normal(size=(160, 100))), torch.tensor(rng.normal(size=(160, 1)))
    told = cross_fitted(styles, habits, styles, 0.05).numpy()
    counted = habits.numpy() + rng.normal(size=(160, 1))
    weights, _ = fit_blend(told, counted, habits.numpy())
    assert weights[0, 0] < 0.1 and weights[1, 0] == pytest.approx(0.5, abs=0.15)
