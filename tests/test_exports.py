"""Taking things away: from a folder at any time, or by the run itself; and a run made again from its settings."""

import json
import shutil
import zipfile
from dataclasses import replace

import av
import numpy as np
import pytest

import perfrdiff
from perfrdiff.cli.main import main
from perfrdiff.errors import InputError
from perfrdiff.exports import EXPORT_FILES, EXPORTS, IN_EVERY_FOLDER, MADE_WHEN_ASKED
from perfrdiff.personal.weight_shift import WeightShift
from perfrdiff.pipeline.again import settings_again
from perfrdiff.pipeline.folder import OutputFolder
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.run import load_reactor, react, react_in_numbers
from renderer.errors import RenderError
from renderer.face_model import load_face_model
from tests.support.made_up_identity import made_up_identity
from tests.support.movement import moving

FRAMES = 30


@pytest.fixture(scope="module")
def results(tmp_path_factory, weights):
    """A folder of results as `react` leaves it, of two reactions whose head was the listener's own."""
    folder = OutputFolder(tmp_path_factory.mktemp("results"))
    checkpoint, request = load_reactor(weights).checkpoint, ReactRequest(speaker="s.mp4", listener="l.jpg", out="out")
    settings = {
        "what": "AI-generated facial reaction", "version": perfrdiff.__version__, "settings": request.public(),
        "weights": {"name": checkpoint.name, "sha256": checkpoint.sha256}, "reactions": 2, "frames": FRAMES,
        "listening_style": next(iter(checkpoint.styles)), "habits": [], "notes": [],
    }  # fmt: skip
    folder.write_numbers(np.stack([moving(FRAMES), moving(FRAMES, seed=4)]), settings)
    return folder.path


@pytest.fixture(scope="module")
def saved_head(tmp_path_factory):
    path = tmp_path_factory.mktemp("head") / "me.identity.npz"
    made_up_identity(load_face_model(), texture_size=64).save(path)
    return path


def names(paths):
    return sorted(path.name for path in paths)


@pytest.mark.slow
def test_every_export_can_be_taken_from_a_folder(results, saved_head, tmp_path):
    files = perfrdiff.export(results, EXPORTS, tmp_path / "taken", identity=saved_head, frame=3)
    assert names(files) == names((tmp_path / "taken").iterdir()) == sorted(
        ["coefficients.npz", "settings.json", "style.safetensors"]
        + [f"reaction_{k}{end}" for k in (1, 2) for end in (".csv", "_live_link.csv", ".glb", "_frame_3.obj",
           "_frame_3.mtl", "_frame_3_face.png", "_frame_3_eyes.png", "_frame_3.ply", "_frame_3.glb",
           "_mesh_transparent.webm")]
    )  # fmt: skip
    for name in ("coefficients.npz", "settings.json", "reaction_2.csv"):
        assert (tmp_path / "taken" / name).read_bytes() == (results / name).read_bytes()
    with av.open(str(tmp_path / "taken" / "reaction_2_mesh_transparent.webm")) as video:
        assert video.streams.video[0].metadata["alpha_mode"] == "1"
        assert sum(1 for _ in video.decode(video=0)) == FRAMES


def test_without_a_frame_a_still_is_the_liveliest_of_its_reaction(results, tmp_path):
    files = perfrdiff.export(results, "ply", tmp_path, mesh_identity="Kofi")
    with np.load(results / "coefficients.npz") as archive:
        sums = archive["coefficients"][:, :, :52].sum(axis=2)
    assert names(files) == [f"reaction_{k + 1}_frame_{sums[k].argmax()}.ply" for k in range(2)]


