"""Rows about simulated dyads: do the reactions listen to the speaker, and do they differ from one another?"""

from collections.abc import Sequence

import numpy as np

from perfrdiff.evaluation import intervals, timing
from perfrdiff.evaluation.records import PersonRecord, stack
from perfrdiff.evaluation.report import Row

BASELINES = ("random", "mean sequence", "mime", "nearest neighbour", "shuffled", "generic")
BASELINE_TITLES = {"shuffled": "the same reactions with speakers shuffled", "generic": "no weight shift"}
ASKED = ("random", "mean sequence", "mime", "shuffled")  # baselines that the reactions have to beat
NODS_ASKED = {"clear nods": (1.8, np.inf), "small nods": (1.0, 1.6)}


def listening_rows(records: Sequence[PersonRecord]) -> list[Row]:
    """Metrics of the challenge beside baselines; nods after phrase ends, smiles after smiles."""
    return [*_metric_rows(records), *_nod_rows(records), *_smile_rows(records)]


def _metric_rows(records: Sequence[PersonRecord]) -> list[Row]:
    rows = []
    for metric, better, sign in (("FRCorr", "above", 1), ("FRDist", "below", -1)):
        scores = stack(records, f"personal/{metric}")
        simulator = intervals.mean(stack(records, f"simulator/{metric}"))
        rows.append(Row("listen", f"{metric} (corrected)", intervals.mean(scores), simulator, digits=".3f"))
        for name in BASELINES:
            baseline = stack(records, f"{name}/{metric}")
            gap = intervals.mean(sign * (scores - baseline))
            title = f"{metric} of {BASELINE_TITLES.get(name, name)}"
            row = Row("listen", title, intervals.mean(baseline), digits=".3f", note=f"reactions better by {gap:.3f}")
            if name in ASKED:
                row = row.asked(f"reactions {better}", gap.low > 0)
            rows.append(row)
    return rows


def _nod_rows(records: Sequence[PersonRecord]) -> list[Row]:
    rows = []
    for kind, name in enumerate(timing.KINDS):
        tallies = {
            source: stack(records, f"{source}/nods")[:, kind]
            for source in ("personal", "alone", "simulator", "shuffled", "generic")
        }
        ratios = {source: intervals.rate_ratio(x[:, 0], x[:, 1]) for source, x in tallies.items()}
        rates = {source: intervals.ratio(x[:, 1, 0], x[:, 1, 1]) for source, x in tallies.items()}
        note = f"elsewhere {rates['personal']:.1f} a minute (simulator {rates['simulator'].value:.1f}); "
        note += f"speakers shuffled {ratios['shuffled']:.2f}; no weight shift {ratios['generic']:.2f}"
        title = f"{name} {timing.WINDOW_WORDS} from phrase ends, by elsewhere"
        row = Row("listen", title, ratios["personal"], ratios["simulator"], alone=ratios["alone"], note=note)
        if name in NODS_ASKED:
            least, most = NODS_ASKED[name]
            target = f"≥ {least}" if np.isinf(most) else f"{least} to {most}"
            row = row.asked(target, least <= ratios["personal"].value <= most)
        rows.append(row)
    return rows


def _smile_rows(records: Sequence[PersonRecord]) -> list[Row]:
    rows = []
    for key, title in (
        ("smiles after smiles", "rate of smiles after smiles, by the rate elsewhere"),
        ("smile level after smiles", "smile level after smiles, by that elsewhere"),
    ):
        ratios = {}
        for source in ("personal", "alone", "simulator", "shuffled"):
            pairs = stack(records, f"{source}/{key}")
            ratios[source] = intervals.rate_ratio(pairs[:, 0], pairs[:, 1])
        note = f"speakers shuffled {ratios['shuffled']:.2f}"
        row = Row("listen", title, ratios["personal"], ratios["simulator"], alone=ratios["alone"], note=note)
        rows.append(row.asked("> 1", ratios["personal"].low > 1))
    return rows


def variety_rows(records: Sequence[PersonRecord]) -> list[Row]:
    """How different the samples are, beside the simulator's redraws."""
    differ, over_time = (
        intervals.ratio(stack(records, f"personal/{metric}"), stack(records, f"simulator/{metric}"))
        for metric in ("FRDiv", "FRVar")
    )
    return [
        Row("differ", "FRDiv of samples, by that of the simulator's redraws", differ).asked(
            "≥ 0.8", differ.value >= 0.8
        ),
        Row("differ", "FRVar of samples, by that of the simulator's redraws", over_time),
    ]
