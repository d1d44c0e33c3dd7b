"""Items through processes of this machine that load everything once. A process that dies, or hangs, costs its item one
try; the others go on."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from perfrdiff.batch.journal import DIED, DONE, FAILED, LATE, Outcome
from perfrdiff.batch.manifest import Item
from perfrdiff.batch.work import prepare_process, work
from perfrdiff.errors import InputError
from renderer.errors import RenderError

PROCESS_BYTES = 1.5 * (1 << 30)  # that a process needs at most, by benchmarks/batch.py
DEADLINE = 30 * 60.0  # seconds of one item, for which 120 s of video with ten reactions are drawn on a slow core
TRIES = 2
AHEAD = 3  # items that wait in the pool for each process


@dataclass(frozen=True)
class Job:
    """One item, and the key of its result."""

    item: Item
    key: str


def worker_count() -> int:
    """As many processes as this machine has cores, and memory for."""
    memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)), int(memory // PROCESS_BYTES)))


def run_jobs(
    jobs: Sequence[Job],
    action: str,
    folder: Path,
    options: Mapping[str, Any],
    workers: int,
    deadline: float = DEADLINE,
    do: Callable[..., dict[str, Any]] = work,
) -> Iterator[Outcome]:
    """Yield what becomes of each job, in the order in which they end.

    Closing the iterator ends all processes at once; items that were begun leave nothing behind but their temporary
    folders, which the next try replaces. `do`: what a process does with an item, `work.work`.
    """
    waiting = [(job, 1) for job in reversed(jobs)]
    pool = ProcessPool(workers, context=multiprocessing.get_context("spawn"), initializer=prepare_process)
    running: dict[Future, tuple[Job, int, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers * AHEAD:
                job, attempt = waiting.pop()
                future = pool.schedule(_timed, args=[do, action, job.item, folder, dict(options)], timeout=deadline)
                running[future] = job, attempt, time.monotonic()
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                job, attempt, since = running.pop(future)
                outcome = _outcome(job, future, time.monotonic() - since)
                if outcome.state in (DIED, LATE) and attempt < TRIES:
                    waiting.append((job, attempt + 1))
                else:
                    yield outcome
    finally:
        pool.stop()
        pool.join()


def _timed(do: Callable[..., dict[str, Any]], action: str, *arguments: Any) -> tuple[float, dict[str, Any], str]:
    """Seconds, values and refusal of one item; runs in the process. Errors of ours go through as they are."""
    since = time.perf_counter()
    try:
        values, sentence = do(action, *arguments), ""
    except (InputError, RenderError) as error:
        values, sentence = {}, str(error)
    return time.perf_counter() - since, values, sentence


def _outcome(job: Job, future: Future, seconds: float) -> Outcome:
    try:
        spent, values, sentence = future.result()
    except ProcessExpired:
        return Outcome(job.item.id, job.key, DIED, "Its process died.", seconds)
    except TimeoutError:
        return Outcome(job.item.id, job.key, LATE, "It took longer than its deadline.", seconds)
    except Exception as error:  # a fault of ours, or a full disk: this item's row says so, and the others go on
        return Outcome(
            job.item.id, job.key, FAILED, f"It could not be done ({type(error).__name__}: {error}).", seconds
        )
    state = FAILED if sentence else DONE
    return Outcome(job.item.id, job.key, state, sentence, spent, values)
