"""Downloads of published files on request: resumed where they broke off, checked, complete or not at all.

Nothing here runs by itself. An unfinished file lies beside the target as `NAME.part`, its address, version and size in
`NAME.part.json`; the target's own name appears only when every byte is there and right.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from perfrdiff import __version__
from perfrdiff.errors import InputError
from perfrdiff.files import check_disk_space, sha256_of

TRIES = 4  # attempts without a new byte before giving up
WAIT = 2.0  # seconds before the second attempt, doubled before each further one
TIMEOUT = 60.0  # seconds without an answer

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes there will be, None where the server does not say."""


@dataclass(frozen=True)
class PublishedDownload:
    """A file that the authors publish."""

    url: str  # the page that a browser opens
    name: str  # what to call the file
    description: str
    next_step: str  # the command that uses the file


PUBLISHED_FILES = {
    "paper-emotion": PublishedDownload(
        "https://drive.google.com/file/d/1Drdq3WnQjuOM9GxptC3UsTn_JSsn8_M-/view",
        "perfrdiff-emotion-checkpoints.zip",
        "the emotion variant's checkpoints (repository xk0720/PerFRDiff)",
        "perfrdiff import-weights {path}",
    ),
    "paper-render": PublishedDownload(
        "https://drive.google.com/file/d/1VjiPqq0uZPigXzTdBnO49srIYVobgHNN/view",
        "perfrdiff-render-checkpoints.zip",
        "the render variant's checkpoints (repository xk0720/PerFRDiffRender)",
        "perfrdiff import-weights {path}",
    ),
    "external": PublishedDownload(
        "https://drive.google.com/file/d/14Z1vFbu4Amren8TjS_PEIZZVIqWdikm5/view",
        "perfrdiff-external.zip",
        "the mean face, FaceVerse v2 and the re-trained PIRender (CC BY-NC 4.0: not for commercial use)",
        "unpack it, then perfrdiff import-weights ... --external external",
    ),
}
"""Name for `perfrdiff download` -> the authors' file. They publish no checksums."""


@dataclass(frozen=True)
class DownloadedFile:
    """A complete file on disk."""

    path: Path
    sha256: str
    size: int  # bytes


