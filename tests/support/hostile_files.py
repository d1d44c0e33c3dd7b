"""Where untrusted files are read, and files that do harm where a reader trusts them: for the tests of security."""

import json
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from perfrdiff import checkpoints, weights
from perfrdiff.batch.manifest import read_items
from perfrdiff.errors import InputError
from perfrdiff.features.attribute_network import AttributeNetwork
from perfrdiff.features.tables import read_table
from perfrdiff.live.protocol import parse
from perfrdiff.personal.weight_shift import WeightShift
from perfrdiff.pipeline.folder import OutputFolder
from perfrdiff.published.config.reader import read_config
from perfrdiff.published.weights import convert, source
from renderer.errors import RenderError
from renderer.face_model import convert_faceverse, load_face_model
from renderer.identity.files import load_identity
from renderer.portrait.pirender.weights import load_weights
from tests.support.published_folder import reduced_tables

MEGABYTE = 1 << 20
GIGABYTES = 1 << 40
STYLE_ENCODER = next(file for file in reduced_tables()["render"] if file.network == "style_encoder")


def mean_face(path: Path):
    folder = path.parent / "FaceVerse"
    folder.mkdir(exist_ok=True)
    path.rename(folder / "mean_face.npy")
    return convert.mean_face(path.parent)


PLACES = {
    "weights": ("a.safetensors", lambda path: checkpoints.load(str(path))),
    "weights' words": ("a.safetensors", lambda path: weights.summary(str(path))),
    "weight shift": ("a.safetensors", WeightShift.load),
    "published .pth": ("a.pth", lambda path: source.read_weights(path, STYLE_ENCODER)),
    "published zip": ("a.zip", lambda path: convert.import_weights(path, path.parent / "out")),
    "mean face": ("mean.npy", mean_face),
    "PIRender .pth": ("cur_model_fold.pth", load_weights),
    "PIRender .pt": ("epoch_00190_iteration_000400000_checkpoint.pt", load_weights),
    "PIRender .bin": ("a.bin", load_weights),
    "PIRender .safetensors": ("pirender.safetensors", load_weights),
    "face model": ("faceverse.npz", load_face_model),
    "FaceVerse's own": ("faceverse.npy", lambda path: convert_faceverse(path, path.with_suffix(".npz"))),
    "identity": ("person.npz", load_identity),
    "features .npz": ("clip.npz", read_table),
    "features .csv": ("clip.csv", read_table),
    "ONNX network": ("affect.onnx", AttributeNetwork),
    "YAML": ("a.yaml", read_config),
    "manifest .csv": ("rows.csv", lambda path: [read_table(item.files["speaker"]) for item in read_items(str(path))]),
    "manifest .jsonl": ("rows.jsonl", lambda path: read_items(str(path))),
    "live message": ("a.message", lambda path: parse(path.read_bytes())),
    "settings.json": ("settings.json", lambda path: OutputFolder(path.parent).read()),
}
"""Every place that reads a file which may be untrusted: its name there, and the reader."""


class Malice:
    """What a pickle of it does when it is read by a reader that runs what pickles say."""

    def __init__(self, target: Path):
        self.target = str(target)

    def __reduce__(self):
        return (exec, (f"open({self.target!r}, 'w').write('run')",))


def numpy_archive(path: Path, malice: Malice) -> None:
    names = ("coefficients", "shape", "meanshape", "format")
    with path.open("wb") as file:
        np.savez(file, **{name: np.array([malice], object) for name in names})


def refused(read, path: Path) -> str:
    """The one sentence with which the file is refused."""
    with pytest.raises((InputError, RenderError)) as caught:
        read(path)
    words = str(caught.value)
    assert "\n" not in words and words.endswith(".") and len(words) < 900
    return words


def peak(read, path: Path) -> int:
    """Bytes that Python and numpy held at most while the file was refused."""
    tracemalloc.start()
    try:
        refused(read, path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def rewritten(path: Path, **changes: str) -> Path:
    """A file of weights with other texts in its header."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] |= changes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path


def bomb(path: Path, names: tuple[str, ...], shape: tuple[int, ...], size: int) -> None:
    """An archive of arrays that say `shape` and unpack to `size` zeros each."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in names:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
                for _ in range(size // MEGABYTE):
                    member.write(bytes(MEGABYTE))
