"""What has become of every item: one line of JSON for each, written when it is over, and a table at the end.

The journal is how a batch goes on where it stopped: an item whose line carries the same key is not done again. The key
stands for everything that can change the result: contents of the inputs, settings, weights and version.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from perfrdiff import __version__
from perfrdiff.batch.manifest import Item
from perfrdiff.batch.storage import checksum
from perfrdiff.files import atomic_write

DONE, FAILED, DIED, LATE = "done", "failed", "died", "late"
"""States of an item: its outputs are whole; it was refused in one sentence; its process died twice; it took too long
twice."""


@dataclass(frozen=True)
class Outcome:
    """One row of the results."""

    id: str
    key: str
    state: str
    sentence: str = ""  # why it is not done
    seconds: float = 0.0
    values: Mapping[str, Any] = field(default_factory=dict)  # columns of the action: frames, quality, paths, habits …


class Journal:
    """The file `journal.jsonl` of a batch's folder; one process writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: dict[str, Outcome] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                outcome = _outcome(line)
                if outcome is not None:  # a line cut short by a crash is an item that is done again
                    self.outcomes[outcome.id] = outcome

    def add(self, outcome: Outcome) -> None:
        """Append one line; it is on the disk when this returns. Raises OSError."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.outcomes[outcome.id] = outcome

    def is_over(self, id: str, key: str, retry_failed: bool) -> bool:
        """Whether the item of this key need not be done again."""
        outcome = self.outcomes.get(id)
        return outcome is not None and outcome.key == key and (outcome.state == DONE or not retry_failed)

    def write_table(self, path: Path, items: Iterable[Item], earlier: Iterable[Journal] = ()) -> list[Outcome]:
        """results.csv: one row for each item that is over, in the order of the items; returns these.

        earlier: journals of actions that came before, whose values of an item stand in its row as well.
        """
        outcomes = [self.outcomes[item.id] for item in items if item.id in self.outcomes]
        before = [journal.outcomes for journal in earlier]
        rows = [
            {name: value for one in before if outcome.id in one for name, value in one[outcome.id].values.items()}
            | dict(outcome.values)
            for outcome in outcomes
        ]
        columns = dict.fromkeys(name for row in rows for name in row)
        with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "state", "sentence", "seconds", *columns])
            for one, row in zip(outcomes, rows, strict=True):
                cells = [_cell(row.get(name, "")) for name in columns]
                writer.writerow([one.id, one.state, one.sentence, f"{one.seconds:.2f}", *cells])
        return outcomes


def item_key(item: Item, action: str, options: Mapping[str, object], weights_sha256: str, made_before: str = "") -> str:
    """The key of an item. Raises OSError for an input that cannot be read.

    made_before: checksum of what an earlier action made and this one reads.
    """
    files = [*sorted(item.files.items()), *(("truth", path) for path in item.truth)]
    contents = [(name, checksum(path)) for name, path in files]
    parts = [__version__, action, contents, dict(item.settings), dict(options), weights_sha256, made_before]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _outcome(line: str) -> Outcome | None:
    try:
        outcome = Outcome(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (outcome.id, outcome.key, outcome.state, outcome.sentence)
    whole = all(isinstance(text, str) for text in texts) and isinstance(outcome.values, dict)
    return outcome if whole and isinstance(outcome.seconds, int | float) else None


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
