"""A linear probe that reads a listener's habits from a style, and moves styles towards habits counted in a clip.

The demo's style encoder was trained on simulated listeners only. Of these it reports habits about as well as counting
does; of tracked real faces, which move in far more ways, now and then wrongly: some would blink without end. So the
style of a clip that is livelier than simulated ones is moved, along the probe's directions, to the habits expected from
style and count together. The weights of both were fitted on augmented clips of simulated persons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from perfrdiff.behaviour.statistics import measure_clips, measures_from_counts
from perfrdiff.coefficients import FPS
from perfrdiff.models.fixed_tensors import FixedTensors

CLIP_SECONDS = 10.0, 30.0, 90.0  # of listening, for which the blend weights are fitted
MAX_HABIT = 4.0  # standard deviations over persons, where counts are clipped: real people go beyond simulated ones
COUNTED_SHARE = 0.3
"""Share of the count, whatever the blend says, in what a listener is taken to be. The blend knows simulated faces only:
of real smiles the encoder reads half of what can be counted."""
RESIDUAL_SHARE = 0.5  # of what a style holds beside the habits, for clips out of distribution: hardly to be believed
RIDGE = 3.0  # with less, styles of 10 s are read too closely: smile levels at r .55 with the truth in place of .70
FOLDS = 8
MIN_BLEND_STD = 0.1
OUTLIER_SHARE = 0.001  # of the simulated clips, which are livelier than `max_token_std`


@dataclass(frozen=True)
class PartialClips:
    """Parts of one length of P persons' clips: their styles (P, style) and what was counted in them (P, c, Q)."""

    styles: Tensor
    counted: np.ndarray


class StyleProbe(FixedTensors):
    """Ridge regression of H habits on styles; it travels in the checkpoint."""

    mean: Tensor  # (style,)
    weights: Tensor  # (style, H): (style - mean) @ weights are habits, over persons of mean 0 and deviation 1
    directions: Tensor  # (H, style): what a habit higher by one adds to a style
    population_mean: Tensor  # (H,) of behaviour.statistics.BEHAVIOUR_MEASURES over persons, normalised
    population_std: Tensor  # (H,)
    max_token_std: Tensor  # (): `token_std` beyond which a clip is out of the style encoder's distribution
    blend_weights: Tensor  # (3, 2, H): after CLIP_SECONDS of listening, of the reported and of the counted habits
    blend_std: Tensor  # (3, H): over persons, of the habits so blended; less than 1
    blend_weights_in_distribution: Tensor  # (3, 2, H), the same for clips in the style encoder's distribution
    blend_std_in_distribution: Tensor  # (3, H)

    @classmethod
    def fit(
        cls,
        styles: Tensor,
        counted: np.ndarray,
        out_of_distribution: Sequence[PartialClips],
        in_distribution: Sequence[PartialClips],
        held_out: np.ndarray,
        token_stds: Tensor,
    ) -> "StyleProbe":
        """From P persons.

        Args:
            styles: (P, style), each of all clips of a person.
            counted: (P, C, Q), the `count_behaviour` of these clips.
            out_of_distribution: for each of CLIP_SECONDS, parts of that length as of faces the encoder does not know.
            in_distribution: the same as of faces that it knows.
            held_out: (P, 1, Q), counted in a clip that shares nothing with these parts; the blend is fitted to it.
            token_stds: (N,), `token_std` of clips in the style encoder's distribution.
        """
        clips = measures_from_counts(counted)
        population_mean, population_std = clips.mean(axis=0), clips.std(axis=0).clip(min=1e-6)

        def standardized(counted: np.ndarray) -> np.ndarray:
            return ((measures_from_counts(counted) - population_mean) / population_std).clip(-MAX_HABIT, MAX_HABIT)

        styles = styles.double()
        mean, habits = styles.mean(0), torch.tensor((clips - population_mean) / population_std)
        weights, directions = fit_directions(styles - mean, habits, RIDGE)

        def blend(parts: Sequence[PartialClips]) -> tuple[Tensor, Tensor]:
            all_weights, stds = [], []
            for part in parts:
                reported = cross_fitted(styles - mean, habits, part.styles.double() - mean, RIDGE).numpy()
                in_both, std = fit_blend(reported, standardized(part.counted), standardized(held_out))
                all_weights.append(in_both)
                stds.append(std)
            return torch.tensor(np.array(all_weights)), torch.tensor(np.array(stds))

        max_token_std = token_stds.float().cpu().quantile(1 - OUTLIER_SHARE)
        scale = torch.tensor(population_mean), torch.tensor(population_std)
        blends = *blend(out_of_distribution), *blend(in_distribution)
        tensors = mean, weights, directions, *scale, max_token_std, *blends
        return cls(*(tensor.float().contiguous() for tensor in tensors))

    def reported_habits(self, style: Tensor) -> Tensor:
        """The habits (…, H) that styles (…, style) report, over persons of mean 0 and deviation 1."""
        return (style - self.mean) @ self.weights

    def is_out_of_distribution(self, tokens: Tensor) -> bool:
        """Whether the style encoder was trained on no clip as lively as these tokens (n, D)."""
        return bool(token_std(tokens) > self.max_token_std)

    def corrected_style(self, style: Tensor, clip: np.ndarray) -> Tensor:
        """The style (style,) of an out-of-distribution clip (frames, 58), moved to the expected habits."""
        residual = style - self.mean - self.reported_habits(style) @ self.directions
        expected = self.expected_habits(style, clip, in_distribution=False)[0]
        return self.mean + RESIDUAL_SHARE * residual + expected @ self.directions

    def expected_habits(self, style: Tensor, clip: np.ndarray, in_distribution: bool) -> tuple[Tensor, Tensor]:
        """The habits (H,) expected of a listener from the style (style,) and the counts of a clip (frames, 58).

        The first are the likeliest; from a short clip they are never far from the population's mean. The second are as
        far apart between persons as persons are, less so for clips under ten seconds. `in_distribution`: whether the
        style encoder was trained on such clips.
        """
        reported = self.reported_habits(style)
        seconds = len(clip) / FPS
        counted = (torch.tensor(measure_clips(clip[None])).to(reported) - self.population_mean) / self.population_std
        counted = counted.clamp(-MAX_HABIT, MAX_HABIT)
        before, share = length_place(seconds)
        blend_weights, blend_std = self.blend_weights, self.blend_std
        if in_distribution:
            blend_weights, blend_std = self.blend_weights_in_distribution, self.blend_std_in_distribution
        in_style, in_count = torch.lerp(blend_weights[before], blend_weights[before + 1], share)
        likeliest = in_style * reported + in_count * counted.nan_to_num(0.0)  # nan: no nod, and so no size of nods
        apart = likeliest / torch.lerp(blend_std[before], blend_std[before + 1], share)
        apart = torch.lerp(apart, torch.where(counted.isnan(), apart, counted), COUNTED_SHARE)
        return likeliest, min(1.0, seconds / CLIP_SECONDS[0]) * apart


