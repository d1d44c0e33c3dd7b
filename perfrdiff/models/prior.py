"""The diffusion prior of the published models: predicts the latent of the listener's window from the speaker's window
(docs/method.md 4.2 to 4.4).

Nothing of a reaction depends on it: its output goes into a condition that both published denoisers drop
(docs/method.md 4.4). It is here because the published training computes it, and because researchers may want to
look at it.

Attention is causal and the speaker's tokens come first, so their keys and values depend on neither the diffusion step
nor the noised latent: `prepare` computes them once for all steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.features.audio import MFCC_WIDTH
from perfrdiff.models.layers import timestep_embedding

CONDITIONS = ("audio", "speaker_latent", "coefficients")  # token order
EPSILON = 1e-5
COSINE_SCALE = 16.0  # logits = 16 * cosine of query and key
ROTARY_WIDTH = 32
BUCKETS = 32
MAX_DISTANCE = 128  # in tokens; larger ones share a bucket


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of the prior; the defaults are the published ones."""

    width: int = 512  # latent and tokens
    depth: int = 4
    heads: int = 8  # the published files' `heads` is never read, this default is what runs
    head_width: int = 64
    widening: int = 4  # of the feed-forward part
    window: int = 50
    audio: int = MFCC_WIDTH
    coefficients: int = 58
    time_width: int = 64


@dataclass(frozen=True)
class PriorMemory:
    """The speaker's tokens, ready for every diffusion step: per layer keys and values (N, 1 + M, head width)."""

    keys: list[Tensor]
    values: list[Tensor]
    length: int  # M


def distance_bucket(distance: Tensor) -> Tensor:
    """Row of the relative-position table for integer distances query - key index (docs/method.md 4.3)."""
    half = BUCKETS // 2
    far = half + (torch.log(distance.clamp(min=1).float() / half) / log(MAX_DISTANCE / half) * (BUCKETS - half)).long()
    return torch.where(distance < half, distance.clamp(min=0), far.clamp(max=BUCKETS - 1))


class GainNorm(nn.Module):
    """Layer normalisation with a gain and no bias; `stable` first divides by the signed maximum of the channels."""

    def __init__(self, width: int, stable: bool = False):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.stable = stable

    def forward(self, x: Tensor) -> Tensor:
        if self.stable:
            x = x / x.amax(dim=-1, keepdim=True).detach()
        variance, mean = torch.var_mean(x, dim=-1, unbiased=False, keepdim=True)
        return (x - mean) * (variance + EPSILON).rsqrt() * self.gain


def _rotate(x: Tensor, first: int) -> Tensor:
    """Rotary positions first, first + 1, … on the first channels of x (…, tokens, head width), pairs interleaved."""
    turned = min(ROTARY_WIDTH, x.shape[-1])
    step = torch.arange(0, turned, 2, device=x.device).float()
    position = torch.arange(first, first + x.shape[-2], device=x.device).float()
    angle = position[:, None] * 10000.0 ** (-step / turned)
    a, b = x[..., 0:turned:2], x[..., 1:turned:2]
    pair = torch.stack([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], dim=-1)
    return torch.cat([pair.flatten(-2), x[..., turned:]], dim=-1)


