"""Proves that a batch over several machines, or over a store that is no disk, makes what one machine makes on its disk.

    python -m tools.batch_machines [--items 40] [--folder DIR]

The same items (`tests.support.batch_items`) are read by the pool, by Ray on this machine alone, by the pool with inputs
and outputs in an S3 store (moto, on this machine), and by a Ray cluster of two nodes over that store, of which one is
killed in the middle. Bytes of all outputs and the tables have to be equal. Needs perfrdiff[ray], perfrdiff[s3] and
moto[server]. Prints the processor seconds that Ray takes beside the pool; exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.support.batch_items import make_items
from tools.batch_trial import ROOT, compare, rows, unexpected

MARK = 0.15  # of the pool's processor seconds, that Ray may take more
PR_SET_CHILD_SUBREAPER = 36
LOOKS = 0.2  # seconds between looks at what processes have used
BUCKET = "s3://trial"
STORE = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def features(source: str, out: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "perfrdiff", "batch", "features", source, "--out", out, "--quiet", *more]


def measured(command: list[str]) -> tuple[float, float]:
    """CPU-seconds and wall of a command, with everything it started, whoever it belongs to in the end.

    Processes are looked at while they run: of those that Ray's servers have killed, the system tells nobody afterwards.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # what outlives its parent becomes a child of this process
    began, used = time.perf_counter(), dict[int, float]()
    running = subprocess.Popen(command, cwd=ROOT)
    while running.poll() is None:
        used |= processor_seconds()
        time.sleep(LOOKS)
    wall = time.perf_counter() - began
    if running.returncode != 0:
        raise SystemExit(f"the command ended with {running.returncode}")
    with contextlib.suppress(ChildProcessError):  # until nobody is left
        while True:
            used |= processor_seconds()
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(LOOKS)
    return sum(used.values()), wall


def processor_seconds() -> dict[int, float]:
    """Process -> its CPU-seconds up to now, of all that come from this one."""
    used = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            used[process.pid] = times.user + times.system
    return used


def with_a_node_lost(command: list[str], over: Callable[[], int], least: int) -> None:
    """Run a command on a cluster of two nodes, and kill one as soon as `least` items are over."""
    from ray.cluster_utils import Cluster

    about = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=about | {"include_dashboard": False})
    lost = cluster.add_node(**about)
    cluster.wait_for_nodes()
    try:
        running = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"RAY_ADDRESS": cluster.address})
        while running.poll() is None and over() < least:
            time.sleep(0.5)
        cluster.remove_node(lost, allow_graceful=False)
        print(f"one of two nodes is killed when {over()} items are done", flush=True)
        if running.poll() is not None:
            raise SystemExit("the command was ready before a node could be killed; take more items")
        if running.wait() != 0:
            raise SystemExit(f"the command ended with {running.returncode}")
    finally:
        cluster.shutdown()


def main(arguments: list[str] | None = None) -> int:
    """All four, compared; 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="kept afterwards (default: a temporary one)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        return prove(options.folder or Path(temporary), options.items)


def prove(folder: Path, count: int) -> int:
    from moto.server import ThreadedMotoServer

    made = make_items(folder / "items", count)
    items = str(folder / "items")
    os.environ |= {"RAY_worker_niceness": "0"}  # on a busy machine Ray's own 15 gets no time at all
    pool, pool_wall = measured(features(items, str(folder / "pool")))
    ray, ray_wall = measured(features(items, str(folder / "ray"), "--engine", "ray"))
    print(f"{count} items, CPU-s: pool {pool:.1f}, Ray {ray:.1f}, {ray / pool - 1:+.0%} (mark {MARK:+.0%})")
    print(f"wall: pool {pool_wall:.0f} s, Ray {ray_wall:.0f} s, {ray_wall / pool_wall - 1:+.0%}", flush=True)
    faults = unexpected(made, rows(folder / "pool"))
    faults += [f"Ray: {fault}" for fault in compare(folder / "pool", folder / "ray", count)]

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        os.environ |= STORE | {"AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port())}
        import s3fs

        store = s3fs.S3FileSystem()
        store.mkdir(BUCKET)
        store.put(items, f"{BUCKET}/items", recursive=True)
        subprocess.run(features(f"{BUCKET}/items", f"{BUCKET}/pool"), cwd=ROOT, check=True)
        faults += of_store(store, "pool", folder, count)
        command = features(f"{BUCKET}/items", f"{BUCKET}/two-nodes", "--engine", "ray")
        with_a_node_lost(command, lambda: done_in(store, "two-nodes"), count // 5)
        faults += of_store(store, "two-nodes", folder, count)
    finally:
        server.stop()
    print("\n".join(faults) or "all are equal: pool, Ray, S3 store, two nodes of which one was lost")
    return 1 if faults or ray / pool - 1 > MARK else 0


def done_in(store: object, name: str) -> int:
    """How many features files are in a folder of the store."""
    store.invalidate_cache()  # type: ignore[attr-defined]
    return sum(path.endswith(".npz") for path in store.find(f"{BUCKET}/{name}"))  # type: ignore[attr-defined]


def of_store(store: object, name: str, folder: Path, count: int) -> list[str]:
    """What differs between the pool's results on disk and those in the store."""
    copy = folder / f"store-{name}"
    shutil.rmtree(copy, ignore_errors=True)
    store.get(f"{BUCKET}/{name}/", str(copy), recursive=True)  # type: ignore[attr-defined]
    return [f"store, {name}: {fault}" for fault in compare(folder / "pool", copy, count)]


if __name__ == "__main__":
    sys.exit(main())
