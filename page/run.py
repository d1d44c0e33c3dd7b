"""A run in a thread of its own, followed while it goes on; and what a visitor reads when it fails."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from queue import SimpleQueue

from page.words import TROUBLE
from perfrdiff.errors import InputError
from perfrdiff.pipeline import run as pipeline
from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.request import ReactRequest
from renderer.errors import RenderError


def follow(request: ReactRequest) -> Iterator[tuple[str, float, ReactResult | None]]:
    """Run the pipeline in a thread and yield (stage, fraction, None) as it goes, then ("", 1, the result) once.

    Errors of the run are raised here. When the visitor leaves, the run ends at its next report.
    """
    reports: SimpleQueue = SimpleQueue()
    has_left = threading.Event()

    def report(stage: str, fraction: float) -> None:
        if has_left.is_set():
            raise InterruptedError("the visitor left")
        reports.put((stage, fraction, None))

    def work() -> None:
        try:
            reports.put(("", 1.0, pipeline.react(request, report)))
        except BaseException as error:
            reports.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            latest = reports.get()
            while not reports.empty() and not isinstance(latest, BaseException) and latest[2] is None:
                latest = reports.get()
            if isinstance(latest, BaseException):
                raise latest
            yield latest
            if latest[2] is not None:
                return
    finally:
        has_left.set()


def explain(error: Exception) -> str:
    """The sentence for the visitor. A fault of ours is logged without its message, which may name a person's file."""
    if isinstance(error, InputError | RenderError):
        return str(error)
    traceback.print_tb(error.__traceback__)
    print(type(error).__name__, file=sys.stderr)
    return TROUBLE
