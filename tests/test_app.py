"""The page as a program: what it leaves behind, and what a script gets from its endpoint."""

import csv
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.served_page import ROOT, files_in, served

CALL = """
import json, sys
from gradio_client import Client, handle_file
address, folder, speaker, listener = sys.argv[1:]
client = Client(address, verbose=False, analytics_enabled=False, download_files=folder)
result = client.predict(
    speaker=handle_file(speaker), listener=handle_file(listener), samples="1", size="224", views=["mesh"],
    transparent=True, api_name="/react",
)
print(json.dumps(result))
"""


def app(temporary, *arguments):
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env=os.environ | {"GRADIO_TEMP_DIR": str(temporary), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.slow
def test_help_and_a_refusal_leave_no_folder_behind(tmp_path):
    """A temporary folder for every look at --help would pile up."""
    done = app(tmp_path, "--help")
    assert done.returncode == 0 and "--weights NAME" in done.stdout
    assert list(tmp_path.iterdir()) == []
    done = app(tmp_path, "--weights", "imagined")
    assert done.returncode == 2 and done.stderr.startswith("perfrdiff: There are no weights named 'imagined'")
    assert done.stderr.count("\n") == 1
    assert [path for path in tmp_path.iterdir() if path.name.startswith("perfrdiff")] == []


@pytest.mark.slow
def test_a_script_gets_named_files_and_leaves_none(tmp_path, speaker, portrait, weights):
    """The result reads as `ReactResult` does, every file is downloaded, and the server keeps nothing afterwards."""
    (kept := tmp_path / "kept").mkdir()
    with served(kept, weights) as (address, _):
        arguments = [address, tmp_path / "here", speaker, portrait]
        done = subprocess.run(
            [sys.executable, "-c", CALL, *map(str, arguments)],
            env=os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        end = time.monotonic() + 60
        while files_in(kept) and time.monotonic() < end:
            time.sleep(0.5)
        assert files_in(kept) == [], "files outlive the caller"
    result = json.loads(done.stdout)
    assert set(result) == {
        "side_by_side", "reactions", "coefficients", "settings", "archive", "exports", "frames", "style", "habits",
        "notes",
    }  # fmt: skip
    assert result["frames"] == 50 and result["habits"] == {} and isinstance(result["notes"], list)
    (reaction,) = result["reactions"]
    assert reaction["number"] == 1 and reaction["photo"] is None
    with av.open(reaction["mesh"]) as mesh:
        assert (mesh.streams.video[0].width, mesh.streams.video[0].frames) == (224, 50)
    assert Path(reaction["transparent"]).suffix == ".webm" and Path(result["side_by_side"]).stat().st_size > 0
    with open(reaction["csv"], newline="") as file:
        assert len(list(csv.reader(file))) == 51
    with np.load(result["coefficients"]) as numbers:
        assert numbers["coefficients"].shape == (1, 50, 58)
    assert json.loads(Path(result["settings"]).read_text())["settings"]["size"] == 224
    assert zipfile.ZipFile(result["archive"]).testzip() is None
