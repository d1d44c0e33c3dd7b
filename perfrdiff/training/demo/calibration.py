"""The calibration speakers of the demo weights, how reactions to them answer a moved style, and what they show."""

import numpy as np
import torch

from perfrdiff.behaviour.event_features import event_features
from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES, measure_clips
from perfrdiff.checkpoints import Checkpoint
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.personal.calibration import CALIBRATION_SEED, RATE_COLUMNS, CalibrationSpeakers
from perfrdiff.personal.event_probe import EventProbe
from perfrdiff.reactor import Reactor
from perfrdiff.training.demo.style_encoder import read_span

SPEAKERS = 4
TOKENS = 80  # of each, 16 s
PERSONS = 64  # whose styles are moved
MOVE = 0.8  # standard deviations over persons by which a habit is moved


@torch.no_grad()
def make_calibration(checkpoint: Checkpoint, corpus: Corpus, seed: int = 23) -> tuple[CalibrationSpeakers, EventProbe]:
    """Speakers drawn from the corpus, with `response` and `bias` measured as means over its last persons: how reactions
    answer a moved style at the same seed, and how they differ from those to other speakers. And the checkpoint's event
    probe, with the event features of reactions to other speakers, for as long as these talk.

    Args:
        checkpoint: with its probes.
    """
    generator = torch.Generator().manual_seed(seed)
    probe, reactor = checkpoint.style_probe, Reactor(checkpoint, "cpu")
    react = reactor.react_to_calibration_speakers
    speakers = _draw_speakers(corpus, generator)
    responses, biases, events = [], [], []
    for number, clips in enumerate(corpus.clips_of()[-PERSONS:]):
        style = torch.nn.functional.normalize(checkpoint.style_encoder(*read_span(corpus, clips[:1], 0))[0], dim=0)
        styles = style, *(style + MOVE * direction for direction in probe.directions[RATE_COLUMNS])
        reactions = [react(one, speakers) for one in styles]
        others = _draw_speakers(corpus, generator, corpus.tokens)
        reactions.append(react(style, others, CALIBRATION_SEED + 1 + number))
        events.append([np.mean([event_features(clip) for clip in reactions[i]], axis=0) for i in (0, -1)])
        plain, *with_move, other_speakers = (
            np.stack([measure_clips(clips) for clips in reactions]) / probe.population_std.numpy()
        )
        responses.append((np.stack(with_move) - plain)[:, RATE_COLUMNS] / MOVE)
        biases.append(plain - other_speakers)
    response, bias = (np.nan_to_num(np.nanmean(rows, axis=0)) for rows in (responses, biases))
    plain_events, other_events = torch.tensor(np.mean(events, axis=0)).float()
    event_probe = checkpoint.event_probe.with_tensors(
        reaction_mean=other_events, reaction_bias=other_events - plain_events
    )
    return speakers.with_tensors(response=torch.tensor(response).float(), bias=torch.tensor(bias).float()), event_probe


def _draw_speakers(corpus: Corpus, generator: torch.Generator, tokens: int = TOKENS) -> CalibrationSpeakers:
    """Speakers of the corpus, with `response` and `bias` not measured yet."""
    chosen = torch.randperm(len(corpus.speaker_audio), generator=generator)[:SPEAKERS]
    unmeasured = torch.eye(len(RATE_COLUMNS)), torch.zeros(len(BEHAVIOUR_MEASURES))
    streams = corpus.speaker_audio[chosen, :tokens], corpus.speaker_coefficients[chosen, :tokens]
    return CalibrationSpeakers(*streams, *unmeasured)
