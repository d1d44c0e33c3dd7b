"""A run followed while it goes on; and what a visitor reads when it fails."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from page.loading import heavy
from page.words import TROUBLE
from perfrdiff.errors import InputError
from perfrdiff.pipeline.request import ReactRequest
from renderer.errors import RenderError

if TYPE_CHECKING:
    from perfrdiff.pipeline.follow import Event


def follow(request: ReactRequest) -> Iterator[Event]:
    """Run the pipeline and yield what happens, see `perfrdiff.pipeline.follow`.

    Errors of the run are raised here. When the visitor leaves, the run ends at its next report.
    """
    with closing(heavy("perfrdiff.pipeline.follow").follow(request)) as events:
        yield from events


def explain(error: Exception) -> str:
    """The sentence for the visitor. A fault of ours is logged without its message, which may name a person's file."""
    if isinstance(error, InputError | RenderError):
        return str(error)
    traceback.print_tb(error.__traceback__)
    print(type(error).__name__, file=sys.stderr)
    return TROUBLE
