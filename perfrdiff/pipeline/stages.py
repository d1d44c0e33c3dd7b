"""Progress of a run whose stages may overlap; and how all of them end when one fails or the run is cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Lock
from typing import TypeVar

Result = TypeVar("Result")

Report = Callable[[float], None]
"""Called with the fraction of one stage that is done, 0 … 1."""

Progress = Callable[[str, float], None]
"""Called with what is being done, in words a person reads, and the fraction of the whole that is done, 0 … 1. From
several threads, one at a time. What it raises ends the run."""

STAGES = {
    "Reading the speaker": 0.01,
    "Reading the listener": 0.06,
    "Watching the speaker's face": 0.33,
    "Thinking up reactions": 0.15,
    "Drawing": 0.44,
    "Packing": 0.01,
}
"""Stage -> share of the whole time, as measured with benchmarks/end_to_end.py; only the progress bar depends on it."""


class Stopped(Exception):
    """Raised in a stage that ends because another one failed."""


class StageClock:
    """Reports the progress of the whole run to a callback, and measures how long each stage takes.

    seconds: stage -> wall time of those that are over. Stages overlap, so these do not add up to the run's.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self._lock = Lock()
        self._fractions: dict[str, float] = {}  # of every stage that was begun
        self._running: list[str] = []  # in the order in which they began
        self._is_stopped = False
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Report]:
        """While the block runs, the stage of that name goes on; yields what to call with its fraction done, 0 … 1.

        Each call, and the beginning, reports to the callback, and raises Stopped after `stop`.
        """
        began = time.perf_counter()
        with self._lock:
            self._running.append(name)
        self._report(name, 0.0)
        yield partial(self._report, name)
        with self._lock:
            self._running.remove(name)
            self._fractions[name] = 1.0
            self.seconds[name] = time.perf_counter() - began

    @contextmanager
    def beside(self, name: str, work: Callable[[Report], Result]) -> Iterator[Future[Result]]:
        """While the block runs, the stage `name` goes on in a thread: `work`, given what `stage` yields. The block ends
        with it. An error of either one ends the other at its next report, and is raised."""
        with ExitStack() as stack, ThreadPoolExecutor(1, "stage") as pool:
            report = stack.enter_context(self.stage(name))

            def stop_if_failed(future: Future[Result]) -> None:
                if future.exception() is None:
                    stack.close()
                else:
                    self.stop()

            future = pool.submit(work, report)
            future.add_done_callback(stop_if_failed)
            try:
                yield future
            except Stopped:
                future.result()  # raises what stopped the block
                raise
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """End every stage at its next report."""
        self._is_stopped = True

    def _report(self, stage: str, fraction: float) -> None:
        if self._is_stopped:
            raise Stopped
        if self._progress is None:
            return
        with self._lock:
            earlier = self._fractions.get(stage, 0.0)
            self._fractions[stage] = max(earlier, min(1.0, max(0.0, fraction)))
            done = sum(STAGES[name] * share for name, share in self._fractions.items())
            self._progress(self._running[-1], min(1.0, done))
