"""From records of persons to the table "what the weights show", with 95 % bootstrap intervals over persons."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from perfrdiff.behaviour.ranges import RANGES
from perfrdiff.behaviour.statistics import HABITS, QUANTITIES, read_habits
from perfrdiff.evaluation import intervals
from perfrdiff.evaluation.intervals import Estimate
from perfrdiff.evaluation.observe import Record
from perfrdiff.evaluation.recognition import PersonClassifier, chance_of_first

CANDIDATES = 10


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, what the simulator itself shows, and what was asked for."""

    section: str
    what: str
    found: Estimate
    simulator: Estimate | None = None  # the simulator's own reactions, or the measurement they are held against
    target: str = ""
    met: bool | None = None  # None: nothing was asked for
    digits: str = ".2f"
    note: str = ""


def rows(records: Sequence[Record], by_all: PersonClassifier, by_movement: PersonClassifier) -> list[Row]:
    """The whole table."""
    return [
        *_listen(records), *_differ(records), *_person(records), *_recognised(records, by_all, by_movement),
        *_swapped(records), *_plausible(records),
    ]  # fmt: skip


def _stack(records: Sequence[Record], key: str) -> np.ndarray:
    return np.stack([record[key] for record in records])


# --- They listen ---

BASELINES = ("random", "mean sequence", "mime", "nearest neighbour", "shuffled", "generic")
RENAMED = {"shuffled": "the same listener's reactions to other speakers", "generic": "no weight shift"}


def _listen(records: Sequence[Record]) -> list[Row]:
    out = []
    for metric, better, sign in (("FRCorr", "above", 1), ("FRDist", "below", -1)):
        own = _stack(records, f"personal/{metric}")
        simulator = intervals.mean(_stack(records, f"simulator/{metric}"))
        out.append(Row("listen", f"{metric} (sound)", intervals.mean(own), simulator, digits=".3f"))
        for name in BASELINES:
            other = _stack(records, f"{name}/{metric}")
            gap = intervals.mean(sign * (own - other))
            asked = name in ("random", "mean sequence", "mime", "shuffled")
            title = {"shuffled": "the same reactions with speakers shuffled", "generic": "no weight shift"}.get(
                name, name
            )
            out.append(
                Row("listen", f"{metric} of {title}", intervals.mean(other), None,
                    f"reactions {better}" if asked else "", bool(gap.low > 0) if asked else None, ".3f",
                    f"reactions better by {gap:.3f}")
            )  # fmt: skip
    for what, target in (("nods after phrase ends", 1.8), ("smiles after smiles", 1.0)):
        ratios = {
            name: intervals.rate_ratio(*np.swapaxes(_stack(records, f"{name}/{what}"), 0, 1))
            for name in ("personal", "generic", "shuffled", "simulator")
        }
        found = ratios["personal"]
        met = found.value >= target if target > 1 else found.low > target
        note = f"speakers shuffled {ratios['shuffled']:.2f}; no weight shift {ratios['generic']:.2f}"
        title, target = f"rate of {what}, by the rate elsewhere", f"≥ {target}" if target > 1 else "> 1"
        out.append(Row("listen", title, found, ratios["simulator"], target, met, note=note))
    levels = {
        name: intervals.rate_ratio(*np.swapaxes(_stack(records, f"{name}/smile level after smiles"), 0, 1))
        for name in ("personal", "shuffled", "simulator")
    }
    note = f"speakers shuffled {levels['shuffled']:.2f}"
    met = levels["personal"].low > 1
    out.append(
        Row("listen", "smile level after smiles, by that elsewhere", levels["personal"], levels["simulator"], "> 1",
            met, note=note)
    )  # fmt: skip
    return out


# --- They differ ---


def _differ(records: Sequence[Record]) -> list[Row]:
    made, real = (_stack(records, f"{name}/FRDiv") for name in ("personal", "simulator"))
    found = intervals.ratio(made, real)
    over_time = intervals.ratio(_stack(records, "personal/FRVar"), _stack(records, "simulator/FRVar"))
    return [
        Row("differ", "FRDiv of samples, by that of the simulator's redraws", found, None, "0.5 to 1.5",
            bool(0.5 <= found.value <= 1.5)),
        Row("differ", "FRVar of samples, by that of the simulator's redraws", over_time),
    ]  # fmt: skip


# --- They are somebody ---


def _habits(records: Sequence[Record], name: str) -> np.ndarray:
    return read_habits(_stack(records, f"{name}/habits"))


def _vector(records: Sequence[Record], habit: str) -> np.ndarray | None:
    key = f"vector/{HABITS[habit].vector}"
    if HABITS[habit].vector is None or key not in records[0]:
        return None
    return HABITS[habit].even(_stack(records, key))


