"""What the demo's styles say of habits, read off persons of the corpus (perfrdiff.personal.style_probe)."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from perfrdiff.behaviour.statistics import quantities
from perfrdiff.coefficients import FPS
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.personal.style_probe import LENGTHS, StyleReading, spread_of
from perfrdiff.training.demo.augmentation import OtherListeners

PERSONS = 1200


@torch.no_grad()
def read_styles(encoder: StyleEncoder, corpus: Corpus, persons: int = PERSONS, seed: int = 17) -> StyleReading:
    """How styles of the first persons of the corpus say their habits.

    How far styles are to be trusted is judged by disguised ones: real faces are not what the encoder knows.
    """
    disguise, generator = OtherListeners.of(corpus.codec), torch.Generator().manual_seed(seed)
    short = round(LENGTHS[0] * FPS)
    styles, disguised, undisguised, counted, begun = [], [], [], [], []
    for clips in corpus.clips_of()[:persons]:
        tokens = corpus.listener[clips].float()
        frames = corpus.codec.raw_coefficients(tokens).numpy()
        hidden = disguise(tokens, generator)
        styles.append(_style(encoder, tokens))
        for seen, rows in ((hidden, disguised), (tokens, undisguised)):
            parts = seen[:1, : short // corpus.codec.patch], seen[:1], seen[:-1]
            rows.append(torch.stack([_style(encoder, part) for part in parts]))
        counted.append([quantities(clip) for clip in frames])
        begun.append(quantities(frames[0, :short]))
    counted = np.array(counted)
    seen = np.array(begun)[:, None], counted[:, :1], counted[:, :-1]
    of_persons = torch.stack(styles)
    told_by, known_by = (list(zip(torch.stack(rows, dim=1), seen, strict=True)) for rows in (disguised, undisguised))
    return StyleReading.fit(of_persons, counted, told_by, known_by, counted[:, -1:], spread_of(corpus.listener))


def _style(encoder: StyleEncoder, clips: Tensor) -> Tensor:
    """The style of clips (C, tokens, D) together, (style,), of unit length."""
    return normalize(encoder(clips).mean(0), dim=0)
