"""The rule by which live sessions and runs share the cores: live first.

A live session is late when it waits, a run is merely done later. So the threads of runs ask the system for a third of
what a session's thread gets where both want the same core; without a session they have it all. It is not less, because
a thread of a run that waits for a core may hold Python's lock, which a session then waits for, too. And while a session
goes on, Python's threads hand that lock on ten times as often: a session's network asks for it at every step.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

YIELDING = 5  # steps of niceness below the server's own; a step is worth a quarter
LIVE_SWITCH = 0.0005  # seconds for which a thread may keep Python's lock while a session goes on

_lock = threading.Lock()
_live = 0  # sessions that go on
_usual = sys.getswitchinterval()


def yield_to_live() -> None:
    """Let the calling thread, and those that it starts, give way to all others of this process.

    Linux counts niceness by thread, and a thread that is started takes over its starter's; elsewhere nothing happens.
    """
    with suppress(AttributeError, OSError):
        thread = threading.get_native_id()
        if os.path.isdir(f"/proc/self/task/{thread}"):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, 0) + YIELDING)


@contextmanager
def live_session() -> Iterator[None]:
    """While the block runs, a live session goes on."""
    global _live
    with _lock:
        _live += 1
        sys.setswitchinterval(LIVE_SWITCH)
    try:
        yield
    finally:
        with _lock:
            _live -= 1
            if not _live:
                sys.setswitchinterval(_usual)
