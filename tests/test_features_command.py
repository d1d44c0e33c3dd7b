"""The shell's way from a video to numbers and back: what is written there must be what the program reads."""

from pathlib import Path

import numpy as np
import pytest

from perfrdiff.cli.main import main
from perfrdiff.features.clip import read_speaker
from perfrdiff.features.media.images import read_image
from tests.support.clips import two_people

pytestmark = pytest.mark.slow

PORTRAIT = Path(__file__).resolve().parents[1] / "assets" / "examples" / "portrait.jpg"


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    return two_people(tmp_path_factory.mktemp("shell") / "pair.mp4", read_image(PORTRAIT), frames=52)


def test_features_are_written_in_every_form_and_taken_in_place_of_the_video(pair, tmp_path, capsys):
    archive = tmp_path / "clip.npz"
    assert main(["features", str(pair), "--face-number", "2", "--out", str(archive)]) == 0
    told = capsys.readouterr().out
    assert "number 2 is followed" in told
    assert "52 frames (100% seen" in told
    with np.load(archive) as columns:
        assert len(columns["coefficients"]) == 52
    # A features file is input, too: no video is tracked twice.
    assert main(["features", str(archive), "--out", str(tmp_path / "clip.csv")]) == 0
    first, second = read_speaker(archive), read_speaker(tmp_path / "clip.csv")
    np.testing.assert_allclose(first.coefficients, second.coefficients, atol=1e-5)
    np.testing.assert_allclose(first.audio, second.audio, rtol=1e-4, atol=1e-5)
    folder = tmp_path / "react"
    assert main(["features", str(archive), "--out", str(folder), "--layout", "react2024", "--match-react"]) == 0
    assert {path.suffix for path in folder.rglob("*.*")} >= {".npy", ".csv"}


def test_people_are_numbered_in_a_picture_and_habits_are_printed(pair, tmp_path, capsys):
    assert main(["people", str(pair), "--out", str(tmp_path / "people.png")]) == 0
    assert "2 people can be followed" in capsys.readouterr().out
    assert read_image(tmp_path / "people.png").shape == (320, 640, 3)
    assert main(["habits", str(pair)]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("Nods", "Smiles", "Blinks", "Looks away", "confidence 12%"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["features", "{pair}", "--out", "clip.txt"], "neither .npz nor .csv"),
        (["features", "{pair}", "--face-number", "3", "--out", "clip.npz"], "no person 3"),
        (["habits", str(PORTRAIT)], "is a photo; habits need a video"),
        (["people", "no such file.mp4", "--out", "people.png"], "no such file.mp4"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_code_2(pair, tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert main([one.format(pair=pair) for one in arguments]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing half-written is left"
