"""What decoding in processes of their own adds to a whole run: python -m benchmarks.decoding_apart [--rounds 3]

Whole runs of the example (three reactions, mesh and photo, 256 pixels) with and without it take turns, each in a
program of its own that makes --runs of them; programs that make none tell what starting costs, which is taken off.
CPU-seconds count all processes, also those that have ended. Exit code 1 above the mark of 5 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.start import ROOT
from renderer.resources import asset

MARK = 0.05
LISTENERS = {"photo": "examples/portrait.jpg", "video": "examples/listener.mp4"}

PROGRAM = """
import sys
from pathlib import Path
from perfrdiff.features.media import apart
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.run import react
from perfrdiff.pipeline.warm_up import warm_up
is_apart, speaker, listener, out, runs = sys.argv[1:]
if is_apart == "yes":
    apart.turn_on()
warm_up("demo")
for number in range(int(runs)):
    react(ReactRequest(speaker=Path(speaker), listener=Path(listener), out=Path(out) / str(number)))
if is_apart == "yes":
    apart.turn_off()
"""


def used(listener: Path, is_apart: bool, runs: int) -> float:
    """CPU-seconds of a program that makes so many runs."""
    before = os.times()
    with tempfile.TemporaryDirectory() as out:
        arguments = "yes" if is_apart else "no", asset("examples/speaker.mp4"), listener, out, runs
        subprocess.run([sys.executable, "-c", PROGRAM, *map(str, arguments)], cwd=ROOT, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def compare(listener: Path, rounds: int, runs: int) -> tuple[float, float]:
    """CPU-seconds of a run, here and apart: medians over rounds."""
    rows: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds):
        for is_apart in (False, True) if number % 2 else (True, False):
            rows[is_apart].append((used(listener, is_apart, runs) - used(listener, is_apart, 0)) / runs)
    return statistics.median(rows[False]), statistics.median(rows[True])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=2, help="of each program")
    options = parser.parse_args()
    used(asset(LISTENERS["photo"]), False, 1)  # after an installation the first one compiles
    print(
        f"load average {os.getloadavg()[0]:.1f}\n\n| listener | here, CPU-s | apart, CPU-s | more |\n|---|---|---|---|"
    )
    missed = False
    for name, path in LISTENERS.items():
        here, apart = compare(asset(path), options.rounds, options.runs)
        missed |= apart > here * (1 + MARK)
        print(f"| {name} | {here:.2f} | {apart:.2f} | {apart / here - 1:+.1%} |", flush=True)
    print(f"\nThe mark is {MARK:.0%}: {'missed' if missed else 'met'}.")
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
