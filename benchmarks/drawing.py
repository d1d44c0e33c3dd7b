"""What drawing a frame costs against 3766a12, and a whole run by the clip's length.

    python -m benchmarks.drawing [--rounds 15]
    python -m benchmarks.drawing --lengths [--seconds 10 120] [--samples 3] [--size 256]

The first checks 3766a12 out as a worktree beside a temporary folder, starts one process for it and one for this
checkout, lets them draw the same inputs in turns, and prints medians of CPU milliseconds a frame and the median of the
turns' ratios. The worktree is removed at the end.

With --lengths every reaction is drawn as mesh and as photo, written to its own file and laid beside the speaker: seven
videos for 3 reactions. The coefficients move everything a little; the photo is the project's example. Every length runs
in a process of its own, so that its peak memory is its own; `before` is what the process held when drawing began.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEFORE = "3766a12"
AIM = 12.0  # seconds on 2 cores for 3 reactions of 10 seconds at 256²


def measured(seconds: float, samples: int, size: int) -> dict[str, float]:
    """Draws one run in this process."""
    import numpy as np

    from benchmarks.mesh import lively
    from perfrdiff.features.media.images import read_image
    from perfrdiff.features.media.input import open_input
    from perfrdiff.features.tracking.face_track import track_image
    from renderer.face_model import load_face_model
    from renderer.mesh import MeshRenderer
    from renderer.portrait import WarpAnimator
    from renderer.resources import asset
    from renderer.video.export import VideoOptions, VideoTrack, export_videos
    from renderer.video.layout import AI_LABEL, SideBySideLayout

    frames = round(25 * seconds)
    face = load_face_model()
    mesh, animator = MeshRenderer(face, size, backend="cpu"), WarpAnimator(face, size)
    photo = asset("examples/portrait.jpg")
    picture = read_image(photo)
    found = track_image(picture, photo.name)
    animator.set_portrait(picture, found.landmarks, found.coefficients)
    reactions = [np.roll(lively(frames), 40 * k, axis=0) for k in range(samples)]
    for compile_first in (mesh.render(reactions[0][:2]), animator.animate(reactions[0][:2])):
        list(compile_first)
    speaker = asset("examples/speaker.mp4")
    with open_input(speaker) as media:
        width, height = media.info.width, media.info.height
    grid = SideBySideLayout((width, height), [f"Reaction {k + 1}" for k in range(samples)], 2, size)
    sound = np.zeros(16_000 * frames // 25, np.float32)
    before = _peak()
    with tempfile.TemporaryDirectory() as folder, open_input(speaker) as media:
        cards = [
            [
                VideoTrack(mesh.render(rows), Path(folder) / f"mesh_{k}.mp4"),
                VideoTrack(animator.animate(rows), Path(folder) / f"photo_{k}.mp4"),
            ]
            for k, rows in enumerate(reactions)
        ]
        wall, cpu = time.perf_counter(), time.process_time()
        export_videos(
            cards,
            media.frames(max(grid.speaker_size)),
            grid,
            Path(folder) / "side_by_side.mp4",
            VideoOptions(frames, size, audio=(sound, 16_000), label=AI_LABEL),
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "before": before, "peak": _peak()}


def _peak() -> float:
    """MiB this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def inputs() -> dict:
    """What both commits draw: rows of coefficients, a drawn portrait and pictures of the mesh."""
    import numpy as np

    from benchmarks.drawing_parts import FRAMES
    from benchmarks.mesh import lively
    from benchmarks.portrait import performance
    from renderer.face_model import load_face_model
    from renderer.mesh import MeshRenderer
    from tests.support.drawn_portrait import drawn_portrait

    face, rows = load_face_model(), lively(FRAMES)
    picture, landmarks, coefficients = drawn_portrait(face, 768)
    pictures = np.stack(list(MeshRenderer(face, 256, backend="cpu").render(rows)))
    return {
        "mesh_rows": rows,
        "photo_rows": performance(FRAMES),
        "picture": picture,
        "landmarks": landmarks,
        "coefficients": coefficients,
        "pictures": pictures,
        "speaker": np.ascontiguousarray(picture[200:560, 64:704]),
    }


def compare(rounds: int) -> None:
    """Prints what a frame costs now and at BEFORE, drawn in turns."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        old = Path(folder) / "before"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", old, BEFORE], check=True)
        stack.callback(subprocess.run, ["git", "-C", ROOT, "worktree", "remove", "--force", old], check=True)
        np.savez(Path(folder) / "inputs.npz", **inputs())
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, ROOT / "benchmarks/drawing_parts.py", Path(folder) / "inputs.npz"],
                    cwd=root, env=environment | {"PYTHONPATH": str(root)}, text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )
            for root in (ROOT, old)
        ]  # fmt: skip
        names = [json.loads(process.stdout.readline()) for process in processes]

        def turn(process: subprocess.Popen, name: str) -> float:
            process.stdin.write(name + "\n")
            process.stdin.flush()
            return 1000 * float(process.stdout.readline())

        print(f"{rounds} turns, load average {os.getloadavg()[0]:.1f}; CPU milliseconds a frame, medians")
        print(f"{'':24}{BEFORE:>9}{'now':>9}{'ratio':>8}")
        for name in names[0]:
            known = [process for process, has in zip(processes, names, strict=True) if name in has]
            times = np.array([[turn(process, name) for process in known] for _ in range(rounds)])
            now, before = np.median(times[:, 0]), ""
            if len(known) == 2:
                before = f"{np.median(times[:, 1]):9.2f}{now:9.2f}{np.median(times[:, 1] / times[:, 0]):8.2f}"
            print(f"{name:24}{before or f'{now:18.2f}'}", flush=True)
        for process in processes:
            process.stdin.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="turns of each part")
    parser.add_argument("--lengths", action="store_true", help="a whole run by the clip's length")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 120.0], help="lengths of the clip")
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--here", action="store_true", help="measure the first length in this process, print JSON")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measured(options.seconds[0], options.samples, options.size)))
        return
    if not options.lengths:
        compare(options.rounds)
        return
    print(f"{options.samples} reactions, mesh and photo at {options.size}²; {os.cpu_count()} cores, ", end="")
    print(f"load average {os.getloadavg()[0]:.1f}; the aim for 3 of 10 s at 256² is under {AIM:g} s")
    print(f"{'clip':>6} {'wall':>8} {'processor':>10} {'MiB before':>11} {'MiB at most':>12}")
    for seconds in options.seconds:
        command = [sys.executable, "-m", "benchmarks.drawing", "--here", "--seconds", str(seconds)]
        command += ["--samples", str(options.samples), "--size", str(options.size)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        row = json.loads(done.stdout.splitlines()[-1])
        print(f"{seconds:4g} s {row['wall']:6.1f} s {row['cpu']:8.1f} s {row['before']:11.0f} {row['peak']:12.0f}")


if __name__ == "__main__":
    main()
