"""Sequence autoencoders (docs/method.md): attributes -> attributes and coefficients, or the other way round."""

import torch
from torch import Tensor, nn

from perfrdiff.data.react2024.dataset import ReactData
from perfrdiff.models.autoencoder import WindowAutoencoder
from perfrdiff.published.config.settings import AutoencoderLossSettings, DataSettings
from perfrdiff.published.losses import autoencoder_loss
from perfrdiff.training.paper.batches import DataStage, draw_start, process_rows, step_rng, stream_crop


class AutoencoderModel(nn.Module):
    """A batch of frames (B, L, features), regressed (B, L, ·), noise (B, n, code) -> losses."""

    def __init__(self, autoencoder: WindowAutoencoder, weights: AutoencoderLossSettings):
        super().__init__()
        self.autoencoder = autoencoder
        self.weights = weights

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        reconstruction = self.autoencoder(batch["frames"], batch["noise"].flatten(0, 1) if self.training else None)
        loss = autoencoder_loss(reconstruction, batch["frames"], batch["regressed"])
        weights = self.weights
        total = weights.frames * loss.frames + weights.kld * loss.kld + weights.regressed * loss.regressed
        return {"total": total, "frames": loss.frames, "kld": loss.kld, "regressed": loss.regressed}


class AutoencoderStage(DataStage):
    """Crops of every entry's listener; as entries come with both roles, every clip of the split."""

    def __init__(
        self, name: str, model: AutoencoderModel, data: ReactData, settings: DataSettings, seed: int, processes: int = 1
    ):
        super().__init__(model, data, settings, seed, processes)
        self.name = name
        self.streams = ("attributes", "coefficients")
        if name != "autoencoder":
            self.streams = self.streams[::-1]

    def batch(self, step: int, share: tuple[int, int]) -> dict[str, Tensor]:
        rng, generator = step_rng(self.seed, step)
        config = self.model.autoencoder.config
        entries = self.order.batch_entries(step)
        starts = [draw_start(self.settings, rng) for _ in entries]
        length = self.settings.clip_length // config.window * config.window
        noise = torch.randn((len(entries), length // config.window, config.code), generator=generator)
        rows = process_rows(len(entries), share)

        def stream(name: str) -> Tensor:
            crops = zip(entries[rows], starts[rows], strict=True)
            return torch.stack(
                [stream_crop(self.data, self.data.entries[i].listener, s, length, name) for i, s in crops]
            )

        return {"frames": stream(self.streams[0]), "regressed": stream(self.streams[1]), "noise": noise[rows]}
