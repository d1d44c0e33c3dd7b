"""Disguised faces keep what tells a person, and the style encoder takes no notice of the rest."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from perfrdiff import checkpoints
from perfrdiff.behaviour.statistics import HABITS, quantities, read_habits
from perfrdiff.coefficients import CHANNEL, ROTATION
from perfrdiff.data.simulator.conversation import simulate_listener, simulate_speaker
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.data.simulator.habits import draw_habits
from perfrdiff.models.motion_codec import MotionCodec
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.personal.style_probe import LENGTHS
from perfrdiff.training.demo.augmentation import OtherListeners
from perfrdiff.training.demo.motion_descriptors import NOD_BANDS, courses
from perfrdiff.training.demo.style_probe import read_styles


@pytest.fixture(scope="module")
def codec() -> MotionCodec:
    return checkpoints.load("demo").normalizer


def test_disguised_listeners_keep_head_and_blinks(codec):
    """What was counted stays to be counted; channels in which simulated listeners are still begin to wander."""
    clip = torch.zeros(40, 100, 58)
    clip[:, :, ROTATION.start] = np.pi
    clip[..., CHANNEL["rotationX"]] += torch.deg2rad(2 * torch.sin(torch.arange(100) * 2 * np.pi * 1.7 / 25))
    tokens = codec.coefficients(clip)
    disguise = OtherListeners.of(codec, share=1.0)
    other = disguise(tokens, torch.Generator().manual_seed(0))
    assert (other - tokens).std(1).median() > 0.15
    nodding = NOD_BANDS.index(1.7)
    kept = courses(codec.raw_coefficients(other))[:, 15:-15, nodding] / courses(clip)[:, 15:-15, nodding]
    assert (kept.mean(1) - 1).abs().max() < 0.25
    frames = codec.raw_coefficients(other) - codec.raw_coefficients(tokens)
    assert frames[..., CHANNEL["jawOpen"]].std() > 3 * frames[..., CHANNEL["eyeBlinkLeft"]].std()


@pytest.mark.slow
def test_styles_of_disguised_persons_are_read(codec):
    """The reading of an untrained encoder over few simulated persons: all numbers are there, no trust is below 0."""
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(6):
        person = draw_habits(rng)
        clips += [simulate_listener(simulate_speaker(rng), person, rng) for _ in range(3)]
    person, nothing = torch.arange(6).repeat_interleave(3), torch.zeros(1)
    tokens = codec.coefficients(torch.tensor(np.stack(clips))).half()
    corpus = Corpus(tokens, person, nothing, nothing, nothing, nothing, codec)
    config = StyleEncoderConfig(
        coefficients=codec.widths["listener"], width=16, layers=1, heads=2, feedforward=16, projection=20, dropout=0.0
    )
    reading = read_styles(StyleEncoder(config).eval(), corpus, persons=6)
    assert reading.trust.shape == (len(LENGTHS), 2, len(HABITS)) and (reading.trust >= 0).all()
    assert all(value.isfinite().all() for value in reading.state_dict().values())
    own = read_habits(np.array([[quantities(clip) for clip in clips[i : i + 3]] for i in range(0, 18, 3)]))
    assert np.allclose(reading.usual, own.mean(0), atol=0.15)


def test_some_listeners_are_shown_as_they_are(codec):
    tokens = torch.randn(200, 20, codec.widths["listener"], generator=torch.Generator().manual_seed(1))
    other = OtherListeners.of(codec, share=0.6)(tokens, torch.Generator().manual_seed(2))
    alike = (other == tokens).all(2).all(1).float().mean()
    assert 0.25 < alike < 0.55
    again = OtherListeners.of(codec, share=0.6)(tokens, torch.Generator().manual_seed(2))
    assert torch.equal(other, again)


def test_a_style_encoder_with_a_limit_takes_no_notice_of_how_far_beyond_it_a_number_is():
    config = StyleEncoderConfig(width=16, layers=1, heads=2, feedforward=16, projection=8, dropout=0.0, limit=2.0)
    encoder = StyleEncoder(config).eval()
    clip = torch.randn(1, 30, 58, generator=torch.Generator().manual_seed(0))
    far, farther = clip.clone(), clip.clone()
    far[0, 3, 7], farther[0, 3, 7] = 2.0, 60.0
    with torch.no_grad():
        assert torch.equal(encoder(far), encoder(farther))
        plain = StyleEncoder(replace(config, limit=None)).eval()
        plain.load_state_dict(encoder.state_dict())
        assert not torch.allclose(plain(far), plain(farther))
