"""What the weights hear must be the same live and from a file, know nothing of the future, and follow the speaker."""

from pathlib import Path

import numpy as np
import pytest

from perfrdiff.coefficients import FPS, neutral
from perfrdiff.errors import InputError
from perfrdiff.features import hearing as hearing_module
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.features.clip import read_speaker
from perfrdiff.features.hearing import HEARING_NAMES, HEARING_WIDTH, LOOK_AHEAD, Hearing, hear
from perfrdiff.features.media.audio_track import RATE
from perfrdiff.features.media.input import open_input
from perfrdiff.features.speech_activity import WINDOW, Phrase, phrase_ends, phrases, speech_probability
from perfrdiff.features.tables import FeatureTable, read_table, write_table
from renderer.resources import asset

HOP = RATE // FPS
COLUMN = {name: index for index, name in enumerate(HEARING_NAMES)}


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """The example speaker, 8.4 s with pauses after 3.1, 5.2 and 7.6 s, and faint room noise under it."""
    with open_input(asset("examples/speaker.mp4")) as media:
        audio = media.audio()
    assert audio is not None
    return audio.samples + 1e-3 * np.random.default_rng(0).normal(size=len(audio.samples)).astype(np.float32)


@pytest.fixture(scope="module")
def rows(voice) -> np.ndarray:
    return hear(voice)


@pytest.mark.parametrize("piece", [97, 511, HOP, 1001, 20_000])
def test_pieces_of_any_size_give_the_same_rows(voice, piece):
    voice = voice[: 3 * RATE + 123]
    hearing = Hearing()
    pieces = [hearing.push(voice[start : start + piece]) for start in range(0, len(voice), piece)]
    np.testing.assert_allclose(np.concatenate([*pieces, hearing.finish()]), hear(voice), atol=1e-5)


def test_a_clip_longer_than_what_is_heard_at_once_is_heard_without_a_seam(voice, rows, monkeypatch):
    monkeypatch.setattr(hearing_module, "BLOCK", 37 * HOP)
    np.testing.assert_allclose(hear(voice), rows, atol=1e-5)


def test_rows_come_as_soon_as_the_look_ahead_allows(voice):
    hearing = Hearing()
    given = [len(hearing.push(voice[frame * HOP : (frame + 1) * HOP])) for frame in range(20)]
    wait = round(LOOK_AHEAD * FPS)
    assert given == [0] * wait + [1] * (20 - wait)


@pytest.mark.parametrize("frame", [40, 77, 150])
def test_sound_later_than_the_look_ahead_changes_nothing(voice, rows, frame):
    known = (frame + 1) * HOP + round(LOOK_AHEAD * RATE)
    other = voice.copy()
    other[known:] = 0.3 * np.random.default_rng(1).normal(size=len(voice) - known)
    changed = hear(other)
    np.testing.assert_allclose(changed[: frame + 1], rows[: frame + 1], atol=1e-5)
    assert np.abs(changed[frame + 1 :] - rows[frame + 1 :]).max() > 0.1


def test_a_softer_recording_is_heard_alike_once_the_speaker_is_known(voice, rows):
    apart = np.abs(hear(0.1 * voice) - rows)[3 * FPS :]
    assert apart[:, COLUMN["above_floor"]].max() < 0.27  # the softer room, at -80 dB, lies 5 below the quietest floor
    apart[:, COLUMN["above_floor"]] = 0
    assert apart.mean(axis=0).max() < 0.15
    assert np.median(apart, axis=0).max() < 0.1


def test_numbers_are_what_their_names_say(rows):
    speech = rows[:, COLUMN["speech"]] > 0.5
    voiced = rows[:, COLUMN["voicing"]] > 0.6
    assert 0.6 < speech.mean() < 0.9
    assert rows[speech, COLUMN["since_end"]].max() == 0
    assert rows[speech & voiced, COLUMN["loudness"]].mean() > 0.3
    assert rows[~speech, COLUMN["loudness"]].mean() < -2
    assert rows[speech, COLUMN["above_floor"]].mean() > rows[~speech, COLUMN["above_floor"]].mean() + 1
    assert abs(np.median(rows[voiced & speech, COLUMN["pitch"]][FPS:])) < 0.15  # octaves about the speaker's own
    pause = slice(round(7.8 * FPS), round(8.3 * FPS))
    assert (np.diff(rows[pause][:, [COLUMN["since_start"], COLUMN["since_end"]]], axis=0) > 0).all()
    assert np.abs(rows[pause][5:, COLUMN["pitch"]]).max() < 0.05


