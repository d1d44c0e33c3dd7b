"""The REACT 2024 data set as it lies on disk (docs/method.md 10), and what the stages draw from it.

    data/{train,val,test}.csv                                  id, speaker path, listener path, under a header row
    data/person_specific_test.csv                              the same, for the personalised evaluation
    data/neighbour_emotion_{train,val,test}.npy                (2N, 2N) of 0/1: whose listener is appropriate for whom
    data/person_specific_masked_neighbour_emotion_{val,test}.npy
    data/<split>/Audio_files/<path>.wav  3D_FV_files/<path>.npy  Emotion/<path>.csv
    external/FaceVerse/mean_face.npy                           beside data, or inside it

Everything is read, checked and held in memory before work starts (half a megabyte per clip): what is missing or broken
is reported at once, by name. Only the hearing of a clip is worked out when it is asked for. The videos are not needed.
"""

import csv
import hashlib
import io
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from pathlib import Path

import numpy as np

from perfrdiff.coefficients import FPS, WIDTH, react_mean
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import ATTRIBUTE_COUNT
from perfrdiff.features.audio import mfcc
from perfrdiff.features.hearing import hear
from perfrdiff.features.media.audio_track import RATE

FRAMES = 750  # of a clip; one more may be on disk
NAMED_FAULTS = 12  # broken files named in one error; missing ones are all named
SPLITS = ("train", "val", "test")
RECOLA_FIRST, RECOLA_SECOND = ("P25", "P41", "P45"), ("P26", "P42", "P46")
ATTRIBUTE_LIMITS = (-1.5, 1.5)  # beyond, the columns are not what they should be
MEAN_FACE = Path("FaceVerse") / "mean_face.npy"
Progress = Callable[[int, int], None]
_HEADER_LOCK = threading.Lock()
"""numpy reads an array's header with `ast`, which fails in several threads at once before Python 3.11.8 (gh-106905)."""


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
    audio_file: Path

    @cached_property
    def hearing(self) -> np.ndarray:
        """What is heard (frames, 8) float32, columns hearing.HEARING_NAMES; half a second of work when first asked for.

        Raises InputError where the sound can no longer be read.
        """
        samples, rate = read_wave(self.audio_file)
        if rate != RATE:
            from scipy.signal import resample_poly

            divisor = gcd(RATE, rate)
            samples = resample_poly(samples, RATE // divisor, rate // divisor).astype(np.float32)
        return hear(samples, len(self.audio))


def person_id(path: str) -> str:
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
    matrix = _read_array(path)
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
    for file in (folder.parent / "external" / MEAN_FACE, folder / "external" / MEAN_FACE):
        if file.is_file():
            mean = _read_array(file).astype(np.float32).reshape(-1)
            if mean.shape != (WIDTH,) or not np.isfinite(mean).all():
                raise InputError(f"The mean face {file} holds {mean.size} numbers; expected {WIDTH} finite ones.")
            return mean, str(file)
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
    mean_source: str

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def listeners(self) -> tuple[str, ...]:
        """Identity of every entry's listener."""
        return tuple(person_id(entry.listener) for entry in self.entries)

    @cached_property
    def _entries_of_listener(self) -> dict[str, list[int]]:
        entries: dict[str, list[int]] = {}
        for i, person in enumerate(self.listeners):
            entries.setdefault(person, []).append(i)
        return entries

    def appropriate(self, index: int) -> list[int]:
        """Entries whose listeners are appropriate for this one, the entry itself first."""
        return [index, *(int(j) for j in np.flatnonzero(self.neighbours[index]) if j != index)]

    def draw_targets(self, index: int, count: int, rng: np.random.Generator) -> list[int]:
        """`count` of the appropriate entries: without repetition where there are enough, with it otherwise."""
        candidates = self.appropriate(index)
        if len(candidates) >= count:
            return [candidates[i] for i in rng.permutation(len(candidates))[:count]]
        return [candidates[i] for i in rng.integers(len(candidates), size=count)]

    def draw_style_entry(self, index: int, target: int, rng: np.random.Generator) -> int:
        """Another clip of the target's listener: an appropriate one for `index` if there is one, else any other.

        A listener of whom there is one clip only gets that one (the published code fails there).
        """
        person = self.listeners[target]
        appropriate = [j for j in self.appropriate(index) if j != target and self.listeners[j] == person]
        others = appropriate or [j for j in self._entries_of_listener[person] if j != target]
        return others[rng.integers(len(others))] if others else target

    def style_clip(self, index: int) -> str:
        """The clip that shows the entry's listener in the published test: number 1, or the first there is."""
        person = self.listeners[index]
        clips = sorted({self.entries[j].listener for j in self._entries_of_listener[person]})
        return f"{person}/1" if f"{person}/1" in self.clips else clips[0]

    def speaker(self, index: int) -> Clip:
        return self.clips[self.entries[index].speaker]

    def listener(self, index: int) -> Clip:
        return self.clips[self.entries[index].listener]


def draw_crop_start(length: int, clip_length: int, rng: np.random.Generator) -> int:
    """First frame of a crop of `clip_length` frames from `length`. Raises InputError where the crop is longer."""
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
    folder = data_folder(folder, split)
    check_files_exist(folder, (split,), personal)
    entries = read_index(index_path(folder, split, personal))
    paths = clip_paths(entries)
    neighbours = read_neighbours(folder / matrix_name(split, personal), len(entries))
    mean, mean_source = mean_face(folder)
    clips, broken = {}, []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for done, (path, clip) in enumerate(
            zip(paths, pool.map(lambda p: _read_or_fault(folder / split, p, mean), paths), strict=True), start=1
        ):
            if isinstance(clip, str):
                broken.append(clip)
            else:
                clips[path] = clip
            if progress is not None:
                progress(done, len(paths))
    if broken:
        more = f"; and {len(broken) - NAMED_FAULTS} more" if len(broken) > NAMED_FAULTS else ""
        faults = "; ".join(broken[:NAMED_FAULTS])
        raise InputError(f"The {split} split in {folder} has broken files ({len(broken)}): {faults}{more}.")
    return ReactData(
        folder, split, tuple(entries), neighbours, personal_mask(neighbours, entries), clips, mean, mean_source
    )


def personal_mask(neighbours: np.ndarray, entries: Iterable[Entry]) -> np.ndarray:
    """Of the appropriate entries, those in which the same person listens, (2N, 2N) bool."""
    person = np.array([person_id(entry.listener) for entry in entries])
    return neighbours & (person[:, None] == person[None])


def _clip_files(root: Path, path: str) -> tuple[Path, Path, Path]:
    return (
        root / "Audio_files" / f"{path}.wav",
        root / "3D_FV_files" / f"{path}.npy",
        root / "Emotion" / f"{emotion_path(path)}.csv",
    )


def data_folder(folder: Path, split: str) -> Path:
    """REACT 2024's `data` folder, given that one or the one above it. Raises InputError where there is none."""
    folder = Path(folder)
    if split not in SPLITS:
        raise InputError(f"There is no split '{split}'; expected one of {', '.join(SPLITS)}.")
    if not folder.is_dir():
        raise InputError(f"The data folder {folder} does not exist; give REACT 2024's 'data' folder.")
    inner = folder / "data"
    return inner if not (folder / f"{split}.csv").is_file() and (inner / f"{split}.csv").is_file() else folder


def index_path(folder: Path, split: str, personal: bool = False) -> Path:
    """The index of a split; the person-specific one is published for the test split only."""
    personal_index = folder / f"person_specific_{split}.csv"
    return personal_index if personal and (personal_index.is_file() or split == "test") else folder / f"{split}.csv"


def matrix_name(split: str, personal: bool = False) -> str:
    """Which neighbour matrix says who is appropriate."""
    return f"{'person_specific_masked_' if personal else ''}neighbour_emotion_{split}.npy"


def check_files_exist(
    folder: Path, splits: Sequence[str], personal: bool = False, *, matrices: bool = True, only: str | None = None
) -> None:
    """Look for every file of some splits of a `data` folder, without opening any but the indexes.

    Args:
        matrices: look for the neighbour matrices, too.
        only: of the clips' files look for these alone: Audio_files, 3D_FV_files or Emotion.

    Raises InputError that names all that is missing; a folder of which nothing is there is named in place of its files.
    """
    expected: list[Path] = []
    for split in splits:
        if matrices:
            expected.append(folder / matrix_name(split, personal))
        index = index_path(folder, split, personal)
        expected.append(index)
        for path in clip_paths(read_index(index)) if index.is_file() or len(splits) == 1 else ():
            files = _clip_files(folder / split, path)
            expected += [file for file in files if only is None or file.relative_to(folder).parts[1] == only]
    missing = {file for file in expected if not file.is_file()}
    if not missing:
        return
    expected_in = Counter(parent for file in expected for parent in file.parents)
    missing_in = Counter(parent for file in missing for parent in file.parents)
    lacking = []
    for file in sorted(missing):
        empty = [p for p in file.parents if missing_in[p] == expected_in[p] > 1 and folder in p.parents]
        empty_folder = f"{empty[-1].relative_to(folder)} (all {expected_in[empty[-1]]} files)" if empty else None
        lacking.append(empty_folder or str(file.relative_to(folder)))
    commands = [
        f"perfrdiff neighbours --data {folder} --split {split}"
        for split in splits
        if matrices and folder / matrix_name(split, personal) in missing
    ]
    built = f"; neighbour matrices are built by {' and '.join(commands)}" if commands else ""
    names = "; ".join(dict.fromkeys(lacking))
    raise InputError(f"{folder} lacks {len(missing)} of {len(expected)} files: {names}{built}.")


def fingerprint(folder: Path, split: str) -> str:
    """Tells one data set from another: by a split's index, its matrix and the mean face. 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in (index_path(folder, split), folder / matrix_name(split)):
        digest.update(file.read_bytes())
    digest.update(mean_face(folder)[0].tobytes())
    return digest.hexdigest()[:16]


def clip_paths(entries: Iterable[Entry]) -> list[str]:
    """Every clip of an index once."""
    return sorted({path for entry in entries for path in (entry.speaker, entry.listener)})


def _read_or_fault(root: Path, path: str, mean: np.ndarray) -> Clip | str:
    """The clip, or in words what is wrong with its files."""
    audio_file, face, emotion = _clip_files(root, path)
    try:
        coefficients = _checked_rows(face, read_coefficients(face), WIDTH)
        attributes = read_attributes(emotion)
        audio = mfcc(*read_wave(audio_file), FRAMES + 1)[:FRAMES]  # published: features of 751 frames, the last cut
    except InputError as error:
        return str(error).rstrip(".")
    return Clip(attributes, coefficients - mean, audio, audio_file)


def _checked_rows(path: Path, rows: np.ndarray, width: int) -> np.ndarray:
    if rows.ndim != 2 or rows.shape[1] != width or len(rows) < FRAMES:
        raise InputError(f"{path} has shape {rows.shape}; expected at least ({FRAMES}, {width}).")
    rows = rows[:FRAMES].astype(np.float32)
    if not np.isfinite(rows).all():
        bad = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise InputError(f"{path} holds a number that is not finite, first in frame {bad}.")
    return rows


def _read_array(path: Path) -> np.ndarray:
    """A .npy of numbers. Raises InputError for anything else."""
    try:
        contents = io.BytesIO(path.read_bytes())
        with _HEADER_LOCK:
            rows = np.load(contents, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a numpy array ({error}).") from None
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "biuf":
        raise InputError(f"{path} holds no array of numbers.")
    return rows


def read_coefficients(path: Path) -> np.ndarray:
    """(frames, 58) of a 3D_FV_files array, stored as (751, 1, 58) or (751, 58)."""
    rows = _read_array(path)
    return rows[:, 0] if rows.ndim == 3 and rows.shape[1] == 1 else rows


def read_attributes(path: Path) -> np.ndarray:
    """(750, 25) float32 of an Emotion table under its header row.

    Raises InputError for a table that is none, is too small, or holds what cannot be attributes.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        rows = np.loadtxt(lines, delimiter=",", dtype=np.float32, ndmin=2) if any(lines) else np.zeros((0, 0))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table of numbers ({error}).") from None
    rows = _checked_rows(path, rows, ATTRIBUTE_COUNT)
    low, high = rows.min(), rows.max()
    if low < ATTRIBUTE_LIMITS[0] or high > ATTRIBUTE_LIMITS[1]:
        raise InputError(f"{path} holds numbers from {low:.3g} to {high:.3g}; attributes lie in -1 … 1.")
    return rows


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """Mono samples in -1 … 1 and their rate, of a .wav."""
    from scipy.io import wavfile

    try:
        rate, samples = wavfile.read(path)
    except (ValueError, OSError, EOFError, struct.error) as error:
        raise InputError(f"{path} cannot be read as a .wav ({error}).") from None
    if np.issubdtype(samples.dtype, np.integer):
        middle = 128 if samples.dtype == np.uint8 else 0
        samples = (samples.astype(np.float32) - middle) / (128 if middle else -float(np.iinfo(samples.dtype).min))
    samples = samples.astype(np.float32)
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if len(samples) < rate * (FRAMES / FPS) * 0.5:
        raise InputError(f"{path} lasts {len(samples) / rate:.1f} s; REACT 2024's clips last {FRAMES / FPS:.0f} s.")
    if not np.isfinite(samples).all():
        raise InputError(f"{path} holds a sample that is not finite.")
    return samples, int(rate)
