"""Reading the published `checkpoints` folder or its zip without ever running code from it.

A published file is a torch archive: a pickle of names and shapes beside the raw numbers. torch's restricted reader
(weights_only) builds tensors and containers and nothing else, and the numbers stay in the mapped file until they are
written elsewhere, so that the 13 GB editor needs no 13 GB of memory.
"""

import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from perfrdiff.errors import InputError
from perfrdiff.files import SPARE_BYTES, check_disk_space
from perfrdiff.leftovers import hold_folder, remove_dead, remove_held
from perfrdiff.published.weights import names
from perfrdiff.published.weights.variants import PublishedFile, Shapes
from renderer.guarded_files import BROKEN_ZIP, UnsafeFile, check_members, load_torch

DOWNLOAD_HINT = (
    "The authors publish them as zips on Google Drive: emotion "
    "https://drive.google.com/file/d/1Drdq3WnQjuOM9GxptC3UsTn_JSsn8_M-/view, render "
    "https://drive.google.com/file/d/1VjiPqq0uZPigXzTdBnO49srIYVobgHNN/view "
    "('perfrdiff download' fetches them)."
)
BYTES_PER_NUMBER = 4
LARGEST_FACTOR = 4  # a file also holds its optimizer's state, at most three times the numbers of the weights
COPY_BYTES = 16 << 20
NAMED_FAULTS = 12
UNPACKING = "unpacking-"


@dataclass(frozen=True)
class Source:
    """The published folder or zip as a person has it."""

    path: Path
    members: Mapping[str, int]  # path inside it, with /, -> bytes

    @property
    def zipped(self) -> bool:
        return self.path.is_file()


def open_source(path: Path) -> Source:
    """List a folder or a zip. Raises InputError if it is neither."""
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        return Source(path, {file.relative_to(path).as_posix(): file.stat().st_size for file in files})
    if not path.is_file():
        raise InputError(f"There is no file or folder {path}; give the unpacked 'checkpoints' folder or its zip.")
    try:
        with zipfile.ZipFile(path) as archive:
            return Source(path, {info.filename: info.file_size for info in check_members(archive)})
    except UnsafeFile as error:
        raise InputError(f"{path.name} {error}; download it again.") from None
    except (OSError, *BROKEN_ZIP) as error:
        raise InputError(
            f"{path.name} is neither a folder nor a readable zip ({str(error)[:160]}); download it again."
        ) from None


def find_members(source: Source, files: Sequence[PublishedFile]) -> dict[str, str]:
    """Path of each published file that is there -> its member name, all below the same root."""
    roots: dict[PurePosixPath, dict[str, str]] = {}
    for member in source.members:
        for file in files:
            if member == file.path or member.endswith(f"/{file.path}"):
                root = PurePosixPath(member[: -len(file.path)] or ".")
                roots.setdefault(root, {})[file.path] = member
    return max(roots.values(), key=len, default={})


@contextmanager
def unpacked(source: Source, members: Mapping[str, str], files: Sequence[PublishedFile], near: Path) -> Iterator[dict]:
    """Published path -> a file on disk; members of a zip are unpacked beside `near` and removed afterwards.

    Raises InputError for a file much larger than its weights, a damaged zip, and too small a disk.
    """
    for file in files:
        size = source.members[members[file.path]]
        largest = LARGEST_FACTOR * BYTES_PER_NUMBER * count_numbers(file.shapes) + SPARE_BYTES
        if size > largest:
            raise InputError(f"{file.path} has {size / 1e9:.1f} GB; at most {largest / 1e9:.1f} GB were expected.")
    if not source.zipped:
        yield {file.path: source.path / members[file.path] for file in files}
        return
    remove_dead(UNPACKING, near)
    check_disk_space(near, sum(source.members[members[file.path]] for file in files))
    folder = hold_folder(UNPACKING, near)
    try:
        yield {file.path: _unpack(source, members[file.path], folder / f"{n}.pth") for n, file in enumerate(files)}
    finally:
        remove_held(folder)


