"""Pictures of the tables."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from perfrdiff.evaluation.dataset import BETTER, Report
from perfrdiff.evaluation.report import Row

COLOURS = {"this listener": "tab:blue", "generic": "lightsteelblue", "ground truth": "dimgray"}


def habits(table: Sequence[Row], path: Path) -> None:
    """Bars with intervals: how well each habit of the listener shows in the reactions, and in the redraws."""
    rows = [row for row in table if row.section == "somebody" and "r with the truth" in row.title]
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(rows) + 1.2), layout="constrained")
    for i, row in enumerate(rows):
        bars = (
            (-0.27, row.estimate, "tab:blue"),
            (0.0, row.alone, "lightsteelblue"),
            (0.27, row.simulator, "tab:gray"),
        )
        for offset, estimate, colour in bars:
            if estimate is not None:
                axes.barh(i + offset, estimate.value, 0.25, color=colour)
                axes.plot((estimate.low, estimate.high), (i + offset, i + offset), color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [row.title.split(",")[0] for row in rows])
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(
        "correlation with the truth\n(blue: reactions, light: weights alone, grey: the simulator's redraws)"
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def scores(report: Report, path: Path) -> None:
    """One panel per metric, one bar per method, the corrected column; dotted: the ground truth."""
    names = [name for name in BETTER if name != "FRRea"]
    figure, panels = plt.subplots(2, 3, figsize=(11, 0.45 * len(report.lines) + 3.0), layout="constrained", sharey=True)
    methods = [line.method for line in report.lines]
    colours = [COLOURS.get(method, "#b8b8b8") for method in methods]
    for name, panel in zip(names, panels.flat, strict=True):
        values = [getattr(line.corrected, name) for line in report.lines]
        bars = panel.barh(methods, values, color=colours)
        panel.bar_label(bars, [_short(value) for value in values], padding=3, fontsize=8)
        if "ground truth" in methods:
            panel.axvline(values[methods.index("ground truth")], color="black", linewidth=0.8, linestyle=":", zorder=0)
        panel.set_title(f"{name} {BETTER[name]}{', frames' if name == 'FRSyn' else ''}", fontsize=10)
        panel.margins(x=0.18)  # room for the numbers
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
    panels[0, 0].invert_yaxis()
    figure.suptitle(
        f"{report.weights} on {report.clips} clips ({report.split}), {report.samples} samples each, corrected metrics; "
        f"FRCorr and FRDist: {report.neighbours} neighbours",
        fontsize=10,
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _short(value: float) -> str:
    if math.isnan(value):
        return "undefined"
    return f"{value:.4f}" if 0 < abs(value) < 0.01 else f"{value:.3g}"
