"""What somebody who runs the whole way would lose: a complete folder, honest papers, and nothing left on a failure."""

import csv
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from perfrdiff.coefficients import COEFFICIENT_NAMES
from perfrdiff.errors import InputError
from perfrdiff.pipeline import run as pipeline
from perfrdiff.pipeline.folder import OutputFolder
from perfrdiff.pipeline.request import ReactRequest
from renderer.errors import RenderError

pytestmark = pytest.mark.slow

FRAMES = 50  # of the 2-second speaker


@pytest.fixture(scope="module")
def run(tmp_path_factory, speaker, portrait, weights):
    """Two reactions, both views, and every report of the progress."""
    reports = []
    request = ReactRequest(
        speaker=speaker,
        listener=portrait,
        out=tmp_path_factory.mktemp("run") / "out",
        samples=2,
        seed=5,
        weights=weights,
    )
    return pipeline.react(request, lambda *report: reports.append(report)), reports


def coefficients(result):
    with np.load(result.coefficients) as file:
        return file["coefficients"]


def test_the_folder_holds_everything_that_was_promised(run):
    result, _ = run
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "coefficients.npz", "reaction_1.csv", "reaction_1_mesh.mp4", "reaction_1_photo.mp4", "reaction_2.csv",
        "reaction_2_mesh.mp4", "reaction_2_photo.mp4", "reactions.zip", "settings.json", "side_by_side.mp4",
    ]  # fmt: skip
    named = [result.side_by_side, result.coefficients, result.settings, result.archive]
    for reaction in result.reactions:
        named += [*reaction.videos.values(), reaction.csv]
    assert {path.name for path in named} == {path.name for path in result.folder.iterdir()}


def test_all_videos_are_as_long_as_the_speaker_and_carry_its_sound(run):
    result, _ = run
    for path in result.folder.glob("*.mp4"):
        with av.open(str(path)) as video:
            audio_stream = video.streams.audio[0]
            assert sum(1 for _ in video.decode(video=0)) == FRAMES
            assert float(audio_stream.duration * audio_stream.time_base) == pytest.approx(FRAMES / 25, abs=1e-3)
        with av.open(str(path)) as video:
            waveform = np.concatenate([frame.to_ndarray()[0] for frame in video.decode(audio=0)])
        assert np.abs(waveform).max() > 0.1, "the speaker is heard"


def test_the_reactions_move_and_differ(run):
    result, _ = run
    for view in ("mesh", "photo"):
        films = []
        for reaction in result.reactions:
            with av.open(str(reaction.videos[view])) as video:
                films.append(
                    np.stack([frame.to_ndarray(format="gray") for frame in video.decode(video=0)]).astype(float)
                )
        assert np.abs(films[0] - films[0][0]).mean((1, 2)).max() > 0.3, f"the {view} stands still"
        assert np.abs(films[0] - films[1]).max() > 20, f"both {view} videos are the same"


def test_the_videos_say_that_they_are_generated_and_from_what(run):
    result, _ = run
    with av.open(str(result.side_by_side)) as video:
        assert "AI-generated" in video.metadata["title"]
        source = json.loads(video.metadata["comment"])
    assert source["seed"] == 5 and source["source"].endswith("trainedAlgorithmicMedia")


def test_coefficients_can_be_read_by_name(run):
    result, _ = run
    rows = coefficients(result)
    assert rows.shape == (2, FRAMES, 58) and rows.dtype == np.float32 and np.isfinite(rows).all()
    with np.load(result.coefficients) as file:
        assert tuple(file["names"]) == COEFFICIENT_NAMES and file["fps"] == 25
    for reaction, expected in zip(result.reactions, rows, strict=True):
        with reaction.csv.open(newline="") as file:
            table = list(csv.DictReader(file))
        assert list(table[0]) == ["time_s", *COEFFICIENT_NAMES]
        assert [float(row["time_s"]) for row in table] == pytest.approx(np.arange(FRAMES) / 25)
        read = np.array([[float(row[name]) for name in COEFFICIENT_NAMES] for row in table])
        assert read == pytest.approx(expected, abs=1e-6)


def test_the_zip_is_the_folder(run):
    result, _ = run
    with zipfile.ZipFile(result.archive) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {path.name for path in result.folder.iterdir()} - {"reactions.zip"}
        for name in archive.namelist():
            assert archive.read(name) == (result.folder / name).read_bytes()


def test_the_settings_are_enough_to_do_it_again(run):
    result, _ = run
    settings = json.loads(result.settings.read_text())
    assert settings["settings"]["seed"] == 5 and settings["settings"]["samples"] == 2
    assert settings["settings"]["steps"] > 1 and settings["settings"]["guidance_scale"] >= 0
    assert len(settings["weights"]["sha256"]) == 64
    assert settings["libraries"]["torch"][0].isdigit() and settings["version"]
    assert (settings["speaker"], settings["listener"]) == ("video", "photo")
    assert settings["settings"]["animator"] == "warp", "what moved the photo, not what was asked for"


