"""The probes of the demo weights, fitted on persons of the corpus (perfrdiff.personal.style_probe, event_probe)."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from perfrdiff.behaviour.event_features import event_features
from perfrdiff.behaviour.statistics import count_behaviour
from perfrdiff.coefficients import FPS
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.personal.event_probe import EventProbe, told_by_clips
from perfrdiff.personal.style_probe import CLIP_SECONDS, PartialClips, StyleProbe

PERSONS = 800


@torch.no_grad()
def fit_probes(encoder: StyleEncoder, corpus: Corpus, persons: int = PERSONS) -> tuple[StyleProbe, EventProbe]:
    """The probes of the first persons of the corpus, from clips as a tracker would see them.

    No clip counts as out of the encoder's distribution: it reads event features, which hold for tracked real faces.
    """
    short = round(CLIP_SECONDS[0] * FPS)
    styles, part_styles, counted, counted_parts, event_parts, other_events = [], [], [], [], [], []
    for clips in corpus.clips_of()[:persons]:
        tokens = corpus.tracked[clips].float()
        frames = corpus.codec.raw_coefficients(tokens).numpy()
        tracked_events = corpus.tracked_features[clips, 0]
        style = encoder(tokens, tracked_events)
        short_events = torch.tensor(event_features(frames[0, :short])[None]).float()
        short_style = encoder(tokens[:1, : short // corpus.codec.patch], short_events)
        styles.append(_mean(style))
        part_styles.append(torch.stack([_mean(short_style), _mean(style[:1]), _mean(style[:-1])]))
        spans = (short_events, frames[:1, :short]), (tracked_events[:1], frames[:1]), (tracked_events[:-1], frames[:-1])
        event_parts.append(torch.stack([told_by_clips(*span) for span in spans]))
        events = corpus.features[clips]
        other_events.append(torch.stack([events[1:].mean(0), events[1:].mean(0), events[-1]]))
        clean = corpus.codec.raw_coefficients(corpus.listener[clips].float()).numpy()
        counted.append([count_behaviour(clip) for clip in clean])
        tracked = [count_behaviour(clip) for clip in frames[:-1]]
        counted_parts.append(([count_behaviour(frames[0, :short])], tracked[:1], tracked))
    of_length = torch.stack(part_styles, dim=1)
    parts = [
        PartialClips(part, np.array([row[length] for row in counted_parts])) for length, part in enumerate(of_length)
    ]
    truth = np.array(counted)
    probe = StyleProbe.fit(torch.stack(styles), truth, parts, parts, truth[:, -1:], torch.zeros(1))
    seen, others = (torch.stack(rows, dim=1).double().numpy() for rows in (event_parts, other_events))
    return probe.with_tensors(max_token_std=torch.tensor(torch.inf)), EventProbe.fit([*of_length], [*seen], [*others])


def _mean(styles: Tensor) -> Tensor:
    """The style of clips together, (C, style) -> (style,), of unit length."""
    return normalize(styles.mean(0), dim=0)
