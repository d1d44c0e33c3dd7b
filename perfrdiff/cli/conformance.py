"""`perfrdiff conformance FOLDER`: are the networks PerFRDiff's, number for number?"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `perfrdiff conformance`."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with fixture files (*.safetensors)")
    parser.add_argument("--only", default="", metavar="TEXT", help="run only the files whose name contains TEXT")


def run(options: argparse.Namespace) -> int:
    """Print one line per file; 0 if all fixtures pass, 1 if one fails."""
    from perfrdiff.published.conformance.suite import run_folder  # torch takes seconds to import: not before --help

    outcomes = []
    print(f"{'file':46} {'result':6} {'deviation':>10} {'tolerance':>10}  nearest to failing, of so many")
    for outcome in run_folder(options.folder, options.only):
        outcomes.append(outcome)
        numbers = f"{'':>10} {'':>10}"
        if outcome.comparisons:
            numbers = f"{outcome.largest:10.2e} {outcome.tolerance:10.2e}"
        count = f" ({outcome.comparisons})" if outcome.comparisons else ""
        print(f"{outcome.name:46} {outcome.status:6} {numbers}  {outcome.detail}{count}", flush=True)
    counts = {status: sum(outcome.status == status for outcome in outcomes) for status in ("pass", "fail", "skip")}
    print(f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} no fixtures")
    return 1 if counts["fail"] else 0
