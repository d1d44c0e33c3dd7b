"""The folder of one run's results: the one place that knows its files' names and content."""

from __future__ import annotations

import csv
import json
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from perfrdiff.coefficients import COEFFICIENT_NAMES, FPS
from perfrdiff.errors import InputError
from perfrdiff.exports import EXPORT_FILES
from perfrdiff.leftovers import UNFINISHED, remove_dead, unfinished_folder

LIBRARIES = ("torch", "numpy", "scipy", "numba", "mediapipe", "opencv-python-headless", "av")
MOST_REACTIONS = 10_000  # that a folder's settings are believed to have
VIDEO_NAME = re.compile(r"reaction_(\d+)_(mesh|photo)\.mp4")
RESULT_FILES = re.compile(
    r"reaction_\d+(_mesh\.mp4|_photo\.mp4|_mesh_transparent\.webm|\.csv)|side_by_side\.mp4|coefficients\.npz"
    rf"|settings\.json|reactions\.zip|{EXPORT_FILES}"
)


@dataclass(frozen=True)
class Reaction:
    """The files of one reaction."""

    number: int  # 1 … K
    videos: Mapping[str, Path]  # view ("mesh", "photo") -> MP4, square, with the speaker's sound
    csv: Path  # coefficients, one row a frame: time_s and the 58 channels by name
    transparent: Path | None = None  # the mesh without a ground, WebM; only where it was asked for


