"""PWSG: a hypernetwork that turns a style into shifts of some denoiser weights (paper 3.3, docs/method.md 7)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.layers import Edits, WeightEdit

PREDICTIONS = ("shift", "offset", "weight")


@dataclass(frozen=True)
class WeightEditorConfig:
    """Sizes of the weight editor; the defaults are the published ones.

    `predict`: how the editor's output D changes a weight W: "shift" W + D (published), "offset" W (1 + D), "weight"
    D itself. A target of attention may have two thirds of the rows of W: keys and values only, the published `modify:
    kv`.
    """

    style: int = 512
    hidden: int = 1024
    rank: int | None = None  # None: a full matrix per weight (published, 1.1 billion parameters); 8: low-rank shifts
    targets: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # denoiser parameter -> (out, in)
    predict: str = "shift"
    shared_factors: bool = False  # low-rank: all listeners' shifts are of the same factors, more or less of each

    def __post_init__(self):
        if self.predict not in PREDICTIONS:
            raise ValueError(f"a weight editor predicts one of {', '.join(PREDICTIONS)}, not {self.predict!r}")
        if self.rank is not None and self.predict != "shift":
            raise ValueError("a low-rank weight editor can only predict shifts")
        if self.shared_factors and self.rank is None:
            raise ValueError("only a low-rank weight editor has factors to share")


def render_targets(config: DenoiserConfig) -> dict[str, tuple[int, int]]:
    """The weights the published render variant edits: the output layer and the last feed-forward block."""
    last = f"layers.{config.layers - 1}"
    return {
        "output.weight": (config.features, config.width),
        f"{last}.linear1.weight": (config.feedforward, config.width),
        f"{last}.linear2.weight": (config.width, config.feedforward),
    }


def emotion_targets(
    config: DenoiserConfig, layers: tuple[int, ...] = (4, 6), modify: str = "all"
) -> dict[str, tuple[int, int]]:
    """The weights the published emotion variant edits: the output layer and the cross-attention of two layers.

    `modify` "all" means the whole packed projection of query, key and value, "kv" only the rows of key and value.
    """
    if modify not in ("all", "kv"):
        raise ValueError(f"attention is modified in 'all' or in 'kv', not {modify!r}")
    rows = (3 if modify == "all" else 2) * config.width
    attention = {f"layers.{i}.multihead_attn.in_proj_weight": (rows, config.width) for i in layers}
    return {"output.weight": (config.features, config.width)} | attention


class WeightEditor(nn.Module):
    """Style (P, style) -> for every target weight a shift: dense (P, out, in), or low-rank factors.

    A low-rank editor starts at a zero shift (left factor 0), so that training starts from the generic generator. With
    `shared_factors` a style only says how much of each pair of factors is added: far fewer numbers to learn, each from
    all listeners.
    """

    def __init__(self, config: WeightEditorConfig):
        super().__init__()
        self.config = config
        self.shared = nn.Sequential(
            nn.Linear(config.style, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.hidden), nn.ReLU()
        )
        self.left = nn.ModuleList()
        self.right = nn.ModuleList()
        self.full = nn.ModuleList()
        self.amount = nn.ModuleList()
        self.left_factor = nn.ParameterList()
        self.right_factor = nn.ParameterList()
        for rows, columns in config.targets.values():
            if config.rank is None:
                self.full.append(nn.Linear(config.hidden, rows * columns))
            elif config.shared_factors:
                self.amount.append(nn.Linear(config.hidden, config.rank))
                self.left_factor.append(torch.zeros(rows, config.rank))
                self.right_factor.append(_fill_normal(torch.empty(config.rank, columns), columns**-0.5))
            else:
                left = nn.Linear(config.hidden, rows * config.rank)
                nn.init.zeros_(left.weight)
                nn.init.zeros_(left.bias)
                right = nn.Linear(config.hidden, config.rank * columns)
                _fill_normal(right.weight, (config.hidden * columns) ** -0.5)
                _fill_normal(right.bias, columns**-0.5)
                self.left.append(left)
                self.right.append(right)

    @torch.no_grad()
    def initialize_from_probe(self, probe_weights: Tensor) -> None:
        """Initialise an untrained editor with shared factors from linear probes of a style (K, style), 2 K <= hidden.

        Its hidden layers begin as the positive and negative parts of the K probed numbers, and the amounts as random
        mixtures of them: what the probes read of a listener can be used from the first step on.

        Raises ValueError for an editor without shared factors and for too many probes.
        """
        count = 2 * len(probe_weights)
        first, second = self.shared[0], self.shared[2]
        if not self.config.shared_factors or count > self.config.hidden:
            raise ValueError(f"{len(probe_weights)} probes need shared factors and a hidden width of {count} or more")
        first.weight[:count], first.bias[:count] = torch.cat([probe_weights, -probe_weights]), 0.0
        second.weight[:count], second.bias[:count] = 0.0, 0.0
        second.weight[:count, :count] = torch.eye(count)
        for amount in self.amount:
            mixture = torch.randn(self.config.rank, len(probe_weights)) * len(probe_weights) ** -0.5
            amount.weight.zero_()
            amount.weight[:, :count] = torch.cat([mixture, -mixture], dim=1)
            amount.bias.zero_()

    def forward(self, style: Tensor) -> Edits:
        """The shifts of P listeners; a dense shift is returned as delta, see `edited_weights`."""
        h = self.shared(style)
        edits = {}
        for i, (name, (rows, columns)) in enumerate(self.config.targets.items()):
            if self.config.rank is None:
                edits[name] = WeightEdit(dense=self.full[i](h).unflatten(1, (rows, columns)))
            elif self.config.shared_factors:
                edits[name] = WeightEdit(
                    left=self.amount[i](h)[:, None, :] * self.left_factor[i],
                    right=self.right_factor[i].expand(len(style), -1, -1),
                )
            else:
                edits[name] = WeightEdit(
                    left=self.left[i](h).unflatten(1, (rows, self.config.rank)),
                    right=self.right[i](h).unflatten(1, (self.config.rank, columns)),
                )
        return edits


def _fill_normal(tensor: Tensor, std: float) -> Tensor:
    """The tensor, filled with normal numbers. On `meta` there is nothing to fill, and to ask for random numbers there
    loads torch's compiler, which takes a second."""
    return tensor if tensor.is_meta else nn.init.normal_(tensor, std=std)


