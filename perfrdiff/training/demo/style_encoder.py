"""PSSL for the demo weights: a style identifies a person, and reports habits and motion descriptors."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.losses import supervised_contrastive
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.training.demo.augmentation import ListenerAugmentation
from perfrdiff.training.demo.motion_descriptors import MotionDescriptors
from perfrdiff.training.demo.windows import random_integers


class StyleModel(nn.Module):
    """The style encoder with linear probes of habits and motion descriptors, which only training uses."""

    def __init__(self, encoder: StyleEncoder, habits: int, descriptors: int):
        super().__init__()
        self.encoder = encoder
        self.habit_probe = nn.Linear(encoder.config.projection, habits)
        self.descriptor_probe = nn.Linear(encoder.config.projection, descriptors)

    def probe_weights(self) -> Tensor:
        """The probes as one linear map from a style of unit length, (habits + descriptors, style)."""
        return torch.cat([self.habit_probe.weight, self.descriptor_probe.weight]) * _style_scale(self.encoder)


def _style_scale(encoder: StyleEncoder) -> float:
    """The factor that gives the numbers of a style of unit length a size of about 1."""
    return encoder.config.projection**0.5


@dataclass
class StyleStage:
    """PSSL: clips of the same person lie together, clips of different persons apart.

    Beside the paper's contrastive loss, linear probes must read the simulated habits of the person and the motion
    descriptors of the clip from the style: the contrastive loss alone can tell persons apart by their rest faces, and
    leaves styles that do not say how often they nod or smile. Habits must also be readable from the mean over a
    person's two clips, as the style of a long video is a mean. Some of the clips are augmented, because tracked real
    faces are unlike simulated ones.
    """

    model: StyleModel
    corpus: Corpus
    descriptors: MotionDescriptors
    augmentation: ListenerAugmentation | None = None
    persons: int = 32
    shortest: int = 50  # tokens of a crop: 10 to 30 s
    longest: int = 150
    habit_weight: float = 3.0
    descriptor_weight: float = 3.0

    def loss(self, generator: torch.Generator) -> Tensor:
        clips_of = self.corpus.clips_of()
        persons = torch.randperm(len(clips_of), generator=generator)[: self.persons]
        clips = clips_of[persons][:, :2].reshape(-1)
        length = self.shortest + int(random_integers(1, self.longest - self.shortest + 1, generator))
        last_start = self.corpus.tokens - length
        crops = torch.stack(
            [
                self.corpus.listener[clip, start : start + length].float()
                for clip, start in zip(clips, random_integers(len(clips), last_start + 1, generator), strict=True)
            ]
        )
        augmented = crops if self.augmentation is None else self.augmentation(crops, generator)
        style = self.model.encoder(augmented).float()
        person = persons.repeat_interleave(2).to(style.device)
        scaled_style = style * _style_scale(self.model.encoder)
        mean_style = F.normalize(style.unflatten(0, (-1, 2)).mean(1), dim=-1) * _style_scale(self.model.encoder)
        habit_error = F.mse_loss(self.model.habit_probe(scaled_style), self.corpus.habits[person]) / 2
        habit_error = habit_error + F.mse_loss(self.model.habit_probe(mean_style), self.corpus.habits[person[::2]]) / 2
        descriptors = self.descriptors.standardized(self.descriptors.describe(crops))
        descriptor_error = F.mse_loss(self.model.descriptor_probe(scaled_style).float(), descriptors)
        contrastive = supervised_contrastive(style, person)
        return contrastive + self.habit_weight * habit_error + self.descriptor_weight * descriptor_error
