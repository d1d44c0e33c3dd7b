"""What a batch is to do: a folder, a glob, or a table of rows, as items that can be checked before any work."""

from __future__ import annotations

import csv
import glob
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

from perfrdiff import __version__
from perfrdiff.batch.storage import Location, exists, fetched, found_below, is_remote, locate
from perfrdiff.errors import InputError
from perfrdiff.pipeline.request import FORMER_NAMES, SETTINGS, ReactRequest

MEDIA_ENDINGS = frozenset({
    ".avi", ".bmp", ".flv", ".gif", ".jpeg", ".jpg", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".npz",
    ".ogv", ".png", ".ts", ".webm", ".webp", ".wmv",
})  # fmt: skip
"""Of files that a folder is searched for; a table may name any."""
TABLE_ENDINGS = (".csv", ".jsonl", ".ndjson")
FILES = ("speaker", "listener", "identity")
"""Columns that name files, relative to the table's own folder; `truth` names several."""
NOT_IN_ROWS = (
    "out", "overwrite", "save_shift", "save_identity", "device", "shift", "other_listener", "credentials_key",
    "credentials_certificate",
)  # fmt: skip
"""Settings that belong to the command, or are not one value."""
COLUMNS = {*SETTINGS, *FILES, "truth", "id"} - set(NOT_IN_ROWS)
OWN_NAMES = frozenset({
    "items.jsonl", "results.csv", "summary.html", "journal-features.jsonl", "journal-react.jsonl",
    "journal-render.jsonl", "journal-evaluate.jsonl",
})  # fmt: skip
"""Of a batch's folder; no item may have one."""
MOST_NAME_BYTES = 200  # of an item; file systems take 255 with what is added
MOST_BYTES = 64 << 20  # of a table
MOST_LETTERS = 240  # of one fault in a sentence
MOST_SHOWN = 3  # faults that one sentence names


@dataclass(frozen=True)
class Item:
    """One thing to do.

    id: names its outputs, a relative path without an ending; unique in the batch.
    line: where it stands in its table, from 1; 0 for a file that was found.
    files: "speaker", "listener", "identity" -> file. settings: of `ReactRequest`, but for files.
    """

    id: str
    line: int
    files: Mapping[str, Location]
    settings: Mapping[str, object] = field(default_factory=dict)
    truth: tuple[Location, ...] = ()  # features files of reactions that are known to be appropriate

    def request(self, out: Path, **defaults: object) -> ReactRequest:
        """The run of this item, whose files are on this disk; `defaults`: where the item says nothing.

        Raises InputError as `ReactRequest`.
        """
        return ReactRequest(out=out, **{**defaults, **self.files, **self.settings})  # type: ignore[arg-type]


def read_items(source: str, role: str = "speaker", out: str | Path | None = None) -> list[Item]:
    """The items of a folder (all media files below it), a glob, one file, or a table (.csv, .jsonl).

    A table has a column, or key, `speaker`, may have `listener`, `id`, `truth` (features files of real reactions, with
    semicolons between them) and settings by the names of `ReactRequest`; empty cells are not given.

    role: what found files are: "speaker". out: the folder of the results, whose files are no inputs. Hidden files
    are none either.
    Raises InputError, in one sentence that names lines: nothing there, columns that are none, values that no run
    takes, two items with one name, names that lead outside, missing files.
    """
    if is_remote(source):
        items = _of_remote(source, role)
    else:
        path = Path(source)
        is_table = path.is_file() and path.suffix.lower() in TABLE_ENDINGS and not _is_features_table(path)
        items = _of_table(path, path.parent) if is_table else _of_files(path, source, role, out)
    _check_names(items)
    return items


def fill_in(items: Iterable[Item], options: Mapping[str, object]) -> list[Item]:
    """The items with files and settings of `options`, names of `ReactRequest`, where their own rows say nothing.

    Raises InputError for an option that no run takes, and for a file that is not there.
    """
    files = {name: locate(str(options[name])) for name in FILES if name in options}
    missing = [file for file in files.values() if not exists(file)]
    if missing:
        raise InputError(f"{missing[0]} is not there; name a file.")
    settings = {name: value for name, value in options.items() if name not in FILES}
    weights = Path(str(settings.get("weights", "")))
    if weights.is_file():  # and no name of shipped ones
        settings["weights"] = str(weights.resolve())
    ReactRequest(speaker=Path("speaker"), listener=Path("listener"), out=Path("out"), **settings)  # type: ignore[arg-type]
    return [replace(item, files=files | dict(item.files), settings=settings | dict(item.settings)) for item in items]


