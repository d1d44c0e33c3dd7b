"""A batch from its items to its table: what is left to do, who does it, and what a person sees meanwhile."""

from __future__ import annotations

import glob
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
from perfrdiff.batch.pool import DEADLINE, Job, run_jobs, worker_count
from perfrdiff.batch.summary import write_summary
from perfrdiff.batch.work import output_of
from perfrdiff.errors import InputError

LEAST_FREE = 256 << 20  # bytes of the disk; below, a batch stops before it begins another item
NEVER = Outcome("", "", "")
Engine = Callable[..., Iterator[Outcome]]


@dataclass(frozen=True)
class BatchRequest:
    """One batch.

    action: "features", "react", "render" or "evaluate". shard: (i, n), do the i-th of n shares, 1 <= i <= n; the
    shares of one batch write into folders of their own, or into one folder one after the other.
    """

    action: str
    items: Sequence[Item]
    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)  # of every item: settings of `ReactRequest`, layout
    workers: int | None = None
    retry_failed: bool = False
    shard: tuple[int, int] = (1, 1)
    deadline: float = DEADLINE
    quiet: bool = False


@dataclass(frozen=True)
class BatchResult:
    """What came of it."""

    table: Path
    summary: Path
    outcomes: tuple[Outcome, ...]  # of all items of this share that are over, in their order
    done_now: int  # items that were worked on in this call

    @property
    def failures(self) -> int:
        return sum(outcome.state != DONE for outcome in self.outcomes)


def run_batch(request: BatchRequest, engine: Engine = run_jobs) -> BatchResult:
    """Do what is left of a batch, and write journal.jsonl, items.jsonl, results.csv and summary.html into its folder.

    Ctrl-C ends it within two seconds; called again, it goes on. Raises InputError for what is wrong with the whole
    batch: the folder, the share, a disk that is full.
    """
    items, out = _share(request.items, request.shard), request.out
    _check_listeners(request, items)
    try:
        out.mkdir(parents=True, exist_ok=True)
        journal = Journal(out / f"journal-{request.action}.jsonl")
        write_items(items, out / "items.jsonl")
    except OSError as error:
        raise InputError(f"The folder {out} cannot be written ({error.strerror}); name another one.") from None
    jobs = _left(request, items, journal)
    workers = min(request.workers or worker_count(), max(1, len(jobs)))
    if jobs:
        outcomes = engine(jobs, request.action, out, request.options, workers, request.deadline)
        try:
            with closing(outcomes), _Progress(len(jobs), request.quiet) as progress:  # type: ignore[type-var]
                for outcome in outcomes:
                    _check_disk(out)
                    journal.add(outcome)
                    progress.step(outcome)
        finally:
            _sweep(request, [job.item for job in jobs if journal.outcomes.get(job.item.id, NEVER).key != job.key])
    over = journal.write_table(out / "results.csv", items)
    summary = write_summary(out / "summary.html", request.action, over, len(items), out)
    return BatchResult(out / "results.csv", summary, tuple(over), len(jobs))


def _check_listeners(request: BatchRequest, items: Sequence[Item]) -> None:
    """Raise InputError, before any work, for runs without a listener."""
    if request.action in ("react", "render") and "listener" not in request.options:
        without = [item for item in items if "listener" not in item.files]
        if without:
            where = f"line {without[0].line}" if without[0].line else without[0].id
            raise InputError(
                f"{len(without)} items have no listener, first {where}; give a column 'listener', or one for all."
            )


def _sweep(request: BatchRequest, items: Sequence[Item]) -> None:
    """Remove what processes that were ended have begun; whole items stay."""
    for item in items:
        path = output_of(request.action, item, request.out, request.options.get("layout", "table"))
        if request.action in ("react", "render"):
            if path.is_dir() and not (path / "settings.json").is_file():
                shutil.rmtree(path, ignore_errors=True)
            for unfinished in path.glob(".unfinished-*"):
                shutil.rmtree(unfinished, ignore_errors=True)
        elif path.parent.is_dir():
            for part in path.parent.glob(f".{glob.escape(path.name)}.*"):
                part.unlink(missing_ok=True)


def _left(request: BatchRequest, items: Sequence[Item], journal: Journal) -> list[Job]:
    """The items that are not over, those with the same listener beside one another."""
    weights = _weights_sha256(request) if request.action in ("react", "render") else ""
    jobs = []
    for item in items:
        try:
            key = item_key(item, request.action, request.options, weights)
        except OSError as error:
            raise InputError(f"{item.id}: an input cannot be read ({error.strerror}).") from None
        is_there = output_of(request.action, item, request.out, request.options.get("layout", "table")).exists()
        if not (journal.is_over(item.id, key, request.retry_failed) and (is_there or not _was_done(journal, item))):
            jobs.append(Job(item, key))
    return sorted(jobs, key=lambda job: str(job.item.files.get("listener", "")))


def _was_done(journal: Journal, item: Item) -> bool:
    return journal.outcomes[item.id].state == DONE


def _weights_sha256(request: BatchRequest) -> str:
    """Of all weights that the batch uses."""
    from perfrdiff.checkpoints import load

    default = str(request.options.get("weights", "demo"))
    names = sorted({str(item.settings.get("weights", default)) for item in request.items})
    return " ".join(load(name).sha256 for name in names)


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
