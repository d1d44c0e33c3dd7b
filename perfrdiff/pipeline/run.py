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

import numpy as np

from perfrdiff import __version__
from perfrdiff.behaviour.card import BehaviourCard
from perfrdiff.coefficients import FPS, WIDTH
from perfrdiff.errors import InputError
from perfrdiff.features.clip import Listener, Speaker
from perfrdiff.features.media.input import open_input
from perfrdiff.features.media.local_file import display_name
from perfrdiff.personal.weight_shift import WeightShift, mix_weight_shifts
from perfrdiff.pipeline import videos as reaction_videos
from perfrdiff.pipeline.folder import OutputFolder, ReactResult, library_versions
from perfrdiff.pipeline.input_memory import InputMemory
from perfrdiff.pipeline.listener_mesh import ShownHead
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.stages import STAGES, Progress, Report, StageClock
from perfrdiff.pipeline.videos import DIGITAL_SOURCE_TYPE, TITLE, ReactionVideos
from perfrdiff.reactor import GENERIC, Reactions, Reactor
from renderer.coefficients import implausibility_note

__all__ = ["STAGES", "ReadyReactions", "load_reactor", "react", "styles", "warm_up"]

_one_run_at_a_time = Lock()


@lru_cache(maxsize=2)
def load_reactor(weights: str = "demo", device: str | None = None) -> Reactor:
    """The generator with its weights, loaded once per process."""
    return Reactor.load(weights, device)


def styles(reactor: Reactor) -> tuple[str, ...]:
    """The listening styles to choose from. The last is the generic one: weights without named styles have it, too."""
    return (*reactor.styles, GENERIC)


def warm_up(weights: str = "demo") -> None:
    """Load the generator and the face, and compile the drawing code, so that the first visitor need not wait for it."""
    load_reactor(weights)
    reaction_videos.warm_up()


@dataclass(frozen=True)
class ReadyReactions:
    """What is known of a run once its reactions exist, before any video of them is drawn."""

    coefficients: np.ndarray  # (K, T, 58) float32, as they will be in the folder
    speaker: Speaker
    style: str  # the listening style, in words
    habits: BehaviourCard | None  # what was measured on a listener's video
    head: ShownHead | None  # whom the mesh shows; None where no mesh was asked for, and for REACT's own face


def react(
    request: ReactRequest,
    progress: Progress | None = None,
    *,
    on_reactions: Callable[[ReadyReactions], None] | None = None,
    inputs: InputMemory | None = None,
) -> ReactResult:
    """Make `request.samples` reactions of the listener to the speaker and write all files to `request.out`.

    The listener is read and the generator is set to them while the speaker is tracked; drawing and encoding share the
    cores. The result is the same as one after the other.

    progress: see `Progress`.
    on_reactions: called once, when the reactions exist and the drawing begins; what it raises ends the run.
    inputs: speakers and listeners who were read before, and are not read again; those of this run are added.
    Raises InputError or RenderError, in one sentence: a file that cannot be used, a setting out of range, a folder
    that cannot be written. Nothing is left in the folder then, nor on any other error.
    """
    began = time.perf_counter()
    clock = StageClock(progress)
    inputs = inputs if inputs is not None else InputMemory(most=0)
    # The folder is checked before the tracker runs: nobody should wait for it to learn that the folder is not usable.
    with (
        OutputFolder.write_atomically(request.out, request.overwrite) as folder,
        _one_run_at_a_time,
        ExitStack() as files,
    ):
        with clock.stage("Reading the speaker"):
            reactor = _load_for(request)
            speaker_file = files.enter_context(open_input(request.speaker, request.max_seconds))
            if speaker_file.kind != "table":
                speaker_file.check_video()  # now: a photo does not talk, and nobody should wait to learn that
            videos = ReactionVideos(request)

        def prepare_listener(report: Report) -> tuple[Listener, str]:
            listener = inputs.listener(request.listener, request.listener_face_number, report)
            videos.set_listener(listener)
            return listener, _set_listener(reactor, listener, request)

        with clock.beside("Reading the listener", prepare_listener) as listener_job:
            with clock.stage("Watching the speaker's face") as report:
                speaker = inputs.speaker(speaker_file, request.speaker_face_number, report)
            listener, style = listener_job.result()
        with clock.stage("Thinking up reactions") as report:
            reactions = reactor.react_to(
                speaker,
                samples=request.samples,
                seed=request.seed,
                steps=request.steps,
                guidance=request.guidance_scale,
                compat=request.compat,
                progress=report,
            )
        with clock.stage("Drawing") as report:
            if on_reactions is not None:
                on_reactions(ReadyReactions(reactions.coefficients, speaker, style, listener.habits, videos.head))
            videos.write(folder, speaker, speaker_file, reactions, style, report)
        with clock.stage("Packing") as report:
            settings = _settings(request, reactions, speaker, listener, style, videos)
            folder.write_numbers(reactions.coefficients, settings)
            if request.save_shift is not None and reactor.shift is not None:
                reactor.shift.save(request.save_shift)
            report(1.0)  # the last moment to cancel
    return OutputFolder(request.out).read(clock.seconds, time.perf_counter() - began)


def _load_for(request: ReactRequest) -> Reactor:
    """The generator of a request. Raises InputError for what can be known to be wrong before any work."""
    _check_kept_file(request.save_shift, "the listener's shift", request.overwrite)
    _check_kept_file(request.save_identity, "the listener's head", request.overwrite)
    reactor = load_reactor(request.weights, request.device)
    if request.compat != "corrected" and not reactor.checkpoint.published:
        raise InputError(f"'{request.weights}' are not the paper's weights; they know no '{request.compat}' way.")
    return reactor


def _set_listener(reactor: Reactor, listener: Listener, request: ReactRequest) -> str:
    """Set the listener of the generator; the style in words."""
    if request.shift:
        saved = [(WeightShift.load(path), share) for path, share in request.shift]
        is_single = len(saved) == 1 and saved[0][1] == 1
        reactor.set_listener(saved[0][0] if is_single else mix_weight_shifts(saved), request.strength)
        return f"saved: {reactor.listener}"
    if request.style is None and listener.behaviour is not None:
        reactor.set_listener(listener.behaviour, strength=request.strength)
        return "the listener's own"
    name = request.style or styles(reactor)[0]
    reactor.set_listener(None if name == GENERIC else name, strength=request.strength)
    if reactor.shift is None and request.save_shift is not None:
        raise InputError("The generic listener has no shift to save; name a style, or give a listener's video.")
    return name


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


def _settings(
    request: ReactRequest,
    reactions: Reactions,
    speaker: Speaker,
    listener: Listener,
    style: str,
    videos: ReactionVideos,
) -> dict[str, object]:
    """What was requested and what was used; it names no file of a person."""
    count, frames, _ = reactions.coefficients.shape
    used = {
        "steps": reactions.steps, "guidance_scale": reactions.guidance, "animator": videos.animator,
        "mesh_identity": videos.mesh_identity or request.mesh_identity,
    }  # fmt: skip
    return {
        "what": TITLE,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "version": __version__,
        "settings": request.public() | used,
        "weights": {"name": reactions.weights, "sha256": reactions.weights_sha256},
        "speaker": "video",
        "listener": "photo" if listener.behaviour is None else "video",
        "listening_style": style,
        "habits": listener.habits.rows() if listener.habits is not None else [],
        "reactions": count,
        "frames": frames,
        "frames_per_second": FPS,
        "libraries": library_versions(),
        "notes": _notes(request, speaker, listener, reactions),
    }