def edited_weights(
    denoiser: Denoiser, shifts: Edits, strength: float = 1.0, predict: str = "shift", zero_query_rows: bool = False
) -> Edits:
    """Shifts -> edits ready for the denoiser. The denoiser itself is left as it is.

    `strength` 0 gives the generic generator, 1 the listener as learnt, up to 2 exaggerates. `predict`: see
    `WeightEditorConfig`. A shift without rows for the query leaves the query as it is, except that with
    `zero_query_rows` predicting "weight" sets these rows to zero, as published (docs/method.md 7.3).
    """
    parameters = dict(denoiser.named_parameters())
    edits = {}
    for name, shift in shifts.items():
        delta = shift.dense if shift.dense is not None else shift.left @ shift.right
        weight = parameters[name].detach()
        missing = weight.shape[0] - delta.shape[1]  # the query's rows, on top
        if predict == "weight" and missing and not zero_query_rows:
            delta = torch.cat([weight[:missing].expand(delta.shape[0], -1, -1), delta], dim=1)
        elif missing:
            delta = torch.nn.functional.pad(delta, (0, 0, missing, 0))
        if predict == "shift":
            edited = weight + strength * delta
        elif predict == "offset":
            edited = weight * (1 + strength * delta)
        else:
            edited = torch.lerp(weight.expand_as(delta), delta, strength)
        edits[name] = WeightEdit(dense=edited)
    return edits
