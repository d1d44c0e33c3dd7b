"""REACT 2024's layout: what is written is read again, roles swap, and a data set with faults is refused by name."""

import gc
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from scipy.io import wavfile

from perfrdiff.cli.main import main
from perfrdiff.data.react2024 import dataset as react
from perfrdiff.data.react2024 import neighbours
from perfrdiff.data.react2024 import writer as react_writer
from perfrdiff.data.react2024.dataset import open_split
from perfrdiff.data.react2024.writer import DatasetSize
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.features.hearing import hear

pytestmark = pytest.mark.slow

SIZE = DatasetSize(dyads=4, clips=2, listeners=2)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("react") / "set"
    assert react_writer.write_dataset(SIZE, out) == {"train": 4, "val": 4, "test": 4}
    return out


@pytest.fixture(scope="module")
def train(written):
    return open_split(written / "data", "train")


@pytest.fixture
def copy(written, tmp_path):
    """A copy that a test may break: the train split."""
    shutil.copytree(written, tmp_path / "set", ignore=shutil.ignore_patterns("val", "test"))
    return tmp_path / "set" / "data"


def test_clips_come_back_as_they_were_simulated(train):
    entry = train.entries[0]
    clip = train.clips[entry.listener]
    assert clip.coefficients.shape == (750, 58) and clip.attributes.shape == (750, 25) and clip.audio.shape == (750, 78)
    raw = clip.coefficients + train.mean
    assert np.abs(facial_attributes(raw) - clip.attributes).max() < 1e-4
    every = np.concatenate([clip.coefficients for clip in train.clips.values()])
    assert np.abs(every.mean(axis=0)).max() < 1e-3  # the mean face is this data's own
    talk, silence = (train.clips[path].audio for path in (entry.speaker, entry.listener))
    assert talk[:, 2].std() > 2 * silence[:, 2].std()  # noise has the same spectrum all the time


def test_sound_and_face_of_a_talk_belong_together(written):
    """The first session's .wav holds what its simulated speaker voiced, and the .npy how that one's face moved."""
    rng = np.random.default_rng([react_writer.SEED, SIZE.seed, 0, 0])
    speaker = simulate_speaker(rng, react_writer.SECONDS)
    clip = written / "data" / "train"
    rate, sound = wavfile.read(clip / "Audio_files/NoXI/001/Expert_video/1.wav")
    assert rate == 16000 and np.abs(sound / 32767 - speaker.waveform).max() < 1e-4
    face = np.load(clip / "3D_FV_files/NoXI/001/Expert_video/1.npy")
    assert np.array_equal(face[:, 0], speaker.coefficients)


def test_what_is_heard_is_worked_out_when_it_is_asked_for(train, written, monkeypatch):
    """From the clip's own sound, whatever its rate, and once."""
    entry = train.entries[0]
    clip = train.clips[entry.speaker]
    rate, sound = wavfile.read(written / f"data/train/Audio_files/{entry.speaker}.wav")
    assert np.array_equal(clip.hearing, hear((sound / 32768).astype(np.float32), 750))
    assert clip.hearing.shape == (750, 8) and clip.hearing is clip.hearing
    samples = np.repeat(sound / 32768, 3).astype(np.float32)
    monkeypatch.setattr(react, "read_wave", lambda path: (samples, 3 * rate))
    other_rate = replace(clip).hearing
    assert np.abs(other_rate - clip.hearing)[:, 1:3].mean() < 0.05


def test_roles_are_swapped(train):
    half = len(train) // 2
    assert len(train) == 8
    for i in range(half):
        assert train.entries[half + i] == react.Entry(train.entries[i].listener, train.entries[i].speaker)


def test_emotion_files_name_seats_otherwise():
    assert react.emotion_path("NoXI/065/Novice_video/3") == "NoXI/065/P2/3"
    assert react.emotion_path("RECOLA/group-1/P45/2") == "RECOLA/group-1/P1/2"
    assert react.emotion_path("RECOLA/group-1/P42/2") == "RECOLA/group-1/P2/2"
    assert react.person_id("RECOLA/group-1/P42/2") == "RECOLA/group-1/P42"