def _unpack(source: Source, member: str, target: Path) -> Path:
    """One member as a file of our own name: what a zip calls its members never becomes a path here."""
    try:
        with zipfile.ZipFile(source.path) as archive, archive.open(member) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, COPY_BYTES)
    except (OSError, *BROKEN_ZIP) as error:
        raise InputError(f"{source.path.name} cannot be unpacked ({str(error)[:160]}); download it again.") from None
    return target


def count_numbers(shapes: Shapes) -> int:
    """How many numbers the tensors of these shapes hold."""
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def read_weights(path: Path, file: PublishedFile) -> dict[str, Tensor]:
    """The weights of a published file, mapped, not loaded. Raises InputError if it is not such a file."""
    try:
        content = load_torch(path, mmap=True)
    except (OSError, UnsafeFile) as error:
        first = str(error).strip().split("\n")[0][:160]
        raise InputError(
            f"{file.path} is no torch checkpoint that can be read without running code from it: it {first}; "
            "download it again."
        ) from None
    weights = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise InputError(f"{file.path} holds no 'state_dict'; expected the {file.role} as the authors saved it.")
    return weights


def find_faults(weights: Mapping[str, Tensor], file: PublishedFile, others: Mapping[str, Shapes]) -> list[str]:
    """Faults of a file's keys, shapes and kinds of numbers, a few words each.

    `others`: variant -> the shapes this network has there, to recognise a file of the wrong variant.
    """
    faults = [f"missing {key}" for key in file.shapes.keys() - weights.keys()]
    faults += [f"unexpected {key}" for key in weights.keys() - file.shapes.keys()]
    for key in file.shapes.keys() & weights.keys():
        value, expected = weights[key], file.shapes[key]
        if not isinstance(value, Tensor):
            faults.append(f"{key} is no tensor")
        elif tuple(value.shape) != expected:
            faults.append(f"{key} has shape {tuple(value.shape)}, expected {expected}")
        elif value.dtype != torch.float32:
            faults.append(f"{key} holds {str(value.dtype).removeprefix('torch.')}, expected float32")
    if not faults:
        if file.network == "denoiser" and "to_3dmm_embed.weight" in weights:
            tables = [key for key in ("query_pos.pe", "mem_pos.pe") if not names.is_sine_table(weights[key])]
            faults += [f"{key} is not the fixed sine table" for key in tables]
        return faults
    shapes_in_file = {key: tuple(value.shape) for key, value in weights.items() if isinstance(value, Tensor)}
    for variant, shapes in others.items():
        if shapes_in_file == dict(shapes):
            return [f"this is the file of the {variant} variant"]
    return sorted(faults)


def raise_faults(variant: str, faults: Mapping[str, list[str]]) -> None:
    """Raise InputError that names the faults per file, if there are any."""
    listed = [f"{path}: {fault}" for path, file_faults in faults.items() for fault in file_faults]
    if listed:
        more = f"; and {len(listed) - NAMED_FAULTS} more" if len(listed) > NAMED_FAULTS else ""
        raise InputError(f"These are not the published {variant} weights. {'; '.join(listed[:NAMED_FAULTS])}{more}.")


def incomplete_error(source: Source, tables: Mapping[str, Sequence[PublishedFile]]) -> InputError:
    """An error that names the missing files of the most complete variant, and where they are published."""
    members = {variant: find_members(source, files) for variant, files in tables.items()}
    nearest = max(members, key=lambda variant: len(members[variant]))
    if not members[nearest]:
        return InputError(f"No published checkpoint was found in {source.path}. {DOWNLOAD_HINT}")
    missing = [f"{file.path} ({file.role})" for file in tables[nearest] if file.path not in members[nearest]]
    return InputError(
        f"{source.path.name} holds {len(members[nearest])} of {len(tables[nearest])} files of the {nearest} variant; "
        f"missing: {'; '.join(missing)}. {DOWNLOAD_HINT} If Drive gave several zips, unpack them into one folder."
    )
