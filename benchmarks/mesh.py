"""Frames per second of the mesh renderer on one core, for every mesh identity, and OpenGL's in the same run.

    python -m benchmarks.mesh [--frames 100] [--size 256] [--mesh-identity NAME] [--textured [FILE]]

OpenGL is measured where EGL is there, on whatever driver it finds and by moderngl, this project's own second back end.
On a GPU OpenGL's time is not the processor's, so that its figures are of the wall clock.

--textured measures something else: a person's own head with its texture against the same head without one, in turns,
and how the memory in use changes over five times as many frames. FILE is a saved identity; without it the head is the
built-in one and its texture noise.

CPU seconds of this process are counted, not the wall clock: the machine may be busy with other things.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402

from renderer.backends import SOFTWARE_RENDERERS, GLBackend  # noqa: E402
from renderer.face_model import EXPRESSIONS, FaceModel, load_face_model, neutral_coefficients  # noqa: E402
from renderer.identity.files import load_identity  # noqa: E402
from renderer.identity.identity import Identity  # noqa: E402
from renderer.mesh import MeshRenderer  # noqa: E402
from renderer.mesh_identities import MESH_IDENTITIES  # noqa: E402

ROUNDS = 5  # each way is timed this often, interleaved; the best round counts
PAIRS = 15  # rounds of `--textured`; the median of their ratios counts
ATLAS = (768, 2304)  # texels, about the size of what a photo becomes


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


def noisy_identity(face: FaceModel) -> Identity:
    """The built-in head under noise, which is looked up in a texture as large as a photo's."""
    head = face.mean_shape[face.head_weight == 1, :2]
    places = (face.mean_shape[:, :2] - head.min(axis=0)) / np.ptp(head, axis=0)
    return Identity(
        shape=face.mean_shape,
        expression_basis=face.expression_basis,
        coefficients=np.zeros(0, np.float32),
        texture=np.random.default_rng(0).integers(60, 255, (*ATLAS, 3), np.uint8),
        texture_uv=(np.clip(places, 0, 1) * (ATLAS[0] / ATLAS[1], 1))[face.triangles].astype(np.float32),
        iris=np.full(3, 0.1, np.float32),
        sclera=np.full(3, 0.6, np.float32),
    )


def compare_textured(face: FaceModel, identity: Identity, size: int, values: np.ndarray) -> None:
    bare = replace(identity, texture_uv=np.full_like(identity.texture_uv, np.nan))
    textured, untextured = (MeshRenderer(face, size, mesh_identity=who, backend="cpu") for who in (identity, bare))
    for renderer in (textured, untextured):  # compile
        list(renderer.render(values[:2]))
    rates = np.array(
        [[frames_per_second(one, values, on_gpu=False) for one in (textured, untextured)] for _ in range(PAIRS)]
    )
    in_use = []
    for _ in range(2):  # the first time the allocator may still keep more than before
        for _ in textured.render(np.tile(values, (5, 1))):
            pass
        in_use.append(resident_bytes())
    grown = (in_use[1] - in_use[0]) / 2**20
    best, share = rates.max(axis=0), np.median(rates[:, 0] / rates[:, 1])
    print(f"{size} px, {len(textured._triangles)} triangles: textured {best[0]:.0f}, bare {best[1]:.0f} frames/s")
    print(f"textured at {share:.0%} of the bare head's speed; {grown:+.1f} MB over {5 * len(values)} frames")


def resident_bytes() -> int:
    """Memory of this process that is in use (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100, help="of each round; OpenGL gets a fifth of them")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--mesh-identity", choices=tuple(MESH_IDENTITIES), help="only this one; long hair takes longer")
    parser.add_argument("--textured", nargs="?", const="", metavar="FILE", help="a person's head against itself bare")
    options = parser.parse_args()
    face, values = load_face_model(), lively(options.frames)
    if options.textured is not None:
        identity = load_identity(options.textured) if options.textured else noisy_identity(face)
        compare_textured(face, identity, options.size, values)
        return
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
