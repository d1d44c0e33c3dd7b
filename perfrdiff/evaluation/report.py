"""From records of persons to the table "what the weights show", with 95 % bootstrap intervals over persons."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from perfrdiff.behaviour.ranges import RANGES
from perfrdiff.behaviour.statistics import BEHAVIOUR_MEASURES, COUNT_NAMES, measures_from_counts
from perfrdiff.evaluation import intervals
from perfrdiff.evaluation.intervals import Estimate
from perfrdiff.evaluation.observe import PersonRecord
from perfrdiff.evaluation.recognition import PersonClassifier, recognition_probability

CANDIDATES = 10


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, what the simulator itself shows, and what was asked for."""

    section: str
    title: str
    estimate: Estimate
    simulator: Estimate | None = None  # the simulator's own reactions, or the measurement they are held against
    target: str = ""
    met: bool | None = None  # None: nothing was asked for
    digits: str = ".2f"
    note: str = ""


def rows(
    records: Sequence[PersonRecord], full_classifier: PersonClassifier, motion_classifier: PersonClassifier
) -> list[Row]:
    """All rows of the table, from the records of all persons and the classifiers that recognise them."""
    return [
        *_listening_rows(records), *_variety_rows(records), *_habit_rows(records),
        *_recognition_rows(records, full_classifier, motion_classifier), *_swap_rows(records),
        *_plausibility_rows(records),
    ]  # fmt: skip


def _stack(records: Sequence[PersonRecord], key: str) -> np.ndarray:
    return np.stack([record[key] for record in records])


# --- They listen ---

BASELINES = ("random", "mean sequence", "mime", "nearest neighbour", "shuffled", "generic")
BASELINE_TITLES = {"shuffled": "the same reactions with speakers shuffled", "generic": "no weight shift"}


def _listening_rows(records: Sequence[PersonRecord]) -> list[Row]:
    out = []
    for metric, better, sign in (("FRCorr", "above", 1), ("FRDist", "below", -1)):
        scores = _stack(records, f"personal/{metric}")
        simulator = intervals.mean(_stack(records, f"simulator/{metric}"))
        out.append(Row("listen", f"{metric} (corrected)", intervals.mean(scores), simulator, digits=".3f"))
        for name in BASELINES:
            baseline = _stack(records, f"{name}/{metric}")
            gap = intervals.mean(sign * (scores - baseline))
            asked = name in ("random", "mean sequence", "mime", "shuffled")
            out.append(
                Row("listen", f"{metric} of {BASELINE_TITLES.get(name, name)}", intervals.mean(baseline), None,
                    f"reactions {better}" if asked else "", bool(gap.low > 0) if asked else None, ".3f",
                    f"reactions better by {gap:.3f}")
            )  # fmt: skip
    for response, least in (("nods after phrase ends", 1.8), ("smiles after smiles", 1.0)):
        ratios = {
            name: intervals.rate_ratio(*np.swapaxes(_stack(records, f"{name}/{response}"), 0, 1))
            for name in ("personal", "generic", "shuffled", "simulator")
        }
        estimate = ratios["personal"]
        met = estimate.value >= least if least > 1 else estimate.low > least
        note = f"speakers shuffled {ratios['shuffled']:.2f}; no weight shift {ratios['generic']:.2f}"
        title, target = f"rate of {response}, by the rate elsewhere", f"≥ {least}" if least > 1 else "> 1"
        out.append(Row("listen", title, estimate, ratios["simulator"], target, met, note=note))
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


def _variety_rows(records: Sequence[PersonRecord]) -> list[Row]:
    generated, simulated = (_stack(records, f"{name}/FRDiv") for name in ("personal", "simulator"))
    estimate = intervals.ratio(generated, simulated)
    over_time = intervals.ratio(_stack(records, "personal/FRVar"), _stack(records, "simulator/FRVar"))
    return [
        Row("differ", "FRDiv of samples, by that of the simulator's redraws", estimate, None, "0.5 to 1.5",
            bool(0.5 <= estimate.value <= 1.5)),
        Row("differ", "FRVar of samples, by that of the simulator's redraws", over_time),
    ]  # fmt: skip


# --- They are somebody ---


def _habits(records: Sequence[PersonRecord], name: str) -> np.ndarray:
    return measures_from_counts(_stack(records, f"{name}/habits"))


