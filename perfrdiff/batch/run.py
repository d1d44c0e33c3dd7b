"""A batch from its items to its table: what is left to do, who does it, and what a person sees meanwhile."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from perfrdiff.batch.journal import DONE, Journal, Outcome, item_key
from perfrdiff.batch.manifest import Item, write_items
from perfrdiff.batch.pool import DEADLINE, Assignment, Job, run_jobs
from perfrdiff.batch.storage import Location, OutputPlace
from perfrdiff.batch.summary import write_summary
from perfrdiff.batch.work import ACTIONS, marks_of, outputs_of
from perfrdiff.errors import InputError
from perfrdiff.files import sha256_of
from perfrdiff.pipeline.request import DEFAULTS
from perfrdiff.weights import path_of, summary

LEAST_FREE = 256 << 20  # bytes of the disk; below, a batch stops before it begins another item
SAVE_SECONDS = 30.0  # between uploads of the journal to a place that is not on this disk
NEVER = Outcome("", "", "")
CONTROL_FILES = ("items.jsonl", *(f"journal-{action}.jsonl" for action in ACTIONS))
Engine = Callable[[Sequence[Job], Assignment], Iterator[Outcome]]


@dataclass(frozen=True)
class BatchRequest:
    """One batch.

    action: "features", "react", "render" or "evaluate". shard: (i, n), do the i-th of n shares, 1 <= i <= n; the
    shares of one batch write into folders of their own, or into one folder one after the other.
    """

    action: str
    items: Sequence[Item]
    out: Path | str  # a folder; a text may be an address such as s3://bucket/folder
    options: Mapping[str, Any] = field(default_factory=dict)  # of every item: layout, device
    workers: int | None = None  # None: as many as the engine has room for
    retry_failed: bool = False
    shard: tuple[int, int] = (1, 1)
    deadline: float = DEADLINE
    quiet: bool = False

    @property
    def assignment(self) -> Assignment:
        """What the engine is to do with each item."""
        return Assignment(self.action, self.out, dict(self.options), self.workers, self.deadline)

    @property
    def layout(self) -> str:
        """Of features: "table" or "react2024"."""
        return str(self.options.get("layout", "table"))


@dataclass(frozen=True)
class BatchResult:
    """What came of it."""

    table: Location
    summary: Location
    outcomes: tuple[Outcome, ...]  # of all items of this share that are over, in their order
    done_now: int  # items that were worked on in this call

    @property
    def failures(self) -> int:
        return sum(outcome.state != DONE for outcome in self.outcomes)


def run_batch(request: BatchRequest, engine: Engine = run_jobs) -> BatchResult:
    """Do what is left of a batch, and write its journal, items.jsonl, results.csv and summary.html into its folder.

    Ctrl-C ends it within two seconds, the table written; called again, it goes on. Raises InputError for what is wrong
    with the whole batch: the folder, the share, a disk that is full.
    """
    items, place = _share(request.items, request.shard), OutputPlace(request.out)
    _check_listeners(request, items)
    try:
        place.open(*CONTROL_FILES)
        journal = Journal(place.control / f"journal-{request.action}.jsonl")
        if request.action in ("features", "react"):
            write_items(items, place.control / "items.jsonl")
    except OSError as error:
        raise InputError(f"The folder {request.out} cannot be written ({error.strerror}); name another one.") from None
    try:
        jobs = _left(request, items, journal, place)
        if jobs:
            _work_off(jobs, request, journal, place, engine)
        return _tell(request, items, journal, place, len(jobs))
    except KeyboardInterrupt:
        _write_table(request, items, journal, place)
        raise
    finally:
        place.save_control()
        place.close()


def _work_off(jobs: Sequence[Job], request: BatchRequest, journal: Journal, place: OutputPlace, engine: Engine) -> None:
    """Do the jobs; each is in the journal as soon as it is over."""
    before = {job.item.id: journal.outcomes.get(job.item.id, NEVER) for job in jobs}
    items = {job.item.id: job.item for job in jobs}
    outcomes = engine(jobs, request.assignment)
    saved = time.monotonic()
    with closing(outcomes), _Progress(len(jobs), request.quiet) as progress:  # type: ignore[type-var]
        for outcome in outcomes:
            _check_disk(place.control)
            if outcome.state != DONE and before[outcome.id].state == DONE:  # what lies there is of other inputs
                place.remove(outputs_of(request.action, items[outcome.id], request.layout))
            journal.add(outcome)
            progress.step(outcome)
            if time.monotonic() - saved > SAVE_SECONDS:
                place.save_control()
                saved = time.monotonic()


def _tell(
    request: BatchRequest, items: Sequence[Item], journal: Journal, place: OutputPlace, done_now: int
) -> BatchResult:
    """Write results.csv and summary.html."""
    over = _write_table(request, items, journal, place)
    write_summary(place.control / "summary.html", request.action, over, len(items), place)
    table, summary = (OutputPlace(request.out).address(name) for name in ("results.csv", "summary.html"))
    return BatchResult(table, summary, tuple(over), done_now)


def _write_table(request: BatchRequest, items: Sequence[Item], journal: Journal, place: OutputPlace) -> list[Outcome]:
    """Write results.csv; returns what is over of these items."""
    earlier = [name for name in ("react", "render") if request.action == "evaluate"]
    journals = [Journal(place.control / f"journal-{name}.jsonl") for name in earlier]
    return journal.write_table(place.control / "results.csv", items, journals)


def _check_listeners(request: BatchRequest, items: Sequence[Item]) -> None:
    """Raise InputError, before any work, for runs without a listener."""
    without = [item for item in items if "listener" not in item.files] if request.action in ("react", "render") else []
    if without:
        where = f"line {without[0].line}" if without[0].line else without[0].id
        raise InputError(
            f"{len(without)} items have no listener, first {where}; give a column 'listener', or one for all."
        )


def _left(request: BatchRequest, items: Sequence[Item], journal: Journal, place: OutputPlace) -> list[Job]:
    """The items that are not over, those with the same listener beside one another."""
    weights = _weights_sha256(items) if request.action in ("react", "render") else ""
    jobs = []
    for item in items:
        try:
            made = place.checksum(f"{item.id}/coefficients.npz") if request.action == "evaluate" else ""
            key = item_key(item, request.action, request.options, weights, made)
        except OSError as error:
            raise InputError(f"{item.id}: an input cannot be read ({error.strerror}).") from None
        is_there = all(place.has(name) for name in marks_of(request.action, item, request.layout))
        if not (journal.is_over(item.id, key, request.retry_failed) and (is_there or not _was_done(journal, item))):
            jobs.append(Job(item, key))
    return sorted(jobs, key=lambda job: str(job.item.files.get("listener", "")))


def _was_done(journal: Journal, item: Item) -> bool:
    return journal.outcomes[item.id].state == DONE


def _weights_sha256(items: Sequence[Item]) -> str:
    """Of all weights that the items use. Raises InputError for a name of none, and for a file that is none."""
    names = sorted({str(item.settings.get("weights", DEFAULTS["weights"])) for item in items})
    for name in names:
        summary(name)
    return " ".join(sha256_of(path_of(name)) for name in names)


def _share(items: Sequence[Item], shard: tuple[int, int]) -> list[Item]:
    number, count = shard
    if not 1 <= number <= count:
        raise InputError(f"There is no share {number}/{count}; shares go from 1/{count} to {count}/{count}.")
    return [item for item in items if _place(item.id, count) == number - 1]


def _place(id: str, count: int) -> int:
    """The share of an item: by its name, so that it stays the same when others come or go."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "big") % count


