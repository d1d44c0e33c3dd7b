"""PWSG for the demo weights: the shifts that make a reaction this listener's."""

from dataclasses import dataclass

import torch
from torch import Tensor

from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor
from perfrdiff.training.demo_generator import GeneratorStage
from perfrdiff.training.demo_matching import Matching
from perfrdiff.training.windows import draw


@dataclass
class EditorStage:
    """PWSG: with the generator and the style encoder frozen, learn the shifts that make a window this listener's.

    The style is read from another clip of the same person, so that it must carry the person and not the clip.
    """

    editor: WeightEditor
    generator_stage: GeneratorStage
    encoder: StyleEncoder
    matching: Matching | None = None  # else the diffusion loss alone
    people: int = 8
    windows_each: int = 4
    shortest: int = 75  # tokens of the style clip: 15 to 30 s
    longest: int = 150
    matching_weight: float = 1.0

    def loss(self, generator: torch.Generator) -> Tensor:
        corpus = self.generator_stage.corpus
        clips_of = corpus.clips_of()
        people = torch.randperm(len(clips_of), generator=generator)[: self.people]
        order = torch.randperm(clips_of.shape[1], generator=generator)
        personal, target = clips_of[people][:, order[0]], clips_of[people][:, order[1]]
        length = self.shortest + int(draw(1, self.longest - self.shortest + 1, generator))
        start = int(draw(1, corpus.tokens - length + 1, generator))
        with torch.no_grad():
            style = self.encoder(corpus.listener[personal, start : start + length].float()).float()
        shifts = self.editor(style)
        clips = target.repeat_interleave(self.windows_each)
        error = self.generator_stage.denoising_loss(clips, generator, shifts)
        if self.matching is None:
            return error
        return error + self.matching_weight * self.matching.loss(clips, generator, shifts, len(people))
