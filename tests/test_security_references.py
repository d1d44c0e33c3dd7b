"""A file that names other files or addresses has none of them opened: else a visitor reads what is the server's.

Seen from outside, by a trace of the system calls of every process and thread that takes part.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.read_under_trace import BEGIN, END
from tests.support.referring_files import BAIT, ODD_NAMES, write_referring_files

ROOT = Path(__file__).resolve().parents[1]
PORT = 9  # where nobody listens; a call would be seen all the same
NO_CALL = ("= -1 EPERM", "+++", "---", "resumed>")  # refused, ends, signals, and the second half of a call
CALLS = (
    "open,openat,openat2,creat,socket,connect,bind,execve,execveat,io_uring_setup,name_to_handle_at,open_by_handle_at"
)
PROCESSORS = {"/sys/devices/system/cpu/online", "/proc/stat"}  # where ffmpeg looks how many threads it may start
OPENED = re.compile(r'(?:open|openat|openat2|creat)\((?:[^",]*, )?"((?:[^"\\]|\\.)*)"')

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_referring_files(tmp_path_factory.mktemp("referring"), PORT)


@pytest.fixture(scope="module", params=["here", "apart"])
def traced(request, files, tmp_path_factory):
    """(what became of each file, calls while they were read, calls of a reader without guards)."""
    trace = tmp_path_factory.mktemp("trace") / "calls"
    folder = next(iter(files.values())).parent
    worker = subprocess.run(
        ["strace", "--seccomp-bpf", "-f", "-qq", "-s", "4096", "-e", f"trace={CALLS}", "-o", trace, sys.executable,
         "-m", "tests.support.read_under_trace", request.param, folder, *files],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    if "ptrace" in worker.stderr.lower() and "not permitted" in worker.stderr:
        pytest.skip("this system lets nobody trace")
    assert worker.returncode == 0, worker.stderr[-2000:]
    became = dict(line.split("\t") for line in worker.stdout.splitlines() if "\t" in line)
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    begin, end = (next(at for at, line in enumerate(lines) if mark in line) for mark in (BEGIN, END))
    return became, lines[begin + 1 : end], lines[end + 1 :]


@pytest.mark.slow
def test_nothing_that_a_file_names_is_opened(files, traced):
    became, calls, unguarded = traced
    assert set(became) == set(files)
    opened = {match[1].encode().decode("unicode_escape") for line in calls if (match := OPENED.search(line))}
    assert opened - PROCESSORS == set(map(str, files.values()))
    others = [line for line in calls if not OPENED.search(line) and not any(word in line for word in NO_CALL)]
    assert not others, "neither a socket nor a program"
    assert sum(BAIT in line for line in unguarded) >= 2, "the trace shows what a reader without guards opens"


@pytest.mark.slow
def test_the_networks_are_run_without_a_word_to_their_makers(tmp_path):
    """onnxruntime has a number for the machine, and sends it with what it was used for, unless it is told not to."""
    code = (
        "import numpy, perfrdiff.features.speech_activity as one, perfrdiff.features.hearing\n"
        "one.speech_probability(numpy.zeros(16000, numpy.float32))"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    trace = tmp_path / "calls"
    command = ["strace", "--seccomp-bpf", "-f", "-qq", "-e", "trace=socket,connect", "-o", trace, sys.executable, "-c"]
    subprocess.run([*command, code], cwd=ROOT, env=environment, timeout=200, check=True)
    assert "AF_INET" not in trace.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir() if path.name != "calls"] == []


@pytest.mark.slow
def test_what_names_others_is_refused_and_a_good_clip_of_an_odd_name_is_read(files, traced):
    became, *_ = traced
    good = {name for name in files if name in ODD_NAMES or "photo" in name}
    # Of a clip whose pictures lie elsewhere, what lies at the same places in it is shown.
    assert {name for name, end in became.items() if end == "read"} - {"outside.mov"} == good
