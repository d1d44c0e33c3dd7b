"""What simulated listeners are read through: a tracker's eyes. What tells a person stays to be read."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from perfrdiff.behaviour.event_features import EVENT_FEATURES, event_features
from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES, count_behaviour, measures_from_counts
from perfrdiff.coefficients import CHANNEL, EXPRESSION, ROTATION
from perfrdiff.data.simulator.corpus import SPANS, Corpus
from perfrdiff.data.simulator.habits import draw_habits
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.data.simulator.tracking import WANDERING_SHARE, add_wander
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.personal.style_probe import CLIP_SECONDS
from perfrdiff.training.demo.style_probe import fit_probes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def persons() -> np.ndarray:
    """Clips (4 persons, 3, frames, 58) without a tracker's noise."""
    rng = np.random.default_rng(0)
    speakers = [simulate_speaker(rng) for _ in range(3)]
    habits = [draw_habits(rng) for _ in range(4)]
    return np.stack([[simulate_listener(speaker, person, rng) for speaker in speakers] for person in habits])


def test_wandering_faces_keep_their_nods_and_blinks(persons):
    """What was counted stays to be counted; channels in which simulated listeners are still begin to wander."""
    clips = persons.reshape(-1, *persons.shape[2:])
    rng = np.random.default_rng(3)
    wandering = [clip for clip in (add_wander(clip, rng) for clip in clips for _ in range(2))]
    moved = [(a, b) for a, b in zip(np.repeat(clips, 2, axis=0), wandering, strict=True) if not np.array_equal(a, b)]
    assert moved
    for clip, other in moved:
        difference = (other - clip).std(axis=0)
        assert np.degrees(difference[ROTATION]).max() < 1.5
        assert difference[EXPRESSION].mean() > 1e-3
    counted = np.array([[count_behaviour(x)[1:5] for x in pair] for pair in moved]).sum(axis=0)
    assert np.allclose(counted[0, [0, 3]], counted[1, [0, 3]], rtol=0.2), "nods and blinks"
    assert (other[:, CHANNEL["jawOpen"]] <= 1).all() and (other[:, EXPRESSION] >= 0).all()


def test_some_faces_do_not_wander(persons):
    rng = np.random.default_rng(2)
    clip = persons[0, 0]
    alike = np.mean([add_wander(clip, rng) is clip for _ in range(200)])
    assert abs(alike - (1 - WANDERING_SHARE)) < 0.12


def test_a_probe_is_fitted_on_tracked_persons(persons):
    """The probe of an untrained encoder over few simulated persons: numbers are finite, no blend weight is below 0."""
    clips = persons.reshape(-1, *persons.shape[2:])
    codec = ListeningCodec.fit(clips, np.zeros((1, 10, 8), np.float32))
    tokens = codec.coefficients(torch.tensor(clips)).half()
    events = torch.tensor(np.array([event_features(clip) for clip in clips])).float()
    nothing = torch.zeros(1)
    corpus = Corpus(
        tokens, tokens, events, events[:, None].repeat(1, len(SPANS), 1), torch.arange(4).repeat_interleave(3), nothing,
        nothing, nothing, nothing, codec,
    )  # fmt: skip
    config = StyleEncoderConfig(
        coefficients=codec.widths["listener"], width=16, layers=1, heads=2, feedforward=16, projection=20, dropout=0.0,
        events=len(EVENT_FEATURES),
    )  # fmt: skip
    probe, event_probe = fit_probes(StyleEncoder(config).eval(), corpus, persons=4)
    assert probe.blend_weights.shape == (len(CLIP_SECONDS), 2, len(BEHAVIOUR_MEASURES))
    assert event_probe.blend_weights.shape == (len(CLIP_SECONDS), 2, len(EVENT_FEATURES))
    assert (probe.blend_weights >= 0).all() and (event_probe.blend_weights >= 0).all()
    fitted = event_probe.state_dict() | {
        name: value for name, value in probe.state_dict().items() if name != "max_token_std"
    }
    assert all(value.isfinite().all() for value in fitted.values())
    assert not probe.is_out_of_distribution(100 * tokens[0].float()), "its encoder reads what holds for any face"
    counted = np.array([count_behaviour(clip) for clip in clips]).reshape(4, 3, -1)
    assert np.allclose(probe.population_mean, measures_from_counts(counted).mean(0), atol=0.15)


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
