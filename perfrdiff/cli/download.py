"""Fetching the authors' files, or any other, when asked to: the command `python -m perfrdiff download`."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m perfrdiff download`."""
    parser.add_argument(
        "what", metavar="NAME", nargs="?", help="paper-emotion, paper-render or external, or a http(s) address"
    )
    parser.add_argument("--sha256", metavar="DIGITS", help="the checksum that the file has to have")
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="file to make, or a folder that is there (default: checkpoints)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Fetch one file; without a name, say what there is and where it is published."""
    from tqdm import tqdm

    from perfrdiff import checkpoints  # torch takes seconds to import: not before --help
    from perfrdiff.published.weights import fetch

    if arguments.what is None:
        for name, published in fetch.PUBLISHED.items():
            print(f"{name}: {published.what}\n    {published.url}")
        print("Nothing was fetched. The authors publish no checksums; what you fetch is told with its own.")
        return 0
    url, name = fetch.address(arguments.what)
    target = arguments.out or checkpoints.FOLDER
    if target.is_dir():
        target = target / name
    with tqdm(unit="B", unit_scale=True, unit_divisor=1000, desc=target.name, disable=None) as bar:

        def show(done: int, whole: int | None) -> None:
            bar.total = whole
            bar.update(done - bar.n)

        fetched = fetch.download(url, target, arguments.sha256, show)
    print(f"{fetched.path}: {fetched.size} bytes, SHA-256 {fetched.sha256}")
    if arguments.what in fetch.PUBLISHED:
        print(f"Next: {fetch.PUBLISHED[arguments.what].then.format(path=fetched.path)}")
    return 0
