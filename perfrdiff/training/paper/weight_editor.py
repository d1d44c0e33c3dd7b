"""PWSG, the weight editor (docs/method.md): shifts of the *trained* generator's weights from a style.

Published: one speaker at a time, a full matrix per weight, SGD. A low-rank editor and larger batches train alike.
"""

import numpy as np
import torch
from torch import Tensor, nn

from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor, edited_weights
from perfrdiff.published.config.settings import DiffusionLossSettings
from perfrdiff.published.inference import PublishedModel
from perfrdiff.training.paper.batches import process_rows, stream_crop
from perfrdiff.training.paper.generator import Batch, GeneratorStage, compute_losses


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
        return compute_losses(self.networks(), batch, self.weights, edits)


class EditorStage(GeneratorStage):
    """A speaker, one appropriate listener, and another clip of that listener that shows the style."""

    name = "weight editor"
    samples = 1

    def extra_inputs(
        self, entries: np.ndarray, targets: list[list[int]], share: tuple[int, int], rng: np.random.Generator
    ) -> Batch:
        """Behaviour (B, frames, 58) that shows each listener's style, from the first frame on."""
        personal = [
            self.data.draw_style_entry(i, clip_targets[0], rng)
            for i, clip_targets in zip(entries, targets, strict=True)
        ]
        rows_of_process, length = process_rows(len(entries), share), self.settings.clip_length
        clips = [
            stream_crop(self.data, self.data.entries[j].listener, 0, length, "coefficients")
            for j in personal[rows_of_process]
        ]
        return {"behaviour": torch.stack(clips)}
