"""The last minute of a live session: what was shown, beside what was heard and seen, as an ordinary run."""

import json

import av
import numpy as np
import pytest

from perfrdiff.errors import InputError
from perfrdiff.features.clip import read_listener
from perfrdiff.live import minute as last_minute
from perfrdiff.live.minute import CHANGED, NO_PICTURE, NO_SOUND, LastMinute
from perfrdiff.live.session import HOP, LiveSession
from perfrdiff.pipeline.run import write_take
from perfrdiff.pipeline.take import LIVE
from renderer.resources import asset
from tests.support.live_speaker import face, sound

pytestmark = pytest.mark.slow

FRAMES = 90
SOUND = sound(FRAMES)


def talked(warm_reactor, changes=(), **devices):
    """A session of `FRAMES`, its minute, and all reactions that it gave."""
    session = LiveSession(warm_reactor.stream(samples=2, seed=7), **devices)
    minute, given = LastMinute(session), []
    for frame in range(FRAMES):
        if session.has_audio:
            session.push_audio(SOUND[frame * HOP : (frame + 1) * HOP])
            minute.push_sound(SOUND[frame * HOP : (frame + 1) * HOP])
        if session.has_camera:
            session.push_face((frame + 0.5) / 25, face(frame) if frame != 50 else None)
        if frame in changes:
            minute.listener_changed()
        frames = session.advance()
        minute.push_frames(frames)
        given.append(frames.reactions)
    return minute, np.concatenate(given, axis=1)


def test_what_was_shown_lies_beside_what_was_heard_at_that_time(warm_reactor, monkeypatch):
    monkeypatch.setattr(last_minute, "SECONDS", 2)
    minute, given = talked(warm_reactor, changes=(60,))
    take = minute.take(warm_reactor, None, until=70)
    assert take.frames == 50 and np.array_equal(take.reactions.coefficients, given[:, 21:71])
    assert np.array_equal(take.speaker.waveform.samples, SOUND[21 * HOP : 71 * HOP])
    assert np.flatnonzero(~take.speaker.face_seen).tolist() == [50 - 21]
    assert take.speaker.hearing.shape == (50, 8) and take.speaker.audio.shape == (50, 78)
    assert take.reactions.seed == 7 and take.style == "Warm"
    assert take.listener.notes == [NO_PICTURE, CHANGED]
    with pytest.raises(InputError, match="not a second"):
        minute.take(warm_reactor, None, until=20)


def test_the_memory_of_a_session_does_not_grow(warm_reactor, monkeypatch):
    monkeypatch.setattr(last_minute, "SECONDS", 1)
    minute, _ = talked(warm_reactor)
    assert len(minute._sound.take(0, FRAMES * HOP)) <= (25 + 50 + 1) * HOP
    assert len(minute._reactions.take(0, FRAMES)) <= 25 + 50 + 5


def test_without_microphone_or_camera_the_take_says_so(warm_reactor):
    seen = talked(warm_reactor, has_audio=False)[0].take(warm_reactor, None)
    assert seen.speaker.waveform is None and seen.listener.notes == [NO_PICTURE, NO_SOUND]
    heard = talked(warm_reactor, has_camera=False)[0].take(warm_reactor, None)
    assert not heard.speaker.face_seen.any() and np.isfinite(heard.speaker.coefficients).all()


def test_a_take_becomes_the_usual_folder(warm_reactor, portrait, tmp_path):
    """Of a camera: a drawn speaker and the listener's photo; of a film: its pictures from the right second on."""
    minute, _ = talked(warm_reactor)
    take = minute.take(warm_reactor, read_listener(portrait), until=29)
    request = take.request(tmp_path / "camera", "demo")
    ready = []
    result = write_take(request, take, on_reactions=ready.append)
    assert {path.name for path in result.folder.iterdir()} == {
        "coefficients.npz", "reaction_1.csv", "reaction_1_mesh.mp4", "reaction_1_photo.mp4", "reaction_2.csv",
        "reaction_2_mesh.mp4", "reaction_2_photo.mp4", "reactions.zip", "settings.json", "side_by_side.mp4",
    }  # fmt: skip
    with np.load(result.coefficients) as file:
        assert np.array_equal(file["coefficients"], take.reactions.coefficients)
    assert np.array_equal(ready[0].coefficients, take.reactions.coefficients)
    settings = json.loads(result.settings.read_text())
    assert settings["speaker"] == "live" and NO_PICTURE in settings["notes"] and str(LIVE) not in str(settings)
    with av.open(result.side_by_side) as film:
        assert film.streams.video[0].frames == 30 and film.streams.audio

    film = asset("examples/speaker.mp4")
    take = minute.take(warm_reactor, None, until=29, film=film, film_start=1.0)
    result = write_take(take.request(tmp_path / "film", "demo"), take)
    assert not list(result.folder.glob("*photo*")) and take.film_start == 1.0
    assert NO_PICTURE not in result.notes and result.frames == 30
