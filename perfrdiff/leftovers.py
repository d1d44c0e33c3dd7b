"""Temporary folders that do not outlive their process: what a killed one left is removed by the next.

A process that is ended from outside (``kill -9``, no memory, no power) cleans nothing up. So each such folder is locked
by the process that made it (flock on the folder itself): the system drops the lock when the process is gone, however it
went, and a folder that can be locked belongs to nobody any more. Names with the ending ``.locked`` say that their maker
does so; folders without it are never touched, nor is what belongs to another user.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["UNFINISHED", "hold_folder", "remove_dead", "remove_held", "unfinished_folder"]

UNFINISHED = ".unfinished-"  # begins the name of a folder in which results are written
ENDING = ".locked"
TRIES = 5
_held: dict[Path, int] = {}  # folder -> the descriptor that keeps its lock


def hold_folder(prefix: str, parent: str | os.PathLike | None = None) -> Path:
    """A new folder, for this user alone, that is this process's until `remove_held` or its end; the dead go first.

    prefix: of its name, and of the names that are looked through for folders of dead processes.
    parent: where it is made; None: the system's folder for temporary files.
    Raises OSError where it cannot be made.
    """
    parent = Path(parent or tempfile.gettempdir())
    remove_dead(prefix, parent)
    for _ in range(TRIES):
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=ENDING, dir=parent)).resolve()
        descriptor = _lock(folder)
        if descriptor is None:
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.exists():
            _held[folder] = descriptor
            return folder
        else:  # another process found it before it was locked, and took it for one that was left
            os.close(descriptor)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()  # the file system knows no locks


def remove_held(folder: Path) -> None:
    """Remove a folder of `hold_folder` with all that is in it, and give its lock back."""
    shutil.rmtree(folder, ignore_errors=True)
    descriptor = _held.pop(folder, None)
    if descriptor is not None:
        os.close(descriptor)


@contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """A folder inside `folder`, which is made if need be, for what is not whole yet; gone when the block ends.

    On any error `folder` goes too where it was not there before. Raises OSError where it cannot be made.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    work = hold_folder(UNFINISHED, folder)
    try:
        yield work
    except BaseException:
        remove_held(work)
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    remove_held(work)


def remove_dead(prefix: str, parent: str | os.PathLike) -> list[Path]:
    """Remove this user's folders of `hold_folder` in `parent` whose process is gone; returns them."""
    removed = []
    for folder in Path(parent).glob(f"{prefix}*{ENDING}"):
        descriptor = _lock(folder)
        if descriptor is None:
            continue
        try:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
        finally:
            os.close(descriptor)
    return removed


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock of this user's folder; None where somebody lives who does, or it is not ours."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
