"""The whole way: a speaker's video and a listener in, a folder of reaction videos out.

The page and the shell both call `react`; `videos` is the only module of this package that asks the renderer to draw.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from perfrdiff import __version__
from perfrdiff.behaviour.card import BehaviourCard
from perfrdiff.coefficients import FPS, WIDTH
from perfrdiff.errors import InputError
from perfrdiff.exports import OF_A_HEAD
from perfrdiff.exports.files import ExportSource, about_run, write_exports
from perfrdiff.features.clip import Listener, Speaker
from perfrdiff.features.media.input import Media, Part, open_input
from perfrdiff.features.media.local_file import display_name
from perfrdiff.personal.weight_shift import WeightShift
from perfrdiff.pipeline.comparison import Cell, comparison_cells, react_in_cells
from perfrdiff.pipeline.credentials import DIGITAL_SOURCE_TYPE
from perfrdiff.pipeline.faults import in_one_sentence
from perfrdiff.pipeline.folder import OutputFolder, ReactResult, library_versions
from perfrdiff.pipeline.input_memory import InputMemory
from perfrdiff.pipeline.listener_mesh import ShownHead, head_of
from perfrdiff.pipeline.listeners import WayOfListening, mixture, other_listener, this_listener
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.stages import STAGES, Progress, Report, StageClock
from perfrdiff.pipeline.take import Take
from perfrdiff.pipeline.videos import TITLE, ReactionVideos, built_in_face
from perfrdiff.reactor import GENERIC, Reactions, Reactor
from renderer.coefficients import implausibility_note
from renderer.identity.identity import Identity

__all__ = ["STAGES", "ReadyReactions", "load_reactor", "react", "react_in_numbers", "styles"]

_one_run_at_a_time = Lock()


@lru_cache(maxsize=2)
def load_reactor(weights: str = "demo", device: str | None = None) -> Reactor:
    """The generator with its weights, loaded once per process."""
    return Reactor.load(weights, device)


def styles(reactor: Reactor) -> tuple[str, ...]:
    """The listening styles to choose from. The last is the generic one: weights without named styles have it, too."""
    return (*reactor.styles, GENERIC)


@dataclass(frozen=True)
class ReadyReactions:
    """What is known of a run once its reactions exist, before any video of them is drawn."""

    coefficients: np.ndarray  # (K, T, 58) float32, as they will be in the folder
    speaker: Speaker
    style: str  # the listening style, in words
    habits: BehaviourCard | None  # what was measured on a listener's video
    head: ShownHead | None  # whom the mesh shows; None where no mesh was asked for, and for REACT's own face
    cells: tuple[Cell, ...] = ()  # of a comparison: what each reaction is
    shift: WeightShift | None = None  # of the listener, mixed where there are two; None for the generic one


def react(
    request: ReactRequest,
    progress: Progress | None = None,
    *,
    on_reactions: Callable[[ReadyReactions], None] | None = None,
    inputs: InputMemory | None = None,
) -> ReactResult:
    """Make `request.samples` reactions of the listener to the speaker, or those of the comparison that is asked for,
    and write all files to `request.out`.

    The listener is read and the generator is set to them while the speaker is tracked; drawing and encoding share the
    cores. The result is the same as one after the other.

    progress: see `Progress`.
    on_reactions: called once, when the reactions exist and the drawing begins; what it raises ends the run.
    inputs: speakers and listeners who were read before, and are not read again; those of this run are added.
    Raises InputError or RenderError, in one sentence: a file that cannot be used, a setting out of range, a folder
    that cannot be written, a disk that is full, too little memory.
    Nothing is left in the folder then, nor on any other error.
    """
    began = time.perf_counter()
    clock = StageClock(progress)
    inputs = inputs if inputs is not None else InputMemory(most=0)
    # The folder is checked before the tracker runs: nobody should wait for it to learn that the folder is not usable.
    with (
        in_one_sentence(),
        OutputFolder.write_atomically(request.out, request.overwrite) as folder,
        _one_run_at_a_time,
        ExitStack() as files,
    ):
        _write(request, folder, _make_reactions(request, clock, inputs, files, draws=True), clock, on_reactions)
    return OutputFolder(request.out).read(clock.seconds, time.perf_counter() - began)


def write_take(
    request: ReactRequest,
    take: Take,
    progress: Progress | None = None,
    *,
    on_reactions: Callable[[ReadyReactions], None] | None = None,
) -> ReactResult:
    """As `react`, for what a live session showed: it is drawn, packed and exported, and nothing else is done.

    request: that of `take.request`. Where there is no film of the speaker, a head that makes their movements is seen.
    """
    began = time.perf_counter()
    clock = StageClock(progress)
    with (
        in_one_sentence(),
        OutputFolder.write_atomically(request.out, request.overwrite) as folder,
        _one_run_at_a_time,
        ExitStack() as files,
    ):
        with clock.stage("Reading the speaker"):
            film = None
            if take.film is not None:
                part = Part(request.speaker_start, request.speaker_end)
                film = files.enter_context(open_input(take.film, request.max_seconds, part))
                film.check_video()
        with clock.stage("Reading the listener"):
            videos = ReactionVideos(request)
            videos.set_listener(take.listener)
        made = _MadeReactions(
            film, take.speaker, take.listener, WayOfListening(take.shift, take.style), (), take.reactions, videos, True
        )
        _write(request, folder, made, clock, on_reactions)
    return OutputFolder(request.out).read(clock.seconds, time.perf_counter() - began)


def react_in_numbers(request: ReactRequest, inputs: InputMemory | None = None) -> dict[str, object]:
    """As `react`, but nothing is drawn: the folder holds coefficients and settings alone. Returns the settings."""
    inputs = inputs if inputs is not None else InputMemory(most=0)
    with (
        in_one_sentence(),
        OutputFolder.write_atomically(request.out, request.overwrite) as folder,
        _one_run_at_a_time,
        ExitStack() as files,
    ):
        return _write_numbers(request, folder, _make_reactions(request, StageClock(), inputs, files, draws=False))


@dataclass(frozen=True)
class _MadeReactions:
    """Everything of a run up to its reactions."""

    speaker_file: Media | None  # None: there is no picture of the speaker
    speaker: Speaker
    listener: Listener
    way: WayOfListening
    cells: tuple[Cell, ...]  # of a comparison
    reactions: Reactions
    videos: ReactionVideos | None
    is_live: bool = False  # whether a live session showed them


def _make_reactions(
    request: ReactRequest, clock: StageClock, inputs: InputMemory, files: ExitStack, draws: bool
) -> _MadeReactions:
    """The reactions of a request, and, where it `draws`, what will draw them; `files` keeps the speaker's file open."""
    with clock.stage("Reading the speaker"):
        reactor = _load_for(request)
        part = Part(request.speaker_start, request.speaker_end)
        speaker_file = files.enter_context(open_input(request.speaker, request.max_seconds, part))
        if speaker_file.kind != "table":
            speaker_file.check_video()  # now: a photo does not talk, and nobody should wait to learn that
        videos = ReactionVideos(request) if draws else None

    def prepare_listener(report: Report) -> tuple[Listener, WayOfListening, tuple[Cell, ...]]:
        share = 1.0 if request.other_listener is None else 0.5  # of the stage; the other listener takes what is left
        with open_input(request.listener, part=Part(request.listener_start, request.listener_end)) as file:
            listener = inputs.listener(file, request.listener_face_number, lambda done: report(share * done))
        if videos is not None:
            videos.set_listener(listener)
        other = other_listener(reactor, inputs, request, lambda done: report(share + (1 - share) * done))
        return listener, *_set_listener(reactor, listener, other, request)

    with clock.beside("Reading the listener", prepare_listener) as listener_job:
        with clock.stage("Watching the speaker's face") as report:
            speaker = inputs.speaker(speaker_file, request.speaker_face_number, report)
        listener, way, cells = listener_job.result()
    options: dict[str, Any] = {
        "seed": request.seed, "steps": request.steps, "solver": request.solver, "guidance": request.guidance_scale,
        "compat": request.compat,
    }  # fmt: skip
    with clock.stage("Thinking up reactions") as report:
        if cells:
            reactions = react_in_cells(reactor, cells, speaker, report, **options)
        else:
            reactions = reactor.react_to(speaker, samples=request.samples, progress=report, **options)
    return _MadeReactions(speaker_file, speaker, listener, way, cells, reactions, videos)


