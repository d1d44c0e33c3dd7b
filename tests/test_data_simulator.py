"""The simulated conversations: what a model can learn from them must be in them."""

import numpy as np
import pytest

from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS
from perfrdiff.data.simulator.habits import NAMED_STYLES, ListenerHabits, draw_habits
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.data.simulator.tracking import STILL_CHANNELS

SECONDS = 30.0


@pytest.fixture(scope="module")
def speakers():
    return [simulate_speaker(np.random.default_rng(i), SECONDS) for i in range(12)]


def fast_pitch(clip):
    """Head pitch in degrees without its slow part, as (frames,)."""
    pitch = np.degrees(clip[:, CHANNEL["rotationX"]])
    return pitch - np.convolve(np.pad(pitch, 25, mode="edge"), np.ones(51) / 51, mode="valid")


@pytest.mark.slow
def test_a_speaker_is_complete_and_plausible(speakers):
    for speaker in speakers:
        assert speaker.coefficients.shape == (750, 58) and speaker.audio.shape == (750, 78)
        assert np.isfinite(speaker.coefficients).all() and np.isfinite(speaker.audio).all()
        assert speaker.coefficients[:, EXPRESSION].min() >= 0 and speaker.coefficients[:, EXPRESSION].max() <= 1
        assert abs(np.median(speaker.coefficients[:, CHANNEL["rotationX"]]) - np.pi) < 0.5
        phrases = [e for e in speaker.events if e.kind == "phrase_end"]
        assert 4 <= len(phrases) <= 20


def test_the_mouth_moves_with_the_voice(speakers):
    """The second MFCC follows the spectrum's tilt; over clips, sound and jaw go together."""
    agreement = []
    for speaker in speakers:
        jaw = speaker.coefficients[:, CHANNEL["jawOpen"]]
        loud = speaker.audio[:, 2:26].std(axis=1)
        agreement.append(abs(np.corrcoef(jaw, loud)[0, 1]))
    assert np.mean(agreement) > 0.15


def test_nods_follow_phrase_ends(speakers):
    person = ListenerHabits(nod_rate=10, nod_follow=0.9)
    after, elsewhere = [], []
    for i, speaker in enumerate(speakers):
        speed = np.abs(np.diff(fast_pitch(simulate_listener(speaker, person, np.random.default_rng(i)))))
        near = np.zeros(len(speed), bool)
        for event in speaker.events:
            if event.kind == "phrase_end":
                near[int((event.time + 0.2) * FPS) : int((event.time + 1.4) * FPS)] = True
        after.append(speed[near].mean())
        elsewhere.append(speed[~near].mean())
    assert np.mean(after) > 1.5 * np.mean(elsewhere)


def test_a_redraw_is_another_reaction_of_the_same_person(speakers):
    person = draw_habits(np.random.default_rng(3))
    a, b = (simulate_listener(speakers[0], person, np.random.default_rng(seed)) for seed in (1, 2))
    again = simulate_listener(speakers[0], person, np.random.default_rng(1))
    assert np.array_equal(a, again)
    assert np.abs(a - b).mean() > 1e-3


def test_habits_show_in_the_behaviour(speakers):
    """Who nods more, nods more; who blinks more, blinks more; who smiles more, smiles more."""

    def over_clips(style, measure):
        clips = (simulate_listener(s, NAMED_STYLES[style], np.random.default_rng(9)) for s in speakers)
        return np.mean([measure(clip) for clip in clips])

    assert over_clips("Lively", lambda c: fast_pitch(c).std()) > 2 * over_clips("Calm", lambda c: fast_pitch(c).std())
    smile = CHANNEL["mouthSmileLeft"]
    assert over_clips("Warm", lambda c: c[:, smile].mean()) > 2 * over_clips("Doubtful", lambda c: c[:, smile].mean())
    blink = CHANNEL["eyeBlinkLeft"]
    assert over_clips("Lively", lambda c: (c[:, blink] > 0.3).mean()) > over_clips(
        "Calm", lambda c: (c[:, blink] > 0.3).mean()
    )


def test_blind_channels_stay_blind(speakers):
    clip = simulate_listener(speakers[0], draw_habits(np.random.default_rng(5)), np.random.default_rng(5))
    for name in STILL_CHANNELS:
        assert clip[:, CHANNEL[name]].max() < 0.05, name
