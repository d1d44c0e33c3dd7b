"""Many visitors at once, against the page in a process of its own: python -m tools.load_trial --clients 12 --jobs 200

Good and bad input mixed, as tools/load_inputs.py has it. Each run has to give what it gives alone, bit for bit, and
every tenth visitor leaves in the middle of one. Afterwards no file, thread or process may be left, and memory after the
last job is compared with that after the twentieth. --live 2 holds live sessions beside it. Exit code 1 where one thing
is not so. The runs of tools/kill_trial.py end the server instead.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from tests.support.served_page import files_in, served
from tools.live_client import LiveDelays, talk
from tools.load_inputs import COMMON, Ask, asks
from tools.page_client import Visitor, metrics

EARLY = 20  # jobs after which memory is compared with that after the last
AROUND = 9  # jobs whose memory is taken together: it goes up and down within a job
GROWTH = 0.05
JOBS_OF_A_VISITOR = 4
SETTINGS = {"PERFRDIFF_METRICS": "1", "PERFRDIFF_QUEUE": "100", "PERFRDIFF_LIVE_MINUTES": "600"}
LEAVES_EVERY = 10
EMPTY_SECONDS = 120.0  # for which leftovers are waited for


@dataclass
class Trial:
    """What was seen."""

    address: str
    kept: Path
    asks: list[Ask]
    weights: str
    faults: list[str] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)  # MB after each job
    threads: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def count(self, end: str) -> None:
        self.ends[end] = self.ends.get(end, 0) + 1


async def _one(trial: Trial, visitor: Visitor, stranger: Visitor, ask: Ask, leaves: bool) -> None:
    """Ask for a run, and compare what comes with what has to."""
    began = time.monotonic()
    try:
        files = {"speaker": await visitor.upload(ask.speaker), "listener": await visitor.upload(ask.listener)}
        settings = COMMON | {"weights": trial.weights} | ask.settings | files
        if leaves:
            async with visitor.run(settings) as messages:
                async for message in messages:
                    if message["msg"] in ("process_generating", "process_completed"):
                        break
            trial.count("left")
            return
        result = await visitor.result(settings)
    except RuntimeError as error:
        trial.count("refused" if ask.sentence else "FAILED")
        if str(error) != ask.sentence:
            trial.faults.append(f"{ask.name}: {str(error)!r} instead of {ask.sentence or 'a result'!r}")
        return
    if ask.coefficients is None:
        trial.faults.append(f"{ask.name}: a result instead of {ask.sentence!r}")
        return
    path = result["coefficients"]["path"]
    with np.load(io.BytesIO((await visitor.fetch(path)).content)) as file:
        is_same = np.array_equal(file["coefficients"], ask.coefficients)
    trial.count("same bits" if is_same else "OTHER NUMBERS")
    if not is_same:
        trial.faults.append(f"{ask.name}: other coefficients than alone")
    if (await stranger.fetch(path)).status_code != 403:
        trial.faults.append(f"{ask.name}: another visitor can read the result")
    trial.seconds.append(time.monotonic() - began)


async def _client(trial: Trial, jobs: list[tuple[int, Ask]], stranger: Visitor) -> None:
    """A client: visitors one after the other, each with a few runs."""
    while jobs:
        async with Visitor(trial.address) as visitor:
            for _ in range(JOBS_OF_A_VISITOR):
                if not jobs:
                    return
                number, ask = jobs.pop()
                leaves = number % LEAVES_EVERY == LEAVES_EVERY - 1
                await _one(trial, visitor, stranger, ask, leaves)
                figures = await asyncio.to_thread(metrics, trial.address)
                trial.memory.append(figures["perfrdiff_memory_bytes"] / 1e6)
                trial.threads.append(figures["perfrdiff_threads"])
                if len(trial.memory) % 20 == 0:
                    print(f"{len(trial.memory)} jobs, {trial.memory[-1]:.0f} MB, {trial.ends}", flush=True)
                if leaves:
                    break  # the tab is closed


async def _load(trial: Trial, clients: int, jobs: int, live: int) -> tuple[LiveDelays, LiveDelays]:
    """All of them at once; the delays of live sessions before and beside."""
    rng = random.Random(3)
    waiting = [(number, trial.asks[rng.randrange(len(trial.asks))]) for number in range(jobs)]
    before, beside = LiveDelays(), LiveDelays()
    if live:
        await asyncio.gather(*(talk(trial.address, before, seconds=15.0) for _ in range(live)))
    is_over = asyncio.Event()
    talking = [asyncio.create_task(talk(trial.address, beside, until=is_over)) for _ in range(live)]
    async with Visitor(trial.address) as stranger:
        await asyncio.gather(*(_client(trial, waiting, stranger) for _ in range(clients)))
    is_over.set()
    await asyncio.gather(*talking)
    return before, beside


def _wait_for_nothing(trial: Trial, server: psutil.Process) -> None:
    """Everything that visitors left has to go by itself."""
    end = time.monotonic() + EMPTY_SECONDS
    while time.monotonic() < end:
        figures = metrics(trial.address)
        is_calm = not figures["perfrdiff_runs_waiting"] and not files_in(trial.kept)
        if is_calm and figures["perfrdiff_threads"] <= min(trial.threads, default=0) + 2 and _processes(server) == 0:
            return
        time.sleep(1)
    trial.faults.append(
        f"left: {len(files_in(trial.kept))} files, {figures['perfrdiff_threads']:.0f} threads (at the least "
        f"{min(trial.threads, default=0):.0f} before), {_processes(server)} processes"
    )


def _processes(server: psutil.Process) -> int:
    """How many the server has beside itself and the one that decoding processes are forked from."""
    return max(0, len(server.children(recursive=True)) - 1)


def _growth(memory: list[float]) -> tuple[float, float]:
    """Memory after the twentieth and after the last job, each the median of the jobs around it."""
    early = memory[max(0, EARLY - AROUND // 2 - 1) : EARLY + AROUND // 2]
    return statistics.median(early), statistics.median(memory[-AROUND:])


def run(clients: int, jobs: int, seconds: float, live: int, weights: str = "demo") -> Trial:
    """Make the trial, print what was seen, and return it."""
    with tempfile.TemporaryDirectory(prefix="perfrdiff-load-") as folder:
        kept, clips = Path(folder) / "kept", Path(folder) / "clips"
        kept.mkdir(), clips.mkdir()
        made = asks(clips, seconds, weights)
        bad = sum(bool(ask.sentence) for ask in made)
        print(f"{len(made) - bad} good marks, {bad} bad ones")
        with served(kept, weights, **SETTINGS) as (address, _):
            server = next(one for one in psutil.Process().children() if "app.py" in one.cmdline())
            trial = Trial(address, kept, made, weights)
            began = time.monotonic()
            before, beside = asyncio.run(_load(trial, clients, jobs, live))
            took = time.monotonic() - began
            _wait_for_nothing(trial, server)
            figures = metrics(address)
            processor = sum(server.cpu_times()[:2])
    print(f"{jobs} jobs of {clients} clients in {took:.0f} s ({processor:.0f} s of processor time): {trial.ends}")
    if trial.seconds:
        median, most = statistics.median(trial.seconds), max(trial.seconds)
        print(f"a good job, waiting included: median {median:.1f} s, most {most:.1f} s")
    ended = {end: figures[f'perfrdiff_runs_total{{end="{end}"}}'] for end in ("done", "failed", "cancelled")}
    print(f"by the server: {ended}; memory at the end {figures['perfrdiff_memory_bytes'] / 1e6:.0f} MB")
    if len(trial.memory) > EARLY + AROUND:
        early, late = _growth(trial.memory)
        print(f"memory after job {EARLY}: {early:.0f} MB, after job {jobs}: {late:.0f} MB, {late / early - 1:+.1%}")
        if late > early * (1 + GROWTH):
            trial.faults.append(f"memory grew by {late / early - 1:.1%}")
    if live:
        print(f"live sessions: {before} before, {beside} beside the load")
    if sum(trial.ends.values()) != jobs:
        trial.faults.append(f"{jobs} jobs were asked for, {sum(trial.ends.values())} ended")
    print("\n".join(dict.fromkeys(trial.faults)) or "everything as expected")
    return trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of the shortest speaker; the longest has twice that"
    )
    parser.add_argument("--live", type=int, default=0, help="live sessions beside it")
    options = parser.parse_args()
    sys.exit(bool(run(options.clients, options.jobs, options.seconds, options.live).faults))


if __name__ == "__main__":
    main()
