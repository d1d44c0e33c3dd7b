"""The record of one held-out person: small arrays by name, kept in a file so that a killed run goes on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

PersonRecord = dict[str, np.ndarray]
RECORD_VERSION = 5  # raised when the keys or the meaning of a record change: older ones are not read


def stack(records: Sequence[PersonRecord], key: str) -> np.ndarray:
    """(persons, …): one array of all persons."""
    return np.stack([record[key] for record in records])


def read_record(folder: Path | None, index: int) -> PersonRecord | None:
    """The record of person number `index`, or None where none was kept."""
    path = None if folder is None else folder / f"{index:04}.npz"
    if path is None or not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        return {key.replace("|", "/"): stored[key] for key in stored.files}


def write_record(folder: Path | None, index: int, record: PersonRecord) -> None:
    """Keep a record; nothing half-written stays behind under its name."""
    if folder is None:
        return
    partial = folder / f"{index:04}.part.npz"
    np.savez(partial, **{key.replace("/", "|"): value for key, value in record.items()})  # type: ignore[arg-type]
    partial.replace(folder / f"{index:04}.npz")
