"""Rows about simulated dyads: are the reactions as lively as people, and do their movements look like people's?"""

from collections.abc import Sequence

import numpy as np

from perfrdiff.behaviour.bands import ANGLES, BANDS, CHANNEL_GROUPS
from perfrdiff.behaviour.ranges import RANGES
from perfrdiff.evaluation import intervals
from perfrdiff.evaluation.intervals import Estimate
from perfrdiff.evaluation.records import PersonRecord, stack
from perfrdiff.evaluation.report import Row

LIVELY = (0.8, 1.25)  # rms by that of the noise-free simulator
STILL = 1.5  # most movement in the quieter half, by the simulator's
BAND_NAMES = tuple(f"{low:g}-{high:g} Hz" for low, high in BANDS)
EVENT_SHAPES = {
    "nod size": ("nods", 0), "nod frequency": ("nods", 1), "strokes per nod": ("nods", 2), "blink peak": ("blinks", 0),
    "blink width": ("blinks", 1), "blink closing": ("blinks", 2), "blink opening": ("blinks", 3),
    "smile onset": ("smiles", 1), "smile length": ("smiles", 2),
}  # fmt: skip


def liveliness_rows(records: Sequence[PersonRecord], people: np.ndarray | None = None) -> list[Row]:
    """Movement by band and channel group, by that of the noise-free simulator.

    `people`: the rms (groups, bands) of tracked real listeners, shown beside; a tracker's noise is in it.
    """
    power = {name: stack(records, f"{name}/power") for name in ("personal", "alone", "simulator")}
    rows = []
    for group, name in enumerate(CHANNEL_GROUPS):
        scale, unit = (1.0, "°") if name in ANGLES else (100.0, "/100")
        for band, words in enumerate(BAND_NAMES):
            found = {source: values[:, group, band] for source, values in power.items()}
            ratio, alone = (_rms_ratio(found[source], found["simulator"]) for source in ("personal", "alone"))
            levels = [np.sqrt(found[source].mean()) for source in ("personal", "simulator")]
            note = f"{scale * levels[0]:.2f} by {scale * levels[1]:.2f}{unit}"
            if people is not None:
                note += f"; real listeners {scale * people[group, band]:.2f}"
            row = Row("lively", f"{name}, {words}: rms by the simulator's", ratio, alone=alone, note=note)
            rows.append(row.asked(f"{LIVELY[0]} to {LIVELY[1]}", LIVELY[0] <= ratio.value <= LIVELY[1]))
    speeds = {name: stack(records, f"{name}/still speed") for name in power}
    still, alone = (intervals.ratio(speeds[source], speeds["simulator"]) for source in ("personal", "alone"))
    note = f"{1e3 * speeds['personal'].mean():.2f} by {1e3 * speeds['simulator'].mean():.2f}/1000 a frame"
    row = Row("lively", "median movement, where it stands still, by the simulator's", still, alone=alone, note=note)
    return [*rows, row.asked(f"≤ {STILL}", still.value <= STILL)]


def _rms_ratio(above: np.ndarray, below: np.ndarray) -> Estimate:
    """Root of the mean of `above` (n,) by that of `below` (n,)."""
    return intervals.estimate(lambda i: float(np.sqrt(above[i].sum() / below[i].sum())), len(above))


def plausibility_rows(records: Sequence[PersonRecord]) -> list[Row]:
    """Shapes of events beside ranges measured on people; steadiness over time."""
    return [*_shape_rows(records), *_course_rows(records)]


def _median(per_person: Sequence[np.ndarray]) -> Estimate:
    def pooled_median(persons: np.ndarray) -> float:
        values = np.concatenate([per_person[i] for i in persons])
        return float(np.median(values)) if len(values) else float("nan")

    return intervals.estimate(pooled_median, len(per_person))


def _shape_rows(records: Sequence[PersonRecord]) -> list[Row]:
    rows = []
    for measure, (kind, column) in EVENT_SHAPES.items():
        generated, simulated = (
            _median([record[f"{name}/shapes/{kind}"][:, column] for record in records])
            for name in ("personal", "simulator")
        )
        digits = ".3f" if RANGES[measure].unit == "s" and RANGES[measure].high < 1 else ".2f"
        rows.append(_in_range(measure, f"{measure}, median", generated, simulated, digits))
    for measure, kind in (("nod rate", "nods"), ("blink rate", "blinks")):
        generated, simulated = (
            intervals.ratio(
                np.array([len(record[f"{name}/shapes/{kind}"]) for record in records]),
                stack(records, f"{name}/minutes"),
            )
            for name in ("personal", "simulator")
        )
        rows.append(_in_range(measure, f"{measure}, mean", generated, simulated, ".1f"))
    return rows


def _in_range(measure: str, title: str, generated: Estimate, simulated: Estimate, digits: str) -> Row:
    range_ = RANGES[measure]
    target = f"{range_.low:g} to {range_.high:g} {range_.unit}".rstrip()
    row = Row("plausible", title, generated, simulated, digits=digits, note=range_.source)
    return row.asked(target, range_.low <= generated.value <= range_.high)


def _course_rows(records: Sequence[PersonRecord]) -> list[Row]:
    rows = []
    speeds = [record["seams"] for record in records if "seams" in record]
    if speeds:
        seams = intervals.ratio(*np.array(speeds).T)
        row = Row("plausible", "speed at window seams, by that elsewhere", seams)
        rows.append(row.asked("0.9 to 1.1", abs(seams.value - 1) <= 0.1))
    late, late_simulated = (
        intervals.ratio(*stack(records, f"{name}/late speed").T) for name in ("personal", "simulator")
    )
    row = Row("plausible", "speed in the last third, by that in the first", late, late_simulated)
    rows.append(row.asked("0.85 to 1.15", abs(late.value - 1) <= 0.15))
    long = [record for record in records if "personal/2 min drift" in record]
    if long:
        drift = intervals.ratio(stack(long, "personal/2 min drift"), stack(long, "simulator/2 min drift"))
        row = Row("plausible", "drift over 2 minutes, by the simulator's", drift)
        rows.append(row.asked("≤ 1.5", drift.value <= 1.5))
        end, end_simulated = (
            intervals.ratio(*stack(long, f"{name}/2 min speed").T) for name in ("personal", "simulator")
        )
        row = Row("plausible", "speed at the end of 2 minutes, by that at the beginning", end, end_simulated)
        rows.append(row.asked("0.8 to 1.25", 0.8 <= end.value <= 1.25))
    frozen, frozen_simulated = (intervals.mean(stack(records, f"{name}/frozen")) for name in ("personal", "simulator"))
    row = Row("plausible", "share of time with a frozen face", frozen, frozen_simulated, digits=".3f")
    rows.append(row.asked("not above the simulator's by .02", frozen.value <= frozen_simulated.value + 0.02))
    return rows
