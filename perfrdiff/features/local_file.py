"""What a person hands in: one regular file on this machine, with a name that may hold anything."""

import os
import stat
import unicodedata
from typing import BinaryIO

from perfrdiff.errors import InputError

__all__ = ["open_local", "shown_name"]

_SHOWN_CHARACTERS = 60


def shown_name(path: str | os.PathLike) -> str:
    """The file's name as it may stand in a sentence: no folder, no control or direction characters, not endless."""
    name = os.fspath(path).replace("\\", "/").rsplit("/", 1)[-1]
    # Categories C*: control, format (right-to-left override), surrogate, private, unassigned.
    name = "".join("?" if unicodedata.category(letter).startswith("C") else letter for letter in name)
    if len(name) > _SHOWN_CHARACTERS:
        name = name[: _SHOWN_CHARACTERS - 12] + "…" + name[-11:]
    return f"“{name}”"


def open_local(path: str | os.PathLike) -> BinaryIO:
    """Open a regular, non-empty file for reading.

    Decoders get this open file and never a name: a name such as ``http:clip.mp4`` would be read as an address.

    Raises:
        InputError: no such file, a folder or device, empty, or not readable.
    """
    name = shown_name(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would block, a device may act
            raise InputError(f"{name} is not a file.")
        file = open(path, "rb")  # noqa: SIM115  (the caller's context manager)
    except FileNotFoundError:
        raise InputError(f"{name} does not exist.") from None
    except (OSError, ValueError):  # ValueError: a NUL in the name
        raise InputError(f"{name} could not be opened.") from None
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise InputError(f"{name} is empty (0 bytes).")
    return file
