"""The directions in which heads differ, for the built-in face model."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from renderer.errors import RenderError
from renderer.resources import asset

IDENTITY_BASIS = asset("face/identity.npz")


@dataclass(frozen=True)
class IdentityBasis:
    """Heads as mean_shape + components · coefficients, in the frame and units of the built-in head."""

    components: np.ndarray  # (V, 3, K) float32; coefficients are N(0, 1) among people
    landmark_mirror: np.ndarray  # (468,) int64, each MediaPipe landmark's twin on the other side of the face


@cache
def load_identity_basis(path: Path = IDENTITY_BASIS) -> IdentityBasis:
    """The basis that tools/build_identity.py made; one copy is kept. Raises RenderError when it cannot be read."""
    if not path.is_file():
        raise RenderError(f"There is no identity basis at {path}; `python -m tools.build_identity` makes it.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            components = archive["components"].astype(np.float32)
            mirror = archive["landmark_mirror"].astype(np.int64)
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise RenderError(f"{path} is not an identity basis; `python -m tools.build_identity` makes it.") from error
    return IdentityBasis(np.ascontiguousarray(components.reshape(len(components) // 3, 3, -1)), mirror)
