"""Is this PIRender and FaceVerse, number for number? The command `python -m renderer.conformance FOLDER`.

Fixtures are recognised by what they hold, not by their names, so that others of the same layout work, too. The checks
themselves are in `checks.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from renderer.errors import RenderError


def main(arguments: list[str] | None = None) -> int:
    """Print one line per comparison; 0 if all pass, 1 if one fails, 2 if there is nothing to compare."""
    parser = argparse.ArgumentParser(
        prog="python -m renderer.conformance",
        description="Compare the renderers with the published code's numbers: name, largest deviation, tolerance, pass "
        "or fail. Exit code 1 if one fails. A FaceVerse .npy in the folder is a pickle and is read: run this on "
        "folders you trust.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with the fixture files")
    parser.add_argument("--only", default="", metavar="TEXT", help="run only the files whose name contains TEXT")
    options = parser.parse_args(arguments)

    from renderer.conformance.checks import run_folder  # torch takes seconds to import: not before --help

    passed = failed = 0
    print(f"{'fixture':74} {'deviation':>10} {'tolerance':>10}  result")
    try:
        for deviation in run_folder(options.folder, options.only):
            passed, failed = passed + deviation.passed, failed + (not deviation.passed)
            result = "pass" if deviation.passed else "FAIL"
            print(
                f"{deviation.name:74} {deviation.max_abs_error:10.2e} {deviation.tolerance:10.2e}  {result}", flush=True
            )
    except RenderError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
