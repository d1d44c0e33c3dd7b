"""PerFRDiff: several facial reactions of one particular listener to a talking person.

Reactor, react, ReactRequest, export, read_speaker and read_listener are here. Each is imported when it is first asked
for, for torch and the face tracker take seconds, which `perfrdiff --help` should not.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import renderer  # noqa: F401 - says how threads wait, before torch and numpy are loaded

if TYPE_CHECKING:
    from perfrdiff.exports.from_folder import export
    from perfrdiff.features.clip import read_listener, read_speaker
    from perfrdiff.pipeline.request import ReactRequest
    from perfrdiff.pipeline.run import react
    from perfrdiff.reactor import Reactor

# onnxruntime would else write a number of this machine to the disk, and send it to its makers with what it was used
# for. Its own `disable_telemetry_events` comes too late: the first call is made while it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
__all__ = ["ReactRequest", "Reactor", "export", "react", "read_listener", "read_speaker"]

_MODULES = {
    "ReactRequest": "perfrdiff.pipeline.request",
    "Reactor": "perfrdiff.reactor",
    "export": "perfrdiff.exports.from_folder",
    "react": "perfrdiff.pipeline.run",
    "read_listener": "perfrdiff.features.clip",
    "read_speaker": "perfrdiff.features.clip",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
