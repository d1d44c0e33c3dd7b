"""`kill -9` of the page in each stage of a run, then a new start: python -m tools.kill_trial

After each: nothing in the folder of the dead process looks like a finished run, the next start removes all of it, and
the same run, asked for again, gives the bits that it gives alone. The page that has shown this is killed in the next
stage; the last is stopped, and leaves nothing. Exit code 1 where one thing is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil

from perfrdiff.pipeline.stages import STAGES
from tests.support.clips import EXAMPLES, cut
from tests.support.served_page import ROOT, files_in
from tools.load_inputs import COMMON, Ask, run_alone
from tools.page_client import Visitor, metrics

FINISHED = ("side_by_side.mp4", "coefficients.npz", "settings.json", "reactions.zip")
PATIENCE = 600.0  # seconds until a stage is reached
LOOK = 0.02  # seconds between two looks at the stage
STARTED = 900.0


def _start(kept: Path, weights: str) -> tuple[str, subprocess.Popen]:
    """The page, ready to make runs, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "app.py", "--weights", weights, "--metrics"],
        cwd=ROOT,
        env=os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(kept)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address, end = f"http://127.0.0.1:{port}/", time.monotonic() + STARTED
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{address}healthz", timeout=10, trust_env=False).json()["state"] == "ready":
                return address, process
        except (httpx.HTTPError, KeyError):
            pass
        time.sleep(0.3)
    process.kill()
    raise RuntimeError("the page does not start")


async def _result(address: str, ask: Ask) -> np.ndarray:
    """The coefficients that a run gives."""
    async with Visitor(address) as visitor:
        files = {"speaker": await visitor.upload(ask.speaker), "listener": await visitor.upload(ask.listener)}
        result = await visitor.result(COMMON | ask.settings | files)
        with np.load(io.BytesIO((await visitor.fetch(result["coefficients"]["path"])).content)) as file:
            return file["coefficients"]


async def _until_killed(address: str, ask: Ask, stage: str, process: subprocess.Popen) -> None:
    """Ask for the run, and kill the server in the middle of it, while the visitor still waits.

    Raises RuntimeError where the stage was not seen; the server lives then.
    """
    async with Visitor(address) as visitor:
        files = {"speaker": await visitor.upload(ask.speaker), "listener": await visitor.upload(ask.listener)}
        done = metrics(address)['perfrdiff_runs_total{end="done"}']
        try:
            async with visitor.run(COMMON | ask.settings | files):
                end = time.monotonic() + PATIENCE
                while time.monotonic() < end:
                    figures = await asyncio.to_thread(metrics, address)
                    if figures[f'perfrdiff_run_stage{{stage="{stage}"}}']:
                        process.send_signal(signal.SIGKILL)
                        return
                    if figures['perfrdiff_runs_total{end="done"}'] > done:
                        break
                    await asyncio.sleep(LOOK)
        except httpx.HTTPError:
            return  # the server is gone
    raise RuntimeError(f"the run was over before '{stage}' was seen")


def _wait_until_empty(kept: Path) -> None:
    """What the visitor before has left goes with their session; what is there later is of the run that is killed."""
    end = time.monotonic() + PATIENCE
    while files_in(kept) and time.monotonic() < end:
        time.sleep(0.5)


@dataclass
class _Page:
    """The page that runs at present, and what was not as it should be."""

    kept: Path
    weights: str
    address: str = ""
    process: subprocess.Popen | None = None
    faults: list[str] = field(default_factory=list)

    def start(self) -> subprocess.Popen:
        self.address, self.process = _start(self.kept, self.weights)
        return self.process

    def kill_in(self, stage: str, ask: Ask) -> None:
        """Kill it in one stage, start it again, and look at what is there and what it does."""
        process, faults = self.process or self.start(), []
        _wait_until_empty(self.kept)
        below = psutil.Process(process.pid).children(recursive=True)
        try:
            asyncio.run(_until_killed(self.address, ask, stage, process))
        except RuntimeError as error:
            self.faults.append(f"{stage}: {error}")
            print(self.faults[-1], flush=True)
            return
        process.wait()
        left = files_in(self.kept)
        if whole := [path for path in left if path.parent.name.startswith("run-") and path.name in FINISHED]:
            faults.append(f"{stage}: {len(whole)} files look finished, {whole[0].name} among them")
        _, alive = psutil.wait_procs(below, timeout=30)
        if alive:
            faults.append(f"{stage}: {len(alive)} processes outlive the server")
        self.start()
        if remaining := [path for path in left if path.exists()]:
            faults.append(f"{stage}: {len(remaining)} of {len(left)} files are there after the next start")
        if not np.array_equal(asyncio.run(_result(self.address, ask)), ask.coefficients):
            faults.append(f"{stage}: other coefficients after the restart")
        print(f"{stage}: {len(left)} files left by the kill; {'; '.join(faults) or 'as expected'}", flush=True)
        self.faults += faults

    def stop(self) -> None:
        """As Ctrl-C does; nothing may be left."""
        if self.process is None:
            return
        self.process.terminate()
        self.process.wait(timeout=120)
        if rest := list(self.kept.iterdir()):
            self.faults.append(f"{len(rest)} files and folders are left after the stop")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="demo")
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=list(STAGES), metavar="STAGE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perfrdiff-kill-") as folder:
        page = _Page(Path(folder) / "kept", options.weights)
        page.kept.mkdir()
        speaker = cut(EXAMPLES / "speaker.mp4", Path(folder) / "talk.mp4", 2.0)
        ask = Ask("the run", speaker, EXAMPLES / "listener.mp4", {"seed": 5, "samples": 2})
        run_alone(ask, Path(folder) / "alone", options.weights)
        try:
            for stage in options.stages:
                page.kill_in(stage, ask)
        finally:
            page.stop()
    print("\n".join(page.faults) or "everything as expected")
    sys.exit(bool(page.faults))


if __name__ == "__main__":
    main()
