"""PSSL: a transformer that turns a listener's own behaviour into a style vector (paper 3.2, docs/method.md 3)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.models.layers import sine_table

LARGEST_EVENT = 3.0  # deviations over persons


@dataclass(frozen=True)
class StyleEncoderConfig:
    """Sizes of the style encoder; the defaults are the published ones."""

    coefficients: int = 58  # width of a token
    width: int = 512
    layers: int = 4
    heads: int = 4
    feedforward: int = 1024
    projection: int = 512  # width of the style vector
    max_tokens: int = 999  # longest clip; a token is a frame in the published weights, five in the demo weights
    dropout: float = 0.1
    limit: float | None = None  # what is beyond it, in a frame's numbers, is taken for it; None: as published
    events: int = 0  # event features of the clip that are read beside it (behaviour.event_features); published: none


class StyleEncoder(nn.Module):
    """Behaviour (P, frames, 58), minus the mean face -> `feature` (P, width) and `style` (P, projection), unit length.

    The weight editor is fed the style. Any length from 1 to `max_tokens` frames; longer clips raise ValueError.
    An encoder with `events` is also given the clip's event features (P, events), as they were counted.
    """

    def __init__(self, config: StyleEncoderConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.coefficients, config.width)
        self.class_token = nn.Parameter(torch.randn(1, 1, config.width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.width, config.heads, config.feedforward, config.dropout, activation="relu", batch_first=True
            )
            for _ in range(config.layers)
        )
        self.project = nn.Sequential(
            nn.Linear(config.width, config.width), nn.ReLU(), nn.Linear(config.width, config.projection)
        )
        if config.events:
            self.events = nn.Sequential(nn.Linear(config.events, config.width), nn.ReLU())
            self.project = nn.Sequential(
                nn.Linear(2 * config.width + config.events, config.width), nn.ReLU(),
                nn.Linear(config.width, config.projection),
            )  # fmt: skip
            self.direct = nn.Linear(config.events, config.projection)
            self.register_buffer("event_mean", torch.zeros(config.events))
            self.register_buffer("event_scale", torch.ones(config.events))
        self.register_buffer("positions", sine_table(config.max_tokens + 1, config.width), persistent=False)

    def standardized_events(self, events: Tensor) -> Tensor:
        """Event features (P, events) over persons of mean 0 and deviation 1, never beyond `LARGEST_EVENT`."""
        return ((events - self.event_mean) / self.event_scale).clamp(-LARGEST_EVENT, LARGEST_EVENT)

    def feature(self, behaviour: Tensor) -> Tensor:
        """The class token after the last layer, (P, width)."""
        frames = behaviour.shape[1]
        if frames > self.config.max_tokens:
            raise ValueError(f"style clip of {frames} frames: this encoder takes at most {self.config.max_tokens}")
        limit = self.config.limit
        h = self.embed(behaviour if limit is None else behaviour.clamp(-limit, limit))
        h = torch.cat([self.class_token.expand(h.shape[0], -1, -1), h], dim=1) + self.positions[: frames + 1]
        h = self.dropout(h)
        for layer in self.layers:
            h = layer(h)
        return h[:, 0]

    def forward(self, behaviour: Tensor, events: Tensor | None = None, keep: Tensor | None = None) -> Tensor:
        """The style, (P, projection), of unit length.

        Args:
            behaviour: (P, frames, coefficients).
            events: (P, events), for an encoder that has them. Raises ValueError where they are missing.
            keep: (P,) of 0/1: 0 reads the style from the events alone.
        """
        feature = self.feature(behaviour)
        if not self.config.events:
            return F.normalize(self.project(feature), dim=-1, eps=1e-12)
        if events is None:
            raise ValueError("this style encoder also reads event features of the clip")
        if keep is not None:
            feature = feature * keep[:, None]
        events = self.standardized_events(events)
        style = self.project(torch.cat([feature, self.events(events), events], dim=-1)) + self.direct(events)
        return F.normalize(style, dim=-1, eps=1e-12)