def _write(
    request: ReactRequest,
    folder: OutputFolder,
    made: _MadeReactions,
    clock: StageClock,
    on_reactions: Callable[[ReadyReactions], None] | None,
) -> None:
    """Everything from the reactions to the last file."""
    assert made.videos is not None, "they were asked for"
    with clock.stage("Drawing") as report:
        if on_reactions is not None:
            on_reactions(
                ReadyReactions(
                    made.reactions.coefficients,
                    made.speaker,
                    made.way.style,
                    made.listener.habits,
                    made.videos.head,
                    made.cells,
                    made.way.shift,
                )
            )
        made.videos.write(folder, made.speaker, made.speaker_file, made.reactions, made.way.style, report, made.cells)
    with clock.stage("Packing") as report:
        _write_numbers(request, folder, made)
        report(1.0)  # the last moment to cancel


def _write_numbers(request: ReactRequest, folder: OutputFolder, made: _MadeReactions) -> dict[str, object]:
    """Write everything beside the videos, exports included; returns the settings."""
    head = _exported_head(request, made)
    settings = _settings(request, made)
    source = ExportSource(made.reactions.coefficients, about_run(settings), head, made.way.shift)
    write_exports(request.exports, source, folder.path)
    folder.write_numbers(made.reactions.coefficients, settings)
    if request.save_shift is not None and made.way.shift is not None:
        made.way.shift.save(request.save_shift)
    return settings