def test_listeners_of_the_same_talk_are_appropriate(train):
    """Sessions 1 and 2 hear the same two talks."""
    assert train.appropriate(0) == [0, 2] and train.appropriate(1) == [1, 3]
    assert train.entries[0].listener == "NoXI/001/Novice_video/1"
    assert train.entries[2].listener == "NoXI/002/Novice_video/1"
    assert train.personal_neighbours[0].nonzero()[0].tolist() == [0]


def test_targets_and_personal_clips(train):
    rng = np.random.default_rng(0)
    assert sorted(train.draw_targets(0, 2, rng)) == [0, 2]
    assert set(train.draw_targets(0, 30, rng)) == {0, 2}  # with repetition where there are too few
    for target in (0, 2):
        other = train.draw_style_entry(0, target, rng)
        assert other != target and train.listeners[other] == train.listeners[target]
    assert train.style_clip(3) == "NoXI/002/Novice_video/1"


def test_a_personal_clip_that_is_itself_appropriate_is_preferred(train):
    close = train.neighbours.copy()
    close[0, 1] = True  # entries 0 and 1 have the same listener
    data = replace(train, neighbours=close)
    assert {data.draw_style_entry(0, 0, np.random.default_rng(i)) for i in range(5)} == {1}


def test_crops(train):
    rng = np.random.default_rng(0)
    assert react.draw_crop_start(750, 750, rng) == 0
    starts = {react.draw_crop_start(750, 748, rng) for _ in range(60)}
    assert starts == {0, 1, 2}
    with pytest.raises(InputError, match="800"):
        react.draw_crop_start(750, 800, rng)


def test_missing_files_are_listed_all_at_once(copy):
    """Every one, in all splits that are needed, and the matrix too; a folder that is not there stands for its files."""
    for name in ("val.csv", "neighbour_emotion_val.npy"):
        (copy / name).unlink()
    with pytest.raises(InputError, match=r"lacks 2 of 28 files: neighbour_emotion_val\.npy; val\.csv;"):
        react.check_files_exist(copy, ("train", "val"))
    (copy / "val.csv").write_text("id,speaker,listener\n0,NoXI/001/Expert_video/1,NoXI/001/Novice_video/1\n")
    (copy / "train/Audio_files/NoXI/001/Expert_video/1.wav").unlink()
    (copy / "train/Emotion/NoXI/002/P2/2.csv").unlink()
    shutil.rmtree(copy / "train/3D_FV_files")
    (copy / "neighbour_emotion_train.npy").unlink()
    with pytest.raises(InputError) as error:
        react.check_files_exist(copy, ("train", "val"))
    error = str(error.value)
    assert "lacks 18 of 34 files: " in error  # 8 clips and 2, three files each, two indexes and matrices
    for name in (
        "train/Audio_files/NoXI/001/Expert_video/1.wav", "train/Emotion/NoXI/002/P2/2.csv",
        "train/3D_FV_files (all 8 files)", "val (all 6 files)", "neighbour_emotion_train.npy",
        "neighbour_emotion_val.npy", f"neighbours --data {copy} --split train",
    ):  # fmt: skip
        assert error.count(name) == 1
    with pytest.raises(InputError, match="lacks 11 of 26 files"):
        open_split(copy, "train")


