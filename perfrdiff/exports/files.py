"""The files of each export: pure functions from a run's numbers to names and bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from perfrdiff.coefficients import EXPRESSION
from perfrdiff.errors import InputError
from perfrdiff.exports import STYLE_FILE
from perfrdiff.leftovers import unfinished_folder
from perfrdiff.personal.weight_shift import WeightShift
from renderer.export.glb import head_document, moving_glb
from renderer.export.head import head_surface
from renderer.export.live_link import live_link_csv
from renderer.export.stills import still_files
from renderer.face_model import load_face_model
from renderer.identity.identity import Identity
from renderer.mesh import MeshRenderer
from renderer.video.alpha import AlphaVideoWriter
from renderer.video.layout import stamp_label

Files = Iterator[tuple[str, bytes]]  # name and content, made one by one


@dataclass(frozen=True)
class ExportSource:
    """What the files of a run's exports are made from."""

    coefficients: np.ndarray  # (K, T, 58) float32
    about: Mapping[str, str] = field(default_factory=dict)  # what files say of themselves where they can
    head: Identity | str | None = None  # whom heads show, a real person or a made-up one; None where none is wanted
    shift: WeightShift | None = None
    frame: int | None = None  # of stills; None: each reaction's liveliest
    size: int = 256  # edge of videos in pixels
    mesh_style: str = "studio"  # of videos
    label: bool = True  # whether videos are stamped as AI-generated


def about_run(settings: Mapping[str, Any]) -> dict[str, str]:
    """What files say of themselves: that they are AI-generated, and by which version. settings: of settings.json."""
    return {name: str(settings[name]) for name in ("what", "digital_source_type", "version") if name in settings}


def export_files(name: str, source: ExportSource) -> Files:
    """The files of one of MADE_AFTERWARDS.

    Raises InputError or RenderError for what the source lacks or cannot be drawn.
    """
    return _WRITERS[name](source)


def write_exports(
    names: Sequence[str], source: ExportSource, folder: Path, present: Mapping[str, Sequence[Path]] | None = None
) -> tuple[Path, ...]:
    """Write the files of these exports into a folder, which is made if need be; all of them, or none on any error.

    present: export -> files that are there already, and are copied. Returns the paths. Raises InputError for a place
    that cannot be written, and what `export_files` raises.
    """
    present = present or {}
    written: list[Path] = []
    try:
        with unfinished_folder(folder) as work:
            for export in names:
                files = _copied(present[export]) if export in present else export_files(export, source)
                for name, content in files:
                    (work / name).write_bytes(content)
                    written.append(folder / name)
            for path in written:
                (work / path.name).replace(path)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); name another folder.") from None
    return tuple(written)


def _copied(paths: Sequence[Path]) -> Files:
    for path in paths:
        yield path.name, path.read_bytes()


def _live_link(source: ExportSource) -> Files:
    for number, rows in enumerate(source.coefficients, start=1):
        yield f"reaction_{number}_live_link.csv", live_link_csv(rows).encode()


def _glb(source: ExportSource) -> Files:
    document = head_document(_head(source))
    for number, rows in enumerate(source.coefficients, start=1):
        yield f"reaction_{number}.glb", moving_glb(document, rows, source.about)


def _stills(kind: str) -> Callable[[ExportSource], Files]:
    def write(source: ExportSource) -> Files:
        surface, frames = head_surface(_head(source)), source.coefficients.shape[1]
        if source.frame is not None and not 0 <= source.frame < frames:
            raise InputError(f"frame must lie between 0 and {frames - 1} here; it is {source.frame}.")
        for number, rows in enumerate(source.coefficients, start=1):
            liveliest = int(rows[:, EXPRESSION].sum(axis=1).argmax())
            frame = liveliest if source.frame is None else source.frame
            yield from still_files(surface, rows[frame], f"reaction_{number}_frame_{frame}", kind).items()

    return write


def _webm(source: ExportSource) -> Files:
    mesh = MeshRenderer(load_face_model(), source.size, source.mesh_style, _head(source))
    with tempfile.TemporaryDirectory(prefix="perfrdiff-") as folder:
        for number, rows in enumerate(source.coefficients, start=1):
            path = Path(folder) / f"reaction_{number}_mesh_transparent.webm"
            with AlphaVideoWriter(path, (source.size, source.size), metadata=dict(source.about)) as video:
                for picture in mesh.render_transparent(rows):
                    video.write(stamp_label(picture) if source.label else picture)
            yield path.name, path.read_bytes()


def _style(source: ExportSource) -> Files:
    if source.shift is None:
        raise InputError("The generic listener has no style to keep; name a style, or give a listener's video.")
    with tempfile.TemporaryDirectory(prefix="perfrdiff-") as folder:
        path = Path(folder) / STYLE_FILE
        source.shift.save(path)
        yield STYLE_FILE, path.read_bytes()


def _head(source: ExportSource) -> Identity | str:
    if source.head is None:
        raise InputError("There is no head to export; name a made-up person, or give the file of a saved head.")
    return source.head


_WRITERS: Mapping[str, Callable[[ExportSource], Files]] = {
    "live-link": _live_link, "glb": _glb, "webm": _webm, "obj": _stills("obj"),
    "ply": _stills("ply"), "still-glb": _stills("glb"), "style": _style,
}  # fmt: skip
