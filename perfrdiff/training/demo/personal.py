"""GAFRG and PWSG for the demo weights, trained together: the generator and the weight editor that personalises it."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.data.simulator.corpus import SPANS, Corpus
from perfrdiff.models.layers import WeightEdit
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor
from perfrdiff.training.demo.behaviour import BehaviourLoss
from perfrdiff.training.demo.generator import GeneratorModel, GeneratorStage
from perfrdiff.training.demo.style_encoder import read_span
from perfrdiff.training.demo.windows import random_integers


class PersonalModel(nn.Module):
    """Generator and weight editor as one module."""

    def __init__(self, generator: GeneratorModel, editor: WeightEditor):
        super().__init__()
        self.generator = generator
        self.editor = editor


@torch.no_grad()
def style_table(encoder: StyleEncoder, corpus: Corpus) -> Tensor:
    """Styles (SPANS, clips, style) of parts of every clip as tracked; the style encoder is frozen by now."""
    rows = []
    for span in range(len(SPANS)):
        parts = torch.arange(len(corpus.person)).split(100)
        rows.append(torch.cat([encoder(*read_span(corpus, clips, span)) for clips in parts]))
    return torch.stack(rows)


@dataclass(frozen=True)
class PersonalBatch:
    """Who is in a step's batch."""

    persons: Tensor  # (P,)
    windows: Tensor  # (P * windows per person,): of which clip a window is taken; a person's are together
    styles: Tensor  # (P, style)
    is_personal: Tensor  # (P,) bool; the others train the generator without a shift

    def for_some(self, shifts: dict[str, WeightEdit]) -> dict[str, WeightEdit]:
        """`shifts` of all persons, nothing for those who go without."""
        factor = self.is_personal.to(self.styles)[:, None, None]
        return {name: replace(shift, left=shift.left * factor) for name, shift in shifts.items()}


@dataclass
class PersonalStage:
    """Windows of persons, denoised with the generator shifted to the person's style; some with the generic generator.
    With `behaviour`, the first persons of a batch are also sampled, and have to move as much as they do.

    The style is read from other clips of the same person, so that it must carry the person and not the clip. A frozen
    generator that was trained to suit everybody leaves the shifts little to take hold of; trained with them it grows
    what they need.
    """

    model: PersonalModel
    generator_stage: GeneratorStage
    styles: Tensor  # as `style_table` gives
    persons: int = 16
    windows_per_person: int = 2
    generic_share: float = 0.2  # of the persons, who train the generator without a shift
    mean_style_share: float = 0.5  # of the styles, which are means over two clips or more, as of a long video
    behaviour: BehaviourLoss | None = None  # needs two windows of each person
    behaviour_weight: float = 0.1
    behaviour_share: float = 0.5  # of a batch's persons

    def loss(self, generator: torch.Generator) -> Tensor:
        batch = self.draw(generator)
        shifts = self.model.editor(batch.styles)
        error = self.generator_stage.denoising_loss(batch.windows, generator, batch.for_some(shifts))
        return error + self.behaviour_loss(batch, shifts, generator)

    def draw(self, generator: torch.Generator) -> "PersonalBatch":
        """Random persons, with a style of each."""
        clips_of = self.generator_stage.corpus.clips_of()
        persons = torch.randperm(len(clips_of), generator=generator)[: self.persons]
        order = torch.rand(len(persons), clips_of.shape[1], generator=generator).argsort(1)
        clips = clips_of[persons].gather(1, order.to(clips_of.device))
        is_personal = torch.rand(len(persons), generator=generator) >= self.generic_share
        windows = clips[:, 0].repeat_interleave(self.windows_per_person)
        return PersonalBatch(persons, windows, self._styles(clips[:, 1:], generator), is_personal)

    def behaviour_loss(
        self, batch: "PersonalBatch", shifts: dict[str, WeightEdit], generator: torch.Generator
    ) -> Tensor | float:
        """`behaviour` of the batch's first persons with their `shifts`, weighted; 0 without."""
        if self.behaviour is None:
            return 0.0
        pairs = max(1, round(self.behaviour_share * len(batch.persons) / 2))
        count = 2 * pairs
        first = {name: WeightEdit(left=shift.left[:count], right=shift.right[:count]) for name, shift in shifts.items()}
        windows = batch.windows[: pairs * self.windows_per_person]
        conditions = self.generator_stage.conditions(windows, generator)
        return self.behaviour_weight * self.behaviour(batch.persons[:count], conditions, first, generator)

    def _styles(self, style_clips: Tensor, generator: torch.Generator) -> Tensor:
        """Styles (persons, style) of the first of each person's clips (persons, clips), or of several."""
        crops = random_integers(style_clips.shape[1], len(self.styles), generator)
        styles = torch.stack([self.styles[crop, clip] for crop, clip in zip(crops, style_clips.T, strict=True)])
        is_mean = torch.rand(len(style_clips), generator=generator) < self.mean_style_share
        count = torch.where(is_mean, 1 + random_integers(len(style_clips), style_clips.shape[1], generator), 1)
        is_used = (torch.arange(len(styles))[:, None] < count).to(styles)[..., None]
        return F.normalize((is_used * styles).sum(0), dim=-1)
