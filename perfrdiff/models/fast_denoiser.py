"""The published denoiser under guidance, with everything computed once that is constant over the diffusion steps.

The same numbers as `sampling.guided_denoiser`, the readable definition, up to float32 rounding; docs/method.md 5.6 has
what is rearranged. For one listener and the published layout of a layer (`can_speed_up`).
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from perfrdiff.models.cross_attention import CrossAttention, FoldedMemory, Linear, SpeakerMemory
from perfrdiff.models.denoiser import DecoderLayer, Denoiser, DenoiserConfig
from perfrdiff.models.layers import Edits, timestep_embedding

FOLD_BELOW = 0.85  # of the width: up to so many logits a frame, forming them without queries is quicker (measured)

Predict = Callable[[Tensor, int], Tensor]
"""Noised windows (N, window, features) and a diffusion step -> x0 of that shape."""


def can_speed_up(config: DenoiserConfig, edits: Edits | None) -> bool:
    """Whether `FastDenoiser` is for such a network: the published layout, edited by one listener or by none."""
    published = not (config.context or config.time_in_query or config.norm_first) and config.prediction == "x0"
    return published and all(edit.listener_count == 1 for edit in (edits or {}).values())


class _Layer:
    """A layer's weights, the listener's edits applied."""

    def __init__(self, layer: DecoderLayer, name: str, edits: Edits):
        def edited(parameter: str, weight: Tensor) -> Tensor:
            edit = edits.get(f"{name}.{parameter}")
            return (weight if edit is None else edit.applied_to(weight)).detach()

        width = layer.linear2.out_features
        self_attention, cross_attention = layer.self_attn, layer.multihead_attn
        self.heads = self_attention.heads
        # A key's bias adds the same to all logits of a query, which softmax takes away again; a value's bias comes
        # through the attention as it is, into the output.
        self.self_in = self_attention.in_proj_weight.detach()
        self.query_bias, _, value_bias = self_attention.in_proj_bias.detach().chunk(3)
        weight, bias = self_attention.out_proj.weight.detach(), self_attention.out_proj.bias.detach()
        self.self_out = Linear(weight, bias + weight @ value_bias)
        packed = _detached(
            edited("multihead_attn.in_proj_weight", cross_attention.in_proj_weight), cross_attention.in_proj_bias
        )
        self.cross = CrossAttention(
            cross_attention.heads,
            *(packed.rows(slice(i * width, (i + 1) * width)) for i in range(3)),
            _detached(cross_attention.out_proj.weight, cross_attention.out_proj.bias),
        )
        self.linear1 = _detached(edited("linear1.weight", layer.linear1.weight), layer.linear1.bias)
        self.linear2 = _detached(edited("linear2.weight", layer.linear2.weight), layer.linear2.bias)
        self.norm1, self.norm2, self.norm3 = layer.norm1, layer.norm2, layer.norm3

    def self_project(self, h: Tensor) -> Tensor:
        """Frames (…, D) -> queries, keys and values (…, 3 D)."""
        packed = F.linear(h, self.self_in)
        packed[..., : len(self.query_bias)] += self.query_bias
        return packed

    def self_attend(self, packed: Tensor, mask: Tensor | None) -> Tensor:
        """Projected frames (N, window, 3 D) -> what the last of them see, (N, rows of the mask or window, D)."""
        query, key, value = (block.unflatten(-1, (self.heads, -1)).transpose(1, 2) for block in packed.chunk(3, dim=-1))
        if mask is not None:
            query = query[:, :, -len(mask) :]
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return F.linear(out.transpose(1, 2).flatten(2), *self.self_out)

    def feedforward(self, h: Tensor) -> Tensor:
        return F.linear(F.gelu(F.linear(h, *self.linear1)), *self.linear2)


def _bias(mask: Tensor | None, tokens: Tensor) -> Tensor:
    """What is added to the logits of tokens (n, M, D): -inf where one is not visible, (window or 1, 1 + M)."""
    if mask is None:
        return tokens.new_zeros(1, 1 + tokens.shape[1])
    return torch.zeros_like(mask, dtype=tokens.dtype).masked_fill(~mask, -torch.inf)


def _detached(weight: Tensor, bias: Tensor) -> Linear:
    return Linear(weight.detach(), bias.detach())


class FastDenoiser:
    """A denoiser with one listener's edits, or none, ready for any number of speakers; the denoiser stays as it is.

    One object serves several threads: what a call changes belongs to the function that `guided` returns.
    """

    def __init__(self, denoiser: Denoiser, edits: Edits | None = None):
        """Raises ValueError for a network or edits that `can_speed_up` says no to."""
        if not can_speed_up(denoiser.config, edits):
            raise ValueError("the fast path is for the published layout and the edits of one listener")
        edits = edits or {}
        self.denoiser, self.config = denoiser, denoiser.config
        self.layers = [_Layer(layer, f"layers.{i}", edits) for i, layer in enumerate(denoiser.layers)]
        weight = denoiser.output.weight
        self.output = _detached(
            edits["output.weight"].applied_to(weight) if "output.weight" in edits else weight, denoiser.output.bias
        )
        # The first self-attention reads a frame through one product of `embed` and its own projection: 58 wide, not D.
        window = self.config.window
        emotion = self.config.variant == "emotion"
        positions = (denoiser.query_positions if emotion else denoiser.sine)[:window].detach()
        self.embed = denoiser.embed.weight.detach()
        self.start = denoiser.embed.bias.detach() + positions  # (window, D)
        self.first_in = self.layers[0].self_in @ self.embed
        self.first_start = self.layers[0].self_project(self.start)
        self._times: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self._bare: dict[tuple, tuple[Tensor, Tensor]] = {}  # see _bare_tokens

    def guided(
        self,
        conditions: Mapping[str, Tensor],
        scale: float,
        dropped_conditions: tuple[str, ...] = (),
        *,
        samples: int = 1,
        skipped_frames: int = 0,
    ) -> Predict:
        """As `sampling.guided_denoiser`, for conditions (n, frames, channels) of n windows and `samples` rows for each.

        Rows are ordered (window, sample). Of the first `skipped_frames` frames nobody needs the prediction: they come
        back as zeros.
        """
        with torch.no_grad():
            conditions = {name: value.to(self.embed.dtype) for name, value in conditions.items()}
            tokens, mask, _ = self.denoiser.memory_tokens(conditions)
            memories = [(F.pad(tokens, (0, 0, 1, 0)), _bias(mask, tokens))]
            if scale != 1.0:
                memories.insert(0, self._unconditional(conditions, tokens, dropped_conditions or tuple(conditions)))
            rows = samples * len(tokens)
            branches = [self._memories(*memory, skipped_frames, rows) for memory in memories]
        masks = self._self_masks(skipped_frames)
        return _Guided(self, branches, masks, scale).predict

    def time(self, t: int) -> list[tuple[Tensor, Tensor]]:
        """For every layer the time token's key and value (H, 1, d) in cross-attention."""
        if t not in self._times:
            denoiser = self.denoiser
            embedding = timestep_embedding(torch.tensor([t], device=self.embed.device), self.config.time_width)
            token = denoiser.time2(F.silu(denoiser.time1(embedding.to(self.embed.dtype))))
            if self.config.variant == "emotion":
                token = token + denoiser.memory_positions[:1]
            self._times[t] = [layer.cross.keys_values(token.detach()) for layer in self.layers]
        return self._times[t]

    def _unconditional(
        self, conditions: Mapping[str, Tensor], tokens: Tensor, dropped: tuple[str, ...]
    ) -> tuple[Tensor, Tensor]:
        """The unconditional branch's tokens (n or 1, 1 + M, D), the time token's place first, and bias of the logits.

        n is 1 where no condition is kept; `tokens` are those of the conditional branch.
        """
        lengths = {name: conditions[name].shape[1] for name in self.config.conditions if name in conditions}
        key = tuple(lengths.items()), dropped
        if key not in self._bare:
            self._bare[key] = self._bare_tokens(conditions, dropped)
        bare, bias = self._bare[key]
        kept = [
            block
            for name, block in zip(lengths, tokens.split(list(lengths.values()), dim=1), strict=True)
            if name not in dropped
        ]
        if kept:
            bare = torch.cat([bare.expand(len(tokens), -1, -1), *kept], dim=1)
        return F.pad(bare, (0, 0, 1, 0)), bias

    def _bare_tokens(self, conditions: Mapping[str, Tensor], dropped: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """Tokens (1, M, D) of dropped conditions, the same for all speakers, and the bias of their branch's logits.

        They are positions alone, and in the render variant audio's are those of the coefficients: k equal tokens are
        one token with log k added to its logit.
        """
        one = {name: value[:1] for name, value in conditions.items()}
        nothing = torch.zeros(1, device=self.embed.device)
        tokens, mask, _ = self.denoiser.memory_tokens(one, {name: nothing for name in dropped})
        bias = _bias(mask, tokens)
        is_bare = torch.cat(
            [torch.full((one[name].shape[1],), name in dropped) for name in self.config.conditions if name in one]
        )
        table = torch.cat([tokens[0, is_bare].T, bias[:, 1:][:, is_bare]])  # a column holds all there is of a token
        columns, counts = torch.unique(table, dim=1, return_counts=True)
        bias = torch.cat([bias[:, :1], columns[-len(bias) :] + counts.log(), bias[:, 1:][:, ~is_bare]], dim=1)
        return columns[: tokens.shape[2]].T[None].contiguous(), bias.to(tokens.dtype)

    def _memories(self, tokens: Tensor, bias: Tensor, skipped: int, rows: int) -> list[FoldedMemory | SpeakerMemory]:
        """Of every layer, for so many rows in all."""
        folded = self.config.heads * tokens.shape[1] <= FOLD_BELOW * self.config.width
        kind = FoldedMemory if folded else SpeakerMemory
        memories = []
        for i, layer in enumerate(self.layers):
            wanted = bias[skipped:] if i + 1 == len(self.layers) and len(bias) > 1 else bias
            memories.append(kind(layer.cross, *layer.cross.keys_values(tokens), wanted, rows // len(tokens)))
        return memories

    def _self_masks(self, skipped: int) -> list[Tensor | None]:
        """Of every layer: (frames whose output is wanted, window), True = visible; None: all of them, unmasked."""
        window = self.config.window
        mask = torch.ones(window, window, dtype=torch.bool, device=self.embed.device)
        if self.config.variant == "render":
            mask = mask.tril()
        elif not skipped:
            return [None] * len(self.layers)
        return [mask] * (len(self.layers) - 1) + [mask[skipped:]]


class _Guided:
    """The prediction for given speakers: u + scale (c - u) of one or both branches."""

    def __init__(
        self, fast: FastDenoiser, branches: list[list[FoldedMemory | SpeakerMemory]], masks: list[Tensor | None],
        scale: float,
    ):  # fmt: skip
        self.fast, self.branches, self.masks, self.scale = fast, branches, masks, scale

    def predict(self, x: Tensor, t: int) -> Tensor:
        """Noised windows (n * samples, window, features) -> x0."""
        for memories in self.branches:
            for memory, time in zip(memories, self.fast.time(t), strict=True):
                memory.set_time(*time)
        with torch.no_grad():
            return self.denoise(x.to(self.fast.embed.dtype)).to(x.dtype)

    def denoise(self, x: Tensor) -> Tensor:
        """`predict` at the step whose time token is set."""
        fast = self.fast
        h = (F.linear(x, fast.embed) + fast.start)[None]  # (branches, rows, frames, D); one until the speaker comes in
        packed = F.linear(x, fast.first_in).add_(fast.first_start)
        for i, layer in enumerate(fast.layers):
            if i:
                packed = layer.self_project(h).flatten(0, 1)
            seen = layer.self_attend(packed, self.masks[i])
            h = h[:, :, -seen.shape[1] :]
            h = layer.norm1(seen.view_as(h).add_(h))
            h = layer.norm2(self.look(h, i).add_(h))
            h = layer.norm3(layer.feedforward(h).add_(h))
        h = fast.denoiser.norm(h)
        if len(h) == 2:
            h = torch.lerp(h[:1], h[1:], self.scale)  # the output is linear: guiding before it is guiding after it
        out = F.linear(h[0], *fast.output)
        return F.pad(out, (0, 0, x.shape[1] - out.shape[1], 0))

    def look(self, h: Tensor, i: int) -> Tensor:
        """Frames (1 or branches, rows, frames, D) look at their branch's memory -> (branches, rows, frames, D)."""
        seen = []
        for branch, memories in enumerate(self.branches):
            memory = memories[i]
            frames = h[branch if len(h) > 1 else 0]
            seen.append(memory.attend(frames.reshape(memory.groups, -1, frames.shape[-1])).view_as(frames))
        return torch.stack(seen) if len(seen) > 1 else seen[0][None]
