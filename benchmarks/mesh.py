"""Frames per second of the mesh renderer on one core, each way in turn in the same run.

    python benchmarks/mesh.py [--frames 200] [--size 256] [--person Alex]

OpenGL is measured where EGL is there, on whatever driver it finds; on a GPU its time is not the processor's, so that
its figures are of the wall clock.

CPU seconds of this process are counted, not the wall clock: the machine may be busy with other things.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402

from renderer.backends import SOFTWARE, GLBackend  # noqa: E402
from renderer.face_model import EXPRESSIONS, load_face_model, neutral_coefficients  # noqa: E402
from renderer.mesh import LOOKS, MeshRenderer  # noqa: E402
from renderer.studio import PEOPLE  # noqa: E402

ROUNDS = 5  # each way is timed this often, interleaved; the best round counts


def lively(frames: int) -> np.ndarray:
    """(frames, 58) coefficients in which everything moves a little."""
    rng = np.random.default_rng(0)
    values = neutral_coefficients(frames)
    time_axis = np.arange(frames)[:, None] / 25
    values[:, :EXPRESSIONS] = 0.15 + 0.15 * np.sin(time_axis * rng.uniform(1, 6, EXPRESSIONS) + rng.uniform(0, 6))
    values[:, EXPRESSIONS : EXPRESSIONS + 3] += 0.2 * np.sin(time_axis * (2.0, 3.0, 1.0))
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--person", choices=tuple(PEOPLE), default="Alex", help="long hair takes longer")
    options = parser.parse_args()
    face, values = load_face_model(), lively(options.frames)
    renderers = {look: MeshRenderer(face, options.size, look, options.person, backend="cpu") for look in LOOKS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without EGL the CPU draws: left out below
        others = {look: MeshRenderer(face, options.size, look, options.person, backend="gl") for look in LOOKS}
    drivers = [r._backend.renderer for r in others.values() if isinstance(r._backend, GLBackend)]
    software = all(driver.lower().startswith(SOFTWARE) for driver in drivers)
    if drivers:
        renderers |= {f"{look}, OpenGL": renderer for look, renderer in others.items()}
    for renderer in renderers.values():  # compile
        list(renderer.render(values[:2]))
    best = dict.fromkeys(renderers, np.inf)
    for _ in range(ROUNDS):
        for look, renderer in renderers.items():
            clock = time.process_time if look in LOOKS or software else time.perf_counter
            start = clock()
            for _ in renderer.render(values):
                pass
            best[look] = min(best[look], clock() - start)
    names = {"studio": "studio: five samples, lit per pixel", "grey": "grey: one sample, flat, jagged"}
    studio = renderers["studio"]
    print(f"{options.person}: {len(studio._shape)} vertices, {len(studio._triangles)} triangles, {options.size} px")
    print(f"one thread, load average {os.getloadavg()[0]:.1f}")
    print(f"OpenGL: {drivers[0] if drivers else 'no EGL here'}")
    for look, seconds in best.items():
        other = best.get(f"{look}, OpenGL")
        ratio = f"   {other / seconds:5.1f} x OpenGL" if other else ""
        print(f"{names.get(look, look):36} {options.frames / seconds:7.0f} frames/s{ratio}")


if __name__ == "__main__":
    main()
