"""What event features are to be expected of a listener, from the style and from what the clip itself shows.

A style tells some habits well (how far a head turns), of others a clip shows more (to which side somebody glances). The
blend of both was fitted on simulated persons, for clips of three lengths, to other clips of the same persons
(docs/method.md 16.4).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from perfrdiff.behaviour.event_features import EVENT_FEATURES
from perfrdiff.behaviour.glances import averted_side
from perfrdiff.models.fixed_tensors import FixedTensors
from perfrdiff.personal.style_probe import (
    CLIP_SECONDS,
    COUNTED_SHARE,
    MAX_HABIT,
    RIDGE,
    cross_fitted,
    fit_blend,
    length_place,
    ridge_weights,
)

LEAST_SPREAD = 1e-3
LEAST_STD = 0.3  # of an expected feature: one that clips hardly tell is not made as large as persons are


def told_by_clips(events: Tensor, clips: Sequence[np.ndarray]) -> Tensor:
    """What the event features (parts, N) of parts of a clip, and these parts (frames, 58), tell of them, (N,).

    It is their mean; but the side of glances is told by how far and how long the eyes are there.
    """
    told = events.mean(0)
    told[EVENT_FEATURES.index("glance side")] = float(np.mean([averted_side(clip) for clip in clips]))
    return told


class EventProbe(FixedTensors):
    """Expected `event_features` of a listener; it travels in the checkpoint. N features, three lengths of clips."""

    style_mean: Tensor  # (style,)
    weights: Tensor  # (style, N): (style - style_mean) @ weights are features, over persons of mean 0 and deviation 1
    blend_weights: Tensor  # (3, 2, N): after CLIP_SECONDS of listening, of the reported and of the counted features
    blend_std: Tensor  # (3, N): over persons, of the features so blended
    counted_mean: Tensor  # (3, N) of what clips of that length tell (`told_by_clips`)
    counted_std: Tensor  # (3, N)
    person_mean: Tensor  # (N,) of persons' features in clips of 30 s
    person_std: Tensor  # (N,)
    reaction_mean: Tensor  # (N,) of reactions of many persons to other speakers
    reaction_bias: Tensor  # (N,): features of these reactions minus those of the same persons' to calibration speakers

    @classmethod
    def fit(
        cls, styles: Sequence[Tensor], counted: Sequence[np.ndarray], persons: Sequence[np.ndarray]
    ) -> "EventProbe":
        """From P persons. What reactions show is not measured yet, and taken to be what persons show.

        Args:
            styles: for each of CLIP_SECONDS, styles (P, style) of parts of that length.
            counted: for each of them, what these parts tell as tracked, (P, N).
            persons: for each of them, event features (P, N) of the persons as they move, in clips of 30 s that share
                nothing with the parts.
        """
        whole = list(CLIP_SECONDS).index(30.0)
        person_mean, person_std = persons[whole].mean(axis=0), persons[whole].std(axis=0).clip(min=LEAST_SPREAD)
        truths = [(features - person_mean) / person_std for features in persons]
        habits = torch.tensor(truths[whole])
        read = [of_length.double() for of_length in styles]
        mean = read[whole].mean(0)
        rows = []
        for style, count, truth in zip(read, counted, truths, strict=True):
            count_mean, count_std = count.mean(axis=0), count.std(axis=0).clip(min=LEAST_SPREAD)
            reported = cross_fitted(read[whole] - mean, habits, style - mean, RIDGE).numpy()
            standardized = ((count - count_mean) / count_std).clip(-MAX_HABIT, MAX_HABIT)
            rows.append((*fit_blend(reported, standardized, truth), count_mean, count_std))
        tables = [torch.tensor(np.array(table)) for table in zip(*rows, strict=True)]
        scale = torch.tensor(person_mean), torch.tensor(person_std)
        weights = ridge_weights(read[whole] - mean, habits, RIDGE)
        tensors = mean, weights, *tables, *scale, scale[0], torch.zeros_like(scale[0])
        return cls(*(tensor.float().contiguous() for tensor in tensors))

    def expected(self, style: Tensor, counted: Tensor, seconds: float) -> np.ndarray:
        """The features (N,), as far apart between persons as persons are, of a listener of whom a clip of so many
        seconds has this style (style,) and tells these features (N,)."""
        before, share = length_place(seconds)

        def at_length(table: Tensor) -> Tensor:
            return torch.lerp(table[before], table[before + 1], share)

        reported = (style - self.style_mean) @ self.weights
        standardized = (counted - at_length(self.counted_mean)) / at_length(self.counted_std)
        standardized = standardized.clamp(-MAX_HABIT, MAX_HABIT)
        in_style, in_count = at_length(self.blend_weights)
        apart = (in_style * reported + in_count * standardized) / at_length(self.blend_std).clamp(min=LEAST_STD)
        apart = torch.lerp(apart.clamp(-MAX_HABIT, MAX_HABIT), standardized, COUNTED_SHARE)
        length_share = min(1.0, seconds / CLIP_SECONDS[0])
        return (self.person_mean + self.person_std * length_share * apart).double().cpu().numpy()
