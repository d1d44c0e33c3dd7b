"""Timing on voices: what answers a voice is told from what does not, and folders of any kind are read or refused."""

import json
import wave

import numpy as np
import pytest

from perfrdiff.cli.main import main
from perfrdiff.coefficients import CHANNEL
from perfrdiff.data.simulator.motion import Motion
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.evaluation import intervals, timing, voices
from perfrdiff.evaluation.pause_rule import rule_nods
from perfrdiff.evaluation.timing import Nodding
from perfrdiff.evaluation.timing_rows import Mark, answer_rows
from perfrdiff.evaluation.voice_heads import voice_head
from perfrdiff.features.speech_activity import Phrase

RATE = 16_000
FRAMES = 750


def write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def nodding_at(times, size=6.0):
    motion = Motion(FRAMES)
    for time in times:
        motion.nod(time, size, 2.2, 1.5)
    return Nodding.of(motion.coefficients()[None])


def test_clear_nods_near_the_ends_of_phrases_are_told_from_the_others():
    found = timing.tally(nodding_at([5.2, 12.0, 20.5]), np.array([5.0, 20.0]))
    clear, nods, small = found
    assert clear[:, 0].tolist() == [2, 1] and clear[:, 1] * 60 == pytest.approx([2.8, 26.2], abs=0.1)
    assert np.array_equal(clear, nods) and small[:, 0].tolist() == [4, 2]  # each nod has two sinkings of the chin
    clear, nods, small = timing.tally(nodding_at([5.2, 12.0, 20.5], size=2.6), np.array([5.0, 20.0]))
    assert clear[:, 0].sum() == 0 and nods[:, 0].tolist() == [2, 1]
    assert nodding_at([5.2, 12.0, 29.2]).per_minute()[0] == pytest.approx(2 / 29 * 60)  # the last is cut off
    cut = timing.tally(nodding_at([5.2, 12.0, 20.5]), np.array([5.0, 20.0]), frames=300)
    assert cut[0, :, 0].tolist() == [1, 0] and cut[0, :, 1].sum() * 60 == pytest.approx(12.0)


def test_reactions_that_answer_are_told_from_reactions_that_do_not(monkeypatch):
    """The mark must not be met by somebody who nods often, nor by nods at the same place of every clip."""
    monkeypatch.setattr(intervals, "RESAMPLES", 100)
    rng = np.random.default_rng(0)
    ends = [np.sort(rng.uniform(2, 28, 6)) for _ in range(12)]
    marks = {"clear nods": Mark(1.8, low_above=1.4, control=True)}

    def clear_row(times):
        return answer_rows("voices", "x", "phrase ends", ends, [[nodding_at(t) for t in times]], marks)[0]

    answering = clear_row([[0.3, *(e + 0.4)] for e in ends])  # and one more nod, at the beginning
    assert answering.met and answering.estimate.value > 5
    assert answering.simulator.low < 1 < answering.simulator.high
    busy = clear_row([np.arange(1, 29, 1.5) for _ in ends])
    assert not busy.met and busy.estimate.value == pytest.approx(1.0, abs=0.3)
    to_others = clear_row([ends[(i + 1) % 12] + 0.4 for i in range(12)])
    assert not to_others.met and to_others.estimate.value < 1.8


def test_the_rule_nods_after_long_speech_with_a_moving_pitch():
    time = np.arange(9 * RATE) / RATE
    phrases = [Phrase(1.0, 3.0), Phrase(4.5, 5.0), Phrase(6.0, 8.0)]

    def talk(last_hertz):
        """A buzzing voice, at 120 Hz until the last 0.1 s of each phrase, where it goes to `last_hertz`."""
        sound = np.zeros(len(time))
        for phrase in phrases:
            inside = (time >= phrase.start) & (time < phrase.end)
            glide = np.clip((time[inside] - phrase.end + 0.15) / 0.15, 0, 1)
            phase = np.cumsum(120 + (last_hertz - 120) * glide) / RATE
            sound[inside] = 0.05 * sum(np.cos(2 * np.pi * k * phase) for k in range(1, 12))
        return sound.astype(np.float32)

    assert rule_nods(talk(220.0), phrases) == pytest.approx([3.4, 8.4])  # the short phrase is no speech to answer
    assert len(rule_nods(talk(122.0), phrases)) == 0


