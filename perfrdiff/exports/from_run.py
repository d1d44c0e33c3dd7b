"""Taking things away from a run that has just been made, while its listener's head is still at hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from perfrdiff import __version__
from perfrdiff.errors import InputError
from perfrdiff.exports import MADE_AFTERWARDS
from perfrdiff.exports.files import ExportSource, write_exports
from perfrdiff.pipeline.credentials import DIGITAL_SOURCE_TYPE
from perfrdiff.pipeline.listener_mesh import STAND_IN
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.run import ReadyReactions
from perfrdiff.pipeline.videos import TITLE


def export_run(request: ReactRequest, ready: ReadyReactions, to: Iterable[str], out: Path) -> tuple[Path, ...]:
    """Write a run's reactions for other programs; the paths of the files.

    to: names of MADE_AFTERWARDS. out: the folder for them. Heads show whom the run's mesh shows, or would: STAND_IN
    where it drew none. Raises InputError or RenderError, in one sentence, and then writes nothing.
    """
    names = tuple(dict.fromkeys(to))
    unknown = [name for name in names if name not in MADE_AFTERWARDS]
    if unknown or not names:
        what = f"There is no export named '{unknown[0]}'" if unknown else "No export was named"
        raise InputError(f"{what}; choose of {', '.join(MADE_AFTERWARDS)}.")
    source = ExportSource(
        coefficients=ready.coefficients,
        about={"what": TITLE, "digital_source_type": DIGITAL_SOURCE_TYPE, "version": __version__},
        head=ready.head.identity if ready.head is not None else STAND_IN,
        shift=ready.shift,
        size=request.size,
        mesh_style=request.mesh_style,
        label=request.label,
    )
    return write_exports(names, source, out)