def length_place(seconds: float) -> tuple[int, float]:
    """Where a length lies among CLIP_SECONDS: the place of the one before, and the share of the way to the next."""
    place = float(np.interp(np.log(seconds), np.log(CLIP_SECONDS), range(len(CLIP_SECONDS))))
    before = min(int(place), len(CLIP_SECONDS) - 2)
    return before, place - before


def fit_directions(styles: Tensor, habits: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """How styles (P, style) of mean 0 tell habits (P, H), and what a habit higher by one adds to a style while the
    others stay: (style, H) and (H, style), all float64."""
    weights = ridge_weights(styles, habits, ridge)
    return weights, torch.linalg.lstsq(styles @ weights, styles, driver="gelsd").solution


def ridge_weights(styles: Tensor, habits: Tensor, ridge: float) -> Tensor:
    """How styles (P, style) of mean 0 tell habits (P, H): (style, H), all float64."""
    penalty = ridge * torch.eye(styles.shape[1], dtype=torch.float64)
    return torch.linalg.solve(styles.T @ styles + penalty, styles.T @ habits)


def cross_fitted(styles: Tensor, habits: Tensor, read: Tensor, ridge: float) -> Tensor:
    """The habits (P, H) that the styles `read` of persons (P, style) tell, each by weights fitted to other persons.

    A style tells more of the persons to whom the weights were fitted than of anybody else; a blend fitted to that would
    believe styles too much, and counts too little.
    """
    fold = torch.arange(len(styles)) % FOLDS
    told = torch.empty_like(habits)
    for number in range(FOLDS):
        others, own = fold != number, fold == number
        told[own] = read[own] @ ridge_weights(styles[others], habits[others], ridge)
    return told


def fit_blend(reported: np.ndarray, counted: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares weights (2, H), none below 0, of reported and counted habits (P, H) for a later count (P, H), and
    the deviation (H,) over persons of habits so blended."""
    columns = zip(reported.T, counted.T, held_out.T, strict=True)
    weights = np.transpose([nnls(np.stack(column[:2], axis=1), column[2])[0] for column in columns])
    return weights, (weights[0] * reported + weights[1] * counted).std(axis=0).clip(min=MIN_BLEND_STD)


def token_std(tokens: Tensor) -> Tensor:
    """Standard deviation over time of the tokens (…, n, D) of a clip, root mean square over their numbers, (…)."""
    return tokens.float().std(-2).square().mean(-1).sqrt()
