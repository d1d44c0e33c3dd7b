"""Reads spoilt files until something breaks: python -m tools.fuzz --cases 10000

Good files that the project makes itself are spoilt (tools/fuzz_mutations.py) and given to every reader of files that
people hand in (tools/fuzz_readers.py). A file is read, or refused with InputError or RenderError; anything else is a
find: another exception, a crash, more than 10 s of one core, more than 3 GiB, a file that stays open or is left behind.
Reading happens in a child process, under limits of the system, that is replaced where it dies.

A case depends on its reader, its number and --seed alone: `--only READER --first N --cases 1 --keep FOLDER` does one
again and keeps its file. Exit code 1 after a find, with what is needed to do it again.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

CPU_SECONDS = 10.0  # of one case; more is a hang
WALL_SECONDS = 90.0  # without a sign of life, on a busy machine
MOST_LETTERS = 1500  # of a sentence
MEMORY = 3 << 30  # bytes of address space beyond what the libraries take
ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Report:
    """What became of one reader's cases."""

    outcomes: Counter[str] = field(default_factory=Counter)
    finds: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak_mb: float = 0.0


def fuzz(name: str, first: int, count: int, seed: int, keep: str = "", seconds: float = CPU_SECONDS) -> Report:
    """Give `count` cases from number `first` on to the reader of that name."""
    report, began, last = Report(), time.monotonic(), first + count
    while first < last:
        case = first
        with tempfile.TemporaryDirectory(prefix="perfrdiff-fuzz-") as folder:
            command = [sys.executable, "-m", "tools.fuzz", "--child", name, str(first), str(last), str(seed)]
            with subprocess.Popen(
                [*command, folder, keep, str(seconds)], cwd=ROOT, env=os.environ | {"TMPDIR": folder},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
            ) as child:  # fmt: skip
                ended = "was silent for too long"
                for line in _lines(child):
                    if "case" in line:
                        case = line["case"]
                    if "outcome" in line:
                        report.outcomes[line["outcome"]] += 1
                        first = case + 1
                    if "find" in line:
                        report.finds.append(f"{name}, case {case}, seed {seed}: {line['find']}")
                    if "peak_mb" in line:
                        report.peak_mb, ended = max(report.peak_mb, line["peak_mb"]), ""
                if child.poll() is None:
                    child.kill()
                code = child.wait()
                if code == -signal.SIGPROF:
                    ended = f"took more than {seconds:g} s of one core"
                elif code != 0 and ended:
                    ended = f"the process ended with {code}"
            if ended:
                report.outcomes["find"] += 1
                report.finds.append(f"{name}, case {case}, seed {seed}: {ended}")
                first = case + 1
    report.seconds = time.monotonic() - began
    return report


def _lines(child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What the child says, line by line, until it ends or is silent for too long."""
    said: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            said.put(line)
        said.put(None)

    def drain() -> None:  # what C libraries print would fill the pipe
        assert child.stderr is not None
        for _ in child.stderr:
            pass

    threads = [threading.Thread(target=work, daemon=True) for work in (listen, drain)]
    for thread in threads:
        thread.start()
    while True:
        try:
            line = said.get(timeout=WALL_SECONDS)
        except queue.Empty:
            child.kill()
            break
        if line is None:
            break
        if line.startswith("{"):
            yield json.loads(line)
    for thread in threads:
        thread.join()


def child_main(name: str, first: int, last: int, seed: int, folder: Path, keep: str, seconds: float) -> None:
    """Read the cases, one after the other, and say what became of each."""
    import numpy as np

    from perfrdiff.errors import InputError
    from renderer.errors import RenderError
    from tools.fuzz_mutations import spoil
    from tools.fuzz_readers import READERS, SELF_CHECK

    reader = (READERS | {SELF_CHECK.name: SELF_CHECK})[name]
    good = folder / "good"
    good.mkdir()
    files = reader.make(good)
    contents = [path.read_bytes() for path in files]
    for path in files:  # loads the libraries, and shows that the files are good
        reader.read(path)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    open_files = len(os.listdir("/proc/self/fd"))
    present = set(os.listdir(folder))
    for number in range(first, last):
        rng = np.random.default_rng([seed, crc32(name.encode()), number])
        which = int(rng.integers(len(files)))
        spoilt = spoil(rng, contents[which], contents)
        path = files[which]
        path.write_bytes(spoilt)
        if keep:
            Path(keep, f"{number}-{path.name}").write_bytes(spoilt)
        print(json.dumps({"case": number}), flush=True)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        said: dict[str, str] = {"outcome": "read"}
        try:
            reader.read(path)
        except (InputError, RenderError) as error:
            said = {"outcome": "refused"}
            if "\n" in str(error) or not 8 < len(str(error)) < MOST_LETTERS:
                said = {"outcome": "find", "find": f"no sentence: {str(error)[:200]!r}"}
        except BaseException as error:
            said = {"outcome": "find", "find": "".join(traceback.format_exception(error))[-1500:]}
        signal.setitimer(signal.ITIMER_PROF, 0)
        path.write_bytes(contents[which])
        print(json.dumps(said), flush=True)
    left = set(os.listdir(folder)) - present
    if left:
        print(json.dumps({"find": f"files are left behind: {sorted(left)[:3]}"}))
    if len(os.listdir("/proc/self/fd")) > open_files + 8:
        print(json.dumps({"find": f"{len(os.listdir('/proc/self/fd')) - open_files} files stay open"}))
    print(json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """All readers, or one; a table of counts."""
    from tools.fuzz_readers import READERS

    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz", description="Read spoilt files until something breaks."
    )
    parser.add_argument("--cases", type=int, default=10_000, help="of all readers together, or of the one (10000)")
    parser.add_argument("--only", choices=READERS, help="one reader")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first case (0)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--keep", default="", metavar="FOLDER", help="keep the spoilt files there")
    options = parser.parse_args(arguments)
    if options.keep:
        Path(options.keep).mkdir(parents=True, exist_ok=True)
    total, finds, began = Counter[str](), [], time.monotonic()
    print(f"{'reader':24}{'cases':>7}{'read':>7}{'refused':>9}{'finds':>7}{'s':>8}{'MB':>7}")
    for reader in READERS.values():
        if options.only not in (None, reader.name):
            continue
        count = options.cases if options.only else max(1, options.cases * reader.share // 1000)
        report = fuzz(reader.name, options.first, count, options.seed, options.keep)
        seen, total, finds = report.outcomes, total + report.outcomes, finds + report.finds
        counts = f"{seen['read']:7}{seen['refused']:9}{len(report.finds):7}"
        print(f"{reader.name:24}{seen.total():7}{counts}{report.seconds:8.1f}{report.peak_mb:7.0f}", flush=True)
        for find in report.finds:
            print(f"  FIND {find}", flush=True)
    print(f"{'together':24}{total.total():7}{total['read']:7}{total['refused']:9}{len(finds):7}"
          f"{time.monotonic() - began:8.1f}")  # fmt: skip
    return 1 if finds else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        given, (numbers, texts) = sys.argv[2], (sys.argv[3:6], sys.argv[6:])
        child_main(given, *map(int, numbers), Path(texts[0]), texts[1], float(texts[2]))
    else:
        sys.exit(main())
