"""Fetching a published file when a person asks for it: resumed where it broke off, checked, whole or not at all.

Nothing here runs by itself. What is on its way lies beside the target as `NAME.part`, with what is known of it in
`NAME.part.json`; the target's own name appears only when every byte is there and right.
"""

import hashlib
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
from perfrdiff.files import check_room

TRIES = 4  # attempts without a new byte before giving up
WAIT = 2.0  # seconds before the second attempt, doubled before each further one
TIMEOUT = 60.0  # seconds without an answer

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes there will be, None where the server does not say."""


@dataclass(frozen=True)
class Published:
    """A file that the authors publish."""

    url: str  # the page that a browser opens
    name: str  # what to call the file
    what: str
    then: str  # what to do with it


PUBLISHED = {
    "paper-emotion": Published(
        "https://drive.google.com/file/d/1Drdq3WnQjuOM9GxptC3UsTn_JSsn8_M-/view",
        "perfrdiff-emotion-checkpoints.zip",
        "the emotion variant's checkpoints (repository xk0720/PerFRDiff)",
        "python -m perfrdiff import-weights {path}",
    ),
    "paper-render": Published(
        "https://drive.google.com/file/d/1VjiPqq0uZPigXzTdBnO49srIYVobgHNN/view",
        "perfrdiff-render-checkpoints.zip",
        "the render variant's checkpoints (repository xk0720/PerFRDiffRender)",
        "python -m perfrdiff import-weights {path}",
    ),
    "external": Published(
        "https://drive.google.com/file/d/14Z1vFbu4Amren8TjS_PEIZZVIqWdikm5/view",
        "perfrdiff-external.zip",
        "the mean face, FaceVerse v2 and the re-trained PIRender (CC BY-NC 4.0: not for commercial use)",
        "unpack it, then python -m perfrdiff import-weights ... --external external",
    ),
}
"""Name for `python -m perfrdiff download` -> the authors' file. They publish no checksums."""


@dataclass(frozen=True)
class Fetched:
    """A file that is here now, whole."""

    path: Path
    sha256: str
    size: int  # bytes


