"""GAFRG, the generic generator (docs/method.md): prior and decoder together, on K appropriate reactions per speaker."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from perfrdiff.data.react2024.dataset import ReactData
from perfrdiff.models.autoencoder import WindowAutoencoder
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.layers import Edits
from perfrdiff.models.prior import Prior
from perfrdiff.published.config.settings import DiffusionLossSettings
from perfrdiff.published.inference import PublishedModel, Speaker
from perfrdiff.published.training import Draws, Listeners, draw, forward
from perfrdiff.training.paper.batches import DataStage, cut, share_of, start_of, step_rng

Batch = dict[str, object]


def speaker_of(batch: Batch) -> Speaker:
    return Speaker(batch["audio"], batch["coefficients"], batch["attributes"])


def losses_of(
    networks: PublishedModel, batch: Batch, weights: DiffusionLossSettings, edits: Edits | None = None
) -> dict[str, Tensor]:
    """The published forward pass and its losses."""
    draws = Draws(**batch["draws"])
    listeners = Listeners(batch["target_attributes"], batch["target_coefficients"])
    made = forward(networks, speaker_of(batch), listeners, draws, edits, batch["audio_limits"])
    loss = made.loss(weights.losses_multipliers)
    return {"total": loss.total, "latent": loss.latent, "window": loss.window}


class GeneratorModel(nn.Module):
    """Prior and denoiser are trained; the autoencoder, that gives both their latents, is not."""

    def __init__(
        self, prior: Prior, denoiser: Denoiser, autoencoder: WindowAutoencoder, weights: DiffusionLossSettings
    ):
        super().__init__()
        self.prior, self.denoiser = prior, denoiser
        self.autoencoder = autoencoder.requires_grad_(False)
        self.weights = weights

    def networks(self) -> PublishedModel:
        return PublishedModel(self.denoiser, self.autoencoder, prior=self.prior)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return losses_of(self.networks(), batch, self.weights)


class GeneratorStage(DataStage):
    """Speakers with K of the reactions that are appropriate for each."""

    name = "generator"

    @property
    def samples(self) -> int:
        """Targets of a speaker."""
        return self.settings.targets

    def batch(self, step: int, share: tuple[int, int]) -> Batch:
        rng, generator = step_rng(self.seed, step)
        entries, length = self.order.at(step), self.settings.clip_length
        targets = [self.data.targets(i, self.samples, rng) for i in entries]
        more = self.beside(entries, targets, share, rng)
        starts = [start_of(self.settings, rng) for _ in entries]
        networks = self.model.networks()
        draws = draw(networks, len(entries), self.samples, length, generator, rng)
        return paired_batch(self.data, length, networks, entries, targets, starts, draws, share) | more

    def beside(
        self, entries: np.ndarray, targets: list[list[int]], share: tuple[int, int], rng: np.random.Generator
    ) -> Batch:
        """What else goes into a batch; nothing here."""
        return {}


def paired_batch(
    data: ReactData,
    length: int,
    networks: PublishedModel,
    entries: np.ndarray,
    targets: list[list[int]],
    starts: list[int],
    draws: Draws,
    share: tuple[int, int],
) -> Batch:
    """One process's share of speakers, their target listeners and draws.

    The render variant scales the audio by the extremes over the whole batch, so these go along.
    """
    samples, mine = len(targets[0]), share_of(len(entries), share)
    rows = slice(mine.start * samples, mine.stop * samples)

    def spoken(stream: str, which: slice = mine) -> Tensor:
        chosen = zip(entries[which], starts[which], strict=True)
        return torch.stack([cut(data, data.entries[i].speaker, s, length, stream) for i, s in chosen])

    def heard(stream: str) -> Tensor:
        chosen = zip(targets[mine], starts[mine], strict=True)
        return torch.stack([cut(data, data.entries[j].listener, s, length, stream) for own, s in chosen for j in own])

    own = replace(
        draws,
        prior_step=draws.prior_step[mine],
        prior_noise=draws.prior_noise[rows],
        decoder_step=draws.decoder_step[mine],
        decoder_noise=draws.decoder_noise[rows],
        dropped=tuple(mask[rows] for mask in draws.dropped),
    )
    limits = None
    if networks.variant == "render" and share[1] > 1:
        audio, window = spoken("audio", slice(None)), networks.denoiser.config.window
        limits = {
            name: torch.stack(torch.aminmax(audio[:, start : start + window]))
            for name, start in (("prior", draws.prior_start), ("decoder", draws.decoder_start))
        }
    return {
        "audio": spoken("audio"),
        "coefficients": spoken("coefficients"),
        "attributes": spoken("attributes"),
        "target_attributes": heard("attributes"),
        "target_coefficients": heard("coefficients"),
        "draws": dict(vars(own)),
        "audio_limits": limits,
    }