def test_twenty_missing_files_are_twenty_names(tmp_path):
    """No file of a long list is left out."""
    rows = [f"{i},NoXI/{i:03}/Expert_video/1,NoXI/{i:03}/Novice_video/1" for i in range(20)]
    (tmp_path / "train.csv").write_text("\n".join(["id,speaker,listener", *rows]))
    for path in (
        path for i in range(20) for path in react._clip_files(tmp_path / "train", f"NoXI/{i:03}/Novice_video/1")
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(InputError) as error:
        react.check_files_exist(tmp_path, ("train",), matrices=False, only="Audio_files")
    error = str(error.value)
    assert all(f"train/Audio_files/NoXI/{i:03}/Expert_video/1.wav" in error for i in range(20))
    assert "lacks 20 of 41 files" in error and "Emotion" not in error


def test_broken_files_are_listed_all_at_once(copy):
    faces = copy / "train/3D_FV_files/NoXI/001/Expert_video"
    rows = np.load(faces / "1.npy")
    rows[37, 0, 5] = np.nan
    np.save(faces / "1.npy", rows)
    np.save(faces / "2.npy", rows[:, :, :50])
    (copy / "train/Emotion/NoXI/002/P2/1.csv").write_text("a,b\n1,x\n")
    with pytest.raises(InputError) as error:
        open_split(copy, "train")
    message = str(error.value)
    assert "first in frame 37" in message and "(751, 50)" in message and "P2/1.csv" in message
    assert "broken files (3)" in message and "\n" not in message


@pytest.mark.parametrize("kept", [0, 11, 100, 5000])
@pytest.mark.parametrize("kind", ["Audio_files", "3D_FV_files", "Emotion"])
def test_files_cut_short_are_named(copy, kind, kept):
    """As a copy that broke off leaves them."""
    path = next(
        path for path in sorted((copy / "train" / kind).rglob("*.*")) if "Novice" in str(path) or "P2" in str(path)
    )
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError) as error:
        open_split(copy, "train")
    assert str(path) in str(error.value) and "broken files (1)" in str(error.value)


def test_arrays_can_be_read_in_many_threads(tmp_path):
    """Before Python 3.11.8 a garbage collection while numpy parses a header lets in another thread, and both fail."""
    path, threshold = tmp_path / "1.npy", gc.get_threshold()
    np.save(path, np.ones((3, 58), np.float32))

    def let_others_in(*_):
        time.sleep(0)

    gc.callbacks.append(let_others_in)
    gc.set_threshold(1)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(rows.shape == (3, 58) for rows in pool.map(react.read_coefficients, [path] * 1000))
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(let_others_in)


def test_arrays_of_something_else_are_named(copy):
    faces = copy / "train/3D_FV_files/NoXI/001/Expert_video"
    np.save(faces / "1.npy", np.full((751, 58), "a"))
    with (faces / "2.npy").open("wb") as file:
        np.savez(file, rows=np.zeros((751, 58)))
    wave = copy / "train/Audio_files/NoXI/002/Expert_video/1.wav"
    wavfile.write(wave, 16000, np.full(16000 * 30, np.nan, np.float32))
    with pytest.raises(InputError) as error:
        open_split(copy, "train")
    assert str(error.value).count("no array of numbers") == 2 and f"{wave} holds a sample" in str(error.value)
    np.savez(copy / "neighbour_emotion_train.npz", np.eye(8))
    (copy / "neighbour_emotion_train.npz").replace(copy / "neighbour_emotion_train.npy")
    with pytest.raises(InputError, match=r"neighbour_emotion_train\.npy holds no array of numbers"):
        open_split(copy, "train")


def test_a_matrix_of_another_index_is_refused(copy):
    np.save(copy / "neighbour_emotion_train.npy", np.eye(4))
    with pytest.raises(InputError, match=r"shape \(4, 4\)"):
        open_split(copy, "train")
    (copy / "neighbour_emotion_train.npy").unlink()
    with pytest.raises(InputError, match="perfrdiff neighbours"):
        open_split(copy, "train")


@pytest.mark.parametrize("row", ["0,NoXI/001/Expert_video/1", "0,../../../etc/x,NoXI/001/Novice_video/1", "a"])
def test_a_broken_index_is_refused(copy, row):
    (copy / "train.csv").write_text(f"id,speaker,listener\n{row}\n")
    with pytest.raises(InputError, match="Row 2"):
        open_split(copy, "train")


def test_what_is_no_data_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_split(tmp_path / "nothing", "train")
    with pytest.raises(InputError, match=r"index .* is missing"):
        open_split(tmp_path, "train")


def test_the_personalised_evaluation_of_the_validation_split_has_no_index_of_its_own(written, tmp_path):
    """REACT 2024 publishes person_specific_test.csv and masked matrices for val and test."""
    shutil.copytree(
        written / "data", tmp_path / "data", ignore=shutil.ignore_patterns("train", "person_specific_*.csv")
    )
    split = open_split(tmp_path, "val", personal=True)
    assert len(split) == 8 and (split.neighbours == split.personal_neighbours).all()
    with pytest.raises(InputError, match=r"person_specific_test\.csv is missing"):
        open_split(tmp_path, "test", personal=True)


