"""PWSG, the weight editor (spec section 9, "Hypernet"): shifts of the *trained* generator's weights from a style.

Published: one speaker at a time, a full matrix per weight, SGD. A low-rank editor and larger batches train alike.
"""

import torch
from torch import Tensor, nn

from perfrdiff.data.react import ReactData
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor, edited_weights
from perfrdiff.published.inference import PublishedModel
from perfrdiff.published.settings import DataSettings, DiffusionLossSettings
from perfrdiff.published.training import draw
from perfrdiff.training.react_batches import cut, order_of, start_of, step_rng
from perfrdiff.training.react_generator import Batch, losses_of, paired_batch, share_of


class EditorModel(nn.Module):
    """The editor is trained; generator, autoencoder and style encoder are frozen.

    `dropout` leaves the frozen networks' dropout on, as the published training does.
    """

    def __init__(
        self,
        editor: WeightEditor,
        generator: PublishedModel,
        encoder: StyleEncoder,
        weights: DiffusionLossSettings,
        dropout: bool = False,
    ):
        super().__init__()
        self.editor, self.encoder = editor, encoder
        self.denoiser, self.prior, self.autoencoder = generator.denoiser, generator.prior, generator.autoencoder
        for frozen in self._frozen():
            frozen.requires_grad_(False)
        self.weights, self.dropout = weights, dropout

    def _frozen(self) -> tuple[nn.Module, ...]:
        return self.encoder, self.denoiser, self.prior, self.autoencoder

    def train(self, mode: bool = True) -> "EditorModel":
        super().train(mode)
        for frozen in self._frozen():
            frozen.train(mode and self.dropout)
        return self

    def networks(self) -> PublishedModel:
        return PublishedModel(self.denoiser, self.autoencoder, prior=self.prior)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            style = self.encoder(batch["behaviour"])
        shifts = self.editor(style)
        config = self.editor.config
        edits = shifts if config.rank else edited_weights(self.denoiser, shifts, predict=config.predict)
        return losses_of(self.networks(), batch, self.weights, edits)


class EditorStage:
    """A speaker, one appropriate listener, and another clip of that listener to read the style from."""

    name = "weight editor"

    def __init__(self, model: EditorModel, data: ReactData, settings: DataSettings, seed: int, processes: int = 1):
        self.model, self.data, self.settings, self.seed = model, data, settings, seed
        self.order = order_of(data, settings, seed, processes)

    @property
    def rounds(self) -> int:
        return self.order.per_epoch

    def batch(self, step: int, share: tuple[int, int]) -> Batch:
        rng, generator = step_rng(self.seed, step)
        entries, length = self.order.at(step), self.settings.clip_length
        targets = [self.data.targets(i, 1, rng) for i in entries]
        personal = [self.data.personal(i, own[0], rng) for i, own in zip(entries, targets, strict=True)]
        starts = [start_of(self.settings, rng) for _ in entries]
        networks = self.model.networks()
        draws = draw(networks, len(entries), 1, length, generator, rng)
        batch = paired_batch(self.data, length, networks, entries, targets, starts, draws, share)
        mine = share_of(len(entries), share)
        rows = [cut(self.data, self.data.entries[j].listener, 0, length, "coefficients") for j in personal[mine]]
        return batch | {"behaviour": torch.stack(rows)}
