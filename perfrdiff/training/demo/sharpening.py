"""Habits that the weight editor makes too little of are shown to it larger (docs/method.md 16.3).

A style tells how quickly somebody nods and to which side they glance, but cautiously, as an estimate from one clip; the
editor answers to it, and in single reactions chance is larger than what is left. By the diffusion loss a habit that is
seen in a few moments of a minute is worth too little to be made up for. So a linear map that makes such habits of a
style larger is put before the editor's first layer, and folded into it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from perfrdiff.behaviour.event_features import EVENT_FEATURES
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor
from perfrdiff.personal.style_probe import fit_directions
from perfrdiff.training.demo.style_encoder import read_span

SHARPENED = {
    "nod frequency": 1.0, "glance side": 1.3, "strokes per nod": 0.7, "nod rate": 0.5, "glance rate": 0.5,
    "smile rate": 0.4, "blink rate": 0.3, "clear nod rate": 0.3, "smile level": 0.2,
}  # fmt: skip
"""Event feature -> how much of it is added to what a style tells of it. The first three are lost otherwise; the others
make up for what they lose when a style is moved. Chosen on 160 persons who are in no table."""
PERSONS = 700
RIDGE = 0.3
LEAST_SPREAD = 1e-3
MAX_TOLD = 2.5  # spreads over persons


@torch.no_grad()
def sharpen(
    editor: WeightEditor, encoder: StyleEncoder, corpus: Corpus, shares: Mapping[str, float] = SHARPENED
) -> None:
    """Change the editor's first layer so that it sees `shares` more of these event features in a style.

    Once, of an editor that was just trained: a second time would do it again.
    """
    clips = corpus.clips_of()[:PERSONS]
    styles = torch.cat([encoder(*read_span(corpus, part, 0)) for part in clips[:, 0].split(100)]).double().cpu()
    features = corpus.features[clips[:, 1:]].double().mean(1).cpu()  # of other clips than the style is read from
    spread = features.std(0).clamp(min=LEAST_SPREAD)
    habits = ((features - features.mean(0)) / spread).clamp(-MAX_TOLD, MAX_TOLD)
    mean = styles.mean(0)
    weights, directions = fit_directions(styles - mean, habits, RIDGE)
    gains = torch.tensor([shares.get(name, 0.0) for name in EVENT_FEATURES], dtype=torch.float64)
    _fold(editor, (weights * gains) @ directions, mean)


def _fold(editor: WeightEditor, added: Tensor, mean: Tensor) -> None:
    """Have the editor see style + (style - mean) @ added instead of a style."""
    first = editor.shared[0]
    more = first.weight.double().cpu() @ added.T
    first.bias -= (more @ mean).to(first.bias)
    first.weight += more.to(first.weight)
