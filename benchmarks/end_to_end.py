"""How long the whole way takes, stage by stage, in multiples of the clip's length; memory; the page's first answer.

    python -m benchmarks.end_to_end            a 10-second 512² speaker, a photo, 3 reactions, mesh and photo, 256²
    python -m benchmarks.end_to_end --speaker V --listener L --samples 3 --weights demo --json table.json

Without --speaker the project's own example is repeated up to 10 seconds. The run happens in a process of its own, so
that its peak memory is the run's and nothing else's. First run: numba compiles the drawing code, once per machine;
the table is of the second run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from renderer.resources import asset

ROOT = Path(__file__).resolve().parent.parent

SECONDS = 10
AIM_WHOLE, AIM_MEMORY, AIM_PAGE = 3.0, 3.0, 20.0  # multiples of the clip, GiB, seconds

RUN = """
import json, sys
from pathlib import Path
from perfrdiff.pipeline import run as pipeline
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.warm_up import warm_up
speaker, listener, out, samples, weights = sys.argv[1:]
warm_up(weights)
result = pipeline.react(ReactRequest(
    speaker=Path(speaker), listener=Path(listener), out=Path(out), samples=int(samples), weights=weights))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({
    "stages": result.stage_seconds, "frames": result.frames, "memory_gib": int(status["VmHWM"].split()[0]) / 2**20}))
"""


def looped(source: Path, target: Path) -> Path:
    """The source's pictures and sound, repeated up to SECONDS, at 25 per second."""
    import numpy as np

    from perfrdiff.features.media.input import open_input
    from renderer.video.writer import VideoWriter

    with open_input(source) as media:
        pictures, sound = list(media.frames()), media.audio()
    times = SECONDS * 25
    samples = np.resize(sound.samples, SECONDS * sound.rate)
    height, width = pictures[0].shape[:2]
    with VideoWriter(target, (width, height), audio=(samples, sound.rate)) as writer:
        for index in range(times):
            writer.write(pictures[index % len(pictures)])
    return target


def run(speaker: Path, listener: Path, samples: int, weights: str) -> dict:
    """One run in a fresh process: seconds of every stage, frames, peak memory in GiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", RUN, speaker, listener, Path(folder) / "out", str(samples), weights]
        done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])


def page_start(weights: str) -> float:
    """Seconds from starting app.py to its first answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    since = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--weights", weights],
        cwd=ROOT,
        env=os.environ | {"GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
                return time.perf_counter() - since
            except OSError:
                time.sleep(0.1)
        sys.exit("app.py ended before it answered")
    finally:
        process.terminate()
        process.wait()


def table(measured: dict, page: float, samples: int) -> str:
    """The figures as a Markdown table."""
    clip = measured["frames"] / 25
    whole = sum(measured["stages"].values())
    load = os.getloadavg()[0]
    lines = [
        f"{clip:.1f} s of speaker, {samples} reactions, mesh and photo at 256²; "
        f"{os.cpu_count()} cores, load average {load:.1f}",
        "",
        "| stage | seconds | x clip | share |",
        "|---|---|---|---|",
    ]
    for name, seconds in measured["stages"].items():
        lines.append(f"| {name} | {seconds:.1f} | {seconds / clip:.2f} | {seconds / whole:.0%} |")
    lines += [
        f"| **whole** (aim under {AIM_WHOLE:g}x) | {whole:.1f} | {whole / clip:.2f} | |",
        "",
        f"Peak memory {measured['memory_gib']:.2f} GiB (aim under {AIM_MEMORY:g}). "
        f"First answer of the page after {page:.1f} s (aim under {AIM_PAGE:g}).",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speaker", type=Path, help="speaker video (default: the project's example, looped)")
    parser.add_argument("--listener", type=Path, default=asset("examples/portrait.jpg"), help="photo or video")
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--weights", default="demo")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        speaker = options.speaker or looped(asset("examples/speaker.mp4"), folder / "speaker.mp4")
        for _ in range(2):
            measured = run(speaker.resolve(), options.listener.resolve(), options.samples, options.weights)
        page = page_start(options.weights)
    finally:
        shutil.rmtree(folder)
    print(table(measured, page, options.samples))
    if options.json:
        options.json.write_text(json.dumps(measured | {"page_seconds": page}, indent=2) + "\n")


if __name__ == "__main__":
    main()
