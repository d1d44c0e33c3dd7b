"""Atomic writes, safetensors in and out, and room on disk. Torch, which takes seconds to load, comes with tensors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from perfrdiff.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

SPARE_BYTES = 64 << 20  # of a disk that always stay free


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the file's place when the block ends well, and goes on any error.

    The file gets the permissions of any other new file (the umask's), whatever the block gave it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, object]) -> None:
    """Write tensors and, as the file's metadata, `about`: texts as they are, everything else as JSON.

    Raises OSError or SafetensorError where the place cannot be written; nothing half-written stays behind then.
    """
    from safetensors.torch import save_file

    metadata = {
        name: value if isinstance(value, str) else json.dumps(value, default=dict) for name, value in about.items()
    }
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(on_cpu, temporary, metadata=metadata)


def read_safetensors(path: Path, what: str, remedy: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a file; the tensors stay in the mapped file until they are used.

    A file that is in use may be replaced by renaming (as `atomic_write` does), never be written over.

    Raises InputError, in one sentence, for a file that cannot be read: `what` it should be, `remedy` what to do.
    """
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, ValueError, TypeError, MemoryError) as error:
        raise InputError(f"{path.name} cannot be read as {what} ({error}); {remedy}.") from None


def check_disk_space(folder: Path, size: int) -> None:
    """Raises InputError if `size` bytes do not fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        raise InputError(f"{_size_text(size)} are needed in {folder}; {_size_text(free)} are free.")


def _size_text(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def sha256_of(path: Path) -> str:
    """The checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def strip_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors named `prefix.NAME`, as NAME."""
    return {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(prefix + ".")}
