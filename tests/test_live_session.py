"""A live session: what camera and microphone give in any pieces, late, missing or wrong."""

import numpy as np
import pytest

from perfrdiff.errors import InputError
from perfrdiff.live.film import react_to_film
from perfrdiff.live.session import CAMERA_PATIENCE, HOP, LiveSession
from tests.support.live_speaker import face, sound

FRAMES = 60
SOUND = sound(FRAMES)


def run(session, pieces, camera_until=FRAMES):
    """Everything a session gives for the sound in pieces, with a face in the middle of every frame."""
    frames, start = [], 0
    for size in pieces:
        session.push_audio(SOUND[start * HOP : (start + size) * HOP])
        for frame in range(start, min(start + size, camera_until)):
            session.push_face((frame + 0.5) / 25, face(frame))
        frames.append(session.advance())
        start += size
    assert start == FRAMES
    return [*frames, session.finish()]


def reactions(frames):
    return np.concatenate([part.reactions for part in frames], axis=1)


def test_the_pieces_do_not_matter_and_every_frame_is_numbered(warm_reactor):
    one = run(LiveSession(warm_reactor.stream(samples=2)), [FRAMES])
    many = run(LiveSession(warm_reactor.stream(samples=2)), [1] * 30 + [10, 13, 7])
    assert np.array_equal(reactions(one), reactions(many)) and reactions(one).shape == (2, FRAMES, 58)
    counted = 0
    for part in many:
        assert part.first_frame == counted
        counted += part.reactions.shape[1]
    assert sum(len(part.speaker) for part in many) == FRAMES


def test_a_camera_that_stops_never_holds_the_listener_up(warm_reactor):
    session = LiveSession(warm_reactor.stream())
    parts = run(session, [10] * 6, camera_until=20)
    assert reactions(parts).shape[1] == FRAMES
    seen = np.concatenate([part.speaker.face_seen for part in parts])
    assert seen[:20].all() and not seen[20 + CAMERA_PATIENCE :].any()


def test_a_face_that_comes_too_late_is_left_out_and_counted(warm_reactor):
    session = LiveSession(warm_reactor.stream())
    session.push_face(0.02, face(0))
    session.push_audio(SOUND[: 30 * HOP])
    session.advance()
    session.push_face(0.5, face(12))
    assert session.late_faces == 1
    session.push_face(1.21, face(30))
    assert session.late_faces == 1


def test_a_camera_of_another_rate_is_taken_frame_by_frame(warm_reactor):
    """15 pictures a second: frames between two of them keep the earlier one."""
    session = LiveSession(warm_reactor.stream())
    session.push_audio(SOUND)
    for picture in range(36):
        session.push_face(picture / 15, face(picture))
    parts = [session.advance(), session.finish()]
    assert np.concatenate([part.speaker.face_seen for part in parts]).mean() > 0.95


def test_only_heard_or_only_seen(warm_reactor):
    heard = LiveSession(warm_reactor.stream(), has_camera=False)
    heard.push_audio(SOUND)
    assert reactions([heard.advance(), heard.finish()]).shape[1] == FRAMES
    seen = LiveSession(warm_reactor.stream(), has_audio=False)
    for frame in range(FRAMES):
        seen.push_face((frame + 0.5) / 25, face(frame))
    assert reactions([seen.advance(), seen.finish()]).shape[1] == FRAMES
    assert seen.seconds == pytest.approx(FRAMES / 25, abs=0.04)


def test_times_that_cannot_be_are_refused_in_one_sentence(warm_reactor):
    session = LiveSession(warm_reactor.stream())
    session.push_audio(SOUND[: 10 * HOP])
    session.push_face(0.3, None)
    for time, words in ((0.2, "have to rise"), (float("nan"), "have to rise"), (9.0, "0.4 s of sound only")):
        with pytest.raises(InputError, match=words):
            session.push_face(time, None)
    with pytest.raises(InputError):
        session.push_audio(np.full(HOP, np.nan, np.float32))


@pytest.mark.slow
def test_a_film_is_reacted_to_as_if_it_were_live(warm_reactor, speaker):
    parts = list(react_to_film(warm_reactor, speaker, samples=2))
    given = np.cumsum([part.reactions.shape[1] for part in parts[:-1]])
    assert (np.arange(1, len(given) + 1) - given)[15:].max() <= 11, "0.44 s: the sound's look-ahead and a token"
    assert reactions(parts).shape == (2, 50, 58)
