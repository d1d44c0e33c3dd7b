"""Items through processes of this machine that load everything once. A process that dies, or hangs, costs its item one
try; the others go on.

Each process has a pipe of its own. Pools whose processes share one (concurrent.futures, pebble) are at an end when a
process is killed while it reads or writes there; with items that are killed for their memory that is a matter of time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from perfrdiff.batch.journal import DIED, DONE, FAILED, LATE, Outcome
from perfrdiff.batch.manifest import Item
from perfrdiff.batch.work import end_process_group, prepare_process, work
from perfrdiff.errors import InputError
from renderer.errors import RenderError

PROCESS_BYTES = 1.5 * (1 << 30)  # that a process needs at most, by benchmarks/batch.py
DEADLINE = 30 * 60.0  # seconds of one item, for which 120 s of video with ten reactions are drawn on a slow core
START_SECONDS = 5 * 60.0  # within which a process has to be ready for its first item
STOP_SECONDS = 10.0  # that Ctrl-C waits at most for killed processes to be gone; their folders are theirs until then
TRIES = 2
READY = "ready"
SENTENCES = {DIED: "Its process died.", LATE: "It took longer than its deadline."}

Work = Callable[..., dict[str, Any]]
Result = tuple[float, dict[str, Any], str, str]  # seconds, values of the row, why it is not done, state


@dataclass(frozen=True)
class Job:
    """One item, and the key of its result."""

    item: Item
    key: str


def worker_count() -> int:
    """As many processes as this machine has cores, and memory for."""
    memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)), int(memory // PROCESS_BYTES)))


@dataclass(frozen=True)
class Assignment:
    """What is done with every job of a batch, where, and by how many."""

    action: str  # of `work.ACTIONS`
    where: Path | str  # the folder of the results, or its address
    options: Mapping[str, Any] = field(default_factory=dict)  # of every item: layout, device
    workers: int | None = None  # None: as many as the engine has room for
    deadline: float = DEADLINE  # seconds of one item
    do: Work = work  # what a process does with an item


def run_jobs(jobs: Sequence[Job], assignment: Assignment) -> Iterator[Outcome]:
    """Yield what becomes of each job, in the order in which they end.

    Closing the iterator ends all processes at once; items that were begun leave nothing behind but their temporary
    folders, which `OutputPlace.close` removes.
    """
    waiting = [(job, 1) for job in reversed(jobs)]
    count = min(assignment.workers or worker_count(), len(jobs))
    processes = [WorkerProcess(assignment) for _ in range(count)]
    try:
        while waiting or any(process.job for process in processes):
            for process in processes:
                if process.job is None and waiting:
                    process.begin(*waiting.pop())
            for process in WorkerProcess.wait(processes):
                job, attempt, outcome = process.end()
                if outcome is None:
                    continue
                if outcome.state in SENTENCES and attempt < TRIES:
                    waiting.append((job, attempt + 1))
                else:
                    yield outcome
    finally:
        WorkerProcess.stop_all(processes)


class WorkerProcess:
    """A process that does one item after the other, and is replaced when it dies."""

    def __init__(self, assignment: Assignment) -> None:
        self.job: Job | None = None  # that it has begun
        self._assignment = assignment
        self._process: Any = None
        self._pipe: Connection | None = None
        self._attempt, self._since, self._until = 0, 0.0, 0.0
        self._is_ready = False  # whether its imports are done, so that an item's time runs

    def begin(self, job: Job, attempt: int) -> None:
        """Give it an item; `attempt`: 1 the first time."""
        if self._pipe is None or self._process is None or not self._process.is_alive():
            self.stop()
            self._start()
        self.job, self._attempt, self._since = job, attempt, time.monotonic()
        self._until = self._since + (self._assignment.deadline if self._is_ready else START_SECONDS)
        assert self._pipe is not None
        with contextlib.suppress(OSError):  # it has died at this moment: `end` finds its pipe closed
            self._pipe.send(job.item)

    def do(self, job: Job) -> Outcome:
        """An item from its beginning to its end, tried once more where its process dies or hangs; the only one here."""
        attempt = 1
        self.begin(job, attempt)
        while True:
            WorkerProcess.wait([self])
            _, _, outcome = self.end()
            if outcome is not None and (outcome.state not in SENTENCES or attempt == TRIES):
                return outcome
            if outcome is not None:
                attempt += 1
                self.begin(job, attempt)

    @staticmethod
    def wait(processes: Sequence[WorkerProcess]) -> list[WorkerProcess]:
        """Those with an item of which there is news, or that are past their deadline; waits for the first."""
        busy = {process._pipe: process for process in processes if process.job is not None}
        left = min(process._until for process in busy.values()) - time.monotonic()
        ready = wait([pipe for pipe in busy if pipe is not None], timeout=max(0.0, left))
        now = time.monotonic()
        return [process for pipe, process in busy.items() if pipe in ready or now >= process._until]

    def end(self) -> tuple[Job, int, Outcome | None]:
        """The item, its attempt, and what became of it; None where the process has only now begun it."""
        assert self.job is not None and self._pipe is not None
        job, passed, state = self.job, time.monotonic() - self._since, LATE
        if self._pipe.poll():
            try:
                answer = self._pipe.recv()
                if answer == READY:
                    self._is_ready, self._since = True, time.monotonic()
                    self._until = self._since + self._assignment.deadline
                    return job, self._attempt, None
                self.job = None
                seconds, values, sentence, state = answer
                return job, self._attempt, Outcome(job.item.id, job.key, state, sentence, seconds, values)
            except (EOFError, OSError):  # it was killed, perhaps within an answer
                state = DIED
        self.job = None
        self.stop()
        return job, self._attempt, Outcome(job.item.id, job.key, state, SENTENCES[state], passed)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._is_ready = False
        self._process = context.Process(target=_serve, args=[theirs, self._assignment], daemon=True)
        # A new process takes over which signals this thread holds back: Ctrl-C is for this one, which ends the others.
        held_back = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
        theirs.close()

    def stop(self) -> None:
        """End the process at once, whatever it does, with what it has started."""
        WorkerProcess.stop_all([self])

    @staticmethod
    def stop_all(processes: Sequence[WorkerProcess]) -> None:
        """End them at once. Ctrl-C may have come at any point of a process's start, or of this."""
        for process in processes:
            process._kill()
        until = time.monotonic() + STOP_SECONDS
        for process in processes:
            ended, process._process = process._process, None
            if ended is not None and ended.pid is not None:
                ended.join(max(0.0, until - time.monotonic()))

    def _kill(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()
        if self._process is not None and self._process.pid is not None:
            end_process_group(self._process.pid)
            self._process.kill()  # which has no group before its imports are done


def _serve(pipe: Connection, assignment: Assignment) -> None:
    """What a process does all its life."""
    prepare_process()
    with contextlib.suppress(EOFError, OSError):  # whoever started it is gone
        pipe.send(READY)
        while True:
            pipe.send(do_item(pipe.recv(), assignment))


def do_item(item: Item, assignment: Assignment) -> Result:
    """Do one item in this process. What does it may raise what it likes."""
    since = time.perf_counter()
    values: dict[str, Any] = {}
    sentence = ""
    try:
        values = assignment.do(assignment.action, item, assignment.where, assignment.options)
    except (InputError, RenderError) as error:
        sentence = str(error)
    except Exception as error:  # a fault of ours, or a full disk: this item's row says so, and the others go on
        sentence = f"It could not be done ({type(error).__name__}: {error})."
    return time.perf_counter() - since, values, sentence, FAILED if sentence else DONE
