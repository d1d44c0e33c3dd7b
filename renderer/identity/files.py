"""Identities in files: .npz without pickle, read as carefully as anything that somebody sent."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from renderer.errors import RenderError
from renderer.face_model import EXPRESSIONS
from renderer.guarded_files import BROKEN_ZIP
from renderer.identity.identity import HairShell, Identity
from renderer.whole_files import write_whole

FORMAT = "perfrdiff identity 1"
NOTICE = "This file describes a person's face; keep it only with their consent."

MAX_FILE_BYTES = 1 << 28
MAX_TEXT = 400  # characters of a note
MAX_COORDINATE = 100.0  # model units; a head is some 2 high
# what a letter in _SHAPES may be at most: vertices, triangles, coefficients, texture rows and columns, vertices and
# triangles of hair, scores, notes
_LIMITS = {"V": 65536, "F": 131072, "K": 1024, "H": 8192, "W": 8192, "N": 65536, "M": 131072, "S": 64, "T": 64}
MAX_TEXELS = 1 << 25
# array -> (kind of number and its bytes, its shape). Arrays of one file that name the same letter agree on it
_SHAPES: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "format": ("U", ()),
    "notice": ("U", ()),
    "shape": ("f4", ("V", 3)),
    "expression_basis": ("f4", ("V", 3, EXPRESSIONS)),
    "coefficients": ("f4", ("K",)),
    "texture": ("u1", ("H", "W", 3)),
    "texture_uv": ("f4", ("F", 3, 2)),
    "iris": ("f4", (3,)),
    "sclera": ("f4", (3,)),
    "score_names": ("U", ("S",)),
    "score_values": ("f8", ("S",)),
    "notes": ("U", ("T",)),
    "hair_points": ("f4", ("N", 3)),
    "hair_triangles": ("i4", ("M", 3)),
    "hair_texture_uv": ("f4", ("M", 3, 2)),
    "hair_head_weight": ("f4", ("N",)),
}
_HEAD = ("shape", "expression_basis", "coefficients", "texture", "texture_uv", "iris", "sclera")
_HAIR = tuple(name for name in _SHAPES if name.startswith("hair_"))
# array -> the values it may have, both ends included; NaN only where a triangle has no place in the texture
_RANGES: dict[str, tuple[float, float]] = {
    "shape": (-MAX_COORDINATE, MAX_COORDINATE),
    "expression_basis": (-MAX_COORDINATE, MAX_COORDINATE),
    "coefficients": (-MAX_COORDINATE, MAX_COORDINATE),
    "texture_uv": (0.0, 1.0),
    "iris": (0.0, 2.0),
    "sclera": (0.0, 2.0),
    "score_values": (0.0, 1.0),
    "hair_points": (-MAX_COORDINATE, MAX_COORDINATE),
    "hair_texture_uv": (0.0, 1.0),
    "hair_head_weight": (0.0, 1.0),
}


def save_identity(identity: Identity, path: str | Path) -> None:
    """Writes `identity` to `path`; whatever goes wrong, nothing half-written stays.

    The file says that it is a person's face, and only its owner may read it. Raises RenderError where `identity` holds
    what `load_identity` would refuse, or where the file cannot be written.
    """
    arrays = _to_arrays(identity)
    _check(arrays, "The identity cannot be saved")
    write_whole(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def load_identity(path: str | Path) -> Identity:
    """Reads what `save_identity` wrote. Raises RenderError for files that are missing, foreign or damaged."""
    path = Path(path)
    if not path.is_file():
        raise RenderError(f"There is no identity at {path}.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise RenderError(f"{path} is no identity: it is larger than {MAX_FILE_BYTES >> 20} MB.")
    try:
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            every, hair = {f"{name}.npy" for name in _SHAPES}, {f"{name}.npy" for name in _HAIR}
            if present not in (every, every - hair):
                raise RenderError(f"{path} is no identity: it does not hold what one consists of.")
            arrays = {}
            for name in _SHAPES:
                if f"{name}.npy" in present:
                    with archive.open(f"{name}.npy") as member:
                        arrays[name] = _read_array(member, name, str(path))
    except (*BROKEN_ZIP, KeyError, OSError) as error:
        if isinstance(error, RenderError):
            raise
        raise RenderError(f"{path} is no identity, or it is damaged ({_first_line(error)}).") from error
    if str(arrays["format"]) != FORMAT:
        raise RenderError(f"{path} is of another format than {FORMAT!r}; another version of the program made it.")
    _check(arrays, f"{path} is no identity, or it is damaged")
    return _from_arrays(arrays)


def _to_arrays(identity: Identity) -> dict[str, np.ndarray]:
    arrays = {
        "format": np.array(FORMAT),
        "notice": np.array(NOTICE),
        **{name: _stored(getattr(identity, name), name) for name in _HEAD},
        "score_names": np.array(list(identity.scores), np.str_),
        "score_values": np.array(list(identity.scores.values()), np.float64),
        "notes": np.array(identity.notes, np.str_),
    }
    if identity.hair is not None:
        arrays |= {name: _stored(getattr(identity.hair, name.removeprefix("hair_")), name) for name in _HAIR}
    return arrays


def _stored(values: np.ndarray, name: str) -> np.ndarray:
    """As the file has it; what lies beyond the texture's rim shows the rim, as when it is drawn."""
    values = np.clip(values, 0, 1) if name.endswith("texture_uv") else values
    return np.ascontiguousarray(values, _SHAPES[name][0])


