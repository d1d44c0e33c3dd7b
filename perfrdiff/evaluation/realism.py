"""FRRea: the Fréchet distance between Inception features of rendered and of real frames (docs/method.md 11.2).

The Inception network is not shipped. Give any TorchScript module that maps images (N, 3, 299, 299), float 0 … 255, to
features (N, F); the challenge uses the pool features of the FID's Inception v3 (F = 2048). Numbers of different
feature networks cannot be compared. Frames are those of the videos in two folders; as published every frame counts.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from perfrdiff.errors import InputError
from perfrdiff.features.media.input import open_input

SIZE = 299  # pixels, what Inception v3 takes
BATCH = 32
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi")


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of the normal distributions fitted to features (N, F) and (M, F)."""
    if len(a) < 2 or len(b) < 2:
        raise InputError(f"FRRea was asked for {len(a)} and {len(b)} frames; at least 2 of each are needed.")
    cov_a, cov_b = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    root = sqrtm(cov_a @ cov_b)
    if not np.isfinite(root).all():  # nearly singular: fewer frames than features
        nudge = 1e-6 * np.eye(len(cov_a))
        root = sqrtm((cov_a + nudge) @ (cov_b + nudge))
    mean_distance = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return float(mean_distance + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(np.real(root)))


def load_network(path: Path, device: str = "cpu") -> torch.jit.ScriptModule:
    """The feature network. Raises InputError for a file that is no TorchScript module."""
    if not path.is_file():
        raise InputError(f"There is no feature network {path}; FRRea needs Inception v3 as a TorchScript file.")
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        first = str(error).strip().split("\n")[0][:120]
        raise InputError(f"{path} is no TorchScript module ({first}); FRRea needs Inception v3 as one.") from None


def features(network, frames: Iterator[np.ndarray], device: str = "cpu") -> np.ndarray:
    """Features (N, F) of frames (H, W, 3) uint8 RGB."""
    batches, pending = [], []

    def run_batch() -> None:
        images = np.stack([cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR) for frame in pending])
        rows = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            out: Tensor = network(rows)
        batches.append(out.flatten(1).double().cpu().numpy())
        pending.clear()

    for frame in frames:
        pending.append(frame)
        if len(pending) == BATCH:
            run_batch()
    if pending:
        run_batch()
    return np.concatenate(batches) if batches else np.zeros((0, 1))


def frames_of(folder: Path) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) of every video in a folder and below it."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS) if folder.is_dir() else []
    if not paths:
        raise InputError(f"There are no videos ({', '.join(VIDEOS)}) in {folder}.")
    for path in paths:
        with open_input(path) as media:
            yield from media.frames()


def realism(network: Path, rendered: Path, real: Path, device: str = "cpu") -> float:
    """FRRea of the videos in two folders.

    Raises InputError for a folder without videos, fewer than two frames, and a file that is no TorchScript module.
    """
    inception = load_network(network, device)
    return frechet(*(features(inception, frames_of(folder), device) for folder in (rendered, real)))
