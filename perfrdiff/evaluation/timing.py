"""When a reaction nods: how often soon after a phrase has ended, and how often elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfrdiff.behaviour import events
from perfrdiff.behaviour.cues import ANSWER_WINDOW
from perfrdiff.coefficients import FPS

WINDOW_WORDS = f"{ANSWER_WINDOW[0]:g} to {ANSWER_WINDOW[1]:g} s"
LAST = FPS  # frames at the end of a reaction that do not count: a nod that begins there is cut off, and not seen as one
KINDS = ("clear nods", "nods", "small nods")
"""Those of `Nods.clear`; all bursts of nodding; every sinking of the chin by 1.5° (`events.small_nods`)."""


@dataclass(frozen=True)
class Nodding:
    """The nods of several reactions to one speaker."""

    clips: int
    frames: int  # of each
    starts: tuple[np.ndarray, ...]  # of each of KINDS: (n,) seconds, of all clips

    @classmethod
    def of(cls, clips: np.ndarray) -> "Nodding":
        """The nods in reactions (clips, frames, 58)."""
        bursts = [events.nods(clip) for clip in clips]
        starts = (
            [found.start[found.clear] for found in bursts],
            [found.start for found in bursts],
            [events.small_nods(clip) for clip in clips],
        )
        return cls(len(clips), clips.shape[1], tuple(np.concatenate(of_clips) for of_clips in starts))

    @property
    def counted(self) -> int:
        """Frames of each reaction that count: all but `LAST`, of which there has to be more than that."""
        return self.frames - LAST

    def per_minute(self) -> list[float]:
        """Nods a minute of each of `KINDS`."""
        minutes = self.clips * self.counted / FPS / 60
        return [float((starts * FPS < self.counted).sum() / minutes) for starts in self.starts]


def near(times: Sequence[float] | np.ndarray, frames: int, window: tuple[float, float] = ANSWER_WINDOW) -> np.ndarray:
    """(frames,) bool: the frames from `window[0]` to `window[1]` seconds after one of the times."""
    inside = np.zeros(frames, bool)
    for time in times:
        inside[max(round((time + window[0]) * FPS), 0) : max(round((time + window[1]) * FPS), 0)] = True
    return inside


def tally(nodding: Nodding, ends: np.ndarray, frames: int | None = None) -> np.ndarray:
    """Counts and minutes (kinds, 2, 2) of the nods that begin near the ends of phrases, and of the others.

    The second axis is near, elsewhere; the third number, minutes; kinds as `KINDS`.

    Args:
        nodding: of several reactions.
        ends: (m,) seconds.
        frames: only the first so many of each reaction count; None: all.
    """
    frames = nodding.counted if frames is None else min(frames, nodding.counted)
    inside = near(ends, frames)
    minutes = nodding.clips * np.array([inside.sum(), (~inside).sum()]) / FPS / 60
    out = np.empty((len(KINDS), 2, 2))
    for kind, starts in enumerate(nodding.starts):
        at = (starts * FPS).astype(int)
        at = at[at < frames]
        out[kind] = np.stack([[inside[at].sum(), (~inside[at]).sum()], minutes], axis=1)
    return out


def share_answered(starts: np.ndarray, ends: np.ndarray) -> float:
    """Share of the ends of phrases (m,) near which one of the starts (n,) of a single reaction lies."""
    if not len(ends):
        return float("nan")
    after = starts[None] - ends[:, None]
    return float(((after >= ANSWER_WINDOW[0]) & (after < ANSWER_WINDOW[1])).any(axis=1).mean())
