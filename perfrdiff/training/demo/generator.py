"""GAFRG for the demo weights: the diffusion loss of the paper, and a forecast from the speaker's context."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.coefficients import CHANNEL
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.layers import Edits
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.models.motion_descriptors import DESCRIPTORS
from perfrdiff.sampling import TRAIN_STEPS, add_noise
from perfrdiff.training.demo.augmentation import augment_speakers
from perfrdiff.training.demo.windows import direction_weights, noise_like, random_integers, weighted_error, window_batch

SPEAKER_CONDITIONS = ("audio", "coefficients")
FORECAST_LEVELS = ("mouthSmileLeft", "browInnerUp")


class GeneratorModel(nn.Module):
    """The denoiser with a linear forecast from its context, which only training uses."""

    def __init__(self, denoiser: Denoiser):
        super().__init__()
        self.denoiser = denoiser
        self.forecast = nn.Linear(denoiser.config.width, DESCRIPTORS + len(FORECAST_LEVELS))


def forecast_targets(codec: ListeningCodec, x0: Tensor) -> Tensor:
    """What the speaker may foretell of a listener's tokens (N, W, D): descriptors, smile and raised brows in tenths."""
    raw = codec.raw_coefficients(x0).unflatten(-2, (-1, codec.patch)).mean(-2)
    levels = torch.stack([raw[..., CHANNEL[name]] * 10 for name in FORECAST_LEVELS], dim=-1)
    return torch.cat([x0[..., codec.motion_width :], levels], dim=-1)


@dataclass
class GeneratorStage:
    """GAFRG: predict the clean window of a listener from its noised one and the speaker.

    With a model of `GeneratorModel`, the speaker's context alone also has to forecast nods, smiles and brows: in the
    diffusion loss an answer to the speaker is a small part, and learnt late.
    """

    denoiser: Denoiser
    corpus: Corpus
    speaker_drop: float = 0.1  # share of windows that lose both speaker streams: guidance needs that branch
    opening_share: float = 0.15  # share of windows that open a clip
    past_noise: float = 0.3  # most noise on the past listener, which at test time is generated and not perfect
    model: GeneratorModel | None = None
    forecast_weight: float = 0.3

    def denoising_loss(self, clips: Tensor, generator: torch.Generator, edits: Edits | None = None) -> Tensor:
        """The loss of a random window of each listener clip (N,)."""
        count = len(clips)
        x0, conditions = self.windows(clips, generator)
        timesteps = random_integers(count, TRAIN_STEPS, generator).to(x0.device)
        noise = noise_like(x0, generator)
        memory = self.denoiser.prepare(conditions, self.draw_masks(count, generator), edits)
        predicted = self.denoiser(add_noise(x0, noise, timesteps), timesteps, memory, edits)
        error = weighted_error(predicted.float(), x0, timesteps, direction_weights(self.corpus.codec))
        if self.model is None:
            return error
        forecast = self.model.forecast(memory.context).float()
        return error + self.forecast_weight * F.mse_loss(forecast, forecast_targets(self.corpus.codec, x0))

    def draw_masks(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Which conditions stay on, name -> (count,) of 0/1, by the denoiser's shares and `speaker_drop`."""
        device = self.corpus.device
        keep = {name: mask.to(device) for name, mask in self.denoiser.draw_masks(count, generator).items()}
        without_speaker = (torch.rand(count, generator=generator) < self.speaker_drop).to(device)
        return keep | {name: keep[name] * ~without_speaker for name in SPEAKER_CONDITIONS}

    def conditions(self, clips: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The conditions of a random window of each listener clip (N,)."""
        return self.windows(clips, generator)[1]

    def windows(self, clips: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """A random window x0 of each listener clip (N,), and its conditions, augmented."""
        config = self.denoiser.config
        starts = random_integers(len(clips), self.corpus.tokens - config.window + 1, generator)
        starts = torch.where(torch.rand(len(clips), generator=generator) < self.opening_share, 0, starts)
        x0, conditions = window_batch(self.corpus, clips, starts, config)
        conditions["past_listener"] = self.add_past_noise(conditions["past_listener"], generator)
        return x0, conditions | augment_speakers(conditions, generator)

    def add_past_noise(self, past: Tensor, generator: torch.Generator) -> Tensor:
        """Past listeners (N, W, D) with noise of `past_noise` at most; the zeros before the clip stay."""
        size = self.past_noise * torch.rand(len(past), 1, 1, generator=generator).to(past.device) * (past != 0)
        return past + size * noise_like(past, generator)
