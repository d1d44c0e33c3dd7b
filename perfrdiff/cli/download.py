"""Fetching the authors' files, or any other, when asked to: the command `perfrdiff download`."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `perfrdiff download`."""
    parser.add_argument(
        "what", metavar="NAME", nargs="?", help="paper-emotion, paper-render or external, or a http(s) address"
    )
    parser.add_argument("--sha256", metavar="DIGITS", help="the checksum that the file has to have")
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="file to make, or a folder that is there (default: checkpoints)"
    )


def run(options: argparse.Namespace) -> int:
    """Fetch one file; without a name, say what there is and where it is published."""
    from tqdm import tqdm

    from perfrdiff import checkpoints  # torch takes seconds to import: not before --help
    from perfrdiff.published.weights import fetch

    if options.what is None:
        for name, published in fetch.PUBLISHED_FILES.items():
            print(f"{name}: {published.description}\n    {published.url}")
        print("Nothing was fetched. The authors publish no checksums; what you fetch is printed with its own.")
        return 0
    url, name = fetch.resolve_address(options.what)
    target = options.out or checkpoints.FOLDER
    if target.is_dir():
        target = target / name
    with tqdm(unit="B", unit_scale=True, unit_divisor=1000, desc=target.name, disable=None) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        file = fetch.download(url, target, options.sha256, show)
    print(f"{file.path}: {file.size} bytes, SHA-256 {file.sha256}")
    if options.what in fetch.PUBLISHED_FILES:
        print(f"Next: {fetch.PUBLISHED_FILES[options.what].next_step.format(path=file.path)}")
    return 0
