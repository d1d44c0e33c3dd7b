"""Reactions to somebody who is still talking: the same as to the whole clip, without its future, in any pieces."""

from dataclasses import replace

import numpy as np
import pytest

from perfrdiff.coefficients import CHANNEL, FPS
from perfrdiff.data.simulator.speaker import idle_face
from perfrdiff.errors import InputError
from perfrdiff.personal.motion_gain import MotionGain
from perfrdiff.reactor import Reactor

FRAMES = 258  # three windows, the last token not whole


@pytest.fixture(scope="module")
def speaker():
    """Hearing, face and which faces were seen; made up, but in range."""
    rng = np.random.default_rng(0)
    hearing = np.clip(0.05 * np.cumsum(rng.normal(size=(FRAMES, 8)), axis=0), -1, 1).astype(np.float32)
    return hearing, idle_face(rng, FRAMES), rng.random(FRAMES) > 0.05


def pushed(stream, speaker, sizes):
    """What a stream gives for the speaker in pieces of these sizes, again and again."""
    out, start, piece = [], 0, 0
    while start < len(speaker[0]):
        end = start + sizes[piece % len(sizes)]
        out.append(stream.push(*(rows[start:end] for rows in speaker)))
        start, piece = end, piece + 1
    return np.concatenate([*out, stream.finish()], axis=1)


@pytest.mark.slow
def test_a_stream_gives_the_reactions_to_the_whole_clip_however_it_is_cut(warm_reactor, speaker):
    hearing, face, seen = speaker
    whole = warm_reactor.react(None, face, hearing=hearing, face_seen=seen, samples=2, seed=4).coefficients
    at_once = pushed(warm_reactor.stream(samples=2, seed=4, frames=FRAMES), speaker, [FRAMES])
    assert at_once.shape == whole.shape
    assert np.abs(at_once - whole).max() < 1e-4
    in_pieces = pushed(warm_reactor.stream(samples=2, seed=4, frames=FRAMES), speaker, [1, 7, 3, 40])
    assert np.array_equal(in_pieces, at_once)


@pytest.mark.slow
def test_nothing_of_the_future_is_heard(warm_reactor, speaker):
    hearing, face, seen = speaker
    moment = 143
    other = [rows.copy() for rows in speaker]
    other[0][moment:], other[1][moment:], other[2][moment:] = 1.0, other[1][0], False
    one, two = (
        pushed(warm_reactor.stream(seed=1, frames=FRAMES), rows, [25]) for rows in ((hearing, face, seen), other)
    )
    changed = np.flatnonzero(np.abs(one - two).max(axis=(0, 2)) > 0)
    # Frames of a token also depend on the token after it: they were not handed out before the moment either.
    assert changed.min() >= moment - 10 and len(changed) > 50


def test_frames_come_at_most_seven_after_the_speakers(warm_reactor, speaker):
    stream, given, late = warm_reactor.stream(), 0, []
    for frame in range(60):
        given += stream.push(*(rows[frame : frame + 1] for rows in speaker)).shape[1]
        late.append(frame + 1 - given)
    assert max(late) == 7 and min(late[10:]) == 3
    assert stream.finish().shape == (1, 60 - given, 58)


def test_a_stream_without_sound_or_without_a_face_goes_on(warm_reactor, speaker):
    hearing, face, _ = (rows[:20] for rows in speaker)
    stream = warm_reactor.stream(samples=2)
    given = [stream.push(None, face), stream.push(hearing, None), stream.push(hearing, face), stream.finish()]
    reactions = np.concatenate(given, axis=1)
    assert reactions.shape == (2, 60, 58) and np.isfinite(reactions).all() and np.ptp(reactions, axis=0).max() > 0
    with pytest.raises(InputError, match="neither"):
        warm_reactor.stream().push(None, None)
    with pytest.raises(InputError, match="not finite"):
        warm_reactor.stream().push(hearing * np.nan, face)


def test_noise_goes_on_after_its_first_block(warm_reactor, speaker, monkeypatch):
    monkeypatch.setattr("perfrdiff.reaction_stream.NOISE_SECONDS", 1)
    frames = warm_reactor.stream()._noise_tokens * 5 + 20
    rows = tuple(np.resize(part, (frames, *part.shape[1:])) for part in speaker)
    reactions = pushed(warm_reactor.stream(), rows, [frames])
    assert reactions.shape[1] == frames and np.isfinite(reactions).all()


def test_a_listeners_gain_is_applied_but_to_nods(warm_reactor, speaker):
    part = tuple(rows[:10] for rows in speaker)
    plain = pushed(warm_reactor.stream(frames=10), part, [10])
    gain = MotionGain(nods=2.0, smile=0.5, pitch=0.1)
    listener = Reactor(warm_reactor.checkpoint)
    listener.set_listener(replace(warm_reactor.shift, motion_gain=gain))
    gained = pushed(listener.stream(frames=10), part, [10])
    smile, pitch = CHANNEL["mouthSmileLeft"], CHANNEL["rotationX"]
    assert np.allclose(gained[..., smile], 0.5 * plain[..., smile], atol=1e-6)
    assert np.allclose(gained[..., pitch], plain[..., pitch] + 0.1, atol=1e-5), f"nods at {FPS} fps as they were"


def test_another_listener_goes_on_from_where_the_first_one_was(warm_reactor, speaker):
    generic = Reactor(warm_reactor.checkpoint)
    stream, warm = generic.stream(frames=FRAMES), generic.stream(frames=FRAMES)
    before = [part.push(*(rows[:63] for rows in speaker)) for part in (stream, warm)]
    warm_reactor.continue_stream(warm)
    after = [part.push(*(rows[63:160] for rows in speaker)) for part in (stream, warm)]
    assert np.array_equal(*before)
    one, other = (np.concatenate(pair, axis=1)[0] for pair in zip(before, after, strict=True))
    steps = np.abs(np.diff(other, axis=0)).max(axis=1)
    assert steps[50:75].max() < 2 * steps.max() and np.abs(one - other)[80:].mean() > 0.003
    assert np.abs(np.diff(other[55:75], axis=0)).max() <= np.abs(np.diff(other, axis=0)).max()
