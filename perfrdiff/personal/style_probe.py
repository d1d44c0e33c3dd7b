"""What a style says of a listener's habits, and styles that say what was counted in the listener's own clip.

The demo's style encoder has seen simulated listeners only. Of these it tells habits about as well as counting does, of
tracked real faces, which move in far more ways, now and then wrongly: some would blink without end. So the style of a
clip that is livelier than simulated ones is moved, along what it says of eight habits, to what style and count together
let expect. How far either is to be trusted was fitted on simulated persons in disguise.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from perfrdiff.behaviour.statistics import habits_of, read_habits
from perfrdiff.coefficients import FPS
from perfrdiff.models.fixed_tensors import FixedTensors

LENGTHS = 10.0, 30.0, 90.0  # seconds of listening for which the trust is fitted
EXTREME = 2.5  # spreads over persons from the usual, beyond which a count is taken for this
KEPT = 0.5  # share of what a style holds beside the habits: of a face it does not know, that is hardly to be believed
RIDGE = 0.05
LEAST_REACH = 0.1
UNHEARD_OF = 0.001  # share of the simulated clips that are livelier than what the style encoder is believed on


class StyleReading(FixedTensors):
    """A linear reading of H habits from styles; it travels in the checkpoint."""

    mean: Tensor  # (style,)
    weights: Tensor  # (style, H): (style - mean) @ weights are habits, over persons of mean 0 and spread 1
    moves: Tensor  # (H, style): what a habit higher by one adds to a style
    usual: Tensor  # (H,) habits of the usual person, as counted_habits.HABITS gives them
    spread: Tensor  # (H,) between persons
    liveliest: Tensor  # (): the most that the tokens of a clip vary for which the style encoder is believed
    trust: Tensor  # (3, 2, H): after LENGTHS of listening, in what the style says and in what was counted
    reach: Tensor  # (3, H): spread over persons of the habits that so trusted are expected: less than 1
    trust_known: Tensor  # (3, 2, H), the same for clips that the style encoder knows
    reach_known: Tensor  # (3, H)

    @classmethod
    def fit(
        cls,
        styles: Tensor,
        counted: np.ndarray,
        told_by: Sequence[tuple[Tensor, np.ndarray]],
        known_by: Sequence[tuple[Tensor, np.ndarray]],
        later: np.ndarray,
        spreads: Tensor,
    ) -> "StyleReading":
        """From P persons.

        Args:
            styles: (P, style), each of all clips of a person.
            counted: (P, C, Q), the `quantities` of these clips.
            told_by: for each of LENGTHS, styles (P, style) of so long a part, as of a face that the encoder does not
                know, and what was counted in it (P, c, Q).
            known_by: the same as of faces that it knows.
            later: (P, 1, Q), what was counted in a clip that none of these parts has: by it they are judged.
            spreads: (N,), `spread_of` clips that the style encoder knows.
        """
        clips = read_habits(counted)
        usual, spread = clips.mean(axis=0), clips.std(axis=0).clip(min=1e-6)

        def even(counted: np.ndarray) -> np.ndarray:
            return ((read_habits(counted) - usual) / spread).clip(-EXTREME, EXTREME)

        styles = styles.double()
        mean, habits = styles.mean(0), torch.tensor((clips - usual) / spread)
        about = styles - mean
        eye = RIDGE * torch.eye(about.shape[1], dtype=torch.float64)
        weights = torch.linalg.solve(about.T @ about + eye, about.T @ habits)
        moves = torch.linalg.lstsq(about @ weights, about, driver="gelsd").solution

        def trusted(parts: Sequence[tuple[Tensor, np.ndarray]]) -> tuple[Tensor, Tensor]:
            trust, reach = [], []
            for part, seen in parts:
                said, count = ((part.double() - mean) @ weights).numpy(), even(seen)
                each = [_trust(*columns) for columns in zip(said.T, count.T, even(later).T, strict=True)]
                trust.append(np.transpose(each))
                reach.append((trust[-1][0] * said + trust[-1][1] * count).std(axis=0).clip(min=LEAST_REACH))
            return torch.tensor(np.array(trust)), torch.tensor(np.array(reach))

        liveliest = spreads.float().cpu().quantile(1 - UNHEARD_OF)
        scale = torch.tensor(usual), torch.tensor(spread)
        numbers = mean, weights, moves, *scale, liveliest, *trusted(told_by), *trusted(known_by)
        return cls(*(part.float().contiguous() for part in numbers))

    def habits(self, style: Tensor) -> Tensor:
        """What styles (…, style) say, (…, H), over persons of mean 0 and spread 1."""
        return (style - self.mean) @ self.weights

    def unknown(self, tokens: Tensor) -> bool:
        """Whether the style encoder has never seen a clip as lively as these tokens (n, D)."""
        return bool(spread_of(tokens) > self.liveliest)

    def told(self, style: Tensor, clip: np.ndarray) -> Tensor:
        """The style (style,) of a clip (frames, 58) that the encoder does not know, moved to the habits to expect."""
        said = self.habits(style)
        unsaid = style - self.mean - said @ self.moves
        return self.mean + KEPT * unsaid + self.expected(style, clip, known=False)[0] @ self.moves

    def expected(self, style: Tensor, clip: np.ndarray, known: bool) -> tuple[Tensor, Tensor]:
        """The habits (H,) that the style (style,) of a clip (frames, 58) and what is counted in it let expect.

        The first are nearest to what the listener will do; of a short clip that is never far from the usual. The second
        are as far apart between persons as persons are, of clips under ten seconds so much less. `known`: whether the
        encoder knows such clips.
        """
        said = self.habits(style)
        seconds = len(clip) / FPS
        counted = ((torch.tensor(habits_of(clip[None])).to(said) - self.usual) / self.spread).clamp(-EXTREME, EXTREME)
        place = np.interp(np.log(seconds), np.log(LENGTHS), range(len(LENGTHS)))
        before = min(int(place), len(LENGTHS) - 2)
        trust, reach = (self.trust_known, self.reach_known) if known else (self.trust, self.reach)
        in_style, in_count = torch.lerp(trust[before], trust[before + 1], float(place - before))
        nearest = in_style * said + in_count * counted.nan_to_num(0.0)  # nan: no nod, and so no size of nods
        enough = min(1.0, seconds / LENGTHS[0])
        return nearest, enough * nearest / torch.lerp(reach[before], reach[before + 1], float(place - before))


def spread_of(tokens: Tensor) -> Tensor:
    """How much the tokens (…, n, D) of a clip vary, (…)."""
    return tokens.float().std(-2).square().mean(-1).sqrt()


def _trust(said: np.ndarray, counted: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Least squares of a habit later on by what the style said and what was counted, (2,), neither below 0."""
    return nnls(np.stack([said, counted], axis=1), later)[0]
