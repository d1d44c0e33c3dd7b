"""A comparison is worth something only if nothing but the listener differs, and every cell is what it says it is."""

import json

import numpy as np
import pytest

from perfrdiff.cli.main import main
from perfrdiff.errors import InputError
from perfrdiff.features.clip import read_speaker
from perfrdiff.personal.weight_shift import WeightShift, mix
from perfrdiff.pipeline import run as pipeline
from perfrdiff.pipeline.again import settings_again
from perfrdiff.pipeline.comparison import SHARES
from perfrdiff.pipeline.folder import OutputFolder
from perfrdiff.pipeline.input_memory import InputMemory
from perfrdiff.pipeline.request import ReactRequest
from tests.support.clips import EXAMPLES, cut

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def omar(tmp_path_factory):
    """Three seconds of the example listener."""
    return cut(EXAMPLES / "listener.mp4", tmp_path_factory.mktemp("listener") / "Omar Doe, private.mp4", 3.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory, speaker, portrait, weights):
    """A function that makes a run in numbers: its coefficients (K, T, 58) and settings. Nobody is tracked twice."""
    memory, folder = InputMemory(), tmp_path_factory.mktemp("runs")

    def make(**settings):
        out = folder / str(len(list(folder.iterdir())))
        given = {"speaker": speaker, "listener": portrait, "weights": weights, "seed": 3, "samples": 1} | settings
        written = pipeline.react_in_numbers(ReactRequest(out=out, **given), memory)
        with np.load(out / "coefficients.npz") as file:
            return file["coefficients"], written

    return make


def test_this_listener_another_generic_and_mime_at_one_seed(made, speaker, omar):
    cells, settings = made(compare="listeners", style="Warm", other_listener=omar, other_name="Omar")
    titles, words = zip(*settings["cells"], strict=True)
    assert titles == ("This listener", "Omar", "Generic", "Mime")
    assert words[:2] == ("Warm, strength 1", "own style, strength 1") and "no network" in words[3]
    this, another, generic, mime = cells
    assert np.array_equal(this, made(style="Warm")[0][0]), "the cell is the reaction that an ordinary run makes"
    assert np.array_equal(another, made(listener=omar)[0][0])
    assert np.array_equal(generic, made(style="Generic")[0][0])
    expected = read_speaker(speaker).coefficients
    assert np.array_equal(mime[:, 52:], expected[:, 52:]) and np.allclose(mime, expected, atol=1e-6)
    assert settings["reactions"] == 4 and settings["listening_style"] == "Warm"


def test_without_another_listener_that_cell_is_left_out(made):
    _, settings = made(compare="listeners", name="Jo", strength=0.5)
    assert [cell[0] for cell in settings["cells"]] == ["Jo", "Generic", "Mime"]
    assert settings["cells"][0][1].endswith("strength 0.5")


def test_strengths_go_from_generic_over_the_listener_to_twice_as_much(made):
    cells, settings = made(compare="strengths", style="Lively", strength=0.5)
    assert [cell[0] for cell in settings["cells"]] == ["Strength 0", "Strength 1", "Strength 2"]
    assert np.array_equal(cells[0], made(style="Generic")[0][0])
    assert np.array_equal(cells[1], made(style="Lively")[0][0])
    assert np.array_equal(cells[2], made(style="Lively", strength=2.0)[0][0])


def test_mixtures_go_from_this_listener_to_the_other(made):
    cells, settings = made(compare="mixtures", style="Calm", other_style="Lively", other_name="Yuna")
    assert [cell[0] for cell in settings["cells"]] == ["This listener", "25%", "50%", "75%", "Yuna"]
    assert np.array_equal(cells[0], made(style="Calm")[0][0])
    assert np.array_equal(cells[-1], made(style="Lively")[0][0])
    assert np.array_equal(cells[2], made(style="Calm", other_style="Lively", other_share=SHARES[2])[0][0])
    away = [np.abs(cell - cells[0]).mean() for cell in cells]
    assert away == sorted(away), "each step is farther away from this listener"


def test_a_mixture_is_the_librarys_own_and_can_be_kept(made, tmp_path, weights):
    reactor = pipeline.load_reactor(weights)
    shifts = []
    for style in ("Calm", "Warm"):
        reactor.set_listener(style)
        shifts.append(reactor.shift)
    _, settings = made(style="Calm", other_style="Warm", other_share=0.3, save_shift=tmp_path / "mixed.safetensors")
    assert settings["listening_style"] == "Calm and 30% of Warm"
    kept, expected = WeightShift.load(tmp_path / "mixed.safetensors"), mix(*shifts, 0.3)
    edits = [shift.edits(reactor.checkpoint.denoiser) for shift in (kept, expected)]
    assert all(np.array_equal(edits[0][name].dense, edits[1][name].dense) for name in edits[0])
    again, _ = made(style="Calm", other_listener=tmp_path / "mixed.safetensors", other_share=1.0)
    np.testing.assert_allclose(again, made(style="Calm", other_style="Warm", other_share=0.3)[0], atol=1e-6)


def test_wrong_uses_are_refused_in_one_sentence(made, portrait, omar, tmp_path):
    for settings, words in (
        ({"compare": "mixtures"}, "needs a second one"),
        ({"other_listener": omar, "other_style": "Warm"}, "both given"),
        ({"other_listener": portrait}, "portrait.jpg” is a photo, which shows no way of listening"),
        ({"other_style": "Merry"}, "There is no listening style 'Merry'"),
        ({"other_style": "Warm", "other_share": 1.5}, "other_share must lie between 0 and 1"),
        ({"compare": "everything"}, "compare must be listeners, strengths or mixtures; it is everything"),
    ):
        with pytest.raises(InputError, match=words):
            made(**settings)
    _, settings = made(other_listener=omar)
    assert "Omar Doe" not in json.dumps(settings), "a personal file name went into the results"
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings))
    with pytest.raises(InputError, match="had a second listener"):
        settings_again(path, {})
    assert settings_again(path, {"other_listener": omar})["other_share"] == 0.5


def test_the_shell_compares_and_the_film_names_each_cell(speaker, portrait, tmp_path, capsys, weights):
    words = ["react", "--speaker", speaker, "--listener", portrait, "--style", "Warm", "--other-style", "Calm"]
    words += ["--compare", "strengths", "--views", "mesh", "--weights", weights, "--out", tmp_path / "out"]
    assert main([*map(str, words)]) == 0
    said = capsys.readouterr().out
    assert "Reaction 1: Strength 0, as anybody would" in said
    assert "Reaction 3: Strength 2, Warm and 50% of Calm, exaggerated" in said
    result = OutputFolder(tmp_path / "out").read()
    assert [title for title, _ in result.cells] == ["Strength 0", "Strength 1", "Strength 2"]
    assert len(result.reactions) == 3 and all(reaction.videos["mesh"].is_file() for reaction in result.reactions)
