"""Weights and other files from strangers: no pickle runs, no archive unpacks to gigabytes, no header makes room."""

import json
import pickle
import re
import resource
import struct
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch

from perfrdiff import checkpoints, weights
from perfrdiff.batch.journal import Journal
from perfrdiff.batch.manifest import read_items
from perfrdiff.errors import InputError
from perfrdiff.exports.from_folder import export
from perfrdiff.features.attribute_network import AttributeNetwork
from perfrdiff.features.tables import read_table
from perfrdiff.live.protocol import parse
from perfrdiff.personal.weight_shift import WeightShift
from perfrdiff.pipeline.again import settings_again
from perfrdiff.pipeline.folder import OutputFolder
from perfrdiff.published.config.reader import read_config
from perfrdiff.published.weights import convert, source
from renderer import face_model
from renderer.errors import RenderError
from renderer.face_model import convert_faceverse, load_face_model
from renderer.identity.files import load_identity
from renderer.portrait.pirender.weights import load_weights
from tests.support import good_files
from tests.support.published_folder import reduced_tables
from tests.support.published_yaml import generator
from tools import fuzz, fuzz_readers
from tools.fuzz_mutations import spoil
from tools.fuzz_readers import READERS

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1 << 20
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
"""Every place that reads a file which may come from a stranger: its name there, and the reader."""


class Malice:
    """What a pickle of it does when it is read by a reader that runs what pickles say."""

    def __init__(self, target: Path):
        self.target = str(target)

    def __reduce__(self):
        return (exec, (f"open({self.target!r}, 'w').write('run')",))


def plain_pickle(path: Path, malice: Malice) -> None:
    path.write_bytes(pickle.dumps({"state_dict": malice}))


def torch_archive(path: Path, malice: Malice) -> None:
    torch.save({"state_dict": {"a": torch.ones(2), "b": malice}}, path)


def old_torch_file(path: Path, malice: Malice) -> None:
    torch.save({"state_dict": {"b": malice}}, path, _use_new_zipfile_serialization=False)


def numpy_objects(path: Path, malice: Malice) -> None:
    with path.open("wb") as file:
        np.save(file, np.array({"meanshape": malice}, object), allow_pickle=True)


def numpy_archive(path: Path, malice: Malice) -> None:
    names = ("coefficients", "shape", "meanshape", "format")
    with path.open("wb") as file:
        np.savez(file, **{name: np.array([malice], object) for name in names})


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


def refused(read, path: Path) -> str:
    """The one sentence with which the file is refused."""
    with pytest.raises((InputError, RenderError)) as caught:
        read(path)
    words = str(caught.value)
    assert "\n" not in words and words.endswith(".") and len(words) < 900
    return words


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


