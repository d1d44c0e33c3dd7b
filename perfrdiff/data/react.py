"""The REACT 2024 data set as it lies on disk (spec perfrdiff.md section 11), and what the stages draw from it.

    data/{train,val,test}.csv                                  id, speaker path, listener path, under a header row
    data/person_specific_{val,test}.csv                        the same, for the personalised evaluation
    data/neighbour_emotion_{train,val,test}.npy                (2N, 2N) of 0/1: whose listener is appropriate for whom
    data/person_specific_masked_neighbour_emotion_{val,test}.npy
    data/<split>/Audio_files/<path>.wav  3D_FV_files/<path>.npy  Emotion/<path>.csv
    external/FaceVerse/mean_face.npy                           beside data, or inside it

Everything is read, checked and held in memory before work starts (half a megabyte per clip): what is missing or broken
is told at once, by name. The videos are not needed.
"""

import csv
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.affect import AFFECT_WIDTH
from perfrdiff.features.audio import mfcc
from perfrdiff.features.coefficients import FPS, WIDTH, react_mean

FRAMES = 750  # of a clip; one more may be on disk
NAMED = 12  # missing or broken files named in one error
SPLITS = ("train", "val", "test")
RECOLA_FIRST, RECOLA_SECOND = ("P25", "P41", "P45"), ("P26", "P42", "P46")
ATTRIBUTE_LIMITS = (-1.5, 1.5)  # beyond, the columns are not what they should be
MEAN_FACE = Path("FaceVerse") / "mean_face.npy"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Entry:
    """One row of an index: paths of clips without folder and ending, for instance NoXI/065/Expert_video/1."""

    speaker: str
    listener: str

    @property
    def swapped(self) -> "Entry":
        return Entry(self.listener, self.speaker)


@dataclass(frozen=True)
class Clip:
    """What a person did and said, at 25 frames per second."""

    attributes: np.ndarray  # (frames, 25) float32
    coefficients: np.ndarray  # (frames, 58) float32 minus the mean face
    audio: np.ndarray  # (frames, 78) float32 MFCCs


def identity(path: str) -> str:
    """Who is seen in a clip: data set, session and seat."""
    return "/".join(path.split("/")[:3])


def emotion_path(path: str) -> str:
    """Where the attributes of a clip lie: the seat is called P1 or P2 there."""
    parts = path.split("/")
    seats = {"Expert_video": "P1", "Novice_video": "P2"}
    seats |= dict.fromkeys(RECOLA_FIRST, "P1") | dict.fromkeys(RECOLA_SECOND, "P2")
    return "/".join(seats.get(part, part) for part in parts)


