"""Calibration: a new listener reacts to a few stored speakers, and what comes out too much or too little is corrected.

The weight editor makes reactions a person's own, but not by as much as the style reports: whoever nods a third larger
than others comes out a tenth larger, and some who blink often do not. So habits are counted in reactions of the shifted
generator, as in a person's own clip, and compared with the expected ones. Rates are corrected by moving the style along
the probe's directions, everything else by a motion gain (perfrdiff.personal.motion_gain).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES, measure_clips
from perfrdiff.models.fixed_tensors import FixedTensors
from perfrdiff.personal.motion_gain import MAX_FACTOR, MIN_FACTOR, MotionGain
from perfrdiff.personal.style_probe import StyleProbe

HABIT_NAMES = list(BEHAVIOUR_MEASURES)
RATE_COLUMNS = [HABIT_NAMES.index("nod rate"), HABIT_NAMES.index("blink rate")]  # corrected by moving the style
CORRECTED_SHARE = {
    "nod rate": 0.3, "nod size": 1.0, "smile level": 0.5, "blink rate": 1.0, "rest pitch": 1.0, "rest yaw": 1.0,
    "rest tilt": 1.0, "brow activity": 0.8,
}  # fmt: skip
"""Share of the difference to the expected habit that is corrected. The reactions show more of a style than the probe
reads from it, for smiles half of all there is to know. (For clips out of the encoder's distribution all of it is
corrected.) Chosen on 60 held-out persons who are not in the table."""
NOD_SIZE_STRETCH = 1.25  # of the expected sizes of nods: a mean over a few nods is nearer to the population's
MAX_STYLE_MOVE = 2.0  # in standard deviations of a habit over persons
RATE_STEPS = 1.0, 0.7  # share of what is missing in the rates that each round corrects
CALIBRATION_SEED = 5
NOD_FACTOR_GRID = tuple(np.geomspace(0.85, 2.5, 9))
"""Nods are hardly made smaller: those that fall below what counts as a nod are lost, the mean size of the others
stays, and persons who nod a little less far than most would not nod at all."""

ReactToSpeakers = Callable[[Tensor], np.ndarray]
"""Style (style,) -> its reactions to the calibration speakers (K, frames, 58)."""


class CalibrationSpeakers(FixedTensors):
    """K stored speakers, and how reactions to them answer a moved style; it travels in the checkpoint."""

    audio: Tensor  # (K, tokens, patch * 78)
    coefficients: Tensor  # (K, tokens, S)
    response: Tensor  # (2, 2): by how much RATE_COLUMNS rise (columns) when a style is moved along one of them (rows)
    bias: Tensor  # (H,): habits in reactions to these speakers minus those in reactions to others, in population_std

    def calibrate(
        self, style: Tensor, expected: np.ndarray, in_distribution: bool, probe: StyleProbe, react: ReactToSpeakers
    ) -> tuple[Tensor, MotionGain]:
        """The style (style,) and the motion gain with which reactions show the expected habits.

        Args:
            style: as read from the listener's clip.
            expected: (H,), the second of `probe.expected_habits`: as far apart as persons are.
            in_distribution: whether the style encoder was trained on such clips.
            probe: its directions move a style towards a habit.
            react: the generator's reactions to these speakers.
        """
        std = probe.population_std.double().cpu().numpy()
        mean = probe.population_mean.double().cpu().numpy() + std * self.bias.double().cpu().numpy()
        target = mean + std * np.where(np.array(HABIT_NAMES) == "nod size", NOD_SIZE_STRETCH, 1.0) * expected
        clips = react(style)
        counted = measure_clips(clips)
        counted = np.where(np.isnan(counted), target, counted)
        share = np.array([CORRECTED_SHARE[name] if in_distribution else 1.0 for name in HABIT_NAMES])
        goal = counted + share * (target - counted)
        inverse_response = np.linalg.inv(self.response.double().cpu().numpy())
        directions = probe.directions[RATE_COLUMNS]
        move = np.zeros(len(RATE_COLUMNS))
        for number, step in enumerate(RATE_STEPS):
            if number:
                clips = react(style + torch.tensor(move).to(style) @ directions)
            gain = fit_motion_gain(clips, goal)
            reached = measure_clips(gain.apply(clips))  # small nods that shrink are not counted any more
            move = move + step * ((goal - reached) / std)[RATE_COLUMNS] @ inverse_response
            move = move.clip(-MAX_STYLE_MOVE, MAX_STYLE_MOVE)
        return style + torch.tensor(move).to(style) @ directions, gain


def fit_motion_gain(clips: np.ndarray, goal: np.ndarray) -> MotionGain:
    """The motion gain that brings clips (K, frames, 58) nearest to habits (H,) on their even scale."""
    target, counted = (dict(zip(HABIT_NAMES, habits, strict=True)) for habits in (goal, measure_clips(clips)))

    def factor(name: str) -> float:  # of a level, whose even scale is the root
        ratio = (max(target[name], 0.0) / max(counted[name], 1e-3)) ** 2
        return float(np.clip(ratio, MIN_FACTOR, MAX_FACTOR))

    angles = [float(np.radians(target[name] - counted[name])) for name in ("rest pitch", "rest yaw", "rest tilt")]
    levels = MotionGain(1.0, factor("smile level"), factor("brow activity"), *angles)
    return replace(levels, nods=_nod_factor(clips, target["nod size"]))


def _nod_factor(clips: np.ndarray, log_size: float) -> float:
    """Factor of nods after which their mean size is exp(log_size) degrees; larger ones also count more often."""
    column = HABIT_NAMES.index("nod size")
    sizes = np.array([measure_clips(MotionGain(nods=factor).apply(clips))[column] for factor in NOD_FACTOR_GRID])
    has_nods = np.isfinite(sizes)
    if not has_nods.any():
        return 1.0
    rising = np.maximum.accumulate(sizes[has_nods])
    return float(np.interp(log_size, rising, np.array(NOD_FACTOR_GRID)[has_nods]))