def address(name_or_url: str) -> tuple[str, str]:
    """A name of `PUBLISHED` or a URL -> the URL of the bytes, and a file name. Raises InputError for anything else."""
    if name_or_url in PUBLISHED:
        published = PUBLISHED[name_or_url]
        return direct(published.url), published.name
    parts = urlsplit(name_or_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(
            f"'{name_or_url}' is neither a http(s) address nor one of the published files {', '.join(PUBLISHED)}."
        )
    name = Path(unquote(parts.path)).name
    drive = _drive_id(name_or_url)
    return direct(name_or_url), f"drive-{drive}" if drive else name or "download"


def direct(url: str) -> str:
    """A Google Drive link as the address of its bytes; any other URL as it is."""
    drive = _drive_id(url)
    return f"https://drive.usercontent.google.com/download?id={drive}&export=download&confirm=t" if drive else url


def _drive_id(url: str) -> str | None:
    match = re.match(r"https?://drive\.google\.com/(?:file/d/|(?:open|uc)\?(?:.*&)?id=)([\w-]+)", url)
    return match[1] if match else None


def download(url: str, target: Path, sha256: str | None = None, progress: Progress | None = None) -> Fetched:
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
    wanted = _checked_sum(sha256)
    if target.is_dir():
        raise InputError(f"{target} is a folder; name a file in it.")
    if target.exists():
        if wanted and _sum(target).hexdigest() == wanted:
            return Fetched(target, wanted, target.stat().st_size)
        raise InputError(f"{target} exists already; name another file with --out, or delete it.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {target.parent} cannot be made ({error.strerror}).") from None
    part, about = _beside(target, ".part"), _beside(target, ".part.json")
    fetch = _Fetch(direct(url), part, about, progress)
    with httpx.Client(follow_redirects=True, timeout=TIMEOUT, headers=_HEADERS) as client:
        fetch.run(client)
    found = _sum(part).hexdigest()
    size = part.stat().st_size
    about.unlink(missing_ok=True)
    if wanted and found != wanted:
        part.unlink()
        raise InputError(
            f"The file from {url} has the SHA-256 {found}, not {wanted}: it is damaged or another one, and was deleted."
        )
    part.replace(target)
    return Fetched(target, found, size)


_HEADERS = {"accept-encoding": "identity", "user-agent": f"perfrdiff/{__version__}"}


class _Fetch:
    """One file on its way into its .part."""

    def __init__(self, url: str, part: Path, about: Path, progress: Progress | None):
        self.url, self.part, self.about = url, part, about
        self.progress = progress or (lambda done, whole: None)

    def run(self, client: httpx.Client) -> None:
        """Ask until every byte is there."""
        idle = 0
        while True:
            before = self._here()
            try:
                if self._ask(client):
                    return
                error = "the connection ended early"
            except httpx.TransportError as broken:
                error = str(broken) or type(broken).__name__
            except httpx.HTTPError as wrong:
                raise InputError(f"{self.url} cannot be fetched ({wrong}).") from None
            except OSError as full:
                raise InputError(f"{self.part} cannot be written ({full.strerror}).") from None
            idle = 0 if self._here() > before else idle + 1
            if idle >= TRIES:
                kept = f"; {self._here()} bytes are kept, the same command goes on from there" * bool(self._here())
                raise InputError(f"{self.url} cannot be fetched ({error}){kept}.")
            time.sleep(WAIT * 2 ** max(idle - 1, 0))

    def _here(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _ask(self, client: httpx.Client) -> bool:
        """One request for what is missing; whether the file is whole now."""
        known = self._known()
        headers = {}
        if known and self._here():
            # If the file has changed since, the server sends it whole.
            headers = {"range": f"bytes={self._here()}-", "if-range": known["version"]}
        with client.stream("GET", self.url, headers=headers) as answer:
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and headers:
                if self._here() == known["size"]:
                    return True
                self._forget()
                return False
            self._refuse(answer)
            first = 0
            if answer.status_code == httpx.codes.PARTIAL_CONTENT:
                match = re.match(r"bytes (\d+)-\d*/(\d+|\*)", answer.headers.get("content-range", ""))
                if not match or int(match[1]) != self._here():
                    self._forget()
                    return False
                first, whole = int(match[1]), None if match[2] == "*" else int(match[2])
            else:
                length = answer.headers.get("content-length", "")
                whole = int(length) if length.isdigit() else None
                self._remember(answer, whole)
            self._room(whole, first)
            return self._write(answer, first, whole)

    def _write(self, answer: httpx.Response, first: int, whole: int | None) -> bool:
        done = first
        with self.part.open("ab" if first else "wb") as file:
            self.progress(done, whole)
            for piece in answer.iter_raw():
                file.write(piece)
                done += len(piece)
                self.progress(done, whole)
        return whole is None or done == whole

    def _refuse(self, answer: httpx.Response) -> None:
        """Raise for an answer that is not the file."""
        if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise InputError(f"The server answered {answer.status_code} {answer.reason_phrase} for {self.url}.")
        if "text/html" in answer.headers.get("content-type", "") and not self.url.endswith((".html", ".htm", "/")):
            raise InputError(
                f"{self.url} gave a web page in place of a file; open it in a browser, download the file there, and "
                "go on with that one. (Google Drive does so when a file was fetched too often, or asks for a click.)"
            )

    def _room(self, whole: int | None, first: int) -> None:
        if whole is not None:
            check_room(self.part.parent, whole - first)

    def _known(self) -> dict | None:
        """What an earlier attempt at the same address noted; None: begin anew."""
        try:
            known = json.loads(self.about.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return known if isinstance(known, dict) and known.get("url") == self.url and known.get("version") else None

    def _remember(self, answer: httpx.Response, whole: int | None) -> None:
        tag = answer.headers.get("etag", "")
        # A weak tag does not promise the same bytes, so it cannot be gone on from.
        version = tag if tag and not tag.startswith("W/") else answer.headers.get("last-modified", "")
        self.about.write_text(json.dumps({"url": self.url, "version": version, "size": whole}), encoding="utf-8")

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.about.unlink(missing_ok=True)


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)


def _checked_sum(sha256: str | None) -> str | None:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise InputError(f"A SHA-256 has 64 hexadecimal digits; '{sha256}' is none.")
    return sha256.lower() if sha256 else None


def _sum(path: Path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")