def test_a_glide_of_an_octave_is_heard_as_one():
    """A saw-tooth voice from 110 to 220 Hz in 2 s: half an octave a second, a tenth in 0.2 s."""
    time = np.arange(2 * RATE) / RATE
    octaves = time / 2
    phase = np.cumsum(110 * 2**octaves) / RATE
    rows = hear((0.2 * (2 * (phase % 1) - 1)).astype(np.float32))
    middle = slice(FPS // 2, 3 * FPS // 2)
    assert rows[middle, COLUMN["voicing"]].min() > 0.8
    np.testing.assert_allclose(rows[middle, COLUMN["pitch_movement"]], 4 * 0.1, atol=0.06)


def test_silence_is_the_same_all_the_time():
    rows = hear(np.zeros(4 * RATE, np.float32))
    assert rows.shape == (4 * FPS, HEARING_WIDTH) and np.isfinite(rows).all()
    assert np.ptp(rows, axis=0).max() < 0.05
    assert rows[:, COLUMN["speech"]].max() < 0.1
    np.testing.assert_allclose(rows[-1, -2:], [np.log1p(6 / 0.5), np.log1p(4 / 0.1)], atol=1e-5)
    assert np.isfinite(hear(np.where(np.arange(RATE) % 200 < 100, 1e30, -1e30))).all()
    assert len(phrases(np.zeros(RATE))) == len(phrase_ends(np.zeros(RATE))) == 0


@pytest.mark.parametrize("samples", [0, 1, HOP, RATE // 10])
def test_the_shortest_clips_have_rows(voice, samples):
    assert hear(voice[:samples]).shape == (-(-samples // HOP), HEARING_WIDTH)
    three = hear(voice[:samples], 3)
    assert three.shape == (3, HEARING_WIDTH) and np.isfinite(three).all()
    assert hear(voice[: RATE + samples], 1).shape == (1, HEARING_WIDTH)
    assert len(speech_probability(voice[:samples])) == -(-samples // WINDOW)


def test_what_is_no_mono_sound_is_refused():
    for wrong, sentence in ((np.zeros((2, 100)), "average the channels"), (np.array([0.0, np.nan]), "not finite")):
        for function in (hear, speech_probability, phrases, phrase_ends):
            with pytest.raises(InputError, match=sentence):
                function(wrong)


def talk_with_pauses(voice: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Stretches of the voice with room noise between them, and the seconds at which they end."""
    stretch = voice[RATE : round(2.8 * RATE)]
    noise = np.random.default_rng(2).normal(size=2 * RATE).astype(np.float32) * 1e-3
    pieces, ends = [noise[:RATE]], []
    for pause in (0.5, 0.3, 1.2, 0.4):
        pieces.append(stretch)
        ends.append(sum(map(len, pieces)) / RATE)
        pieces.append(noise[: round(pause * RATE)])
    return np.concatenate(pieces), ends


def test_pauses_are_found_where_they_are(voice):
    talk, ends = talk_with_pauses(voice)
    np.testing.assert_allclose(phrase_ends(talk), ends, atol=0.13)
    assert all(0.5 < phrase.end - phrase.start < 2.1 for phrase in phrases(talk))
    rows = hear(talk)
    begins = np.flatnonzero(np.diff(rows[:, COLUMN["since_start"]]) < 0)
    assert len(begins) == 4
    # Where the file ends with the voice, there is no pause to be heard.
    cut = talk[: round(ends[0] * RATE)]
    assert len(phrase_ends(cut)) == 0
    assert phrases(cut) == [Phrase(phrases(talk)[0].start, len(cut) / RATE)]


def table_of(frames: int, audio: np.ndarray, hearing: np.ndarray | None) -> FeatureTable:
    coefficients = np.tile(neutral(), (frames, 1)).astype(np.float32)
    attributes, quality = facial_attributes(coefficients), np.zeros(frames, np.uint8)
    return FeatureTable(coefficients, attributes, audio, quality, hearing=hearing)


@pytest.mark.parametrize("ending", [".npz", ".csv"])
def test_a_features_file_keeps_what_is_heard(rows, tmp_path, ending):
    audio = np.random.default_rng(0).normal(size=(len(rows), 78)).astype(np.float32)
    path = tmp_path / f"new{ending}"
    write_table(path, table_of(len(rows), audio, rows))
    speaker = read_speaker(path)
    np.testing.assert_allclose(speaker.hearing, rows, rtol=1e-4, atol=1e-5)
    assert speaker.notes == [] and speaker.face_seen.all()

    waiting = tmp_path / f"waiting{ending}"
    write_table(waiting, table_of(len(rows), audio, hear(np.zeros(0), len(rows))))
    assert [note for note in read_speaker(waiting).notes if "No speech is heard in" in note]

    old = tmp_path / f"old{ending}"
    write_table(old, table_of(len(rows), audio, None))
    speaker = read_speaker(old)
    assert speaker.hearing is None
    assert [note for note in speaker.notes if "perfrdiff features VIDEO" in note]

    silent = tmp_path / f"silent{ending}"
    write_table(silent, table_of(len(rows), np.zeros_like(audio), None))
    np.testing.assert_array_equal(read_speaker(silent).hearing, hear(np.zeros(0), len(rows)))


def test_hearing_of_another_shape_or_order_is_refused(rows, tmp_path):
    audio = np.random.default_rng(0).normal(size=(len(rows), 78)).astype(np.float32)
    path = tmp_path / "clip.npz"
    write_table(path, table_of(len(rows), audio, rows[1:]))
    with pytest.raises(InputError, match=r"hearing of .* has shape"):
        read_table(path)
    write_table(path, table_of(len(rows), audio, rows))
    with np.load(path) as archive:
        arrays = dict(archive) | {"hearing_names": np.array(HEARING_NAMES[::-1])}
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="named or ordered otherwise"):
        read_table(path)


@pytest.mark.slow
def test_the_speaker_of_a_video_is_heard():
    path = Path(asset("examples/speaker.mp4"))
    speaker = read_speaker(path)
    with open_input(path) as media:
        samples = media.audio().samples
    np.testing.assert_array_equal(speaker.hearing, hear(samples, len(speaker.coefficients)))
    assert speaker.face_seen.dtype == bool and speaker.face_seen.shape == (len(speaker.coefficients),)
    assert not [note for note in speaker.notes if "No speech" in note]
