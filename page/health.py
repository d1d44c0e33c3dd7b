"""What whoever runs the server may ask it: /healthz, whether it serves; /metrics, counts for Prometheus.

Nothing of a person is in either: no address, no name, no file, no session.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from page.jobs import ENDED, Jobs
from page.live import LiveServer
from page.tally import SECONDS, Histogram
from perfrdiff.pipeline.stages import STAGES

LEAST_ROOM = 200_000_000  # bytes; below, no run can be written
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
NO_STORE = {"Cache-Control": "no-store"}


class Health:
    """The state of the server, from its parts."""

    def __init__(self, jobs: Jobs, live: LiveServer, folder: Path, has_metrics: bool) -> None:
        """`folder`: where results are written; `has_metrics`: whether /metrics is answered."""
        self._jobs, self._live, self._folder, self._has_metrics = jobs, live, folder, has_metrics

    def routes(self) -> list[Route]:
        """For the page's application."""
        metrics = [Route("/metrics", self._metrics)] if self._has_metrics else []
        return [Route("/healthz", self._healthz), *metrics]

    def trouble(self) -> str:
        """What keeps the server from making runs, in one sentence; "" where nothing does."""
        if self._jobs.is_stuck:
            return "A run that was told to end goes on; only a new start helps."
        try:
            if shutil.disk_usage(self._folder).free < LEAST_ROOM:
                return f"Less than {LEAST_ROOM // 10**6} MB are free where results are written."
        except OSError:
            return "The folder for results is not there any more."
        return ""

    def _healthz(self, request: Request) -> Response:
        """200 while the page serves, also while it is still loading; 503 with a sentence where it cannot."""
        trouble = self.trouble()
        state = trouble or ("ready" if self._live.loaded.is_set() else "loading")
        return JSONResponse({"state": state}, 503 if trouble else 200, NO_STORE)

    def _metrics(self, request: Request) -> Response:
        return PlainTextResponse("\n".join(self._lines()) + "\n", 200, NO_STORE, PROMETHEUS)

    def _lines(self) -> Iterator[str]:
        tally = self._jobs.tally
        yield from _about("perfrdiff_runs_total", "counter", "Runs that have ended, by how.")
        for end in ENDED:
            yield f'perfrdiff_runs_total{{end="{end}"}} {tally.ends[end]}'
        yield from _histogram("perfrdiff_run_wait_seconds", "Seconds that runs waited.", tally.waited)
        yield from _histogram("perfrdiff_run_seconds", "Seconds that runs took.", tally.worked)
        yield from _gauge("perfrdiff_runs_waiting", "Runs that wait.", self._jobs.waiting)
        yield from _about("perfrdiff_run_stage", "gauge", "1 for the stage that the present run is in.")
        for stage in STAGES:
            yield f'perfrdiff_run_stage{{stage="{stage}"}} {int(stage == self._jobs.stage)}'
        yield from _gauge("perfrdiff_live_sessions", "Live sessions.", self._live.sessions)
        yield from _gauge("perfrdiff_threads", "Threads of the server.", threading.active_count())
        if memory := resident_bytes():
            yield from _gauge("perfrdiff_memory_bytes", "Memory that the server's process has.", memory)


def resident_bytes() -> int:
    """Memory that this process has, in bytes; 0 where the system does not say (/proc)."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def _about(name: str, kind: str, help: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"


def _gauge(name: str, help: str, value: float) -> Iterator[str]:
    yield from _about(name, "gauge", help)
    yield f"{name} {value}"


def _histogram(name: str, help: str, histogram: Histogram) -> Iterator[str]:
    yield from _about(name, "histogram", help)
    total = 0
    for end, count in zip((*SECONDS, "+Inf"), histogram.counts, strict=True):
        total += count
        yield f'{name}_bucket{{le="{end}"}} {total}'
    yield f"{name}_sum {histogram.total:.3f}"
    yield f"{name}_count {total}"
