"""A run in a thread of its own, told as it goes."""

import threading
from collections.abc import Iterator
from queue import SimpleQueue

from perfrdiff import pipeline
from perfrdiff.output_folder import ReactResult
from perfrdiff.request import ReactRequest


def followed(request: ReactRequest) -> Iterator[tuple[str, float, ReactResult | None]]:
    """Run the pipeline in a thread and yield (stage, fraction, None) as it goes, then ("", 1, the result) once.

    Errors of the run are raised here. When the visitor leaves, the run ends at its next report.
    """
    reports: SimpleQueue = SimpleQueue()
    gone = threading.Event()

    def report(stage: str, fraction: float) -> None:
        if gone.is_set():
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
            told = reports.get()
            while not reports.empty() and not isinstance(told, BaseException) and told[2] is None:
                told = reports.get()  # only the newest matters
            if isinstance(told, BaseException):
                raise told
            yield told
            if told[2] is not None:
                return
    finally:
        gone.set()
