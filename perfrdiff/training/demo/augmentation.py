"""Augmentation of simulated tokens: what is learnt has to hold for tracked real faces and real speakers, too."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from perfrdiff.coefficients import COEFFICIENT_NAMES, EXPRESSION, ROTATION, WIDTH
from perfrdiff.models.motion_codec import MotionCodec
from perfrdiff.training.demo.windows import noise_like

SPEAKER_AUGMENTATION = {"audio": (0.25, 0.25, 0.3), "coefficients": (0.4, 0.1, 0.4)}
"""Standard deviations of the gain (its logarithm) and of the offsets, and the most noise, in units of a token's
deviation. Guesses, from what three real clips look like in tokens: twice as lively, and rougher."""


def augment_speakers(tokens: Tensor, gain: float, offset: float, noise: float, generator: torch.Generator) -> Tensor:
    """Speakers' tokens (N, L, S) with a gain, offsets and noise per clip; the zeros before a clip stay."""
    count, _, width = tokens.shape
    gains = torch.exp(gain * torch.randn(count, 1, 1, generator=generator)).to(tokens.device)
    offsets = offset * torch.randn(count, 1, width, generator=generator).to(tokens.device)
    noise_level = noise * torch.rand(count, 1, 1, generator=generator).to(tokens.device)
    augmented = gains * tokens + offsets + noise_level * noise_like(tokens, generator)
    return torch.where(tokens == 0, tokens, augmented)


OFFSET_SIZE = 0.08  # expression units, of a typical channel at full strength: a constant, over the clip
WANDER_SIZE = 0.06  # a level per token
RAMP_SIZE = 0.025  # a change within a token
HEAD_SIZE = 0.3 * torch.pi / 180  # radians, where expressions have OFFSET_SIZE
REDUCED_CHANNELS = {"eyeBlink": 0.25, "mouthSmile": 0.5, "brow": 0.5}
"""Beginnings of the names of channels that are tracked well, and whose events are counted -> factor of their sizes."""
CHANNEL_LOG_STD = 0.8  # of a size, from channel to channel
SMOOTHING_TOKENS = 9  # over which the slower half of the wander is averaged, 1.8 s


@dataclass(frozen=True)
class ListenerAugmentation:
    """Adds to simulated listeners the small movements in every channel that tracked real faces have.

    A simulated listener moves some channels only; a tracked real face wanders a little in all of them and rests
    elsewhere. In the directions of a token that are small among simulated listeners these movements are large. The head
    wanders less, so that nods and its pose stay visible. Sizes are guesses, from what two real listeners look like in
    tokens.
    """

    level_to_token: Tensor  # (58, D): what a channel held at 1 through a token adds to it
    ramp_to_token: Tensor  # (58, D): what a channel rising by 1 through a token adds to it
    augmented_share: float = 0.6  # of the clips; the others stay as they are

    @classmethod
    def of(cls, codec: MotionCodec, augmented_share: float = 0.6) -> "ListenerAugmentation":
        """For the tokens of this codec."""
        into = codec.listener_into.unflatten(0, (codec.patch, WIDTH))
        ramp = torch.linspace(-0.5, 0.5, codec.patch, device=into.device)
        return cls(into.sum(0), (into * ramp[:, None, None]).sum(0), augmented_share)

    def __call__(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Listeners' tokens (N, n, D), `augmented_share` of the clips augmented, each with a strength of its own."""
        count, length, _ = tokens.shape

        def noise(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        strength = torch.rand(count, 1, 1, generator=generator)
        strength = strength * (torch.rand(count, 1, 1, generator=generator) < self.augmented_share)
        offset_size, wander_size, ramp_size = (
            self._channel_sizes(size, count, noise) * strength for size in (OFFSET_SIZE, WANDER_SIZE, RAMP_SIZE)
        )
        offset_size[..., EXPRESSION.stop :] = 0  # the pose of the head is a habit
        slow = F.avg_pool1d(noise(count, WIDTH, length + SMOOTHING_TOKENS - 1), SMOOTHING_TOKENS, stride=1)
        slow = slow.transpose(1, 2) * SMOOTHING_TOKENS**0.5
        levels = offset_size * noise(count, 1, WIDTH).abs()
        levels = levels + wander_size * (slow + noise(count, length, WIDTH)) / 2**0.5
        ramps = ramp_size * noise(count, length, WIDTH)
        return tokens + levels.to(tokens) @ self.level_to_token + ramps.to(tokens) @ self.ramp_to_token

    def _channel_sizes(self, size: float, count: int, noise: Callable[..., Tensor]) -> Tensor:
        """Sizes (count, 1, 58) of every channel's movement, other ones in every clip."""
        sizes = torch.zeros(count, 1, WIDTH)
        sizes[..., EXPRESSION] = size
        sizes[..., ROTATION] = HEAD_SIZE * size / OFFSET_SIZE
        for prefix, factor in REDUCED_CHANNELS.items():
            columns = [column for column, name in enumerate(COEFFICIENT_NAMES) if name.startswith(prefix)]
            sizes[..., columns] *= factor
        return sizes * torch.exp(CHANNEL_LOG_STD * noise(count, 1, WIDTH))
