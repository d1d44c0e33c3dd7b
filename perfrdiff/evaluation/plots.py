"""Pictures of the tables."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from perfrdiff.evaluation.behaviour import Row
from perfrdiff.evaluation.dataset import BETTER, Report


def habits(table: Sequence[Row], path: Path) -> None:
    """Bars with intervals: how well each habit of the listener is found in the reactions, and directly."""
    rows = [row for row in table if row.section == "somebody" and "correlation with the true habit" in row.what]
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(rows) + 1.2), layout="constrained")
    for i, row in enumerate(rows):
        for shift, found, colour in ((-0.18, row.found, "tab:blue"), (0.18, row.simulator, "tab:gray")):
            if found is not None:
                axes.barh(i + shift, found.value, 0.34, color=colour)
                axes.plot((found.low, found.high), (i + shift, i + shift), color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [row.what.split(":")[0] for row in rows])
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("correlation with the true habit\n(blue: reactions, grey: measured on the style clip)")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def scores(report: Report, path: Path) -> None:
    """One panel per metric, one bar per method, the sound column."""
    names = [name for name in BETTER if name != "FRRea"]
    figure, axes = plt.subplots(1, len(names), figsize=(2.4 * len(names), 3.4), layout="constrained", sharey=True)
    methods = [line.method for line in report.lines]
    for name, panel in zip(names, axes, strict=True):
        values = [getattr(line.sound, name) for line in report.lines]
        colours = ["tab:blue" if method == "this listener" else "tab:gray" for method in methods]
        panel.barh(methods, values, color=colours)
        panel.set_title(f"{name} {BETTER[name]}")
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=120)
    plt.close(figure)
