"""The losses of the published training (docs/method.md 9.1 to 9.6), each over B clips with K samples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from perfrdiff.models.autoencoder import Reconstruction
from perfrdiff.models.losses import supervised_contrastive

KLD_WEIGHT = 1e-5
BASE_TEMPERATURE = 0.07


@dataclass(frozen=True)
class AutoencoderLoss:
    """Total and parts."""

    total: Tensor
    frames: Tensor
    kld: Tensor
    regressed: Tensor


@dataclass(frozen=True)
class DiffusionLoss:
    """Total and parts; `temporal` is only reported, the published code wants its weight to be 0."""

    total: Tensor
    latent: Tensor
    window: Tensor
    temporal: Tensor


def _over_samples(per_sample: Tensor, reduce: str) -> Tensor:
    """(B, K) -> a number: mean over everything, or the best of the K of each clip, averaged."""
    if reduce not in ("mean", "min"):
        raise ValueError(f"unknown reduction {reduce!r}: expected 'mean' or 'min'")
    return per_sample.mean() if reduce == "mean" else per_sample.amin(dim=1).mean()


def squared_error(prediction: Tensor, target: Tensor, reduce: str = "mean") -> Tensor:
    """Mean squared error of (B, K, …)."""
    return _over_samples((prediction - target).square().flatten(2).mean(dim=-1), reduce)


def absolute_error(prediction: Tensor, target: Tensor, reduce: str = "min") -> Tensor:
    """Mean absolute error of (B, K, …); published by default only of the best sample of each clip."""
    return _over_samples((prediction - target).abs().flatten(2).mean(dim=-1), reduce)


def nearest_target_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of every prediction (B, K, …) to the nearest of its clip's targets (B, M, …)."""
    between = (prediction.flatten(2)[:, :, None] - target.flatten(2)[:, None]).square().mean(dim=-1)
    return between.amin(dim=2).mean()


def activated_error(prediction: Tensor, target: Tensor, frames: int = 50, columns: int = 25) -> Tensor:
    """Mean squared error after sigmoid (15 AUs), tanh (valence, arousal), softmax (8 expressions) of the prediction.

    prediction and target (B, K, frames * columns).
    """
    raw = prediction.unflatten(-1, (frames, columns))
    units, affect, expression = raw[..., :15], raw[..., 15:17], raw[..., 17:]
    activated = torch.cat([units.sigmoid(), affect.tanh(), expression.softmax(dim=-1)], dim=-1)
    return squared_error(activated, target.unflatten(-1, (frames, columns)))


def temporal_difference(frames: Tensor) -> Tensor:
    """Squared difference of neighbouring frames (…, T, channels), summed over channels, averaged over the rest."""
    return frames.diff(dim=-2).square().sum(dim=-1).mean()


def contrastive(
    style: Tensor, person: Tensor, temperature: float = 0.07, base_temperature: float = BASE_TEMPERATURE
) -> Tensor:
    """Supervised contrastive loss of unit styles (N, D) of persons (N,), scaled by temperature / base_temperature."""
    return supervised_contrastive(style, person, temperature) * (temperature / base_temperature)


def kl_divergence(mean: Tensor, log_variance: Tensor, clips: int) -> Tensor:
    """Divergence from the standard normal, summed over windows and channels, divided by the number of clips."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum() / clips


def autoencoder_loss(
    reconstruction: Reconstruction, frames: Tensor, regressed: Tensor, kld_weight: float = KLD_WEIGHT
) -> AutoencoderLoss:
    """Squared errors of frames (B, L, features) and regressed frames (B, L, regressed), and the weighted divergence."""
    frame_error = (reconstruction.frames - frames).square().mean()
    regressed_error = (reconstruction.regressed - regressed).square().mean()
    kld = kl_divergence(reconstruction.mean, reconstruction.log_variance, len(frames))
    return AutoencoderLoss(frame_error + kld_weight * kld + regressed_error, frame_error, kld, regressed_error)


def diffusion_loss(
    latent: Tensor,
    latent_target: Tensor,
    window: Tensor,
    window_target: Tensor,
    weights: tuple[float, float] = (1.0, 1.0),
) -> DiffusionLoss:
    """Prior latents (B, K, 1, D) and decoder windows (B, K, W, features) against their targets.

    `weights` of latent and window: (1, 1) for the generic model, (0, 1) for the weight editor.
    """
    latent_error, window_error = squared_error(latent, latent_target), squared_error(window, window_target)
    total = weights[0] * latent_error + weights[1] * window_error
    return DiffusionLoss(total, latent_error, window_error, temporal_difference(window))
