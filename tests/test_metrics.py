"""The challenge's metrics: quick ways give the numbers of plain ones, and the table of a data set is right."""

import json
import shutil

import numpy as np
import pytest
import torch

from benchmarks import metrics as benchmark
from perfrdiff.cli.main import main
from perfrdiff.data.react2024 import writer as react_writer
from perfrdiff.errors import InputError
from perfrdiff.evaluation import realism
from perfrdiff.metrics import challenge as metrics


@pytest.mark.slow
def test_pruned_and_shared_among_threads_the_numbers_are_those_of_the_plain_double_loop():
    rng = np.random.default_rng(3)
    walks = np.cumsum(rng.standard_normal((5, 4, 120, 25)) * 0.1, axis=2)
    prediction, truth, speaker = walks[:, :3], walks[:, 3], np.roll(walks[:, 3], 7, axis=1)
    truth[1, :, 4] = 0.25  # a column that never moves
    neighbour = rng.random((5, 5)) < 0.6
    np.fill_diagonal(neighbour, True)
    table = metrics.evaluate(prediction, truth, speaker, neighbour, threads=3)
    with np.errstate(invalid="ignore", divide="ignore"):
        plain = benchmark.plain(prediction, truth, speaker, neighbour)
    assert table.published.FRCorr == pytest.approx(plain["FRCorr"], rel=1e-9)
    assert table.published.FRDist == pytest.approx(plain["FRDist"], rel=1e-9)
    assert table.corrected.FRSyn == plain["FRSyn"]


def test_a_reaction_that_is_a_truth_has_no_distance():
    rng = np.random.default_rng(0)
    truth = rng.random((3, 80, 25))
    report = metrics.best_distance(truth[:, None], truth, np.ones((3, 3)))
    assert np.array_equal(report, np.zeros((3, 1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("set") / "set"
    react_writer.write_dataset(react_writer.DatasetSize(dyads=2, clips=2, listeners=1), out)
    return out / "data"


@pytest.mark.slow
def test_the_table_of_a_data_set(folder, weights, tmp_path, capsys):
    arguments = ["evaluate", "data", "--data", str(folder), "--split", "val", "--weights", weights, "--samples", "2"]
    assert main([*arguments, "--limit", "2", "--steps", "2", "--out", str(tmp_path)]) == 0
    output, progress = capsys.readouterr()
    assert "| ground truth |" in output
    assert "FRCorr and FRDist take the generic neighbours (neighbour_emotion_val.npy)" in output
    assert " 4/4 " in progress  # two, as this listener and as nobody
    report = json.loads((tmp_path / "metrics.json").read_text())
    lines = {line["method"]: line for line in report["lines"]}
    assert set(lines) == {
        "this listener", "generic", "ground truth", "random", "mime", "nearest neighbour", "mean sequence",
    }  # fmt: skip
    truth = lines["ground truth"]
    assert truth["sound"]["FRDist"] == 0 and truth["sound"]["FRCorr"] <= 1
    assert truth["published"]["FRCorr"] == pytest.approx(2 * truth["sound"]["FRCorr"])  # a sum over 2 samples
    assert lines["random"]["sound"]["FRVar"] == pytest.approx(1 / 12, rel=0.02)  # docs/method.md 11.4: .0833
    assert lines["random"]["sound"]["FRDiv"] == pytest.approx(1 / 6, rel=0.02)  # .1666
    assert lines["mime"]["sound"]["FRSyn"] == 0  # a copy of the speaker is in step with it
    assert lines["mime"]["published"]["FRDiv"] == 0
    assert (tmp_path / "metrics.png").stat().st_size > 1000
    assert report["matrix"] == "neighbour_emotion_val.npy"


@pytest.mark.slow
def test_the_table_names_person_specific_neighbours(folder, weights, capsys):
    arguments = ["evaluate", "data", "--data", str(folder), "--split", "val", "--weights", weights, "--personal"]
    assert main([*arguments, "--methods", "mime", "--limit", "1"]) == 0
    output = capsys.readouterr().out
    assert "the person-specific neighbours (person_specific_masked_neighbour_emotion_val.npy)" in output
    assert "Only the first 1 of 4 clips" in output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--limit", "0"], "0 clips asked for"),
        (["--samples", "0"], "0 samples asked for"),
        (["--methods", "mimic"], "no method mimic"),
        (["--methods", "mime", "--rendered", "a", "--real", "b", "--inception", "c"], "leaves out"),
        (["--rendered", "a", "--real", "b", "--inception", "none.pt"], "no feature network none.pt"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_the_first_reaction(folder, weights, capsys, options, words):
    assert main(["evaluate", "data", "--data", str(folder), "--split", "val", "--weights", weights, *options]) == 2
    output = capsys.readouterr()
    assert words in output.err and output.err.count("\n") == 1 and "clips:" not in output.err


def test_a_broken_training_split_is_refused_before_the_first_reaction(folder, weights, tmp_path, capsys):
    """The nearest neighbour and the mean sequence come from it."""
    shutil.copytree(folder, tmp_path / "data")
    table = next((tmp_path / "data" / "train" / "Emotion").rglob("*.csv"))
    table.write_text("\n".join(table.read_text().splitlines()[:300]))
    assert main(["evaluate", "data", "--data", str(tmp_path), "--split", "val", "--weights", weights]) == 2
    output = capsys.readouterr()
    assert f"{table} has shape (299, 25)" in output.err and "clips:" not in output.err


def test_frechet_distance_of_known_distributions():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4000, 3)), 2 * rng.standard_normal((4000, 3)) + 1
    assert realism.frechet(a, b) == pytest.approx(3 * 1 + 3 * (1 + 4 - 2 * 2), rel=0.1)
    assert realism.frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_frrea_takes_a_network_of_the_users(tmp_path, speaker):
    class Colours(torch.nn.Module):
        def forward(self, images):
            return torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1) / 255

    torch.jit.script(Colours()).save(str(tmp_path / "colours.pt"))
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(speaker.read_bytes())
    assert realism.realism(tmp_path / "colours.pt", videos, videos) == pytest.approx(0, abs=1e-6)
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="TorchScript"):
        realism.realism(tmp_path / "broken.pt", videos, videos)


def test_frrea_wants_all_it_needs(folder, capsys):
    assert main(["evaluate", "data", "--data", str(folder), "--rendered", "x"]) == 2
    assert "--inception" in capsys.readouterr().err
