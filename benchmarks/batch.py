"""What a batch saves over a loop in the shell, what a second process brings, and how many items an hour there are.

    python -m benchmarks.batch [--items 12] [--loop 6] [--long 2] [--parts loop long]

`loop`: the same short clips, by one `perfrdiff features` for each and by `perfrdiff batch features` with one process
and with two. `long`: clips of 30 s and 720p as features, reactions of the same (10 samples), and their videos (3
samples, mesh). All of it is made of the project's example. CPU-seconds an item count, for a busy machine stretches the
wall clock; items an hour are those of one core that is idle. What a process costs once is taken off, and told.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from renderer.resources import asset
from tests.support.clips import RATE, cut, write_clip

ROOT = Path(__file__).resolve().parents[1]
MARK_LOOP, MARK_WORKERS = 3.0, 1.8
LONG_SECONDS, WIDTH, HEIGHT = 30, 1280, 720


def measured(*commands: list[str]) -> tuple[float, float]:
    """CPU-seconds and wall of commands, one after the other, children included."""
    began, before = time.perf_counter(), os.times()
    for command in commands:
        subprocess.run([sys.executable, "-m", "perfrdiff", *command], cwd=ROOT, check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used, time.perf_counter() - began


def long_clip(path: Path) -> Path:
    """The example, repeated for 30 s, in the middle of a picture of 720p, with its sound."""
    pictures, sound = [], []
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(asset("examples/speaker.mp4"))) as container:
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                pictures.append(frame.reformat(HEIGHT, HEIGHT, format="rgb24").to_ndarray())
            else:
                sound += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    samples = np.resize(np.concatenate(sound).astype(np.float32) / 32768, LONG_SECONDS * RATE)
    side = (WIDTH - HEIGHT) // 2
    count = LONG_SECONDS * 25
    wide = (np.pad(picture, ((0, 0), (side, side), (0, 0))) for picture in itertools.cycle(pictures))
    return write_clip(path, itertools.islice(wide, count), np.arange(count) / 25, audio_tracks=[(0.0, samples)])


def copies(clip: Path, folder: Path, count: int) -> Path:
    """A folder with `count` copies of a clip."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.mp4").write_bytes(clip.read_bytes())
    return folder


def start_of_a_batch(folder: Path, action: str, *more: str) -> float:
    """CPU-seconds of a batch with one process and nothing that it could work on."""
    (folder / "nothing").mkdir(exist_ok=True)
    (folder / "nothing" / "broken.mp4").write_bytes(b"no film")
    where = [str(folder / "nothing"), "--out", str(folder / f"nothing-{action}")]
    return measured(["batch", action, *where, *more, "--workers", "1", "--quiet"])[0]


def compare_with_a_loop(folder: Path, options: argparse.Namespace) -> None:
    """Short clips: one command each, half of them before and half after batches with one and two processes."""
    clip = cut(asset("examples/speaker.mp4"), folder / "short.mp4", options.seconds)
    clips, few = copies(clip, folder / "clips", options.items), copies(clip, folder / "few", options.loop)
    loop = [["features", str(path), "--out", str(folder / f"{path.stem}.npz")] for path in sorted(few.iterdir())]
    measured(loop[0])  # after an installation the first one compiles
    before = measured(*loop[::2])
    rows = {}
    for workers in (1, 2):
        batch = ["batch", "features", str(clips), "--out", str(folder / f"out-{workers}"), "--workers", str(workers)]
        rows[workers] = measured([*batch, "--quiet"])
    start, after = start_of_a_batch(folder, "features"), measured(*loop[1::2])
    used, wall = before[0] + after[0], before[1] + after[1]
    print(f"clips of {options.seconds:g} s; load average {os.getloadavg()[0]:.1f}\n")
    print("| | items | CPU-s an item | s an item |\n|---|---|---|---|")
    print(f"| a loop in the shell | {len(loop)} | {used / len(loop):.2f} | {wall / len(loop):.2f} |")
    for workers, (of_all, passed) in rows.items():
        name = f"batch, {workers} process{'es' * (workers > 1)}"
        print(f"| {name} | {options.items} | {of_all / options.items:.2f} | {passed / options.items:.2f} |")
    (one, alone), (two, together) = rows.values()
    each, lasting = used / len(loop), (one - start) / options.items
    print(f"\nA batch, once: {start:.2f} CPU-s; an item: {lasting:.2f}.")
    print(f"Loop by batch, CPU-s: {each / one * options.items:.1f} with {options.items} items, {each / lasting:.1f} in "
          f"a long batch (mark {MARK_LOOP:g}).")  # fmt: skip
    print(f"One process to two: {alone / together:.2f} by the wall; by CPU-s at most {2 * one / two:.2f} on idle cores "
          f"(mark {MARK_WORKERS:g}).")  # fmt: skip


def per_hour(folder: Path, options: argparse.Namespace) -> None:
    """Long clips through features, react and render, one process, what the process costs once taken off."""
    clips = copies(long_clip(folder / "long.mp4"), folder / "long", options.long)
    features, one = folder / "features", ["--workers", "1", "--quiet"]
    react = ["--listener", str(asset("examples/portrait.jpg"))]
    starts = {"features": start_of_a_batch(folder, "features"), "reactions": start_of_a_batch(folder, "react", *react)}
    whole = measured(["batch", "features", str(clips), "--out", str(features), *one])[0]
    used = {"features (30 s, 720p)": whole - starts["features"]}
    tables = folder / "tables"
    tables.mkdir()
    for path in features.glob("*.npz"):
        (tables / path.name).write_bytes(path.read_bytes())
    for samples in (10, 3):
        out = str(folder / f"reactions-{samples}")
        command = ["batch", "react", str(tables), "--out", out, "--samples", str(samples), *react, *one]
        used[f"reactions (30 s, {samples} samples)"] = measured(command)[0] - starts["reactions"]
    drawing = ["batch", "render", str(folder / "reactions-3"), "--views", "mesh", *one]
    drawn = "the same again, and their videos (3 samples, mesh, 256²)"
    used[drawn] = measured(drawing)[0] - starts["reactions"]
    once = ", ".join(f"{seconds:.1f} CPU-s for {what}" for what, seconds in starts.items())
    print(f"\nA batch, once: {once}. {options.long} items each; load average {os.getloadavg()[0]:.1f}\n")
    print("| | CPU-s an item | items an hour and core |\n|---|---|---|")
    for what, seconds in used.items():
        each = max(seconds, 1e-3) / options.long
        print(f"| {what} | {each:.2f} | {3600 / each:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=12, help="short clips of a batch")
    parser.add_argument("--loop", type=int, default=6, help="of these, in the loop")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a short clip")
    parser.add_argument("--long", type=int, default=2, help="clips of 30 s")
    parser.add_argument("--parts", nargs="+", choices=("loop", "long"), default=("loop", "long"))
    options = parser.parse_args()
    for part, measure in (("loop", compare_with_a_loop), ("long", per_hour)):
        if part in options.parts:
            with tempfile.TemporaryDirectory() as name:
                measure(Path(name), options)


if __name__ == "__main__":
    main()
