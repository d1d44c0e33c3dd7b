"""What weights show on held-out simulated dyads: `perfrdiff evaluate demo`."""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from perfrdiff.errors import InputError
from perfrdiff.evaluation import report
from perfrdiff.evaluation.dyads import EvaluationSettings, SharedSimulation, simulate_shared
from perfrdiff.evaluation.observe import PersonRecord, measure_person
from perfrdiff.reactor import Reactor

RECORD_VERSION = 3  # raised when the keys or the meaning of a record change: older ones are not read
Progress = Callable[[int, int], None]


def check(settings: EvaluationSettings) -> None:
    """Raise InputError for a setting that cannot be measured."""
    minima = {"persons": 1, "speakers": 1, "samples": 1, "redraws": 2, "truth_clips": 5, "pool": 1, "bank_persons": 20}
    for name, minimum in minima.items():
        if getattr(settings, name) < minimum:
            raise InputError(f"--{name.replace('_', '-')} is {getattr(settings, name)}; at least {minimum} is needed.")
    if settings.seconds < 10:
        raise InputError(f"--seconds is {settings.seconds:g}; habits need clips of at least 10 s.")


def measure(
    weights: str,
    settings: EvaluationSettings,
    *,
    device: str = "cpu",
    workers: int = 1,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> list[report.Row]:
    """Measure weights on held-out dyads.

    Args:
        weights: name or path, as `Reactor.load` takes it.
        setting: how much is simulated and generated.
        device: where the networks run.
        workers: processes that share the persons; each loads the weights.
        keep: folder in which the record of every person stays, so that a killed run goes on.
        progress: called with persons done and persons in all.

    Raises InputError for settings that cannot be measured.
    """
    check(settings)
    records = dict(collect(weights, settings, device, workers, keep, progress))
    shared = _shared(settings)
    return report.rows([records[i] for i in range(settings.persons)], shared.full_classifier, shared.motion_classifier)


def collect(
    weights: str, settings: EvaluationSettings, device: str, workers: int, keep: Path | None, progress: Progress | None
) -> Iterator[tuple[int, PersonRecord]]:
    """Records of all persons, as they come; those kept by an earlier run are read."""
    reactor = Reactor.load(weights, device)
    folder = None
    if keep is not None:
        identity = json.dumps(asdict(settings) | {"weights": reactor.checkpoint.sha256, "records": RECORD_VERSION})
        folder = keep / hashlib.sha256(identity.encode()).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "setting.json").write_text(identity + "\n", encoding="utf-8")
    done = 0
    missing = []
    for index in range(settings.persons):
        record = _read(folder, index)
        if record is None:
            missing.append(index)
            continue
        done += 1
        yield index, record
    if progress is not None and done:
        progress(done, settings.persons)
    for index, record in _measure_missing(reactor, weights, settings, device, workers, missing):
        _write(folder, index, record)
        done += 1
        if progress is not None:
            progress(done, settings.persons)
        yield index, record


def _measure_missing(reactor, weights, settings, device, workers, missing) -> Iterator[tuple[int, PersonRecord]]:
    if not missing:
        return
    if workers <= 1:
        shared = _shared(settings)
        for index in missing:
            yield index, measure_person(reactor, shared, index)
        return
    shared = _shared(settings)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(weights, device, shared)
    ) as pool:
        futures = [pool.submit(_measure_in_worker, index) for index in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_SHARED: dict[EvaluationSettings, SharedSimulation] = {}
_WORKER: dict[str, object] = {}  # of a worker process: its reactor and world


def _shared(settings: EvaluationSettings) -> SharedSimulation:
    if settings not in _SHARED:
        _SHARED.clear()
        _SHARED[settings] = simulate_shared(settings)
    return _SHARED[settings]


def _start_worker(weights: str, device: str, shared: SharedSimulation) -> None:
    torch.set_num_threads(1)
    _WORKER["reactor"], _WORKER["world"] = Reactor.load(weights, device), shared


def _measure_in_worker(index: int) -> tuple[int, PersonRecord]:
    return index, measure_person(_WORKER["reactor"], _WORKER["world"], index)


def _read(folder: Path | None, index: int) -> PersonRecord | None:
    path = None if folder is None else folder / f"{index:04}.npz"
    if path is None or not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        return {key.replace("|", "/"): stored[key] for key in stored.files}


def _write(folder: Path | None, index: int, record: PersonRecord) -> None:
    if folder is None:
        return
    partial = folder / f"{index:04}.part.npz"
    np.savez(partial, **{key.replace("/", "|"): value for key, value in record.items()})
    partial.replace(folder / f"{index:04}.npz")
