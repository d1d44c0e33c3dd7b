"""Lock files with hashes: python -m tools.lock, which `make lock` calls. Needs the network.

Writes requirements.lock (to run: requirements.txt, requirements-gl.txt, and what builds the package),
requirements-cuda.lock (what torch's CUDA build loads; a CPU build does without), requirements-cpu.lock (torch's CPU
build, where this machine's disk has it), and requirements-web.lock, requirements-train.lock and requirements-dev.lock,
each with what its requirements need on top of those before it. uv resolves them for Linux on x86-64 and Python 3.11,
where everything is tested; elsewhere `make` installs the pinned requirements themselves, and says so.

They are complete, so they are installed with `pip install --no-deps --require-hashes`: no file is taken that is not
named here, and mediapipe comes without opencv-contrib-python (requirements.txt says why). Machines may be set up to
take wheels from folders of their own, as torch's CPU build here; the hashes of these are added to those of the index.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "3.11"
PLATFORM = "x86_64-manylinux_2_28"
ON_TOP = ("web", "train", "dev")
OF_CUDA = re.compile(r"(nvidia-|cuda-|triton\b)")
HEADER = "# Made by `make lock` from {sources}; do not edit. Installed with --no-deps --require-hashes.\n"
Lock = dict[str, tuple[str, list[str]]]
"""Name -> the requirement as pip reads it (name==version, a marker), and the lines `--hash=…`."""


def main() -> int:
    """Write all of them."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    head, _, tail = text.partition("\nmediapipe==")
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runs = [head, (ROOT / "requirements-gl.txt").read_text(encoding="utf-8"), *pyproject["build-system"]["requires"]]
    everything = resolve("\n".join(runs)) | resolve("mediapipe==" + tail.splitlines()[0], "--no-deps")
    cuda = {name for name in everything if OF_CUDA.match(name)}
    write("requirements.lock", "requirements.txt, requirements-gl.txt and pyproject.toml", everything, cuda)
    write("requirements-cuda.lock", "torch's own requirements", {name: everything[name] for name in cuda})
    write_cpu(everything["torch"][0])
    for name in ON_TOP:
        runs.append((ROOT / f"requirements-{name}.txt").read_text(encoding="utf-8"))
        pins = "\n".join(requirement.split(" ;")[0] for requirement, _ in everything.values())
        more = resolve("\n".join(runs), constraints=pins)
        write(f"requirements-{name}.lock", f"requirements-{name}.txt", more, everything)
        everything |= more
    return 0


def resolve(requirements: str, *options: str, constraints: str = "") -> Lock:
    """What these need, with the hashes of every file that the index has of each release."""
    with tempfile.TemporaryDirectory() as folder:
        given, pinned = Path(folder, "in.txt"), Path(folder, "constraints.txt")
        given.write_text(requirements, encoding="utf-8")
        pinned.write_text(constraints, encoding="utf-8")
        command = [
            "uv", "pip", "compile", given, "--constraint", pinned, "--python-platform", PLATFORM, "--quiet",
            "--generate-hashes", "--no-annotate", "--no-header", "--python-version", PYTHON, *options,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return parse(done.stdout)


def parse(text: str) -> Lock:
    """A lock file's packages."""
    lock: Lock = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", "\n" + text):
        lines = [line.strip().removesuffix("\\").strip() for line in block.strip().splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        if lines:
            lock[re.split(r"[ =]", lines[0])[0]] = (lines[0], lines[1:])
    return lock


def write(name: str, sources: str, lock: Lock, without: Iterable[str] = ()) -> None:
    """Write one lock file, with the hashes of local wheels beside those of the index."""
    parts = [HEADER.format(sources=sources)]
    for package in sorted(lock.keys() - set(without)):
        requirement, hashes = lock[package]
        version = requirement.split(" ;")[0].split("==")[1].strip()
        hashes = sorted({*hashes, *(f"--hash=sha256:{digest}" for digest in local_hashes(package, version))})
        parts.append(" \\\n    ".join([requirement, *hashes]) + "\n")
    (ROOT / name).write_text("".join(parts), encoding="utf-8")
    print(f"{name}: {len(parts) - 1} packages")


def write_cpu(requirement: str) -> None:
    """torch's CPU build alone: with these hashes pip can take nothing else. Left as it is where the disk has none."""
    hashes = [f"--hash=sha256:{digest}" for digest in local_hashes("torch", requirement.split("==")[1], build="+cpu")]
    if hashes:
        text = HEADER.format(sources="requirements.txt") + " \\\n    ".join([requirement, *hashes]) + "\n"
        (ROOT / "requirements-cpu.lock").write_text(text, encoding="utf-8")


def local_hashes(package: str, version: str, build: str = "") -> list[str]:
    """SHA-256 of the wheels of this release (or one build of it) that pip would find on this machine's disk."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    found = re.findall(r"(find-links|extra-index-url)='([^']*)'", done.stdout)
    folders = {Path(place) for kind, value in found if kind == "find-links" for place in value.split()}
    indexes = {place.rstrip("/") for kind, value in found if kind != "find-links" for place in value.split()}
    files = [file for folder in folders if folder.is_dir() for file in folder.iterdir()]
    for index in indexes:
        page = Path(unquote(urlparse(index).path), package, "index.html") if index.startswith("file://") else None
        if page is not None and page.is_file():
            links = re.findall(r'href="([^"#]+)', page.read_text(encoding="utf-8"))
            files += [Path(unquote(urlparse(urljoin(f"{index}/{package}/", link)).path)) for link in links]
    wheel = re.compile(
        rf"{package.replace('-', '[-_.]')}-{re.escape(version)}(\+[a-z0-9.]+)?(-.*\.whl|\.tar\.gz)", re.I
    )
    digests = []
    for file in files:
        if wheel.fullmatch(file.name) and build in file.name and file.is_file():
            with file.open("rb") as opened:
                digests.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return digests


if __name__ == "__main__":
    sys.exit(main())