def test_the_listeners_face_is_asked_for_and_never_guessed(results, tmp_path):
    """The folder holds no face; a made-up one in its place has to be wanted."""
    with pytest.raises(InputError, match=r"never holds the listener's face: .*save_identity.*Alex"):
        perfrdiff.export(results, ["live-link", "glb"], tmp_path / "taken")
    assert not (tmp_path / "taken").exists()
    (file,) = {path.suffix for path in perfrdiff.export(results, "glb", tmp_path / "taken", mesh_identity="Alex")}
    assert file == ".glb"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [({"to": "usd"}, InputError, "no export named 'usd'; choose of npz, csv"),
     ({"to": ()}, InputError, "No export was named"),
     ({"to": "ply", "mesh_identity": "Alex", "frame": FRAMES}, InputError, "between 0 and 29 here; it is 30"),
     ({"to": "glb", "mesh_identity": "Nobody"}, RenderError, "no listener named 'Nobody'"),
     ({"to": "glb", "mesh_identity": "Alex", "identity": "me.npz"}, InputError, "were both given"),
     ({"to": "glb", "identity": "lost.npz"}, RenderError, "no identity at lost.npz")],
)  # fmt: skip
def test_a_wrong_wish_is_one_sentence_and_leaves_nothing(results, tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        perfrdiff.export(results, out=tmp_path / "taken", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_sentence(results, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match="taken cannot be written"):
        perfrdiff.export(results, "live-link", tmp_path / "taken")


def test_a_named_style_is_made_again_and_loads(results, tmp_path, weights):
    (file,) = perfrdiff.export(results, "style", tmp_path)
    assert file.stat().st_size < 1e6
    reactor = load_reactor(weights)
    reactor.set_listener(WeightShift.load(file))
    assert reactor.listener == json.loads((results / "settings.json").read_text())["listening_style"]


@pytest.mark.parametrize("change", [{"listening_style": "the listener's own"}, {"weights": {"sha256": "0" * 64}}])
def test_a_style_that_was_not_kept_is_not_invented(results, tmp_path, change):
    """A video's style is in no folder, and the same name in other weights is another style."""
    copied = shutil.copytree(results, tmp_path / "copy")
    settings = json.loads((copied / "settings.json").read_text())
    for name, value in change.items():
        settings[name] = settings[name] | value if isinstance(value, dict) else value
    (copied / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"kept no style file.*exports=style"):
        perfrdiff.export(copied, "style", tmp_path / "taken")


def test_the_shell_writes_beside_the_results(results, saved_head, tmp_path, capsys):
    copied = shutil.copytree(results, tmp_path / "copy")
    before = set(names(copied.iterdir()))
    assert main(["export", str(copied), "--to", "glb", "live-link", "--identity", str(saved_head)]) == 0
    added = set(names(copied.iterdir())) - before
    assert added == {f"reaction_{k}{end}" for k in (1, 2) for end in (".glb", "_live_link.csv")}
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["export", str(copied), "--to", "glb"]) == 2
    assert "--identity FILE" in capsys.readouterr().err


def test_the_setting_takes_names_and_refuses_others():
    request = ReactRequest(speaker="s.mp4", listener="l.jpg", out="out", exports=["style", "glb", "glb"])
    assert request.exports == ("glb", "style") and request.public()["exports"] == ["glb", "style"]
    assert replace(request, exports="ply").exports == ("ply",)
    with pytest.raises(InputError, match="exports takes live-link, glb"):
        replace(request, exports=["csv"])  # every folder has it
    assert set(EXPORTS) == {*IN_EVERY_FOLDER, *MADE_WHEN_ASKED, "webm"} and EXPORT_FILES


@pytest.mark.slow
def test_a_run_writes_what_is_asked_for_and_can_be_made_again(tmp_path, soundless_speaker, portrait, weights):
    """From its settings.json, with nothing but the two files given again, every number is the same."""
    files = {"speaker": soundless_speaker, "listener": portrait}
    request = ReactRequest(
        **files, out=tmp_path / "first", samples=1, seed=11, strength=0.7, views="mesh", size=224, name="Jo",
        exports=("glb", "live-link", "style"), weights=weights,
    )  # fmt: skip
    result = react(request)
    assert names(result.exports) == ["reaction_1.glb", "reaction_1_live_link.csv", "style.safetensors"]
    with zipfile.ZipFile(result.archive) as archive:
        assert set(names(result.exports)) <= set(archive.namelist())
    assert b"person's face" in result.exports[0].read_bytes(), "the head is the listener's"

    arguments = ["--settings", result.settings, "--speaker", soundless_speaker, "--listener", portrait, "--no-label"]
    assert main(["react", *map(str, arguments), "--out", str(tmp_path / "second")]) == 0
    with np.load(result.coefficients) as first, np.load(tmp_path / "second" / "coefficients.npz") as second:
        np.testing.assert_allclose(second["coefficients"], first["coefficients"], atol=1e-6)
    earlier, later = (json.loads((tmp_path / run / "settings.json").read_text()) for run in ("first", "second"))
    assert earlier["settings"].pop("label") and not later["settings"].pop("label"), "what is given comes first"
    assert later == earlier


@pytest.mark.slow
def test_a_run_without_pictures_shows_its_listener_in_exports(tmp_path, soundless_speaker, portrait, weights):
    request = ReactRequest(speaker=soundless_speaker, listener=portrait, out=tmp_path / "out", samples=1,
                           exports="glb", save_identity=tmp_path / "me.npz", weights=weights)  # fmt: skip
    react_in_numbers(request)
    (later,) = perfrdiff.export(request.out, "glb", tmp_path / "later", identity=tmp_path / "me.npz")
    assert later.read_bytes() == (request.out / "reaction_1.glb").read_bytes()
    assert b"person's face" in later.read_bytes()


def test_settings_that_need_a_saved_style_say_so(results, tmp_path):
    settings = json.loads((results / "settings.json").read_text())
    settings["settings"]["shares_of_shifts"] = [1.0]
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"from 1 saved file\(s\): give them again, as shift"):
        settings_again(tmp_path / "settings.json", {})
    assert settings_again(tmp_path / "settings.json", {"shift": ("me.safetensors",)})["seed"] == 0
    for content in ("[]", "{", '{"settings": 3, "weights": {}}'):
        (tmp_path / "settings.json").write_text(content)
        with pytest.raises(InputError, match="not the settings file of a run"):
            settings_again(tmp_path / "settings.json", {})
