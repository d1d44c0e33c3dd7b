"""The page as `make run` starts it, in a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def served(kept, weights, **environment):
    """Its address, and the folder in which it keeps files: `kept`. Afterwards nothing may be left in that folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    log = (kept.parent / f"{kept.name}.log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "app.py", "--weights", weights],
        cwd=ROOT,
        env=os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(kept)} | environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        end = time.monotonic() + 240
        while True:
            try:
                urllib.request.urlopen(address, timeout=5)
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end, log.seek(0) or log.read()
                time.sleep(0.3)
        yield address, kept
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.seek(0)
        said = log.read()
        log.close()
    assert "Traceback" not in said, said
    assert list(kept.iterdir()) == [], "a stopped server leaves files of its visitors behind"


def files_in(folder):
    """The files below a folder that a running server may empty meanwhile (`os.walk` passes over what has just gone)."""
    return [Path(root) / name for root, _, names in os.walk(folder) for name in names]
