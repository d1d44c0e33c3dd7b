"""THIRD_PARTY.md: python -m tools.third_party, which `make lock` calls too.

Names and versions are the lock files', licences what each installed package's own metadata says, and the assets' what
their LICENSE.md says. A package that is not installed here keeps the licence that the file has of it, and so do those
of torch's CUDA build, which some machines have and others do not. With --check
nothing is written, and the exit code is 1 where the file is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata

from tools.lock import OF_CUDA, ROOT, parse

TARGET = ROOT / "THIRD_PARTY.md"
LOCKS = {
    "requirements.lock": "What the program runs with",
    "requirements-cuda.lock": "What torch loads besides where it is its CUDA build; a CPU build does without",
    "requirements-web.lock": "What fetches the browser's libraries",
    "requirements-train.lock": "What training uses besides",
    "requirements-dev.lock": "What tests and checks use besides",
}
UNKNOWN = "not installed where this was written; see the package"
LONGEST = 80  # letters of a licence's name; some packages put the whole text there
NAMES = re.compile(r"MIT|Apache|BSD|Python Software Foundation|Mozilla|ISC|zlib|LGPL|GPL", re.IGNORECASE)
INTRODUCTION = """\
# Third parties

Made by `python -m tools.third_party` from the lock files, the packages' own metadata and the assets' licences; the
suite checks that it is up to date. Nothing here is part of this repository but the assets: packages are installed from
the package index.
"""


def licence_of(package: str) -> str | None:
    """The licence that an installed package's metadata names, on one line; None where it is not installed."""
    try:
        about = metadata(package)
    except PackageNotFoundError:
        return None
    classifiers = [
        line.split(" :: ")[-1] for line in about.get_all("Classifier") or () if line.startswith("License ::")
    ]
    classifiers = [name for name in classifiers if name != "OSI Approved"]
    text = next((line.strip() for line in (about.get("License") or "").splitlines() if line.strip()), "")
    if about.get("License-Expression"):
        return about["License-Expression"]
    if classifiers and (not text or len(text) > LONGEST or not NAMES.search(text)):
        return ", ".join(dict.fromkeys(classifiers))
    return text[:LONGEST] or "not named in its metadata"


def written() -> dict[str, str]:
    """Package -> licence, as the file has them now."""
    text = TARGET.read_text(encoding="utf-8") if TARGET.is_file() else ""
    return dict(re.findall(r"^\| ([\w.-]+) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE))


def document() -> str:
    """The whole file."""
    known, parts = written(), [INTRODUCTION]
    for lock, title in LOCKS.items():
        parts.append(f"\n## {title} (`{lock}`)\n\n| package | version | licence |\n|---|---|---|\n")
        for name, (requirement, _) in sorted(parse((ROOT / lock).read_text(encoding="utf-8")).items()):
            version, kept = requirement.split(" ;")[0].split("==")[1], known.get(name, UNKNOWN)
            licence = kept if OF_CUDA.match(name) and kept != UNKNOWN else licence_of(name) or kept
            parts.append(f"| {name} | {version} | {licence} |\n")
    parts.append("\n## What the browser gets (`package-lock.json`)\n\n| package | version | licence |\n|---|---|---|\n")
    packages = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for place, entry in sorted(packages.items()):
        if place:
            name = place.removeprefix("node_modules/") + (" (tests alone)" if entry.get("dev") else "")
            parts.append(f"| {name} | {entry['version']} | {entry.get('license', 'not named')} |\n")
    parts.append("\n## Assets that come with the program\n\n| folder | what it says | in full |\n|---|---|---|\n")
    for folder in sorted(path for path in (ROOT / "assets").iterdir() if path.is_dir()):
        licence = folder / "LICENSE.md"
        if licence.is_file():
            title = licence.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            names = re.findall(r"CC0 1\.0|Apache License 2\.0|Apache-2\.0|\bMIT\b", licence.read_text(encoding="utf-8"))
            said, where = ", ".join(dict.fromkeys(names)), f"`assets/{folder.name}/LICENSE.md`: {title}"
        else:
            said, where = "made by this project: MIT", "`LICENSE`"
        parts.append(f"| assets/{folder.name} | {said} | {where} |\n")
    return "".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or check it."""
    text = document()
    if "--check" in (sys.argv[1:] if arguments is None else arguments):
        return 0 if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
