"""Whose turn it is: a queue in which a visitor's many runs do not hold up another's first; and what one may use."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from perfrdiff.errors import InputError

Item = TypeVar("Item")


@dataclass
class _Entry(Generic[Item]):
    item: Item
    client: str
    cost: float
    start: float  # in the queue's own time
    number: int  # of arrival


class Turns(Generic[Item]):
    """What waits, in the order in which it will be taken.

    Start-time fair queueing (Goyal, Vin and Cheng, 1997): each entry is given a start, where its visitor's entry before
    it ends, or now where that is later; the earliest start is taken first, of equal ones the one that came first. So
    visitors take turns, by cost and not by number, and who asks for the first time waits for no second turn of another.
    Not safe for threads: whoever uses it holds a lock.
    """

    def __init__(self) -> None:
        self._waiting: list[_Entry[Item]] = []
        self._ends: dict[str, float] = {}  # visitor -> end of their latest entry
        self._now = 0.0  # the start of what was taken last
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Item]:
        return (entry.item for entry in list(self._waiting))

    def add(self, item: Item, client: str, cost: float) -> None:
        """Put something into the queue; `cost`: how much it takes, above 0, in the same unit for all."""
        start = max(self._now, self._ends.get(client, 0.0))
        self._ends[client] = start + cost
        self._arrivals += 1
        self._waiting.append(_Entry(item, client, cost, start, self._arrivals))
        self._waiting.sort(key=lambda entry: (entry.start, entry.number))

    def take(self) -> Item:
        """Remove what comes next; IndexError where nothing waits."""
        entry = self._waiting.pop(0)
        self._now = entry.start
        self._ends = {client: end for client, end in self._ends.items() if end > self._now}
        return entry.item

    def remove(self, item: Item) -> bool:
        """Remove one that waits; what its visitor asked for later moves up. Returns whether it was there."""
        entry = next((entry for entry in self._waiting if entry.item is item), None)
        if entry is None:
            return False
        self._waiting.remove(entry)
        for other in self._waiting:
            if other.client == entry.client and other.number > entry.number:
                other.start -= entry.cost
        self._ends[entry.client] -= entry.cost
        self._waiting.sort(key=lambda entry: (entry.start, entry.number))
        return True

    def count(self, client: str) -> int:
        """How many of a visitor's wait."""
        return sum(entry.client == client for entry in self._waiting)


class Allowance:
    """What each client has used in the latest window of time; more than is allowed is refused, in one sentence."""

    def __init__(self, most: float, minutes: float, what: str) -> None:
        """`most`: in a window of so many `minutes`, 0 for no limit; `what`: "runs", or another plural."""
        self._most, self._minutes, self._what = most, minutes, what
        self._used: dict[str, deque[tuple[float, float]]] = {}
        self._lock = threading.Lock()

    def use(self, client: str, amount: float = 1.0) -> None:
        """Count it. Raises InputError, and counts nothing, where it would be more than is allowed."""
        if not self._most:
            return
        now = time.monotonic()
        with self._lock:
            for name in [name for name, used in self._used.items() if self._is_over(used[-1][0], now)]:
                del self._used[name]
            used = self._used.setdefault(client, deque())
            while used and self._is_over(used[0][0], now):
                used.popleft()
            if sum(one for _, one in used) + amount > self._most:
                first = used[0][0] if used else now
                if not used:
                    del self._used[client]
                minutes = max(1, round(self._minutes - (now - first) / 60))
                raise InputError(
                    f"This server takes {self._most:g} {self._what} of one address in {self._minutes:g} minutes; "
                    f"please try again in {minutes} min."
                )
            used.append((now, amount))

    def _is_over(self, moment: float, now: float) -> bool:
        return now - moment > 60 * self._minutes
