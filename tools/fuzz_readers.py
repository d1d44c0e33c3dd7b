"""What tools/fuzz.py reads: every reader of files that people hand in, with good files for it."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32


@dataclass(frozen=True)
class FuzzedReader:
    """A reader, and how many of a thousand cases it gets."""

    name: str
    good: str  # the function of tests/support/good_files.py that writes good files; "": any bytes
    read: Callable[[Path], object]  # raises InputError or RenderError, or nothing
    share: int

    def make(self, folder: Path) -> list[Path]:
        """Good files in a folder."""
        if not self.good:
            (folder / "good").write_bytes(b"good")
            return [folder / "good"]
        from tests.support import good_files

        return getattr(good_files, self.good)(folder)


def _checkpoint(path: Path) -> None:
    from perfrdiff import checkpoints, weights

    weights.summary(str(path))
    checkpoints.load(str(path))


def _weight_shift(path: Path) -> None:
    from perfrdiff.personal.weight_shift import WeightShift

    WeightShift.load(path)


def _published_file(path: Path) -> None:
    from perfrdiff.published.weights import source
    from tests.support.published_folder import reduced_tables

    file = next(file for file in reduced_tables()["render"] if file.network == "style_encoder")
    source.find_faults(source.read_weights(path, file), file, {})


def _published_zip(path: Path) -> None:
    from perfrdiff.published.weights import source
    from tests.support.published_folder import reduced_tables

    files = reduced_tables()["render"]
    opened = source.open_source(path)
    members = source.find_members(opened, files)
    if len(members) < len(files):
        raise source.incomplete_error(opened, {"render": files})
    with source.unpacked(opened, members, files, path.parent) as paths:
        for file in files:
            source.read_weights(paths[file.path], file)


def _mean_face(path: Path) -> None:
    from perfrdiff.published.weights import convert

    folder = path.parent / convert.MEAN_FACE.parent
    folder.mkdir(exist_ok=True)
    (folder / convert.MEAN_FACE.name).write_bytes(path.read_bytes())
    convert.mean_face(path.parent)


def _pirender(path: Path) -> None:
    from renderer.portrait.pirender.weights import load_weights

    load_weights(path)


def _face_model(path: Path) -> None:
    from renderer.face_model import load_face_model, neutral_coefficients

    load_face_model(path).vertices(neutral_coefficients()[:, :52])


def _faceverse_pickle(path: Path) -> None:
    from renderer.face_model import convert_faceverse, load_face_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert_faceverse(path, path.with_suffix(".npz"))
    load_face_model(path.with_suffix(".npz"))


def _identity(path: Path) -> None:
    from renderer.identity.files import load_identity

    load_identity(path)


def _table(path: Path) -> None:
    from perfrdiff.features.tables import read_table

    read_table(path)


def _attribute_network(path: Path) -> None:
    from perfrdiff.features.attribute_network import AttributeNetwork

    AttributeNetwork(path)


def _yaml(path: Path) -> None:
    from perfrdiff.published.config.reader import read_config

    read_config(path)


def _manifest(path: Path) -> None:
    from perfrdiff.batch.manifest import read_items

    read_items(str(path))


def _live_message(path: Path) -> None:
    from perfrdiff.live.protocol import parse

    parse(path.read_bytes())


def _output_folder(path: Path) -> None:
    from perfrdiff.batch.journal import Journal
    from perfrdiff.errors import InputError
    from perfrdiff.exports.from_folder import export
    from perfrdiff.pipeline.again import settings_again
    from perfrdiff.pipeline.folder import OutputFolder

    Journal(path)
    with contextlib.suppress(InputError):
        settings_again(path, {})
    with contextlib.suppress(InputError):
        export(path.parent, ["csv"], path.parent / "exports")
    OutputFolder(path.parent).read()


def _photo(path: Path) -> None:
    from perfrdiff.features.media.images import read_image

    read_image(path)


def _media(path: Path) -> None:
    from perfrdiff.features.media.input import open_input

    with open_input(path, 60) as media:
        if media.kind == "image":
            media.image()
        elif media.kind == "table":
            media.table()
        else:
            media.audio()
            for _ in media.frames(128):
                pass


def _breaking(path: Path) -> None:
    content = path.read_bytes()
    way = 3 if content == b"good" else crc32(content) % 4
    if way == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    while way == 1:
        pass
    if way == 2:
        raise KeyError("found")


SELF_CHECK = FuzzedReader("self-check", "", _breaking, 0)
"""A reader that crashes, hangs, and raises what it should not: for the test of the fuzzer itself."""

READERS = {
    reader.name: reader
    for reader in (
        FuzzedReader("checkpoint", "checkpoint", _checkpoint, 60),
        FuzzedReader("weight shift", "weight_shift", _weight_shift, 80),
        FuzzedReader("published .pth", "published_folder", _published_file, 80),
        FuzzedReader("published zip", "published_zip", _published_zip, 30),
        FuzzedReader("mean face .npy", "mean_face", _mean_face, 40),
        FuzzedReader("PIRender .pth", "pirender", _pirender, 40),
        FuzzedReader("face model .npz", "face_model", _face_model, 60),
        FuzzedReader("FaceVerse .npy", "faceverse_pickle", _faceverse_pickle, 60),
        FuzzedReader("identity .npz", "identity", _identity, 60),
        FuzzedReader("features table", "features", _table, 80),
        FuzzedReader("Live Link, OpenFace", "third_party", _table, 80),
        FuzzedReader("ONNX network", "attribute_network", _attribute_network, 50),
        FuzzedReader("YAML", "published_yaml", _yaml, 40),
        FuzzedReader("manifest", "manifest", _manifest, 60),
        FuzzedReader("live message", "live_messages", _live_message, 60),
        FuzzedReader("settings.json, journal", "output_folder", _output_folder, 40),
        FuzzedReader("photo", "photos", _photo, 60),
        FuzzedReader("video", "videos", _media, 20),
    )
}
"""Shares add up to 1000."""
