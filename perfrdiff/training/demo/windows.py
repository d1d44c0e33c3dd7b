"""Windows of a simulated conversation as the demo's generator sees them, and how their errors count."""

import torch
from torch import Tensor

from perfrdiff.coefficients import CHANNEL, WIDTH
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.denoiser import DenoiserConfig
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.sampling import cumulative_alphas


def noise_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of x's shape, the same on every device."""
    return torch.randn(x.shape, generator=generator).to(x.device)


def random_integers(count: int, below: int, generator: torch.Generator) -> Tensor:
    """Whole numbers 0 … below - 1, (count,)."""
    return torch.randint(below, (count,), generator=generator)


def window_batch(
    corpus: Corpus, clips: Tensor, starts: Tensor, config: DenoiserConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Listener windows x0 that begin at token `starts`, and their conditions.

    The speaker's part begins `reaction_delay` tokens earlier; the past listener is the `window` tokens before. Tokens
    before the clip's start are zeros (docs/method.md).
    """

    clips, starts = clips.to(corpus.device), starts.to(corpus.device)

    def window(streams: Tensor, rows: Tensor, first: Tensor, length: int) -> Tensor:
        index = first[:, None] + torch.arange(length, device=first.device)
        outside = (index < 0) | (index >= streams.shape[1])
        tokens = streams[rows[:, None], index.clamp(0, streams.shape[1] - 1)].float()
        return tokens.masked_fill(outside[..., None], 0.0)

    speakers, speaker_starts = corpus.speaker[clips], starts - config.reaction_delay
    conditions = {
        "audio": window(corpus.speaker_audio, speakers, speaker_starts, config.speaker_tokens),
        "coefficients": window(corpus.speaker_coefficients, speakers, speaker_starts, config.speaker_tokens),
        "past_listener": window(corpus.listener, clips, starts - config.window, config.window),
    }
    return window(corpus.listener, clips, starts, config.window), conditions


FAST_CHANNEL_WEIGHTS = {("rotationX",): 5.0, ("eyeBlinkLeft", "eyeBlinkRight"): 4.0}
"""Channels whose quick movement counts for more -> the largest weight of a direction."""
LEVEL_CHANNEL_WEIGHTS = {
    ("browInnerUp",): 3.0, ("browDownLeft", "browDownRight"): 3.0, ("mouthSmileLeft", "mouthSmileRight"): 2.0,
}  # fmt: skip
"""The same for channels whose level counts for more."""
DESCRIPTOR_WEIGHT = 3.0


def direction_weights(codec: ListeningCodec) -> Tensor:
    """Weights (D + 11,) of a token's numbers: 1, and more for pitch, lids, held brows, held smiles and descriptors.

    Nods and blinks are rare and small beside all else that a face does, so when and how often they come is learnt last,
    yet they are what one looks for in a listener.
    """
    frames = codec.listener_out.unflatten(1, (codec.patch, WIDTH))
    weights = torch.ones(len(frames), device=frames.device)
    for names, largest in FAST_CHANNEL_WEIGHTS.items():
        channel = frames[:, :, [CHANNEL[name] for name in names]].mean(-1)
        quick = (channel - channel.mean(1, keepdim=True)).square().sum(1).sqrt()
        weights = weights.maximum(1 + (largest - 1) * quick / quick.max().clamp(min=1e-9))
    for names, largest in LEVEL_CHANNEL_WEIGHTS.items():
        level = frames[:, :, [CHANNEL[name] for name in names]].mean((1, 2)).abs()
        weights = weights.maximum(1 + (largest - 1) * level / level.max().clamp(min=1e-9))
    return torch.cat([weights, weights.new_full((len(codec.descriptor_mean),), DESCRIPTOR_WEIGHT)])


def weighted_error(predicted: Tensor, x0: Tensor, timesteps: Tensor, directions: Tensor) -> Tensor:
    """Squared error of x0 (N, W, D), weighted by direction and by (1 + SNR) / (1 + SNR / 5), SNR = abar / (1 - abar).

    That is 1 where all is noise and 5 where little is: these steps, in which quick movements take shape, have small
    errors and would otherwise be drowned by those where nothing can be known (after min-SNR, Hang et al. 2023).
    """
    abar = torch.as_tensor(cumulative_alphas(), dtype=torch.float32, device=x0.device)[timesteps]
    snr = abar / (1 - abar)
    step_weight = (1 + snr) / (1 + snr / 5)
    return (((predicted - x0) ** 2 * directions).mean(dim=(1, 2)) * step_weight).mean()
