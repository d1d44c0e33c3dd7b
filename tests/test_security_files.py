"""Weights and other files from strangers: no pickle runs, no archive unpacks to gigabytes, no header makes room."""

import json
import pickle
import re
import resource
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from perfrdiff import checkpoints
from perfrdiff.features.attribute_network import AttributeNetwork
from perfrdiff.published.weights import convert, source
from renderer import face_model
from renderer.face_model import load_face_model
from renderer.portrait.pirender.weights import load_weights
from tests.support import good_files
from tests.support.hostile_files import (
    GIGABYTES,
    MEGABYTE,
    PLACES,
    STYLE_ENCODER,
    Malice,
    bomb,
    numpy_archive,
    peak,
    refused,
    rewritten,
)
from tests.support.published_folder import reduced_tables

ROOT = Path(__file__).resolve().parents[1]


def plain_pickle(path: Path, malice: Malice) -> None:
    path.write_bytes(pickle.dumps({"state_dict": malice}))


def torch_archive(path: Path, malice: Malice) -> None:
    torch.save({"state_dict": {"a": torch.ones(2), "b": malice}}, path)


def old_torch_file(path: Path, malice: Malice) -> None:
    torch.save({"state_dict": {"b": malice}}, path, _use_new_zipfile_serialization=False)


def numpy_objects(path: Path, malice: Malice) -> None:
    with path.open("wb") as file:
        np.save(file, np.array({"meanshape": malice}, object), allow_pickle=True)


def published_archive(path: Path, malice: Malice) -> None:
    """The authors' zip, whole but for one file."""
    folder = path.parent / "good"
    folder.mkdir()
    files = good_files.published_folder(folder)
    torch_archive(files[0], malice)
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, "checkpoints/" + file.relative_to(folder / "published").as_posix())


def yaml_tag(path: Path, malice: Malice) -> None:
    code = f"open({malice.target!r}, 'w').write('run')"
    path.write_text(
        f"diffusion_decoder: !!python/object/apply:builtins.exec ['{code.replace(chr(39), chr(39) * 2)}']\n"
    )


