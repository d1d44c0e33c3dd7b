"""The audience before which the demo's listeners rehearse, and how reactions answer a moved style."""

import numpy as np
import torch

from perfrdiff.behaviour.statistics import HABITS, habits_of
from perfrdiff.checkpoints import Checkpoint
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.personal.calibration import RATES, SEED, Rehearsal
from perfrdiff.reactor import Reactor

AUDIENCE = 8  # speakers
PERSONS = 32  # whose styles are moved
MOVE = 0.8  # spreads over persons by which a habit is moved


@torch.no_grad()
def make_rehearsal(made: Checkpoint, corpus: Corpus, seed: int = 23) -> Rehearsal:
    """An audience drawn from the corpus, and means over its last persons: how reactions to it answer a moved style, at
    the same chance, and how they differ from those to other audiences."""
    generator = torch.Generator().manual_seed(seed)
    reading, reactor = made.style_reading, Reactor(made, "cpu")
    audience = _audience(corpus, generator)
    answers, differences = [], []
    for number, clips in enumerate(corpus.clips_of()[-PERSONS:]):
        style = torch.nn.functional.normalize(made.style_encoder(corpus.listener[clips[:1]].float())[0], dim=0)
        styles = style, *(style + MOVE * move for move in reading.moves[RATES])
        shown = [reactor.rehearse(one, audience) for one in styles]
        shown.append(reactor.rehearse(style, _audience(corpus, generator), SEED + 1 + number))
        usual, *moved, other = np.stack([habits_of(clips) for clips in shown]) / reading.spread.numpy()
        answers.append((np.stack(moved) - usual)[:, RATES] / MOVE)
        differences.append(usual - other)
    response, chance = (np.nan_to_num(np.nanmean(rows, axis=0)) for rows in (answers, differences))
    return audience.with_tensors(response=torch.tensor(response).float(), chance=torch.tensor(chance).float())


def _audience(corpus: Corpus, generator: torch.Generator) -> Rehearsal:
    """Speakers drawn from the corpus; nothing is known yet of how listeners answer them."""
    chosen = torch.randperm(len(corpus.speaker_audio), generator=generator)[:AUDIENCE]
    nothing = torch.eye(len(RATES)), torch.zeros(len(HABITS))
    return Rehearsal(corpus.speaker_audio[chosen], corpus.speaker_coefficients[chosen], *nothing)
