"""One step of the published training, with every random number passed in (docs/method.md 9.3)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.layers import Edits
from perfrdiff.models.weight_editor import edited_weights
from perfrdiff.published.inference import PublishedModel, SpeakerClips, scale_to_unit_range
from perfrdiff.published.losses import DiffusionLoss, diffusion_loss
from perfrdiff.sampling import TRAIN_STEPS, add_noise

GENERIC_LOSS_WEIGHTS = (1.0, 1.0)  # of the prior's and the decoder's loss
EDITOR_LOSS_WEIGHTS = (0.0, 1.0)
EDITOR_SGD = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}


@dataclass(frozen=True)
class Listeners:
    """K appropriate reactions to each of B speakers, (B * K, L, ·), one speaker's together."""

    attributes: Tensor  # (B * K, L, 25)
    coefficients: Tensor  # (B * K, L, 58) minus the mean face


@dataclass(frozen=True)
class StepRandomness:
    """Every random number of one step, in the published order."""

    prior_start: int  # first frame of the window
    prior_step: Tensor  # (B,) diffusion step
    prior_noise: Tensor  # (B * K, 1, width)
    decoder_start: int
    decoder_step: Tensor  # (B,)
    decoder_noise: Tensor  # (B * K, window, features)
    dropped: tuple[Tensor, ...]  # (B * K,) of 0/1 for each condition that is dropped at random, 1 = dropped


@dataclass(frozen=True)
class TrainingPredictions:
    """Predictions and targets of one step."""

    latent: Tensor  # (B, K, 1, width)
    latent_target: Tensor
    window: Tensor  # (B, K, W, features)
    window_target: Tensor

    def loss(self, weights: tuple[float, float]) -> DiffusionLoss:
        return diffusion_loss(self.latent, self.latent_target, self.window, self.window_target, weights)


def draw_randomness(
    model: PublishedModel, clips: int, samples: int, frames: int, generator: torch.Generator, rng: np.random.Generator
) -> StepRandomness:
    """Draws of one step: window starts and noise from torch, diffusion steps from numpy, as published.

    The last possible window start is never drawn (docs/method.md 12, quirk 12).
    """
    config = model.denoiser.config
    rows, starts = clips * samples, frames - 2 * config.window

    def start() -> int:
        return int(torch.randint(starts, (1,), generator=generator))

    def step() -> Tensor:
        return torch.from_numpy(rng.choice(TRAIN_STEPS, clips))

    prior = (start(), step(), torch.randn((rows, 1, model.prior.config.width), generator=generator))
    decoder = (start(), step(), torch.randn((rows, config.window, config.features), generator=generator))
    keep = model.denoiser.draw_masks(rows, generator)
    dropped = tuple(1 - keep[name] for name in random_conditions(model.denoiser))
    return StepRandomness(*prior, *decoder, dropped)


def random_conditions(denoiser: Denoiser) -> list[str]:
    """Conditions of a training step that are dropped at random, in the order of their draws."""
    droppable = ("audio", "coefficients", "speaker_latent" if denoiser.config.variant == "emotion" else "past_listener")
    return [name for name in denoiser.draw_masks(1) if name in droppable]


