"""The table that evaluations print: rows with intervals and marks, as Markdown and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from perfrdiff.evaluation.intervals import Estimate


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, what it is held against, and what was asked for."""

    section: str
    title: str
    estimate: Estimate
    simulator: Estimate | None = None  # what it is held against: `Section.compared_with`
    target: str = ""
    met: bool | None = None  # None: nothing was asked for
    digits: str = ".2f"
    note: str = ""
    alone: Estimate | None = None  # the same of the weights alone, without calibration to the listener

    def asked(self, target: str, met: bool) -> "Row":
        """The row with what is asked for, and whether it is met."""
        return replace(self, target=target, met=bool(met))


@dataclass(frozen=True)
class Section:
    """A part of the table."""

    title: str
    compared_with: str  # heading of the column `Row.simulator`


SECTIONS = {
    "listen": Section("They listen", "the simulator itself"),
    "differ": Section("They differ", "the simulator itself"),
    "somebody": Section("They are somebody", "the simulator's own redraws"),
    "lively": Section("They are alive", "the noise-free simulator"),
    "plausible": Section("They are plausible", "the simulator itself"),
    "real": Section("Real people", "control"),
    "voices": Section("Real voices: when they nod", "over other voices"),
    "amounts": Section("Real voices: how much they move", ""),
}


def markdown(table: Sequence[Row]) -> str:
    """The table as Markdown, one section after another, and how many targets are met."""
    lines = []
    for name, section in SECTIONS.items():
        rows = [row for row in table if row.section == name]
        if rows:
            lines += [f"### {section.title}", "", *_section_lines(rows, section), ""]
    asked = [row for row in table if row.met is not None]
    missed = [row.title for row in asked if not row.met]
    lines.append(
        f"{len(asked) - len(missed)} of {len(asked)} marks met." + (f" Missed: {'; '.join(missed)}." if missed else "")
    )
    return "\n".join(lines)


def _section_lines(rows: Sequence[Row], section: Section) -> list[str]:
    """Heading and rows; a column that no row of the section fills is left out."""

    def number(row: Row, estimate: Estimate | None) -> str:
        return "" if estimate is None else format(estimate, row.digits)

    columns = [
        ("", [row.title for row in rows]),
        ("reactions", [number(row, row.estimate) for row in rows]),
        ("weights alone", [number(row, row.alone) for row in rows]),
        (section.compared_with, [number(row, row.simulator) for row in rows]),
        ("asked for", [row.target for row in rows]),
        ("met", [{None: "", True: "yes", False: "**no**"}[row.met] for row in rows]),
        ("", [row.note for row in rows]),
    ]
    kept = [(heading, cells) for heading, cells in columns if any(cells)]
    lines = [f"| {' | '.join(heading for heading, _ in kept)} |", "|" + "---|" * len(kept)]
    return lines + [f"| {' | '.join(cells)} |" for cells in zip(*(cells for _, cells in kept), strict=True)]


JSON_KEYS = {"title": "what", "estimate": "found"}  # field of `Row` -> its key in the file


def as_json(table: Sequence[Row]) -> list[dict]:
    """The table as JSON keeps it; the file's keys are `JSON_KEYS`."""
    return [{JSON_KEYS.get(name, name): value for name, value in asdict(row).items()} for row in table]
