"""Times one part of the drawing whenever it is told to: what `benchmarks.drawing` starts once for each commit.

    PYTHONPATH=ROOT python benchmarks/drawing_parts.py INPUTS.npz

ROOT is the checkout whose renderer is measured, today's or that of 3766a12, whose modules had other names. The parts'
names are printed as a JSON list; then for each name read from stdin, CPU seconds a frame are printed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

FRAMES = 24  # of each turn
SIZES = (256, 512)


def parts(inputs: dict[str, np.ndarray]) -> dict[str, Callable[[], object]]:
    """Name -> function that draws FRAMES frames."""
    from renderer.face_model import load_face_model
    from renderer.mesh import MeshRenderer
    from renderer.portrait import WarpAnimator

    try:
        from renderer.video.layout import SideBySideLayout
        from renderer.video.writer import VideoWriter
        from renderer.yuv420 import to_yuv420
    except ImportError:  # 3766a12 put RGB pictures together and converted the whole
        from renderer.layout import Grid as SideBySideLayout

        from renderer.video import VideoWriter

        def to_yuv420(picture):
            return picture

    face, found = load_face_model(), {}

    def drain(draw, rows):
        for _ in draw(rows):
            pass

    for size in SIZES:
        mesh = MeshRenderer(face, size, backend="cpu")
        found[f"mesh {size}"] = lambda mesh=mesh: drain(mesh.render, inputs["mesh_rows"])
        try:
            from benchmarks.mesh import noisy_identity

            textured = MeshRenderer(face, size, mesh_identity=noisy_identity(face), backend="cpu")
            found[f"mesh {size}, textured"] = lambda mesh=textured: drain(mesh.render, inputs["mesh_rows"])
        except ImportError:  # 3766a12 has no textures
            pass
        animator = WarpAnimator(face, size)
        animator.set_portrait(inputs["picture"], inputs["landmarks"], inputs["coefficients"])
        found[f"photo {size}"] = lambda animator=animator: drain(animator.animate, inputs["photo_rows"])
    layout = SideBySideLayout((640, 360), ["Reaction 1", "Reaction 2", "Reaction 3"], 2, 256)
    singles = inputs["pictures"].reshape(-1, 3, 2, 256, 256, 3)
    cards = [[[to_yuv420(picture) for picture in card] for card in cards] for cards in singles]  # for their own files
    composed = [layout.compose(inputs["speaker"], card) for card in cards]

    def encode(pictures, size):
        with (
            tempfile.TemporaryDirectory() as folder,
            VideoWriter(Path(folder) / "a.mp4", size) as w,
        ):
            for k in range(FRAMES):
                picture = pictures[k % len(pictures)]
                if isinstance(picture, np.ndarray):
                    w.write(picture)
                else:
                    w.write_yuv(picture)

    found["side by side, compose"] = lambda: [
        layout.compose(inputs["speaker"], cards[k % len(cards)]) for k in range(FRAMES)
    ]
    found["side by side, encode"] = lambda: encode(composed, layout.size)
    found["single 256, encode"] = lambda: encode([picture[0, 0] for picture in singles], (256, 256))
    return found


def main() -> None:
    with np.load(sys.argv[1]) as archive:
        found = parts(dict(archive))
    for draw in found.values():  # compile
        draw()
    print(json.dumps(list(found)), flush=True)
    for line in sys.stdin:
        start = time.process_time()
        found[line.strip()]()
        print((time.process_time() - start) / FRAMES, flush=True)


if __name__ == "__main__":
    main()
