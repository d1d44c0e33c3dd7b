"""Batches whose files are not on this machine's disk: the same items, the same bytes, the same ways to go on."""

import csv
import json
import os
from dataclasses import replace
from functools import partial

import fsspec
import numpy as np
import pytest

from perfrdiff.batch.manifest import read_items
from perfrdiff.batch.pool import run_jobs
from perfrdiff.batch.run import BatchRequest, run_batch
from perfrdiff.batch.storage import RemoteFile, exists, fetched, locate
from perfrdiff.batch.work import work
from perfrdiff.errors import InputError
from tests.support.batch_items import BROKEN, GOOD
from tests.support.batch_work import here as in_this_process

here = partial(in_this_process, do=work)  # the only process that sees memory://


@pytest.fixture
def store():
    """An object store in memory, emptied afterwards."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Features files, which are quickly read, and broken ones."""
    folder = tmp_path_factory.mktemp("items")
    for number, (kind, (make, _, _)) in enumerate({"table": GOOD["table"], "no archive": BROKEN["no archive"]}.items()):
        make(folder / f"{kind}.npz", np.random.default_rng(number), 64)
    GOOD["table"][0](folder / "talk.npz", np.random.default_rng(9), 64)
    return folder


def rows(text):
    return {row["id"]: row for row in csv.DictReader(text.splitlines())}


def test_a_store_gives_and_takes_what_a_disk_does(store, items, tmp_path):
    local = run_batch(BatchRequest("features", read_items(str(items)), tmp_path / "out", quiet=True), here)
    store.put(str(items), "/data/in", recursive=True)
    request = BatchRequest("features", read_items("memory://data/in"), "memory://data/out", quiet=True)
    assert [item.id for item in request.items] == ["no archive", "table", "talk"]
    result = run_batch(request, here)
    assert (result.done_now, result.failures) == (3, 1) and str(result.table) == "memory://data/out/results.csv"
    for name in ("table.npz", "talk.npz"):
        assert store.cat(f"/data/out/{name}") == (tmp_path / "out" / name).read_bytes()
    told, known = rows(store.cat("/data/out/results.csv").decode()), rows(local.table.read_text())
    for name, row in told.items():
        assert row | {"seconds": ""} == known[name] | {"seconds": ""}
    assert b"not done" in store.cat("/data/out/summary.html")
    assert run_batch(request, here).done_now == 0
    store.rm("/data/out/talk.npz")
    store.pipe("/data/in/no archive.npz", store.cat("/data/in/table.npz"))
    again = replace(request, items=read_items("memory://data/in"))
    assert run_batch(again, here).done_now == 2, "what is gone, and what has another content"


def test_a_table_in_a_store_names_files_beside_it_and_elsewhere(store, items, tmp_path):
    store.put(str(items), "/data/in", recursive=True)
    lines = [
        {"id": "beside", "speaker": "in/table.npz"},
        {"id": "address", "speaker": "memory://data/in/talk.npz"},
        {"id": "disk", "speaker": str(items / "table.npz")},
    ]
    store.pipe("/data/items.jsonl", "\n".join(map(json.dumps, lines)).encode())
    found = read_items("memory://data/items.jsonl")
    assert [str(item.files["speaker"]) for item in found[:2]] == [
        "memory://data/in/table.npz", "memory://data/in/talk.npz"
    ]  # fmt: skip
    assert run_batch(BatchRequest("features", found, tmp_path / "out", quiet=True), here).failures == 0
    same = [(tmp_path / "out" / f"{name}.npz").read_bytes() for name in ("beside", "disk")]
    assert same[0] == same[1]
    store.pipe("/data/items.jsonl", b'{"speaker": "in/table.npz"}\n{"speaker": "in/nobody.npz"}')
    with pytest.raises(InputError, match=r"line 2: memory://data/in/nobody\.npz is not there"):
        read_items("memory://data/items.jsonl")
    with pytest.raises(InputError, match="no media file in memory://data/nothing"):
        read_items("memory://data/nothing/*.mp4")


def test_addresses_are_what_they_say(store, tmp_path):
    assert locate("../b.mp4", "memory://data/lists") == RemoteFile("memory://data/b.mp4")
    assert locate("file:///etc/a.mp4") == locate("/etc/a.mp4", "memory://data")
    store.pipe("/data/a.mp4", b"film")
    file = locate("memory://data/a.mp4")
    with fetched(file) as path:
        assert path.read_bytes() == b"film" and path.name == "a.mp4", "notes have its name"
    assert not path.exists() and not exists(locate("memory://data/b.mp4"))
    with pytest.raises(RuntimeError, match="of the work"), fetched(file):
        raise RuntimeError("a fault of the work, not of the store")


@pytest.mark.parametrize("address", ["ftp://host/a", "simplecache::s3://b/a", "http://169.254.169.254/latest", "x://y"])
def test_other_protocols_are_refused(address):
    """A table may come from somebody else; it opens no address of this machine's network."""
    with pytest.raises(InputError, match="protocol that a batch does not take"):
        locate(address)


def test_a_package_that_is_not_there_is_named(monkeypatch):
    def missing(protocol):
        raise ImportError(protocol)

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(InputError, match="s3:// needs a package: pip install s3fs"):
        locate("s3://bucket/a.mp4")


@pytest.mark.slow
def test_a_pool_works_from_an_s3_store(items, tmp_path, monkeypatch):
    """The real protocol over the wire, from processes of their own."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed (pip install s3fs)")
    server_module = pytest.importorskip("moto.server", reason="moto is not installed (pip install 'moto[server]')")
    server = server_module.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            monkeypatch.setitem(os.environ, name, value)
        system = s3fs.S3FileSystem(skip_instance_cache=True)
        system.mkdir("data")
        system.put(str(items), "data/in", recursive=True)
        request = BatchRequest("features", read_items("s3://data/in"), "s3://data/out", workers=1, quiet=True)
        assert run_batch(request, run_jobs).failures == 1
        assert run_batch(request, run_jobs).done_now == 0
        local = run_batch(BatchRequest("features", read_items(str(items)), tmp_path / "out", quiet=True), here)
        assert system.cat("data/out/table.npz") == (local.table.parent / "table.npz").read_bytes()
    finally:
        server.stop()