def peak(read, path: Path) -> int:
    """Bytes that Python and numpy held at most while the file was refused."""
    tracemalloc.start()
    try:
        refused(read, path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# --- sizes -----------------------------------------------------------------------------------------------------------


def lying_header(tensors: dict, body: bytes = b"", said: int | None = None, metadata: dict | None = None) -> bytes:
    header = json.dumps(tensors | ({"__metadata__": metadata} if metadata else {})).encode()
    return struct.pack("<Q", len(header) if said is None else said) + header + body


def tensor(shape: list[int], place: list[int]) -> dict:
    return {"a": {"dtype": "F32", "shape": shape, "data_offsets": place}}


GIGABYTES = 1 << 40
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


def rewritten(path: Path, **changes: str) -> Path:
    """A file of weights with other texts in its header."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] |= changes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path


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


def bomb(path: Path, names: tuple[str, ...], shape: tuple[int, ...], size: int) -> None:
    """An archive of arrays that say `shape` and unpack to `size` zeros each."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in names:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
                for _ in range(size // MEGABYTE):
                    member.write(bytes(MEGABYTE))


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


# --- texts -----------------------------------------------------------------------------------------------------------


def test_yaml_that_stands_for_gigabytes(tmp_path):
    """Ten lines of aliases of aliases, an alias of itself, a million keys, and values that are none of their tag."""
    laughs = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    laughs += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    good = generator("render")
    for number, text in enumerate((
        "\n".join([*laughs, "model: *a11"]), "model: &a [*a]", "model: {" + "a: " * 3000, "model: 2001-99-99",
        "model: !!bool perhaps", "model: !!timestamp x", "model: !!float x", "model: !!int ''",
        good + "\n? {a: b}\n: c\n", good + "\n? [a]\n: c\n", good.replace("50", "9" * 5000), "[" * 20_000,
        "model: !!set {a, a}",
    )):  # fmt: skip
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        refused(read_config, path)
    (tmp_path / "keys.yaml").write_text(good + "".join(f"k{n}: 1\n" for n in range(3_000)))
    assert len(read_config(tmp_path / "keys.yaml").unknown) >= 3_000
    (tmp_path / "long.yaml").write_text(good + "#" * (1 << 18))
    refused(read_config, tmp_path / "long.yaml")


@pytest.mark.parametrize(
    "row",
    ['{"speaker": ""}', '{"speaker": "."}', '{"speaker": "/"}', '{"speaker": "a\\u0000b"}', "[" * 100_000,
     '{"speaker": []}', '{"speaker": "' + "9" * 400 + '"}',
     '{"speaker": "a.npz", "seed": 1e999}', '{"speaker": "a.npz", "seed": [1]}', '{"speaker": "a.npz", "guidance": {}}',
     '{"speaker": "a.npz", "id": "../../out"}', '{"speaker": "a.npz", "id": "/etc/x"}', '{"speaker": "..\\\\..\\\\x"}',
     '{"speaker": "a.npz", "seed": ' + "9" * 400 + "}"],
    ids=lambda row: row[:40],
)  # fmt: skip
def test_rows_of_a_batch_that_are_none(tmp_path, row):
    good_files.manifest(tmp_path)
    (tmp_path / "rows.jsonl").write_text(row + "\n")
    refused(lambda path: read_items(str(path)), tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "{}", "7", '{"reactions": 1e9, "frames": 1}', '{"reactions": ' + "9" * 5000 + "}", "\x00", "",
     '{"reactions": 1000000000, "frames": 25, "listening_style": "", "habits": [], "notes": []}',
     '{"reactions": 1, "frames": 25, "listening_style": "", "habits": [], "notes": [], "settings": []}'],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_settings_that_are_none(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    refused(lambda path: OutputFolder(path.parent).read(), tmp_path / "settings.json")
    assert Journal(tmp_path / "settings.json").outcomes == {}


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "7", "{}", '{"settings": 3, "weights": 4, "listening_style": ""}', '{"settings": {}}']
)
def test_settings_of_a_run_that_is_to_be_made_again_or_taken_away(tmp_path, text):
    settings = good_files.output_folder(tmp_path)[0]
    settings.write_text(text)
    refused(lambda path: settings_again(path, {}), settings)
    refused(lambda path: export(path.parent, ["csv"], tmp_path / "out"), settings)
    assert not (tmp_path / "out").exists()


def test_numbers_of_a_run_that_are_a_bomb_or_a_pickle(tmp_path):
    settings = good_files.output_folder(tmp_path)[0]
    told = json.loads(settings.read_text()) | {"weights": {}}
    settings.write_text(json.dumps(told))
    path = tmp_path / "coefficients.npz"
    bomb(path, ("coefficients",), (GIGABYTES,), 0)
    assert peak(lambda path: export(path.parent, ["live_link"], tmp_path / "out"), path) < 64 * MEGABYTE
    numpy_archive(path, Malice(tmp_path / "executed"))
    refused(lambda path: export(path.parent, ["live_link"], tmp_path / "out"), path)
    assert not (tmp_path / "executed").exists()


# --- what the fuzzer found, each as it was found ---------------------------------------------------------------------


def test_a_member_without_a_name(tmp_path):
    """zipfile itself asks for the last letter of a name."""
    path = good_files.pirender(tmp_path)[0]
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "a.pth", "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
        new.writestr(zipfile.ZipInfo("x"), b"")
    data = (tmp_path / "a.pth").read_bytes()
    at = data.rindex(b"PK\x01\x02")
    tail = data[at:].replace(b"\x01\x00\x00\x00\x00\x00", b"\x00\x00\x00\x00\x00\x00", 1)
    (tmp_path / "a.pth").write_bytes(data[:at] + tail)
    for read in (load_weights, lambda path: source.read_weights(path, STYLE_ENCODER)):
        refused(read, tmp_path / "a.pth")


@pytest.mark.parametrize(("old", "new"), [(b"0,0,0", b"\n,0,0"), (b"0,0,0", b"\xff,0,0"), (b"1,1,1", b"nan,1")])
def test_metadata_of_a_network_that_is_none(tmp_path, old, new):
    pytest.importorskip("onnx", reason="onnx is in requirements-dev.txt")
    path = good_files.attribute_network(tmp_path)[0]
    assert path.read_bytes().count(old) == 1
    path.write_bytes(path.read_bytes().replace(old, new.ljust(5, b" ")))
    refused(AttributeNetwork, path)


class Large:
    """A pickle of it asks numpy for a terabyte, by names that are allowed."""

    def __reduce__(self):
        return (np.ndarray, ((1 << 38,),))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_table_of_arrays_that_asks_for_a_terabyte(tmp_path):
    """By the array itself, by the length of a text, and by a name with a line break in it."""
    path = tmp_path / "faceverse.npy"
    with path.open("wb") as file:
        np.save(file, np.array({"meanshape": Large()}, object), allow_pickle=True)
    assert peak(PLACES["FaceVerse's own"][1], path) < 32 * MEGABYTE
    head = good_files.faceverse_pickle(tmp_path)[0].read_bytes()
    head = head[: head.index(b"\n") + 1]
    long_text, long_array = b"\x8e" + struct.pack("<Q", 1 << 40) + b"x.", b"cnumpy\nndarray\n(I999999999999\ntR."
    for pickled in (long_text, long_array, b"\x80\x04\x8c\x03a\nb\x8c\x01c\x93."):
        path.write_bytes(head + pickled)
        assert peak(PLACES["FaceVerse's own"][1], path) < 32 * MEGABYTE


def test_a_format_that_fills_a_screen(tmp_path):
    path = rewritten(good_files.checkpoint(tmp_path)[0], format='{"a":' * 2000)
    assert len(refused(lambda path: checkpoints.load(str(path)), path)) < 300


# --- fuzzing ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_spoilt_files_are_read_or_refused(tmp_path):
    """The short form of `python -m tools.fuzz --cases 10000`, without its child processes."""
    pytest.importorskip("onnx", reason="onnx is in requirements-dev.txt")
    outcomes = Counter()
    for name, reader in READERS.items():
        folder = tmp_path / reader.good / name.split("/")[0]
        folder.mkdir(parents=True)
        files = reader.make(folder)
        contents = [path.read_bytes() for path in files]
        for number in range(8):
            rng = np.random.default_rng([3, crc32(name.encode()), number])
            which = int(rng.integers(len(files)))
            files[which].write_bytes(spoil(rng, contents[which], contents))
            try:
                reader.read(files[which])
                outcomes["read"] += 1
            except (InputError, RenderError) as error:
                assert "\n" not in str(error), (name, number)
                outcomes["refused"] += 1
            files[which].write_bytes(contents[which])
    assert outcomes.total() == 8 * len(READERS) and min(outcomes["read"], outcomes["refused"]) > 10


@pytest.mark.slow
def test_the_fuzzer_sees_what_breaks():
    """A crash, a hang, and an exception that is no refusal: each is found, and the cases behind it are still read."""
    report = fuzz.fuzz(fuzz_readers.SELF_CHECK.name, 0, 8, 0, seconds=0.3)
    text = "\n".join(report.finds)
    assert "ended with -11" in text and "took more than 0.3 s" in text and "KeyError: 'found'" in text
    assert report.outcomes["read"] > 0 and report.outcomes.total() == 8
