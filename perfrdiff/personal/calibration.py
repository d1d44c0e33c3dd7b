"""Calibration: a new listener reacts to a few stored speakers, and what comes out too much or too little is corrected.

The weight editor makes reactions a person's own, but not by as much as the style reports: whoever nods a third larger
than others comes out a tenth larger, and some who blink often do not. So habits are counted in reactions of the shifted
generator, as in a person's own clip, and compared with the expected ones. Rates are corrected by moving the style along
the probe's directions, levels and the sizes of events by a motion gain (perfrdiff.personal.motion_gain).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES, measure_clips
from perfrdiff.models.fixed_tensors import FixedTensors
from perfrdiff.personal.event_gain import lacking, nod_factor, with_event_gain
from perfrdiff.personal.event_probe import EventProbe
from perfrdiff.personal.motion_gain import MAX_FACTOR, MIN_FACTOR, MotionGain
from perfrdiff.personal.style_probe import StyleProbe

HABIT_NAMES = list(BEHAVIOUR_MEASURES)
RATE_COLUMNS = [HABIT_NAMES.index("nod rate"), HABIT_NAMES.index("blink rate")]  # corrected by moving the style
CORRECTED_SHARE = {
    "nod rate": 0.3, "smile level": 0.5, "blink rate": 1.0, "rest pitch": 1.0, "rest yaw": 1.0,
    "rest tilt": 1.0, "brow activity": 0.8,
}  # fmt: skip
"""Share of the difference to the expected habit that is corrected. The reactions show more of a style than the probe
reads from it, for smiles half of all there is to know. (For clips out of the encoder's distribution all of it is
corrected.) Nods get their size from the event features. Chosen on 60 held-out persons who are not in the table."""
MAX_STYLE_MOVE = 2.0  # in standard deviations of a habit over persons
RATE_STEPS = 1.0, 0.7  # share of what is missing in the rates that each round corrects
CALIBRATION_SEED = 5
ReactToSpeakers = Callable[[Tensor], np.ndarray]
"""Style (style,) -> its reactions to the calibration speakers (K, frames, 58)."""


class ExpectedEvents(NamedTuple):
    """Event features (N,) that are expected of a listener, and the probe that says so."""

    features: np.ndarray
    probe: EventProbe


class CalibrationSpeakers(FixedTensors):
    """K stored speakers, and how reactions to them answer a moved style; it travels in the checkpoint."""

    audio: Tensor  # (K, tokens, patch * 78)
    coefficients: Tensor  # (K, tokens, S)
    response: Tensor  # (2, 2): by how much RATE_COLUMNS rise (columns) when a style is moved along one of them (rows)
    bias: Tensor  # (H,): habits in reactions to these speakers minus those in reactions to others, in population_std

    def calibrate(
        self,
        style: Tensor,
        expected: np.ndarray,
        in_distribution: bool,
        probe: StyleProbe,
        react: ReactToSpeakers,
        events: ExpectedEvents | None = None,
    ) -> tuple[Tensor, MotionGain]:
        """The style (style,) and the motion gain with which reactions show the expected habits.

        Args:
            style: as read from the listener's clip.
            expected: (H,), the second of `probe.expected_habits`: as far apart as persons are.
            in_distribution: whether the style encoder was trained on such clips.
            probe: its directions move a style towards a habit.
            react: the generator's reactions to these speakers.
            events: what is expected beside the habits; None: the sizes of events stay as they come out.
        """
        std = probe.population_std.double().cpu().numpy()
        mean = probe.population_mean.double().cpu().numpy() + std * self.bias.double().cpu().numpy()
        target = mean + std * expected
        clips = react(style)
        counted = measure_clips(clips)
        counted = np.where(np.isnan(counted), target, counted)
        share = np.array([CORRECTED_SHARE.get(name, 0.0) if in_distribution else 1.0 for name in HABIT_NAMES])
        goal = counted + share * (target - counted)
        inverse_response = np.linalg.inv(self.response.double().cpu().numpy())
        directions = probe.directions[RATE_COLUMNS]
        move = np.zeros(len(RATE_COLUMNS))
        for number, step in enumerate(RATE_STEPS):
            if number:
                clips = react(style + torch.tensor(move).to(style) @ directions)
            gain = fit_motion_gain(clips, goal, events)
            reached = measure_clips(gain.apply(clips))  # small nods that shrink are not counted any more
            move = move + step * ((goal - reached) / std)[RATE_COLUMNS] @ inverse_response
            move = move.clip(-MAX_STYLE_MOVE, MAX_STYLE_MOVE)
        return style + torch.tensor(move).to(style) @ directions, gain


def fit_motion_gain(clips: np.ndarray, goal: np.ndarray, events: ExpectedEvents | None = None) -> MotionGain:
    """The motion gain that brings clips (K, frames, 58) nearest to habits (H,) on their even scale, and to expected
    event features."""
    target, counted = (dict(zip(HABIT_NAMES, habits, strict=True)) for habits in (goal, measure_clips(clips)))

    def factor(name: str) -> float:  # of a level, whose even scale is the root
        ratio = (max(target[name], 0.0) / max(counted[name], 1e-3)) ** 2
        return float(np.clip(ratio, MIN_FACTOR, MAX_FACTOR))

    angles = [float(np.radians(target[name] - counted[name])) for name in ("rest pitch", "rest yaw", "rest tilt")]
    levels = MotionGain(1.0, factor("smile level"), factor("brow activity"), *angles)
    if events is None:
        return levels
    lacks = lacking(levels.apply(clips), *events)
    return with_event_gain(replace(levels, nods=nod_factor(lacks)), clips, lacks)
