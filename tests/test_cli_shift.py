"""A listener kept in a file: saved at the shell, taken up again, mixed, scaled, and every wrong use in one sentence."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from perfrdiff.cli.main import main
from perfrdiff.personal.weight_shift import WeightShift

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def places(tmp_path_factory, speaker, portrait, weights):
    """Two styles of the shipped weights, each kept in a file by its own run."""
    folder = tmp_path_factory.mktemp("shifts")
    base = ["react", "--speaker", speaker, "--listener", portrait, "--samples", 1, "--views", "mesh", "--no-label"]
    base += ["--weights", weights]
    from perfrdiff.pipeline.run import load_reactor

    names = load_reactor(weights).styles[:2]
    for name in names:
        run(base, folder / name, "--style", name, "--save-shift", folder / f"{name}.safetensors")
    return folder, base, names


def run(base, out, *more):
    assert main([*map(str, (*base, *more)), "--out", str(out)]) == 0
    with np.load(out / "coefficients.npz") as file:
        return file["coefficients"]


def coefficients(folder):
    with np.load(folder / "coefficients.npz") as file:
        return file["coefficients"]


def test_a_saved_listener_reacts_as_before(places, tmp_path):
    folder, base, (first, _) = places
    file = folder / f"{first}.safetensors"
    assert file.stat().st_size < 1e6 and not list(folder.glob("*.part"))
    again = run(base, tmp_path / "again", "--shift", file)
    np.testing.assert_allclose(again, coefficients(folder / first), atol=1e-6)
    settings = json.loads((tmp_path / "again" / "settings.json").read_text())
    assert settings["listening_style"] == f"saved: {first}" and settings["settings"]["shares_of_shifts"] == [1.0]
    assert str(file) not in json.dumps(settings), "a personal file name went into the results"


def test_mixing_and_keeping_the_mixture(places, tmp_path):
    """All of one and nothing of the other is the one; a mixture is neither, and can be kept in turn."""
    folder, base, (first, second) = places
    files = [folder / f"{name}.safetensors" for name in (first, second)]
    one = run(base, tmp_path / "one", "--shift", files[0], 1, "--shift", files[1], 0)
    np.testing.assert_allclose(one, coefficients(folder / first), atol=1e-4)
    mixture = tmp_path / "both.safetensors"
    both = run(base, tmp_path / "both", "--shift", files[0], 0.5, "--shift", files[1], 0.5, "--save-shift", mixture)
    for name in (first, second):
        assert np.abs(both - coefficients(folder / name)).max() > 1e-4
    assert WeightShift.load(mixture).listener == f"0.5 {first} + 0.5 {second}"


def other_weights(path, shift):
    WeightShift(shift.shifts, "theirs", "0" * 64, shift.listener).save(path)


def no_factors(path, shift):
    about = {"weight_shift": json.dumps({"format": "perfrdiff weight shift 2"})}
    save_file({"output.weight.left": torch.zeros(58, 8)}, path, metadata=about)


def not_finite(path, shift):
    name, edit = next(iter(shift.shifts.items()))
    type(shift)({name: type(edit)(left=edit.left * torch.nan, right=edit.right)}, "w", "s").save(path)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path, shift: path.write_bytes(b"junk"), "cannot be read as a listener's shift"),
        (lambda path, shift: None, "cannot be read as a listener's shift"),
        (lambda path, shift: save_file({"x": torch.zeros(1)}, path), "holds no listener's shift"),
        (other_weights, "made for the weights 'theirs', and fits no others"),
        (no_factors, "is damaged: its tensors are no weight shifts"),
        (not_finite, "not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(places, tmp_path, capsys, write, words):
    folder, base, (first, _) = places
    write(tmp_path / "wrong.safetensors", WeightShift.load(folder / f"{first}.safetensors"))
    refused(base, tmp_path, capsys, words, "--shift", tmp_path / "wrong.safetensors")


def test_wrong_uses_are_one_sentence(places, tmp_path, capsys, weights):
    folder, base, (first, _) = places
    file = folder / f"{first}.safetensors"
    for words, *more in (
        ("A style and a saved shift were both given", "--shift", file, "--style", first),
        ("the share of", "--shift", file, 3),
        ("the share of", "--shift", file, "nan"),
        ("shift takes files, each with one number at most, its share", "--shift", file, 1, file),
        ("must be a number; it is much", "--shift", file, "much"),
        ("exists already", "--save-shift", file),
        ("There is no folder", "--save-shift", tmp_path / "nowhere" / "x.safetensors"),
        ("The generic listener has no shift to save", "--style", "Generic", "--save-shift", tmp_path / "x.safetensors"),
        ("strength must lie between 0 and 2", "--shift", file, "--strength", 2.5),
        ("are not the paper's weights; they know no 'published' way", "--compat", "published"),
    ):
        refused(base, tmp_path, capsys, words, *more)
    assert list(tmp_path.iterdir()) == []


def refused(base, tmp_path, capsys, words, *more):
    assert main([*map(str, (*base, *more)), "--out", str(tmp_path / "out")]) == 2
    stderr = capsys.readouterr().err
    assert words in stderr and stderr.count("\n") == 1, stderr
    assert not (tmp_path / "out").exists()
