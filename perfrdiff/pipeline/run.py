"""The whole way: a speaker's video and a listener in, a folder of reaction videos out.

The page and the shell both call `react`; `videos` is the only module of this package that asks the renderer to draw.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from threading import Lock

from perfrdiff import __version__
from perfrdiff.coefficients import FPS, WIDTH
from perfrdiff.errors import InputError
from perfrdiff.features.clip import Listener, Speaker, read_listener, read_speaker
from perfrdiff.features.media.input import open_input
from perfrdiff.features.media.local_file import display_name
from perfrdiff.personal.weight_shift import WeightShift, mix_weight_shifts
from perfrdiff.pipeline import videos as reaction_videos
from perfrdiff.pipeline.folder import OutputFolder, ReactResult, library_versions
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.videos import DIGITAL_SOURCE_TYPE, TITLE, ReactionVideos
from perfrdiff.reactor import GENERIC, Reactions, Reactor
from renderer.coefficients import implausibility_note

Progress = Callable[[str, float], None]
"""Called with what is being done, in words a person reads, and the fraction of the whole that is done, 0 … 1."""

STAGES = {
    "Reading the speaker": 0.01,
    "Reading the listener": 0.06,
    "Watching the speaker's face": 0.33,
    "Thinking up reactions": 0.15,
    "Drawing": 0.44,
    "Packing": 0.01,
}
"""Stage -> share of the whole time, as measured with benchmarks/end_to_end.py; only the progress bar depends on it."""


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


def react(request: ReactRequest, progress: Progress | None = None) -> ReactResult:
    """Make `request.samples` reactions of the listener to the speaker and write all files to `request.out`.

    progress: see `Progress`.
    Raises InputError or RenderError, in one sentence: a file that cannot be used, a setting out of range, a folder
    that cannot be written. Nothing is left in the folder then, nor on any other error.
    """
    clock = _StageClock(progress)
    # The folder is checked before the tracker runs: nobody should wait for it to learn that the folder is not usable.
    with (
        OutputFolder.write_atomically(request.out, request.overwrite) as folder,
        _one_run_at_a_time,
        ExitStack() as files,
    ):
        clock.enter("Reading the speaker")
        _check_kept_file(request.save_shift, "the listener's shift", request.overwrite)
        _check_kept_file(request.save_identity, "the listener's head", request.overwrite)
        reactor = load_reactor(request.weights, request.device)
        if request.compat != "corrected" and not reactor.checkpoint.published:
            raise InputError(f"'{request.weights}' are not the paper's weights; they know no '{request.compat}' way.")
        speaker_file = files.enter_context(open_input(request.speaker, request.max_seconds))
        if speaker_file.kind != "table":
            speaker_file.check_video()  # now: nobody should wait for the listener to learn that a photo does not talk
        videos = ReactionVideos(request)
        clock.enter("Reading the listener")
        listener = read_listener(request.listener, progress=clock.report, face_number=request.listener_face_number)
        videos.set_listener(listener)
        style = _set_listener(reactor, listener, request)
        clock.enter("Watching the speaker's face")
        speaker = read_speaker(speaker_file, clock.report, face_number=request.speaker_face_number)
        clock.enter("Thinking up reactions")
        reactions = reactor.react_to(
            speaker,
            samples=request.samples,
            seed=request.seed,
            steps=request.steps,
            guidance=request.guidance_scale,
            compat=request.compat,
            progress=clock.report,
        )
        clock.enter("Drawing")
        videos.write(folder, speaker, speaker_file, reactions, style, clock.report)
        clock.enter("Packing")
        settings = _settings(request, reactions, speaker, listener, style, videos)
        folder.write_numbers(reactions.coefficients, settings)
        if request.save_shift is not None and reactor.shift is not None:
            reactor.shift.save(request.save_shift)
    return OutputFolder(request.out).read(clock.close())


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


class _StageClock:
    """Reports the progress of the whole run to a callback, and measures how long each stage takes."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._stage, self._started, self._done = "", 0.0, 0.0
        self.seconds: dict[str, float] = {}

    def enter(self, stage: str) -> None:
        """End the current stage and begin one of `STAGES`."""
        self.close()
        self._stage, self._started = stage, time.perf_counter()
        self.report(0.0)

    def report(self, fraction: float) -> None:
        """Report that this fraction (0 … 1) of the current stage is done."""
        if self._progress is not None:
            self._progress(self._stage, min(1.0, self._done + STAGES[self._stage] * min(1.0, max(0.0, fraction))))

    def close(self) -> dict[str, float]:
        """End the current stage; seconds of every stage so far."""
        if self._stage:
            self.seconds[self._stage] = time.perf_counter() - self._started
            self._done += STAGES[self._stage]
            self._stage = ""
        return self.seconds
