"""Sequence autoencoders (docs/method.md): attributes -> attributes and coefficients, or the other way round."""

import torch
from torch import Tensor, nn

from perfrdiff.data.react2024.dataset import ReactData
from perfrdiff.models.autoencoder import WindowAutoencoder
from perfrdiff.published.config.settings import AutoencoderLossSettings, DataSettings
from perfrdiff.published.losses import autoencoder_loss
from perfrdiff.training.paper.batches import DataStage, cut, share_of, start_of, step_rng


class AutoencoderModel(nn.Module):
    """A batch of frames (B, L, features), regressed (B, L, ·), noise (B, n, code) -> losses."""

    def __init__(self, autoencoder: WindowAutoencoder, weights: AutoencoderLossSettings):
        super().__init__()
        self.autoencoder = autoencoder
        self.weights = weights

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        made = self.autoencoder(batch["frames"], batch["noise"].flatten(0, 1) if self.training else None)
        loss = autoencoder_loss(made, batch["frames"], batch["regressed"])
        w = self.weights
        total = w.frames * loss.frames + w.kld * loss.kld + w.regressed * loss.regressed
        return {"total": total, "frames": loss.frames, "kld": loss.kld, "regressed": loss.regressed}


class AutoencoderStage(DataStage):
    """Windows of every entry's listener; with swapped roles that is everybody."""

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
        entries = self.order.at(step)
        starts = [start_of(self.settings, rng) for _ in entries]
        length = self.settings.clip_length // config.window * config.window
        noise = torch.randn((len(entries), length // config.window, config.code), generator=generator)
        mine = share_of(len(entries), share)

        def stream(name: str) -> Tensor:
            rows = zip(entries[mine], starts[mine], strict=True)
            return torch.stack([cut(self.data, self.data.entries[i].listener, s, length, name) for i, s in rows])

        return {"frames": stream(self.streams[0]), "regressed": stream(self.streams[1]), "noise": noise[mine]}