def _from_arrays(arrays: dict[str, np.ndarray]) -> Identity:
    scores = dict(zip(map(str, arrays["score_names"]), map(float, arrays["score_values"]), strict=True))
    hair = {name.removeprefix("hair_"): arrays[name] for name in _HAIR if name in arrays}
    return Identity(
        **{name: arrays[name] for name in _HEAD},
        hair=HairShell(**hair) if hair else None,
        scores=scores,
        notes=tuple(str(note) for note in arrays["notes"]),
    )


def _read_array(member: IO[bytes], name: str, path: str) -> np.ndarray:
    """One array, whose type and size are believed only within limits: a few bytes may ask for gigabytes."""
    try:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError("another kind of array")
        shape, in_columns, dtype = np.lib.format.read_array_header_1_0(member)
    except Exception as error:  # numpy reads the header as Python's literals, and fails on odd ones in ways of its own
        raise RenderError(f"{path} is no identity, or it is damaged ({_first_line(error)}).") from error
    _check_form(name, shape, dtype, f"{path} is no identity, or it is damaged")
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    content = member.read(size + 1)
    if len(content) != size or in_columns:
        raise RenderError(f"{path} is no identity, or it is damaged: {name} does not have the size it says.")
    return np.frombuffer(content, dtype).reshape(shape)


def _check_form(name: str, shape: tuple[int, ...], dtype: np.dtype, what: str) -> None:
    kind, expected = _SHAPES[name]
    right = dtype.kind == "U" and dtype.itemsize <= 4 * MAX_TEXT if kind == "U" else dtype == np.dtype("<" + kind)
    right &= len(shape) == len(expected)
    for length, wanted in zip(shape, expected, strict=False):
        right &= length == wanted if isinstance(wanted, int) else length <= _LIMITS[wanted]
    if not right or (name == "texture" and (min(shape) < 2 or shape[0] * shape[1] > MAX_TEXELS)):
        raise RenderError(f"{what}: {name} is {dtype} of shape {tuple(shape)}.")


def _check(arrays: dict[str, np.ndarray], what: str) -> None:
    """Raises RenderError, beginning with `what`, unless the arrays are those of an identity."""
    lengths: dict[str, int] = {}
    for name, array in arrays.items():
        _check_form(name, array.shape, array.dtype, what)
        for length, letter in zip(array.shape, _SHAPES[name][1], strict=True):
            if isinstance(letter, str) and lengths.setdefault(letter, length) != length:
                raise RenderError(f"{what}: {name} has another length than the arrays it belongs to.")
    for name, (low, high) in _RANGES.items():
        values = arrays.get(name)
        if values is None:
            continue
        if name == "texture_uv":
            values = values[~np.isnan(values).any(axis=(1, 2))]
        if not ((values >= low) & (values <= high)).all():
            raise RenderError(f"{what}: {name} has values that are not between {low:g} and {high:g}.")
    triangles, points = arrays.get("hair_triangles"), arrays.get("hair_points")
    if triangles is not None and points is not None and ((triangles < 0) | (triangles >= len(points))).any():
        raise RenderError(f"{what}: triangles of the hair name points that are not there.")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
