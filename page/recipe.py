"""The present settings as lines to copy: at the shell, in Python, over the network; and as the page's address."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from perfrdiff.pipeline.request import SETTINGS

FILES = ("speaker", "listener", "shift", "other_listener")


def shell(settings: Mapping[str, object]) -> str:
    """The command; files by their bare names."""
    words = ["perfrdiff", "react"]
    for name, value in (_with_files(settings) | {"out": "reactions"}).items():
        option = "--" + name.replace("_", "-")
        if value is True or value is False:
            words.append(option if value else option.replace("--", "--no-", 1))
        elif isinstance(value, tuple | list):
            words += [option, *(shlex.quote(str(part)) for part in value)]
        else:
            words += [option, shlex.quote(str(value))]
    return " ".join(words)


def python(settings: Mapping[str, object]) -> str:
    """The lines of a script on this machine."""
    given = _with_files(settings) | {"out": "reactions"}
    arguments = ", ".join(f"{name}={_literal(value)}" for name, value in given.items())
    return (
        "from perfrdiff.pipeline.request import ReactRequest\n"
        "from perfrdiff.pipeline.run import react\n\n"
        f"result = react(ReactRequest({arguments}))"
    )


def client(settings: Mapping[str, object], server: str) -> str:
    """The lines of a script that asks this page."""
    arguments = [
        f"{name}=handle_file({_literal(value)})" if name in FILES else f"{name}={_literal(value)}"
        for name, value in _with_files(settings).items()
    ]
    return (
        "from gradio_client import Client, handle_file\n\n"
        f'client = Client("{server}")\n'
        f'result = client.predict({", ".join(arguments)}, api_name="/react")\n'
        'print(result["side_by_side"], result["frames"])'
    )


def address(settings: Mapping[str, object]) -> str:
    """The part of an address behind "?" that brings the settings back; no file is in it."""
    return urlencode({name: _text(value) for name, value in settings.items() if name in SETTINGS and name not in FILES})


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _with_files(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings with both files first, by their bare names, or by stand-ins."""
    files = {"speaker": "talk.mp4", "listener": "me.jpg"} | {
        name: settings[name] for name in FILES if settings.get(name)
    }
    bare = {name: Path(str(value)).name for name, value in files.items()}
    return bare | {name: value for name, value in settings.items() if name not in FILES}


def _literal(value: object) -> str:
    """A value as Python writes it, in double quotes."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return repr(value)