PICKLES = (plain_pickle, torch_archive, old_torch_file, numpy_objects, numpy_archive, published_archive, yaml_tag)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("write", PICKLES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("place", PLACES)
def test_no_pickle_runs_anywhere(tmp_path, place, write, monkeypatch):
    """With whatever reader it is tried: the file that the pickle would write is not there afterwards."""
    name, read = PLACES[place]
    target = tmp_path / "executed"
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / name
    write(path, Malice(target))
    monkeypatch.setattr(convert.variants, "shape_tables", reduced_tables)
    refused(read, path)
    assert not target.exists()


def test_the_pickles_of_these_tests_would_run(tmp_path):
    """Else the test above shows nothing."""
    for number, write in enumerate((plain_pickle, torch_archive, old_torch_file, numpy_objects)):
        target, path = tmp_path / f"executed{number}", tmp_path / f"a{number}"
        write(path, Malice(target))
        if write is plain_pickle:
            pickle.loads(path.read_bytes())
        elif write is numpy_objects:
            np.load(path, allow_pickle=True)
        else:
            torch.load(path, weights_only=False)
        assert target.read_text() == "run"


def test_nothing_in_the_program_reads_pickle_otherwise():
    """`allow_pickle=True` and `weights_only=False` are nowhere; one restricted unpickler is.

    What Ray's workers are given, this program has packed itself, and Ray hands on from process to process as it does
    the code to run: no file and no visitor comes near it.
    """
    places = [path for folder in ("perfrdiff", "renderer", "page") for path in (ROOT / folder).rglob("*.py")]
    assert len(places) > 200
    calls = re.compile(
        r"allow_pickle\s*=\s*True|weights_only\s*=\s*False|pickle\.loads?\(|yaml\.(unsafe_|full_)?load\(|shell=True"
        r"|torch\.load\((?![^)]*weights_only=True)|(?<![.\w])(eval|exec)\(|os\.system|marshal\.|shelve\."
    )
    found = [(path.name, call.group()) for path in places for call in calls.finditer(path.read_text(encoding="utf-8"))]
    assert found == [("ray_engine.py", "pickle.loads(")]


# --- sizes -----------------------------------------------------------------------------------------------------------


def lying_header(tensors: dict, body: bytes = b"", said: int | None = None, metadata: dict | None = None) -> bytes:
    header = json.dumps(tensors | ({"__metadata__": metadata} if metadata else {})).encode()
    return struct.pack("<Q", len(header) if said is None else said) + header + body


def tensor(shape: list[int], place: list[int]) -> dict:
    return {"a": {"dtype": "F32", "shape": shape, "data_offsets": place}}


LIES = {
    "a header that is longer than the file": lying_header({}, said=GIGABYTES),
    "a header of 2^64 bytes": lying_header({}, said=(1 << 64) - 1),
    "a tensor that is not there": lying_header(tensor([GIGABYTES], [0, 4 * GIGABYTES])),
    "a shape that overflows": lying_header(tensor([1 << 33, 1 << 33], [0, 4]), b"1234"),
    "a place before the start": lying_header(tensor([1], [-4, 0]), b"1234"),
    "tensors over one another": lying_header(
        {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}, b"1234"
    ),
    "a header of nothing but brackets": struct.pack("<Q", 100_000) + b"[" * 100_000,
    "no header": b"\x00" * 8,
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_safetensors_that_lie(tmp_path, lie):
    for place in ("weights", "weights' words", "weight shift", "PIRender .safetensors"):
        name, read = PLACES[place]
        path = tmp_path / name
        path.write_bytes(LIES[lie])
        assert peak(read, path) < 32 * MEGABYTE


@pytest.mark.parametrize(
    "sizes",
    [
        {"denoiser": {"width": 1 << 22}}, {"denoiser": {"layers": 10**9}}, {"denoiser": {"heads": 0}},
        {"style_encoder": {"max_tokens": 1 << 24}}, {"weight_editor": {"hidden": 10**30}}, {"denoiser": []},
        {"denoiser": {"window": -1}}, {"style_encoder": {"layers": "many"}}, {"weight_editor": {"targets": 3}},
    ],
    ids=str,
)  # fmt: skip
def test_weights_whose_sizes_would_take_all_memory(tmp_path, sizes):
    """Sizes stand in the header, and networks of such sizes are not built before they are compared with the tensors."""
    path = good_files.checkpoint(tmp_path)[0]
    about = checkpoints.read_safetensors(path, "", "")[0]
    told = json.loads(about["sizes"])
    for network, change in sizes.items():
        told[network] = {**told[network], **change} if isinstance(change, dict) else change
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(lambda path: checkpoints.load(str(path)), rewritten(path, sizes=json.dumps(told)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize(
    "sampling", ['{"steps": 1000000000}', '{"slide": 0}', '{"guidance": NaN}', "[" * 100_000, '{"guidance": "x"}', "7"]
)
def test_weights_whose_sampling_would_not_end(tmp_path, sampling):
    path = good_files.checkpoint(tmp_path)[0]
    if sampling.startswith("{"):
        told = json.loads(checkpoints.read_safetensors(path, "", "")[0]["sampling"]) | json.loads(sampling)
        sampling = json.dumps(told)
    refused(lambda path: checkpoints.load(str(path)), rewritten(path, sampling=sampling))


def as_identity(shape):
    from renderer.identity import files

    return tuple(files._SHAPES), shape


@pytest.mark.parametrize("place", ["face model", "identity", "features .npz"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [((GIGABYTES,), 0), ((1 << 62, 1 << 62), 0), ((-1,), 0), ((420, MEGABYTE // 4), 420 * MEGABYTE)],
    ids=str,
)
def test_archives_that_say_or_unpack_to_gigabytes(tmp_path, place, shape, size, monkeypatch):
    monkeypatch.setattr(face_model, "MOST_BYTES", 400 * MEGABYTE)
    name, read = PLACES[place]
    path = tmp_path / name
    names = {"face model": ("meanshape", "meantex"), "features .npz": ("coefficients",)}.get(place)
    bomb(path, names or as_identity(shape)[0][: 1 if size else None], shape, size)
    assert peak(read, path) < 64 * MEGABYTE
    assert path.stat().st_size < 8 * MEGABYTE


def test_a_published_file_that_unpacks_to_gigabytes(tmp_path, monkeypatch):
    """A packed member of a torch archive, and a published zip whose file is far larger than its weights."""
    path = tmp_path / "a.pth"
    packed = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with packed as archive, archive.open("archive/data.pkl", "w", force_zip64=True) as member:
        for _ in range(70):
            member.write(bytes(MEGABYTE))
    for read in (load_weights, lambda path: source.read_weights(path, STYLE_ENCODER)):
        assert "packed" in refused(read, path)
    monkeypatch.setattr(convert.variants, "shape_tables", reduced_tables)
    whole = good_files.published_zip(tmp_path)[0]
    with (
        zipfile.ZipFile(whole) as old,
        zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info.filename, content + bytes(100 * MEGABYTE if info == old.infolist()[-2] else 0))
    words = refused(lambda path: convert.import_weights(path, tmp_path / "out"), tmp_path / "bomb.zip")
    assert "at most" in words
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "name", ["../evil.pth", "/etc/evil.pth", "checkpoints/../../evil.pth", "..\\evil.pth", "C:\\evil.pth"]
)
def test_names_that_lead_out_of_an_archive(tmp_path, monkeypatch, name):
    monkeypatch.setattr(convert.variants, "shape_tables", reduced_tables)
    (tmp_path / "in").mkdir()
    whole = good_files.published_zip(tmp_path / "in")[0]
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr(name, b"evil")
    words = refused(lambda path: convert.import_weights(path, tmp_path / "in" / "out"), whole)
    assert "leads out of its folder" in words
    for place in ("features .npz", "face model"):
        _, read = PLACES[place]
        path = tmp_path / "in" / PLACES[place][0]
        good = {"features .npz": good_files.features, "face model": good_files.face_model}[place](tmp_path / "in")[0]
        if good != path:
            good.rename(path)
        read(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{name}.npy", b"evil")
        assert "leads out of its folder" in refused(read, path)
    assert not list(tmp_path.rglob("evil*")) and not Path("/etc/evil.pth").exists()


def test_tensors_that_say_more_than_the_file_holds(tmp_path):
    """Stride 0 makes four bytes a tensor of any size; meta tensors have no numbers at all."""
    for number, tensor in enumerate((torch.ones(1).expand(1 << 40), torch.empty(1 << 40, device="meta"))):
        path = tmp_path / f"{number}.pth"
        torch.save({"state_dict": {"a": tensor}}, path)
        refused(load_weights, path)
        refused(lambda path: source.read_weights(path, STYLE_ENCODER), path)


@pytest.mark.parametrize("name", ["tri", "point_buf", "keypoints"])
def test_a_face_model_that_names_vertices_which_are_not_there(tmp_path, name):
    """Compiled loops would read beyond the arrays."""
    for value in (-1, 1 << 30):
        arrays = good_files.faceverse_arrays()
        arrays[name] = np.full_like(arrays[name], value)
        np.savez(tmp_path / "a.npz", **arrays)
        assert "not there" in refused(load_face_model, tmp_path / "a.npz")


def test_onnx_networks_read_no_other_file(tmp_path, monkeypatch):
    """ONNX may name a file that holds a tensor's numbers, and onnxruntime looks for it from the working folder."""
    onnx = pytest.importorskip("onnx", reason="onnx is in requirements-dev.txt")
    path = good_files.attribute_network(tmp_path)[0]
    AttributeNetwork(path)
    model = onnx.load(path)
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.arange(30, dtype=np.float32).tobytes())
    tensor = next(one for one in model.graph.initializer if one.name == "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "secret.bin"), ("offset", "0"), ("length", "120")):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    assert "other files" in refused(AttributeNetwork, path)