def read_index(path: Path) -> list[Entry]:
    """The rows of an index and, after them, the same with the roles swapped.

    Raises InputError for a file that is none.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row][1:]
    except FileNotFoundError:
        raise InputError(f"The index {path} is missing; REACT 2024's data folder has it.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The index {path} cannot be read ({error}).") from None
    entries = []
    for number, row in enumerate(rows, start=2):
        paths = [field.strip().removesuffix(".mp4") for field in row[1:3]]
        if len(paths) < 2 or any(len(p.split("/")) != 4 or ".." in p.split("/") for p in paths):
            raise InputError(
                f"Row {number} of {path} is {','.join(row)[:80]!r}; expected: id, speaker path, listener path, "
                "with paths such as NoXI/065/Expert_video/1."
            )
        entries.append(Entry(*paths))
    if not entries:
        raise InputError(f"The index {path} has no rows.")
    return entries + [entry.swapped for entry in entries]


def read_neighbours(path: Path, count: int) -> np.ndarray:
    """A neighbour matrix (count, count) of bool, its diagonal set.

    Raises InputError for a missing file, another shape, or entries other than 0 and 1.
    """
    if not path.is_file():
        raise InputError(
            f"The neighbour matrix {path} is missing; build it with: python -m perfrdiff neighbours --data "
            f"{path.parent} --split {path.stem.rpartition('_')[2]}."
        )
    try:
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"The neighbour matrix {path} cannot be read ({error}).") from None
    if matrix.shape != (count, count):
        raise InputError(
            f"The neighbour matrix {path} has shape {matrix.shape}; the index has {count} entries with swapped roles, "
            f"so ({count}, {count}) was expected."
        )
    if not np.isin(matrix, (0, 1)).all():
        raise InputError(f"The neighbour matrix {path} holds other numbers than 0 and 1.")
    return matrix.astype(bool) | np.eye(count, dtype=bool)


def mean_face(folder: Path) -> tuple[np.ndarray, str]:
    """What is subtracted from coefficients (58,), and where it is from."""
    for place in (folder.parent / "external" / MEAN_FACE, folder / "external" / MEAN_FACE):
        if place.is_file():
            try:
                mean = np.load(place, allow_pickle=False).astype(np.float32).reshape(-1)
            except (OSError, ValueError) as error:
                raise InputError(f"The mean face {place} cannot be read ({error}).") from None
            if mean.shape != (WIDTH,) or not np.isfinite(mean).all():
                raise InputError(f"The mean face {place} holds {mean.size} numbers; expected {WIDTH} finite ones.")
            return mean, str(place)
    return react_mean(), "the mean of REACT 2024 that ships with this project"


@dataclass(frozen=True)
class ReactData:
    """One split: its index with swapped roles, who is appropriate for whom, and every clip."""

    folder: Path
    split: str
    entries: tuple[Entry, ...]  # 2N
    neighbours: np.ndarray  # (2N, 2N) bool
    personal_neighbours: np.ndarray  # (2N, 2N) bool: of them, those with the same listener
    clips: dict[str, Clip]
    mean: np.ndarray  # (58,)
    mean_from: str

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def listeners(self) -> tuple[str, ...]:
        """Identity of every entry's listener."""
        return tuple(identity(entry.listener) for entry in self.entries)

    @cached_property
    def _of_listener(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for i, who in enumerate(self.listeners):
            found.setdefault(who, []).append(i)
        return found

    def appropriate(self, index: int) -> list[int]:
        """Entries whose listeners are appropriate for this one, the entry itself first."""
        return [index, *(int(j) for j in np.flatnonzero(self.neighbours[index]) if j != index)]

    def targets(self, index: int, count: int, rng: np.random.Generator) -> list[int]:
        """`count` of the appropriate entries: without repetition where there are enough, with it otherwise."""
        among = self.appropriate(index)
        if len(among) >= count:
            return [among[i] for i in rng.permutation(len(among))[:count]]
        return [among[i] for i in rng.integers(len(among), size=count)]

    def personal(self, index: int, target: int, rng: np.random.Generator) -> int:
        """Another clip of the target's listener: an appropriate one for `index` if there is one, else any other.

        A listener of whom there is one clip only gets that one (the published code fails there).
        """
        who = self.listeners[target]
        appropriate = [j for j in self.appropriate(index) if j != target and self.listeners[j] == who]
        others = appropriate or [j for j in self._of_listener[who] if j != target]
        return others[rng.integers(len(others))] if others else target

    def style_clip(self, index: int) -> str:
        """The clip that shows the entry's listener in the published test: number 1, or the first there is."""
        who = self.listeners[index]
        own = sorted({self.entries[j].listener for j in self._of_listener[who]})
        return f"{who}/1" if f"{who}/1" in self.clips else own[0]

    def speaker(self, index: int) -> Clip:
        return self.clips[self.entries[index].speaker]

    def listener(self, index: int) -> Clip:
        return self.clips[self.entries[index].listener]


def crop(length: int, clip_length: int, rng: np.random.Generator) -> int:
    """First frame of a crop, 0 where the clip is as long as the crop."""
    if clip_length > length:
        raise InputError(f"Crops of {clip_length} frames were asked for; the clips have {length}.")
    return int(rng.integers(length - clip_length + 1))


def open_split(
    folder: Path, split: str, *, personal: bool = False, progress: Progress | None = None, threads: int = 4
) -> ReactData:
    """Read and check one split.

    Args:
        folder: REACT 2024's `data` folder.
        split: train, val or test.
        personal: use the person-specific index and matrix, as the personalised evaluation does.
        progress: called with clips read and clips in all.
        threads: files read at the same time.

    Raises InputError that names everything that is missing, or everything that is broken.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise InputError(f"There is no split '{split}'; expected one of {', '.join(SPLITS)}.")
    if not folder.is_dir():
        raise InputError(f"The data folder {folder} does not exist; give REACT 2024's 'data' folder.")
    if not (folder / f"{split}.csv").is_file() and (folder / "data" / f"{split}.csv").is_file():
        folder = folder / "data"
    entries = read_index(folder / (f"person_specific_{split}.csv" if personal else f"{split}.csv"))
    paths = sorted({path for entry in entries for path in (entry.speaker, entry.listener)})
    _all_there(folder, split, paths)
    matrix = f"person_specific_masked_neighbour_emotion_{split}.npy" if personal else f"neighbour_emotion_{split}.npy"
    neighbours = read_neighbours(folder / matrix, len(entries))
    mean, mean_from = mean_face(folder)
    clips, broken = {}, []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for done, (path, found) in enumerate(
            zip(paths, pool.map(lambda p: _read_or_fault(folder / split, p, mean), paths), strict=True), start=1
        ):
            if isinstance(found, str):
                broken.append(found)
            else:
                clips[path] = found
            if progress is not None:
                progress(done, len(paths))
    _complain(f"The {split} split in {folder} has broken files", broken)
    return ReactData(
        folder, split, tuple(entries), neighbours, personal_mask(neighbours, entries), clips, mean, mean_from
    )


def personal_mask(neighbours: np.ndarray, entries: Iterable[Entry]) -> np.ndarray:
    """Of the appropriate entries, those in which the same person listens, (2N, 2N) bool."""
    who = np.array([identity(entry.listener) for entry in entries])
    return neighbours & (who[:, None] == who[None])


def _places(root: Path, path: str) -> tuple[Path, Path, Path]:
    return (
        root / "Audio_files" / f"{path}.wav",
        root / "3D_FV_files" / f"{path}.npy",
        root / "Emotion" / f"{emotion_path(path)}.csv",
    )


def _all_there(folder: Path, split: str, paths: list[str]) -> None:
    missing = [
        str(place.relative_to(folder))
        for path in paths
        for place in _places(folder / split, path)
        if not place.is_file()
    ]
    _complain(f"The {split} split in {folder} is not complete; missing", missing, f" of {3 * len(paths)}")


def _complain(what: str, names: list[str], of: str = "") -> None:
    if names:
        more = f"; and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise InputError(f"{what} ({len(names)}{of}): {'; '.join(names[:NAMED])}{more}.")


def _read_or_fault(root: Path, path: str, mean: np.ndarray) -> Clip | str:
    """The clip, or in words what is wrong with its files."""
    sound, face, emotion = _places(root, path)
    try:
        coefficients = _checked(face, read_coefficients(face), WIDTH)
        attributes = _checked(emotion, read_attributes(emotion), AFFECT_WIDTH)
        low, high = attributes.min(), attributes.max()
        if low < ATTRIBUTE_LIMITS[0] or high > ATTRIBUTE_LIMITS[1]:
            return f"{emotion} holds numbers from {low:.3g} to {high:.3g}; attributes lie in -1 … 1"
        audio = mfcc(*read_wave(sound), FRAMES + 1)[:FRAMES]  # the published features are of 751 frames, the last cut
    except InputError as error:
        return str(error).rstrip(".")
    return Clip(attributes, coefficients - mean, audio)


def _checked(path: Path, rows: np.ndarray, width: int) -> np.ndarray:
    if rows.ndim != 2 or rows.shape[1] != width or len(rows) < FRAMES:
        raise InputError(f"{path} has shape {rows.shape}; expected at least ({FRAMES}, {width})")
    rows = rows[:FRAMES].astype(np.float32)
    if not np.isfinite(rows).all():
        bad = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise InputError(f"{path} holds a number that is not finite, first in frame {bad}")
    return rows


def read_coefficients(path: Path) -> np.ndarray:
    """(frames, 58) of a 3D_FV_files array, stored as (751, 1, 58) or (751, 58)."""
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a numpy array ({error})") from None
    return rows[:, 0] if rows.ndim == 3 and rows.shape[1] == 1 else rows


def read_attributes(path: Path) -> np.ndarray:
    """(frames, 25) of an Emotion table under its header row."""
    try:
        return np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a table of numbers ({error})") from None


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """Mono samples in -1 … 1 and their rate, of a .wav."""
    from scipy.io import wavfile

    try:
        rate, samples = wavfile.read(path)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a .wav ({error})") from None
    if np.issubdtype(samples.dtype, np.integer):
        middle = 128 if samples.dtype == np.uint8 else 0
        samples = (samples.astype(np.float32) - middle) / (128 if middle else -float(np.iinfo(samples.dtype).min))
    samples = samples.astype(np.float32)
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if len(samples) < rate * (FRAMES / FPS) * 0.5:
        raise InputError(f"{path} lasts {len(samples) / rate:.1f} s; the clips of REACT 2024 last {FRAMES / FPS:.0f} s")
    return samples, int(rate)
