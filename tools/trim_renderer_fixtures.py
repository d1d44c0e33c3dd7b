"""The renderers' fixtures, cut down to what the tests need: python -m tools.trim_renderer_fixtures FOLDER

Writes tests/data/pirender_full.npz (the full-size network: its input, and every 8th pixel of its pictures; the weights
are made anew by the hash rule) and tests/data/faceverse_light.npz (normals, lighting and the textured picture, without
the bases that `faceverse_golden_small.npz` tests). Every number that stays is the original one.
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

OUT = Path(__file__).resolve().parent.parent / "tests" / "data"
STEP = 8
CASES = ("b1", "b4neg", "b3")
QUANTITIES = (
    "packed", "vertices_object", "normals_object", "normals_object_per_item", "normals_rotated", "texture", "color_lit",
    "color_lit_per_item", "vertices_world", "projected_image", "lms_proj",
)  # fmt: skip
TEXTURED = 24  # vertices whose texture directions stay


def main(folder: Path) -> None:
    full = load_file(folder / "pirender_full224_hashweights.safetensors")
    for name in ("out/warp_image", "out/fake_image"):
        full[name] = full[name][:, :, ::STEP, ::STEP]
    np.savez_compressed(OUT / "pirender_full.npz", **full)

    golden = dict(np.load(folder / "faceverse_golden.npz"))
    model = np.load(folder / "faceverse_synthetic_v2.npy", allow_pickle=True).item()  # a pickle of ours
    kept = {f"{case}/{name}": golden.get(f"{case}/{name}") for case in CASES for name in QUANTITIES}
    kept |= {key: value for key, value in golden.items() if key.startswith("img_tex/")}
    kept = {key: value for key, value in kept.items() if value is not None}
    for name in ("tri", "point_buf", "keypoints"):
        kept[name] = np.asarray(model[name]).astype(np.uint16)
    kept["meantex"] = model["meantex"][:TEXTURED]
    kept["texBase"] = model["texBase"][: 3 * TEXTURED].reshape(TEXTURED, 3, -1)
    np.savez_compressed(OUT / "faceverse_light.npz", **kept)
    for name in ("pirender_full.npz", "faceverse_light.npz"):
        print(f"{name:24} {(OUT / name).stat().st_size / 1e3:6.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
