"""The rule by which live sessions and runs share the cores: live first.

A live session is late when it waits for a core, a run is merely done later. So the threads of runs ask the system for
less than a tenth of what a session's thread gets where both want the same core; without a session they have it all.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

YIELDING = 15  # steps of niceness below the server's own; a step is worth a quarter


def yield_to_live() -> None:
    """Let the calling thread, and those that it starts, give way to all others of this process.

    Linux counts niceness by thread, and a thread that is started takes over its starter's; elsewhere nothing happens.
    """
    with suppress(AttributeError, OSError):
        thread = threading.get_native_id()
        if os.path.isdir(f"/proc/self/task/{thread}"):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, 0) + YIELDING)
