"""How long a run will take on this machine: what a unit of each phase took in the runs before.

Before the first run, `FIRST_SECONDS` of a 2-core machine stand in. A run that goes on corrects its own phase: half way
through it, as much time is left in it as it has taken.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from perfrdiff.pipeline.stages import STAGES

TRUST = 0.6  # of the newest run in what is known of a phase
EARLY = 0.15  # of a phase, before which its own pace says little
PHASES = (
    ("Reading the speaker",), ("Reading the listener", "Watching the speaker's face"), ("Thinking up reactions",),
    ("Drawing",), ("Packing",),
)  # fmt: skip
"""Stages that go on at the same time, in their order."""
FIRST_SECONDS = (0.3, 0.5, 0.12, 0.25, 0.3)
"""Of one unit of each phase."""


@dataclass(frozen=True)
class Work:
    """What a run has to do."""

    speaker_seconds: float
    tracked_seconds: float  # of speaker and listener together: videos, not photos or features files
    samples: int
    steps: int
    pictures: float  # videos to draw, counted in ones of 256 pixels

    def units(self) -> tuple[float, ...]:
        """How much of each phase there is."""
        thinking = self.speaker_seconds * (1 + 0.3 * self.samples) * self.steps / 10
        return 1.0, 3.0 + self.tracked_seconds, thinking, self.speaker_seconds * (1 + self.pictures), 1.0


class Speeds:
    """What one unit of each phase takes here, in seconds."""

    def __init__(self) -> None:
        self._seconds = list(FIRST_SECONDS)
        self._is_measured = False

    def learn(self, work: Work, stage_seconds: Mapping[str, float]) -> None:
        """Take in what the stages of a finished run took."""
        trust = TRUST if self._is_measured else 1.0
        for index, (stages, units) in enumerate(zip(PHASES, work.units(), strict=True)):
            seconds = max(stage_seconds.get(stage, 0.0) for stage in stages)
            self._seconds[index] += trust * (seconds / units - self._seconds[index])
        self._is_measured = True

    def seconds_left(self, work: Work, stage: str, began: Mapping[str, float], fraction: float) -> float:
        """Seconds until a run ends that is in this stage, or has not begun ("").

        Args:
            began: stage -> time.monotonic() of its beginning.
            fraction: 0 … 1, what the pipeline reports of the whole.
        """
        at = next((index for index, stages in enumerate(PHASES) if stage in stages), -1)
        expected = [seconds * units for seconds, units in zip(self._seconds, work.units(), strict=True)]
        left = sum(expected[at + 1 :])
        if at < 0:
            return left
        shares = [sum(STAGES[one] for one in stages) for stages in PHASES]
        done = min(1.0, max(0.0, (fraction - sum(shares[:at])) / shares[at]))
        now = time.monotonic()
        spent = now - min((began[one] for one in PHASES[at] if one in began), default=now)
        return left + (spent * (1 - done) / done if done > EARLY else max(0.0, expected[at] - spent))
