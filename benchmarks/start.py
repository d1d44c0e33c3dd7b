"""How long people wait before anything happens, beside an earlier commit in the same run.

    python -m benchmarks.start [--against 3766a12] [--rounds 3] [--skip-jobs]

The earlier commit is checked out into a temporary git worktree, which is removed again. Processor seconds of whole
processes are counted, children included; both programs take turns, and medians are printed. Each starts with an empty
folder for numba's machine code, which ours fills by `perfrdiff warm-up`, as `make run` does once. Takes some five
minutes; without the jobs two.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from renderer.resources import asset
from tests.support.clips import cut

ROOT = Path(__file__).resolve().parents[1]
TICK = os.sysconf("SC_CLK_TCK")
MARK_ANSWER, MARK_HELP, MARK_IDLE = 0.5, 0.5, 1.0  # ratio of processor seconds, seconds, per cent of a core
IDLE_SECONDS = 10.0
SETTLED = 0.05  # of a core for a second: what was loaded in the background is loaded
PATIENCE = 300.0  # seconds
HEAVY = ("gradio", "torch", "scipy.signal", "mediapipe", "torch._dynamo", "matplotlib")
LOADED = "import sys, app; print([name for name in {names} if name in sys.modules])"


class Program:
    """One version of the program: a checkout, and where its compiled code is kept."""

    def __init__(self, name: str, root: Path, cache: Path) -> None:
        self.name, self.root = name, root
        self._environment = os.environ | {
            "NUMBA_CACHE_DIR": str(cache), "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONPATH": str(root),
        }  # fmt: skip

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """A Python process in the checkout."""
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=self.root, env=self._environment | environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[float, float]:
        """Wall and processor seconds of a process that has to end well."""
        began, before = time.perf_counter(), os.times()
        process = self.start(*arguments)
        output, _ = process.communicate()
        wall, after = time.perf_counter() - began, os.times()
        if process.returncode:
            raise SystemExit(f"{self.name}: {' '.join(arguments)} failed\n{output}")
        used = after.children_user + after.children_system - before.children_user - before.children_system
        return wall, used


def processor_seconds(pid: int) -> float:
    """What a running process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def thread_seconds(pid: int) -> dict[str, float]:
    """What each thread of a process has used."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {task.name: int((task / "schedstat").read_text(encoding="utf-8").split()[0]) / 1e9 for task in tasks}


def page_start(program: Program, folder: Path) -> dict[str, float]:
    """Seconds until the page answers for the first time, until all is loaded, and what it uses when nobody comes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = Path(tempfile.mkdtemp(dir=folder))
    began = time.perf_counter()
    process = program.start("app.py", GRADIO_SERVER_PORT=str(port), GRADIO_TEMP_DIR=str(kept))
    try:
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60).read()
                break
            if process.poll() is not None or time.perf_counter() - began > PATIENCE:
                raise SystemExit(f"{program.name}: the page did not start")
            time.sleep(0.02)
        found = {"answer": processor_seconds(process.pid), "answer_wall": time.perf_counter() - began}
        loaded = 0.0
        while processor_seconds(process.pid) - loaded > SETTLED:
            loaded = processor_seconds(process.pid)
            time.sleep(1.0)
        found |= {"loaded": loaded, "loaded_wall": time.perf_counter() - began}
        before = thread_seconds(process.pid)
        time.sleep(IDLE_SECONDS)
        used = {thread: 100 * (now - before.get(thread, 0)) / IDLE_SECONDS
                for thread, now in thread_seconds(process.pid).items()}  # fmt: skip
        found |= {"idle": sum(used.values()), "idle_own": sum(used.values()) - max(used.values())}
        return found
    finally:
        process.terminate()
        process.communicate(timeout=60)


@contextlib.contextmanager
def checkout(commit: str, folder: Path) -> Iterator[Path]:
    """The commit in a temporary worktree."""
    tree = folder / "earlier"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def turns(programs: list[Program], rounds: int, measure: Callable[[Program], float]) -> list[float]:
    """The median of each program; they take turns."""
    taken = [[measure(program) for program in programs] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def row(words: str, earlier: float, ours: float, mark: str = "") -> None:
    print(f"{words:52} {earlier:9.2f} {ours:9.2f} {ours / earlier if earlier else 0:8.2f}   {mark}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default="3766a12", metavar="COMMIT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-jobs", action="store_true", help="measure the start alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, checkout(options.against, Path(name)) as tree:
        folder = Path(name)
        programs = [Program(options.against, tree, folder / "c1"), Program("ours", ROOT, folder / "c2")]
        earlier, ours = programs
        print(f"{'':52} {options.against[:9]:>9} {'now':>9} {'ratio':>8}   mark")
        row("installation: compiling, CPU-s, once", 0.0, ours.run("-m", "perfrdiff", "warm-up")[1])
        if not options.skip_jobs:
            measure_jobs(earlier, ours, folder)
        return measure_pages(programs, options.rounds, folder)


def measure_jobs(earlier: Program, ours: Program, folder: Path) -> None:
    """The first reaction on a machine, and the next: what is between them was compiled in front of a visitor."""
    clip = cut(asset("examples/speaker.mp4"), folder / "speaker.mp4", 2.0)
    job = "-m", "perfrdiff", "react", "--speaker", str(clip), "--listener", str(asset("examples/portrait.jpg"))
    used = {
        (program, number): program.run(*job, "--samples", "1", "--out", str(folder / f"{program.name}-{number}"))[1]
        for number in range(2)
        for program in (earlier, ours)
    }
    row("first job ever: 2 s, 1 reaction, CPU-s", used[earlier, 0], used[ours, 0])
    row("the same again, CPU-s", used[earlier, 1], used[ours, 1])


def measure_pages(programs: list[Program], rounds: int, folder: Path) -> int:
    """The page and the shell; 1 where a mark is missed."""
    heavy = [program.start("-c", LOADED.format(names=HEAVY)).communicate()[0].strip() for program in programs]
    for program, names in zip(programs, heavy, strict=True):
        print(f"loaded by `import app`, {program.name}: {names}")
    row("perfrdiff --help, s", *turns(programs, rounds + 2, lambda one: one.run("-m", "perfrdiff", "--help")[0]))
    for program in programs:
        page_start(program, folder)  # compiles what it lacks
    starts = [[page_start(program, folder) for program in programs] for _ in range(rounds)]
    medians = [
        {key: statistics.median(start[index][key] for start in starts) for key in starts[0][index]}
        for index in range(len(programs))
    ]
    before, after = medians
    row("page: first answer, CPU-s", before["answer"], after["answer"], f"≤ {MARK_ANSWER}")
    row("page: first answer, s", before["answer_wall"], after["answer_wall"])
    row("page: all loaded and warm, CPU-s", before["loaded"], after["loaded"])
    row("page: all loaded and warm, s", before["loaded_wall"], after["loaded_wall"])
    row("page: nobody there, per cent of a core", before["idle"], after["idle"])
    row("of it all but Gradio's server, the busiest thread", before["idle_own"], after["idle_own"], f"≤ {MARK_IDLE} %")
    shell = turns(programs[1:], 3, lambda one: one.run("-m", "perfrdiff", "--help")[0])[0]
    is_met = after["answer"] <= MARK_ANSWER * before["answer"] and after["idle_own"] <= MARK_IDLE and shell <= MARK_HELP
    print("every mark is met" if is_met else "a mark is missed")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