def test_progress_names_every_stage_and_never_goes_back(run):
    result, reports = run
    assert list(dict.fromkeys(stage for stage, _ in reports)) == list(pipeline.STAGES)
    assert set(result.stage_seconds) == set(pipeline.STAGES) and 0 < max(result.stage_seconds.values()) < result.seconds
    fractions = [fraction for _, fraction in reports]
    assert fractions == sorted(fractions) and fractions[0] == 0 and 0.9 < fractions[-1] <= 1
    assert sum(pipeline.STAGES.values()) == pytest.approx(1)


def test_same_seed_same_reaction_however_many_are_asked_for(run, tmp_path, speaker, portrait, weights):
    result, _ = run
    again = pipeline.react(
        ReactRequest(
            speaker=speaker,
            listener=portrait,
            out=tmp_path / "out",
            samples=3,
            seed=5,
            views=("mesh",),
            weights=weights,
        )
    )
    assert coefficients(again)[:2] == pytest.approx(coefficients(result), abs=2e-5)
    assert set(again.reactions[0].videos) == {"mesh"}


def test_a_listener_video_brings_its_own_style(tmp_path, speaker, listener_video, weights):
    request = ReactRequest(
        speaker=speaker, listener=listener_video, out=tmp_path / "out", samples=1, views=("photo",), weights=weights
    )
    result = pipeline.react(request)
    settings = json.loads(result.settings.read_text())
    assert (settings["listener"], settings["listening_style"]) == ("video", "the listener's own")


def test_a_speaker_without_sound_works_and_says_so(tmp_path, soundless_speaker, portrait, weights):
    request = ReactRequest(
        speaker=soundless_speaker, listener=portrait, out=tmp_path / "out", samples=1, views=("mesh",), weights=weights
    )
    result = pipeline.react(request)
    assert any("no sound" in note for note in result.notes)
    with av.open(str(result.side_by_side)) as video:
        assert not video.streams.audio
    for path in (result.settings, result.reactions[0].videos["mesh"], result.side_by_side):
        assert b"Jane" not in path.read_bytes(), "a personal file name went into the results"


@pytest.mark.parametrize("stage", ["Drawing", "Packing"])
def test_nothing_is_left_when_a_run_breaks_off(stage, tmp_path, speaker, portrait, weights):
    """As when the visitor leaves, or the disk is full."""

    def stop(name, _):
        if name == stage:
            raise InterruptedError

    request = ReactRequest(
        speaker=speaker, listener=portrait, out=tmp_path / "out", samples=1, views=("mesh",), weights=weights
    )
    with pytest.raises(InterruptedError):
        pipeline.react(request, stop)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_without_a_face_is_refused_in_one_sentence(tmp_path, speaker, weights):
    from PIL import Image

    Image.new("RGB", (300, 300), (90, 120, 90)).save(tmp_path / "meadow.png")
    request = ReactRequest(speaker=speaker, listener=tmp_path / "meadow.png", out=tmp_path / "out", weights=weights)
    with pytest.raises(InputError, match=r"No face .*meadow\.png") as caught:
        pipeline.react(request)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_overwriting_is_asked_for_and_spares_other_files(tmp_path, speaker, portrait, weights):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("reaction_9_mesh.mp4", "thesis.txt"):
        (out / name).write_text("old")
    settings = dict(speaker=speaker, listener=portrait, out=out, samples=1, views=("mesh",), weights=weights)
    with pytest.raises(InputError, match="not empty"):
        pipeline.react(ReactRequest(**settings))
    pipeline.react(ReactRequest(**settings, overwrite=True))
    assert (out / "thesis.txt").read_text() == "old"
    assert not (out / "reaction_9_mesh.mp4").exists(), "a stale reaction would pass for a new one"
    assert (out / "reaction_1_mesh.mp4").exists()


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"samples": 0}, "samples must lie between 1 and 10; it is 0"),
        ({"samples": 11}, "samples must lie between 1 and 10"),
        ({"seed": -1}, "seed must lie"),
        ({"strength": 2.5}, "strength must lie between 0 and 2"),
        ({"strength": float("nan")}, "strength"),
        ({"guidance_scale": -1.0}, "guidance_scale"),
        ({"steps": 1}, "steps"),
        ({"size": 300}, "size must be 256, 512 or 224; it is 300"),
        ({"views": ()}, "views must name mesh or photo"),
        ({"views": ("hologram",)}, "hologram"),
        ({"max_seconds": 500.0}, "max_seconds must lie between 1 and 120; it is 500"),
        ({"samples": 2.5}, "samples must be a whole number; it is 2.5"),
        ({"samples": True}, "samples must be a number; it is True"),
        ({"seed": "one"}, "seed must be a number; it is one"),
        ({"label": "yes"}, "label must be true or false; it is yes"),
        ({"style": 3}, "style must be a text; it is 3"),
        ({"shift": ((Path("a"), 3.0),)}, "the share of a must lie between -2 and 2; it is 3"),
        ({"shift": (("a", 1, 2),)}, "shift takes files, each with one number at most, its share"),
        ({"compat": "exact"}, "compat must be 'corrected', 'published' or some of"),
    ],
)
def test_settings_out_of_range_are_refused_before_any_work(wrong, words):
    with pytest.raises(InputError, match=words):
        ReactRequest(speaker=Path("s"), listener=Path("l"), out=Path("o"), **wrong)


