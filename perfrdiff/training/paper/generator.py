"""GAFRG, the generic generator (docs/method.md): prior and decoder together, on K appropriate reactions per speaker."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from perfrdiff.data.react2024.dataset import ReactData
from perfrdiff.models.autoencoder import WindowAutoencoder
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.layers import Edits
from perfrdiff.models.prior import Prior
from perfrdiff.published.config.settings import DiffusionLossSettings
from perfrdiff.published.inference import PublishedModel, SpeakerClips
from perfrdiff.published.training import Listeners, StepRandomness, draw_randomness, forward
from perfrdiff.training.paper.batches import DataStage, draw_start, process_rows, step_rng, stream_crop

Batch = dict[str, object]


def speaker_from_batch(batch: Batch) -> SpeakerClips:
    return SpeakerClips(batch["audio"], batch["coefficients"], batch["attributes"])


def compute_losses(
    networks: PublishedModel, batch: Batch, weights: DiffusionLossSettings, edits: Edits | None = None
) -> dict[str, Tensor]:
    """The published forward pass and its losses."""
    randomness = StepRandomness(**batch["randomness"])
    listeners = Listeners(batch["target_attributes"], batch["target_coefficients"])
    predictions = forward(networks, speaker_from_batch(batch), listeners, randomness, edits, batch["audio_limits"])
    loss = predictions.loss(weights.losses_multipliers)
    return {"total": loss.total, "latent": loss.latent, "window": loss.window}


@dataclass(frozen=True)
class Pairs:
    """Speakers of one batch, with K target listeners each, as index entries."""

    speakers: np.ndarray  # (B,)
    targets: list[list[int]]  # (B, K)
    starts: list[int]  # (B,) first frame of the crop of a speaker and of its targets


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
        return compute_losses(self.networks(), batch, self.weights)


class GeneratorStage(DataStage):
    """Speakers with K of the reactions that are appropriate for each."""

    name = "generator"

    @property
    def samples(self) -> int:
        """Targets of a speaker."""
        return self.settings.targets

    def batch(self, step: int, share: tuple[int, int]) -> Batch:
        rng, generator = step_rng(self.seed, step)
        entries, length = self.order.batch_entries(step), self.settings.clip_length
        targets = [self.data.draw_targets(i, self.samples, rng) for i in entries]
        extra = self.extra_inputs(entries, targets, share, rng)
        starts = [draw_start(self.settings, rng) for _ in entries]
        networks = self.model.networks()
        randomness = draw_randomness(networks, len(entries), self.samples, length, generator, rng)
        pairs = Pairs(entries, targets, starts)
        return paired_batch(self.data, length, networks, pairs, randomness, share) | extra

    def extra_inputs(
        self, entries: np.ndarray, targets: list[list[int]], share: tuple[int, int], rng: np.random.Generator
    ) -> Batch:
        """Further inputs of a batch; none here."""
        return {}


def paired_batch(
    data: ReactData,
    length: int,
    networks: PublishedModel,
    pairs: Pairs,
    randomness: StepRandomness,
    share: tuple[int, int],
) -> Batch:
    """One process's share of speakers, their target listeners and random numbers; crops of `length` frames.

    The render variant scales the audio by the extremes over the whole batch, so these are in every share.
    """
    samples, clips = len(pairs.targets[0]), process_rows(len(pairs.speakers), share)
    rows = slice(clips.start * samples, clips.stop * samples)

    def speaker_stream(stream: str, which: slice = clips) -> Tensor:
        crops = zip(pairs.speakers[which], pairs.starts[which], strict=True)
        return torch.stack([stream_crop(data, data.entries[i].speaker, s, length, stream) for i, s in crops])

    def listener_stream(stream: str) -> Tensor:
        crops = zip(pairs.targets[clips], pairs.starts[clips], strict=True)
        return torch.stack(
            [stream_crop(data, data.entries[j].listener, s, length, stream) for js, s in crops for j in js]
        )

    process_randomness = replace(
        randomness,
        prior_step=randomness.prior_step[clips],
        prior_noise=randomness.prior_noise[rows],
        decoder_step=randomness.decoder_step[clips],
        decoder_noise=randomness.decoder_noise[rows],
        dropped=tuple(mask[rows] for mask in randomness.dropped),
    )
    limits = None
    if networks.variant == "render" and share[1] > 1:
        audio, window = speaker_stream("audio", slice(None)), networks.denoiser.config.window
        limits = {
            name: torch.stack(torch.aminmax(audio[:, start : start + window]))
            for name, start in (("prior", randomness.prior_start), ("decoder", randomness.decoder_start))
        }
    return {
        "audio": speaker_stream("audio"),
        "coefficients": speaker_stream("coefficients"),
        "attributes": speaker_stream("attributes"),
        "target_attributes": listener_stream("attributes"),
        "target_coefficients": listener_stream("coefficients"),
        "randomness": dict(vars(process_randomness)),
        "audio_limits": limits,
    }
