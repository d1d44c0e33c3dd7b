"""A speaker's features while they talk: the same in any pieces, and near those of the whole clip."""

from itertools import pairwise

import numpy as np
import pytest

from perfrdiff.coefficients import CHANNEL
from perfrdiff.features.clip import read_speaker
from perfrdiff.features.hearing import hear
from perfrdiff.features.media.input import open_input
from perfrdiff.features.stream import SpeakerStream
from perfrdiff.features.tracking.landmarker import Face, FaceTracker

RATE = 16_000


def face(turn, smile=0.0):
    rng = np.random.default_rng(5)
    angle = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    expressions = np.zeros(52, np.float32)
    expressions[[CHANNEL["mouthSmileLeft"], CHANNEL["mouthSmileRight"]]] = smile
    landmarks = 200 + 60 * rng.normal(size=(478, 3)).astype(np.float32)
    return Face(landmarks, expressions, angle, np.array([0.0, 0.0, -50.0]), 0.1)


FACES = [face(0.1 * np.sin(frame / 9), 0.4 * (frame % 30 > 20)) if frame % 17 else None for frame in range(130)]
SOUND = 0.1 * np.random.default_rng(1).normal(size=130 * RATE // 25).astype(np.float32)


def streamed(pieces, **given):
    stream, parts = SpeakerStream(**given), []
    for first, last in pairwise(pieces):
        stream.push_faces(FACES[first:last])
        stream.push_audio(SOUND[first * RATE // 25 : last * RATE // 25])
        parts.append(stream.take())
    parts.append(stream.finish())
    return tuple(np.concatenate([getattr(part, name) for part in parts]) for name in
                 ("hearing", "coefficients", "face_seen"))  # fmt: skip


def test_the_same_numbers_in_any_pieces():
    whole, pieces = streamed([0, 130]), streamed([0, 1, 2, 40, 41, 90, 130])
    assert len(whole[0]) == 130 and all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))
    assert np.array_equal(whole[0], hear(SOUND, 130))
    assert whole[2].sum() == sum(face is not None for face in FACES)
    turns = whole[1][:, CHANNEL["rotationY"]]
    assert 0.15 < np.ptp(turns) < 0.25 and np.ptp(whole[1][:, CHANNEL["mouthSmileLeft"]]) > 0.2


def test_a_hidden_face_keeps_the_last_numbers_and_says_so():
    _, coefficients, seen = streamed([0, 130])
    hidden = np.flatnonzero(~seen)[1:]
    assert np.array_equal(coefficients[hidden], coefficients[hidden - 1])


def test_frames_wait_for_their_sound_and_their_face():
    stream = SpeakerStream()
    stream.push_faces(FACES[:30])
    assert len(stream.take()) == 0 and stream.waiting == 30
    stream.push_audio(SOUND[: 10 * RATE // 25])
    assert len(stream.take()) == 6, "the pitch of a frame is known 4 frames later"


def test_who_is_only_heard_or_only_seen():
    stream = SpeakerStream(has_camera=False)
    stream.push_audio(SOUND)
    first, rest = stream.take(), stream.finish()
    assert first.coefficients is None and len(first) + len(rest) == 130
    stream = SpeakerStream(has_audio=False)
    stream.push_faces(FACES)
    assert stream.take().hearing is None
    with pytest.raises(ValueError, match="not heard"):
        stream.push_audio(SOUND)
    with pytest.raises(ValueError, match="heard, seen"):
        SpeakerStream(False, False)


@pytest.mark.slow
def test_a_live_face_is_read_as_in_the_whole_clip(speaker):
    """The project's example speaker, 2 s: too short to learn a resting face, so pose and the network's channels."""
    whole = read_speaker(speaker)
    stream = SpeakerStream(has_audio=False)
    with open_input(speaker) as media, FaceTracker(streaming=True) as tracker:
        stream.push_faces([next(iter(tracker.detect(picture)), None) for picture in media.frames()])
    live = stream.take()
    assert live.face_seen.mean() > 0.9
    for name, least in (("rotationX", 0.95), ("rotationY", 0.95), ("jawOpen", 0.9), ("eyeBlinkLeft", 0.9)):
        pair = live.coefficients[:, CHANNEL[name]], whole.coefficients[: len(live), CHANNEL[name]]
        assert np.corrcoef(*pair)[0, 1] > least, name