def write_items(items: Iterable[Item], path: Path) -> None:
    """A table (.jsonl) that `read_items` reads back, with absolute paths."""
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            files = {name: _absolute(value) for name, value in item.files.items()}
            truth = {"truth": ";".join(map(_absolute, item.truth))} if item.truth else {}
            row = {"id": item.id} | files | truth | dict(item.settings)
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


def _absolute(file: object) -> str:
    return str(file.resolve()) if isinstance(file, Path) else str(file)


def _of_remote(source: str, role: str) -> list[Item]:
    """The items of a table, a folder or a glob that is not on this disk."""
    if PurePosixPath(source).suffix.lower() in TABLE_ENDINGS:
        with fetched(locate(source)) as path:
            if not _is_features_table(path):
                return _of_table(path, source.rpartition("/")[0])
    found = found_below(source)
    if "*" not in source and "?" not in source:
        found = [name for name in found if PurePosixPath(name).suffix.lower() in MEDIA_ENDINGS]
    if not found:
        raise InputError(f"There is no media file in {source}; give a folder, a glob in quotes, or a table.")
    root = source.rpartition("/")[0] if found == [source] else _fixed_address(source)  # a file, or a folder or a glob
    names = [name.removeprefix(root).lstrip("/") for name in found]
    return _named(names, [locate(name) for name in found], role)


def _fixed_address(pattern: str) -> str:
    """The folder before the first part of an address that may differ."""
    protocol, _, path = pattern.partition("://")
    return f"{protocol}://{_fixed_part(PurePosixPath(path.lstrip('/')) / 'any').as_posix()}"


def _is_features_table(path: Path) -> bool:
    """Whether a .csv is the features of one clip, and no manifest."""
    if path.suffix.lower() != ".csv":
        return False
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if b"speaker" in head.partition(b"\n")[0]:
        return False
    from perfrdiff.features.tables import is_table

    return is_table(head)


def _of_files(path: Path, source: str, role: str, out: str | Path | None) -> list[Item]:
    if path.is_dir():
        root, found = path, [file for file in sorted(path.rglob("*")) if file.suffix.lower() in MEDIA_ENDINGS]
    else:
        found = [Path(name) for name in sorted(glob.glob(source, recursive=True))]
        root = path.parent if path.is_file() else Path(_fixed_part(path))
    results = None if out is None or is_remote(out) else Path(out).resolve()
    if results is not None and path.is_dir() and results == path.resolve():
        raise InputError(f"{path} cannot take the results of its own files; name another folder.")
    files = [
        file
        for file in found
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(root).parts)
        and not (results is not None and file.resolve().is_relative_to(results))
    ]
    if not files:
        raise InputError(f"There is no media file in {source}; give a folder, a glob in quotes, or a table.")
    return _named([file.relative_to(root).as_posix() for file in files], files, role)


def _named(names: Sequence[str], files: Sequence[Location], role: str) -> list[Item]:
    """Items of files by their paths below the folder, without their endings where these are not needed."""
    taken = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    items = []
    for whole, file in zip(names, files, strict=True):
        name = str(PurePosixPath(whole).with_suffix(""))
        if name in taken:  # a.mp4 beside a.mov, or beside a folder a
            name = whole
        taken.add(name)
        items.append(Item(name, 0, {role: file}))
    return items


def _fixed_part(pattern: PurePath) -> PurePath:
    """The folder before the first part of a glob that may differ."""
    parts = []
    for part in pattern.parts[:-1]:
        if any(letter in part for letter in "*?["):
            break
        parts.append(part)
    return type(pattern)(*parts)


def _of_table(path: Path, base: str | Path) -> list[Item]:
    """The items of a table on this disk; `base`: what its paths are relative to."""
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path.name} has more than {MOST_BYTES >> 20} MB; that is no table of a batch.")
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    if not rows:
        raise InputError(f"{path.name} has no rows; it needs one for each item.")
    faults: list[str] = []
    items = []
    for line, row in rows:
        unknown = sorted(set(row) - COLUMNS)
        if unknown:
            faults.append(f"line {line}: there is no setting '{unknown[0]}'{_now_called(unknown[0])}")
        elif "speaker" not in row:
            faults.append(f"line {line}: no speaker")
        else:
            item, fault = _item(base, line, row)
            items.append(item)
            faults += [f"line {line}: {fault}"] if fault else []
    _refuse(path.name, faults)
    return items


