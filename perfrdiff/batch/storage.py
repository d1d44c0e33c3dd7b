"""Where inputs lie and outputs go: this machine's disk, or any file system that fsspec reaches (s3://, gs://, hf:// …).

The only module that knows the difference. Everything is made in a folder of this machine's disk that the process holds
(`leftovers.hold_folder`) and is put in its place when it is whole: on a disk by renaming, elsewhere by uploading.
"""

from __future__ import annotations

import hashlib
import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from perfrdiff.errors import InputError
from perfrdiff.leftovers import hold_folder, remove_dead, remove_held

SCRATCH = ".batch-"  # begins the name of a folder in which an item's outputs are made
LAST = "settings.json"  # of a folder; uploaded last, so that a folder that has it is whole
PACKAGES = {
    "s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "hf": "huggingface_hub", "memory": "",
}  # fmt: skip
"""Protocols that a path may have, and the package that fsspec needs for each; others are refused, for a table may come
from somebody else."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that is not on this machine's disk; stands where a `Path` would."""

    url: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.url.partition("://")[2]).name

    def __str__(self) -> str:
        return self.url


Location = Path | RemoteFile
_held: dict[Path | None, Path] = {}  # of this process: a folder for temporary files below each parent


def is_remote(text: str | Path) -> bool:
    """Whether a path has a protocol other than this machine's own, such as s3://."""
    return isinstance(text, str) and "://" in text and not text.startswith("file://")


def locate(text: str, base: str | Path = "") -> Location:
    """The file of a path that stands in a table; `base`: the folder to which it is relative, a path or an address.

    Raises InputError for a protocol that is none of `PACKAGES`.
    """
    if is_remote(text):
        _system(text)
        return RemoteFile(text)
    path = Path(text.removeprefix("file://"))
    if path.is_absolute() or not is_remote(base):
        return Path(base) / path
    protocol, _, folder = str(base).partition("://")
    return RemoteFile(f"{protocol}://{posixpath.normpath(posixpath.join(folder, text))}")


def exists(file: Location) -> bool:
    """Whether there is such a file."""
    try:
        if isinstance(file, Path):
            return file.is_file()
        return file.url.partition("://")[2].lstrip("/") in _listing(file.url.rpartition("/")[0])
    except (OSError, ValueError):  # a name that no file can have
        return False


def checksum(file: Location) -> str:
    """Of a file's content. A remote file's is what its file system says of it (S3: the ETag), and is not read for it.

    Raises OSError for a file that cannot be read.
    """
    if isinstance(file, Path):
        return _digest(file, file.stat().st_mtime_ns)
    return str(_system(file.url).checksum(file.url))


def found_below(address: str) -> list[str]:
    """Addresses of the files below a remote folder, or of those that a remote glob matches, in order."""
    system, protocol = _system(address), address.partition("://")[0]
    with _in_words(address):
        found = system.glob(address) if any(letter in address for letter in "*?[") else system.find(address)
        return [f"{protocol}://{name.lstrip('/')}" for name in sorted(found)]


@contextmanager
def fetched(file: Location) -> Iterator[Path]:
    """A file on this machine's disk, under its own name; a remote one is fetched, and removed after the block."""
    if isinstance(file, Path):
        yield file
        return
    with scratch() as folder:
        with _in_words(file.url):
            _system(file.url).get_file(file.url, str(folder / file.name))
        yield folder / file.name


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A new folder on the disk of `parent`, or on that of temporary files; gone after the block.

    It lies in one that the process holds until `release`, or its end: then whoever comes next removes it.
    """
    if parent not in _held:
        _held[parent] = hold_folder(SCRATCH, parent)
    folder = Path(tempfile.mkdtemp(dir=_held[parent]))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def release(parent: Path | None = None) -> None:
    """Remove this process's folder of `scratch`, and those of processes that are gone."""
    if parent in _held:
        remove_held(_held.pop(parent))
    remove_dead(SCRATCH, parent or tempfile.gettempdir())


