"""Batches of the paper's stages: which entries of a REACT split a step learns from, and which process takes which."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from perfrdiff.data.react2024.dataset import FRAMES, ReactData, draw_crop_start
from perfrdiff.errors import InputError
from perfrdiff.published.config.settings import DataSettings

STEP_SEED = 7_919


@dataclass(frozen=True)
class EntryOrder:
    """Index entries in the order in which they are learnt from: every epoch its own permutation.

    Entries left over at the end of an epoch, fewer than a batch, are left out.
    """

    entries: int
    batch: int
    seed: int
    shuffle: bool = True

    def __post_init__(self):
        if self.batch > self.entries:
            raise InputError(f"Batches of {self.batch} were asked for; the split has {self.entries} entries.")

    @property
    def per_epoch(self) -> int:
        return self.entries // self.batch

    def batch_entries(self, step: int) -> np.ndarray:
        """Index entries (batch,) of a step."""
        epoch, position = divmod(step, self.per_epoch)
        rng = np.random.default_rng([self.seed, 1, epoch])
        order = rng.permutation(self.entries) if self.shuffle else np.arange(self.entries)
        return order[position * self.batch : (position + 1) * self.batch]


def step_rng(seed: int, step: int) -> tuple[np.random.Generator, torch.Generator]:
    """Random generators of one step, the same in every process."""
    return np.random.default_rng([seed, 2, step]), torch.Generator().manual_seed(seed * STEP_SEED + step)


def entry_order(data: ReactData, settings: DataSettings, seed: int, processes: int) -> EntryOrder:
    """Raises InputError where the batch cannot be shared evenly or a crop is longer than the clips."""
    if settings.batch_size % processes:
        raise InputError(
            f"A batch of {settings.batch_size} cannot be shared by {processes} processes; give a --batch-size that can."
        )
    if settings.clip_length > FRAMES:
        raise InputError(f"clip_length is {settings.clip_length}; the clips of REACT 2024 have {FRAMES} frames.")
    return EntryOrder(len(data), settings.batch_size, seed, settings.shuffle)


class DataStage:
    """A stage whose batches are entries of a split; `order` says which."""

    name: str

    def __init__(self, model: nn.Module, data: ReactData, settings: DataSettings, seed: int, processes: int = 1):
        self.model, self.data, self.settings, self.seed = model, data, settings, seed
        self.order = entry_order(data, settings, seed, processes)

    @property
    def validation_batches(self) -> int:
        return self.order.per_epoch


def stream_crop(data: ReactData, path: str, start: int, length: int, stream: str) -> Tensor:
    """(length, channels) of a clip's stream: attributes, coefficients or audio."""
    return torch.from_numpy(getattr(data.clips[path], stream)[start : start + length])


def draw_start(settings: DataSettings, rng: np.random.Generator) -> int:
    return draw_crop_start(FRAMES, settings.clip_length, rng)


def process_rows(rows: int, share: tuple[int, int]) -> slice:
    """Which of the rows process share[0] of share[1] takes; they are a multiple of the processes."""
    per_process = rows // share[1]
    return slice(share[0] * per_process, (share[0] + 1) * per_process)
