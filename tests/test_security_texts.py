"""Untrusted texts and what the fuzzer found: each is read, or refused in one sentence."""

import json
import struct
import zipfile
from collections import Counter
from zlib import crc32

import numpy as np
import pytest

from perfrdiff import checkpoints
from perfrdiff.batch.journal import Journal
from perfrdiff.batch.manifest import read_items
from perfrdiff.errors import InputError
from perfrdiff.exports.from_folder import export
from perfrdiff.features.attribute_network import AttributeNetwork
from perfrdiff.pipeline.again import settings_again
from perfrdiff.pipeline.folder import OutputFolder
from perfrdiff.published.config.reader import read_config
from perfrdiff.published.weights import source
from renderer.errors import RenderError
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
from tests.support.published_yaml import generator
from tools import fuzz, fuzz_readers
from tools.fuzz_mutations import spoil
from tools.fuzz_readers import READERS

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
