"""What is done with one item, in a process that has loaded everything once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from perfrdiff.batch.manifest import Item
from perfrdiff.batch.storage import OutputPlace, fetched, scratch
from perfrdiff.errors import InputError

ACTIONS = ("features", "react", "render", "evaluate")
WITH_TORCH = ("react", "render")  # which takes as long to load as all the rest
REMEMBERED = 8  # speakers and listeners of a process: items are in an order in which those who share one are neighbours
REMEMBERED_BYTES = 256 << 20
REACT_PARTS = (("3D_FV_files", "npy"), ("Emotion", "csv"), ("Audio_files", "wav"))  # of the layout of REACT 2024
LOOKS = 0.5  # seconds between a process's looks at whether its parent still lives


def prepare_process() -> None:
    """At the start of a process: Ctrl-C is for the parent, and nobody works on when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgrp()  # so that it ends with all that it has started
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()


def end_process_group(process: int) -> None:
    """Kill a process that `prepare_process` has prepared, and all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOKS)
    end_process_group(os.getpid())


def outputs_of(action: str, item: Item, layout: str = "table") -> tuple[str, ...]:
    """Names of the files or folders that an item's work makes, in the batch's folder."""
    if action == "features" and layout == "react2024":
        from perfrdiff.data.react2024.dataset import emotion_path

        names = {"Emotion": emotion_path(item.id)}  # where the seats have other names
        return tuple(f"{kind}/{names.get(kind, item.id)}.{ending}" for kind, ending in REACT_PARTS)
    return {"features": (f"{item.id}.npz",), "evaluate": ()}.get(action, (item.id,))


def marks_of(action: str, item: Item, layout: str = "table") -> tuple[str, ...]:
    """Names of files that are there when an item's outputs are whole."""
    names = outputs_of(action, item, layout)
    return (f"{item.id}/settings.json",) if action in ("react", "render") else names


def work(action: str, item: Item, where: Path | str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Do one item; its outputs are whole, and in their place in the batch's folder, when this returns.

    Returns the values of its row. Raises InputError or RenderError, in one sentence, for an item that cannot be done.
    """
    if action in WITH_TORCH:
        _keep_to_one_thread()
    place = OutputPlace(where)
    with ExitStack() as files, scratch(place.local) as made:
        here = replace(
            item,
            files={name: files.enter_context(fetched(file)) for name, file in item.files.items()},
            truth=tuple(files.enter_context(fetched(file)) for file in item.truth),
        )
        folder = made / "out"
        folder.mkdir()
        if action == "evaluate":
            return _evaluate(here, place.fetch(f"{item.id}/coefficients.npz", made / "coefficients.npz"))
        values = _MAKERS[action](here, folder, options)
        outputs = outputs_of(action, item, options.get("layout", "table"))
        place.publish(folder, outputs)
    return {"path": outputs[0]} | values


@cache
def _keep_to_one_thread() -> None:
    """There is a process for each core."""
    import torch

    torch.set_num_threads(1)


@cache
def _inputs() -> Any:
    from perfrdiff.pipeline.input_memory import InputMemory

    return InputMemory(REMEMBERED, REMEMBERED_BYTES)


def _features(item: Item, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    from perfrdiff.features.clip import read_speaker
    from perfrdiff.features.tables import FeatureTable, write_react_layout, write_table

    speaker = read_speaker(item.files["speaker"], face_number=item.settings.get("speaker_face_number"))
    assert speaker.quality is not None and speaker.face_seen is not None
    has_audio = speaker.waveform is not None
    table = FeatureTable(
        speaker.coefficients, speaker.attributes, speaker.audio, speaker.quality, has_audio, hearing=speaker.hearing
    )
    if options.get("layout") == "react2024":
        written = write_react_layout(folder, item.id, table, speaker.waveform)
        for path, name in zip(written, outputs_of("features", item, "react2024"), strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(folder / name)
    else:
        path = folder / f"{item.id}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, table)
    speech = 0.0 if speaker.hearing is None else float((speaker.hearing[:, 0] >= 0.5).mean())
    values = {"frames": len(speaker.coefficients), "face_seen": float(speaker.face_seen.mean()), "speech": speech}
    return values | {"notes": list(speaker.notes)}


def _react(item: Item, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    from perfrdiff.pipeline.run import react_in_numbers

    out = _folder_of(item, folder)
    settings = react_in_numbers(item.request(out, **options), _inputs())
    (out / "reactions.zip").unlink()  # everything in it lies beside it
    return _row_of_run(out, settings)


def _render(item: Item, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    from perfrdiff.pipeline.run import react

    out = _folder_of(item, folder)
    result = react(item.request(out, **options), inputs=_inputs())
    result.archive.unlink()
    return _row_of_run(out, json.loads(result.settings.read_text(encoding="utf-8")))


def _folder_of(item: Item, folder: Path) -> Path:
    out = folder / item.id
    out.parent.mkdir(parents=True, exist_ok=True)
    return out


def _row_of_run(out: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    from perfrdiff.behaviour.card import measure_behaviour

    with np.load(out / "coefficients.npz") as file:
        coefficients = file["coefficients"]
    habits = {name: value for name, value in measure_behaviour(coefficients[0]).rows()}
    values = {name: settings[name] for name in ("frames", "reactions", "listening_style")}
    return values | {"habits": habits, "notes": settings["notes"]}


def _evaluate(item: Item, path: Path | None) -> dict[str, Any]:
    """The measures of the reactions in a run's coefficients.npz."""
    from perfrdiff.features.attributes import facial_attributes
    from perfrdiff.features.tables import read_table
    from perfrdiff.metrics import challenge

    if path is None:
        raise InputError(f"{item.id} has no reactions to evaluate; run 'batch react' first.")
    with np.load(path) as file:
        reactions = np.stack([facial_attributes(rows) for rows in file["coefficients"]])  # (K, T, 25)
    values: dict[str, Any] = {"frames": reactions.shape[1], "reactions": len(reactions)}
    values |= {"FRDiv": challenge.diversity(reactions[None]), "FRVar": challenge.variance(reactions)}
    truth = [read_table(path).attributes for path in item.truth]
    if truth:
        frames = min(len(rows) for rows in (reactions[0], *truth))
        appropriate, all_of_them = np.stack([rows[:frames] for rows in truth]), np.ones((1, len(truth)))
        given = reactions[None, :, :frames], appropriate, all_of_them, 1
        values["FRCorr"] = float(challenge.best_correlation(*given).mean())
        values["FRDist"] = float(challenge.best_distance(*given).mean())
    return values


_MAKERS = {"features": _features, "react": _react, "render": _render}
