"""The files beside the videos: coefficients, settings, the zip; and a folder that is filled whole or not at all."""

from __future__ import annotations

import csv
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.coefficients import COEFFICIENT_NAMES, FPS

LIBRARIES = ("torch", "numpy", "scipy", "numba", "mediapipe", "opencv-python-headless", "av")
OWN_FILES = re.compile(
    r"reaction_\d+(_mesh\.mp4|_photo\.mp4|_mesh_transparent\.webm|\.csv)|side_by_side\.mp4|coefficients\.npz|settings\.json|reactions\.zip"
)


@contextmanager
def filled_whole(folder: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary folder inside `folder`; what is in it when the block ends well moves up, else nothing stays.

    With overwrite, the files of an earlier run are replaced, those that the new run lacks included; other files are
    left alone.
    Raises InputError: the folder is a file, cannot be made, or is not empty and overwrite is off.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not overwrite and any(folder.iterdir()):
            raise InputError(f"The folder {folder} is not empty; name another one, or allow overwriting.")
        work = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be written ({error.strerror}); name another one.") from error
    try:
        yield work
        for old in folder.iterdir():
            if OWN_FILES.fullmatch(old.name):
                old.unlink()
        for file in sorted(work.iterdir()):
            file.replace(folder / file.name)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    work.rmdir()


def write_coefficients(path: Path, coefficients: np.ndarray) -> None:
    """All reactions in one .npz: coefficients (K, T, 58) float32, names (58,) text, fps."""
    np.savez_compressed(path, coefficients=coefficients, names=np.array(COEFFICIENT_NAMES), fps=FPS)


def write_csv(path: Path, coefficients: np.ndarray) -> None:
    """One reaction (T, 58) as a table: time_s, then the 58 channels by name."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time_s", *COEFFICIENT_NAMES])
        for frame, row in enumerate(coefficients):
            writer.writerow([f"{frame / FPS:.2f}", *(f"{value:.6f}" for value in row)])


def write_settings(path: Path, settings: dict) -> None:
    """Settings as readable JSON."""
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def library_versions() -> dict[str, str]:
    """Versions of the libraries that can change a result."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def write_zip(path: Path, files: Sequence[Path]) -> None:
    """The files side by side in one zip; videos are stored as they are, text is compressed."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            squeeze = zipfile.ZIP_STORED if file.suffix in (".mp4", ".npz") else zipfile.ZIP_DEFLATED
            archive.write(file, file.name, compress_type=squeeze)
