"""Features files must come back as they were written, and other programs' tables must mean what they mean there."""

import csv
import io

import numpy as np
import pytest

from perfrdiff.coefficients import CHANNEL, EXPRESSION_NAMES, ROTATION, TRANSLATION, neutral, react_mean
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.features.clip import read_listener, read_speaker
from perfrdiff.features.match_react import matched_to_react
from perfrdiff.features.media.input import open_input
from perfrdiff.features.tables import FeatureTable, read_table, write_react_layout, write_table


@pytest.fixture
def table() -> FeatureTable:
    rng = np.random.default_rng(0)
    rows = np.tile(neutral(), (80, 1))
    rows[:, :52] = rng.uniform(0, 1, (80, 52))
    quality = np.zeros(80, np.uint8)
    quality[3:6] = 2
    audio = rng.normal(size=(80, 78)).astype(np.float32)
    return FeatureTable(rows.astype(np.float32), facial_attributes(rows), audio, quality)


@pytest.mark.parametrize("ending", [".npz", ".csv"])
def test_what_is_written_is_read_back(table, tmp_path, ending):
    path = tmp_path / f"clip{ending}"
    write_table(path, table)
    with open_input(path) as media:
        assert media.kind == "table"
    back = read_table(path)
    for name in ("coefficients", "attributes", "audio"):
        np.testing.assert_allclose(getattr(back, name), getattr(table, name), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(back.quality, table.quality)
    speaker = read_speaker(path)
    assert speaker.waveform is None
    np.testing.assert_allclose(speaker.audio, table.audio, rtol=1e-4, atol=1e-5)
    listener = read_listener(path, include_speech=True)
    assert listener.photo is None
    assert listener.behaviour.shape == (80, 58)
    assert listener.habits.confidence < 0.5


def test_the_react_layout_has_the_loaders_shapes(table, tmp_path):
    face, emotion, voice = write_react_layout(tmp_path, "clip", table, None)
    assert np.load(face).shape == (80, 1, 58)
    lines = emotion.read_text().splitlines()
    assert len(lines) == 81
    assert len(lines[1].split(",")) == 25
    assert voice.stat().st_size == 44 + 2 * 640 * 80


def text(columns: dict[str, list]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue()


def live_link(frames: int = 180) -> dict[str, list]:
    columns: dict[str, list] = {
        "Timecode": [f"10:59:{k // 60:02d}:{k % 60:02d}.5" for k in range(frames)],
        "BlendshapeCount": [61] * frames,
    }
    for name in EXPRESSION_NAMES:
        columns[name[0].upper() + name[1:]] = [0.0] * frames
    columns["JawOpen"] = [0.8 if k >= 90 else 0.0 for k in range(frames)]
    columns |= {"HeadYaw": [0.2] * frames, "HeadPitch": [0.1] * frames, "HeadRoll": [0.0] * frames}
    return columns


def test_a_live_link_recording_at_60_becomes_25_a_second(tmp_path):
    (tmp_path / "take.csv").write_text(text(live_link()))
    back = read_table(tmp_path / "take.csv")
    assert len(back.coefficients) == 75, "3 s"
    jaw = back.coefficients[:, CHANNEL["jawOpen"]]
    np.testing.assert_allclose(jaw[:36], 0, atol=1e-6)
    np.testing.assert_allclose(jaw[39:], 0.8, atol=1e-6)
    np.testing.assert_allclose(back.coefficients[0, ROTATION], [np.pi - 0.1, 0.2, 0.0], atol=1e-5)
    assert not back.has_audio
    assert any("Live Link Face" in note for note in back.notes)


def test_a_clip_without_sound_has_none_when_it_is_read_back(tmp_path):
    (tmp_path / "take.csv").write_text(text(live_link()))
    for end in ("npz", "csv"):
        write_table(tmp_path / f"clip.{end}", read_table(tmp_path / "take.csv"))
        assert not read_table(tmp_path / f"clip.{end}").has_audio


def open_face(frames: int = 60, **changes) -> dict[str, list]:
    columns: dict[str, list] = {
        "frame": list(range(1, frames + 1)),
        " timestamp": [f"{k / 30:.3f}" for k in range(frames)],
        " confidence": [0.98] * frames,
        " success": [1] * frames,
        " gaze_angle_x": [0.0] * frames,
        " gaze_angle_y": [0.0] * frames,
        " pose_Tx": [0.0] * frames,
        " pose_Ty": [0.0] * frames,
        " pose_Tz": [600.0] * frames,
        " pose_Rx": [0.2] * frames,
        " pose_Ry": [0.0] * frames,
        " pose_Rz": [0.0] * frames,
        " AU12_r": [2.5] * frames,
        " AU45_r": [0.0] * frames,
    }
    return columns | {f" {name}": values for name, values in changes.items()}


def test_an_openface_table_is_read_with_its_own_units(tmp_path):
    (tmp_path / "face.csv").write_text(text(open_face(gaze_angle_x=[0.0] * 30 + [np.radians(35)] * 30)))
    rows = read_table(tmp_path / "face.csv").coefficients
    assert len(rows) == 50, "59/30 s"
    assert rows[:, CHANNEL["mouthSmileLeft"]] == pytest.approx(0.5), "2.5 of 5"
    np.testing.assert_allclose(rows[:, ROTATION], np.tile([np.pi + 0.2, 0, 0], (50, 1)), atol=1e-5)
    np.testing.assert_allclose(rows[:, TRANSLATION], np.tile(react_mean()[TRANSLATION], (50, 1)), atol=1e-5)
    assert rows[40, CHANNEL["eyeLookOutLeft"]] == pytest.approx(1.0), "to the right of the picture: the subject's left"
    assert rows[40, CHANNEL["eyeLookOutRight"]] == 0


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (open_face(success=[0] * 60), "saw the face in only 0%"),
        (open_face(AU12_r=["x"] * 60), "AU12_r .* not a number"),
        (open_face(pose_Rx=["nan"] * 60), "pose_Rx .* not finite"),
        (open_face(timestamp=[0.0] * 60), "do not run forward"),
        (live_link(20), "less than 1 s"),
        (live_link() | {"Timecode": ["soon"] * 180}, "is not HH:MM:SS:FF"),
        ({"time_s": [0.0, 0.04], "browDownLeft": [0, 0], "a": [1, 1], "b": [1, 1]}, "columns are missing"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(tmp_path, columns, sentence):
    path = tmp_path / "bad.csv"
    path.write_text(text(columns))
    with pytest.raises(InputError, match=sentence) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_bad_archives_are_refused(table, tmp_path):
    write_table(tmp_path / "whole.npz", table)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:900])
    np.savez(tmp_path / "other.npz", numbers=np.zeros(3))
    np.savez(tmp_path / "wide.npz", coefficients=np.zeros((50, 60)))
    np.savez(tmp_path / "infinite.npz", coefficients=np.full((50, 58), np.inf))
    np.savez(tmp_path / "pickle.npz", coefficients=np.array([{}], dtype=object))
    for name, sentence in (
        ("cut", "damaged"), ("other", "no array named coefficients"), ("wide", "shape"), ("infinite", "not finite"),
        ("pickle", "holds objects"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=sentence):
            read_table(tmp_path / f"{name}.npz")
    with pytest.raises(InputError, match=r"neither \.npz nor \.csv"):
        write_table(tmp_path / "clip.txt", table)


def test_matching_gives_the_data_s_means_and_spreads_within_limits(table):
    matched = matched_to_react(table.coefficients)
    mean = react_mean()
    smile, blind = CHANNEL["mouthSmileLeft"], CHANNEL["jawForward"]
    assert matched[:, smile].mean() == pytest.approx(mean[smile], abs=0.05)
    np.testing.assert_allclose(matched[:, blind], mean[blind])
    np.testing.assert_allclose(matched[:, ROTATION].mean(axis=0), mean[ROTATION], atol=1e-5)
    assert matched[:, :52].min() >= 0
