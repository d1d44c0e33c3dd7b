"""Taking things away from a folder of results, at any time after the run: `perfrdiff.export`, `perfrdiff export`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from perfrdiff.coefficients import WIDTH
from perfrdiff.errors import InputError
from perfrdiff.exports import EXPORTS, OF_A_HEAD, STYLE_FILE
from perfrdiff.exports.files import ExportSource, about_run, write_exports
from perfrdiff.personal.weight_shift import WeightShift
from perfrdiff.pipeline.folder import OutputFolder
from perfrdiff.pipeline.request import DEFAULTS, LISTENER
from perfrdiff.reactor import Reactor
from renderer.guarded_files import read_npz
from renderer.identity.files import load_identity
from renderer.identity.identity import Identity

MOST_BYTES = 1 << 30  # of a run's numbers; ten reactions of two minutes take 7 MB


def export(
    folder: str | Path,
    to: str | Iterable[str],
    out: str | Path | None = None,
    *,
    identity: str | Path | None = None,
    mesh_identity: str | None = None,
    frame: int | None = None,
) -> tuple[Path, ...]:
    """Write what a run made for other programs; the paths of the files.

    folder: what `react` wrote. to: one or more of perfrdiff.exports.EXPORTS. out: where to; None: the same folder.
    identity: file of the listener's head that save_identity kept, which a folder never holds. mesh_identity: a made-up
    person to show in its place. frame: of stills, 0 is the first; None: the liveliest of each reaction.
    Raises InputError or RenderError, in one sentence, and then writes nothing.
    """
    names = (to,) if isinstance(to, str) else tuple(dict.fromkeys(to))
    unknown = [name for name in names if name not in EXPORTS]
    if unknown or not names:
        what = f"There is no export named '{unknown[0]}'" if unknown else "No export was named"
        raise InputError(f"{what}; choose of {', '.join(EXPORTS)}.")
    results = OutputFolder(Path(folder))
    settings, coefficients = _settings(results), _coefficients(results.coefficients)
    source = ExportSource(
        coefficients=coefficients,
        about=about_run(settings),
        head=_head(settings, identity, mesh_identity) if set(names) & set(OF_A_HEAD) else None,
        shift=_shift(results.path, settings) if "style" in names else None,
        frame=frame,
        size=settings["settings"].get("size", DEFAULTS["size"]),
        mesh_style=settings["settings"].get("mesh_style", DEFAULTS["mesh_style"]),
        label=settings["settings"].get("label", DEFAULTS["label"]),
    )
    tables = [results.reaction(number + 1, (), False).csv for number in range(len(coefficients))]
    present = {"npz": [results.coefficients], "csv": tables, "settings": [results.settings]}
    return write_exports(names, source, results.path if out is None else Path(out), present)


def _settings(results: OutputFolder) -> dict[str, Any]:
    """What settings.json holds; a folder without videos is as good as another."""
    try:
        settings = json.loads(results.settings.read_text(encoding="utf-8"))
        if not {"settings", "weights", "listening_style"} <= settings.keys():
            raise ValueError
        if not all(isinstance(settings[name], dict) for name in ("settings", "weights")):
            raise ValueError
    except OSError:
        raise InputError(f"{results.path} holds no results of a run: {results.settings.name} is missing.") from None
    except (ValueError, AttributeError, RecursionError):
        raise InputError(f"{results.settings} is not the settings file of a run, or of another version.") from None
    return settings


def _coefficients(path: Path) -> np.ndarray:
    """(K, T, 58) float32."""
    try:
        coefficients = read_npz(path, MOST_BYTES)["coefficients"]
    except (OSError, ValueError, KeyError):
        raise InputError(f"{path} is not the coefficients file of a run, or it is damaged.") from None
    if coefficients.ndim != 3 or coefficients.shape[2] != WIDTH or coefficients.dtype.kind != "f":
        raise InputError(f"{path} holds {coefficients.shape} numbers; expected (reactions, frames, {WIDTH}).")
    return coefficients.astype(np.float32)


def _head(settings: dict[str, Any], identity: str | Path | None, mesh_identity: str | None) -> Identity | str:
    if identity is not None and mesh_identity is not None:
        raise InputError(f"A saved head and '{mesh_identity}' were both given; a mesh can show one of them.")
    if identity is not None:
        return load_identity(identity)
    shown = mesh_identity or settings["settings"].get("mesh_identity", LISTENER)
    if shown == LISTENER:
        raise InputError(
            "A folder of results never holds the listener's face: give the file that save_identity kept in that run "
            "(--identity FILE), or a made-up person to show (--mesh-identity Alex)."
        )
    return shown


def _shift(folder: Path, settings: dict[str, Any]) -> WeightShift:
    """The weight shift that the run kept, or that of its named style."""
    if (folder / STYLE_FILE).is_file():
        return WeightShift.load(folder / STYLE_FILE)
    weights, style = settings["weights"], settings["listening_style"]
    reactor = Reactor.load(weights["name"], "cpu")
    if style in reactor.styles and reactor.checkpoint.sha256 == weights["sha256"]:
        reactor.set_listener(style)
        if reactor.shift is not None:
            return reactor.shift
    raise InputError(
        f"The run kept no style file, and its style ('{style}') is none that these weights know by name: "
        "make the run again with exports=style (--exports style)."
    )
