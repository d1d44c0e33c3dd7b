"""GAFRG and PWSG for the demo weights, trained together: a generator, and the shifts that make it one listener's."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.layers import Edits
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor
from perfrdiff.training.demo.augmentation import OtherListeners
from perfrdiff.training.demo.generator import GeneratorModel, GeneratorStage
from perfrdiff.training.demo.windows import draw

CROPS = 2  # styles kept of every clip
SHORTEST, LONGEST = 75, 150  # tokens they are read from: 15 to 30 s


class PersonalModel(nn.Module):
    """What this stage trains."""

    def __init__(self, generator: GeneratorModel, editor: WeightEditor):
        super().__init__()
        self.generator = generator
        self.editor = editor


@torch.no_grad()
def style_table(encoder: StyleEncoder, corpus: Corpus, disguise: OtherListeners | None = None, seed: int = 0) -> Tensor:
    """Styles of parts of every clip, (CROPS, clips, style): the style encoder is frozen by now.

    All but the first of a clip's styles are read through a disguise, where there is one.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for crop in range(CROPS):
        of_crop = []
        for clips in corpus.listener.split(100):
            length = SHORTEST + int(draw(1, LONGEST - SHORTEST + 1, generator))
            start = int(draw(1, max(1, clips.shape[1] - length + 1), generator))
            part = clips[:, start : start + length].float()
            of_crop.append(encoder(part if crop == 0 or disguise is None else disguise(part, generator)))
        rows.append(torch.cat(of_crop))
    return torch.stack(rows)


@dataclass
class PersonalStage:
    """Windows of persons, denoised with the generator shifted to the person's style; some with the plain generator.

    The style is read from other clips of the same person, so that it must carry the person and not the clip. A frozen
    generator that was trained to suit everybody leaves the shifts little to take hold of; trained with them it grows
    what they need. The plain generator is what is left when nothing is known of the listener.
    """

    model: PersonalModel
    generator_stage: GeneratorStage
    styles: Tensor  # as `style_table` gives
    people: int = 16
    windows_each: int = 2
    strangers: float = 0.2  # share of the persons of whom nothing is known
    more_clips: float = 0.5  # share of the styles that are the mean over two clips or more, as of a long video

    def loss(self, generator: torch.Generator) -> Tensor:
        clips_of = self.generator_stage.corpus.clips_of()
        people = torch.randperm(len(clips_of), generator=generator)[: self.people]
        order = torch.rand(len(people), clips_of.shape[1], generator=generator).argsort(1)
        clips = clips_of[people].gather(1, order.to(clips_of.device))
        known = torch.rand(len(people), generator=generator) >= self.strangers
        shifts = self._shifts(clips[:, 1:], known, generator)
        return self.generator_stage.denoising_loss(clips[:, 0].repeat_interleave(self.windows_each), generator, shifts)

    def _shifts(self, shown: Tensor, known: Tensor, generator: torch.Generator) -> Edits:
        """Shifts of persons who are known by the first of the clips shown of them (persons, clips), or by more."""
        crops = draw(shown.shape[1], len(self.styles), generator)
        styles = torch.stack([self.styles[crop, clip] for crop, clip in zip(crops, shown.T, strict=True)])
        more = torch.rand(len(shown), generator=generator) < self.more_clips
        count = torch.where(more, 1 + draw(len(shown), shown.shape[1], generator), 1)
        counts = (torch.arange(len(styles))[:, None] < count).to(styles)[..., None]
        style = F.normalize((counts * styles).sum(0), dim=-1)
        share = known.to(style)[:, None, None]
        return {name: replace(shift, left=shift.left * share) for name, shift in self.model.editor(style).items()}
