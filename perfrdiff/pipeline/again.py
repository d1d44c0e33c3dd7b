"""A run made again from the settings.json that it left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from perfrdiff.errors import InputError
from perfrdiff.pipeline.request import SETTINGS


def settings_again(path: str | Path, given: Mapping[str, object]) -> dict[str, object]:
    """The settings of the run whose settings.json lies at `path`, for `ReactRequest(**...)`; `given` ones come first.

    The file names nobody: speaker, listener and a saved weight shift have to be given. The same files and weights give
    the same reactions. Raises InputError for another file, and where the run had saved shifts and none is given.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        settings, weights = dict(content["settings"]), str(content["weights"]["name"])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give the settings.json of a run.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path} is not the settings file of a run, or of another version.") from None
    shares = settings.get("shares_of_shifts") or ()
    count = len(shares) if isinstance(shares, list | tuple) else 0
    if count and not given.get("shift"):
        raise InputError(f"That run took its style from {count} saved file(s): give them again, as shift.")
    if settings.get("has_other_listener") and not (given.get("other_listener") or given.get("other_style")):
        raise InputError("That run had a second listener: give the file again, as other_listener.")
    kept = {name: value for name, value in settings.items() if name in SETTINGS}
    known = {name: value for name, value in kept.items() if value is not None or SETTINGS[name].optional}
    if given.get("shift"):
        known.pop("style", None)
    if given.get("other_listener"):
        known.pop("other_style", None)
    if given.get("identity"):
        known.pop("mesh_identity", None)
    return known | {"weights": weights} | dict(given)