def resolve_address(name_or_url: str) -> tuple[str, str]:
    """A name of `PUBLISHED` or a URL -> the URL of the bytes, and a file name. Raises InputError for anything else."""
    if name_or_url in PUBLISHED_FILES:
        published = PUBLISHED_FILES[name_or_url]
        return direct_url(published.url), published.name
    parts = urlsplit(name_or_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(
            f"'{name_or_url}' is neither a http(s) address nor one of the published files {', '.join(PUBLISHED_FILES)}."
        )
    name = Path(unquote(parts.path)).name
    drive = _drive_id(name_or_url)
    return direct_url(name_or_url), f"drive-{drive}" if drive else name or "download"


def direct_url(url: str) -> str:
    """A Google Drive link as the address of its bytes; any other URL as it is."""
    drive = _drive_id(url)
    return f"https://drive.usercontent.google.com/download?id={drive}&export=download&confirm=t" if drive else url


def _drive_id(url: str) -> str | None:
    match = re.match(r"https?://drive\.google\.com/(?:file/d/|(?:open|uc)\?(?:.*&)?id=)([\w-]+)", url)
    return match[1] if match else None


def download(url: str, target: Path, sha256: str | None = None, progress: Progress | None = None) -> DownloadedFile:
    """Fetch `url` to `target`, going on with what an earlier, broken attempt left.

    Args:
        url: http or https; a Google Drive link to a file is understood.
        target: the file to make; its folder is made, too.
        sha256: 64 hexadecimal digits that the file has to have; None: not checked.
        progress: see `Progress`.

    Raises InputError, in one sentence, if the server refuses or sends a page in place of the file, if the connection
    keeps breaking (what is there is kept for the next attempt), for a full disk, and for a wrong checksum (the file is
    deleted). Nothing half-written ever has the target's name.
    """
    expected = _checked_sha256(sha256)
    if target.is_dir():
        raise InputError(f"{target} is a folder; name a file in it.")
    if target.exists():
        if expected and sha256_of(target) == expected:
            return DownloadedFile(target, expected, target.stat().st_size)
        raise InputError(f"{target} exists already; name another file with --out, or delete it.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {target.parent} cannot be made ({error.strerror}).") from None
    partial, notes = _sibling(target, ".part"), _sibling(target, ".part.json")
    fetch = _Download(direct_url(url), partial, notes, progress)
    with httpx.Client(follow_redirects=True, timeout=TIMEOUT, headers=_HEADERS) as client:
        fetch.run(client)
    actual = sha256_of(partial)
    size = partial.stat().st_size
    notes.unlink(missing_ok=True)
    if expected and actual != expected:
        partial.unlink()
        raise InputError(
            f"The file from {url} has the SHA-256 {actual}, not {expected}: it is damaged or another one, and was "
            "deleted."
        )
    partial.replace(target)
    return DownloadedFile(target, actual, size)


_HEADERS = {"accept-encoding": "identity", "user-agent": f"perfrdiff/{__version__}"}


class _Download:
    """One download into its .part file."""

    def __init__(self, url: str, partial: Path, notes: Path, progress: Progress | None):
        self.url, self.partial, self.notes = url, partial, notes
        self.progress = progress or (lambda done, total: None)

    def run(self, client: httpx.Client) -> None:
        """Send requests until every byte is there; raises InputError after `TRIES` without a new one."""
        idle = 0
        while True:
            before = self._bytes_on_disk()
            try:
                if self._request(client):
                    return
                error = "the connection ended early"
            except httpx.TransportError as failure:
                error = str(failure) or type(failure).__name__
            except httpx.HTTPError as failure:
                raise InputError(f"{self.url} cannot be fetched ({failure}).") from None
            except OSError as failure:
                raise InputError(f"{self.partial} cannot be written ({failure.strerror}).") from None
            idle = 0 if self._bytes_on_disk() > before else idle + 1
            if idle >= TRIES:
                size = self._bytes_on_disk()
                resumable = f"; {size} bytes are kept, the same command goes on from there" * bool(size)
                raise InputError(f"{self.url} cannot be fetched ({error}){resumable}.")
            time.sleep(WAIT * 2 ** max(idle - 1, 0))

    def _bytes_on_disk(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _request(self, client: httpx.Client) -> bool:
        """One request for the missing bytes; returns whether the file is complete now."""
        notes = self._read_notes()
        headers = {}
        if notes and self._bytes_on_disk():
            # If the file has changed since, the server sends it whole.
            headers = {"range": f"bytes={self._bytes_on_disk()}-", "if-range": notes["version"]}
        with client.stream("GET", self.url, headers=headers) as answer:
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and headers:
                if self._bytes_on_disk() == notes["size"]:
                    return True
                self._discard()
                return False
            self._check_answer(answer)
            first = 0
            if answer.status_code == httpx.codes.PARTIAL_CONTENT:
                match = re.match(r"bytes (\d+)-\d*/(\d+|\*)", answer.headers.get("content-range", ""))
                if not match or int(match[1]) != self._bytes_on_disk():
                    self._discard()
                    return False
                first, total = int(match[1]), None if match[2] == "*" else int(match[2])
            else:
                length = answer.headers.get("content-length", "")
                total = int(length) if length.isdigit() else None
                self._write_notes(answer, total)
            self._check_disk_space(total, first)
            return self._write(answer, first, total)

    def _write(self, answer: httpx.Response, first: int, total: int | None) -> bool:
        done = first
        with self.partial.open("ab" if first else "wb") as file:
            self.progress(done, total)
            for piece in answer.iter_raw():
                file.write(piece)
                done += len(piece)
                self.progress(done, total)
        return total is None or done == total

    def _check_answer(self, answer: httpx.Response) -> None:
        """Raise for an answer that is not the file."""
        if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise InputError(f"The server answered {answer.status_code} {answer.reason_phrase} for {self.url}.")
        if "text/html" in answer.headers.get("content-type", "") and not self.url.endswith((".html", ".htm", "/")):
            raise InputError(
                f"{self.url} gave a web page in place of a file; open it in a browser, download the file there, and "
                "go on with that one. (Google Drive does so when a file was fetched too often, or asks for a click.)"
            )

    def _check_disk_space(self, total: int | None, first: int) -> None:
        if total is not None:
            check_disk_space(self.partial.parent, total - first)

    def _read_notes(self) -> dict | None:
        """What an earlier attempt at the same address noted; None: begin anew."""
        try:
            notes = json.loads(self.notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return notes if isinstance(notes, dict) and notes.get("url") == self.url and notes.get("version") else None

    def _write_notes(self, answer: httpx.Response, total: int | None) -> None:
        tag = answer.headers.get("etag", "")
        # A weak tag does not promise the same bytes, so it cannot be gone on from.
        version = tag if tag and not tag.startswith("W/") else answer.headers.get("last-modified", "")
        self.notes.write_text(json.dumps({"url": self.url, "version": version, "size": total}), encoding="utf-8")

    def _discard(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


def _sibling(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)


def _checked_sha256(sha256: str | None) -> str | None:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise InputError(f"A SHA-256 has 64 hexadecimal digits; '{sha256}' is none.")
    return sha256.lower() if sha256 else None
