"""`python -m perfrdiff simulate` and `python -m perfrdiff neighbours`: data sets in the layout of REACT 2024."""

import argparse
import math
from pathlib import Path


def add_simulate(parser: argparse.ArgumentParser) -> None:
    """The options of `simulate`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--dyads", type=int, default=120, metavar="N", help="clips to train on (default: 120)")
    parser.add_argument("--clips", type=int, default=4, metavar="N", help="clips per listener (default: 4)")
    parser.add_argument("--listeners", type=int, default=3, metavar="N", help="listeners per talk (default: 3)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same data (default: 0)")
    parser.set_defaults(run=run_simulate)


def run_simulate(options: argparse.Namespace) -> int:
    """Write the folder and say what is in it."""
    from perfrdiff.data.react2024.writer import Plan, write  # numba compiles on import
    from perfrdiff.training.progress import shown

    plan = Plan(options.dyads, options.clips, options.listeners, options.seed)
    counts = write(plan, options.out, shown("dyads"))
    said = ", ".join(f"{count} {split}" for split, count in counts.items())
    print(f"{said}: {options.out / 'data'}")
    return 0


def add_neighbours(parser: argparse.ArgumentParser) -> None:
    """The options of `neighbours`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="REACT 2024's 'data' folder")
    parser.add_argument("--split", choices=("train", "val", "test"), required=True)
    parser.add_argument(
        "--mean", type=float, default=20.0, metavar="N", help="neighbours an entry has on average (default: 20)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace matrices that are there")
    parser.set_defaults(run=run_neighbours)


def run_neighbours(options: argparse.Namespace) -> int:
    """Build and write both matrices of a split."""
    import numpy as np

    from perfrdiff.data.react2024 import dataset as react
    from perfrdiff.data.react2024 import neighbours
    from perfrdiff.errors import InputError
    from perfrdiff.training.progress import shown

    if not 0 <= options.mean < math.inf:
        raise InputError(f"--mean is {options.mean}; expected 0 or more neighbours.")
    data = react.data_folder(options.data, options.split)
    names = tuple(react.matrix_name(options.split, personal) for personal in (False, True))
    there = [name for name in names if (data / name).exists()]
    if there and not options.overwrite:
        raise InputError(f"{', '.join(there)} exist already in {data}; say --overwrite to replace them.")
    react.check_there(data, (options.split,), matrices=False, only="Emotion")
    entries = react.read_index(react.index_place(data, options.split))

    def attributes(path: str) -> np.ndarray:
        return react.read_attributes(data / options.split / "Emotion" / f"{react.emotion_path(path)}.csv")

    speakers = [entry.speaker for entry in entries]
    generic = neighbours.build(attributes, speakers, options.mean, shown("pairs of clips"))
    personal = react.personal_mask(generic.astype(bool), entries)
    for name, matrix in zip(names, (generic, personal), strict=True):
        np.save(data / name, matrix.astype(np.uint8))
    each, own = (matrix.sum() / len(entries) for matrix in (generic, personal))
    print(f"{len(entries)} entries, {each:.1f} appropriate each, {own:.1f} with the same listener: {data}")
    return 0
