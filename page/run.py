"""A run followed while it goes on; and what a visitor reads when it fails."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import closing

from page.loading import heavy
from page.words import TROUBLE
from perfrdiff.errors import InputError
from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.request import ReactRequest
from renderer.errors import RenderError


def follow(request: ReactRequest) -> Iterator[tuple[str, float, ReactResult | None]]:
    """Run the pipeline and yield (stage, fraction, None) as it goes, then ("", 1, the result) once.

    Errors of the run are raised here. When the visitor leaves, the run ends at its next report.
    """
    pipeline = heavy("perfrdiff.pipeline.follow")
    with closing(pipeline.follow(request)) as events:
        for event in events:
            if isinstance(event, pipeline.StageReport):
                yield event.stage, event.fraction, None
            elif isinstance(event, ReactResult):
                yield "", 1.0, event


def explain(error: Exception) -> str:
    """The sentence for the visitor. A fault of ours is logged without its message, which may name a person's file."""
    if isinstance(error, InputError | RenderError):
        return str(error)
    traceback.print_tb(error.__traceback__)
    print(type(error).__name__, file=sys.stderr)
    return TROUBLE
