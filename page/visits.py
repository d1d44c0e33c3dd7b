"""What each open tab, or client of the programming interface, has left on the disk."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections import defaultdict
from pathlib import Path

import gradio as gr

KEEP_SECONDS = 30 * 60  # an upload or a result is deleted after this time even if its tab stays open,
SWEEP_SECONDS = 5 * 60  # when it is next looked for
LATEST_MINUTES = (KEEP_SECONDS + SWEEP_SECONDS) // 60


class Visits:
    """What each session has left on the disk, so that it goes when the session ends."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where uploads and results are, and nothing else."""
        self.folder = folder
        self._paths: dict[str | None, set[Path]] = defaultdict(set)
        self._lock = threading.Lock()

    def keep(self, session: str | None, *paths: str | Path | None) -> None:
        """Remember files and folders of a session."""
        with self._lock:
            self._paths[session].update(Path(path) for path in paths if path)

    def new_folder(self, session: str | None, keep_earlier: bool = False) -> Path:
        """A folder for results; those of the session's earlier runs are deleted, unless they are to be kept."""
        with self._lock:
            for earlier in [path for path in self._paths[session] if path.is_dir() and not keep_earlier]:
                shutil.rmtree(earlier, ignore_errors=True)
                self._paths[session].discard(earlier)
        folder = self.folder / f"run-{secrets.token_hex(16)}"
        self.keep(session, folder)
        return folder

    def drop_earlier(self, session: str | None, latest: Path) -> None:
        """Delete the folders of the session's earlier runs: another has taken their place on the page."""
        with self._lock:
            earlier = {path for path in self._paths[session] if path.is_dir() and not path.name.startswith(latest.name)}
            self._paths[session] -= earlier
        for path in earlier:
            shutil.rmtree(path, ignore_errors=True)

    def forget(self, request: gr.Request) -> None:
        """Delete everything of a session, but for files that another uses as well (same content, same name)."""
        with self._lock:
            paths = self._paths.pop(request.session_hash, set())
            paths -= set().union(*self._paths.values())
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_relative_to(self.folder):
                path.unlink(missing_ok=True)
