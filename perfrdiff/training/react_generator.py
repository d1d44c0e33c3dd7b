"""GAFRG, the generic generator (spec section 9): prior and decoder together, on K appropriate reactions per speaker."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from perfrdiff.data.react import ReactData
from perfrdiff.models.autoencoder import WindowAutoencoder
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.layers import Edits
from perfrdiff.models.prior import Prior
from perfrdiff.published.inference import PublishedModel, Speaker
from perfrdiff.published.settings import DataSettings, DiffusionLossSettings
from perfrdiff.published.training import Draws, Listeners, draw, forward
from perfrdiff.training.react_batches import cut, order_of, share_of, start_of, step_rng

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
    loss = made.loss((weights.latent, weights.window))
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


class GeneratorStage:
    """Speakers with K of the reactions that are appropriate for each."""

    name = "generator"

    def __init__(self, model: GeneratorModel, data: ReactData, settings: DataSettings, seed: int, processes: int = 1):
        self.model, self.data, self.settings, self.seed = model, data, settings, seed
        self.order = order_of(data, settings, seed, processes)

    @property
    def rounds(self) -> int:
        return self.order.per_epoch

    def batch(self, step: int, share: tuple[int, int]) -> Batch:
        rng, generator = step_rng(self.seed, step)
        entries, samples = self.order.at(step), self.settings.targets
        targets = [self.data.targets(i, samples, rng) for i in entries]
        starts = [start_of(self.settings, rng) for _ in entries]
        networks = self.model.networks()
        draws = draw(networks, len(entries), samples, self.settings.clip_length, generator, rng)
        return paired_batch(self.data, self.settings.clip_length, networks, entries, targets, starts, draws, share)


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
