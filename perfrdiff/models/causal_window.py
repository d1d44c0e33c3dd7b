"""Reactions token by token: what `perfrdiff.sampling.sample_sequence` gives, as soon as the speaker is known.

The render variant of the denoiser is causal: row i of a window sees rows up to i and the speaker up to its own time, in
every diffusion step. So row i can be denoised to the end before row i + 1 is begun, if the keys and values of the
earlier rows are kept for every step. The windows, their noise and what they share are those of `sample_sequence`; only
the order of the work is another, and with it the last bits of the numbers.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from perfrdiff.models.denoiser import DELAYED, DecoderLayer, Denoiser
from perfrdiff.models.layers import Edits, edited_linear, timestep_embedding
from perfrdiff.models.schedule import cumulative_alphas

KeysValues = tuple[Tensor, Tensor]  # (N, heads, M, head width) each


class CausalWindow:
    """One window of a causal denoiser, under classifier-free guidance: N samples of one listener to one speaker.

    Rows are asked for in their order, some at a time, by `predictor`; before that, the speaker's tokens that they see
    have to be there (`push`).
    """

    def __init__(
        self,
        denoiser: Denoiser,
        past: Tensor,
        scale: float,
        edits: Edits | None = None,
        dropped_conditions: tuple[str, ...] = (),
    ) -> None:
        """past: (N, window, features), the listener before the window, zeros before the beginning; `scale`,
        `edits` and `dropped_conditions`: as of `perfrdiff.sampling.guided_denoiser`, edits of one listener.

        Raises ValueError for a denoiser that is not causal.
        """
        if denoiser.config.variant != "render":
            raise ValueError("only the render variant is causal")
        self._denoiser, self._edits, self._scale = denoiser, edits or {}, scale
        self._samples, self._device = len(past), past.device
        conditions = denoiser.config.conditions
        dropped = dropped_conditions or conditions
        branches = (1.0,) if scale == 1.0 else (0.0, 1.0)  # unconditional, conditional
        self._keep = {
            name: torch.tensor([kept if name in dropped else 1.0 for kept in branches], device=past.device)
            for name in conditions
        }
        self._speaker: dict[str, list[KeysValues]] = {}  # condition -> of every layer, (branches, …)
        self._projected = torch.zeros(len(branches), 0, denoiser.config.width, device=past.device)
        self._past = self._past_keys_values(past) if "past_listener" in conditions else None
        self._rows: list[list[KeysValues]] = []  # diffusion step -> layer -> of the rows so far

    def push(self, speaker: dict[str, Tensor]) -> None:
        """The speaker's next tokens, name -> (n, channels); the first belongs `reaction_delay` before the window."""
        config, projected = self._denoiser.config, []
        first = self._projected.shape[1]
        for name in (name for name in DELAYED if name in config.conditions and name in speaker):
            tokens = self._denoiser.condition[name](speaker[name]) * self._keep[name][:, None, None]
            if name == "audio":
                tokens = tokens * config.audio_scale
            projected.append(tokens)
            placed = tokens + self._denoiser.sine[first : first + tokens.shape[1]]
            earlier = self._speaker.get(name)
            added = self._keys_values(placed)
            self._speaker[name] = (
                added if earlier is None else [_joined(*pair) for pair in zip(earlier, added, strict=True)]
            )
        self._projected = torch.cat([self._projected, sum(projected)], dim=1)

    def predictor(self, first: int, count: int) -> Callable[[Tensor, int], Tensor]:
        """For rows first … first + count: a function (x_t (N, count, features), t) -> x0, to be called once for every
        diffusion step, in their order."""
        memory = self._memory(first, count)
        context = self._context(first, count)
        self_mask = torch.ones(count, first + count, dtype=torch.bool, device=self._device).tril(first)
        calls = iter(range(10_000))

        def predict(x: Tensor, t: int) -> Tensor:
            step = next(calls)
            if step == len(self._rows):
                self._rows.append([])
            out = self._forward(x, t, first, memory, context, self_mask, self._rows[step])
            if self._scale == 1.0:
                return out
            unconditional, conditional = out.chunk(2)
            return unconditional + self._scale * (conditional - unconditional)

        return predict

    def _forward(
        self,
        x: Tensor,
        t: int,
        first: int,
        memory: tuple[list[KeysValues], Tensor],
        context: Tensor | None,
        self_mask: Tensor,
        rows: list[KeysValues],
    ) -> Tensor:
        """`Denoiser.forward` of some rows, in both branches."""
        denoiser, config = self._denoiser, self._denoiser.config
        timestep = torch.full((1,), t, device=x.device)
        time = denoiser.time2(F.silu(denoiser.time1(timestep_embedding(timestep, config.time_width))))[:, None]
        h = denoiser.embed(x) + denoiser.sine[first : first + x.shape[1]]
        h = h.repeat(len(self._projected), 1, 1)
        if context is not None:
            h = h + context
        if config.time_in_query:
            h = h + time
        for index, layer in enumerate(denoiser.layers):
            h = self._layer(index, layer, h, time, memory, self_mask, rows)
        out = edited_linear(
            denoiser.norm(h), denoiser.output.weight, denoiser.output.bias, self._edits.get("output.weight")
        )
        if config.prediction == "x0":
            return out
        abar = torch.as_tensor(cumulative_alphas()[t], dtype=x.dtype, device=x.device)
        return abar.sqrt() * x.repeat(len(self._projected), 1, 1) - (1 - abar).sqrt() * out

    def _layer(
        self,
        index: int,
        layer: DecoderLayer,
        h: Tensor,
        time: Tensor,
        memory: tuple[list[KeysValues], Tensor],
        self_mask: Tensor,
        rows: list[KeysValues],
    ) -> Tensor:
        name = f"layers.{index}"
        cross_edit = self._edits.get(f"{name}.multihead_attn.in_proj_weight")

        def look_back(x: Tensor) -> Tensor:
            keys_values = layer.self_attn.keys_values(x)
            if index == len(rows):
                rows.append(keys_values)
            else:
                rows[index] = _joined(rows[index], keys_values)
            return layer.self_attn.attend(x, *rows[index], self_mask, None)

        def look_at_speaker(x: Tensor) -> Tensor:
            (key, value), mask = memory[0][index], memory[1]
            time_key, time_value = layer.multihead_attn.keys_values(time, cross_edit)
            key = torch.cat([time_key.expand(len(key), -1, -1, -1), key], dim=2)
            value = torch.cat([time_value.expand(len(value), -1, -1, -1), value], dim=2)
            return layer.multihead_attn.attend(x, key, value, mask, cross_edit)

        def feedforward(x: Tensor) -> Tensor:
            inner = edited_linear(
                x, layer.linear1.weight, layer.linear1.bias, self._edits.get(f"{name}.linear1.weight")
            )
            edit = self._edits.get(f"{name}.linear2.weight")
            return edited_linear(F.gelu(inner), layer.linear2.weight, layer.linear2.bias, edit)

        h = layer._residual(h, layer.norm1, look_back)
        h = layer._residual(h, layer.norm2, look_at_speaker)
        return layer._residual(h, layer.norm3, feedforward)

    def _keys_values(self, tokens: Tensor) -> list[KeysValues]:
        """Of every layer's cross-attention, for tokens (m, n, width)."""
        return [
            layer.multihead_attn.keys_values(tokens, self._edits.get(f"layers.{i}.multihead_attn.in_proj_weight"))
            for i, layer in enumerate(self._denoiser.layers)
        ]

    def _past_keys_values(self, past: Tensor) -> list[KeysValues]:
        """(branches * N, …): only where guidance drops the past do the branches differ."""
        tokens = self._denoiser.condition["past_listener"](past)
        rows = torch.cat([tokens * kept for kept in self._keep["past_listener"]])
        return self._keys_values(rows + self._denoiser.sine[: past.shape[1]])

    def _memory(self, first: int, count: int) -> tuple[list[KeysValues], Tensor]:
        """Keys and values of every layer, (branches * N, …), that the rows see, and the mask (count, 1 + M)."""
        config = self._denoiser.config
        last = first + count - 1
        visible = min(config.speaker_tokens, last + config.reaction_delay + 1)
        assert self._projected.shape[1] >= visible, "the speaker's tokens of these rows were not pushed"
        row = torch.arange(first, first + count, device=self._device)[:, None]
        seen = torch.arange(visible, device=self._device)[None] <= row + config.reaction_delay
        past = (
            [] if self._past is None else [torch.ones_like(row, dtype=torch.bool).expand(-1, self._past[0][0].shape[2])]
        )
        mask = torch.cat([torch.ones_like(row, dtype=torch.bool), *[seen] * len(self._speaker), *past], dim=1)
        layers = []
        for index in range(len(self._denoiser.layers)):
            blocks = [
                tuple(
                    part[:, :, :visible].repeat_interleave(self._samples, dim=0) for part in self._speaker[name][index]
                )
                for name in self._speaker
            ]
            if self._past is not None:
                blocks.append(self._past[index])
            layers.append(
                (torch.cat([key for key, _ in blocks], dim=2), torch.cat([value for _, value in blocks], dim=2))
            )
        return layers, mask

    def _context(self, first: int, count: int) -> Tensor | None:
        """See `Denoiser._context`: (branches * N, count, width) of these rows."""
        config = self._denoiser.config
        if not config.context:
            return None
        begin = first + config.reaction_delay - config.context + 1
        tokens = self._projected[:, max(begin, 0) : first + config.reaction_delay + count].transpose(1, 2)
        tokens = F.pad(tokens, (max(-begin, 0), 0))
        return self._denoiser.context(tokens).transpose(1, 2).repeat_interleave(self._samples, dim=0)


def _joined(earlier: KeysValues, added: KeysValues) -> KeysValues:
    return torch.cat([earlier[0], added[0]], dim=2), torch.cat([earlier[1], added[1]], dim=2)