def _vector(records: Sequence[PersonRecord], habit: str) -> np.ndarray | None:
    key = f"vector/{BEHAVIOUR_MEASURES[habit].simulator_field}"
    if BEHAVIOUR_MEASURES[habit].simulator_field is None or key not in records[0]:
        return None
    return BEHAVIOUR_MEASURES[habit].normalise(_stack(records, key))


def _habit_rows(records: Sequence[PersonRecord]) -> list[Row]:
    """Correlations over persons with the true habit, and their share of what direct measurement reaches."""
    true_habits = _habits(records, "truth")
    sources = {"30 s": ("personal", "clip")}  # style length -> reactions, style clip
    if "long/habits" in records[0]:
        sources["2 min"] = ("long", "long clip")
    generic = _habits(records, "generic")
    out = []
    for column, habit in enumerate(BEHAVIOUR_MEASURES):
        truth = true_habits[:, column]
        for length, (name, clip) in sources.items():
            shown, direct = _habits(records, name)[:, column], _habits(records, clip)[:, column]
            share = intervals.estimate(lambda i: _share_of_direct(shown[i], direct[i], truth[i]), len(records))  # noqa: B023
            note = f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}] of the direct measurement"
            vector = _vector(records, habit)
            if vector is not None:
                both = intervals.pearson(shown, vector), intervals.pearson(direct, vector)
                note += f"; with the simulator's own number {both[0]:.2f}, directly {both[1]:.2f}"
            out.append(
                Row("somebody", f"{habit}, style of {length}: correlation with the true habit",
                    intervals.correlation(shown, truth), intervals.correlation(direct, truth), "≥ 80 % of direct",
                    bool(share.value >= 0.8), note=note)
            )  # fmt: skip
        estimate = intervals.correlation(generic[:, column], truth)
        near = bool(estimate.low <= 0.0 <= estimate.high or abs(estimate.value) < 0.1)
        out.append(Row("somebody", f"{habit}, no weight shift", estimate, None, "near 0", near))
    return out


def _share_of_direct(shown: np.ndarray, direct: np.ndarray, truth: np.ndarray) -> float:
    """The correlation of the reactions' habits with the true ones, by that of the style clips'."""
    highest = intervals.pearson(direct, truth)
    return intervals.pearson(shown, truth) / highest if abs(highest) > 1e-6 else float("nan")


def _recognition_rows(
    records: Sequence[PersonRecord], full_classifier: PersonClassifier, motion_classifier: PersonClassifier
) -> list[Row]:
    """How often the listener is picked from 10 by one reaction alone."""
    if len(records) < 2:
        return []
    skip = full_classifier.mean.size - motion_classifier.mean.size
    gallery = _stack(records, "gallery/signatures")
    classifiers = {
        "": (lambda x: full_classifier.scores(x, gallery), "signatures"),
        ", by movement alone": (lambda x: motion_classifier.scores(x[:, skip:], gallery[..., skip:]), "signatures"),
        ", by the weights' own style encoder": (_nearest_style(records), "styles"),
    }
    out, candidates = [], min(CANDIDATES, len(records))
    for title, (scores, kind) in classifiers.items():
        rates = {}
        for name in ("personal", "generic", "simulator"):
            if f"{name}/{kind}" in records[0]:
                rates[name] = intervals.mean(
                    [_recognition_rate(scores, record[f"{name}/{kind}"], i) for i, record in enumerate(records)]
                )
        asked = title == ""
        note = f"no weight shift {rates['generic']:.2f}" if "generic" in rates else ""
        out.append(
            Row("somebody", f"picked from {candidates} by one reaction{title}", rates["personal"],
                rates["simulator"], "≥ 0.50" if asked else "", bool(rates["personal"].value >= 0.5) if asked else None,
                note=note)
        )  # fmt: skip
    return out


def _recognition_rate(scores, clips: np.ndarray, person: int) -> float:
    return float(recognition_probability(scores(clips), np.full(len(clips), person), CANDIDATES).mean())


def _nearest_style(records: Sequence[PersonRecord]):
    gallery = _stack(records, "gallery/styles").mean(axis=1)
    gallery = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    return lambda styles: styles @ gallery.T


def _swap_rows(records: Sequence[PersonRecord]) -> list[Row]:
    if "swap/change" not in records[0]:
        return []
    change = intervals.ratio(_stack(records, "swap/change"), _stack(records, "swap/between samples"))
    out = [
        Row("somebody", "listeners swapped at a fixed seed: change, by that between samples", change, None, "> 0",
            bool(change.low > 0.05))
    ]  # fmt: skip
    for column, curve in enumerate(("smile", "nodding", "brows")):
        same, other = (_stack(records, f"swap/{kind} seed")[:, column] for kind in ("same", "other"))
        note = f"other seeds {intervals.mean(other):.2f}"
        met = bool(intervals.mean(same - other).low > 0)
        out.append(
            Row("somebody", f"timing of {curve} kept under the swap (correlation)", intervals.mean(same), None,
                "above other seeds", met, note=note)
        )  # fmt: skip
    return out


