"""Items over the machines of a Ray cluster, or over this one's cores: what `pool.run_jobs` does, with `--engine ray`.

Ray Data carries one row an item to actors that load everything once, holds back what no actor is free for, and gives
the items of a machine that is lost to others. Each actor does its items in a process of its own (`pool.WorkerProcess`),
so that a file that kills its process, or hangs, costs what it costs without Ray: Ray itself would try it for ever.
Needs the extra `perfrdiff[ray]`. Usage reports are switched off.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from perfrdiff.batch.journal import Outcome
from perfrdiff.batch.pool import Assignment, Job, WorkerProcess
from perfrdiff.errors import InputError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

CPUS_OF_AN_ACTOR = 0.5  # so that actors never take every core of a small machine: Ray Data then waits for ever
MOST_BLOCKS = 10_000  # that Ray is given rows in
BLOCKS_OF_AN_ACTOR = 16  # up to there one item is a block, so that all have work to the end
ITEMS_OF_A_BLOCK = 4  # above; a block costs 100 CPU-ms, and a lost machine all items of the blocks it has
BLOCK_BYTES = 1 << 20  # of results of an item; Ray Data starts nothing where its store has no room for a few of these


class Actor:
    """What Ray starts once for each seat: it gives the items of rows to its process.

    All it needs is in the rows: arguments of its own would lie in Ray's object store, and be lost with a machine.
    """

    def __init__(self) -> None:
        self._process: WorkerProcess | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        job, assignment = pickle.loads(row["work"])  # packed below, by this program
        if self._process is None:
            self._process = WorkerProcess(assignment)
        return {"outcome": json.dumps(asdict(self._process.do(job)))}

    def __del__(self) -> None:
        if getattr(self, "_process", None) is not None:
            self._process.stop()


def run_jobs_on_ray(jobs: Sequence[Job], assignment: Assignment, gpu_share: float = 0.0) -> Iterator[Outcome]:
    """Yield what becomes of each job, in the order in which they end; as `pool.run_jobs`.

    The cluster is the one that RAY_ADDRESS names or that runs on this machine; without one, it is this machine alone.
    All its machines have to see the results' folder and the inputs: a shared disk, or addresses such as s3://.

    There are as many actors as `assignment.workers`; None: one for each core of the cluster. gpu_share: of a GPU, for
    each actor.
    Raises InputError where Ray is not installed, or has no place for an actor.
    """
    try:
        import ray
    except ImportError:
        raise InputError("The engine 'ray' needs a package: pip install 'perfrdiff[ray]'.") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    is_ours = not ray.is_initialized()
    if is_ours:
        _connect(ray)
    try:
        there = ray.cluster_resources()
        workers = assignment.workers or max(1, int(there.get("CPU", 1)))
        seats = min(workers, len(jobs), int(there.get("GPU", 0) / gpu_share) if gpu_share else len(jobs))
        if seats < 1 or there.get("CPU", 0) < CPUS_OF_AN_ACTOR:
            raise InputError(f"The cluster has no place for an actor with {gpu_share:g} of a GPU; see 'ray status'.")
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.target_max_block_size = BLOCK_BYTES
        rows = ray.data.from_items(
            [{"work": pickle.dumps((job, assignment))} for job in jobs],  # bytes: Ray tries to convert objects
            override_num_blocks=_block_count(len(jobs), seats),
        )
        done = rows.map(
            Actor,
            compute=ray.data.ActorPoolStrategy(size=seats),
            num_cpus=CPUS_OF_AN_ACTOR,
            num_gpus=gpu_share or None,
        )
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        for row in done.iter_rows():
            yield Outcome(**json.loads(row["outcome"]))
    finally:
        if is_ours:
            ray.shutdown()


def _block_count(items: int, actors: int) -> int:
    return min(max(min(items, actors * BLOCKS_OF_AN_ACTOR), -(-items // ITEMS_OF_A_BLOCK)), MOST_BLOCKS)


def _connect(ray: Any) -> None:
    """Join the cluster that is there, or start one of this machine."""
    about = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": False}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**about)
        return
    try:
        ray.init(address="auto", **about)
    except ConnectionError:
        ray.init(include_dashboard=False, **about)
