"""A listener's behaviour card must show what they did, and speech must not pass for listening."""

import numpy as np
import pytest

from perfrdiff.behaviour.card import confidence_of, measure_behaviour
from perfrdiff.coefficients import CHANNEL, FPS, neutral
from perfrdiff.data.simulator.motion import Motion
from perfrdiff.errors import InputError
from perfrdiff.features.mouth_activity import listening_frames, speech_frames
from perfrdiff.features.tracking.signals import QUALITIES, quality_of


def listener(seconds: float = 30.0) -> np.ndarray:
    """Ten nods of 5 degrees, five smiles and six blinks in half a minute."""
    motion = Motion(int(seconds * FPS))
    for start in np.arange(1, seconds - 1, 3.0):
        motion.nod(start, size=5.0, speed=2.0, cycles=2.0)
    for start in np.arange(2, seconds - 3, 6.0):
        motion.add("mouthSmile", 0.6 * motion.envelope(start, 0.4, 0.8, 0.5))
    for start in np.arange(2.5, seconds - 1, 5.0):
        motion.blink(start, 0.8)
    return motion.coefficients()


def talk(seconds: float) -> np.ndarray:
    rows = np.tile(neutral(), (int(seconds * FPS), 1))
    time = np.arange(len(rows)) / FPS
    rows[:, CHANNEL["jawOpen"]] = 0.18 + 0.17 * np.sin(2 * np.pi * 3 * time)
    return rows.astype(np.float32)


def test_habits_are_counted_as_they_were_done():
    rows = listener()
    card = measure_behaviour(rows)
    assert card.nods == pytest.approx(20, abs=3)
    assert card.nod_size == pytest.approx(5, abs=1.2)
    assert card.smiles == pytest.approx(10, abs=2)
    assert card.blinks == pytest.approx(12, abs=2)
    assert card.smiling == pytest.approx(5 * 1.3 / 30, abs=0.08)
    assert {name for name, _ in card.rows()} >= {"Nods", "Smiles", "Blinks"}


def test_the_pose_has_its_side():
    rows = np.tile(neutral(), (100, 1))
    rows[:, CHANNEL["rotationY"]] += np.radians(12)
    words = dict(measure_behaviour(rows).rows())
    assert "12° left" in words["Head"]


def test_filled_frames_are_not_counted():
    rows = listener()
    seen = np.arange(len(rows)) < len(rows) // 2
    card = measure_behaviour(rows, seen)
    assert card.seconds == pytest.approx(15)
    assert card.nods == pytest.approx(20, abs=5), "a rate, not a number"


def test_confidence_grows_with_length():
    assert 0 < confidence_of(2) < confidence_of(15) < confidence_of(120) < 1
    with pytest.raises(InputError, match="Habits need"):
        measure_behaviour(np.zeros((5, 58)))


def test_speech_is_distinguished_from_listening():
    rows = np.concatenate([listener(10), talk(6), listener(10)])
    speech = speech_frames(rows)
    assert speech[280:370].mean() > 0.9
    assert speech[:225].mean() < 0.05
    assert speech[425:].mean() < 0.05
    listening, note = listening_frames(rows, None, 2.0)
    np.testing.assert_array_equal(listening, ~speech)
    assert "talks for" in note


def test_a_mouth_that_moves_in_silence_does_not_talk_and_a_clip_of_speech_alone_is_used():
    rows = np.concatenate([talk(6), listener(6)])
    audio = np.zeros((len(rows), 78), np.float32)
    audio[150:, :2] = 5.0  # the other's voice is heard while this mouth rests
    assert speech_frames(rows, audio)[25:130].mean() < 0.2
    listening, note = listening_frames(talk(8), None, 2.0)
    assert listening.all()
    assert "nearly all the time" in note


def test_every_frame_says_what_it_rests_on():
    rows = np.tile(neutral(), (100, 1))
    rows[90:, CHANNEL["rotationY"]] += np.radians(60)
    tracked = np.ones(100, bool)
    tracked[10:14] = tracked[30:60] = False
    quality = quality_of(rows, tracked, np.full(100, 120.0), np.full(100, 180.0))
    names = [QUALITIES[index] for index in quality]
    assert names[0] == "seen"
    assert set(names[10:14]) == {"bridged"}
    assert set(names[30:60]) == {"filled"}
    assert set(names[90:]) == {"coarse"}
    for size, light in ((30.0, 180.0), (120.0, 20.0)):
        coarse = quality_of(rows[:20], tracked[:20], np.full(20, size), np.full(20, light))
        assert (coarse > 0).all(), "a small or a dark face is coarse"
