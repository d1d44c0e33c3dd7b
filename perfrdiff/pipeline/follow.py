"""A run followed while it goes on: stages, then the reactions as soon as they exist, then the finished folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue

from perfrdiff.pipeline import run
from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.input_memory import InputMemory
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.run import ReadyReactions
from perfrdiff.pipeline.take import Take


@dataclass(frozen=True)
class StageReport:
    """What is being done, in words a person reads, and the fraction of the whole that is done, 0 … 1."""

    stage: str
    fraction: float


Event = StageReport | ReadyReactions | ReactResult


def follow(request: ReactRequest, inputs: InputMemory | None = None, take: Take | None = None) -> Iterator[Event]:
    """Run `run.react`, or `run.write_take` where a take is given, in a thread and yield what happens: reports, the
    reactions once they exist, the result last.

    Where reports come faster than they are taken, the latest stands for all. Closing the iterator cancels the run: it
    ends at its next report, in less than two seconds, and so does `close`.

    Raises what that function raises.
    """
    events: SimpleQueue[Event | BaseException] = SimpleQueue()
    is_cancelled = threading.Event()

    def put(event: Event) -> None:
        if is_cancelled.is_set():
            raise InterruptedError("the run was cancelled")
        events.put(event)

    def work() -> None:
        try:

            def report(stage: str, done: float) -> None:
                put(StageReport(stage, done))

            if take is not None:
                result = run.write_take(request, take, report, on_reactions=put)
            else:
                result = run.react(request, report, on_reactions=put, inputs=inputs)
            events.put(result)
        except BaseException as error:
            events.put(error)

    thread = threading.Thread(target=work, name="reactions", daemon=True)
    thread.start()
    try:
        while True:
            event = events.get()
            while isinstance(event, StageReport) and not events.empty():
                event = events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, ReactResult):
                return
    finally:
        is_cancelled.set()
        thread.join()
