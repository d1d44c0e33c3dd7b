"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from renderer.errors import RenderError


def write_whole(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """`write` fills a file beside `path` that then takes its place; only its owner may read it.

    Whatever goes wrong, nothing half-written stays and what was at `path` is left. Raises RenderError where the file
    cannot be written.
    """
    path = Path(path)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise RenderError(f"{path} cannot be written: {error.strerror or error}.") from error
