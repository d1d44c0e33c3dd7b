"""One good file, or several, of every kind that the program reads: small, and made by the project itself.

For the tests of hostile files and for tools/fuzz.py, which spoils them.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from perfrdiff import checkpoints
from perfrdiff.coefficients import EXPRESSION_NAMES, neutral
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.features.tables import FeatureTable, write_table
from perfrdiff.live import protocol
from perfrdiff.models.layers import WeightEdit
from perfrdiff.personal.weight_shift import WeightShift
from perfrdiff.pipeline.folder import OutputFolder
from renderer.face_model import load_face_model
from renderer.identity.files import save_identity
from renderer.portrait.pirender.architecture import Architecture
from renderer.portrait.pirender.synthetic_weights import synthetic_weights
from tests.support.clips import write_clip
from tests.support.made_up_identity import made_up_identity
from tests.support.published_folder import write_folder, write_zip
from tests.support.published_yaml import autoencoder, generator, style_encoder, weight_editor
from tests.support.tiny_checkpoint import tiny_checkpoint

FRAMES = 30
SMALL_PIRENDER = Architecture(
    descriptor=16, warping_channels=(4, 8, 8, 8, 8, 8), decoder_channels=(8, 8, 8), editing_channels=(4, 8, 8, 8)
)


def checkpoint(folder: Path) -> list[Path]:
    checkpoints.save(tiny_checkpoint(), folder / "tiny.safetensors")
    return [folder / "tiny.safetensors"]


def weight_shift(folder: Path) -> list[Path]:
    left, right = torch.ones(1, 48, 2), torch.ones(1, 2, 32)
    shift = WeightShift({"decoder.layers.1.linear1.weight": WeightEdit(left=left, right=right)}, "tiny", "a" * 64)
    shift.save(folder / "shift.safetensors")
    return [folder / "shift.safetensors"]


def published_folder(folder: Path) -> list[Path]:
    """The .pth files of the render variant, with all sizes reduced."""
    return sorted(write_folder(folder / "published", "render").rglob("*.pth"))


def published_zip(folder: Path) -> list[Path]:
    return [write_zip(write_folder(folder / "published", "render"), folder / "checkpoints.zip")]


def mean_face(folder: Path) -> list[Path]:
    np.save(folder / "mean_face.npy", neutral())
    return [folder / "mean_face.npy"]


def pirender(folder: Path) -> list[Path]:
    torch.save({"state_dict": synthetic_weights(SMALL_PIRENDER)}, folder / "cur_model_fold.pth")
    return [folder / "cur_model_fold.pth"]


def faceverse_arrays() -> dict[str, np.ndarray]:
    """What FaceVerse's official file holds, for a model of 24 vertices."""
    rng, count = np.random.default_rng(0), 24
    return {
        "meanshape": rng.normal(size=(count, 3)).astype(np.float32),
        "meantex": np.full((count, 3), 128.0, np.float32),
        "idBase": rng.normal(size=(3 * count, 150)).astype(np.float32),
        "exBase": rng.normal(size=(3 * count, 52)).astype(np.float32),
        "texBase": np.zeros((3 * count, 251), np.float32),
        "tri": np.arange(count).reshape(-1, 3),
        "point_buf": np.repeat(np.arange(count)[:, None] // 3, 8, axis=1),
        "keypoints": np.arange(count),
    }


def face_model(folder: Path) -> list[Path]:
    np.savez_compressed(folder / "faceverse.npz", **faceverse_arrays())
    return [folder / "faceverse.npz"]


def faceverse_pickle(folder: Path) -> list[Path]:
    np.save(folder / "faceverse.npy", np.array(faceverse_arrays(), object), allow_pickle=True)
    return [folder / "faceverse.npy"]


def identity(folder: Path) -> list[Path]:
    save_identity(made_up_identity(load_face_model(), 32, hair=True), folder / "person.npz")
    return [folder / "person.npz"]


def features(folder: Path) -> list[Path]:
    """The program's own table in both forms."""
    rng = np.random.default_rng(0)
    rows = np.tile(neutral(), (FRAMES, 1)).astype(np.float32)
    rows[:, :52] = rng.uniform(0, 1, (FRAMES, 52))
    audio = rng.normal(size=(FRAMES, 78)).astype(np.float32)
    table = FeatureTable(rows, facial_attributes(rows), audio, np.zeros(FRAMES, np.uint8))
    paths = [folder / "clip.npz", folder / "clip.csv"]
    for path in paths:
        write_table(path, table)
    return paths


def third_party(folder: Path) -> list[Path]:
    """A Live Link Face recording and an OpenFace table, two seconds each."""
    frames = 120
    live: dict[str, list] = {"Timecode": [f"10:59:{k // 60:02d}:{k % 60:02d}.5" for k in range(frames)]}
    live |= {"BlendshapeCount": [61] * frames}
    live |= {name[0].upper() + name[1:]: [0.25] * frames for name in EXPRESSION_NAMES}
    live |= {"HeadYaw": [0.2] * frames, "HeadPitch": [0.1] * frames, "HeadRoll": [0.0] * frames}
    opened: dict[str, list] = {"frame": list(range(1, 61)), " timestamp": [f"{k / 30:.3f}" for k in range(60)]}
    still = ("gaze_angle_x", "gaze_angle_y", "pose_Tx", "pose_Ty", "pose_Ry", "pose_Rz")
    numbers = dict.fromkeys(still, 0.0) | {
        "confidence": 0.98,
        "success": 1,
        "pose_Tz": 600.0,
        "pose_Rx": 0.2,
        "AU12_r": 2,
    }
    opened |= {f" {name}": [value] * 60 for name, value in numbers.items()}
    paths = []
    for name, columns in (("live_link", live), ("openface", opened)):
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        paths.append(folder / f"{name}.csv")
        paths[-1].write_text(out.getvalue())
    return paths


def attribute_network(folder: Path) -> list[Path]:
    """An ONNX network that answers with the mean colours. Needs the package onnx (requirements-dev.txt)."""
    import onnx

    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [make("GlobalAveragePool", ["face"], ["pooled"]), make("Flatten", ["pooled"], ["flat"]),
         make("Gemm", ["flat", "weights", "rest"], ["affect"])],
        "affect",
        [value("face", onnx.TensorProto.FLOAT, ["N", 3, 32, 32])],
        [value("affect", onnx.TensorProto.FLOAT, ["N", 10])],
        [onnx.numpy_helper.from_array(np.eye(3, 10, dtype=np.float32), "weights"),
         onnx.numpy_helper.from_array(np.zeros(10, np.float32), "rest")],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.helper.set_model_props(model, {"mean": "0,0,0", "std": "1,1,1"})
    onnx.save(model, str(folder / "affect.onnx"))
    return [folder / "affect.onnx"]


def published_yaml(folder: Path) -> list[Path]:
    texts = [generator("render"), generator("emotion"), weight_editor("emotion"), autoencoder(), style_encoder()]
    paths = [folder / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def manifest(folder: Path) -> list[Path]:
    (folder / "a.npz").write_bytes(features(folder)[0].read_bytes())
    rows = [{"speaker": "a.npz", "listener": "a.npz", "id": "one", "seed": 3}, {"speaker": "a.npz", "id": "two"}]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rows.csv").write_text("speaker,listener,id,seed\na.npz,a.npz,one,3\na.npz,a.npz,two,\n")
    return [folder / "rows.jsonl", folder / "rows.csv"]


def live_messages(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    matrix = np.eye(4)
    matrix[2, 3] = -40.0
    messages = [
        protocol.pack_sound(rng.uniform(-1, 1, 1600)),
        protocol.pack_nobody(1.5),
        protocol.pack_face(2.5, rng.uniform(0, 1, (478, 3)), rng.uniform(0, 1, 52), matrix, (640, 480)),
    ]
    paths = [folder / f"{number}.message" for number in range(len(messages))]
    for path, message in zip(paths, messages, strict=True):
        path.write_bytes(message)
    return paths


def output_folder(folder: Path) -> list[Path]:
    """The settings of a run's folder; every other file of the run is there, too."""
    out = OutputFolder(folder)
    numbers = np.tile(neutral(), (1, FRAMES, 1)).astype(np.float32)
    out.write_numbers(numbers, {"reactions": 1, "frames": FRAMES, "listening_style": "Warm", "habits": [["a", "b"]],
                                "notes": ["One."], "settings": {"transparent": False}})  # fmt: skip
    out.side_by_side.write_bytes(b"")
    out.reaction(1, ["mesh"], False).videos["mesh"].write_bytes(b"")
    return [out.settings]


def photos(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8)).resize((96, 72))
    paths = [folder / f"photo.{end}" for end in ("jpg", "png", "webp", "gif", "tif", "bmp", "avif")]
    for path in paths:
        image.save(path)
    return paths


def videos(folder: Path) -> list[Path]:
    """Clips of 1.2 s in several containers, one with sound."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (64, 64, 3), np.uint8) // 32 * 32 for _ in range(12)]
    times = [k / 10 for k in range(12)]
    sound = 0.1 * rng.standard_normal(16000 * 12 // 10).clip(-3, 3)
    paths = []
    for name, codec in (("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mkv", "mpeg4"), ("a.avi", "mpeg4"),
                        ("a.webm", "libvpx")):  # fmt: skip
        tracks = [(0.0, sound)] if name.endswith(("mp4", "mov")) else []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            paths.append(write_clip(folder / name, pictures, times, codec=codec, audio_tracks=tracks))
    return paths
