"""Styles that are moved to what is counted in the listener's own clip."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from perfrdiff import checkpoints
from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES, count_behaviour, measures_from_counts
from perfrdiff.coefficients import CHANNEL
from perfrdiff.data.simulator.habits import ListenerHabits, draw_habits
from perfrdiff.data.simulator.listener import simulate_tracked_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.personal.style_probe import MAX_HABIT, PartialClips, StyleProbe, token_std
from perfrdiff.reactor import Reactor

pytestmark = pytest.mark.slow

STYLE = 24
BLINKS = list(BEHAVIOUR_MEASURES).index("blink rate")
NOD_SIZE = list(BEHAVIOUR_MEASURES).index("nod size")


@pytest.fixture(scope="module")
def people():
    """What is counted in four clips each of sixty persons, (60, 4, Q), and the clips of the first."""
    rng = np.random.default_rng(0)
    speakers = [simulate_speaker(rng, 30.0) for _ in range(4)]
    clips = []
    for _ in range(60):
        person = draw_habits(rng)
        clips.append([simulate_tracked_listener(speaker, person, rng) for speaker in speakers])
    return np.array([[count_behaviour(clip) for clip in of_person] for of_person in clips]), clips[0]


def simulated_probe(counted, error):
    """Styles (P, style) of first clips, whose axes report habits with so large an error, and their probe."""

    def styles(counted, seed):
        habits = measures_from_counts(counted)
        habits = (habits - habits.mean(0)) / habits.std(0)
        wrong = error * np.random.default_rng(seed).standard_normal(habits.shape)
        rows = np.concatenate([habits + wrong, np.full((len(habits), STYLE - habits.shape[1]), 3.0)], axis=1)
        return normalize(torch.tensor(rows).float(), dim=-1)

    parts = counted[:, :1], counted[:, :1], counted[:, :3]
    parts_of_persons = [PartialClips(styles(part, seed), part) for seed, part in enumerate(parts)]
    return parts_of_persons[1].styles, StyleProbe.fit(
        styles(counted, 3), counted, parts_of_persons, parts_of_persons, counted[:, 3:], torch.tensor([0.5, 1.0, 0.7])
    )


def standardized(counted, probe):
    return (measures_from_counts(counted) - probe.population_mean.numpy()) / probe.population_std.numpy()


def test_a_style_that_reports_all_habits_is_left_nearly_as_it_is(people):
    counted, clips = people
    styles, probe = simulated_probe(counted, 0.0)
    reported = probe.reported_habits(styles).numpy()
    counted_habits = standardized(counted[:, :1], probe)
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(reported.T, counted_habits.T, strict=True)) > 0.8
    change = probe.reported_habits(probe.corrected_style(styles[0], clips[0])) - probe.reported_habits(styles[0])
    assert change.abs().max() < 1.5


def test_a_style_that_reports_nothing_is_moved_to_what_is_counted(people):
    counted, _ = people
    _, probe = simulated_probe(counted, 30.0)
    assert (probe.blend_weights[:, 1] > probe.blend_weights[:, 0].abs()).float().mean() > 0.8
    talk = simulate_speaker(np.random.default_rng(7))
    often, seldom = (
        simulate_tracked_listener(talk, replace(ListenerHabits(), blink_rate=rate), np.random.default_rng(8))
        for rate in (40.0, 6.0)
    )
    rates = [probe.reported_habits(probe.corrected_style(probe.mean, clip))[BLINKS] for clip in (often, seldom)]
    assert rates[0] - rates[1] > 1.0


def test_counts_of_minutes_weigh_more_than_those_of_half_a_minute(people):
    counted, _ = people
    _, probe = simulated_probe(counted, 30.0)
    assert probe.blend_weights.shape == (3, 2, len(BEHAVIOUR_MEASURES))
    assert probe.blend_weights[2, 1].mean() > probe.blend_weights[1, 1].mean()


def test_a_clip_without_nods_leaves_the_size_of_nods_alone(people):
    counted, _ = people
    _, probe = simulated_probe(counted, 30.0)
    still = np.zeros((750, 58), np.float32)
    still[:, CHANNEL["rotationX"]] = np.pi
    corrected_style = probe.corrected_style(probe.mean, still)
    assert corrected_style.isfinite().all()
    alone = probe.with_tensors(directions=torch.eye(len(BEHAVIOUR_MEASURES), STYLE))
    assert alone.corrected_style(probe.mean, still)[NOD_SIZE] == pytest.approx(float(probe.mean[NOD_SIZE]), abs=1e-5)


def test_expected_habits_are_as_far_apart_as_persons_are(people):
    counted, clips = people
    styles, probe = simulated_probe(counted, 1.0)
    reported = probe.reported_habits(styles).numpy()
    counted_habits = standardized(counted[:, :1], probe).clip(-MAX_HABIT, MAX_HABIT)
    blend_weights, std = probe.blend_weights_in_distribution[1].numpy(), probe.blend_std_in_distribution[1]
    likeliest = blend_weights[0] * reported + blend_weights[1] * counted_habits
    assert np.allclose(likeliest.std(axis=0), std, rtol=0.2), "nearly: the fit was told by weights that knew others"
    assert (std < 1).all()
    first, expected = probe.expected_habits(styles[0], clips[0], in_distribution=True)
    in_clip = torch.tensor(standardized(np.array([[count_behaviour(clips[0])]]), probe)[0]).float()
    assert torch.allclose(expected, torch.lerp(first / std, in_clip.clamp(-MAX_HABIT, MAX_HABIT), 0.3), atol=1e-3)


def test_only_clips_out_of_distribution_are_moved(people):
    _, probe = simulated_probe(people[0], 1.0)
    still = torch.zeros(30, 8)
    lively = 3 * torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    assert token_std(lively) > probe.max_token_std
    assert not probe.is_out_of_distribution(still) and probe.is_out_of_distribution(lively)


def rough(clip, rng):
    """A clip with a real tracker's restless face around the lids."""
    noise = 0.12 * np.abs(rng.standard_normal((len(clip), 52))).astype(np.float32)
    noise[:, [CHANNEL["eyeBlinkLeft"], CHANNEL["eyeBlinkRight"]]] = 0
    return np.concatenate([np.clip(clip[:, :52] + noise, 0, 1), clip[:, 52:]], axis=1)


