"""What each open tab has left on the disk."""

import secrets
import shutil
import threading
from collections import defaultdict
from pathlib import Path

import gradio as gr


class Visits:
    """What each open tab has left on the disk, so that it goes when the tab is closed."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where uploads and results are, and nothing else."""
        self._folder = folder
        self._files: dict[str, set[Path]] = defaultdict(set)
        self._lock = threading.Lock()

    def keep(self, visit: str, *files: str | Path | None) -> None:
        with self._lock:
            self._files[visit].update(Path(file) for file in files if file)

    def new_folder(self, visit: str) -> Path:
        """A folder for results; those of the visit's earlier run are deleted."""
        with self._lock:
            for old in [path for path in self._files[visit] if path.is_dir()]:
                shutil.rmtree(old, ignore_errors=True)
                self._files[visit].discard(old)
        folder = self._folder / f"run-{secrets.token_hex(16)}"
        self.keep(visit, folder)
        return folder

    def forget(self, request: gr.Request) -> None:
        """Delete everything of a visit, but for files that another open tab uses as well (same content, same name)."""
        with self._lock:
            files = self._files.pop(request.session_hash, set())
            files -= set().union(*self._files.values())
        for path in files:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_relative_to(self._folder):
                path.unlink(missing_ok=True)
