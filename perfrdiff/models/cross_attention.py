"""What `fast_denoiser` looks at a speaker with: cross-attention to a memory in which only the time token, in the first
place, changes from step to step."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Linear(NamedTuple):
    weight: Tensor  # (out, in)
    bias: Tensor  # (out,)

    def rows(self, block: slice) -> "Linear":
        """Some of its outputs."""
        return Linear(self.weight[block], self.bias[block])


@dataclass(frozen=True)
class CrossAttention:
    """The cross-attention of one layer. Shapes: heads H, memory S, head width d, model width D = H d."""

    heads: int
    query: Linear
    key: Linear
    value: Linear
    out: Linear

    def split(self, x: Tensor) -> Tensor:
        """(…, S, D) -> (…, H, S, d)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (…, S, D) -> keys and values (…, H, S, d)."""
        return self.split(F.linear(tokens, *self.key)), self.split(F.linear(tokens, *self.value))

    def logit_rows(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (…, H, S, d) -> rows (…, H, S, D) and offsets (…, H, S): the logits of a frame x are rows · x + offsets.

        k · (Wq x + bq) / √d = (k Wq / √d) · x + k · bq / √d, head by head.
        """
        scaled = keys * keys.shape[-1] ** -0.5
        weight, bias = self.query.weight.unflatten(0, (self.heads, -1)), self.query.bias.unflatten(0, (self.heads, -1))
        return scaled @ weight, (scaled @ bias[..., None])[..., 0]

    def output_rows(self, values: Tensor) -> Tensor:
        """Values (…, H, S, d) -> what each adds to the output, (…, H, S, D): v Wout, head by head."""
        return values @ self.out.weight.unflatten(1, (self.heads, -1)).permute(1, 2, 0)


class FoldedMemory:
    """A memory of S tokens for G groups of queries, folded into the projections of query and output.

    Where H S < D, logits straight from a frame and outputs straight from the weights are less work than by the head.
    """

    def __init__(self, cross: CrossAttention, keys: Tensor, values: Tensor, bias: Tensor, rows: int):
        """Keys, values (G, H, S, d), token 0 to be set for every step; bias (frames or 1, S) added to the logits.

        A group has `rows` windows of queries.
        """
        self.cross, self.groups = cross, len(keys)
        self.rows, offsets = cross.logit_rows(keys)
        self.outputs = cross.output_rows(values)
        self.offsets = offsets[:, None] + bias[:, None]  # (G, frames or 1, H, S)

    def set_time(self, key: Tensor, value: Tensor) -> None:
        """The time token's key and value (H, 1, d)."""
        row, offset = self.cross.logit_rows(key)
        self.rows[:, :, :1] = row
        self.offsets[..., :1] = offset
        self.outputs[:, :, :1] = self.cross.output_rows(value)

    def attend(self, x: Tensor) -> Tensor:
        """Frames x (G, rows * frames, D) -> (G, rows * frames, D)."""
        frames, heads, tokens = self.offsets.shape[1:]
        logits = torch.bmm(x, self.rows.flatten(1, 2).transpose(1, 2))
        logits.view(len(x), -1, frames, heads, tokens).add_(self.offsets[:, None])
        weights = torch.softmax(logits.view(-1, heads, tokens), dim=-1).view_as(logits)
        return torch.baddbmm(self.cross.out.bias, weights, self.outputs.flatten(1, 2))


class SpeakerMemory:
    """A memory of S tokens for G groups of queries, looked at as the definition does."""

    def __init__(self, cross: CrossAttention, keys: Tensor, values: Tensor, bias: Tensor, rows: int):
        """As `FoldedMemory`."""
        self.cross, self.groups = cross, len(keys)
        self.keys, self.values = keys.contiguous(), values.contiguous()
        self.bias = bias if len(bias) == 1 else bias.repeat(rows, 1)

    def set_time(self, key: Tensor, value: Tensor) -> None:
        """As `FoldedMemory`."""
        self.keys[:, :, :1] = key
        self.values[:, :, :1] = value

    def attend(self, x: Tensor) -> Tensor:
        """As `FoldedMemory`."""
        query = self.cross.split(F.linear(x, *self.cross.query))
        out = F.scaled_dot_product_attention(query, self.keys, self.values, attn_mask=self.bias)
        return F.linear(out.transpose(1, 2).flatten(2), *self.cross.out)
