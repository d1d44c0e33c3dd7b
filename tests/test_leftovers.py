"""After a crash: what a killed process left is removed by the next one, and what a living one uses is not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perfrdiff import leftovers
from perfrdiff.errors import InputError
from perfrdiff.leftovers import hold_folder, remove_dead, remove_held
from perfrdiff.pipeline.folder import OutputFolder

ROOT = Path(__file__).resolve().parents[1]
HOLDER = """
import sys, time
from perfrdiff.leftovers import hold_folder
folder = hold_folder("perfrdiff-page-", sys.argv[1])
(folder / "upload.mp4").write_bytes(b"a face")
print(folder, flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process, and the folder that it holds."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    yield process, Path(process.stdout.readline().decode().strip())
    process.kill()
    process.wait()
    process.stdout.close()


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_processs_uploads_are_gone_at_the_next_start_and_a_living_ones_are_not(tmp_path, holder):
    process, folder = holder
    mine = hold_folder("perfrdiff-page-", tmp_path)
    assert (folder / "upload.mp4").is_file(), "the other process lives"
    kill(process)
    assert (folder / "upload.mp4").is_file(), "kill -9 leaves the upload: else this test shows nothing"
    assert remove_dead("perfrdiff-page-", tmp_path) == [folder]
    assert list(tmp_path.iterdir()) == [mine]
    remove_held(mine)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_this_programs_is_left(tmp_path, holder):
    """Folders without a lock of their own, of another name, files, links, and those of another user."""
    process, dead = holder
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").write_text("x")
    (tmp_path / "perfrdiff-page-old").mkdir()  # of version 0.1, whose process may live
    (tmp_path / "perfrdiff-page-file.locked").write_text("x")
    (tmp_path / "perfrdiff-page-link.locked").symlink_to(target)
    (tmp_path / "other-page-x.locked").mkdir()
    before = set(tmp_path.iterdir()) - {dead}
    kill(process)
    assert remove_dead("perfrdiff-page-", tmp_path) == [dead]
    assert set(tmp_path.iterdir()) == before
    assert (target / "file").is_file()


def test_another_users_folder_is_left(tmp_path, monkeypatch):
    folder = tmp_path / "perfrdiff-page-x.locked"
    folder.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    assert remove_dead("perfrdiff-page-", tmp_path) == []
    assert folder.is_dir()


def test_without_locks_a_folder_is_made_and_nothing_is_removed(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    (tmp_path / "perfrdiff-page-x.locked").mkdir()
    monkeypatch.setattr(leftovers.fcntl, "flock", no_locks)
    folder = hold_folder("perfrdiff-page-", tmp_path)
    assert folder.is_dir() and folder.suffix != leftovers.ENDING
    assert (tmp_path / "perfrdiff-page-x.locked").is_dir()
    remove_held(folder)
    assert not folder.exists()


RUN = """
import sys, time
from pathlib import Path
from perfrdiff.pipeline.folder import OutputFolder
with OutputFolder.write_atomically(Path(sys.argv[1]), True) as work:
    work.settings.write_text("half")
    print(work.path, flush=True)
    time.sleep(60)
"""


def test_an_output_folder_is_used_again_after_a_kill(tmp_path):
    """No half of a result is taken for one, and the next run clears it away; a run beside it keeps its own."""
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", RUN, str(out)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    work = Path(process.stdout.readline().decode().strip())
    with pytest.raises(InputError, match="not empty"), OutputFolder.write_atomically(out, False):
        pass
    assert (work / "settings.json").is_file(), "the other run lives"
    kill(process)
    process.stdout.close()
    with pytest.raises(InputError, match="holds no results"):
        OutputFolder(out).read()
    with OutputFolder.write_atomically(out, False) as new:
        new.settings.write_text("whole")
    assert [path.name for path in out.iterdir()] == ["settings.json"]
    assert OutputFolder(out).settings.read_text() == "whole"


def test_a_stop_in_the_middle_of_an_import_comes_a_moment_later():
    """Raised there, it would leave the import's lock taken, and another thread would wait for it for ever."""
    script = """
import os, signal, time
from page.server import _Stop
stop = _Stop()
inside = "os.kill(os.getpid(), signal.SIGTERM); print('import goes on', stop.is_wanted, flush=True)"
exec(compile(inside, "<frozen importlib._bootstrap>", "exec"))
time.sleep(30)
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "import goes on True\n" and done.returncode == 0
    assert time.monotonic() - began < 25


def test_a_result_without_its_settings_is_none_and_they_come_last(tmp_path, monkeypatch):
    """A process that is killed while the files move up leaves nothing that looks whole."""
    moved, replace = [], Path.replace

    def watched(self, target):
        moved.append(self.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    with OutputFolder.write_atomically(tmp_path / "out", False) as folder:
        for name in ("side_by_side.mp4", "settings.json", "coefficients.npz"):
            (folder.path / name).write_bytes(b"x")
    assert moved == ["coefficients.npz", "side_by_side.mp4", "settings.json"]
