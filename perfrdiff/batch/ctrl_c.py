"""Ctrl-C at any moment of a batch. A library that is being loaded may swallow it, and be broken from then on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN_SECONDS = 0.05


@contextmanager
def ends_at_once() -> Iterator[None]:
    """Inside, Ctrl-C ends the process without a word: for its imports, when nothing has been begun."""
    with _answered_by(signal.SIG_DFL):
        yield


@contextmanager
def waits_for_imports() -> Iterator[None]:
    """Inside, Ctrl-C is a KeyboardInterrupt, as ever, but after an import that is going on."""
    with _answered_by(_interrupt):
        yield


@contextmanager
def _answered_by(answer: Any) -> Iterator[None]:
    """Where Ctrl-C is Python's own to answer: not where it is ignored, in a shell's background, or a program's own."""
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt
