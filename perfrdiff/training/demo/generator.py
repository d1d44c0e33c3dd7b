"""GAFRG for the demo weights: the diffusion loss of the paper, and a forecast from what the speaker does."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.coefficients import CHANNEL, WIDTH
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.motion_codec import MotionCodec
from perfrdiff.sampling import TRAIN_STEPS, add_noise
from perfrdiff.training.demo.augmentation import OTHER_SPEAKERS, disguised
from perfrdiff.training.demo.windows import direction_weights, draw, noise_like, weighted_error, window_batch


class GeneratorModel(nn.Module):
    """The denoiser with a linear forecast from its context, which only training uses, see `foreseen`."""

    def __init__(self, denoiser: Denoiser):
        super().__init__()
        self.denoiser = denoiser
        self.forecast = nn.Linear(denoiser.config.width, len(FORESEEN))


FORESEEN = ("nodding", "mouthSmileLeft", "browInnerUp")


def foreseen(codec: MotionCodec, x0: Tensor) -> Tensor:
    """What of a listener's tokens (N, W, D) a speaker may tell beforehand: nodding, smile, raised brows, (N, W, 3).

    Nodding is the standard deviation of the pitch within a token, in half degrees; the others are means in tenths.
    """
    pitching = codec.listener_out.unflatten(1, (codec.patch, WIDTH))[:, :, CHANNEL["rotationX"]]
    pitch = (x0 @ pitching).std(-1, correction=0)
    raw = codec.raw_coefficients(x0).unflatten(-2, (-1, codec.patch)).mean(-2)
    levels = [raw[..., CHANNEL[name]] * 10 for name in FORESEEN[1:]]
    return torch.stack([torch.rad2deg(pitch).clamp(max=3) * 2, *levels], dim=-1)


@dataclass
class GeneratorStage:
    """GAFRG: predict the clean window of a listener from its noised one and the speaker.

    With a model of `GeneratorModel`, the speaker's context alone also has to forecast nods, smiles and brows: in the
    diffusion loss an answer to the speaker is a small part, and learnt late.
    """

    denoiser: Denoiser
    corpus: Corpus
    joint_drop: float = 0.1  # share of windows that lose both speaker streams at once: guidance needs that branch
    opening: float = 0.15  # share of windows that open a clip
    past_noise: float = 0.3  # most noise on the past listener: at test time it is the model's own and not perfect
    model: GeneratorModel | None = None
    forecast_weight: float = 0.3

    def denoising_loss(self, clips: Tensor, generator: torch.Generator, edits=None) -> Tensor:
        config = self.denoiser.config
        count = len(clips)
        starts = draw(count, self.corpus.tokens - config.window + 1, generator)
        starts = torch.where(torch.rand(count, generator=generator) < self.opening, 0, starts)
        x0, conditions = window_batch(self.corpus, clips, starts, config)
        conditions["past_listener"] = self.roughened(conditions["past_listener"], generator)
        for name, size in OTHER_SPEAKERS.items():
            conditions[name] = disguised(conditions[name], *size, generator)
        timesteps = draw(count, TRAIN_STEPS, generator).to(x0.device)
        noise = noise_like(x0, generator)
        keep = {name: mask.to(x0.device) for name, mask in self.denoiser.draw_masks(count, generator).items()}
        deaf = (torch.rand(count, generator=generator) < self.joint_drop).to(x0.device)
        for name in ("audio", "coefficients"):
            keep[name] = keep[name] * ~deaf
        memory = self.denoiser.prepare(conditions, keep, edits)
        predicted = self.denoiser(add_noise(x0, noise, timesteps), timesteps, memory, edits)
        error = weighted_error(predicted.float(), x0, timesteps, direction_weights(self.corpus.codec))
        if self.model is None:
            return error
        forecast = self.model.forecast(memory.context).float()
        return error + self.forecast_weight * F.mse_loss(forecast, foreseen(self.corpus.codec, x0))

    def roughened(self, past: Tensor, generator: torch.Generator) -> Tensor:
        """Past listeners (N, W, D) with noise of `past_noise` at most; what was before the clip stays zeros."""
        size = self.past_noise * torch.rand(len(past), 1, 1, generator=generator).to(past.device) * (past != 0)
        return past + size * noise_like(past, generator)
