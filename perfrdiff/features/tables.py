"""A features file: the features of a clip as numbers with names, taken in place of the video.

* ``.npz``: coefficients (T, 58), affect (T, 25), audio (T, 78), hearing (T, 8), quality (T,), the columns' names, the
  number of frames per second. The facial attributes are called affect there.
* ``.csv``: one row a frame: time_s, the 58 channels, the 25 attributes, the 78 MFCCs (mfcc_TYPE_COEFFICIENT_WINDOW),
  what is heard (hearing_NAME) and the quality.
* the REACT 2024 layout: a folder with ``3D_FV_files/NAME.npy`` (T, 1, 58), ``Emotion/NAME.csv`` and
  ``Audio_files/NAME.wav``.

Live Link Face and OpenFace tables are read as well (``third_party.py``). No face is in such a file, only its movement.
"""

import csv
import io
import os
import wave
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from perfrdiff.coefficients import COEFFICIENT_NAMES, EXPRESSION, FPS, ROTATION, WIDTH
from perfrdiff.errors import InputError
from perfrdiff.features import third_party
from perfrdiff.features.attributes import ATTRIBUTE_COUNT, ATTRIBUTE_NAMES, facial_attributes
from perfrdiff.features.audio import CEPSTRA, MFCC_WIDTH, SUBFRAMES, mfcc
from perfrdiff.features.hearing import HEARING_NAMES, HEARING_WIDTH
from perfrdiff.features.media.audio_track import RATE, Audio
from perfrdiff.features.media.local_file import LocalFile, as_local_file
from perfrdiff.features.tracking.signals import QUALITIES
from renderer.guarded_files import UnsafeFile, read_npz

__all__ = ["AUDIO_NAMES", "HEAD_BYTES", "FeatureTable", "is_table", "read_table", "write_react_layout", "write_table"]

AUDIO_NAMES: tuple[str, ...] = tuple(
    f"mfcc_{kind}_{coefficient}_{window}"
    for kind in ("static", "delta", "delta2")
    for coefficient in range(CEPSTRA)
    for window in range(SUBFRAMES)
)
HEARING_COLUMNS: tuple[str, ...] = tuple(f"hearing_{name}" for name in HEARING_NAMES)
MOST_BYTES = 200_000_000  # of a table; two minutes take 3 MB
MOST_FRAMES = 30 * 60 * FPS
SILENCE = 1e-3  # range of the log energies (the first SUBFRAMES columns) of a clip without sound
HEAD_BYTES = 65_536  # of a file, from which its kind is recognised


@dataclass(frozen=True)
class FeatureTable:
    """What a features file holds, at 25 frames per second."""

    coefficients: np.ndarray  # (T, 58) float32
    attributes: np.ndarray  # (T, 25) float32, columns ATTRIBUTE_NAMES
    audio: np.ndarray  # (T, 78) float32 MFCCs; those of silence where the file has none
    quality: np.ndarray  # (T,) uint8, index into signals.QUALITIES
    has_audio: bool = True
    notes: list[str] = field(default_factory=list)
    hearing: np.ndarray | None = None  # (T, 8) float32, columns HEARING_NAMES; None: a file of version 0.1.0

    def cut(self, start: float, end: float | None, name: str) -> "FeatureTable":
        """The rows from second `start` to second `end`; `name`: of the file, for a sentence.

        Raises:
            InputError: less than 1 s is left.
        """
        rows = slice(round(start * FPS), None if end is None else round(end * FPS))
        if len(self.coefficients[rows]) < FPS:
            raise InputError(
                f"{name} lasts {len(self.coefficients) / FPS:.1f} s; less than 1 s of it lies in the part that was "
                "chosen."
            )
        arrays = ("coefficients", "attributes", "audio", "quality", "hearing")
        return replace(self, **{key: None if (array := getattr(self, key)) is None else array[rows] for key in arrays})


def is_table(head: bytes) -> bool:
    """Whether a file is a features file, by its first ``HEAD_BYTES``: an .npz archive, or a line of column names."""
    if head.startswith(b"PK\x03\x04"):
        return True
    header = _header(head)
    return len(header) > 3 and (header[0] in ("time_s", "frame") or third_party.is_supported(header))


def read_table(source: str | os.PathLike | LocalFile) -> FeatureTable:
    """Read a features file of this program, a Live Link Face recording or an OpenFace table, by its content.

    Raises:
        InputError: one sentence about what is wrong with the file.
    """
    with as_local_file(source) as file, file.reader() as reader:
        name, size = file.name, reader.seek(0, os.SEEK_END)
        reader.seek(0)
        data = reader.read(size) if size <= MOST_BYTES else b""
    if size > MOST_BYTES:
        raise InputError(f"{name} has more than {MOST_BYTES // 10**6} MB; that is no features file of a clip.")
    if data.startswith(b"PK\x03\x04"):
        table = _from_archive(data, name)
    else:
        header = _header(data)
        if third_party.is_supported(header):
            coefficients, notes = third_party.read(_rows(data, name), name)
            table = _with_defaults(coefficients, [*notes, f"{name} holds no sound."])
        else:
            table = _from_columns(_rows(data, name), name)
    _check(table, name)
    return table


