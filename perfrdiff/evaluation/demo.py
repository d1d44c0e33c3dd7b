"""What weights show on held-out simulated dyads: `python -m perfrdiff evaluate demo`."""

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
from perfrdiff.evaluation import behaviour
from perfrdiff.evaluation.dyads import Setting, World, build_world
from perfrdiff.evaluation.observe import Record, record_of
from perfrdiff.reactor import Reactor

RECORDS = 3  # counted up when a record means something else: older ones are not read
Progress = Callable[[int, int], None]


def check(setting: Setting) -> None:
    """Raise InputError for a setting that cannot be measured."""
    leasts = {"persons": 1, "speakers": 1, "samples": 1, "redraws": 2, "truth_clips": 5, "pool": 1, "bank_persons": 20}
    for name, least in leasts.items():
        if getattr(setting, name) < least:
            raise InputError(f"--{name.replace('_', '-')} is {getattr(setting, name)}; at least {least} is needed.")
    if setting.seconds < 10:
        raise InputError(f"--seconds is {setting.seconds:g}; habits need clips of at least 10 s.")


def measure(
    weights: str,
    setting: Setting,
    *,
    device: str = "cpu",
    workers: int = 1,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> list[behaviour.Row]:
    """Measure weights on held-out dyads.

    Args:
        weights: name or path, as `Reactor.load` takes it.
        setting: how much is simulated and generated.
        device: where the networks run.
        workers: processes that share the persons; each loads the weights.
        keep: folder in which the record of every person stays, so that a killed run goes on.
        progress: called with persons done and persons in all.
    """
    check(setting)
    records = dict(collect(weights, setting, device, workers, keep, progress))
    world = _world(setting)
    return behaviour.rows([records[i] for i in range(setting.persons)], world.by_all, world.by_movement)


def collect(
    weights: str, setting: Setting, device: str, workers: int, keep: Path | None, progress: Progress | None
) -> Iterator[tuple[int, Record]]:
    """Records of all persons, as they come; those kept by an earlier run are read."""
    reactor = Reactor.load(weights, device)
    folder = None
    if keep is not None:
        said = json.dumps(asdict(setting) | {"weights": reactor.checkpoint.sha256, "records": RECORDS})
        folder = keep / hashlib.sha256(said.encode()).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "setting.json").write_text(said + "\n", encoding="utf-8")
    done = 0
    missing = []
    for index in range(setting.persons):
        record = _read(folder, index)
        if record is None:
            missing.append(index)
            continue
        done += 1
        yield index, record
    if progress is not None and done:
        progress(done, setting.persons)
    for index, record in _made(reactor, weights, setting, device, workers, missing):
        _write(folder, index, record)
        done += 1
        if progress is not None:
            progress(done, setting.persons)
        yield index, record


def _made(reactor, weights, setting, device, workers, missing) -> Iterator[tuple[int, Record]]:
    if not missing:
        return
    if workers <= 1:
        world = _world(setting)
        for index in missing:
            yield index, record_of(reactor, world, index)
        return
    world = _world(setting)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start, initargs=(weights, device, world)
    ) as pool:
        waiting = [pool.submit(_work, index) for index in missing]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_WORLDS: dict[Setting, World] = {}
_HERE: dict[str, object] = {}  # of a worker process: its reactor and world


def _world(setting: Setting) -> World:
    if setting not in _WORLDS:
        _WORLDS.clear()
        _WORLDS[setting] = build_world(setting)
    return _WORLDS[setting]


def _start(weights: str, device: str, world: World) -> None:
    torch.set_num_threads(1)
    _HERE["reactor"], _HERE["world"] = Reactor.load(weights, device), world


def _work(index: int) -> tuple[int, Record]:
    return index, record_of(_HERE["reactor"], _HERE["world"], index)


def _read(folder: Path | None, index: int) -> Record | None:
    path = None if folder is None else folder / f"{index:04}.npz"
    if path is None or not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        return {key.replace("|", "/"): stored[key] for key in stored.files}


def _write(folder: Path | None, index: int, record: Record) -> None:
    if folder is None:
        return
    part = folder / f"{index:04}.part.npz"
    np.savez(part, **{key.replace("/", "|"): value for key, value in record.items()})
    part.replace(folder / f"{index:04}.npz")
