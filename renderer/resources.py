"""Where the files lie that belong to the program: assets and weights.

In a checkout they are the folders `assets` and `checkpoints` at the top; an installed package has the same two in
`perfrdiff_data`, beside its modules (pyproject.toml puts them there).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

__all__ = ["PIRENDER_FILES", "asset", "checkpoint_folder", "pirender_weights", "read_official"]

PIRENDER_FILES = ("pirender.safetensors", "cur_model_fold.pth")
"""PIRender's weights as `python -m renderer.portrait.pirender` leaves them, and as REACT publishes them."""

_BESIDE_MODULES = Path(__file__).resolve().parents[1]
_INSTALLED = _BESIDE_MODULES / "perfrdiff_data"
_DATA = _INSTALLED if _INSTALLED.is_dir() else _BESIDE_MODULES


def asset(path: str) -> Path:
    """The path of a file or folder below `assets`, such as asset("face/head.npz"); whether it exists is not checked."""
    return _DATA / "assets" / path


def read_official(path: Path, sha256: str, what: str, error: type[ValueError]) -> bytes:
    """The bytes of a model that comes with the program. `what` it is, as in "face tracker".

    Raises `error`, in one sentence, where the file is missing or has another checksum.
    """
    try:
        content = path.read_bytes()
    except OSError:
        raise error(f"The {what}'s model {path} is missing; restore it from the repository.") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise error(f"The {what}'s model {path} is not the official file; restore it from the repository.")
    return content


def checkpoint_folder() -> Path:
    """The folder that all weights are read from and imported into, of the generator and of PIRender alike.

    The environment variable PERFRDIFF_CHECKPOINTS names it; otherwise it is the one that came with the program.
    """
    chosen = os.environ.get("PERFRDIFF_CHECKPOINTS")
    return Path(chosen) if chosen else _DATA / "checkpoints"


def pirender_weights(folder: Path | None = None) -> Path | None:
    """The weights of PIRender's 58-coefficient variant, or None: the first of `PIRENDER_FILES` that is there.

    folder: where they may lie, or in its folder `pirender`; None: `checkpoint_folder`.
    """
    folder = folder or checkpoint_folder()
    candidates = [place / name for place in (folder, folder / "pirender") for name in PIRENDER_FILES]
    return next((path for path in candidates if path.is_file()), None)
