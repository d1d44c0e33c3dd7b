"""The heavy half of the program (torch, the tracker, what draws), which the page loads while it already answers."""

import threading
from importlib import import_module
from types import ModuleType

_lock = threading.Lock()


def heavy(module: str) -> ModuleType:
    """The module of this full name. One thread loads at a time: two that import the same libraries in another order
    would see halves of them."""
    with _lock:
        return import_module(module)