class OutputPlace:
    """The folder of a batch's results, on this machine's disk or elsewhere.

    control: a folder on this disk with the batch's own files (journal, tables, page); the results' folder itself, or,
    where that is remote, a temporary one from which `save_control` uploads.
    """

    def __init__(self, where: str | Path) -> None:
        self.where = where
        self.local = None if is_remote(where) else Path(str(where).removeprefix("file://"))
        self._system = None if self.local else _system(str(where))
        self._control: Path | None = None
        self._names: set[str] | None = None

    @property
    def control(self) -> Path:
        if self.local is not None:
            return self.local
        if self._control is None:
            self._control = hold_folder(SCRATCH, None)
        return self._control

    def open(self, *control_files: str) -> None:
        """Make the folder, without what a killed batch has left there, and bring its control files. Raises OSError."""
        if self.local is not None:
            self.local.mkdir(parents=True, exist_ok=True)
            remove_dead(SCRATCH, self.local)
            return
        for name in control_files:
            self.fetch(name, self.control / name)

    def close(self) -> None:
        """Remove what processes that are gone, and this one, have left on this disk."""
        release()
        if self.local is not None:
            release(self.local)
        if self._control is not None:
            remove_held(self._control)
            self._control = None

    def save_control(self) -> None:
        """Upload the control files of a remote folder."""
        if self._system is not None:
            with _in_words(str(self.where)):
                for path in sorted(self.control.iterdir()):
                    self._system.put_file(str(path), self._address(path.name))

    def has(self, name: str) -> bool:
        """Whether a file or folder of this name is there; of a remote place as it was at the first call."""
        if self.local is not None:
            return (self.local / name).exists()
        if self._names is None:
            with _in_words(str(self.where)):
                root = self._system._strip_protocol(str(self.where)).rstrip("/") + "/"
                self._names = {found.removeprefix(root) for found in self._system.find(str(self.where))}
        return name in self._names

    def fetch(self, name: str, to: Path) -> Path | None:
        """A copy of one file of the place at `to`, or the file itself where it is on this disk; None without it."""
        if self.local is not None:
            return self.local / name if (self.local / name).is_file() else None
        try:
            self._system.get_file(self._address(name), str(to))
        except FileNotFoundError:
            return None
        return to

    def checksum(self, name: str) -> str:
        """As `checksum` of a file of the place; "" where it is not there."""
        if self.local is not None:
            return checksum(self.local / name) if (self.local / name).is_file() else ""
        try:
            return checksum(RemoteFile(self._address(name)))
        except FileNotFoundError:
            return ""

    def publish(self, made: Path, names: Sequence[str]) -> None:
        """Put files and folders that lie below `made` in their places; what was there before is replaced."""
        for name in names:
            if self.local is None:
                self._upload(made / name, name)
                continue
            target = self.local / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():  # a folder that is not empty cannot be renamed over
                target.rename(Path(tempfile.mkdtemp(prefix="before-", dir=made.parent)) / "outputs")
            (made / name).replace(target)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files and folders, where they are there."""
        for name in names:
            if self.local is not None:
                path = self.local / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            elif self._system.exists(self._address(name)):
                self._system.rm(self._address(name), recursive=True)

    def address(self, name: str) -> Location:
        """Where a file of this name is, or will be."""
        return self.local / name if self.local is not None else RemoteFile(self._address(name))

    def _address(self, name: str) -> str:
        return f"{str(self.where).rstrip('/')}/{name}"

    def _upload(self, path: Path, name: str) -> None:
        with _in_words(str(self.where)):
            if path.is_file():
                self._system.put_file(str(path), self._address(name))
                return
            self.remove([name])
            for file in sorted(path.iterdir(), key=lambda file: file.name == LAST):
                self._system.put_file(str(file), self._address(f"{name}/{file.name}"))


@cache
def _digest(path: Path, changed: int) -> str:
    """Of a file's content; a listener that many items share is read once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _system(address: str) -> Any:
    """fsspec's file system of an address. Raises InputError for a protocol that is not known, or lacks its package."""
    import fsspec

    protocol = address.partition("://")[0]
    if protocol not in PACKAGES:
        known = ", ".join(f"{name}://" for name in PACKAGES)
        raise InputError(f"{address[:200]} has a protocol that a batch does not take; {known} and plain paths are.")
    try:
        return fsspec.filesystem(protocol)
    except ImportError:
        raise InputError(f"{protocol}:// needs a package: pip install {PACKAGES[protocol]}.") from None


@cache
def _listing(folder: str) -> frozenset[str]:
    """Names in a remote folder: one question for all files of a table that lie in one folder."""
    try:
        with _in_words(folder):
            return frozenset(name.lstrip("/") for name in _system(folder).ls(folder, detail=False))
    except InputError:
        return frozenset()


@contextmanager
def _in_words(address: str) -> Iterator[None]:
    """Faults of a network or a store as one sentence."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{address} is not there.") from None
    except Exception as error:  # each file system has errors of its own
        words = " ".join(str(error).split())[:200]
        raise InputError(f"{address} cannot be reached ({type(error).__name__}: {words}).") from None
