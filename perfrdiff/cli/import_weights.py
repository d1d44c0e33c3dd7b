"""The paper's own weights, made usable: the command `python -m perfrdiff import-weights PATH`."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m perfrdiff import-weights`."""
    parser.add_argument("path", type=Path, metavar="PATH", help="the authors' 'checkpoints' folder, or its zip")
    parser.add_argument(
        "--external", type=Path, metavar="DIR", help="the authors' 'external' folder, for FaceVerse/mean_face.npy"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to keep them (default: checkpoints)")
    parser.add_argument("--overwrite", action="store_true", help="replace weights imported before")


def run(arguments: argparse.Namespace) -> int:
    """Import, and say what was made and how to use it."""

    from perfrdiff import checkpoints  # torch takes seconds to import: not before --help
    from perfrdiff.published.weights.convert import import_weights

    def show(stage: str, share: float) -> None:
        if sys.stdout.isatty():
            print(f"\r\033[K{share:4.0%}  {stage}", end="\n" if share >= 1 else "", flush=True)

    made = import_weights(
        arguments.path,
        arguments.out or checkpoints.FOLDER,
        arguments.external,
        overwrite=arguments.overwrite,
        progress=show,
    )
    for imported in made:
        print(f"{imported.path} ({imported.path.stat().st_size / 1e9:.2f} GB): use it with --weights {imported.name}")
        for note in imported.notes:
            print(note)
    return 0
