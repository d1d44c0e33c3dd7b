"""`perfrdiff export`: what a run made, written for other programs."""

import argparse
from pathlib import Path

from perfrdiff.exports import EXPORTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `perfrdiff export`."""
    kinds = "; ".join(f"{name}: {words}" for name, words in EXPORTS.items())
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of results that 'react' wrote")
    parser.add_argument("--to", nargs="+", required=True, metavar="NAME", help=kinds)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the files (default: that of the results)")
    parser.add_argument(
        "--identity", type=Path, metavar="FILE", help="the listener's head, as --save-identity of 'react' kept it"
    )
    parser.add_argument("--mesh-identity", metavar="NAME", help="a made-up person to show in its place")
    parser.add_argument(
        "--frame", type=int, metavar="N", help="frame of obj, ply and still-glb, from 0 (default: the liveliest)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the files, and say which."""
    from perfrdiff.exports.from_folder import export  # torch takes seconds to import: not before --help

    files = export(
        options.folder,
        options.to,
        options.out,
        identity=options.identity,
        mesh_identity=options.mesh_identity,
        frame=options.frame,
    )
    for path in files:
        print(f"{path} ({path.stat().st_size / 1e3:,.0f} kB)")
    return 0
