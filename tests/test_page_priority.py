"""Live first: threads of runs give way, and nothing else does."""

import os
import sys
import threading

import pytest

from page.priority import LIVE_SWITCH, YIELDING, live_session, yield_to_live


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts niceness by thread")
def test_a_run_and_what_it_starts_give_way_and_the_server_does_not():
    seen = {}

    def look(name):
        seen[name] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def run():
        yield_to_live()
        look("run")
        started = threading.Thread(target=look, args=("started by it",))
        started.start()
        started.join()

    look("server")
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    least = min(19, seen["server"] + YIELDING)
    assert seen == {"server": seen["server"], "run": least, "started by it": least}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == seen["server"]


def test_the_lock_changes_hands_often_only_while_a_session_goes_on():
    usual = sys.getswitchinterval()
    with live_session():
        with live_session():
            pass
        assert sys.getswitchinterval() == pytest.approx(LIVE_SWITCH, rel=0.01)
    assert sys.getswitchinterval() == usual > 2 * LIVE_SWITCH
