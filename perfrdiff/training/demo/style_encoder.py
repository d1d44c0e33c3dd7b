"""PSSL for the demo weights: a style says who it is, and how much that person moves."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.losses import supervised_contrastive
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.training.demo.augmentation import OtherListeners
from perfrdiff.training.demo.motion_descriptors import Onlooker
from perfrdiff.training.demo.windows import draw


class StyleModel(nn.Module):
    """The style encoder with a linear reading of habits and movement from the style, which only training uses."""

    def __init__(self, encoder: StyleEncoder, habits: int, measures: int):
        super().__init__()
        self.encoder = encoder
        self.habits = nn.Linear(encoder.config.projection, habits)
        self.movement = nn.Linear(encoder.config.projection, measures)

    def readings(self) -> Tensor:
        """What the two heads read, as a linear map from a style of unit length, (habits + measures, style)."""
        return torch.cat([self.habits.weight, self.movement.weight]) * _wide(self.encoder)


def _wide(encoder: StyleEncoder) -> float:
    """By how much a style of unit length is stretched to have numbers of size 1."""
    return encoder.config.projection**0.5


@dataclass
class StyleStage:
    """PSSL: clips of the same person lie together, clips of different persons apart.

    Beside the paper's contrastive loss, the habits the person was drawn with and the movement of the clip have to be
    readable from the style: told apart by their rest faces alone, people get styles that do not say how often they nod
    or smile. They must be readable from the mean over a person's two clips too, which is what a long video's style is.
    The encoder sees some of the clips in disguise, so that tracked real faces mean something to it.
    """

    model: StyleModel
    corpus: Corpus
    onlooker: Onlooker
    disguise: OtherListeners | None = None
    people: int = 32
    shortest: int = 50  # tokens of a crop: 10 to 30 s
    longest: int = 150
    habit_weight: float = 3.0
    movement_weight: float = 3.0

    def loss(self, generator: torch.Generator) -> Tensor:
        clips_of = self.corpus.clips_of()
        people = torch.randperm(len(clips_of), generator=generator)[: self.people]
        clips = clips_of[people][:, :2].reshape(-1)
        length = self.shortest + int(draw(1, self.longest - self.shortest + 1, generator))
        last_start = self.corpus.tokens - length
        crops = torch.stack(
            [
                self.corpus.listener[clip, start : start + length].float()
                for clip, start in zip(clips, draw(len(clips), last_start + 1, generator), strict=True)
            ]
        )
        seen = crops if self.disguise is None else self.disguise(crops, generator)
        style = self.model.encoder(seen).float()
        owner = people.repeat_interleave(2).to(style.device)
        wide = style * _wide(self.model.encoder)
        both = F.normalize(style.unflatten(0, (-1, 2)).mean(1), dim=-1) * _wide(self.model.encoder)
        habits = F.mse_loss(self.model.habits(wide), self.corpus.habits[owner]) / 2
        habits = habits + F.mse_loss(self.model.habits(both), self.corpus.habits[owner[::2]]) / 2
        moved = self.onlooker.among_people(self.onlooker.person(crops))
        movement = F.mse_loss(self.model.movement(wide).float(), moved)
        return supervised_contrastive(style, owner) + self.habit_weight * habits + self.movement_weight * movement