# --- They are plausible ---

EVENT_SHAPES = {
    "nod size": ("nods", 0), "nod frequency": ("nods", 1), "strokes per nod": ("nods", 2), "blink peak": ("blinks", 0),
    "blink width": ("blinks", 1), "blink closing": ("blinks", 2), "blink opening": ("blinks", 3),
    "smile onset": ("smiles", 1), "smile length": ("smiles", 2),
}  # fmt: skip


def _median(per_person: Sequence[np.ndarray]) -> Estimate:
    def pooled_median(persons: np.ndarray) -> float:
        values = np.concatenate([per_person[i] for i in persons])
        return float(np.median(values)) if len(values) else float("nan")

    return intervals.estimate(pooled_median, len(per_person))


def _plausibility_rows(records: Sequence[PersonRecord]) -> list[Row]:
    out = []
    for measure, (kind, column) in EVENT_SHAPES.items():
        range_ = RANGES[measure]
        generated, simulated = (
            _median([record[f"{name}/shapes/{kind}"][:, column] for record in records])
            for name in ("personal", "simulator")
        )
        met = bool(range_.low <= generated.value <= range_.high)
        digits = ".3f" if range_.unit == "s" and range_.high < 1 else ".2f"
        target = f"{range_.low:g} to {range_.high:g} {range_.unit}".rstrip()
        out.append(Row("plausible", f"{measure}, median", generated, simulated, target, met, digits, range_.source))
    for measure, name in (("nod rate", "nods"), ("blink rate", "blinks")):
        generated, simulated = (_rate(records, source, name) for source in ("personal", "truth"))
        range_ = RANGES[measure]
        met = bool(range_.low <= generated.value <= range_.high)
        target = f"{range_.low:g} to {range_.high:g} {range_.unit}"
        out.append(Row("plausible", f"{measure}, mean", generated, simulated, target, met, ".1f", range_.source))
    speeds = [record["seams"] for record in records if "seams" in record]
    if speeds:
        seams = intervals.ratio(*np.array(speeds).T)
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


def _rate(records: Sequence[PersonRecord], source: str, name: str) -> Estimate:
    """Events per minute over all clips, resampled by person."""
    counted = _stack(records, f"{source}/habits").sum(axis=1)
    return intervals.ratio(counted[:, COUNT_NAMES.index(name)], counted[:, COUNT_NAMES.index("minutes")])


# --- The printed table ---

SECTIONS = {
    "listen": "They listen",
    "differ": "They differ",
    "somebody": "They are somebody",
    "plausible": "They are plausible",
    "real": "Real people",
}
COMPARED_WITH = {"somebody": "direct measurement, or the simulator", "real": "simulated speakers"}


def markdown(table: Sequence[Row]) -> str:
    """The table as Markdown, one section after another, and how many targets are met."""
    lines = []
    for section, title in SECTIONS.items():
        section_rows = [row for row in table if row.section == section]
        if not section_rows:
            continue
        compared_with = COMPARED_WITH.get(section, "the simulator itself")
        lines += [
            f"### {title}",
            "",
            f"| | reactions | {compared_with} | asked for | met | |",
            "|---|---|---|---|---|---|",
        ]
        for row in section_rows:
            simulator = "" if row.simulator is None else format(row.simulator, row.digits)
            met = {None: "", True: "yes", False: "**no**"}[row.met]
            cells = (row.title, format(row.estimate, row.digits), simulator, row.target, met, row.note)
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    asked = [row for row in table if row.met is not None]
    missed = [row.title for row in asked if not row.met]
    lines.append(
        f"{len(asked) - len(missed)} of {len(asked)} marks met." + (f" Missed: {'; '.join(missed)}." if missed else "")
    )
    return "\n".join(lines)


JSON_KEYS = {"title": "what", "estimate": "found"}  # field of `Row` -> its key in the file


def as_json(table: Sequence[Row]) -> list[dict]:
    """The table as JSON keeps it; the file's keys are `JSON_KEYS`."""
    return [{JSON_KEYS.get(name, name): value for name, value in asdict(row).items()} for row in table]
