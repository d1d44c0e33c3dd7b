"""The shell: every option explained, one sentence and exit code 2 for bad input, the same function behind it."""

import subprocess
import sys
from pathlib import Path

import pytest

from perfrdiff.cli.main import main
from perfrdiff.pipeline.request import SETTINGS
from perfrdiff.published.compat import PUBLISHED, Compat

ROOT = Path(__file__).resolve().parent.parent


def shell(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "perfrdiff", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=280
    )


def test_help_explains_every_option_with_its_default(capsys, monkeypatch):
    """An option without words can only be tried out."""
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as end:
        main(["react", "--help"])
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, setting in SETTINGS.items():
        option = f" --{name.replace('_', '-')}"
        assert f"{option} " in text or f"{option}, " in text
        assert setting.help in text, f"{option} is not explained"
    for words in ("--samples K", "[1 to 10] (default: 3)", "(default: demo)", "(default: mesh photo)", "(default: on)"):
        assert words in text


def test_options_of_the_first_version_are_still_taken(capsys):
    """A script of last month goes on, and is told the present names."""
    assert main(["react", "--speaker", "a", "--listener", "b", "--out", "o", "--looks", "mesh", "--guidance=11"]) == 2
    stderr = capsys.readouterr().err
    assert "--looks is called --views now" in stderr and "guidance_scale must lie between 0 and 10; it is 11" in stderr


@pytest.mark.slow
def test_one_command_makes_the_folder(tmp_path, speaker, portrait, weights):
    done = shell(
        "react", "--speaker", speaker, "--listener", portrait, "--samples", 1, "--views", "mesh", "--no-label",
        "--out", tmp_path / "new" / "out", "--weights", weights,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == {
        "coefficients.npz", "reaction_1.csv", "reaction_1_mesh.mp4", "reactions.zip", "settings.json",
        "side_by_side.mp4",
    }  # fmt: skip
    for stage in ("Reading the speaker", "Drawing", "1 reactions of 2.0 s"):
        assert stage in done.stdout


@pytest.mark.parametrize(
    "wrong, words",
    [
        (["--speaker", "nowhere.mp4"], "nowhere.mp4"),
        (["--samples", "11"], "samples must lie between 1 and 10"),
        (["--weights", "imagined"], "no weights named 'imagined'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(wrong, words, tmp_path, speaker, portrait, weights, capsys):
    right = ["--speaker", speaker, "--listener", portrait, "--out", tmp_path / "out", "--weights", weights]
    assert main(["react", *map(str, right), *wrong]) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("perfrdiff: ") and words in stderr and stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_traceback_never_reaches_the_shell(tmp_path, portrait, weights):
    (tmp_path / "notes.mp4").write_text("these are notes, not a video")
    done = shell(
        "react",
        "--speaker",
        tmp_path / "notes.mp4",
        "--listener",
        portrait,
        "--out",
        tmp_path / "out",
        "--weights",
        weights,
    )
    assert done.returncode == 2
    assert "notes.mp4" in done.stderr and "Traceback" not in done.stderr and done.stderr.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()


def test_the_published_faults_are_listed_with_their_reasons(capsys):
    assert main(["compat"]) == 0
    listed = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert listed and all("corrected:" in reason for reason in listed.values()), "each says what is done instead"
    assert Compat(**dict.fromkeys(listed, True)) == PUBLISHED, "--compat published repeats these and no others"


def test_styles_are_listed(weights, capsys):
    assert main(["styles", "--weights", weights]) == 0
    assert len(capsys.readouterr().out.split()) >= 3
