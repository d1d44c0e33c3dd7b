"""PSSL for the demo weights: a style identifies a person, and reports habits and event features."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.data.simulator.corpus import SPANS, Corpus
from perfrdiff.models.losses import supervised_contrastive
from perfrdiff.models.style_encoder import LARGEST_EVENT, StyleEncoder
from perfrdiff.training.demo.windows import random_integers

LEAST_EVENT_SCALE = 1e-3


class StyleModel(nn.Module):
    """The style encoder with linear probes of habits and event features, which only training uses."""

    def __init__(self, encoder: StyleEncoder, habits: int):
        super().__init__()
        self.encoder = encoder
        self.habit_probe = nn.Linear(encoder.config.projection, habits)
        self.event_probe = nn.Linear(encoder.config.projection, encoder.config.events)

    def probe_weights(self) -> Tensor:
        """The probes as one linear map from a style of unit length, (habits + events, style)."""
        return torch.cat([self.habit_probe.weight, self.event_probe.weight]) * _style_scale(self.encoder)


def _style_scale(encoder: StyleEncoder) -> float:
    """The factor that gives the numbers of a style of unit length a size of about 1."""
    return encoder.config.projection**0.5


@torch.no_grad()
def fit_event_scale(encoder: StyleEncoder, corpus: Corpus) -> None:
    """Set the scale on which the encoder reads event features: that of whole tracked clips."""
    rows = corpus.tracked_features[:, 0]
    encoder.event_mean.copy_(rows.mean(0))
    encoder.event_scale.copy_(rows.std(0).clamp(min=LEAST_EVENT_SCALE))


def read_span(corpus: Corpus, clips: Tensor, span: int) -> tuple[Tensor, Tensor]:
    """What the encoder is given of a part (index into SPANS) of tracked clips (N,): tokens and event features."""
    first, last = (round(share * corpus.tokens) for share in SPANS[span])
    return corpus.tracked[clips, first:last].float(), corpus.tracked_features[clips, span]


@dataclass
class StyleStage:
    """PSSL: clips of the same person lie together, clips of different persons apart.

    Beside the paper's contrastive loss, linear probes must read from the style the simulated habits of the person and
    how the person moves in the mean over all clips: the contrastive loss alone can tell persons apart by their rest
    faces, and leaves styles that do not say how often they nod or smile. Both must also be readable from the mean
    over a person's two clips, as the style of a long video is a mean. Clips are as a tracker would see them; what is
    to be read is what the person does.
    """

    model: StyleModel
    corpus: Corpus
    persons: int = 24
    clips_per_person: int = 2
    habit_weight: float = 1.0
    event_weight: float = 1.5
    events_alone: float = 0.25  # share of the clips whose style is read from event features alone

    def __post_init__(self) -> None:
        encoder, clips_of = self.model.encoder, self.corpus.clips_of()
        means = self.corpus.features[clips_of].mean(1)
        scaled = (means - means.mean(0)) / means.std(0).clamp(min=LEAST_EVENT_SCALE)
        self.person_events = scaled.clamp(-LARGEST_EVENT, LARGEST_EVENT).to(encoder.event_mean)

    def loss(self, generator: torch.Generator) -> Tensor:
        clips_of, encoder = self.corpus.clips_of(), self.model.encoder
        persons = torch.randperm(len(clips_of), generator=generator)[: self.persons]
        order = torch.rand(len(persons), clips_of.shape[1], generator=generator).argsort(1)
        clips = clips_of[persons].gather(1, order.to(clips_of.device))[:, : self.clips_per_person].flatten()
        span = int(random_integers(1, len(SPANS), generator))
        tokens, events = read_span(self.corpus, clips, span)
        keep = (torch.rand(len(clips), generator=generator) >= self.events_alone).to(tokens)
        style = encoder(tokens, events, keep).float()
        mean_style = F.normalize(style.unflatten(0, (len(persons), -1)).mean(1), dim=-1)
        person = persons.repeat_interleave(self.clips_per_person).to(style.device)
        error = supervised_contrastive(style, person)
        for one, who in ((style, person), (mean_style, persons.to(style.device))):
            scaled = one * _style_scale(encoder)
            error = error + self.habit_weight / 2 * F.mse_loss(self.model.habit_probe(scaled), self.corpus.habits[who])
            error = error + self.event_weight / 2 * F.mse_loss(self.model.event_probe(scaled), self.person_events[who])
        return error
