"""Tokens of the demo weights: what is heard and seen, a listener's movement, and how much of it there is."""

import numpy as np
import pytest
import torch

from perfrdiff.coefficients import CHANNEL
from perfrdiff.data.simulator.habits import draw_habits
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.features.hearing import HEARING_WIDTH
from perfrdiff.features.speaker_face import FACE_WIDTH, relative_face
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.models.motion_codec import tracker_noise
from perfrdiff.models.motion_descriptors import DESCRIPTOR_NAMES, DESCRIPTORS


@pytest.fixture(scope="module")
def talks():
    rng = np.random.default_rng(5)
    return [simulate_speaker(rng, 12.0) for _ in range(4)]


@pytest.fixture(scope="module")
def listeners(talks):
    rng = np.random.default_rng(6)
    return np.stack([simulate_listener(talk, draw_habits(rng), rng) for talk in talks for _ in range(6)])


@pytest.fixture(scope="module")
def codec(talks, listeners):
    return ListeningCodec.fit(listeners, np.stack([talk.hearing for talk in talks]))


def test_a_token_is_motion_and_how_much_of_it_there_is(codec, listeners):
    tokens = codec.coefficients(torch.tensor(listeners))
    assert tokens.shape == (24, 60, codec.motion_width + DESCRIPTORS) and codec.widths["listener"] == tokens.shape[-1]
    deviation = tokens.std((0, 1))
    assert deviation.max() < 1.1 and deviation[: codec.motion_width].min() > 0.5


def test_what_is_lost_on_the_way_is_no_more_than_a_trackers_noise(codec, listeners):
    raw = torch.tensor(listeners)
    tokens = codec.coefficients(raw)
    error = (codec.raw_coefficients(tokens) - raw).square().mean((0, 1)).sqrt().numpy()
    assert (error < 1.5 * tracker_noise()).all()
    other = tokens.clone()
    other[..., codec.motion_width :] = 9.0
    assert torch.equal(codec.raw_coefficients(other), codec.raw_coefficients(tokens)), "descriptors are dropped"


def test_descriptors_tell_nods_from_blinks(codec):
    """What is meant to say that a head nods says so, and says it about where it nods."""
    clip = torch.zeros(1, 200, 58)
    time = torch.arange(50) / 25
    clip[0, 100:150, CHANNEL["rotationX"]] = torch.deg2rad(3 * torch.sin(2 * torch.pi * 1.7 * time))
    described = codec.coefficients(clip)[0, :, codec.motion_width :]
    nodding = described[:, DESCRIPTOR_NAMES.index("nodding at 1.7 Hz")]
    assert nodding[20:30].min() > nodding[:16].max() + 1 and nodding[34:].max() < nodding[20:30].min()
    lids = described[:, DESCRIPTOR_NAMES.index("closing of the lids")]
    assert lids.std() < 1e-3


@pytest.mark.parametrize("frames", [1, 5, 26, 299])
def test_clips_of_any_length_have_tokens(codec, talks, listeners, frames):
    audio = codec.audio(torch.tensor(talks[0].hearing[:frames]))
    face = codec.speaker(torch.tensor(relative_face(talks[0].coefficients[:frames])))
    assert audio.shape == (-(-frames // 5), 5 * (HEARING_WIDTH + 1)) and face.shape == (len(audio), 5 * FACE_WIDTH)
    assert codec.coefficients(torch.tensor(listeners[:2, : max(frames, 5)])).isfinite().all()


def test_a_listeners_token_knows_nothing_of_what_the_speaker_does_later(codec, talks):
    """Token k of the listener begins with frame 5 k; what is heard or seen after that frame is not in token k."""
    for tokens_of, rows in (
        (codec.audio, torch.tensor(talks[0].hearing)),
        (codec.speaker, torch.tensor(relative_face(talks[0].coefficients))),
    ):
        changed = rows.clone()
        changed[101:] += 1.0
        before, after = tokens_of(rows), tokens_of(changed)
        assert torch.equal(before[:21], after[:21]) and not torch.equal(before[21], after[21])


def test_silence_is_not_the_same_as_no_sound(codec):
    heard = codec.audio(torch.tensor(np.zeros((25, HEARING_WIDTH), np.float32)))
    assert (heard.unflatten(-1, (5, -1))[..., -1] == 1).all(), "zeros alone say that there is no sound"
