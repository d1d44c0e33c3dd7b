"""Real people: what a listener of known behaviour does shows in the rows, and what nobody does is not found."""

from types import SimpleNamespace

import numpy as np
import pytest

from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES
from perfrdiff.coefficients import CHANNEL, EXPRESSION
from perfrdiff.data.simulator.motion import Motion
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.evaluation import intervals, real
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.features.clip import Speaker
from perfrdiff.features.media.audio_track import Audio
from perfrdiff.features.speech_activity import phrase_ends

LATENCY = 30  # frames after which the listener below smiles
SMILES = [CHANNEL["mouthSmileLeft"], CHANNEL["mouthSmileRight"]]


class Listener:
    """Nods after phrase ends and smiles back, on top of the movement of whoever is listening, which it copies."""

    styles = ("A", "B")

    def __init__(self, people, restless=False, backwards=False):
        self.speakers, self.restless, self.backwards = list(people.speakers.values()), restless, backwards

    def set_listener(self, listener):
        self.behaviour = None if listener is None or isinstance(listener, str) else listener

    def react(self, audio, coefficients, *, hearing, face_seen, samples, seed, steps, guidance):
        speaker = next(s for s in self.speakers if s.hearing is hearing)
        motion = Motion(len(coefficients))
        real_face = coefficients is speaker.coefficients
        if self.behaviour is None:
            for end in phrase_ends(speaker.waveform.samples):
                motion.nod(end + 0.3, 5.0, 2.2, 1.5)
            for time in np.arange(0.5, len(coefficients) / 25, 2 if real_face and self.restless else 8):
                motion.nod(time, 5.0, 2.2, 1.5)
        clip = motion.coefficients()
        if self.behaviour is not None:
            own = np.resize(self.behaviour, clip.shape)
            clip = 2 * clip - own if self.backwards else own.copy()
            clip[:, EXPRESSION] = clip[:, EXPRESSION].clip(0, 1)
        else:
            clip[LATENCY:, SMILES] += 0.8 * coefficients[:-LATENCY, SMILES]
        return SimpleNamespace(coefficients=np.stack([clip] * samples))


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(8)
    speakers = {}
    for number in range(4):
        talk = simulate_speaker(rng, 20.0)
        face = Motion(500)
        for start in rng.uniform(0, 18, 4):
            face.add("mouthSmile", 0.5 * face.envelope(start, 0.5, rng.uniform(0.5, 2), 0.6))
        clip = face.coefficients()
        speakers[f"{number}.mp4"] = Speaker(
            talk.audio, clip, facial_attributes(clip), Audio(talk.waveform), quality=np.zeros(500, np.uint8),
            hearing=talk.hearing,
        )  # fmt: skip
    busy = Motion(500)
    for start in np.arange(1, 18, 2.0):
        busy.nod(start, 7.0, 2.2, 2.0)
        busy.blink(start + 1, 0.7)
    busy.add("mouthSmile", np.full(500, 0.3, np.float32))
    busy.offsets[:, CHANNEL["rotationY"]] += 0.2
    listener = Speaker(speakers["0.mp4"].audio, busy.coefficients(), facial_attributes(busy.coefficients()), None)
    return real.RealPeople(speakers, {"busy.mp4": listener})


def measured(people, monkeypatch, **kind):
    monkeypatch.setattr(intervals, "RESAMPLES", 50)
    monkeypatch.setattr(real.Reactor, "load", lambda weights, device: Listener(people, **kind))
    return {row.title: row for row in real.measure("any", people, samples=2)}


def row(rows, part):
    return next(found for title, found in rows.items() if part in title)


@pytest.mark.slow
def test_a_listener_who_answers_meets_the_marks(people, monkeypatch):
    rows = measured(people, monkeypatch)
    nods = row(rows, "real face: clear nods")
    assert nods.met and nods.estimate.value > 3 and nods.simulator.value < nods.estimate.value / 2
    assert row(rows, "real face by idle head").estimate.value == pytest.approx(1.0) and row(rows, "by idle head").met
    smile = row(rows, "slow smile")
    assert smile.estimate.value > 0.9 and "lag 1.2 s" in smile.note and smile.simulator.value < 0.5
    for group, habits in real.HABIT_GROUPS.items():
        assert row(rows, f"{group}: share").estimate.value == pytest.approx(1.0, abs=0.1)
        assert set(habits) <= set(BEHAVIOUR_MEASURES)


@pytest.mark.slow
def test_a_listener_whom_faces_make_restless_or_who_goes_the_wrong_way_misses_them(people, monkeypatch):
    rows = measured(people, monkeypatch, restless=True, backwards=True)
    restless = row(rows, "real face by idle head")
    assert restless.estimate.value > 2 and not restless.met
    pose = row(rows, "rest yaw: share")
    assert pose.estimate.value < 0 and not pose.met and not row(rows, "pose: share").met


@pytest.mark.slow
def test_liveliness_is_that_of_the_listeners(people):
    of_listeners = real.liveliness_of(people)
    of_speakers = real.liveliness_of(real.RealPeople(people.speakers, {}))
    assert of_listeners[0, 2] > 10 * of_speakers[0, 2]  # the pitch at 1-3 Hz: only the listener nods


def test_a_folder_without_videos_is_refused(tmp_path):
    with pytest.raises(InputError, match="no videos"):
        real.read_people(tmp_path)
