"""What a person hands in: one regular file on this machine, with a name that may hold anything."""

import errno
import io
import os
import stat
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from perfrdiff.errors import InputError

__all__ = ["LocalFile", "as_local_file", "display_name", "open_local"]

_MOST_CHARACTERS = 60


def display_name(path: str | os.PathLike) -> str:
    """The file's name as it may stand in a sentence: no folder, no control or direction characters, not endless."""
    name = os.fspath(path).replace("\\", "/").rsplit("/", 1)[-1]
    # Categories C*: control, format (right-to-left override), surrogate, private, unassigned.
    name = "".join("?" if unicodedata.category(letter).startswith("C") else letter for letter in name)
    if len(name) > _MOST_CHARACTERS:
        name = name[: _MOST_CHARACTERS - 12] + "…" + name[-11:]
    return f"“{name}”"


class LocalFile:
    """A regular file, opened once, for any number of readers at the same time and in any threads.

    Attributes:
        name: the file's name as it may stand in a sentence.
        path: as it was given; nothing is opened by it any more.
    """

    def __init__(self, path: str | os.PathLike, file: io.FileIO):
        """path: as it was given; file: opened, unbuffered, and closed by ``close``. See ``open_local``."""
        self.name = display_name(path)
        self.path, self._file = path, file
        self._lock = threading.Lock()

    def reader(self) -> io.BufferedReader:
        """A reader with a position of its own, at the start. Closing it leaves the file open.

        Raises:
            ValueError: the file is closed.
        """
        self._file.fileno()
        return io.BufferedReader(_Reader(self.path, self._file, self._lock))

    def fileno(self) -> int:
        """The open file's descriptor. Raises ValueError once it is closed."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file; its readers raise ValueError from then on."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> "LocalFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Reader(io.RawIOBase):
    """One position in an opened file that others read from as well."""

    def __init__(self, path: str | os.PathLike, file: io.FileIO, lock: threading.Lock):
        self.name = path  # ffmpeg takes the name's ending for a hint at the format; nothing opens it
        self._file, self._lock = file, lock
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        # At a place, not at the file's own position, which processes that have it share.
        with self._lock:
            count = os.preadv(self._file.fileno(), [buffer], self._position)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            with self._lock:
                offset += os.fstat(self._file.fileno()).st_size
        if offset < 0:
            raise OSError(errno.EINVAL, "a place before the file's beginning")
        self._position = offset
        return offset


def open_local(path: str | os.PathLike) -> LocalFile:
    """Open a regular, non-empty file for reading.

    Decoders get readers of this open file and never a name: a name such as ``http:clip.mp4`` would be read as an
    address.

    Raises:
        InputError: no such file, a folder or device, empty, or not readable.
    """
    name = display_name(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would block, a device may act
            raise InputError(f"{name} is not a file.")
        file = open(path, "rb", buffering=0)  # noqa: SIM115  (closed by LocalFile)
    except FileNotFoundError:
        raise InputError(f"{name} does not exist.") from None
    except (OSError, ValueError):  # ValueError: a NUL in the name
        raise InputError(f"{name} could not be opened.") from None
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise InputError(f"{name} is empty (0 bytes).")
    return LocalFile(path, file)


@contextmanager
def as_local_file(source: str | os.PathLike | LocalFile) -> Iterator[LocalFile]:
    """An open file as it is, left open; a path opened, and closed at the end. Raises as ``open_local``."""
    if isinstance(source, LocalFile):
        yield source
        return
    with open_local(source) as file:
        yield file