def forward(
    model: PublishedModel,
    speaker: SpeakerClips,
    listeners: Listeners,
    randomness: StepRandomness,
    edits: Edits | None = None,
    audio_limits: Mapping[str, Tensor] | None = None,
) -> TrainingPredictions:
    """Prior and decoder on their own windows, as in the published training.

    The decoder's target starts a whole window after the speaker's (emotion), or `reaction_delay` frames (render).
    `audio_limits` "prior", "decoder" -> (2,): least and most of the audio of the whole batch, of which these clips are
    one process's share; None: these clips are the batch.
    """
    limits = audio_limits or {}
    clips = len(speaker.audio)
    samples = len(listeners.attributes) // clips

    conditions = _speaker_window(model, speaker, randomness.prior_start, samples, limits.get("prior"))
    with torch.no_grad():
        target = _frames(listeners.attributes, randomness.prior_start + _window(model), _window(model))
        latent_target = model.autoencoder.encode(target)[:, None]
    steps = randomness.prior_step.repeat_interleave(samples)
    noised = add_noise(latent_target, randomness.prior_noise, steps)
    latent = model.prior(noised, steps, model.prior.prepare(conditions))

    conditions = _speaker_window(model, speaker, randomness.decoder_start, samples, limits.get("decoder"))
    if model.variant == "render":
        later = randomness.decoder_start + model.denoiser.config.reaction_delay
        x0 = _frames(listeners.coefficients, later, _window(model))
        conditions["past_listener"] = _frames(listeners.coefficients, later - _window(model), _window(model))
    else:
        x0 = _frames(listeners.attributes, randomness.decoder_start + _window(model), _window(model))
    names = random_conditions(model.denoiser)
    keep = {name: 1 - dropped for name, dropped in zip(names, randomness.dropped, strict=True)}
    steps = randomness.decoder_step.repeat_interleave(samples)
    memory = model.denoiser.prepare(conditions, keep, edits)
    window = model.denoiser(add_noise(x0, randomness.decoder_noise, steps), steps, memory, edits)

    def grouped(rows: Tensor) -> Tensor:
        return rows.unflatten(0, (clips, samples))

    return TrainingPredictions(grouped(latent), grouped(latent_target), grouped(window), grouped(x0))


def editor_step(
    model: PublishedModel,
    optimizer: torch.optim.Optimizer,
    behaviour: Tensor,
    speaker: SpeakerClips,
    listeners: Listeners,
    randomness: StepRandomness,
) -> DiffusionLoss:
    """One step of the weight editor: listener i's behaviour (P, frames, 58) shifts the denoiser for its own clip.

    Published with P = 1 and SGD (`EDITOR_SGD`) over the editor's parameters alone. Their gradients stay in place.
    """
    with torch.no_grad():
        style = model.style_encoder(behaviour)
    edits = edited_weights(model.denoiser, model.weight_editor(style), predict=model.weight_editor.config.predict)
    optimizer.zero_grad()
    loss = forward(model, speaker, listeners, randomness, edits).loss(EDITOR_LOSS_WEIGHTS)
    loss.total.backward()
    optimizer.step()
    return loss


def _window(model: PublishedModel) -> int:
    return model.denoiser.config.window


def _speaker_window(
    model: PublishedModel, speaker: SpeakerClips, start: int, samples: int, limits: Tensor | None = None
) -> dict[str, Tensor]:
    """The speaker's window, repeated for every sample; each network takes the conditions it has inputs for.

    The render variant scales the audio by the extremes of these windows, all clips of the batch together (quirk 15).
    """
    audio = _frames(speaker.audio, start, _window(model))
    if model.variant == "render":
        audio = (
            scale_to_unit_range(audio)
            if limits is None
            else (audio - limits[0]) / (limits[1] - limits[0]).clamp(min=1e-12)
        )
    windows: Mapping[str, Tensor] = {
        "audio": audio,
        "coefficients": _frames(speaker.coefficients, start, _window(model)),
    }
    with torch.no_grad():
        latent = model.autoencoder.encode(_frames(speaker.attributes, start, _window(model)))[:, None]
    conditions = {**windows, "speaker_latent": latent}
    return {name: value.repeat_interleave(samples, dim=0) for name, value in conditions.items()}


def _frames(stream: Tensor, start: int, length: int) -> Tensor:
    """Frames start … start + length of (N, L, channels), zeros before frame 0."""
    if start + length > stream.shape[1]:
        raise ValueError(f"frames {start} to {start + length} of a clip of {stream.shape[1]}")
    inside = stream[:, max(start, 0) : start + length]
    return torch.nn.functional.pad(inside, (0, 0, length - inside.shape[1], 0))
