"""Items of a batch that behave badly; here, because processes that are spawned import what they do by its name."""

import os
import signal
import subprocess
import time
from dataclasses import replace

from perfrdiff.batch.journal import Outcome
from perfrdiff.batch.pool import do_item, run_jobs
from perfrdiff.batch.work import outputs_of
from perfrdiff.errors import InputError


def act(action, item, folder, options):
    """What the item's name says: `die`, `die-once`, `spawn`, `hang`, `refuse`, `break`, or write its file."""
    name = item.id.split("/")[-1].split(".")[0]
    marker = folder / f"{name}.begun"
    is_first = not marker.exists()
    marker.touch()
    if name.startswith("die-always") or (name.startswith("die-once") and is_first):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("spawn"):
        sleeper = subprocess.Popen(["sleep", "600"])
        marker.with_suffix(".begun.pid").write_text(str(sleeper.pid))
    if "hang" in name:
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


def acting(jobs, assignment):
    """The pool, whose processes do what items' names say."""
    return run_jobs(jobs, replace(assignment, do=act))


def here(jobs, assignment, do=act):
    """An engine that does items in this process, one after the other."""
    for job in jobs:
        seconds, values, sentence, state = do_item(job.item, replace(assignment, do=do))
        yield Outcome(job.item.id, job.key, state, sentence, seconds, values)
