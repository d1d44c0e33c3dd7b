"""Listeners of live sessions who were made ready by the tab, until a session asks for them by name."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfrdiff.features.clip import Listener
    from perfrdiff.reactor import Reactor


@dataclass(frozen=True)
class ReadyListener:
    """A listener who was made ready; nobody else may set the reactor any more."""

    reactor: Reactor
    looks: Listener | None = None  # what their photo or video shows; None: nothing


class LiveListeners:
    """Listeners that were made ready for a session, by a random name that only the page which asked for it knows."""

    MOST = 32

    def __init__(self) -> None:
        self._ready: OrderedDict[str, ReadyListener] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, listener: ReadyListener) -> str:
        """The name of a listener."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._ready[name] = listener
            while len(self._ready) > self.MOST:
                self._ready.popitem(last=False)
        return name

    def forget(self, name: str) -> None:
        with self._lock:
            self._ready.pop(name, None)

    def get(self, name: str) -> ReadyListener | None:
        with self._lock:
            return self._ready.get(name)