def test_turns_by_hand_end_where_all_talk_ends(tmp_path):
    (tmp_path / "talk.rttm").write_text(
        "SPEAKER talk 1 1.0 4.0 <NA> <NA> a <NA> <NA>\nSPEAKER talk 1 4.0 3.0 <NA> <NA> b <NA> <NA>\n"
        "SPEAKER talk 1 7.1 0.5 <NA> <NA> a <NA> <NA>\n\nSPEAKER talk 1 9.0 2.9 <NA> <NA> b <NA> <NA>\n"
    )
    turns = voices.read_turns(tmp_path / "talk.rttm")
    assert voices.ends_of_talk(turns, 12.0) == pytest.approx([7.6])  # a gap of .1 s and the end of the file are no ends
    (tmp_path / "bad.rttm").write_text("SPEAKER talk 1 one 2\n")
    with pytest.raises(InputError, match=r"bad\.rttm.*line 1"):
        voices.read_turns(tmp_path / "bad.rttm")


@pytest.fixture(scope="module")
def talk():
    """12 s of a made-up voice."""
    return simulate_speaker(np.random.default_rng(4), 12.0).waveform


def test_what_cannot_be_measured_is_named_and_left_out(talk, tmp_path, capsys):
    write_wav(tmp_path / "good.wav", talk)
    write_wav(tmp_path / "short.wav", talk[: 5 * RATE])
    write_wav(tmp_path / "silent.wav", 0 * talk)
    (tmp_path / "broken.mp3").write_bytes(b"no sound at all" * 50)
    found = voices.read_folder(tmp_path)
    assert [voice.name for voice in found] == ["good.wav"] and found[0].frames == 300
    assert len(found[0].ends) >= 1 and found[0].ends_by_hand is None
    out = capsys.readouterr().out
    assert all(f"{name} is left out" in out for name in ("short.wav", "silent.wav", "broken.mp3"))
    (tmp_path / "good.wav").unlink()
    with pytest.raises(InputError, match="6 s or more"):
        voices.read_folder(tmp_path)


def test_an_idle_head_says_nothing_and_the_envelope_opens_the_mouth(talk):
    jaw = CHANNEL["jawOpen"]
    faces = {head: voice_head(head, talk, RATE, 300, np.random.default_rng(1))[:, jaw] for head in ("idle", "envelope")}
    loudness = np.sqrt(np.square(talk.reshape(300, -1)).mean(axis=1))
    assert faces["idle"].std() < 0.03 and faces["envelope"].std() > 0.04
    assert np.corrcoef(faces["envelope"], loudness)[0, 1] > 0.5 > abs(np.corrcoef(faces["idle"], loudness)[0, 1])


@pytest.mark.slow
def test_the_command_measures_a_folder(weights, talk, tmp_path, capsys):
    folder = tmp_path / "voices"
    folder.mkdir()
    write_wav(folder / "one.wav", talk[: 7 * RATE])
    write_wav(folder / "two.wav", talk[4 * RATE :])
    (folder / "two.rttm").write_text("SPEAKER two 1 0.5 3.0 <NA> <NA> a <NA> <NA>\n")
    arguments = ["evaluate", "voices", "--weights", weights, "--voices", str(folder), "--samples", "2", "--steps", "2"]
    assert main([*arguments, "--style", "Lively", "--head", "envelope", "--out", str(tmp_path / "out")]) == 0
    rows = json.loads((tmp_path / "out" / "voices.json").read_text())
    titles = [row["what"] for row in rows]
    assert any("clear nods" in title and "phrase ends" in title for title in titles)
    assert any("by hand" in title for title in titles) and any("Truong" in title for title in titles)
    assert {row["section"] for row in rows} == {"voices", "amounts"}
    assert "### Real voices" in capsys.readouterr().out
    assert main([*arguments, "--style", "Nobody"]) != 0
    assert "no listening style 'Nobody'" in capsys.readouterr().err
