"""A run from the button to its end, as the visitor sees it; and what is said when it fails."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator

from page import words
from page.jobs import CANCELLED, DONE, FAILED, WAITING, Job, Jobs, Look
from perfrdiff.errors import InputError
from perfrdiff.pipeline.folder import ReactResult
from renderer.errors import RenderError


def finished(jobs: Jobs, job: Job) -> Iterator[ReactResult | None]:
    """None while a run goes on, so that the caller may leave, then its result; its error is raised here."""
    for look in jobs.follow(job):
        if look.state == FAILED and job.error is not None:
            raise job.error
        if look.state == CANCELLED:
            raise InputError("The run was cancelled.")
        yield job.result if look.state == DONE else None


def status(job: Job, look: Look) -> str:
    """What a visitor reads about a run, as HTML."""
    if look.state == WAITING:
        return words.waiting(look.ahead, look.wait_seconds, look.left_seconds)
    if look.state == CANCELLED:
        return words.cancelled()
    if look.state == FAILED and job.error is not None:
        return words.trouble(explain(job.error))
    if look.state == DONE and job.result is not None:
        return words.outcome(job.result)
    return words.working(look.stage, look.fraction, look.left_seconds)


def explain(error: Exception) -> str:
    """The sentence for the visitor. A fault of ours is logged without its message, which may name a person's file."""
    if isinstance(error, InputError | RenderError):
        return str(error)
    traceback.print_tb(error.__traceback__)
    print(type(error).__name__, file=sys.stderr)
    return words.TROUBLE
