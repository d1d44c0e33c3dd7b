"""Rows about nods after phrase ends, for voices and videos: the rate near by the rate elsewhere, and a control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perfrdiff.evaluation import intervals, timing
from perfrdiff.evaluation.intervals import Estimate
from perfrdiff.evaluation.report import Row
from perfrdiff.evaluation.timing import Nodding


@dataclass(frozen=True)
class Mark:
    """What is asked for of a ratio of rates."""

    least: float
    most: float = float("inf")
    low_above: float | None = None  # least lower end of the interval
    control: bool = False  # whether the control has to hold 1 within its interval

    @property
    def words(self) -> str:
        """For the table."""
        words = f"≥ {self.least}" if np.isinf(self.most) else f"{self.least} to {self.most}"
        words += f", interval above {self.low_above:g}" if self.low_above is not None else ""
        return words + (", control holds 1" if self.control else "")

    def is_met(self, ratio: Estimate, control: Estimate) -> bool:
        return bool(
            self.least <= ratio.value <= self.most
            and (self.low_above is None or ratio.low > self.low_above)
            and (not self.control or control.low <= 1.0 <= control.high)
        )


def answer_rows(
    section: str,
    label: str,
    what: str,
    ends: Sequence[np.ndarray],
    nodding: Sequence[Sequence[Nodding]],
    marks: Mapping[str, Mark] | None = None,
) -> list[Row]:
    """A row for each of `timing.KINDS`, with 95 % bootstrap intervals over speakers.

    Args:
        section: of the table.
        label: whose reactions.
        what: the ends are of.
        ends: (m,) seconds for each speaker.
        nodding: of one or more styles, which are pooled: the reactions to each speaker.
        marks: kind -> what is asked for.
    """
    pairs = _tallies(ends, nodding)  # (reactions to, talk of, kinds, 2, 2)
    speakers = np.arange(len(ends))
    own = pairs[speakers, speakers]
    pairs[speakers, speakers] = 0.0
    rows = []
    for kind, name in enumerate(timing.KINDS):
        ratio = intervals.rate_ratio(own[:, kind, 0], own[:, kind, 1])
        over_others = _ratio_over_others(pairs[:, :, kind])
        elsewhere = intervals.ratio(own[:, kind, 1, 0], own[:, kind, 1, 1])
        near = own[:, kind, 0].sum(axis=0)
        note = f"elsewhere {elsewhere:.1f} a minute; {near[0]:.0f} in {near[1]:.1f} min near {sum(map(len, ends))} ends"
        title = f"{label}: {name} {timing.WINDOW_WORDS} from {what}, by elsewhere"
        row = Row(section, title, ratio, over_others, note=note)
        if marks and name in marks:
            row = row.asked(marks[name].words, marks[name].is_met(ratio, over_others))
        rows.append(row)
    return rows


def _tallies(ends: Sequence[np.ndarray], nodding: Sequence[Sequence[Nodding]]) -> np.ndarray:
    """Tallies (n, n, kinds, 2, 2) of the reactions to each speaker over each speaker's talk, cut to the shorter."""
    count = len(ends)
    out = np.zeros((count, count, len(timing.KINDS), 2, 2))
    for of_style in nodding:
        for reaction in range(count):
            for talk in range(count):
                out[reaction, talk] += timing.tally(of_style[reaction], ends[talk], of_style[talk].frames)
    return out


def _ratio_over_others(pairs: np.ndarray) -> Estimate:
    """The ratio of rates over all pairs (n, n, 2, 2) of a reaction and another's talk; both are resampled together, and
    pairs of one speaker, which are 0, do not count."""

    def ratio(chosen: np.ndarray) -> float:
        near, elsewhere = pairs[np.ix_(chosen, chosen)].sum(axis=(0, 1))
        if not (near[1] and elsewhere[0] and elsewhere[1]):
            return float("nan")
        return float(near[0] / near[1] / (elsewhere[0] / elsewhere[1]))

    return intervals.estimate(ratio, len(pairs))
