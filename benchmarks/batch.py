"""What a batch saves over a loop in the shell, and what a second process brings.

    python -m benchmarks.batch [--items 24] [--seconds 2]

The same short clips, cut from the project's example: one `perfrdiff features` for each, then `perfrdiff batch features`
with one process and with two. CPU-seconds an item count, for a busy machine stretches the wall clock; the ratio of one
process to two means something on two idle cores alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from renderer.resources import asset
from tests.support.clips import cut

ROOT = Path(__file__).resolve().parents[1]
MARK_LOOP, MARK_WORKERS = 3.0, 1.8


def measured(*commands: list[str]) -> tuple[float, float]:
    """CPU-seconds and wall of commands, one after the other, children included."""
    began, before = time.perf_counter(), os.times()
    for command in commands:
        subprocess.run([sys.executable, "-m", "perfrdiff", *command], cwd=ROOT, check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = folder / "clips"
        clips.mkdir()
        clip = cut(asset("examples/speaker.mp4"), clips / "0.mp4", options.seconds)
        for number in range(1, options.items):
            (clips / f"{number}.mp4").write_bytes(clip.read_bytes())
        rows = {
            "a loop in the shell": measured(
                *(["features", str(path), "--out", str(folder / f"{path.stem}.npz")] for path in clips.iterdir())
            )
        }
        for workers in (1, 2):
            batch = [
                "batch",
                "features",
                str(clips),
                "--out",
                str(folder / f"out-{workers}"),
                "--workers",
                str(workers),
            ]
            rows[f"batch, {workers} process{'es' * (workers > 1)}"] = measured([*batch, "--quiet"])
    print(f"{options.items} clips of {options.seconds:g} s; load average {os.getloadavg()[0]:.1f}\n")
    print("| | CPU-s an item | s an item | items an hour |\n|---|---|---|---|")
    for what, (used, wall) in rows.items():
        each = wall / options.items
        print(f"| {what} | {used / options.items:.2f} | {each:.2f} | {3600 / each:.0f} |")
    (loop, _), (one_used, one), (_, two) = rows.values()
    print(f"\nLoop by batch, CPU-s: {loop / one_used:.1f} (mark {MARK_LOOP:g}).")
    print(f"One process by two, wall: {one / two:.2f} (mark {MARK_WORKERS:g}, on idle cores).")


if __name__ == "__main__":
    main()
