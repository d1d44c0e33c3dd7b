"""Items of a batch that behave badly; here, because processes that are spawned import what they do by its name."""

import os
import signal
import time

from perfrdiff.batch.journal import Outcome
from perfrdiff.batch.pool import do_item
from perfrdiff.batch.work import outputs_of
from perfrdiff.errors import InputError


def act(action, item, folder, options):
    """What the item's name says: `die`, `die-once`, `hang`, `refuse`, `break`, or write its file."""
    name = item.id.split("/")[-1].split(".")[0]
    marker = folder / f"{name}.begun"
    is_first = not marker.exists()
    marker.touch()
    if name.startswith("die-always") or (name.startswith("die-once") and is_first):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("hang"):
        time.sleep(60)
    if name.startswith("slow"):
        time.sleep(0.3)
    if name.startswith("refuse"):
        raise InputError(f"{name} is no video.")
    if name.startswith("break"):
        raise ZeroDivisionError("a fault of ours")
    path = folder / outputs_of("features", item)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
    return {"frames": len(name), "notes": [name]}


def here(jobs, action, where, options, workers, deadline, do=act):
    """An engine that does items in this process, one after the other."""
    for job in jobs:
        seconds, values, sentence, state = do_item(do, action, job.item, where, options)
        yield Outcome(job.item.id, job.key, state, sentence, seconds, values)