@dataclass(frozen=True)
class ReactResult:
    """The files of one run, all in one folder, and notes on it."""

    folder: Path
    side_by_side: Path  # MP4: the speaker and all reactions in step, with sound
    reactions: tuple[Reaction, ...]
    coefficients: Path  # .npz: coefficients (K, T, 58) float32, names (58,), fps
    settings: Path  # .json: settings, seed, versions, weights, notes
    archive: Path  # .zip of everything above, and of the exports
    frames: int  # T, at 25 per second
    style: str  # the listening style that was used, in words
    habits: tuple[tuple[str, str], ...] = ()  # what was measured on a listener's video: name and value, in words
    notes: tuple[str, ...] = ()  # what was missing or filled in, one sentence each
    cells: tuple[tuple[str, str], ...] = ()  # of a comparison: title of each reaction, and what it is
    exports: tuple[Path, ...] = ()  # what was written for other programs, see perfrdiff.exports
    stage_seconds: Mapping[str, float] = field(default_factory=dict)  # stage -> wall time; stages overlap
    seconds: float = 0.0  # wall time of the run; 0, and no stages, when read back

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the run, the archive last."""
        each = [
            [*reaction.videos.values(), reaction.csv, *([reaction.transparent] if reaction.transparent else [])]
            for reaction in self.reactions
        ]
        return (self.side_by_side, *(path for paths in each for path in paths), self.coefficients, self.settings,
                *self.exports, self.archive)  # fmt: skip


@dataclass(frozen=True)
class OutputFolder:
    """A folder with the results of one run, or the place where they are written."""

    path: Path

    @property
    def side_by_side(self) -> Path:
        return self.path / "side_by_side.mp4"

    @property
    def coefficients(self) -> Path:
        return self.path / "coefficients.npz"

    @property
    def settings(self) -> Path:
        return self.path / "settings.json"

    @property
    def archive(self) -> Path:
        return self.path / "reactions.zip"

    def reaction(self, number: int, views: Sequence[str], transparent: bool) -> Reaction:
        """Where the files of reaction `number` (1 … K) are, with a video for each of these views."""
        stem = f"reaction_{number}"
        return Reaction(
            number,
            {view: self.path / f"{stem}_{view}.mp4" for view in views},
            self.path / f"{stem}.csv",
            self.path / f"{stem}_mesh_transparent.webm" if transparent else None,
        )

    @classmethod
    @contextmanager
    def write_atomically(cls, folder: Path, overwrite: bool) -> Iterator[OutputFolder]:
        """A temporary folder inside `folder`, whose files move up when the block ends well; on an error nothing stays.

        With overwrite, the files of an earlier run are replaced, those that the new run lacks included; other files are
        left alone. What a run whose process was killed has left unfinished in `folder` is removed first.
        Raises InputError: the folder is a file, cannot be made, or is not empty and overwrite is off.
        """
        with ExitStack() as stack:
            try:
                if folder.exists():
                    remove_dead(UNFINISHED, folder)
                    if not overwrite and any(folder.iterdir()):
                        raise InputError(f"The folder {folder} is not empty; name another one, or allow overwriting.")
                work = stack.enter_context(unfinished_folder(folder))
            except OSError as error:
                problem = f"The folder {folder} cannot be written ({error.strerror}); name another one."
                raise InputError(problem) from error
            yield cls(work)
            for file in folder.iterdir():
                if RESULT_FILES.fullmatch(file.name):
                    file.unlink()
            # The settings last: a folder without them is no result, whatever ends the process in between.
            for file in sorted(work.iterdir(), key=lambda file: (file.name == "settings.json", file.name)):
                file.replace(folder / file.name)

    def write_numbers(self, coefficients: np.ndarray, settings: Mapping[str, object]) -> None:
        """Write everything beside the videos: coefficients (K, T, 58), settings, and the archive of all files.

        `settings` has to hold what `read` wants: "reactions", "frames", "listening_style", "habits", "notes".
        """
        np.savez_compressed(self.coefficients, coefficients=coefficients, names=np.array(COEFFICIENT_NAMES), fps=FPS)
        for number, rows in enumerate(coefficients, start=1):
            _write_csv(self.reaction(number, (), False).csv, rows)
        self.settings.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        with zipfile.ZipFile(self.archive, "w") as archive:
            for file in sorted(self.path.iterdir()):
                if file != self.archive:
                    is_packed = file.suffix in (".mp4", ".webm", ".npz")
                    method = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
                    entry = zipfile.ZipInfo(file.name)  # without the time of day: the same run gives the same bytes
                    entry.compress_type, entry.external_attr = method, 0o644 << 16
                    with file.open("rb") as source, archive.open(entry, "w") as target:
                        shutil.copyfileobj(source, target, 1 << 20)

    def read(self, stage_seconds: Mapping[str, float] | None = None, seconds: float = 0.0) -> ReactResult:
        """The result whose files are in the folder; the wall times are of the run, where it has just been made.

        Raises InputError, in one sentence: no such folder, no readable settings, or a file of the run is missing.
        """
        try:
            settings = json.loads(self.settings.read_text(encoding="utf-8"))
            count, frames, style = settings["reactions"], settings["frames"], settings["listening_style"]
            habits = tuple((name, value) for name, value in settings["habits"])
            notes = tuple(settings["notes"])
            cells = tuple((str(title), str(words)) for title, words in settings.get("cells", ()))
            transparent = bool(settings.get("settings", {}).get("transparent"))
            if not (isinstance(count, int) and isinstance(frames, int) and 0 < count <= MOST_REACTIONS):
                raise ValueError("reactions")
        except FileNotFoundError:
            raise InputError(f"{self.path} holds no results of a run: {self.settings.name} is missing.") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError(f"{self.settings} is not the settings file of a run, or of another version.") from None
        videos = [match for file in self.path.iterdir() if (match := VIDEO_NAME.fullmatch(file.name))]
        views = sorted({match[2] for match in videos})
        result = ReactResult(
            folder=self.path,
            side_by_side=self.side_by_side,
            reactions=tuple(self.reaction(number, views, transparent) for number in range(1, count + 1)),
            coefficients=self.coefficients,
            settings=self.settings,
            archive=self.archive,
            frames=frames,
            style=style,
            habits=habits,
            notes=notes,
            cells=cells,
            exports=tuple(sorted(file for file in self.path.iterdir() if re.fullmatch(EXPORT_FILES, file.name))),
            stage_seconds=stage_seconds or {},
            seconds=seconds,
        )
        missing = [file.name for file in result.files if not file.is_file()]
        if missing:
            raise InputError(f"{self.path} is not the whole folder of a run: {missing[0]} is missing.")
        return result


def _write_csv(path: Path, coefficients: np.ndarray) -> None:
    """One reaction (T, 58) as a table: time_s, then the 58 channels by name."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time_s", *COEFFICIENT_NAMES])
        for frame, row in enumerate(coefficients):
            writer.writerow([f"{frame / FPS:.2f}", *(f"{value:.6f}" for value in row)])


def library_versions() -> dict[str, str]:
    """Versions of the libraries that can change a result."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return versions