def write_table(path: Path, table: FeatureTable) -> None:
    """Write a features file; the ending .npz or .csv decides its form.

    Raises:
        InputError: another ending, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".npz", ".csv"):
        raise InputError(f"{path.name} ends in neither .npz nor .csv; name the features file with one of them.")
    heard = {} if table.hearing is None else {"hearing": table.hearing, "hearing_names": np.array(HEARING_NAMES)}
    try:
        if path.suffix == ".npz":
            np.savez_compressed(
                path,
                coefficients=table.coefficients,
                affect=table.attributes,
                audio=table.audio,
                quality=table.quality,
                coefficient_names=np.array(COEFFICIENT_NAMES),
                affect_names=np.array(ATTRIBUTE_NAMES),
                audio_names=np.array(AUDIO_NAMES),
                quality_names=np.array(QUALITIES),
                fps=FPS,
                **heard,
            )
            return
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            heard_names = HEARING_COLUMNS if heard else ()
            writer.writerow(["time_s", *COEFFICIENT_NAMES, *ATTRIBUTE_NAMES, *AUDIO_NAMES, *heard_names, "quality"])
            blocks = [table.coefficients, table.attributes, table.audio, *([table.hearing] if heard else [])]
            numbers = np.concatenate(blocks, axis=1)
            for frame, (row, quality) in enumerate(zip(numbers, table.quality, strict=True)):
                writer.writerow([f"{frame / FPS:.2f}", *(f"{value:.6g}" for value in row), QUALITIES[quality]])
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); name another file.") from None


def write_react_layout(folder: Path, name: str, table: FeatureTable, waveform: Audio | None) -> list[Path]:
    """Write a clip as the REACT 2024 loaders expect it (docs/method.md 10.1); returns the files.

    Raises:
        InputError: the folder cannot be written.
    """
    paths = [Path(folder) / kind / f"{name}.{end}" for kind, end in
             (("3D_FV_files", "npy"), ("Emotion", "csv"), ("Audio_files", "wav"))]  # fmt: skip
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        np.save(paths[0], table.coefficients[:, None])
        with paths[1].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(ATTRIBUTE_NAMES)
            writer.writerows([f"{value:.6g}" for value in row] for row in table.attributes)
        silence = np.zeros(len(table.coefficients) * RATE // FPS, np.float32)
        samples = waveform.samples if waveform is not None else silence
        with wave.open(str(paths[2]), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); name another folder.") from None
    return paths


# --- reading ---------------------------------------------------------------------------------------------------------


def _header(data: bytes) -> list[str]:
    line = data[:HEAD_BYTES].splitlines()[:1]
    try:
        return [word.strip() for word in line[0].decode("utf-8-sig").split(",")] if line else []
    except UnicodeDecodeError:
        return []


def _rows(data: bytes, name: str) -> dict[str, list[str]]:
    """The columns of a CSV by name."""
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{name} is not a readable table.") from None
    header = [word.strip() for word in lines[0]]
    lines = [line for line in lines[1:] if line]
    if not lines:
        raise InputError(f"{name} has column names but no rows.")
    if len(lines) > 8 * MOST_FRAMES:
        raise InputError(f"{name} has {len(lines)} rows; cut it to half an hour at most.")
    short = next((number for number, line in enumerate(lines, start=2) if len(line) < len(header)), None)
    if short is not None:
        raise InputError(f"Line {short} of {name} has fewer columns than there are names; the file is cut or damaged.")
    return {word: [line[column] for line in lines] for column, word in enumerate(header)}


def _from_archive(data: bytes, name: str) -> FeatureTable:
    try:
        arrays = read_npz(io.BytesIO(data), 2 * MOST_BYTES)
    except (OSError, UnsafeFile) as error:
        raise InputError(f"{name} {error}; it is no features file of a clip.") from None
    try:
        return _from_arrays(arrays, name)
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is no features file: an array in it is of another kind than its name says.") from None


def _from_arrays(arrays: dict[str, np.ndarray], name: str) -> FeatureTable:
    if "coefficients" not in arrays:
        raise InputError(f"{name} holds no array named coefficients; perfrdiff features makes such files.")
    rate = float(arrays.get("fps", FPS))
    if rate != FPS:
        raise InputError(f"{name} has {rate:g} frames per second; {FPS} are needed.")
    names = tuple(str(channel) for channel in arrays.get("coefficient_names", COEFFICIENT_NAMES))
    if names != COEFFICIENT_NAMES:
        raise InputError(f"The coefficients of {name} are named or ordered otherwise than the 58 channels.")
    rows = arrays["coefficients"]
    if rows.ndim == 3 and len(rows) == 1:  # a single reaction of an earlier run's coefficients.npz
        rows = rows[0]
    if rows.ndim != 2 or rows.shape[1] != WIDTH:
        raise InputError(f"The coefficients of {name} have shape {rows.shape}; expected (frames, {WIDTH}).")
    heard_names = tuple(str(column) for column in arrays.get("hearing_names", HEARING_NAMES))
    if heard_names != HEARING_NAMES:
        raise InputError(f"The hearing of {name} is named or ordered otherwise than {', '.join(HEARING_NAMES)}.")
    optional = {"attributes": "affect", "audio": "audio", "hearing": "hearing", "quality": "quality"}
    return _with_defaults(rows, [], **{key: arrays.get(array) for key, array in optional.items()})


def _from_columns(columns: dict[str, list[str]], name: str) -> FeatureTable:
    missing = [channel for channel in COEFFICIENT_NAMES if channel not in columns]
    if missing:
        raise InputError(
            f"{name} is neither a features file, a Live Link Face recording nor an OpenFace table; "
            f"{len(missing)} columns are missing, first {missing[0]}."
        )
    groups = {"audio": AUDIO_NAMES, "attributes": ATTRIBUTE_NAMES, "hearing": HEARING_COLUMNS}
    optional = {
        key: third_party.numbers(columns, names, name) for key, names in groups.items() if set(names) <= set(columns)
    }
    quality = columns.get("quality")
    if quality is not None:
        quality = np.array([QUALITIES.index(word) if word in QUALITIES else 0 for word in quality], np.uint8)
    rows = third_party.numbers(columns, COEFFICIENT_NAMES, name)
    if "time_s" in columns:
        times = third_party.numbers(columns, ("time_s",), name)[:, 0]
        if len(times) > 1 and abs((times[-1] - times[0]) / (len(times) - 1) - 1 / FPS) > 0.1 / FPS:
            raise InputError(f"{name} does not have {FPS} rows per second; write it with perfrdiff features.")
    return _with_defaults(rows, [], quality=quality, **optional)


def _with_defaults(
    coefficients, notes: list[str], attributes=None, audio=None, hearing=None, quality=None
) -> FeatureTable:
    rows = np.ascontiguousarray(coefficients, np.float32)
    frames = len(rows)
    return FeatureTable(
        coefficients=rows,
        attributes=facial_attributes(rows) if attributes is None else np.asarray(attributes, np.float32),
        audio=mfcc(np.zeros(0, np.float32), RATE, frames) if audio is None else np.asarray(audio, np.float32),
        quality=np.zeros(frames, np.uint8) if quality is None else np.asarray(quality, np.uint8),
        has_audio=audio is not None and _varies(np.asarray(audio)),
        notes=notes,
        hearing=None if hearing is None else np.asarray(hearing, np.float32),
    )


def _varies(audio: np.ndarray) -> bool:
    """Whether MFCCs are other than those of a clip that had no sound; what has another shape is refused later."""
    return audio.ndim != 2 or audio.size == 0 or float(np.ptp(audio[:, :SUBFRAMES])) > SILENCE


def _check(table: FeatureTable, name: str) -> None:
    frames = len(table.coefficients)
    if not FPS <= frames <= MOST_FRAMES:
        raise InputError(f"{name} lasts {frames / FPS:.1f} s; 1 s to {MOST_FRAMES / FPS / 60:g} minutes are needed.")
    for what, values, width in (
        ("affect", table.attributes, ATTRIBUTE_COUNT),
        ("audio", table.audio, MFCC_WIDTH),
        ("hearing", table.hearing, HEARING_WIDTH),
    ):
        if values is not None and values.shape != (frames, width):
            raise InputError(f"The {what} of {name} has shape {values.shape}; expected {(frames, width)}.")
    if table.quality.shape != (frames,):
        raise InputError(f"The quality of {name} has shape {table.quality.shape}; expected {(frames,)}.")
    for values in (table.coefficients, table.attributes, table.audio, table.hearing):
        if values is not None and not np.isfinite(values).all():
            raise InputError(f"{name} holds a number that is not finite.")
    expressions = table.coefficients[:, EXPRESSION]
    if expressions.min() < -0.5 or expressions.max() > 2.5:
        raise InputError(f"The expressions of {name} reach {expressions.max():g}; 0 to 1 is expected.")
    if np.abs(table.coefficients[:, ROTATION] - [np.pi, 0, 0]).max() > 2 * np.pi:
        raise InputError(f"The angles of {name} are no radians about an upright face (rotationX near 3.14).")
