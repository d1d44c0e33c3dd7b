"""The package: what is installed works without the checkout, and every part of it looks for weights in one place."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import perfrdiff
from perfrdiff.cli import main as shell
from renderer.resources import asset, checkpoint_folder

ROOT = Path(__file__).resolve().parents[1]


def python(code: str, **variables: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_public_names_are_at_the_top():
    from perfrdiff import Reactor, ReactRequest, react, read_listener, read_speaker
    from perfrdiff.features import clip
    from perfrdiff.pipeline.run import react as full_name
    from perfrdiff.reactor import Reactor as FullName

    assert react is full_name and Reactor is FullName
    assert (read_speaker, read_listener) == (clip.read_speaker, clip.read_listener)
    assert ReactRequest(speaker=Path("a"), listener=Path("b"), out=Path("c")).samples == 3
    assert set(perfrdiff.__all__) <= set(dir(perfrdiff))
    with pytest.raises(AttributeError, match="reactor_of"):
        perfrdiff.reactor_of  # noqa: B018


def test_help_and_version_wait_for_no_torch():
    heavy = ("torch", "cv2", "mediapipe", "numpy", "gradio", "accelerate")
    code = "import sys, perfrdiff, perfrdiff.cli.main as m; dir(perfrdiff); m._parser().format_help(); "
    code += f"print([name for name in {heavy} if name in sys.modules])"
    assert python(code) == "[]"


@pytest.mark.slow
def test_one_folder_for_all_weights(tmp_path):
    """Imported PIRender weights used to land in the checkout while the page looked where the variable said."""
    code = """if True:
        from perfrdiff import checkpoints
        from perfrdiff.features import attribute_network
        from renderer.portrait import pirender_weights
        from renderer.resources import PIRENDER_FILES
        checkpoints.FOLDER.mkdir()
        (checkpoints.FOLDER / "affect.onnx").touch()
        (checkpoints.FOLDER / PIRENDER_FILES[0]).touch()
        print(checkpoints.FOLDER, attribute_network.default_network_path().parent, pirender_weights().parent)
        from renderer.portrait.pirender.__main__ import main
        main(["--help"])
    """
    folder = tmp_path / "weights"
    printed = python(code, PERFRDIFF_CHECKPOINTS=str(folder), COLUMNS="500")
    assert printed.splitlines()[0] == f"{folder} {folder} {folder}"
    assert f"in {folder}" in printed.split("--out", 1)[1]


def test_without_the_variable_the_weights_are_those_of_the_program(monkeypatch):
    monkeypatch.delenv("PERFRDIFF_CHECKPOINTS", raising=False)
    assert (checkpoint_folder() / "demo.safetensors").is_file()
    assert asset("examples/speaker.mp4").is_file()


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ModuleNotFoundError("No module named 'accelerate'", name="accelerate"), "pip install 'perfrdiff[train]'"),
        (
            ImportError("libGL.so.1: cannot open shared object file: No such file or directory", name="cv2"),
            "pip install --force-reinstall --no-deps opencv-python-headless==",
        ),
    ],
)
def test_what_is_not_installed_is_said_in_one_sentence(monkeypatch, capsys, error, advice):
    def fails(_options):
        raise error

    command = shell.Command("train", "", "", lambda _parser: None, fails)
    monkeypatch.setattr(shell, "COMMANDS", (command,))
    assert shell.main(["train"]) == 2
    assert advice in capsys.readouterr().err


def test_the_advice_names_the_pinned_headless_opencv():
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert shell.OPENCV in pins


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built here with the packages of this environment: nothing is fetched."""
    path = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*build, "--wheel-dir", str(path), str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = path.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_program_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {
        "perfrdiff_data/assets/face/head.npz",
        "perfrdiff_data/checkpoints/demo.safetensors",
        "page/server.py",
        "perfrdiff_data/package-lock.json",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "tools/", "benchmarks/", "docs/"))]
    assert [name for name in names if name.endswith(".safetensors")] == ["perfrdiff_data/checkpoints/demo.safetensors"]


@pytest.mark.slow
def test_the_installed_package_makes_reactions_far_from_the_checkout(wheel, tmp_path, speaker):
    """Only the packages that it depends on are taken from this environment, by a venv that lists them."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    install = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder), "install"]
    done = subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (site / "dependencies.pth").write_text("\n".join(dependency_folders()), encoding="utf-8")
    share_compiled_code(site)

    empty = tmp_path / "empty"
    empty.mkdir()
    photo = shutil.copy(asset("examples/portrait.jpg"), tmp_path / "me.jpg")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PERFRDIFF"))}
    program = folder / "bin" / "perfrdiff"
    command = [program, "react", "--speaker", speaker, "--listener", photo, "--samples", "1", "--out", "reactions"]
    done = subprocess.run(list(map(str, command)), cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"reaction_1_mesh.mp4", "reaction_1_photo.mp4", "reaction_1.csv"} <= set(os.listdir(empty / "reactions"))

    code = """if True:
        import page, perfrdiff, renderer.face_model
        from page import library, results
        from perfrdiff import checkpoints
        from perfrdiff.features.tracking import landmarker
        from perfrdiff.features.tracking import units
        print(page.__file__, perfrdiff.__file__, renderer.face_model.__file__, library.EXAMPLES, results.ASSETS)
        print(checkpoints.FOLDER, landmarker.MODEL, units.TABLE, renderer.face_model.BUILT_IN_HEAD)
    """
    command = [folder / "bin" / "python", "-c", code]
    done = subprocess.run(list(map(str, command)), cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path for path in done.stdout.split() if not Path(path).is_relative_to(site)] == []


def share_compiled_code(site: Path) -> None:
    """What the checkout has compiled already, for the installed modules: they are the same, and it takes a minute."""
    for room in ("renderer", "perfrdiff"):
        for file in (ROOT / room).rglob("__pycache__/*.nb[ic]"):
            target = site / file.relative_to(ROOT)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)


def dependency_folders() -> list[str]:
    """Where the packages of this environment lie, without the checkout (which an editable install adds)."""
    folders = {Path(entry).resolve() for entry in sys.path if entry}
    return [str(folder) for folder in sorted(folders) if folder.name == "site-packages"]