def _csv_rows(path: Path) -> list[tuple[int, dict[str, object]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            names = [name.strip() for name in reader.fieldnames or ()]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise InputError(f"{path.name}, line 1: there are two columns '{twice}'.")
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(f"{path.name}, line {reader.line_num}: a row has as many cells as the header.")
                given = {name.strip(): value.strip() for name, value in row.items() if value.strip()}
                if given:
                    rows.append((reader.line_num, dict[str, object](given)))
            return rows
    except (csv.Error, UnicodeDecodeError, AttributeError) as error:  # the last: a header row without names
        raise InputError(f"{path.name} is no table in UTF-8 with commas ({error}).") from None


def _json_rows(path: Path) -> list[tuple[int, dict[str, object]]]:
    rows = []
    for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{path.name}, line {line}: each line has to be one JSON object.")
        rows.append((line, {name: value for name, value in row.items() if value is not None}))
    return rows


def _item(base: str | Path, line: int, row: Mapping[str, object]) -> tuple[Item, str]:
    """The item of a row, and what is wrong with it, or nothing."""
    settings = {name: _typed(name, value) for name, value in row.items() if name not in (*FILES, "truth", "id")}
    speaker = str(row["speaker"])
    item = Item(str(row.get("id", _default_id(speaker))), line, {}, settings)
    if not PurePosixPath(speaker).name or PurePosixPath(speaker).name == "..":
        return item, "the speaker is no file"
    try:
        files = {name: locate(str(row[name]), base) for name in FILES if name in row}
        truth = tuple(locate(part.strip(), base) for part in str(row.get("truth", "")).split(";") if part.strip())
        item = replace(item, files=files, truth=truth)
        missing = [file for file in (*files.values(), *truth) if not exists(file)]
        if missing:
            return item, f"{missing[0]} is not there"
        names = {name: Path(file.name) for name, file in files.items()}  # the files are looked at when the run starts
        ReactRequest(out=Path("out"), **{"listener": names["speaker"], **names, **settings})  # type: ignore[arg-type]
    except InputError as error:
        return item, str(error).rstrip(".")
    except (TypeError, ValueError, OverflowError):
        return item, "a setting has a value of another kind than it takes"
    return item, ""


def _default_id(speaker: str) -> str:
    """What an item without a name is called: the speaker's relative path, or its file's name alone."""
    path = PurePosixPath(speaker.removeprefix("file://"))
    is_alone = path.is_absolute() or is_remote(speaker)
    return path.stem if is_alone else str(path.with_suffix("") if path.name else path)


def _typed(name: str, value: object) -> object:
    """A cell's text as `ReactRequest` takes it; what JSON says stays."""
    setting = SETTINGS.get(name)
    if not isinstance(value, str) or setting is None:
        return value
    if setting.kind == "flag":
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(value.lower(), value)
    if setting.kind in ("views", "exports"):
        return value.split()
    return value


def _now_called(name: str) -> str:
    """What to say of a column that a table of another version has."""
    present = FORMER_NAMES.get("--" + name.replace("_", "-"), "").removeprefix("--").replace("-", "_")
    return f", it is called '{present}' now" if present else f" in version {__version__}"


def _check_names(items: list[Item]) -> None:
    faults, seen = [], {}
    folders = {str(parent): item for item in items for parent in PurePosixPath(item.id).parents}
    for item in items:
        where = f"line {item.line}" if item.line else f"'{item.id}'"
        name = PurePosixPath(item.id)
        is_odd = "\\" in item.id or not item.id.isprintable() or len(item.id.encode()) > MOST_NAME_BYTES
        if is_odd or name.is_absolute() or ".." in name.parts or not name.parts or str(name) != item.id:
            faults.append(f"{where}: '{item.id}' cannot name an output; give a relative path as 'id'")
        elif name.parts[0] in OWN_NAMES or any(part.startswith(".") for part in name.parts):
            faults.append(f"{where}: '{item.id}' is a name of the batch's own files, or hidden; give another 'id'")
        elif item.id in seen:
            faults.append(f"{where}: '{item.id}' is also the name of {seen[item.id]}; give each an 'id' of its own")
        elif item.id in folders:
            faults.append(f"{where}: '{item.id}' is also the folder of '{folders[item.id].id}'; give it another 'id'")
        seen.setdefault(item.id, where)
    _refuse("The batch", faults)


def _refuse(what: str, faults: list[str]) -> None:
    if faults:
        more = f"; and {len(faults) - MOST_SHOWN} more" if len(faults) > MOST_SHOWN else ""
        shown = ("".join(c if c.isprintable() else "?" for c in fault) for fault in faults[:MOST_SHOWN])
        words = "; ".join(textwrap.shorten(fault, MOST_LETTERS) for fault in shown)
        raise InputError(f"{what} cannot be used: {words}{more}.")
