"""How long the whole way takes, beside an earlier commit in the same run; stage by stage; memory.

    python -m benchmarks.end_to_end            12 s of a 1080p speaker, a photo, 3 reactions, mesh and photo, 256²
    python -m benchmarks.end_to_end --listener assets/examples/listener.mp4
    python -m benchmarks.end_to_end --speaker V --rounds 5 --against 3766a12 --json table.json

Without --speaker the project's own example is repeated and enlarged. Each run happens in a process of its own that
is warmed up before the clock starts, so that its peak memory is the run's and nothing else's; both programs take turns,
and medians are printed. CPU-seconds count; wall is worth something on an idle machine alone. The earlier program draws
a made-up head; this one makes the listener's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

from benchmarks.start import ROOT, Program, checkout
from renderer.resources import asset

SECONDS, LINES = 12, 1080
MARK_PHOTO, MARK_VIDEO, MARK_BOTH_CORES, MARK_FIRST = 0.45, 0.35, 0.62, 0.35

RUN = """
import json, sys, time
from pathlib import Path
try:
    from perfrdiff.pipeline import run as pipeline
    from perfrdiff.pipeline.request import ReactRequest
    from perfrdiff.pipeline.warm_up import warm_up
except ImportError:  # an earlier program
    from perfrdiff import pipeline
    from perfrdiff.request import ReactRequest
    warm_up = pipeline.warm_up
speaker, listener, out, samples, weights = sys.argv[1:]
warm_up(weights)
request = dict(speaker=Path(speaker), listener=Path(listener), samples=int(samples), weights=weights)
first = []
def note(*_):
    first.append(time.perf_counter() - began)
more = dict(on_reactions=note) if hasattr(pipeline, "ReadyReactions") else {}
began, used = time.perf_counter(), time.process_time()
result = pipeline.react(ReactRequest(**request, out=Path(out)), **more)
used, wall = time.process_time() - used, time.perf_counter() - began
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({"cpu": used, "wall": wall, "first": first[0] if first else wall, "stages": dict(result.stage_seconds),
    "frames": result.frames, "memory_gib": int(status["VmHWM"].split()[0]) / 2**20}))
"""


def looped(source: Path, target: Path) -> Path:
    """The source's pictures and sound, repeated up to SECONDS and enlarged to LINES, at 25 per second."""
    import cv2
    import numpy as np

    from perfrdiff.features.media.input import open_input
    from renderer.video.writer import VideoWriter

    with open_input(source) as media:
        pictures, sound = list(media.frames()), media.audio()
    samples = np.resize(sound.samples, SECONDS * sound.rate)
    height, width = pictures[0].shape[:2]
    size = (round(width * LINES / height / 2) * 2, LINES)
    with VideoWriter(target, size, audio=(samples, sound.rate)) as writer:
        for index in range(SECONDS * 25):
            writer.write(cv2.resize(pictures[index % len(pictures)], size, interpolation=cv2.INTER_CUBIC))
    return target


def run(program: Program, speaker: Path, listener: Path, samples: int, weights: str) -> dict:
    """One run in a fresh process: CPU-seconds, wall, when the reactions existed, stages, frames, peak memory in GiB."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = map(str, ("-c", RUN, speaker, listener, Path(folder) / "out", samples, weights))
        process = program.start(*arguments)
        output, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"{program.name}: {output}")
        return json.loads(output.splitlines()[-1])


def table(measured: dict[str, list[dict]], is_photo: bool) -> str:
    """The figures as a Markdown table. `measured`: program -> its runs."""
    medians = {
        name: {
            key: statistics.median(one[key] for one in runs) for key in ("cpu", "wall", "first", "frames", "memory_gib")
        }
        for name, runs in measured.items()
    }
    lines = [
        "| program | CPU-s | x clip | wall, s | wall by CPU | reactions exist, of the wall | memory, GiB |",
        "|---|" + "---|" * 6,
    ]
    for name, one in medians.items():
        cells = [
            f"{one['cpu']:.1f}", f"{one['cpu'] / one['frames'] * 25:.2f}", f"{one['wall']:.1f}",
            f"{one['wall'] / one['cpu']:.2f}", f"{one['first'] / one['wall']:.2f}", f"{one['memory_gib']:.2f}",
        ]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if len(medians) == 2:
        ours, earlier = medians.values()
        pairs = [a["cpu"] / b["cpu"] for a, b in zip(*measured.values(), strict=True)]
        mark = MARK_PHOTO if is_photo else MARK_VIDEO
        each, ratio = ", ".join(f"{pair:.2f}" for pair in sorted(pairs)), ours["cpu"] / earlier["cpu"]
        lines += ["", f"CPU-seconds by the earlier program's: {ratio:.2f} (mark {mark}; each pair: {each})."]
    marks = f"Marks: wall by CPU {MARK_BOTH_CORES} on two idle cores, reactions exist after {MARK_FIRST} of the wall"
    lines += ["", f"{marks}; load average now {os.getloadavg()[0]:.1f}."]
    lines += ["", "| stage (they overlap) | wall, s |", "|---|---|"]
    lines += [f"| {name} | {seconds:.1f} |" for name, seconds in next(iter(measured.values()))[-1]["stages"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speaker", type=Path, help="speaker video (default: the project's example, looped)")
    parser.add_argument("--listener", type=Path, default=asset("examples/portrait.jpg"), help="photo or video")
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--weights", default="demo")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", default="3766a12", help="an earlier commit, or 'none'")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speaker = options.speaker or looped(asset("examples/speaker.mp4"), folder / "speaker.mp4")
        given = speaker.resolve(), options.listener.resolve(), options.samples, options.weights
        if options.against == "none":
            measured = _measure([Program("now", ROOT, folder / "cache")], given, options.rounds)
        else:
            with checkout(options.against, folder) as tree:
                earlier = Program(options.against, tree, folder / "earlier-cache")
                measured = _measure([Program("now", ROOT, folder / "cache"), earlier], given, options.rounds)
    print(table(measured, options.listener.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")))
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")


def _measure(programs: list[Program], given: tuple, rounds: int) -> dict[str, list[dict]]:
    measured: dict[str, list[dict]] = {program.name: [] for program in programs}
    for _ in range(rounds):
        for program in programs:
            measured[program.name].append(run(program, *given))
    return measured


if __name__ == "__main__":
    main()
