"""GAFRG's denoiser: a transformer decoder that predicts the clean reaction window x0 (paper 3.1, docs/method.md 5).

Two published variants, told apart by the configuration:
* *render*: predicts 58 coefficients; sine positions, causal masks, reaction delay; memory = time, audio, speaker
  coefficients, past listener.
* *emotion*: predicts 25 attributes; learned positions, no masks; memory = time, audio, speaker coefficients, emotion,
  speaker latent, listener latent, past listener, personal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.features.audio import MFCC_WIDTH
from perfrdiff.models.layers import Attention, Edits, edited_linear, sine_table, timestep_embedding
from perfrdiff.models.schedule import cumulative_alphas

MEMORY_ORDER = {
    "render": ("audio", "coefficients", "past_listener"),
    "emotion": (
        "audio", "coefficients", "emotion", "speaker_latent", "listener_latent", "past_listener", "personal",
    ),
}  # fmt: skip
DRAW_ORDER = (
    "listener_latent", "personal", "audio", "speaker_latent", "coefficients", "emotion", "past_listener",
)  # fmt: skip
"""The order in which training draws the masks that switch conditions off (docs/method.md 5.3)."""
LATENTS = ("speaker_latent", "listener_latent")
DELAYED = ("audio", "coefficients")  # conditions of which frame i sees frames j <= i + reaction_delay


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes and conditions of the denoiser; the defaults are the published render variant.

    Windows are counted in tokens: one frame in the published weights, five frames in the demo weights (motion_codec).
    """

    variant: str = "render"  # or "emotion"
    features: int = 58  # width of a reaction token
    width: int = 512
    layers: int = 7
    heads: int = 8
    feedforward: int = 1024
    window: int = 50  # tokens denoised together
    reaction_delay: int = 8  # tokens by which the listener's window starts later than the speaker's (render)
    audio_scale: float = 1.0  # 512 ** -0.5 in the emotion variant
    dropout: float = 0.1
    time_width: int = 64
    speaker_window: int | None = None  # tokens of the speaker that a window sees; None: as many as its own (published)
    context: int = 0  # speaker's tokens that are also added to the query of their own time; 0: none (published)
    time_in_query: bool = False  # add the diffusion step to the queries, beside the memory's time token
    norm_first: bool = False  # normalise before each part of a layer instead of after it (published)
    prediction: str = "x0"  # what the output layer predicts: the clean window (published), or "velocity"
    condition_widths: Mapping[str, int] = field(
        default_factory=lambda: {"audio": MFCC_WIDTH, "coefficients": 58, "emotion": 25, "past_listener": 58}
    )
    drop_probability: Mapping[str, float] = field(
        default_factory=lambda: {"audio": 0.2, "coefficients": 0.2, "past_listener": 0.2}
    )  # a condition that is not named here is not used at all (the published files say 1.0 for those)

    def __post_init__(self):
        if self.variant not in MEMORY_ORDER:
            raise ValueError(f"unknown denoiser variant {self.variant!r}: expected one of {', '.join(MEMORY_ORDER)}")
        if self.prediction not in ("x0", "velocity"):
            raise ValueError(f"a denoiser predicts x0 or velocity, not {self.prediction!r}")
        if self.context and self.speaker_tokens < self.window + self.reaction_delay:
            raise ValueError("a context needs a speaker window of at least window + reaction_delay tokens")

    @property
    def speaker_tokens(self) -> int:
        """Tokens of the speaker that a window sees; they begin `reaction_delay` before the listener's."""
        return self.window if self.speaker_window is None else self.speaker_window

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions the memory can hold, in memory order."""
        return tuple(name for name in MEMORY_ORDER[self.variant] if self.drop_probability.get(name, 1.0) < 1.0)


@dataclass(frozen=True)
class Memory:
    """A window of the speaker, ready for every denoising step: per layer keys and values (N, heads, M, ·)."""

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor | None  # (window, 1 + M), True = visible; column 0 is the time token
    context: Tensor | None = None  # (N, window, width), added to the queries


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention to the memory, feed-forward with exact GELU; post-norm or `norm_first`."""

    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.self_attn = Attention(config.width, config.heads, config.dropout)
        self.multihead_attn = Attention(config.width, config.heads, config.dropout)
        self.linear1 = nn.Linear(config.width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, config.width)
        self.norm1 = nn.LayerNorm(config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.norm3 = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.norm_first = config.norm_first

    def forward(
        self, h: Tensor, time: Tensor, key: Tensor, value: Tensor, masks: tuple, edits: Edits, name: str
    ) -> Tensor:
        self_mask, memory_mask = masks
        cross_edit = edits.get(f"{name}.multihead_attn.in_proj_weight")
        h = self._residual(h, self.norm1, lambda x: self.self_attn(x, self_mask))
        time_key, time_value = self.multihead_attn.keys_values(time, cross_edit)
        key = torch.cat([time_key, key], dim=2)
        value = torch.cat([time_value, value], dim=2)
        h = self._residual(h, self.norm2, lambda x: self.multihead_attn.attend(x, key, value, memory_mask, cross_edit))

        def feedforward(x: Tensor) -> Tensor:
            inner = edited_linear(x, self.linear1.weight, self.linear1.bias, edits.get(f"{name}.linear1.weight"))
            inner = self.dropout(F.gelu(inner))
            return edited_linear(inner, self.linear2.weight, self.linear2.bias, edits.get(f"{name}.linear2.weight"))

        return self._residual(h, self.norm3, feedforward)

    def _residual(self, h: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return h + self.dropout(sublayer(norm(h)))
        return norm(h + self.dropout(sublayer(h)))


class Denoiser(nn.Module):
    """Noised window x_t (N, window, features), step t (N,), memory of the speaker -> predicted clean window x0.

    Where the output layer predicts velocity v, x0 = sqrt(abar) x_t - sqrt(1 - abar) v (Salimans & Ho 2022): with little
    noise left, nearly all of x0 is x_t and need not be made anew, quick movements included.
    """

    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.features, config.width)
        self.output = nn.Linear(config.width, config.features)
        self.time1 = nn.Linear(config.time_width, config.width)
        self.time2 = nn.Linear(config.width, config.width)
        self.condition = nn.ModuleDict({n: self._projection(n, w) for n, w in config.condition_widths.items()})
        if config.context:
            self.context = nn.Conv1d(config.width, config.width, config.context)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        if config.variant == "emotion":
            self.query_positions = nn.Parameter(torch.rand(500, config.width))
            self.memory_positions = nn.Parameter(torch.rand(500, config.width))
        else:
            longest = max(config.window, config.speaker_tokens)
            self.register_buffer("sine", sine_table(longest, config.width), persistent=False)

    def _projection(self, name: str, width: int) -> nn.Module:
        linear = nn.Linear(width, self.config.width)
        if name not in (*LATENTS, "personal"):
            return linear
        if width == self.config.width:  # docs/method.md 5.3: nothing when the widths agree
            return nn.Identity()
        return nn.Sequential(nn.ReLU(), linear) if name in LATENTS else linear

    def draw_masks(self, batch: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Which conditions stay on in a training step, name -> (batch,) of 0/1; only those with 0 < p < 1 are drawn."""
        probabilities = self.config.drop_probability
        return {
            name: torch.bernoulli(torch.full((batch,), 1.0 - probabilities[name]), generator=generator)
            for name in DRAW_ORDER
            if 0.0 < probabilities.get(name, 1.0) < 1.0
        }

    def memory_tokens(
        self, conditions: Mapping[str, Tensor], keep: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Conditions name -> (N, frames, channels) -> tokens (N, M, width) with positions, memory mask, context.

        `keep` name -> (N,) of 0/1 replaces a condition by bare positions where 0: zeros go in after the projection,
        so its bias goes too. Conditions that are absent or never used contribute no tokens.
        """
        keep = keep or {}
        blocks, visible, delayed = [], [], []
        row = 1  # learned positions: row 0 belongs to the time token
        device = self.embed.weight.device
        frame = torch.arange(self.config.window, device=device)[:, None]
        for name in self.config.conditions:
            if name not in conditions:
                continue
            tokens = self.condition[name](conditions[name])
            if name in keep:
                tokens = tokens * keep[name].to(tokens)[:, None, None]
            if name == "audio":
                tokens = tokens * self.config.audio_scale
            count = tokens.shape[1]
            if name in DELAYED:
                delayed.append(tokens)
            if self.config.variant == "emotion":
                tokens = tokens + self.memory_positions[row : row + count]
                row += count
            else:
                tokens = tokens + self.sine[:count]
                column = torch.arange(count, device=device)[None]
                past = column <= frame + self.config.reaction_delay
                visible.append(past if name in DELAYED else torch.ones_like(past))
            blocks.append(tokens)
        if not blocks:
            raise ValueError(f"no condition given: expected some of {', '.join(self.config.conditions)}")
        if self.config.variant == "emotion":
            return torch.cat(blocks, dim=1), None, None
        always = torch.ones(self.config.window, 1, dtype=torch.bool, device=device)
        mask = torch.cat([always, *visible], dim=1)
        return torch.cat(blocks, dim=1), mask, self._context(delayed) if self.config.context and delayed else None

    def _context(self, speaker_tokens: list[Tensor]) -> Tensor:
        """For every frame of the window what the speaker did until then, (N, window, width).

        Attention alone would first have to learn which of the speaker's frames belongs to the same time.
        """
        config = self.config
        tokens = sum(speaker_tokens)[:, : config.reaction_delay + config.window].transpose(1, 2)
        until = F.pad(tokens, (config.context - 1, 0))
        return self.context(until)[..., config.reaction_delay :].transpose(1, 2)

    def prepare(
        self,
        conditions: Mapping[str, Tensor],
        keep: Mapping[str, Tensor] | None = None,
        edits: Edits | None = None,
    ) -> Memory:
        """Everything of the cross-attention that does not depend on the diffusion step, computed once."""
        edits = edits or {}
        tokens, mask, context = self.memory_tokens(conditions, keep)
        pairs = [
            layer.multihead_attn.keys_values(tokens, edits.get(f"layers.{i}.multihead_attn.in_proj_weight"))
            for i, layer in enumerate(self.layers)
        ]
        return Memory([key for key, _ in pairs], [value for _, value in pairs], mask, context)

    def forward(self, x: Tensor, timesteps: Tensor, memory: Memory, edits: Edits | None = None) -> Tensor:
        """x (N, window, features), timesteps (N,) int -> x0 (N, window, features)."""
        edits = edits or {}
        frames = x.shape[1]
        time = timestep_embedding(timesteps, self.config.time_width).to(self.time1.weight.dtype)
        time = self.time2(F.silu(self.time1(time)))[:, None]
        if self.config.variant == "emotion":
            time = time + self.memory_positions[:1]
            h = self.embed(x) + self.query_positions[:frames]
            self_mask = None
        else:
            h = self.embed(x) + self.sine[:frames]
            self_mask = torch.ones(frames, frames, dtype=torch.bool, device=x.device).tril()
        if memory.context is not None:
            h = h + memory.context
        if self.config.time_in_query:
            h = h + time
        for i, layer in enumerate(self.layers):
            masks = (self_mask, memory.mask)
            h = layer(h, time, memory.keys[i], memory.values[i], masks, edits, f"layers.{i}")
        out = edited_linear(self.norm(h), self.output.weight, self.output.bias, edits.get("output.weight"))
        if self.config.prediction == "x0":
            return out
        abar = torch.as_tensor(cumulative_alphas(), dtype=x.dtype, device=x.device)[timesteps][:, None, None]
        return abar.sqrt() * x - (1 - abar).sqrt() * out