def test_the_demo_weights_know_a_person_through_a_tracker_s_restless_face(tmp_path):
    """Their encoder reads what was counted, so that no face is out of its distribution; and the probe is kept."""
    reactor = Reactor.load("demo", "cpu")
    probe = reactor.checkpoint.style_probe
    rng = np.random.default_rng(5)
    person, other = (
        replace(ListenerHabits(), nod_rate=rate, brow_rate=rate / 2, energy=rate / 8) for rate in (12.0, 2.0)
    )
    clips = [simulate_tracked_listener(simulate_speaker(rng), habits, rng) for habits in (person, person, other)]
    restless = rough(clips[1], rng)
    assert not probe.is_out_of_distribution(reactor.checkpoint.normalizer.coefficients(torch.tensor(restless)))
    one, same, stranger = (reactor.style_of(clip) for clip in (clips[0], restless, clips[2]))
    assert one @ same > one @ stranger
    checkpoints.save(reactor.checkpoint, tmp_path / "copy.safetensors")
    again = checkpoints.load("copy", tmp_path).style_probe
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in probe.state_dict().items())


def test_a_real_face_does_not_make_the_demo_listener_flutter():
    """A listener who blinks eight times a minute, simulated and with a real tracker's restless face."""
    rng = np.random.default_rng(4)
    speaker = simulate_speaker(rng, 20.0)
    calm = simulate_tracked_listener(speaker, replace(ListenerHabits(), blink_rate=8.0), rng)
    reactor = Reactor.load("demo", "cpu")
    blinks = []
    for listener in (calm, rough(calm, rng)):
        reactor.set_listener(listener)
        reactions = reactor.react_to(speaker, samples=3, seed=0).coefficients
        rates = [BEHAVIOUR_MEASURES["blink rate"].from_counts(count_behaviour(clip)[None]) for clip in reactions]
        blinks.append(np.mean(rates))
    assert max(blinks) < 30 and abs(blinks[0] - blinks[1]) < 15
