"""How many runs have ended, how, and after what time: counts alone, nothing of whose they were."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter

SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
"""Upper ends of the histograms' classes."""


class Histogram:
    """Counts of seconds by class, and their sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)  # the last: beyond all of them
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds


class Tally:
    """Ends of runs since the start of the server."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.waited, self.worked = Histogram(), Histogram()
        self._lock = threading.Lock()

    def count(self, end: str, waited: float, worked: float | None) -> None:
        """One run: how it ended, the seconds that it waited, and that it took; None where it never began."""
        with self._lock:
            self.ends[end] += 1
            self.waited.add(waited)
            if worked is not None:
                self.worked.add(worked)