def _person(records: Sequence[Record]) -> list[Row]:
    """Correlations over persons with the true habit, and their share of what direct measurement reaches."""
    truth = _habits(records, "truth")
    made = {"30 s": ("personal", "clip")}
    if "long/habits" in records[0]:
        made["2 min"] = ("long", "long clip")
    generic = _habits(records, "generic")
    out = []
    for column, habit in enumerate(HABITS):
        real = truth[:, column]
        for length, (name, clip) in made.items():
            own, direct = _habits(records, name)[:, column], _habits(records, clip)[:, column]
            share = intervals.estimate(lambda i: _share(own[i], direct[i], real[i]), len(records))  # noqa: B023
            note = f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}] of the direct measurement"
            vector = _vector(records, habit)
            if vector is not None:
                pair = intervals.pearson(own, vector), intervals.pearson(direct, vector)
                note += f"; with the simulator's own number {pair[0]:.2f}, directly {pair[1]:.2f}"
            out.append(
                Row("somebody", f"{habit}, style of {length}: correlation with the true habit",
                    intervals.correlation(own, real), intervals.correlation(direct, real), "≥ 80 % of direct",
                    bool(share.value >= 0.8), note=note)
            )  # fmt: skip
        found = intervals.correlation(generic[:, column], real)
        near = bool(found.low <= 0.0 <= found.high or abs(found.value) < 0.1)
        out.append(Row("somebody", f"{habit}, no weight shift", found, None, "near 0", near))
    return out


def _share(own: np.ndarray, direct: np.ndarray, real: np.ndarray) -> float:
    reach = intervals.pearson(direct, real)
    return intervals.pearson(own, real) / reach if abs(reach) > 1e-6 else float("nan")


def _recognised(records: Sequence[Record], by_all: PersonClassifier, by_movement: PersonClassifier) -> list[Row]:
    """How often the listener is picked from 10 by one reaction alone."""
    if len(records) < 2:
        return []
    skip = by_all.mean.size - by_movement.mean.size
    gallery = _stack(records, "gallery/signatures")
    ways = {
        "": (lambda x: by_all.scores(x, gallery), "signatures"),
        ", by movement alone": (lambda x: by_movement.scores(x[:, skip:], gallery[..., skip:]), "signatures"),
        ", by the weights' own style encoder": (_nearest_style(records), "styles"),
    }
    out, candidates = [], min(CANDIDATES, len(records))
    for title, (scores, kind) in ways.items():
        found = {}
        for name in ("personal", "generic", "simulator"):
            if f"{name}/{kind}" in records[0]:
                found[name] = intervals.mean(
                    [_picked(scores, record[f"{name}/{kind}"], i) for i, record in enumerate(records)]
                )
        asked = title == ""
        note = f"no weight shift {found['generic']:.2f}" if "generic" in found else ""
        out.append(
            Row("somebody", f"picked from {candidates} by one reaction{title}", found["personal"], found["simulator"],
                "≥ 0.50" if asked else "", bool(found["personal"].value >= 0.5) if asked else None, note=note)
        )  # fmt: skip
    return out


def _picked(scores, clips: np.ndarray, person: int) -> float:
    return float(chance_of_first(scores(clips), np.full(len(clips), person), CANDIDATES).mean())


def _nearest_style(records: Sequence[Record]):
    gallery = _stack(records, "gallery/styles").mean(axis=1)
    gallery = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    return lambda styles: styles @ gallery.T


def _swapped(records: Sequence[Record]) -> list[Row]:
    if "swap/change" not in records[0]:
        return []
    change = intervals.ratio(_stack(records, "swap/change"), _stack(records, "swap/between samples"))
    out = [
        Row("somebody", "listeners swapped at a fixed seed: change, by that between samples", change, None, "> 0",
            bool(change.low > 0.05))
    ]  # fmt: skip
    for column, course in enumerate(("smile", "nodding", "brows")):
        same, other = (_stack(records, f"swap/{kind} seed")[:, column] for kind in ("same", "other"))
        note = f"other seeds {intervals.mean(other):.2f}"
        met = bool(intervals.mean(same - other).low > 0)
        out.append(
            Row("somebody", f"timing of {course} kept under the swap (correlation)", intervals.mean(same), None,
                "above other seeds", met, note=note)
        )  # fmt: skip
    return out


# --- They are plausible ---

_SHAPES = {
    "nod size": ("nods", 0), "nod frequency": ("nods", 1), "strokes per nod": ("nods", 2), "blink peak": ("blinks", 0),
    "blink width": ("blinks", 1), "blink closing": ("blinks", 2), "blink opening": ("blinks", 3),
    "smile onset": ("smiles", 1), "smile length": ("smiles", 2),
}  # fmt: skip


def _median(parts: Sequence[np.ndarray]) -> Estimate:
    def of(chosen: np.ndarray) -> float:
        joined = np.concatenate([parts[i] for i in chosen])
        return float(np.median(joined)) if len(joined) else float("nan")

    return intervals.estimate(of, len(parts))


