"""What weights show on held-out simulated dyads: `perfrdiff evaluate demo`."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from perfrdiff.data.simulator.habits import draw_habits
from perfrdiff.data.simulator.listener import simulate_listener
from perfrdiff.data.simulator.speaker import simulate_speaker
from perfrdiff.data.simulator.tracking import simulate_tracking
from perfrdiff.errors import InputError
from perfrdiff.evaluation.dyads import HELD_OUT, EvaluationSettings, SharedSimulation, simulate_shared
from perfrdiff.evaluation.listening_rows import listening_rows, variety_rows
from perfrdiff.evaluation.movement_rows import liveliness_rows, plausibility_rows
from perfrdiff.evaluation.observe import measure_person
from perfrdiff.evaluation.person_rows import habit_rows, recognition_rows, swap_rows
from perfrdiff.evaluation.recognition import PersonClassifier
from perfrdiff.evaluation.records import RECORD_VERSION, PersonRecord, read_record, write_record
from perfrdiff.evaluation.report import Row
from perfrdiff.reactor import Reactor

Progress = Callable[[int, int], None]


def check(settings: EvaluationSettings) -> None:
    """Raise InputError for a setting that cannot be measured."""
    minima = {"persons": 1, "speakers": 1, "samples": 1, "redraws": 2, "truth_clips": 5, "pool": 1, "bank_persons": 30}
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
    people: np.ndarray | None = None,
) -> list[Row]:
    """Measure weights on held-out dyads.

    Args:
        weights: name or path, as `Reactor.load` takes it.
        setting: how much is simulated and generated.
        device: where the networks run.
        workers: processes that share the persons; each loads the weights.
        keep: folder in which the record of every person stays, so that a killed run goes on, and one of more persons.
        progress: called with persons done and persons in all.
        people: liveliness (groups, bands) of real listeners, to be shown beside (`real.liveliness_of`).

    Raises InputError for settings that cannot be measured.
    """
    check(settings)
    records = dict(collect(weights, settings, device, workers, keep, progress))
    shared = _shared(settings)
    return rows([records[i] for i in range(settings.persons)], shared.classifiers, people)


def rows(
    records: Sequence[PersonRecord], classifiers: Mapping[str, PersonClassifier], people: np.ndarray | None = None
) -> list[Row]:
    """All rows of the table, from the records of all persons and the classifiers that recognise them."""
    return [
        *listening_rows(records), *variety_rows(records), *habit_rows(records),
        *recognition_rows(records, classifiers), *swap_rows(records), *liveliness_rows(records, people),
        *plausibility_rows(records),
    ]  # fmt: skip


def collect(
    weights: str, settings: EvaluationSettings, device: str, workers: int, keep: Path | None, progress: Progress | None
) -> Iterator[tuple[int, PersonRecord]]:
    """Records of all persons, as they come; those kept by an earlier run are read."""
    reactor = Reactor.load(weights, device)
    folder = None
    if keep is not None:
        about = {"weights": reactor.checkpoint.sha256, "records": RECORD_VERSION, "simulator": _fingerprint()}
        of_each = {name: value for name, value in asdict(settings).items() if name != "persons"}
        identity = json.dumps(of_each | about)
        folder = keep / hashlib.sha256(identity.encode()).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "setting.json").write_text(identity + "\n", encoding="utf-8")
    done = 0
    missing = []
    for index in range(settings.persons):
        record = read_record(folder, index)
        if record is None:
            missing.append(index)
            continue
        done += 1
        yield index, record
    if progress is not None and done:
        progress(done, settings.persons)
    for index, record in _measure_missing(reactor, weights, settings, device, workers, missing):
        write_record(folder, index, record)
        done += 1
        if progress is not None:
            progress(done, settings.persons)
        yield index, record


def _fingerprint() -> str:
    """Of the simulator: records of persons as an earlier version of it drew them are not read."""
    rng = np.random.default_rng(HELD_OUT)
    speaker = simulate_speaker(rng, 10.0)
    clip = simulate_tracking(simulate_listener(speaker, draw_habits(rng), rng), rng)
    return hashlib.sha256(speaker.coefficients.tobytes() + clip.tobytes()).hexdigest()[:12]


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
_WORKER: list[tuple[Reactor, SharedSimulation]] = []  # one, in a worker process


def _shared(settings: EvaluationSettings) -> SharedSimulation:
    if settings not in _SHARED:
        _SHARED.clear()
        _SHARED[settings] = simulate_shared(settings)
    return _SHARED[settings]


def _start_worker(weights: str, device: str, shared: SharedSimulation) -> None:
    torch.set_num_threads(1)
    _WORKER[:] = [(Reactor.load(weights, device), shared)]


def _measure_in_worker(index: int) -> tuple[int, PersonRecord]:
    return index, measure_person(*_WORKER[0], index)
