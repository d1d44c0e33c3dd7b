"""Faces as of other people than the simulated ones: what is learnt has to hold for tracked real ones too."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from perfrdiff.coefficients import COEFFICIENT_NAMES, EXPRESSION, ROTATION, WIDTH
from perfrdiff.models.motion_codec import MotionCodec
from perfrdiff.training.demo.windows import noise_like

OTHER_SPEAKERS = {"audio": (0.25, 0.25, 0.3), "coefficients": (0.4, 0.1, 0.4)}
"""By how much real speakers may differ from simulated ones, in the spread of a token: gain (its logarithm), offset of
a number, noise. Guesses, from what three real clips look like in tokens: twice as lively, and rougher."""


def disguised(tokens: Tensor, gain: float, offset: float, noise: float, generator: torch.Generator) -> Tensor:
    """Speakers' tokens (N, L, S) as of livelier or duller, otherwise recorded people; zeros before a clip stay."""
    count, _, width = tokens.shape
    louder = torch.exp(gain * torch.randn(count, 1, 1, generator=generator)).to(tokens.device)
    moved = offset * torch.randn(count, 1, width, generator=generator).to(tokens.device)
    rough = noise * torch.rand(count, 1, 1, generator=generator).to(tokens.device) * noise_like(tokens, generator)
    return torch.where(tokens == 0, tokens, louder * tokens + moved + rough)


REST, RESTLESS, QUICK = 0.08, 0.06, 0.025  # expression units: of a typical channel, for the strongest disguise
HEAD = 0.3 * torch.pi / 180  # radians
CALMER = {"eyeBlink": 0.25, "mouthSmile": 0.5, "brow": 0.5}
"""Channels that are told well, and whose events are counted, by how much of this they have."""
UNEVEN = 0.8  # spread of the logarithm, from channel to channel
SMOOTH = 9  # tokens over which the slower half of it is averaged, 1.8 s


@dataclass(frozen=True)
class OtherListeners:
    """Movement that tracked real faces have and simulated listeners have not, put on top of theirs.

    A simulated listener moves some channels only, in ways of its own; a tracked real face wanders a little in all of
    them, rests elsewhere, and what is cross-talk there has no name here. In the directions of a token that are small
    among simulated listeners this is large. The head wanders less: how it nods and is held stays to be seen.
    Sizes are guesses, from what two real listeners look like in tokens.
    """

    level: Tensor  # (58, D): what a channel held at 1 through a token adds to it
    ramp: Tensor  # (58, D): what a channel rising by 1 through a token adds to it
    share: float = 0.6  # of the clips that are disguised at all

    @classmethod
    def of(cls, codec: MotionCodec, share: float = 0.6) -> "OtherListeners":
        into = codec.listener_into.unflatten(0, (codec.patch, WIDTH))
        rise = torch.linspace(-0.5, 0.5, codec.patch, device=into.device)
        return cls(into.sum(0), (into * rise[:, None, None]).sum(0), share)

    def __call__(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Listeners' tokens (N, n, D), some of them disguised, each to a strength of its own."""
        count, length, _ = tokens.shape

        def noise(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        strength = torch.rand(count, 1, 1, generator=generator)
        strength = strength * (torch.rand(count, 1, 1, generator=generator) < self.share)
        rest, restless, quick = (self._size(size, count, noise) * strength for size in (REST, RESTLESS, QUICK))
        rest[..., EXPRESSION.stop :] = 0  # where the head is held is the person's own
        slow = F.avg_pool1d(noise(count, WIDTH, length + SMOOTH - 1), SMOOTH, stride=1).transpose(1, 2) * SMOOTH**0.5
        held = rest * noise(count, 1, WIDTH).abs() + restless * (slow + noise(count, length, WIDTH)) / 2**0.5
        rising = quick * noise(count, length, WIDTH)
        return tokens + held.to(tokens) @ self.level + rising.to(tokens) @ self.ramp

    def _size(self, size: float, count: int, noise) -> Tensor:
        """How much every channel moves, (count, 1, 58): some people move this, others that."""
        sizes = torch.zeros(count, 1, WIDTH)
        sizes[..., EXPRESSION] = size
        sizes[..., ROTATION] = HEAD * size / REST
        for name, share in CALMER.items():
            sizes[..., [column for column, other in enumerate(COEFFICIENT_NAMES) if other.startswith(name)]] *= share
        return sizes * torch.exp(UNEVEN * noise(count, 1, WIDTH))
