"""Frames to tokens and back."""

import numpy as np
import pytest
import torch

from perfrdiff.coefficients import CHANNEL
from perfrdiff.data.simulator.habits import draw_habits
from perfrdiff.data.simulator.listener import simulate_tracked_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.models.motion_codec import PATCH, MotionCodec, fit_decoder, principal_directions, tracker_noise

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(5)
    speakers = [simulate_speaker(rng, 12.0) for _ in range(12)]
    listeners = [simulate_tracked_listener(s, draw_habits(rng), rng) for s in speakers for _ in range(4)]
    return (
        np.stack(listeners),
        np.stack([s.coefficients for s in speakers]),
        np.stack([s.audio for s in speakers]),
    )


@pytest.fixture(scope="module")
def codec(clips):
    """The shape of the weights of 0.1.0; their speakers' directions are left out."""
    listener, speaker, audio = clips
    mean, into, out = principal_directions(listener, PATCH)
    rows, width = audio.reshape(-1, audio.shape[-1]), PATCH * speaker.shape[-1]
    return MotionCodec(
        mean, into, out, fit_decoder(listener, mean, into), torch.zeros(width), torch.eye(width),
        torch.tensor(rows.mean(0)), torch.tensor(rows.std(0).clip(1e-3)),
    )  # fmt: skip


def test_tokens_are_fewer_and_of_even_spread(clips, codec):
    tokens = codec.coefficients(torch.tensor(clips[0]))
    assert tokens.shape == (48, 60, codec.widths["listener"])
    deviation = tokens.std((0, 1))
    assert deviation.max() < 1.05 and deviation.min() > 0.5
    assert codec.widths["listener"] < 0.4 * codec.patch * 58


def test_what_is_lost_on_the_way_is_the_trackers_noise(clips, codec):
    raw = torch.tensor(clips[0])
    back = codec.raw_coefficients(codec.coefficients(raw))
    error = (back - raw).square().mean((0, 1)).sqrt().numpy()
    assert (error < 1.5 * tracker_noise()).all()


def test_frames_left_over_are_dropped_for_a_listener(clips, codec):
    raw = torch.tensor(clips[0][:2])
    assert torch.equal(codec.coefficients(raw[:, :203]), codec.coefficients(raw[:, :200]))


@pytest.mark.parametrize("frames", [1, 4, 5, 6, 299])
def test_every_frame_of_a_speaker_is_covered(clips, codec, frames):
    tokens = codec.audio(torch.tensor(clips[2][:1, :frames]))
    assert tokens.shape[1] == -(-frames // codec.patch)


def test_a_listeners_token_knows_nothing_of_what_the_speaker_does_later(clips, codec):
    """Token k of the listener begins with frame 5 k; what the speaker does after that frame is not in token k."""
    raw = torch.tensor(clips[1][:1])
    changed = raw.clone()
    changed[:, 101:] += 1.0
    before, after = codec.speaker(raw), codec.speaker(changed)
    assert torch.equal(before[:, :21], after[:, :21])
    assert not torch.equal(before[:, 21], after[:, 21])


def test_a_made_token_that_is_a_little_off_does_not_become_a_nod(clips, codec):
    """Five times a second a small error would else be seen as trembling of the head."""
    raw = torch.full((1, 300, 58), 0.1)
    still = codec.coefficients(raw + torch.tensor(clips[0]).mean((0, 1)) - 0.1)
    off = still + 0.15 * torch.randn(still.shape, generator=torch.Generator().manual_seed(0))
    pitch = codec.raw_coefficients(off)[0, :, CHANNEL["rotationX"]]
    plain = (off @ codec.listener_out + codec.listener_mean).reshape(300, 58)[:, CHANNEL["rotationX"]]
    assert pitch.diff().abs().mean() < 0.6 * plain.diff().abs().mean()


def test_voice_and_microphone_do_not_matter(codec):
    noise = torch.randn(2, 300, 78, generator=torch.Generator().manual_seed(0))
    mfcc = codec.audio_mean + codec.audio_scale * noise  # as varied as the talks it was fitted to
    other = 3.0 * mfcc + torch.linspace(-4, 4, 78)
    assert torch.allclose(codec.audio(mfcc), codec.audio(other), atol=0.02)
    silent = codec.audio(torch.zeros(1, 50, 78))
    assert silent.isfinite().all() and silent.abs().max() < 1e-3
