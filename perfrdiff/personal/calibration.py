"""A listener rehearses: reacts to a few kept speakers, and what comes out too much or too little is made up for.

The weight editor makes reactions a person's own, but not by as much as the style says: whoever nods a third larger than
others comes out a tenth larger, and some who blink often do not. So reactions of the shifted generator are counted, as
a person's own clip is, and compared with what style and clip let expect. Rates are changed by moving the style along
what it says of them, all else by the listener's manner (perfrdiff.personal.motion_gain).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from perfrdiff.behaviour.statistics import HABITS, habits_of
from perfrdiff.models.fixed_tensors import FixedTensors
from perfrdiff.personal.motion_gain import LEAST, MOST, Manner
from perfrdiff.personal.style_probe import StyleReading

NAMES = list(HABITS)
RATES = [NAMES.index("nod rate"), NAMES.index("blink rate")]  # moved in the style
FOLLOWED = {
    "nod rate": 0.3, "nod size": 1.0, "smile level": 0.5, "blink rate": 1.0, "rest pitch": 1.0, "rest yaw": 1.0,
    "rest tilt": 1.0, "brow activity": 0.8,
}  # fmt: skip
"""How far a habit is brought to what is expected. The reactions themselves show more of a style than its reading does;
of a smile that is half of all that is known. (Of a face that the encoder does not know, all are followed whole.) Chosen
on 60 held-out persons who are not in the table."""
APART = 1.25  # times as far apart as those of persons are sizes of nods: of a few nods the mean says little else
FURTHEST = 2.0  # spreads over persons by which a style is moved at most
STEPS = 1.0, 0.7  # shares of what is missing in the rates that are made up for, one after the other
SEED = 5  # of the chance in a rehearsal
NOD_FACTORS = tuple(np.geomspace(0.5, 2.5, 9))

Made = Callable[[Tensor], np.ndarray]
"""Style (style,) -> its reactions to the audience (K, frames, 58)."""


class Rehearsal(FixedTensors):
    """The audience of a rehearsal, and what moving a style changes; it travels in the checkpoint."""

    audio: Tensor  # (K, tokens, patch * 78) of K speakers
    coefficients: Tensor  # (K, tokens, S)
    response: Tensor  # (2, 2): by how much RATES go up (columns) when the style says more of one (rows)
    chance: Tensor  # (H,): by how much this audience and chance make all listeners do more than others would

    def settled(
        self, style: Tensor, expected: np.ndarray, known: bool, reading: StyleReading, made: Made
    ) -> tuple[Tensor, Manner]:
        """The style (style,) and the manner whose reactions show the expected habits (H,), in spreads from the usual.

        Args:
            style: as read from the listener's clip.
            expected: as `reading.expected` gives them, as far apart as persons are.
            known: whether the style encoder knows such clips.
            reading: says what moves a style towards a habit.
            made: lets the generator react to the audience.
        """
        spread = reading.spread.double().cpu().numpy()
        usual = reading.usual.double().cpu().numpy() + spread * self.chance.double().cpu().numpy()
        wanted = usual + spread * np.where(np.array(NAMES) == "nod size", APART, 1.0) * expected
        clips = made(style)
        got = habits_of(clips)
        got = np.where(np.isnan(got), wanted, got)
        goal = got + np.array([FOLLOWED[name] if known else 1.0 for name in NAMES]) * (wanted - got)
        back = np.linalg.inv(self.response.double().cpu().numpy())
        moved = np.zeros(len(RATES))
        for turn, step in enumerate(STEPS):
            if turn:
                clips = made(style + torch.tensor(moved).to(style) @ reading.moves[RATES])
            manner = manner_for(clips, goal)
            shown = habits_of(manner.applied(clips))  # small nods that shrink are seen no more
            moved = (moved + step * ((goal - shown) / spread)[RATES] @ back).clip(-FURTHEST, FURTHEST)
        return style + torch.tensor(moved).to(style) @ reading.moves[RATES], manner


def manner_for(clips: np.ndarray, goal: np.ndarray) -> Manner:
    """The manner in which clips (K, frames, 58) come nearest to habits (H,) on their even scale."""
    want, got = dict(zip(NAMES, goal, strict=True)), dict(zip(NAMES, habits_of(clips), strict=True))

    def factor(name: str) -> float:  # of a level, whose even scale is the root
        return float(np.clip((max(want[name], 0.0) / max(got[name], 1e-3)) ** 2, LEAST, MOST))

    angles = [float(np.radians(want[name] - got[name])) for name in ("rest pitch", "rest yaw", "rest tilt")]
    levels = Manner(1.0, factor("smile level"), factor("brow activity"), *angles)
    return replace(levels, nods=_nod_factor(clips, want["nod size"]))


def _nod_factor(clips: np.ndarray, wanted: float) -> float:
    """By how much to enlarge nods for their mean size to be exp(wanted) degrees; larger ones also count more often."""
    at = NAMES.index("nod size")
    sizes = np.array([habits_of(Manner(nods=factor).applied(clips))[at] for factor in NOD_FACTORS])
    known = np.isfinite(sizes)
    if not known.any():
        return 1.0
    rising = np.maximum.accumulate(sizes[known])
    return float(np.interp(wanted, rising, np.array(NOD_FACTORS)[known]))