class PriorLayer(nn.Module):
    """Pre-norm: attention of `heads` queries to one shared key and value, then a gated feed-forward part."""

    def __init__(self, config: PriorConfig):
        super().__init__()
        inner = config.heads * config.head_width
        hidden = config.widening * config.width
        self.heads = config.heads
        self.norm1 = GainNorm(config.width)
        self.query = nn.Linear(config.width, inner, bias=False)
        self.key_value = nn.Linear(config.width, 2 * config.head_width, bias=False)
        self.null_key_value = nn.Parameter(torch.randn(2, config.head_width))
        self.out = nn.Linear(inner, config.width, bias=False)
        self.norm2 = GainNorm(config.width)
        self.norm3 = GainNorm(config.width)
        self.widen = nn.Linear(config.width, 2 * hidden, bias=False)
        self.narrow = nn.Linear(hidden, config.width, bias=False)

    def forward(
        self, x: Tensor, first: int, bias: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens x (N, T, width) at positions first … and the keys, values (N, ·, head width) before them.

        bias (heads, T, 1 + first + T) holds the relative positions and -inf where a token may not look.
        Returns the new tokens, and all keys and values so far.
        """
        h = self.norm1(x)
        query = _rotate(self.query(h).unflatten(-1, (self.heads, -1)).transpose(1, 2), first)
        key, value = self.key_value(h).chunk(2, dim=-1)
        key = _rotate(key, first)
        if past is None:  # a learned key and value that every token sees, not rotated
            null_key, null_value = self.null_key_value[:, None].expand(-1, len(x), -1)[:, :, None]
            past = (F.normalize(null_key, dim=-1), null_value)
        key = torch.cat([past[0], F.normalize(key, dim=-1)], dim=1)
        value = torch.cat([past[1], value], dim=1)
        logits = COSINE_SCALE * (F.normalize(query, dim=-1) @ key[:, None].transpose(-1, -2)) + bias
        attended = logits.float().softmax(dim=-1).to(value.dtype) @ value[:, None]
        x = x + self.norm2(self.out(attended.transpose(1, 2).flatten(2)))
        u, gate = self.widen(self.norm3(x)).chunk(2, dim=-1)
        return x + self.narrow(u * F.silu(gate)), key, value


class Prior(nn.Module):
    """Noised latent x_t (N, 1, width), step t (N,), memory of the speaker -> predicted clean latent (N, 1, width)."""

    def __init__(self, config: PriorConfig):
        super().__init__()
        self.config = config
        width, window = config.width, config.window
        self.audio = nn.Linear(config.audio, width)
        self.coefficients = nn.Linear(config.coefficients, width)
        self.null = nn.ParameterDict(
            {
                "audio": torch.randn(window, width),
                "speaker_latent": torch.randn(1, width),
                "coefficients": torch.randn(window, width),
            }
        )
        self.time1 = nn.Linear(config.time_width, width)
        self.time2 = nn.Linear(width, width)
        self.learned_query = nn.Parameter(torch.randn(width) * 0.02)
        self.relative = nn.Embedding(BUCKETS, config.heads)
        self.layers = nn.ModuleList(PriorLayer(config) for _ in range(config.depth))
        self.norm = GainNorm(width, stable=True)
        self.output = nn.Linear(width, width, bias=False)

    def attention_bias(self, first: int, tokens: int) -> Tensor:
        """(heads, tokens, 1 + first + tokens): relative positions, the null key counted, -inf beyond the token itself.

        A token at position i sees the null key and the tokens 0 … i.
        """
        device = self.relative.weight.device
        query = torch.arange(first, first + tokens, device=device)[:, None]
        key = torch.arange(1 + first + tokens, device=device)
        bias = self.relative(distance_bucket(query - key)).permute(2, 0, 1)
        return bias.masked_fill(key > query + 1, -torch.inf)

    def condition_tokens(self, conditions: Mapping[str, Tensor], keep: Mapping[str, Tensor] | None = None) -> Tensor:
        """audio (N, W, 78), speaker_latent (N, 1, width), coefficients (N, W, 58) -> tokens (N, 2 W + 1, width).

        `keep` name -> (N,) of 0/1 puts the learned null tokens where 0.
        """
        missing = [name for name in CONDITIONS if name not in conditions]
        if missing:
            raise ValueError(f"the prior needs the conditions {', '.join(CONDITIONS)}; missing: {', '.join(missing)}")
        blocks = {
            "audio": self.audio(conditions["audio"]),
            "speaker_latent": conditions["speaker_latent"],
            "coefficients": self.coefficients(conditions["coefficients"]),
        }
        for name, mask in (keep or {}).items():
            blocks[name] = torch.where(mask[:, None, None] > 0, blocks[name], self.null[name])
        return torch.cat([blocks[name] for name in CONDITIONS], dim=1)

    def prepare(self, conditions: Mapping[str, Tensor], keep: Mapping[str, Tensor] | None = None) -> PriorMemory:
        """Everything that does not depend on the diffusion step, computed once."""
        tokens = self.condition_tokens(conditions, keep)
        _, keys, values = self._run(tokens, None)
        return PriorMemory(keys, values, tokens.shape[1])

    def _run(self, x: Tensor, memory: PriorMemory | None) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        first = memory.length if memory is not None else 0
        bias = self.attention_bias(first, x.shape[1])
        keys, values = [], []
        for i, layer in enumerate(self.layers):
            past = (memory.keys[i], memory.values[i]) if memory is not None else None
            x, key, value = layer(x, first, bias, past)
            keys.append(key)
            values.append(value)
        return x, keys, values

    def forward(self, x: Tensor, timesteps: Tensor, memory: PriorMemory) -> Tensor:
        time = timestep_embedding(timesteps, self.config.time_width).to(x.dtype)
        time = self.time2(F.silu(self.time1(time)))[:, None]
        query = self.learned_query.expand(len(x), 1, -1)
        tokens, _, _ = self._run(torch.cat([time, x, query], dim=1), memory)
        return self.output(self.norm(tokens[:, -1:]))
