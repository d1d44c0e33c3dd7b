"""Runs every fixture of the published code that lies in a folder.

A fixture is recognised by what it contains, not by its name, so that fixtures of the same layout with other seeds work.
Weights that a fixture does not carry itself come from its neighbours in the folder.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from perfrdiff.errors import InputError
from perfrdiff.files import read_safetensors
from perfrdiff.published.conformance import full_size as checks_full_size
from perfrdiff.published.conformance import measures as checks_measures
from perfrdiff.published.conformance import networks as checks_networks
from perfrdiff.published.conformance import sampling as checks_sampling
from perfrdiff.published.conformance import training as checks_training
from perfrdiff.published.conformance.fixtures import Deviation, Fixture, FixtureFolder, nearest_to_failing
from perfrdiff.published.weights.variants import shape_tables

Check = Callable[[Fixture], list[Deviation]]

LAYOUTS: tuple[tuple[str, Check], ...] = (
    ("sd_hypernet/", checks_sampling.check_personal),
    ("out/step0/loss", checks_training.check_editor_steps),
    ("out/loss/loss", checks_training.check_training_forward),
    ("shift_kv/", checks_networks.check_edit_modes),
    ("offset_all/", checks_networks.check_edit_modes),
    ("weight_all/", checks_networks.check_edit_modes),
    ("sd/cls_token", checks_networks.check_style_encoder),
    ("sd/x_rnn.", checks_networks.check_autoencoder),
    ("sd/learned_query", checks_networks.check_prior),
    ("sd/to_3dmm_embed", checks_networks.check_denoiser),
    ("sd/to_emotion_embed", checks_networks.check_denoiser),
    ("step00/", checks_sampling.check_denoising),
    ("mid/decoder_x_T", checks_sampling.check_generic),
    ("alphas_cumprod", checks_sampling.check_schedule),
    ("basic/", checks_training.check_losses),
    ("in/neighbour", checks_measures.check_metrics),
    ("decoder/in/", checks_full_size.check_full_size),
)
"""First characters of a tensor name that only one kind of fixture has -> its check; the first match counts."""


@dataclass(frozen=True)
class Outcome:
    """The result of one file."""

    name: str
    status: str  # "pass", "fail", or "skip" for a file that is no fixture
    detail: str  # the comparison that came nearest to failing, or why there is none
    largest: float = float("nan")
    tolerance: float = float("nan")
    comparisons: int = 0
    seconds: float = 0.0


def run_folder(folder: Path, only: str = "") -> Iterator[Outcome]:
    """Run every fixture file of a folder, in order of name; `only` keeps the files whose name contains it.

    Raises InputError if there is no such folder or no fixture in it.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give the folder with the fixture files (*.safetensors).")
    fixtures = FixtureFolder(folder)
    files = [name for name in fixtures.files() if only in name]
    if not any(name.endswith(".safetensors") for name in files):
        raise InputError(
            f"There is no fixture file (*.safetensors) in {folder}{f' with {only!r} in its name' * bool(only)}."
        )
    for name in files:
        started = time.perf_counter()
        if name.endswith(".safetensors"):
            yield _run_fixture(fixtures.fixture(name), started)
        elif name.endswith(".json"):
            yield _run_table(folder / name, started)
        else:
            yield Outcome(name, "skip", "no fixture: not a safetensors or JSON file")


def check_of(fixture: Fixture) -> Check | None:
    """The check for a fixture's layout; None if no layout fits."""
    for start, check in LAYOUTS:
        if fixture.has_prefix(start):
            return check
    return checks_measures.check_mfcc if any(key.endswith("/pcm_int16") for key in fixture.keys) else None


def _run_fixture(fixture: Fixture, started: float) -> Outcome:
    name = fixture.path.name
    try:
        check = check_of(fixture)
        if check is None:
            return Outcome(name, "fail", "unknown layout: none of its tensors belongs to a known kind of fixture")
        with torch.no_grad():
            deviations = check(fixture)
    except InputError as error:
        return Outcome(name, "fail", str(error))
    except Exception as error:
        # Whatever an unforeseen fixture does, it fails by itself and must not keep the others from running.
        return Outcome(name, "fail", f"could not be run: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    if not deviations:
        return Outcome(name, "fail", "nothing in it could be compared")
    nearest = nearest_to_failing(deviations)
    status = "pass" if all(deviation.passed for deviation in deviations) else "fail"
    took = time.perf_counter() - started
    return Outcome(name, status, nearest.name, nearest.largest, nearest.tolerance, len(deviations), took)


def _run_table(path: Path, started: float) -> Outcome:
    """The JSON files beside the fixtures: tables of shapes are checked, the others are skipped."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return Outcome(path.name, "fail", f"cannot be read as JSON: {error}")
    if not isinstance(stored, dict):
        return Outcome(path.name, "skip", "no fixture: holds no numbers of the networks")
    try:
        if "files" in stored:
            count = sum(len(entry["keys"]) for entry in stored["files"].values())
            faults = _shape_faults(stored["files"])
            detail = "; ".join(faults[:3]) or "every file, key and shape as in the package's own table"
            return _table_outcome(path.name, faults, detail, count, started)
        if stored and all(name.endswith(".safetensors") for name in stored):
            faults = _manifest_faults(path.parent, stored)
            detail = "; ".join(faults[:3]) or "every listed tensor is there, with its shape"
            return _table_outcome(path.name, faults, detail, sum(len(entry) for entry in stored.values()), started)
    except (AttributeError, KeyError, TypeError, IndexError):
        return Outcome(path.name, "skip", "no fixture: neither a table of shapes nor a manifest")
    if any("(seed" in str(name) for name in stored):
        return Outcome(path.name, "skip", "read with the full-size probe it belongs to")
    return Outcome(path.name, "skip", "no fixture: holds no numbers of the networks")


def _table_outcome(name: str, faults: list[str], detail: str, count: int, started: float) -> Outcome:
    took = time.perf_counter() - started
    return Outcome(name, "fail" if faults else "pass", detail, float(len(faults)), 0.0, count, took)


def _shape_faults(files: dict) -> list[str]:
    """Differences of a table of published files from the package's own; the variant with the fewest counts."""
    listed = {
        (path.removeprefix("./checkpoints/"), key): tuple(entry["shape"])
        for path, content in files.items()
        for key, entry in content["keys"].items()
    }
    best: list[str] | None = None
    for variant, files in shape_tables().items():
        own_shapes = {(file.path, key): shape for file in files for key, shape in file.shapes.items()}
        faults = [
            f"{variant}: {path} {key} is {listed.get((path, key))} there and {own_shapes.get((path, key))} here"
            for path, key in sorted(listed.keys() | own_shapes.keys())
            if listed.get((path, key)) != own_shapes.get((path, key))
        ]
        best = faults if best is None or len(faults) < len(best) else best
    return best or []


def _manifest_faults(folder: Path, listed: dict) -> list[str]:
    faults = []
    for name, tensors in listed.items():
        if not (folder / name).is_file():
            faults.append(f"{name} is not in the folder")
            continue
        try:
            _, stored = read_safetensors(folder / name, "safetensors", "make it again")
        except InputError as error:
            faults.append(str(error))
            continue
        shapes = {key: list(value.shape) for key, value in stored.items()}
        for key, entry in tensors.items():
            if shapes.get(key) != list(entry[1]):
                faults.append(f"{name} {key} is {shapes.get(key)}, listed as {entry[1]}")
    return faults