def _check_disk(folder: Path) -> None:
    if shutil.disk_usage(folder).free < LEAST_FREE:
        raise InputError(
            f"The disk of {folder} is nearly full, so the batch has stopped; make room, and call it again to go on."
        )


class _Progress:
    """A bar on a terminal, a line every half minute elsewhere: share, time left, items per hour, failures so far."""

    LINE_SECONDS = 30.0

    def __init__(self, count: int, quiet: bool) -> None:
        self._count, self._failures, self._done = count, 0, 0
        self._quiet, self._is_terminal = quiet, sys.stderr.isatty()
        self._bar = tqdm(total=count, unit="item", disable=quiet or not self._is_terminal)
        self._since = self._last_line = time.monotonic()

    def step(self, outcome: Outcome) -> None:
        self._done += 1
        self._failures += outcome.state != DONE
        hours = max(time.monotonic() - self._since, 1e-3) / 3600
        rate = self._done / hours
        self._bar.set_postfix_str(f"{rate:.0f} an hour, {self._failures} failed", refresh=False)
        self._bar.update()
        is_due = time.monotonic() - self._last_line > self.LINE_SECONDS or self._done == self._count
        if not self._quiet and not self._is_terminal and is_due:
            self._last_line = time.monotonic()
            left = (self._count - self._done) / rate * 60
            line = f"{self._done} of {self._count}, {self._failures} failed, {rate:.0f} an hour, {left:.0f} min left"
            print(line, flush=True)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