def _plausible(records: Sequence[Record]) -> list[Row]:
    out = []
    for what, (kind, column) in _SHAPES.items():
        range_ = RANGES[what]
        made, real = (
            _median([record[f"{name}/shapes/{kind}"][:, column] for record in records])
            for name in ("personal", "simulator")
        )
        met = bool(range_.low <= made.value <= range_.high)
        digits = ".3f" if range_.unit == "s" and range_.high < 1 else ".2f"
        target = f"{range_.low:g} to {range_.high:g} {range_.unit}".rstrip()
        out.append(Row("plausible", f"{what}, median", made, real, target, met, digits, range_.source))
    for what, name in (("nod rate", "nods"), ("blink rate", "blinks")):
        made, real = (_rate(records, source, name) for source in ("personal", "truth"))
        range_ = RANGES[what]
        met = bool(range_.low <= made.value <= range_.high)
        target = f"{range_.low:g} to {range_.high:g} {range_.unit}"
        out.append(Row("plausible", f"{what}, mean", made, real, target, met, ".1f", range_.source))
    found = [record["seams"] for record in records if "seams" in record]
    if found:
        seams = intervals.ratio(*np.array(found).T)
        met = bool(abs(seams.value - 1) <= 0.1)
        out.append(Row("plausible", "speed at window seams, by that elsewhere", seams, None, "0.9 to 1.1", met))
    speed = intervals.ratio(_stack(records, "personal/speed"), _stack(records, "simulator/speed"))
    out.append(Row("plausible", "frame-to-frame speed, by the simulator's", speed))
    late = {name: intervals.ratio(*_stack(records, f"{name}/late speed").T) for name in ("personal", "simulator")}
    met = bool(abs(late["personal"].value - 1) <= 0.15)
    out.append(
        Row("plausible", "speed in the last third, by that in the first", late["personal"], late["simulator"],
            "0.85 to 1.15", met)
    )  # fmt: skip
    long = [record for record in records if "personal/2 min drift" in record]
    if long:
        drift = intervals.ratio(_stack(long, "personal/2 min drift"), _stack(long, "simulator/2 min drift"))
        met = bool(drift.value <= 1.5)
        out.append(Row("plausible", "drift over 2 minutes, by the simulator's", drift, None, "≤ 1.5", met))
        late = {name: intervals.ratio(*_stack(long, f"{name}/2 min speed").T) for name in ("personal", "simulator")}
        out.append(
            Row("plausible", "speed at the end of 2 minutes, by that at the beginning", late["personal"],
                late["simulator"], "0.8 to 1.25", bool(0.8 <= late["personal"].value <= 1.25))
        )  # fmt: skip
    frozen = {name: intervals.mean(_stack(records, f"{name}/frozen")) for name in ("personal", "simulator")}
    met = bool(frozen["personal"].value <= frozen["simulator"].value + 0.02)
    out.append(
        Row("plausible", "share of time with a frozen face", frozen["personal"], frozen["simulator"],
            "not above the simulator's by .02", met, ".3f")
    )  # fmt: skip
    return out


def _rate(records: Sequence[Record], source: str, name: str) -> Estimate:
    """Events per minute over all clips, resampled by person."""
    counted = _stack(records, f"{source}/habits").sum(axis=1)
    return intervals.ratio(counted[:, QUANTITIES.index(name)], counted[:, QUANTITIES.index("minutes")])


# --- Out ---

TITLES = {
    "listen": "They listen",
    "differ": "They differ",
    "somebody": "They are somebody",
    "plausible": "They are plausible",
    "real": "Real people",
}
BESIDE = {"somebody": "direct measurement, or the simulator", "real": "simulated speakers"}


def markdown(table: Sequence[Row]) -> str:
    """The table for people."""
    lines = []
    for section, title in TITLES.items():
        here = [row for row in table if row.section == section]
        if not here:
            continue
        beside = BESIDE.get(section, "the simulator itself")
        lines += [f"### {title}", "", f"| | reactions | {beside} | asked for | met | |", "|---|---|---|---|---|---|"]
        for row in here:
            simulator = "" if row.simulator is None else format(row.simulator, row.digits)
            met = {None: "", True: "yes", False: "**no**"}[row.met]
            lines.append(
                f"| {row.what} | {format(row.found, row.digits)} | {simulator} | {row.target} | {met} | {row.note} |"
            )
        lines.append("")
    asked = [row for row in table if row.met is not None]
    missed = [row.what for row in asked if not row.met]
    lines.append(
        f"{len(asked) - len(missed)} of {len(asked)} marks met." + (f" Missed: {'; '.join(missed)}." if missed else "")
    )
    return "\n".join(lines)


def as_json(table: Sequence[Row]) -> list[dict]:
    """The table for programs."""
    return [asdict(row) for row in table]
