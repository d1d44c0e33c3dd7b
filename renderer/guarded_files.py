"""Files from strangers, read without running anything that is in them and within bounds of memory.

Arrays (.npz, .npy) and torch archives say how large they are; here nothing is made room for before what a file says has
been compared with what it holds. Pickle is only ever read by readers that build arrays, tensors and plain values.
"""

from __future__ import annotations

import codecs
import io
import pickle
import stat
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, ClassVar

import numpy as np

__all__ = ["BROKEN_ZIP", "UnsafeFile", "check_members", "load_torch", "read_npy", "read_npz", "unpickle_arrays"]

BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)
"""What Python's zipfile raises, beside OSError, for a damaged, encrypted or odd archive."""
MOST_ARRAYS = 256
NUMBERS = "biufU"  # kinds of arrays: truth values, numbers, text
MOST_TABLE = 1 << 30  # bytes of a table of arrays; FaceVerse's has 160 MB
MOST_PICKLE = 1 << 26  # bytes of a torch archive's pickle; the published 13 GB editor's has some kB
MOST_VALUES = 1_000_000  # of a torch file, looked through one by one


class UnsafeFile(ValueError):
    """What is wrong with a file, in a few words that continue a sentence: "it …"."""


def check_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive. Raises UnsafeFile where one is named so that it would lie outside, or is a link."""
    for entry in archive.infolist():
        if not entry.filename:
            raise UnsafeFile("holds a file without a name")
        name = entry.filename.replace("\\", "/")
        if PurePosixPath(name).is_absolute() or ".." in name.split("/") or name[1:2] == ":":
            raise UnsafeFile("holds a name that leads out of its folder")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UnsafeFile("holds a link")
    return [entry for entry in archive.infolist() if not entry.is_dir()]


def read_npz(source: Path | BinaryIO, most_bytes: int) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name: numbers, truth values and texts, of at most `most_bytes` together.

    Raises UnsafeFile for an archive that is damaged, too large when unpacked, says another size than it has, or holds
    objects (pickles); OSError.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = check_members(archive)
            size = sum(member.file_size for member in members)
            if size > most_bytes:
                raise UnsafeFile(f"unpacks to {size / 1e6:.0f} MB; at most {most_bytes / 1e6:.0f} MB are read")
            if len(members) > MOST_ARRAYS:
                raise UnsafeFile(f"holds {len(members)} arrays; at most {MOST_ARRAYS} are read")
            arrays = {}
            for member in members:
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _read_array(file, member.file_size)
            return arrays
    except UnsafeFile:
        raise
    except (*BROKEN_ZIP, MemoryError) as error:
        raise UnsafeFile(f"is damaged, or no .npz archive ({type(error).__name__})") from None


def read_npy(path: Path, most_bytes: int) -> np.ndarray:
    """The array of an .npy, at most `most_bytes`. Raises UnsafeFile as `read_npz`; OSError."""
    size = path.stat().st_size
    if size > most_bytes:
        raise UnsafeFile(f"has {size / 1e6:.0f} MB; at most {most_bytes / 1e6:.0f} MB are read")
    with path.open("rb") as file:
        return _read_array(file, size)


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    """One array of a file or member of `size` bytes; no room is made for more."""
    try:
        shape, in_columns, dtype, header = _read_header(file)
    except Exception:  # numpy reads the header as Python's literals, and fails on odd ones in ways of its own
        raise UnsafeFile("holds something that is no array") from None
    if dtype.hasobject or dtype.kind not in NUMBERS:
        raise UnsafeFile("holds objects (a pickle, which can run code), not numbers")
    if any(length < 0 for length in shape) or prod(shape) * dtype.itemsize != size - header:
        raise UnsafeFile("says another size than it has")
    content = file.read(size - header + 1)
    if len(content) != size - header:
        raise UnsafeFile("says another size than it has")
    values = np.frombuffer(content, dtype) if content else np.zeros(0, dtype)
    if dtype.itemsize == 0:
        return np.zeros(shape, dtype) if prod(shape) < MOST_ARRAYS else _no_array()
    return values.reshape(shape, order="F" if in_columns else "C").copy()


def _no_array() -> np.ndarray:
    raise UnsafeFile("holds texts without letters")


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether by columns, type, and the bytes of the header."""
    counted = _Counted(file)
    version = np.lib.format.read_magic(counted)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, in_columns, dtype = readers[version](counted)
    return shape, in_columns, dtype, counted.count


