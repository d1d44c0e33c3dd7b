"""The paper's own weights, made usable: the command `perfrdiff import-weights PATH`."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `perfrdiff import-weights`."""
    parser.add_argument("path", type=Path, metavar="PATH", help="the authors' 'checkpoints' folder, or its zip")
    parser.add_argument(
        "--external", type=Path, metavar="DIR", help="the authors' 'external' folder, for FaceVerse/mean_face.npy"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to keep them (default: checkpoints)")
    parser.add_argument("--overwrite", action="store_true", help="replace weights imported before")


def run(options: argparse.Namespace) -> int:
    """Import, and print which weights were written and how to use them."""
    from perfrdiff import checkpoints  # torch takes seconds to import: not before --help
    from perfrdiff.cli.stage_progress import StageProgress
    from perfrdiff.published.weights.convert import import_weights

    with StageProgress() as progress:
        imported = import_weights(
            options.path,
            options.out or checkpoints.FOLDER,
            options.external,
            overwrite=options.overwrite,
            progress=progress,
        )
    for weights in imported:
        print(f"{weights.path} ({weights.path.stat().st_size / 1e9:.2f} GB): use it with --weights {weights.name}")
        for note in weights.notes:
            print(note)
    return 0