def _exported_head(request: ReactRequest, made: _MadeReactions) -> Identity | str | None:
    """Whom exports of heads show: whom the mesh shows, or would. What has to be said of it is added to the notes."""
    if not set(request.exports) & set(OF_A_HEAD):
        return None
    shown = made.videos.head if made.videos is not None else None
    if shown is None:
        shown = head_of(made.listener, built_in_face(), request)
        made.listener.notes.extend(shown.notes)
    return shown.identity


def _load_for(request: ReactRequest) -> Reactor:
    """The generator of a request. Raises InputError for what can be known to be wrong before any work."""
    _check_kept_file(request.save_shift, "the listener's shift", request.overwrite)
    _check_kept_file(request.save_identity, "the listener's head", request.overwrite)
    reactor = load_reactor(request.weights, request.device)
    if request.compat != "corrected" and not reactor.checkpoint.published:
        raise InputError(f"'{request.weights}' are not the paper's weights; they know no '{request.compat}' way.")
    return reactor


def _set_listener(
    reactor: Reactor, listener: Listener, other: WayOfListening | None, request: ReactRequest
) -> tuple[WayOfListening, tuple[Cell, ...]]:
    """Set the listener of the generator; the way of listening, and the cells of a comparison, if one is asked for."""
    way = this_listener(reactor, listener, request)
    cells = comparison_cells(request, way, other) if request.compare is not None else ()
    if other is not None and request.compare not in ("listeners", "mixtures"):
        way = mixture(way, other, request.other_share)
    reactor.set_listener(way.shift, request.strength)
    if way.shift is None and (request.save_shift is not None or "style" in request.exports):
        raise InputError("The generic listener has no shift to save; name a style, or give a listener's video.")
    return way, cells


def _check_kept_file(path: Path | None, what: str, overwrite: bool) -> None:
    """Raise InputError, before any work, where a file that is to be kept cannot be written."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent} to save {what} in; make it, or name another.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"{path} exists already; name another file for {what}, or allow overwriting.")


def _notes(request: ReactRequest, speaker: Speaker, listener: Listener, reactions: Reactions) -> list[str]:
    """Notes on this run, each sentence once; without file names, because settings are shared."""
    notes = []
    for note in (*speaker.notes, *listener.notes):
        for path, words in ((request.speaker, "the speaker's video"), (request.listener, "the listener's picture")):
            note = note.replace(display_name(path), words)
        notes.append(note[:1].upper() + note[1:])
    implausible = implausibility_note(reactions.coefficients.reshape(-1, WIDTH))
    if implausible is not None:
        notes.append(implausible)
    return list(dict.fromkeys(notes))


def _kind_of(listener: Listener) -> str:
    """What was given of a listener, in a word."""
    if listener.behaviour is not None:
        return "video"
    return "style" if listener.photo is None else "photo"


def _settings(request: ReactRequest, made: _MadeReactions) -> dict[str, object]:
    """What was requested and what was used; it names no file of a person."""
    reactions, listener, videos = made.reactions, made.listener, made.videos
    count, frames, _ = reactions.coefficients.shape
    used = {
        "steps": reactions.steps, "solver": reactions.solver, "guidance_scale": reactions.guidance,
        "animator": videos.animator if videos is not None else None,
        "mesh_identity": (videos.mesh_identity if videos is not None else None) or request.mesh_identity,
    }  # fmt: skip
    return {
        "what": TITLE,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "version": __version__,
        "settings": request.public() | used,
        "weights": {"name": reactions.weights, "sha256": reactions.weights_sha256},
        "speaker": "live" if made.is_live else "video",
        "listener": _kind_of(listener),
        "listening_style": made.way.style,
        "cells": [[cell.title, cell.words] for cell in made.cells],
        "habits": listener.habits.rows() if listener.habits is not None else [],
        "reactions": count,
        "frames": frames,
        "frames_per_second": FPS,
        "libraries": library_versions(),
        "notes": _notes(request, made.speaker, listener, reactions),
    }