class _Counted:
    """A file of which is known how much was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.count = file, 0

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(size)
        self.count += len(part)
        return part


class _Array:
    """What a pickle names where it means numpy's array; nothing can be called by it."""


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """An array that its state fills later; numpy makes them of no length, and one of another would make room."""
    if kind is not _Array or tuple(shape) != (0,):
        raise UnsafeFile("holds an array that numpy would not write")
    return np.empty(0, np.uint8)


class _ArraysOnly(pickle._Unpickler):  # type: ignore[name-defined]  # typeshed leaves it out
    """Builds numpy's arrays and Python's plain values; any other name in the pickle ends the reading.

    Of the two that Python has this is the one in Python: that in C makes room for as many values as a pickle counts.
    """

    ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): _empty_array,
        ("numpy._core.multiarray", "_reconstruct"): _empty_array,
        ("_codecs", "encode"): codecs.encode,  # how protocol 2 and older write bytes
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise UnsafeFile(f"holds more than arrays ({f'{module}.{name}'[:60]!r}), which could run code")
        return self.ALLOWED[module, name]


def unpickle_arrays(path: Path) -> object:
    """What a .npy of an object holds (FaceVerse's official file): a table of arrays. Nothing in it is run.

    Raises UnsafeFile for a file that names anything but arrays and plain values, or is damaged; OSError.
    """
    if path.stat().st_size > MOST_TABLE:
        raise UnsafeFile(f"has more than {MOST_TABLE >> 20} MB")
    with path.open("rb") as file:
        try:
            _, _, dtype, _ = _read_header(file)
            if not dtype.hasobject:
                raise UnsafeFile("holds one array, no table of them")
            # In memory, and no longer than the file: what a pickle says of lengths makes no room then.
            array = _ArraysOnly(io.BytesIO(file.read()), encoding="latin1").load()
            return array.item()
        except UnsafeFile:
            raise
        except (Exception, MemoryError) as error:  # a damaged pickle fails in any way
            raise UnsafeFile(f"is damaged, or no file of numpy's ({type(error).__name__})") from None


def load_torch(path: Path, mmap: bool = False) -> Any:
    """What a torch checkpoint holds: dense tensors on the CPU and plain values. Nothing in it is run.

    mmap: the tensors stay in the mapped file until they are used.
    Raises UnsafeFile for anything else, for members that are packed (they could unpack to any size), and for tensors
    that say that they are larger than the file; OSError.
    """
    import torch

    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                members = check_members(archive)
        except (*BROKEN_ZIP, MemoryError) as error:
            raise UnsafeFile(str(error) if isinstance(error, UnsafeFile) else "is a damaged archive") from None
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise UnsafeFile("holds packed members, which torch does not write")
        if sum(member.file_size for member in members) > size:
            raise UnsafeFile("says that it is larger than it is")
        if any(member.filename.endswith("data.pkl") and member.file_size > MOST_PICKLE for member in members):
            raise UnsafeFile("holds a pickle that is too large for a table of names")
    try:
        content = torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError:
        raise UnsafeFile("holds more than tensors and plain values, or is no checkpoint") from None
    except (Exception, MemoryError) as error:  # torch fails on damaged files in any way
        raise UnsafeFile(f"is damaged, or no checkpoint ({type(error).__name__})") from None
    _check_tensors(content, size)
    return content


def _check_tensors(content: object, size: int) -> None:
    """Raises UnsafeFile for a tensor that is not plain, or larger than the file; containers may hold one another."""
    import torch

    left, seen = [content], set()
    while left:
        value = left.pop()
        if isinstance(value, torch.Tensor):
            plain = value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
            if not plain or value.numel() * value.element_size() > size:
                raise UnsafeFile("holds a tensor that is none of a checkpoint's, or larger than the file")
        elif isinstance(value, Mapping | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            left += [*value.keys(), *value.values()] if isinstance(value, Mapping) else list(value)
            if len(seen) + len(left) > MOST_VALUES:
                raise UnsafeFile("holds more values than a checkpoint has")
