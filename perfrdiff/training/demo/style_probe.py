"""The style probe of the demo weights, fitted on persons of the corpus (perfrdiff.personal.style_probe)."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from perfrdiff.behaviour.statistics import count_behaviour
from perfrdiff.coefficients import FPS
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.personal.style_probe import CLIP_SECONDS, PartialClips, StyleProbe, token_std
from perfrdiff.training.demo.augmentation import ListenerAugmentation

PERSONS = 1200


@torch.no_grad()
def fit_style_probe(encoder: StyleEncoder, corpus: Corpus, persons: int = PERSONS, seed: int = 17) -> StyleProbe:
    """The probe of the first persons of the corpus.

    The blend for clips out of distribution is fitted on augmented ones: real faces are not what the encoder knows.
    """
    augmentation, generator = ListenerAugmentation.of(corpus.codec), torch.Generator().manual_seed(seed)
    short = round(CLIP_SECONDS[0] * FPS)
    styles, augmented_styles, plain_styles, counted, counted_short = [], [], [], [], []
    for clips in corpus.clips_of()[:persons]:
        tokens = corpus.listener[clips].float()
        frames = corpus.codec.raw_coefficients(tokens).numpy()
        augmented = augmentation(tokens, generator)
        styles.append(_style(encoder, tokens))
        for variant, rows in ((augmented, augmented_styles), (tokens, plain_styles)):
            parts = variant[:1, : short // corpus.codec.patch], variant[:1], variant[:-1]
            rows.append(torch.stack([_style(encoder, part) for part in parts]))
        counted.append([count_behaviour(clip) for clip in frames])
        counted_short.append(count_behaviour(frames[0, :short]))
    counted = np.array(counted)
    counted_parts = np.array(counted_short)[:, None], counted[:, :1], counted[:, :-1]
    out_of_distribution, in_distribution = (
        [PartialClips(*part) for part in zip(torch.stack(rows, dim=1), counted_parts, strict=True)]
        for rows in (augmented_styles, plain_styles)
    )
    token_stds = token_std(corpus.listener)
    return StyleProbe.fit(
        torch.stack(styles), counted, out_of_distribution, in_distribution, counted[:, -1:], token_stds
    )


def _style(encoder: StyleEncoder, clips: Tensor) -> Tensor:
    """The style of clips (C, tokens, D) together, (style,), of unit length."""
    return normalize(encoder(clips).mean(0), dim=0)
