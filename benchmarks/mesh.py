"""Frames per second of the mesh renderer on one core, for every mesh identity, and OpenGL's in the same run.

    python -m benchmarks.mesh [--frames 100] [--size 256] [--mesh-identity NAME]

OpenGL is measured where EGL is there, on whatever driver it finds and by moderngl, this project's own second back end:
pyrender cannot be installed beside numpy 2 (docs/renderers.md), so there is no line of it here. On a GPU OpenGL's time
is not the processor's, so that its figures are of the wall clock.

CPU seconds of this process are counted, not the wall clock: the machine may be busy with other things.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402

from renderer.backends import SOFTWARE_RENDERERS, GLBackend  # noqa: E402
from renderer.face_model import EXPRESSIONS, load_face_model, neutral_coefficients  # noqa: E402
from renderer.mesh import MeshRenderer  # noqa: E402
from renderer.mesh_identities import MESH_IDENTITIES  # noqa: E402

ROUNDS = 5  # each way is timed this often, interleaved; the best round counts


def lively(frames: int) -> np.ndarray:
    """(frames, 58) coefficients in which everything moves a little."""
    rng = np.random.default_rng(0)
    values = neutral_coefficients(frames)
    time_axis = np.arange(frames)[:, None] / 25
    values[:, :EXPRESSIONS] = 0.15 + 0.15 * np.sin(time_axis * rng.uniform(1, 6, EXPRESSIONS) + rng.uniform(0, 6))
    values[:, EXPRESSIONS : EXPRESSIONS + 3] += 0.2 * np.sin(time_axis * (2.0, 3.0, 1.0))
    return values


def frames_per_second(renderer: MeshRenderer, values: np.ndarray, on_gpu: bool) -> float:
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    for _ in renderer.render(values):
        pass
    return len(values) / (clock() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100, help="of each round; OpenGL gets a fifth of them")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--mesh-identity", choices=tuple(MESH_IDENTITIES), help="only this one; long hair takes longer")
    options = parser.parse_args()
    face, values = load_face_model(), lively(options.frames)
    cases = [("studio", name) for name in ([options.mesh_identity] if options.mesh_identity else MESH_IDENTITIES)] + [
        ("grey", "Alex")
    ]
    print(f"{options.size} px, one thread, load average {os.getloadavg()[0]:.1f}", end="; ")
    for number, (mesh_style, name) in enumerate(cases):
        ours = MeshRenderer(face, options.size, mesh_style, name, backend="cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without EGL the CPU draws: left out
            other = MeshRenderer(face, options.size, mesh_style, name, backend="gl")
        driver = other._backend.renderer_name if isinstance(other._backend, GLBackend) else None
        if not number:
            print(f"OpenGL: {driver or 'no EGL here'}")
            print(f"{'style':8}{'identity':9}{'triangles':>10}{'frames/s':>10}{'OpenGL':>10}{'ratio':>8}")
        ways = {"cpu": ours} | ({"gl": other} if driver else {})
        best = dict.fromkeys(ways, 0.0)
        for renderer in ways.values():  # compile
            list(renderer.render(values[:2]))
        for _ in range(ROUNDS):
            for way, renderer in ways.items():
                rows = values[: max(1, options.frames // 5)] if way == "gl" else values
                on_gpu = way == "gl" and not driver.lower().startswith(SOFTWARE_RENDERERS)
                best[way] = max(best[way], frames_per_second(renderer, rows, on_gpu))
        beside = f"{best['gl']:10.0f}{best['cpu'] / best['gl']:8.1f}" if driver else ""
        print(f"{mesh_style:8}{name:9}{len(ours._triangles):>10}{best['cpu']:>10.0f}{beside}", flush=True)


if __name__ == "__main__":
    main()
