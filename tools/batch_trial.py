"""Proves what docs/batch.md says of faults: a batch that is disturbed all the time ends with the bytes of a calm one.

    python -m tools.batch_trial --items 500 --actions features
    python -m tools.batch_trial --items 60 --actions features react render evaluate --folder /tmp/trial

The items are made by `tests.support.batch_items`: short clips, and every kind of broken file among them. Each action
runs once undisturbed, and once while random processes of the pool are killed (kill -9), the command gets Ctrl-C, and,
one time in four, is killed itself; it is called again until it ends by itself, and once more with --retry-failed for
items whose process was killed twice. Then both folders are compared, file by file, and both tables, seconds aside.
Exit code 1 where anything differs, is half-written, is left over, or an end by Ctrl-C takes longer than two seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from renderer.resources import asset
from tests.support.batch_items import EITHER, MadeItem, make_items, write_manifest

ROOT = Path(__file__).resolve().parents[1]
ACTIONS = ("features", "react", "render", "evaluate")
CTRL_C_SECONDS = 2.0
WITHIN = 2.0
PATIENCE = 60.0  # seconds, on a machine that is busy with other things
OF_THE_BATCH = ("results.csv", "summary.html", "items.jsonl")  # and journals; the rest of a folder is outputs


@dataclass
class Disturber:
    """Runs a command until it ends by itself, and disturbs it meanwhile.

    kill_every, stop_every: mean items between kills of a worker, and between ends of the command, by Ctrl-C or, one
    time in four, kill -9; counted in items, so that a busy machine gets on as well. Each comes at a moment of its own
    within `WITHIN` seconds after. most_ends: after which it is left in peace.
    """

    rng: random.Random
    kill_every: float
    stop_every: float
    most_ends: int = 1_000
    kills: int = 0
    ends: int = 0
    hard_ends: int = 0
    slowest_end: float = 0.0
    faults: list[str] = field(default_factory=list)

    def run(self, command: list[str], out: Path, log: Path, action: str) -> None:
        journal = out / f"journal-{action}.jsonl"
        while True:
            with log.open("ab") as file:
                process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, preexec_fn=_heed_ctrl_c)
            ended = self.ends >= self.most_ends or self._ends_while_disturbed(process, journal)
            code = process.wait() if ended else self._end(process)
            if ended or code == 0:
                if code != 0:
                    self.faults.append(f"the command ended with {code}: {_last_line(log)}")
                return
            if code != -signal.SIGKILL and (left := _left_over(out)):
                self.faults.append(f"after Ctrl-C there are left over: {left[:3]}")
            if broken := _half_written(out):
                self.faults.append(f"half-written: {broken[:3]}")

    def _ends_while_disturbed(self, process: subprocess.Popen, journal: Path) -> bool:
        """Kill workers until it is time to end the command; True where it has ended by itself before."""
        over = _lines(journal)
        kill, end = (over + self.rng.expovariate(1 / every) for every in (self.kill_every, self.stop_every))
        while process.poll() is None:
            if _lines(journal) >= kill:
                time.sleep(self.rng.uniform(0, WITHIN))
                if workers := _children(process.pid):
                    _kill(self.rng.choice(workers))
                    self.kills += 1
                kill = _lines(journal) + self.rng.expovariate(1 / self.kill_every)
            if _lines(journal) >= end:
                time.sleep(self.rng.uniform(0, WITHIN))
                return process.poll() is not None
            time.sleep(0.05)
        return True

    def _end(self, process: subprocess.Popen) -> int:
        """End the command; its exit code."""
        workers, began = _children(process.pid), time.monotonic()
        is_hard = self.rng.random() < 0.25
        process.send_signal(signal.SIGKILL if is_hard else signal.SIGINT)
        code = process.wait(PATIENCE)
        seconds = time.monotonic() - began
        self.ends += 1
        self.hard_ends += is_hard
        if code == 0:
            return 0  # it was just ready
        if not is_hard:
            self.slowest_end = max(self.slowest_end, seconds)
            if seconds > CTRL_C_SECONDS:
                self.faults.append(f"Ctrl-C took {seconds:.1f} s")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and any(map(_lives, workers)):
            time.sleep(0.1)
        if any(map(_lives, workers)):
            self.faults.append(f"processes live on {PATIENCE:.0f} s after the command's end ({code})")
        return code


def _lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.is_file() else 0


def _heed_ctrl_c() -> None:
    """A job in a shell's background ignores it, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _children(pid: int) -> list[int]:
    """Processes of the pool: children of the command that are no helper of multiprocessing's."""
    found = []
    for name in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((name / "stat").read_text().rpartition(")")[2].split()[1])
            words = (name / "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid and b"spawn_main" in words:
            found.append(int(name.name))
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        return "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or [""])[-1][-300:]


def outputs(folder: Path) -> dict[str, str]:
    """Checksums of all outputs below a batch's folder, the batch's own files aside."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in OF_THE_BATCH and not path.name.startswith("journal-")
    }


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """results.csv by the items' names, without the seconds."""
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return {row["id"]: {name: row[name] for name in row if name != "seconds"} for row in csv.DictReader(file)}


def _left_over(out: Path) -> list[str]:
    """Temporary files and folders."""
    return [str(path.relative_to(out)) for path in out.rglob(".*")] if out.is_dir() else []


def _half_written(out: Path) -> list[str]:
    """Outputs in their places that cannot be read to their end."""
    import numpy as np

    broken = []
    for path in out.rglob("*.npz"):
        if any(part.startswith(".") for part in path.relative_to(out).parts):
            continue
        try:
            with np.load(path) as file:
                for name in file.files:
                    file[name]
        except Exception as error:  # whatever it is, the file is not whole
            broken.append(f"{path.name} ({error})")
    settings = [path.parent for path in out.rglob("coefficients.npz") if not (path.parent / "settings.json").is_file()]
    return broken + [str(path) for path in settings if ".batch-" not in str(path)]


def commands(folder: Path, made: list[MadeItem], few: int) -> dict[str, list[str]]:
    """Action -> its arguments, but for the folder of the results; `few`: items of `react` and what follows it."""
    listeners = [asset("examples/portrait.jpg"), asset("examples/portrait_kofi.jpg")]
    manifest = write_manifest(made[:few], folder / "items.jsonl", listeners)
    return {
        "features": ["features", str(folder / "items"), "--out", "OUT"],
        "react": ["react", str(manifest), "--out", "OUT", "--samples", "2"],
        "render": ["render", "OUT", "--views", "mesh"],
        "evaluate": ["evaluate", "OUT"],
    }


def trial(folder: Path, options: argparse.Namespace) -> list[str]:
    """All of it; prints what is done, and returns what is wrong."""
    made = make_items(folder / "items", options.items)
    faults = []
    for action, words in commands(folder, made, options.few).items():
        if action not in options.actions:
            continue
        count = options.items if action == "features" else min(options.few, options.items)
        group = "features" if action == "features" else "react"  # the others go on in the folder of `react`
        calm, wild = (folder / f"{group}-{name}" for name in ("calm", "disturbed"))
        command = [sys.executable, "-m", "perfrdiff", "batch", *words, "--workers", str(options.workers)]
        calm_command = [word.replace("OUT", str(calm)) for word in command]
        wild_command = [word.replace("OUT", str(wild)) for word in command]
        began = time.monotonic()
        with (folder / f"{action}-calm.log").open("wb") as log:
            subprocess.run(calm_command, cwd=ROOT, check=True, stdout=log, stderr=log)
        calm_seconds = time.monotonic() - began
        disturber = Disturber(random.Random(options.seed), options.kill_every, options.stop_every)
        disturber.run(wild_command, wild, folder / f"{action}-disturbed.log", action)
        if disturber.faults and not (wild / "results.csv").is_file():
            faults += [f"{action}: {fault}" for fault in disturber.faults]
            break  # the next actions go on where this one ended
        states = [row["state"] for row in rows(wild).values()]
        died = states.count("died")
        subprocess.run([*wild_command, "--retry-failed"], cwd=ROOT, check=True, capture_output=True)
        found = list(disturber.faults) + compare(calm, wild, count)
        if action == "features":
            found += unexpected(made, rows(calm))
        print(
            f"{action}: {count} items, {sum(row['state'] == 'done' for row in rows(wild).values())} done; undisturbed "
            f"{calm_seconds:.0f} s; disturbed {time.monotonic() - began - calm_seconds:.0f} s with {disturber.kills} "
            f"workers killed, {disturber.ends} ends ({disturber.hard_ends} by kill -9), slowest end by Ctrl-C "
            f"{disturber.slowest_end:.1f} s, {died} items recorded as died and done by --retry-failed; "
            f"{len(outputs(wild))} files compared; {'; '.join(found) or 'no difference'}",
            flush=True,
        )
        faults += [f"{action}: {fault}" for fault in found]
    return faults


def compare(calm: Path, wild: Path, count: int) -> list[str]:
    """What differs between two folders of the same batch of `count` items."""
    faults = []
    one, other = outputs(calm), outputs(wild)
    differing = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    if differing:
        faults.append(f"{len(differing)} files differ, such as {sorted(differing)[:3]}")
    table, disturbed = rows(calm), rows(wild)
    if len(table) != count:
        faults.append(f"the table has {len(table)} rows of {count}")
    if table != disturbed:
        wrong = [name for name in table if table[name] != disturbed.get(name)]
        shown = [(table[name], disturbed.get(name)) for name in wrong[:1]]
        faults.append(f"{len(wrong)} rows differ, such as {wrong[:3]}: {shown}")
    done = {row["path"] for row in table.values() if row["state"] == "done" and row.get("path")}
    missing = [name for name in done if not (wild / name).exists()]
    if missing:
        faults.append(f"{len(missing)} outputs of the table are missing, such as {missing[:3]}")
    if left := [*_left_over(calm), *_left_over(wild)]:
        faults.append(f"left over: {left[:3]}")
    return faults + [f"half-written: {name}" for name in _half_written(wild)]


def unexpected(made: list[MadeItem], table: dict[str, dict[str, str]]) -> list[str]:
    """Items of which the batch made something else than it should have."""
    wrong = [item.id for item in made if item.state != EITHER and table.get(item.id, {}).get("state") != item.state]
    return [f"{len(wrong)} items have another state than they should, such as {wrong[:3]}"] if wrong else []


def main(arguments: list[str] | None = None) -> int:
    """The trial; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--few", type=int, default=40, metavar="N", help="items of react, render and evaluate")
    parser.add_argument("--actions", nargs="+", choices=ACTIONS, default=ACTIONS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill-every", type=float, default=12.0, metavar="N")
    parser.add_argument("--stop-every", type=float, default=40.0, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of the disturbances")
    parser.add_argument("--folder", type=Path, help="kept afterwards (default: a temporary one)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        faults = trial(options.folder or Path(temporary), options)
    for fault in faults:
        print(f"FAULT {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