def test_numbers_as_a_page_or_a_shell_gives_them_are_taken():
    """What is typed into a form or at a shell is text, and a slider gives 3.0; all of them mean the same run."""
    typed = ReactRequest(
        speaker="s", listener="l", out="o", samples="3", seed=1.0, size="512", strength="0.5", views=["photo"]
    )
    same = ReactRequest(
        speaker=Path("s"), listener=Path("l"), out=Path("o"), seed=1, size=512, strength=0.5, views=("photo",)
    )
    assert typed == same and isinstance(typed.seed, int) and isinstance(typed.speaker, Path)


def test_a_folder_of_results_can_be_read_back(run, tmp_path):
    """A page that is reloaded, or an export of yesterday's run, starts from the folder alone."""
    result, _ = run
    again = OutputFolder(result.folder).read()
    assert replace(again, stage_seconds=result.stage_seconds, seconds=result.seconds) == result
    shutil.copytree(result.folder, tmp_path / "copy")
    (tmp_path / "copy" / "reaction_2.csv").unlink()
    with pytest.raises(InputError, match=r"not the whole folder of a run: reaction_2\.csv is missing"):
        OutputFolder(tmp_path / "copy").read()
    (tmp_path / "copy" / "settings.json").write_text("[]")
    with pytest.raises(InputError, match="is not the settings file of a run"):
        OutputFolder(tmp_path / "copy").read()
    with pytest.raises(InputError, match="holds no results of a run"):
        OutputFolder(tmp_path / "nowhere").read()


def test_an_unknown_style_names_those_that_exist(tmp_path, speaker, portrait, weights):
    request = ReactRequest(speaker=speaker, listener=portrait, out=tmp_path / "out", style="Grumpy", weights=weights)
    styles = pipeline.load_reactor(weights).styles
    with pytest.raises(InputError, match=f"Grumpy.*{styles[0]}"):
        pipeline.react(request)


def test_grey_transparent_and_named(speaker, portrait, weights, tmp_path):
    """The options of the pictures: a head that can be laid over anything, REACT's look, and whose captions they are."""
    request = ReactRequest(
        speaker=speaker, listener=portrait, out=tmp_path / "out", samples=1, views=("mesh",), weights=weights, size=224,
        mesh_style="grey", transparent=True, name="Anna K.",
    )  # fmt: skip
    result = pipeline.react(request)
    transparent = result.reactions[0].transparent
    assert transparent.name == "reaction_1_mesh_transparent.webm"
    with av.open(str(transparent)) as video:
        stream, decoder = video.streams.video[0], av.CodecContext.create("libvpx-vp9", "r")
        assert stream.metadata["alpha_mode"] == "1" and (stream.width, stream.height) == (224, 224)
        frames = [frame for packet in video.demux(stream) for frame in decoder.decode(packet)]
    opacity = frames[-1].to_ndarray(format="rgba")[..., 3]
    assert len(frames) == FRAMES and opacity[4, 4] == 0 and opacity[112, 112] == 255
    with av.open(str(result.reactions[0].videos["mesh"])) as video:
        picture = next(video.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.ptp(picture, axis=2).max() < 12 and picture[4, 4].max() < 12  # grey on black
    assert "Anna" not in result.settings.read_text()
    again = ReactRequest(**{**vars(request), "transparent": False, "overwrite": True, "mesh_style": "studio"})
    pipeline.react(again)
    assert not transparent.exists()


def test_an_unknown_mesh_identity_or_animator_is_refused_before_any_work(
    speaker, portrait, weights, tmp_path, monkeypatch
):
    monkeypatch.setattr(pipeline.InputMemory, "listener", None)  # would be called after the check
    settings = dict(speaker=speaker, listener=portrait, out=tmp_path / "out", weights=weights)
    with pytest.raises(RenderError, match="Nobody"):
        pipeline.react(ReactRequest(**settings, mesh_identity="Nobody"))
    with pytest.raises(RenderError, match="PIRender"):
        pipeline.react(ReactRequest(**settings, animator="pirender"))
