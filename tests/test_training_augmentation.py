"""Augmented faces keep what tells a person, and the style encoder takes no notice of everything else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from perfrdiff import checkpoints
from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES, count_behaviour, measures_from_counts
from perfrdiff.coefficients import CHANNEL, ROTATION
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.data.simulator.habits import draw_habits
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.models.motion_codec import MotionCodec
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.personal.style_probe import CLIP_SECONDS
from perfrdiff.training.demo.augmentation import ListenerAugmentation
from perfrdiff.training.demo.motion_descriptors import NOD_BANDS, frame_descriptors
from perfrdiff.training.demo.style_probe import fit_style_probe


@pytest.fixture(scope="module")
def codec() -> MotionCodec:
    return checkpoints.load("demo").normalizer


def test_augmented_listeners_keep_head_and_blinks(codec):
    """What was counted stays to be counted; channels in which simulated listeners are still begin to wander."""
    clip = torch.zeros(40, 100, 58)
    clip[:, :, ROTATION.start] = np.pi
    clip[..., CHANNEL["rotationX"]] += torch.deg2rad(2 * torch.sin(torch.arange(100) * 2 * np.pi * 1.7 / 25))
    tokens = codec.coefficients(clip)
    augmentation = ListenerAugmentation.of(codec, augmented_share=1.0)
    other = augmentation(tokens, torch.Generator().manual_seed(0))
    assert (other - tokens).std(1).median() > 0.15
    nodding = NOD_BANDS.index(1.7)
    after, before = (frame_descriptors(x)[:, 15:-15, nodding] for x in (codec.raw_coefficients(other), clip))
    amplitude = after / before
    assert (amplitude.mean(1) - 1).abs().max() < 0.25
    frames = codec.raw_coefficients(other) - codec.raw_coefficients(tokens)
    assert frames[..., CHANNEL["jawOpen"]].std() > 3 * frames[..., CHANNEL["eyeBlinkLeft"]].std()


@pytest.mark.slow
def test_a_probe_is_fitted_on_augmented_persons(codec):
    """The probe of an untrained encoder over few simulated persons: numbers are finite, no blend weight is below 0."""
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
    probe = fit_style_probe(StyleEncoder(config).eval(), corpus, persons=6)
    assert probe.blend_weights.shape == (len(CLIP_SECONDS), 2, len(BEHAVIOUR_MEASURES))
    assert (probe.blend_weights >= 0).all()
    assert all(value.isfinite().all() for value in probe.state_dict().values())
    counted = np.array([count_behaviour(clip) for clip in clips]).reshape(6, 3, -1)
    assert np.allclose(probe.population_mean, measures_from_counts(counted).mean(0), atol=0.15)


def test_some_listeners_are_not_augmented(codec):
    tokens = torch.randn(200, 20, codec.widths["listener"], generator=torch.Generator().manual_seed(1))
    other = ListenerAugmentation.of(codec, augmented_share=0.6)(tokens, torch.Generator().manual_seed(2))
    alike = (other == tokens).all(2).all(1).float().mean()
    assert 0.25 < alike < 0.55
    again = ListenerAugmentation.of(codec, augmented_share=0.6)(tokens, torch.Generator().manual_seed(2))
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
