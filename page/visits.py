"""What each open tab, or client of the programming interface, has left on the disk and in memory, until it goes."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from page.jobs import GRACE_SECONDS, Job
from page.loading import heavy
from page.owners import Owners

if TYPE_CHECKING:
    from perfrdiff.pipeline.input_memory import InputMemory

KEEP_SECONDS = 30 * 60  # an upload or a result is deleted after this time even if its tab stays open,
SWEEP_SECONDS = 5 * 60  # when it is next looked for
LATEST_MINUTES = (KEEP_SECONDS + SWEEP_SECONDS) // 60


@dataclass(eq=False)
class Visit:
    """One session: a tab from its loading to its unloading, or a client."""

    paths: set[Path] = field(default_factory=set)
    inputs: dict[str, str] = field(default_factory=dict)  # "speaker", "listener" -> the file it has now
    job: Job | None = None  # the latest run
    is_left: bool = False

    @cached_property
    def memory(self) -> InputMemory:
        """Who was read: nobody is tracked twice."""
        return heavy("perfrdiff.pipeline.input_memory").InputMemory()


class Visits:
    """What each session has left, so that it goes when the session ends.

    A reloaded tab is another session; it names itself by a secret of its own (`token`) and takes over what the one
    before it had. So nothing is deleted before `GRACE_SECONDS` after a tab is left.
    """

    def __init__(self, folder: Path, owners: Owners | None = None) -> None:
        """`folder`: where uploads and results are, and nothing else; `owners`: who is told whose they are."""
        self.folder, self._owners = folder, owners or Owners(folder)
        self._visits: dict[str | None, Visit] = {}
        self._tabs: dict[str, Visit] = {}
        self._awaited: set[Path] = set()
        self._lock = threading.Lock()

    def of(self, session: str | None) -> Visit:
        """What a session has."""
        with self._lock:
            return self._visits.setdefault(session, Visit())

    def enter(self, session: str | None, token: str) -> Visit:
        """What a tab had before it was loaded again, which from now on is this session's; nothing for a new tab."""
        with self._lock:
            visit = self._tabs.setdefault(token, Visit()) if token else Visit()
            visit.is_left = False
            self._visits[session] = visit
            return visit

    def keep(self, session: str | None, *paths: str | Path | None) -> None:
        """Remember files of a session. A folder, or a file of another's, is not remembered: what is, is deleted."""
        key = self._owners.key_of(session)
        for path in map(Path, filter(None, paths)):
            if not path.is_dir() and self._owners.may_have(path, key):
                self.of(session).paths.add(path)

    def new_folder(self, session: str | None, kind: str = "run") -> Path:
        """A place for a folder of results; `kind`: "look" for what belongs to an input, in place of a run."""
        folder = self.folder / f"{kind}-{secrets.token_hex(16)}"
        self.keep_folder(session, folder)
        return folder

    def keep_folder(self, session: str | None, folder: Path) -> None:
        """Remember a folder that the server itself makes for a session, which alone may read it."""
        self.of(session).paths.add(folder)
        self._owners.claim(folder, self._owners.key_of(session))

    def drop_earlier(self, session: str | None, latest: Path) -> None:
        """Delete the folders of the session's earlier runs: another has taken their place on the page."""
        visit = self.of(session)
        runs = {path for path in visit.paths if path.name.startswith("run-") and path.is_dir()}
        for path in runs:
            if not path.name.startswith(latest.name):
                visit.paths.discard(path)
                shutil.rmtree(path, ignore_errors=True)
                self._owners.forget(path)

    def forget(self, request: gr.Request) -> None:
        """Delete everything of a session, unless its tab is loaded again within `GRACE_SECONDS`."""
        with self._lock:
            visit = self._visits.pop(request.session_hash, None)
            if visit is None or visit in self._visits.values():
                return
            visit.is_left = True
        _later(self._delete, visit)

    def _delete(self, visit: Visit) -> None:
        """Delete what a visit left, but for files that another uses as well (same content, same name)."""
        with self._lock:
            if not visit.is_left:
                return
            self._tabs = {token: other for token, other in self._tabs.items() if other is not visit}
            paths = visit.paths - self._used()
        if "memory" in vars(visit):
            visit.memory.forget()
        self._remove(paths)

    def _used(self) -> set[Path]:
        """What those have who are there."""
        return set().union(*(visit.paths for visit in (*self._visits.values(), *self._tabs.values())))

    def _remove(self, paths: set[Path]) -> None:
        """Delete files that nobody uses, but for those that somebody has just sent: until they are used nobody knows by
        whom, and they are looked at again."""
        awaited = set(filter(self._owners.is_awaited, paths))
        with self._lock:
            is_looked_at = bool(self._awaited)
            self._awaited |= awaited
        if awaited and not is_looked_at:
            _later(self._look_again)
        for path in paths - awaited:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_relative_to(self.folder):
                path.unlink(missing_ok=True)
            self._owners.forget(path)

    def _look_again(self) -> None:
        with self._lock:
            paths, self._awaited = self._awaited - self._used(), set()
        self._remove(paths)


def _later(function: Callable[..., None], *arguments: object) -> None:
    """Call it after `GRACE_SECONDS`, if the server is still there."""
    timer = threading.Timer(GRACE_SECONDS, function, arguments)
    timer.daemon = True
    timer.start()
