"""`perfrdiff neighbours`: the matrices of appropriate reactions of a data set in the layout of REACT 2024."""

import argparse
import math
import shutil
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `perfrdiff neighbours`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="REACT 2024's 'data' folder")
    parser.add_argument("--split", choices=("train", "val", "test"), required=True)
    parser.add_argument(
        "--mean", type=float, default=20.0, metavar="N", help="neighbours an entry has on average (default: 20)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: one for each core")
    parser.add_argument(
        "--most-hours", type=float, default=24.0, metavar="H", help="refuse what would take longer (default: 24)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace matrices that are there")


def run(options: argparse.Namespace) -> int:
    """Build and write both matrices of a split; called again after it was stopped, it goes on."""
    import numpy as np

    from perfrdiff.data.react2024 import dataset as react
    from perfrdiff.data.react2024 import neighbours
    from perfrdiff.errors import InputError
    from perfrdiff.files import atomic_write
    from perfrdiff.training.progress import progress_bar_callback

    if not 0 <= options.mean < math.inf:
        raise InputError(f"--mean is {options.mean}; expected 0 or more neighbours.")
    data = react.data_folder(options.data, options.split)
    if options.threads is not None and options.threads < 1:
        raise InputError(f"--threads is {options.threads}; at least 1 is needed.")
    names = tuple(react.matrix_name(options.split, personal) for personal in (False, True))
    existing = [name for name in names if (data / name).exists()]
    if existing and not options.overwrite:
        raise InputError(f"{', '.join(existing)} exist already in {data}; say --overwrite to replace them.")
    react.check_files_exist(data, (options.split,), matrices=False, only="Emotion")
    entries = react.read_index(react.index_path(data, options.split))

    def attributes(path: str) -> np.ndarray:
        return react.read_attributes(data / options.split / "Emotion" / f"{react.emotion_path(path)}.csv")

    speakers = [entry.speaker for entry in entries]
    kept = data / f".neighbours-{options.split}"  # rows that are done, for a run that was stopped
    generic = neighbours.build_matrix(
        attributes, speakers, options.mean, progress_bar_callback("pairs of clips"), threads=options.threads, kept=kept,
        most_hours=options.most_hours, tell=print,
    )  # fmt: skip
    personal = react.personal_mask(generic.astype(bool), entries)
    for name, matrix in zip(names, (generic, personal), strict=True):
        with atomic_write(data / name) as temporary:
            np.save(temporary, matrix.astype(np.uint8))
    shutil.rmtree(kept, ignore_errors=True)
    per_entry, same_listener = (matrix.sum() / len(entries) for matrix in (generic, personal))
    print(
        f"{len(entries)} entries, {per_entry:.1f} appropriate each, {same_listener:.1f} with the same listener: {data}"
    )
    return 0
