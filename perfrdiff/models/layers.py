"""Pieces shared by the networks: position tables, time embedding, attention, and linear maps whose weight a listener
may shift."""

from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sine_table(length: int, width: int) -> Tensor:
    """Fixed positions (length, width): column 2i = sin(p / 10000^(2i/width)), column 2i+1 = cos of the same angle."""
    position = torch.arange(length, dtype=torch.float32)[:, None]
    frequency = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-log(10000.0) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table


def timestep_embedding(timesteps: Tensor, width: int = 64) -> Tensor:
    """Steps (N,) -> (N, width) as [cos | sin], frequencies exp(-ln(10000) j / (width/2)) (docs/method.md 5.2)."""
    half = width // 2
    frequency = torch.exp(-log(10000.0) * torch.arange(half, dtype=torch.float32, device=timesteps.device) / half)
    angle = timesteps.float()[:, None] * frequency
    return torch.cat([torch.cos(angle), torch.sin(angle)], dim=-1)


def periodic_causal_bias(heads: int, frames: int, period: int) -> Tensor:
    """(heads, frames, frames) to add to attention logits: -slope * (whole periods back), -inf for the future.

    Slopes are 2^(-8 h / heads), h = 1 … heads. Within one period it is a plain causal mask, which is what every
    published window is (docs/method.md 5.4); longer windows than the period were never used.
    """
    slope = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)
    frame = torch.arange(frames)
    back = torch.div(frame[:, None] - frame, period, rounding_mode="floor")
    return (-slope[:, None, None] * back).masked_fill(back < 0, -torch.inf)


@dataclass(frozen=True)
class WeightEdit:
    """What one or several listeners change in one weight matrix W (out, in).

    Either `dense` (P, out, in), the edited weights themselves, or a low-rank shift `left` (P, out, rank) @ `right`
    (P, rank, in) that is added to W. P is the number of listeners; inputs are grouped by listener, P first.
    """

    dense: Tensor | None = None
    left: Tensor | None = None
    right: Tensor | None = None

    @property
    def listener_count(self) -> int:
        """P, the number of listeners."""
        return (self.dense if self.dense is not None else self.left).shape[0]

    def to(self, device: torch.device) -> "WeightEdit":
        """The same on another device."""
        return WeightEdit(*(None if x is None else x.to(device) for x in (self.dense, self.left, self.right)))

    def of_listener(self, i: int) -> "WeightEdit":
        """What listener i of the P changes."""
        return WeightEdit(*(None if x is None else x[i : i + 1] for x in (self.dense, self.left, self.right)))

    def applied_to(self, weight: Tensor) -> Tensor:
        """W (out, in) as the one listener has it; ValueError if there are several."""
        if self.listener_count != 1:
            raise ValueError(f"edits of {self.listener_count} listeners: one weight is one listener's")
        if self.dense is not None:
            return self.dense[0].to(weight.dtype)
        return weight + (self.left[0] @ self.right[0]).to(weight.dtype)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x (P * m, frames, in) -> (P * m, frames, out) with each listener's own weight."""
        if self.dense is not None and self.listener_count == 1:
            return F.linear(x, self.dense[0].to(x.dtype), bias)
        rows = x.reshape(self.listener_count, -1, x.shape[-1])
        if self.dense is not None:
            out = rows @ self.dense.transpose(1, 2).to(rows.dtype)
            if bias is not None:
                out = out + bias
        else:
            out = F.linear(rows, weight, bias)
            shift = (rows @ self.right.transpose(1, 2).to(rows.dtype)) @ self.left.transpose(1, 2).to(rows.dtype)
            out = out + shift
        return out.reshape(*x.shape[:-1], -1)


Edits = dict[str, WeightEdit]
"""Parameter name of the denoiser (for instance `layers.6.linear1.weight`) -> what the listeners change in it."""


def edited_linear(x: Tensor, weight: Tensor, bias: Tensor | None, edit: WeightEdit | None) -> Tensor:
    """x (N, frames, in) -> (N, frames, out), with the listeners' weights where there is an edit."""
    return F.linear(x, weight, bias) if edit is None else edit.linear(x, weight, bias)


class Attention(nn.Module):
    """Multi-head attention with packed query, key and value weights (rows q, k, v), scaled by head_width^-0.5."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def _project(self, x: Tensor, blocks: slice, edit: WeightEdit | None) -> list[Tensor]:
        """Rows `blocks` (in units of q, k, v) of the packed projection, each split into heads (N, heads, L, ·)."""
        width = self.out_proj.in_features
        rows = slice(blocks.start * width, blocks.stop * width)
        if edit is not None:
            edit = WeightEdit(
                dense=None if edit.dense is None else edit.dense[:, rows],
                left=None if edit.left is None else edit.left[:, rows],
                right=edit.right,
            )
        packed = edited_linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows], edit)
        return [block.unflatten(-1, (self.heads, -1)).transpose(1, 2) for block in packed.split(width, dim=-1)]

    def keys_values(self, x: Tensor, edit: WeightEdit | None = None) -> tuple[Tensor, Tensor]:
        """x (N, M, width) -> keys and values (N, heads, M, head width)."""
        key, value = self._project(x, slice(1, 3), edit)
        return key, value

    def attend(self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, edit: WeightEdit | None) -> Tensor:
        """x (N, L, width) looks at key, value (N, heads, M, head width); mask (L, M) True = visible."""
        (query,) = self._project(x, slice(0, 1), edit)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Self-attention, x (N, L, width)."""
        key, value = self.keys_values(x)
        return self.attend(x, key, value, mask, None)
