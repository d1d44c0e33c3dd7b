"""Listeners whom the style encoder cannot know get the style of what is measured in their clips."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from perfrdiff import checkpoints
from perfrdiff.data.habits import Habits
from perfrdiff.data.simulated import simulate_listener, simulate_speaker
from perfrdiff.features.coefficients import CHANNEL
from perfrdiff.measured_style import MeasuredStyle, measured, spread_of
from perfrdiff.reactor import Reactor


@pytest.fixture(scope="module")
def clips():
    """Forty persons who nod more and more."""
    rng = np.random.default_rng(0)
    speakers = [simulate_speaker(rng, 20.0) for _ in range(3)]
    people = [replace(Habits(), nod_rate=rate, nod_size=6.0) for rate in np.linspace(1, 20, 40)]
    return np.stack([simulate_listener(speakers[i % 3], person, rng) for i, person in enumerate(people)])


@pytest.fixture(scope="module")
def fitted(clips):
    """A style whose first number is how often somebody nods."""
    seen = np.stack([measured(clip) for clip in clips])
    styles = torch.nn.functional.pad(torch.tensor(seen[:, :1]), (0, 3))
    return MeasuredStyle.fit(clips, styles, torch.tensor([0.5, 1.0, 0.7]))


def test_a_style_says_what_was_measured(clips, fitted):
    said = np.array([fitted.style(clip)[0] for clip in clips])
    asked = np.array([measured(clip)[0] for clip in clips])
    assert np.corrcoef(said, asked)[0, 1] > 0.85


def test_a_short_clip_is_taken_less_at_its_word(clips, fitted):
    usual = np.mean([float(fitted.style(clip)[0]) for clip in clips])
    part = clips[-1][:200]
    whole = fitted.style(np.concatenate([part] * 4))[0]
    assert abs(fitted.style(part)[0] - usual) < abs(whole - usual)


def test_only_what_the_encoder_cannot_know_is_measured(fitted):
    still = torch.zeros(30, 8)
    lively = 3 * torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    assert spread_of(lively) > fitted.liveliest
    assert not fitted.unknown(still) and fitted.unknown(lively)


def test_a_real_face_does_not_make_the_demo_listener_flutter(tmp_path):
    """The lids of a listener who blinks ten times a minute, with a real tracker's restless face around them."""
    rng = np.random.default_rng(4)
    speaker = simulate_speaker(rng, 20.0)
    calm = simulate_listener(speaker, replace(Habits(), blink_rate=8.0), rng)
    noise = 0.12 * np.abs(rng.standard_normal((len(calm), 52))).astype(np.float32)
    noise[:, [CHANNEL["eyeBlinkLeft"], CHANNEL["eyeBlinkRight"]]] = 0
    rough = calm.copy()
    rough[:, :52] = np.clip(rough[:, :52] + noise, 0, 1)
    reactor = Reactor.load("demo", "cpu")
    known = reactor.checkpoint.measured_style
    rows = reactor.checkpoint.normalizer.coefficients(torch.tensor(rough))
    assert known.unknown(rows) and not known.unknown(reactor.checkpoint.normalizer.coefficients(torch.tensor(calm)))
    assert torch.equal(reactor.style_of(rough), known.style(rough))

    checkpoints.save(reactor.checkpoint, tmp_path / "copy.safetensors")
    again = checkpoints.load("copy", tmp_path).measured_style
    assert all(torch.equal(value, again.tensors()[name]) for name, value in known.tensors().items())
