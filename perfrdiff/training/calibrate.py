"""The last touch to the demo weights: styles are spread until reactions show the habits that the styles say.

The diffusion loss hardly pays for how large a nod is or how much brows move, so that of what sets a person apart in
them little comes out, and partly as something else: who nods more is also made to nod larger. What reactions do answers
to moves of the style nearly linearly (measured: see checkpoints/README.md). So the moves are tried on persons of the
corpus, the answer is solved for the style that has to be asked for, and the map from one to the other goes into the
weight editor's first layer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from perfrdiff.checkpoints import Checkpoint
from perfrdiff.data.corpus import Corpus
from perfrdiff.data.simulated import SimulatedSpeaker, simulate_speaker
from perfrdiff.evaluation.habits import quantities, read_habits
from perfrdiff.listener_shift import listener_shift
from perfrdiff.models.weight_editor import WeightEditor
from perfrdiff.reactor import Reactor

SPEAKERS = 40
Say = Callable[[str], None]


@dataclass(frozen=True)
class Calibration:
    """How many persons are tried, and how far their styles are moved and spread."""

    known: int = 1200  # persons by whom styles are read
    persons: int = 300  # of them, those whose styles are moved
    speakers: int = 2  # that each of them listens to
    samples: int = 2
    moves: float = 1.5  # standard deviation of the moves, in that of the reading of a habit
    ridge: float = 0.02  # what two habits' answers have in common is not pulled apart without measure
    seed: int = 17


@dataclass(frozen=True)
class StyleReading:
    """A linear reading of H habits from styles, and how a style moves with each habit."""

    mean: np.ndarray  # (style,)
    weights: np.ndarray  # (style, H): (style - mean) @ weights are habits, over persons of mean 0 and spread 1
    moves: np.ndarray  # (H, style): what a habit higher by one adds to the style

    @classmethod
    def fit(cls, styles: np.ndarray, habits: np.ndarray, ridge: float = 0.05) -> "StyleReading":
        """From styles (N, style) and habits (N, H) of mean 0 and spread 1; least squares."""
        mean = styles.mean(axis=0)
        about = styles - mean
        square = about.T @ about + ridge * np.eye(about.shape[1])
        weights = np.linalg.solve(square, about.T @ habits)
        said = about @ weights
        return cls(mean, weights, np.linalg.lstsq(said, about, rcond=None)[0])

    def habits(self, styles: np.ndarray) -> np.ndarray:
        """What styles (N, style) say, (N, H)."""
        return (styles - self.mean) @ self.weights


def answers(said: np.ndarray, moves: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares of habits shown (N, H) by what styles said (N, H) and how they were moved (N, H): two (H, H)."""
    rows = np.concatenate([np.ones((len(said), 1)), said, moves], axis=1)
    found = np.linalg.lstsq(rows, shown, rcond=None)[0]
    return found[1 : 1 + said.shape[1]], found[1 + said.shape[1] :]


def correction(of_style: np.ndarray, of_move: np.ndarray, ridge: float) -> np.ndarray:
    """The move to make for what a style says, (H, H), so that of_style + correction @ of_move is near the identity."""
    size = len(of_style)
    return (np.eye(size) - of_style) @ of_move.T @ np.linalg.inv(of_move @ of_move.T + ridge * np.eye(size))


@torch.no_grad()
def build_in(editor: WeightEditor, reading: StyleReading, moves: np.ndarray) -> None:
    """Let the editor treat every style s as s + reading.habits(s) @ moves @ reading.moves."""
    first = editor.shared[0]
    along = torch.tensor((reading.weights @ moves @ reading.moves).T, dtype=first.weight.dtype)  # (style, style)
    added = first.weight @ along
    first.bias -= added @ torch.tensor(reading.mean, dtype=added.dtype)
    first.weight += added


def calibrate(made: Checkpoint, corpus: Corpus, how: Calibration, say: Say = print) -> None:
    """Try moves of style on persons of the corpus (on the CPU) and build what they teach into `made`'s editor."""
    styles, own = _known(made, corpus, how)
    mean, spread = own.mean(axis=0), own.std(axis=0).clip(min=1e-6)
    reading = StyleReading.fit(styles, (own - mean) / spread)
    rng = np.random.default_rng(how.seed)
    said = reading.habits(styles[: how.persons])
    moved = how.moves * said.std(axis=0) * rng.standard_normal(said.shape)
    speakers = [simulate_speaker(np.random.default_rng([how.seed, i])) for i in range(SPEAKERS)]
    reactor = Reactor(replace(made, name="made"), "cpu")
    shown = []
    for i, style in enumerate(styles[: how.persons] + moved @ reading.moves):
        heard = [speakers[j] for j in rng.choice(SPEAKERS, how.speakers, replace=False)]
        shown.append(_shown(reactor, style, heard, how.samples, seed=i))
        if (i + 1) % 25 == 0:
            say(f"calibration {i + 1}/{how.persons}")
    of_style, of_move = answers(said, moved, (read_habits(np.stack(shown)) - mean) / spread)
    build_in(made.weight_editor, reading, correction(of_style, of_move, how.ridge))
    say(f"habits in reactions by habits in the style: {np.diag(of_style).round(2).tolist()} before calibration")


@torch.no_grad()
def _known(made: Checkpoint, corpus: Corpus, how: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Styles (N, style) and habits (N, H) of the first persons, over all their clips."""
    styles, counted = [], []
    for clips in corpus.clips_of()[: how.known]:
        tokens = corpus.listener[clips].float()
        styles.append(torch.nn.functional.normalize(made.style_encoder(tokens).mean(0), dim=0).numpy())
        counted.append([quantities(clip) for clip in corpus.codec.raw_coefficients(tokens).numpy()])
    return np.stack(styles).astype(np.float64), read_habits(np.array(counted))


def _shown(reactor: Reactor, style: np.ndarray, heard: list[SimulatedSpeaker], samples: int, seed: int) -> np.ndarray:
    """What is counted in reactions in one style, (clips, quantities)."""
    made = reactor.checkpoint
    style = torch.tensor(style, dtype=torch.float32)
    reactor.set_listener(listener_shift(made.weight_editor, made.denoiser, style, made.name, made.sha256))
    clips = [
        clip
        for speaker in heard
        for clip in reactor.react(speaker.audio, speaker.coefficients, samples=samples, seed=seed).coefficients
    ]
    return np.stack([quantities(clip) for clip in clips])
