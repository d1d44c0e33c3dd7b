"""PSSL, the style encoder (docs/method.md): clips of the same listener together, others apart."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from perfrdiff.data.react2024.dataset import ReactData
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.published.config.settings import ContrastiveLossSettings, DataSettings
from perfrdiff.published.losses import contrastive
from perfrdiff.training.paper.batches import DataStage, cut, start_of, step_rng


class StyleModel(nn.Module):
    """A share of the clips (M, frames, 58), padded, and everybody's persons (N,) -> losses.

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
        clips = [entry.listener for entry in data.entries]
        self.persons = {who: number for number, who in enumerate(sorted(set(data.listeners)))}
        self.of_person: dict[str, list[str]] = {}
        for path, who in zip(clips, data.listeners, strict=True):
            self.of_person.setdefault(who, []).append(path)
        self.appropriate_only = any(
            len(paths) > 1 for i in range(len(data)) for paths in self._groups(i, False).values()
        )

    def _groups(self, entry: int, fill: bool) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for j in self.data.appropriate(entry):
            who = self.data.listeners[j]
            found.setdefault(who, [])
            for path in self.of_person[who] if fill else [self.data.entries[j].listener]:
                if path not in found[who]:
                    found[who].append(path)
        return found

    def batch(self, step: int, share: tuple[int, int]) -> dict[str, object] | None:
        rng, _ = step_rng(self.seed, step)
        paths, person = [], []
        for entry in self.order.at(step):
            groups = {who: own for who, own in self._groups(entry, not self.appropriate_only).items() if len(own) > 1}
            kept = sorted(groups)
            if len(kept) > self.settings.num_sample:
                kept = [kept[i] for i in rng.permutation(len(kept))[: self.settings.num_sample]]
            for who in kept:
                own = [groups[who][i] for i in rng.permutation(len(groups[who]))[: self.settings.num_person]]
                paths += own
                person += [self.persons[who]] * len(own)
        if len(set(person)) < 2:
            return None
        starts = [start_of(self.settings, rng) for _ in paths]
        each = -(-len(paths) // share[1])
        mine = np.minimum(np.arange(share[0] * each, (share[0] + 1) * each), len(paths) - 1)  # padded with the last
        rows = [cut(self.data, paths[i], starts[i], self.settings.clip_length, "coefficients") for i in mine]
        return {"clips": torch.stack(rows), "person": torch.tensor(person), "processes": share[1]}