def test_neighbours_are_those_whose_speakers_behave_alike(copy):
    """Built without knowing which talks are the same, the matrices say so all the same."""
    known = np.load(copy / "neighbour_emotion_train.npy")
    arguments = ["neighbours", "--data", str(copy), "--split", "train", "--mean", "0.4"]
    assert main(arguments) == 2  # there are matrices already
    assert main([*arguments, "--overwrite"]) == 0
    built = np.load(copy / "neighbour_emotion_train.npy")
    assert np.array_equal(built[:4, :4], known[:4, :4])
    assert np.array_equal(built, built.T) and built.diagonal().all()
    personal = np.load(copy / "person_specific_masked_neighbour_emotion_train.npy")
    person = [entry.listener for entry in react.read_index(copy / "train.csv")]
    assert all(
        react.person_id(person[i]) == react.person_id(person[j]) for i, j in zip(*personal.nonzero(), strict=True)
    )


def test_neighbours_are_not_built_from_half_a_data_set(copy, capsys):
    arguments = ["neighbours", "--data", str(copy.parent), "--split", "train", "--overwrite"]
    assert main([*arguments, "--mean", "nan"]) == 2 and "--mean is nan" in capsys.readouterr().err
    tables = [copy / "train/Emotion/NoXI/001" / name for name in ("P1/1.csv", "P2/2.csv")]
    before = np.load(copy / "neighbour_emotion_train.npy")
    lines = tables[0].read_text().splitlines()
    tables[0].write_text("\n".join(lines[:500]))
    assert main(arguments) == 2 and "(499, 25)" in capsys.readouterr().err
    for table in tables:
        table.unlink()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert all(str(table.relative_to(copy)) in error for table in tables)
    assert np.array_equal(before, np.load(copy / "neighbour_emotion_train.npy"))


def test_neighbours_go_on_where_they_were_stopped(tmp_path, monkeypatch):
    """Rows that were compared are not compared again, and their cost is known before the work."""
    attributes = np.random.default_rng(0).random((70, 48, 25)).astype(np.float32)
    whole = neighbours.speaker_distances(attributes)
    assert np.array_equal(whole, whole.T)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        neighbours.speaker_distances(attributes, progress=stop, kept=tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()  # 64 rows
    counted = []
    distance = neighbours.metrics.warping_distance
    monkeypatch.setattr(neighbours.metrics, "warping_distance", lambda *pair: counted.append(1) or distance(*pair))
    assert np.array_equal(neighbours.speaker_distances(attributes, kept=tmp_path / "kept"), whole)
    assert len(counted) == sum(range(64, 70)) and kept.is_file()
    cost = neighbours.Cost(100_000, 1e-4, 2)
    assert cost.hours == pytest.approx(69.4, abs=0.1) and "4,999,950,000 pairs" in str(cost) and "180.0 GB" in str(cost)
    with pytest.raises(InputError, match="--most-hours"):
        neighbours.build_matrix(lambda path: attributes[int(path)], [str(i) for i in range(70)], most_hours=1e-12)


def test_as_many_neighbours_as_asked_for():
    distances = np.abs(np.subtract.outer(np.arange(10.0) ** 2, np.arange(10.0) ** 2))
    assert neighbours.neighbour_matrix(distances, 2.0).sum() - 10 == pytest.approx(20, abs=2)
    assert neighbours.neighbour_matrix(distances, 0.0).sum() == 10


def test_writing_refuses_before_it_begins(written, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="not an empty folder"):
        react_writer.write_dataset(SIZE, written)
    with pytest.raises(InputError, match="at least 2"):
        react_writer.write_dataset(DatasetSize(clips=1), tmp_path / "a")
    monkeypatch.setattr("perfrdiff.files.shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(InputError, match=r"are needed in .* are free"):
        react_writer.write_dataset(SIZE, tmp_path / "b")
    assert not (tmp_path / "b").exists()
