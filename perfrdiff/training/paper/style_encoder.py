"""PSSL, the style encoder (docs/method.md): clips of the same listener together, others apart."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from perfrdiff.data.react2024.dataset import ReactData
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.published.config.settings import ContrastiveLossSettings, DataSettings
from perfrdiff.published.losses import contrastive
from perfrdiff.training.paper.batches import DataStage, draw_start, step_rng, stream_crop


class StyleModel(nn.Module):
    """A share of the clips (M, frames, 58), padded, and the person (N,) of every clip of the batch -> losses.

    The loss needs all clips at once, so styles are gathered from all processes, with their gradients.
    """

    def __init__(self, encoder: StyleEncoder, settings: ContrastiveLossSettings):
        super().__init__()
        self.encoder = encoder
        self.settings = settings

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        style = self.encoder(batch["clips"])
        if batch["processes"] > 1:
            style = torch.cat(all_gather(style.contiguous()))
        style = style[: len(batch["person"])].float()
        loss = contrastive(style, batch["person"], self.settings.temperature, self.settings.base_temperature)
        return {"total": loss}


class StyleStage(DataStage):
    """Per entry: its appropriate clips, grouped by listener; listeners with one clip are left out, at most
    `num_person` clips of a listener and `num_sample` listeners are kept.

    Where no entry has two appropriate clips of the same listener (so in data that 'simulate' wrote), a listener's other
    clips take their place.
    """

    name = "style encoder"

    def __init__(self, model: StyleModel, data: ReactData, settings: DataSettings, seed: int):
        super().__init__(model, data, settings, seed)  # clips, not entries, are shared among the processes
        self.person_numbers = {listener: number for number, listener in enumerate(sorted(set(data.listeners)))}
        self.clips_of_listener: dict[str, list[str]] = {}
        for entry, listener in zip(data.entries, data.listeners, strict=True):
            self.clips_of_listener.setdefault(listener, []).append(entry.listener)
        self.appropriate_only = any(
            len(paths) > 1 for i in range(len(data)) for paths in self._clips_by_listener(i, False).values()
        )

    def _clips_by_listener(self, entry: int, use_all_clips: bool) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for j in self.data.appropriate(entry):
            listener = self.data.listeners[j]
            groups.setdefault(listener, [])
            for path in self.clips_of_listener[listener] if use_all_clips else [self.data.entries[j].listener]:
                if path not in groups[listener]:
                    groups[listener].append(path)
        return groups

    def batch(self, step: int, share: tuple[int, int]) -> dict[str, object] | None:
        rng, _ = step_rng(self.seed, step)
        paths, person = [], []
        for entry in self.order.batch_entries(step):
            groups = self._clips_by_listener(entry, not self.appropriate_only)
            listeners = sorted(listener for listener, clips in groups.items() if len(clips) > 1)
            if len(listeners) > self.settings.num_sample:
                listeners = [listeners[i] for i in rng.permutation(len(listeners))[: self.settings.num_sample]]
            for listener in listeners:
                clips = groups[listener]
                clips = [clips[i] for i in rng.permutation(len(clips))[: self.settings.num_person]]
                paths += clips
                person += [self.person_numbers[listener]] * len(clips)
        if len(set(person)) < 2:
            return None
        starts = [draw_start(self.settings, rng) for _ in paths]
        per_process = -(-len(paths) // share[1])
        rows = np.arange(share[0] * per_process, (share[0] + 1) * per_process)
        process_rows = np.minimum(rows, len(paths) - 1)  # padded with the last
        crops = [
            stream_crop(self.data, paths[i], starts[i], self.settings.clip_length, "coefficients") for i in process_rows
        ]
        return {"clips": torch.stack(crops), "person": torch.tensor(person), "processes": share[1]}
