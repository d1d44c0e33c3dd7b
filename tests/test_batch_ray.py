"""A batch over a Ray cluster ends as on one machine, also where a machine is lost on the way."""

import csv
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from perfrdiff.batch.manifest import read_items
from perfrdiff.batch.ray_engine import _block_count, run_jobs_on_ray
from perfrdiff.batch.run import BatchRequest, run_batch
from perfrdiff.cli.main import main
from tests.support.batch_work import act, acting

ROOT = Path(__file__).resolve().parents[1]


def states(path):
    with path.open(newline="", encoding="utf-8") as file:
        return {row["id"]: (row["state"], row["sentence"], row.get("frames")) for row in csv.DictReader(file)}


def test_without_ray_a_sentence_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"a")
    given = ["batch", "features", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*given, "--engine", "ray"]) == 2
    assert "pip install 'perfrdiff[ray]'" in capsys.readouterr().err
    assert main([*given, "--gpu-share", "0.5"]) == 2 and "--engine ray" in capsys.readouterr().err


@pytest.mark.parametrize(("items", "blocks"), [(1, 1), (30, 30), (40, 32), (500, 125), (1_000_000, 10_000)])
def test_few_items_are_given_out_one_by_one_and_many_in_blocks_of_a_few(items, blocks):
    """One by one they cost more, in large blocks a lost machine does."""
    assert _block_count(items, actors=2) == blocks


@pytest.mark.slow
def test_a_lost_machine_costs_nothing_but_time(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="ray is not installed (pip install 'perfrdiff[ray]')")
    from ray.cluster_utils import Cluster

    monkeypatch.setitem(os.environ, "PYTHONPATH", str(ROOT))
    monkeypatch.setitem(os.environ, "RAY_worker_niceness", "0")  # on a busy machine Ray's own 15 gets no time at all
    folder = tmp_path / "in"
    folder.mkdir()
    names = [*(f"slow-{number:02}" for number in range(24)), "refuse", "break", "die-always", "die-once"]
    for name in names:
        (folder / f"{name}.mp4").write_bytes(name.encode())
    about = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**about, "include_dashboard": False})
    lost = cluster.add_node(**about)
    cluster.wait_for_nodes()
    journal = tmp_path / "ray" / "journal-features.jsonl"

    def lose():
        until = time.monotonic() + 120
        while time.monotonic() < until and not (journal.is_file() and len(journal.read_text().splitlines()) >= 5):
            time.sleep(0.1)
        cluster.remove_node(lost, allow_graceful=False)
        over_at_the_loss.append(len(journal.read_text().splitlines()))

    over_at_the_loss = []
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        thread = threading.Thread(target=lose)
        thread.start()
        request = BatchRequest("features", read_items(str(folder)), tmp_path / "ray", workers=2, quiet=True)
        result = run_batch(request, lambda jobs, given: run_jobs_on_ray(jobs, replace(given, do=act)))
        thread.join()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert over_at_the_loss[0] < len(names), "else nothing was lost"
    alone = BatchRequest("features", read_items(str(folder)), tmp_path / "pool", workers=2, quiet=True)
    known = run_batch(alone, acting)
    assert states(result.table) == states(known.table) and len(states(result.table)) == len(names)
    for path in (tmp_path / "pool").glob("*.npz"):
        assert (tmp_path / "ray" / path.name).read_bytes() == path.read_bytes()
