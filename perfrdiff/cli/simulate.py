"""`perfrdiff simulate`: simulated conversations in the layout of REACT 2024."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `perfrdiff simulate`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--dyads", type=int, default=120, metavar="N", help="clips to train on (default: 120)")
    parser.add_argument("--clips", type=int, default=4, metavar="N", help="clips per listener (default: 4)")
    parser.add_argument("--listeners", type=int, default=3, metavar="N", help="listeners per talk (default: 3)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same data (default: 0)")
    parser.add_argument(
        "--voices", type=Path, metavar="DIR", help="a folder of speech from which most talks are built (default: none)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the folder and print how many dyads each split has."""
    from perfrdiff.data.react2024.writer import DatasetSize, write_dataset  # numba compiles on import
    from perfrdiff.data.simulator.voices import read_voices
    from perfrdiff.training.progress import progress_bar_callback

    voices = read_voices(options.voices) if options.voices else None
    size = DatasetSize(options.dyads, options.clips, options.listeners, options.seed)
    counts = write_dataset(size, options.out, progress_bar_callback("dyads"), voices)
    summary = ", ".join(f"{count} {split}" for split, count in counts.items())
    print(f"{summary}: {options.out / 'data'}")
    return 0
