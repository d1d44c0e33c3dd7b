"""The 13 GB weight editor in little memory: imports a made-up published folder of full size and generates a reaction.

    python -m benchmarks.import_weights [emotion|render] [--folder DIR] [--zip]

Every file has its published shapes, random numbers, and the optimizer's momentum beside the editor's weights as in the
published files (docs/method.md 12, quirk 11): 13.0 GB for emotion, 8.9 GB for render. Needs 20 GB of disk, 33 with
--zip. Peak memory is what the process itself allocates (RssAnon): pages of mapped files are the system's to drop. Exit
code 1 if it exceeds 10 GiB.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import torch

from perfrdiff import checkpoints
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.models.layers import sine_table
from perfrdiff.published.weights import convert
from perfrdiff.published.weights.variants import PublishedFile, shape_tables
from perfrdiff.reactor import Reactor

MAX_GIB = 10.0  # of peak memory
SECONDS = 4.0  # of the reaction


class Peak:
    """Peak memory that this process itself allocated while the block ran, GiB."""

    def __enter__(self) -> Peak:
        self.gib, self._stopped = 0.0, threading.Event()
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()
        return self

    def _sample(self) -> None:
        while not self._stopped.wait(0.05):
            status = Path("/proc/self/status").read_text()
            anonymous = next(line for line in status.splitlines() if line.startswith("RssAnon"))
            self.gib = max(self.gib, int(anonymous.split()[1]) / 1024**2)

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self._watch.join()


def write_folder(folder: Path, files: tuple[PublishedFile, ...]) -> int:
    """Made-up files of the published sizes; bytes written."""
    generator = torch.Generator().manual_seed(0)
    for file in files:
        weights = {
            key: torch.randn(shape, generator=generator) / max(shape[-1] if shape else 1, 1) ** 0.5
            for key, shape in file.shapes.items()
        }
        if "to_3dmm_embed.weight" in weights:
            for key in ("query_pos.pe", "mem_pos.pe"):
                weights[key] = sine_table(weights[key].shape[0], weights[key].shape[-1])[:, None]
        for key in weights:  # shifts as small as trained ones
            if key.startswith("branches"):
                weights[key] *= 0.01
        momentum = weights.values() if file.network == "weight_editor" else ()
        state = {i: {"momentum_buffer": value.clone()} for i, value in enumerate(momentum)}
        target = folder / file.path
        target.parent.mkdir(parents=True)
        torch.save({"state_dict": weights, "optimizer": {"state": state, "param_groups": []}}, target)
    return sum(path.stat().st_size for path in folder.rglob("*.pth"))


def zip_folder(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*.pth")):
            archive.write(file, f"checkpoints/{file.relative_to(folder).as_posix()}")
    shutil.rmtree(folder)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant", nargs="?", default="emotion", choices=("emotion", "render"))
    parser.add_argument("--folder", type=Path, help="where to put some 20 GB (default: the system's temporary folder)")
    parser.add_argument("--zip", action="store_true", help="import from a zip, as Drive gives it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        work_folder = Path(temporary)
        size = write_folder(work_folder / "source", shape_tables()[options.variant])
        source = work_folder / "source"
        if options.zip:
            source = zip_folder(source, work_folder / "checkpoints.zip")
        largest = 0.0
        print(f"made-up published files, {options.variant}          {size / 1e9:6.2f} GB", flush=True)
        started = time.perf_counter()
        with Peak() as peak:
            (imported,) = convert.import_weights(source, work_folder / "weights")
        largest = max(largest, peak.gib)
        seconds = time.perf_counter() - started
        print(
            f"import, {imported.path.stat().st_size / 1e9:.2f} GB written: {seconds:6.1f} s, peak {peak.gib:.2f} GiB",
            flush=True,
        )
        started = time.perf_counter()
        with Peak() as peak:
            reactor = Reactor(checkpoints.load(imported.name, work_folder / "weights"), "cpu")
            print(f"load                   {time.perf_counter() - started:6.1f} s", flush=True)
            speaker = simulate_speaker(np.random.default_rng(0), SECONDS)
            started = time.perf_counter()
            reactor.set_listener(speaker.coefficients)
            print(f"set a listener         {time.perf_counter() - started:6.1f} s", flush=True)
            reactions = reactor.react_to(speaker, samples=1, steps=4)
        largest = max(largest, peak.gib)
        print(f"reactions {reactions.coefficients.shape}, load to reaction: peak {peak.gib:.2f} GiB", flush=True)
    return 0 if largest < MAX_GIB else 1


if __name__ == "__main__":
    sys.exit(main())
