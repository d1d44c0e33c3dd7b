"""The whole way: a speaker's video and a listener in, a folder of reaction videos out.

The only file of this package that asks the renderer to draw. The page and the shell both stand on `react`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import torch

from perfrdiff import __version__, checkpoints, results
from perfrdiff.data.simulated import BLIND
from perfrdiff.errors import InputError
from perfrdiff.features import media
from perfrdiff.features.clip import Listener, Speaker, read_listener, read_speaker
from perfrdiff.features.coefficients import CHANNEL, FPS, WIDTH
from perfrdiff.features.local_file import shown_name
from perfrdiff.features.table import is_table
from perfrdiff.listener_shift import ListenerShift, mixed
from perfrdiff.reactor import GENERIC, Reactions, Reactor
from perfrdiff.request import Reaction, ReactRequest, ReactResult
from renderer.coefficients import wildness
from renderer.face_model import FaceModel, load_face_model
from renderer.faceverse import react_identity
from renderer.layout import AI_LABEL, Grid
from renderer.mesh import MeshRenderer
from renderer.portrait import PortraitAnimator, portrait_animator
from renderer.reel import Strip, write_reel

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

TITLE = "AI-generated facial reaction (PerFRDiff demo)"
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # IPTC's word for it

SPEAKER_SIZE = 512  # pixels of a drawn speaker

SMALL_WIDTH = 256  # features of a denoiser; the demo weights have 144, the published ones 512

REACT_FACE = checkpoints.FOLDER / "faceverse.npz"  # made by `python -m renderer.faceverse`; nobody else may hand it on

_busy = Lock()


@lru_cache(maxsize=2)
def load_reactor(weights: str = "demo", device: str | None = None) -> Reactor:
    """The generator with its weights, loaded once per process."""
    return Reactor.load(weights, device)


def styles(reactor: Reactor) -> tuple[str, ...]:
    """The listening styles to choose from. The last is the generic one: weights without named styles have it, too."""
    return (*reactor.styles, GENERIC)


@lru_cache(maxsize=1)
def _face() -> FaceModel:
    return load_face_model()


def _mesh(look: str, person: str, size: int) -> MeshRenderer:
    """The mesh to draw. The grey look shows REACT's reference person where FaceVerse's model was converted."""
    if look == "grey" and REACT_FACE.is_file():
        return MeshRenderer(load_face_model(REACT_FACE), size, look, react_identity())
    return MeshRenderer(_face(), size, look, person)


def warm_up(weights: str = "demo") -> None:
    """Load the generator and the face, and compile the drawing code, so that the first visitor need not wait for it."""
    load_reactor(weights)
    nothing = np.zeros((1, WIDTH), np.float32)
    next(MeshRenderer(_face()).render(nothing))


def react(request: ReactRequest, progress: Progress | None = None) -> ReactResult:
    """Make `request.samples` reactions of the listener to the speaker and write all files to `request.out`.

    progress: see `Progress`.
    Raises InputError or RenderError, in one sentence: a file that cannot be used, a setting out of range, a folder
    that cannot be written. Nothing is left in the folder then, nor on any other error.
    """
    clock = _Clock(progress)
    # Checked here and not only when the folder is made: nobody should wait for the tracker to learn of it.
    with results.filled_whole(request.out, request.overwrite) as work, _busy:
        clock.enter("Reading the speaker")
        _check_shift_file(request)
        reactor = load_reactor(request.weights, request.device)
        if request.compat == "published" and not reactor.checkpoint.published:
            raise InputError(f"The weights '{request.weights}' are not the paper's; they know no 'published' way.")
        info = None if is_table(request.speaker) else media.probe(request.speaker, request.max_seconds)
        mesh = _mesh(request.mesh_look, request.person, request.size)
        animator = portrait_animator(_face(), request.size, request.animator, checkpoints.FOLDER, request.device)
        clock.enter("Reading the listener")
        listener = read_listener(request.listener, progress=clock.part, person=request.listener_person)
        looks = _looks(request, listener)
        if "photo" in looks:  # now: nobody should wait for the reactions to learn that the face is too small
            assert listener.photo is not None and listener.landmarks is not None, "the looks say so"
            assert listener.photo_coefficients is not None
            animator.set_portrait(listener.photo, listener.landmarks, listener.photo_coefficients)
        style = _set_listener(reactor, listener, request)
        clock.enter("Watching the speaker's face")
        speaker = read_speaker(
            request.speaker, clock.part, max_seconds=request.max_seconds, person=request.speaker_person
        )
        clock.enter("Thinking up reactions")
        with _threads_for(reactor):
            reactions = reactor.react(
                speaker.audio,
                _known(reactor, speaker.coefficients),
                affect=speaker.affect,
                samples=request.samples,
                seed=request.seed,
                steps=request.steps,
                guidance=request.guidance,
                compat=request.compat,
                progress=clock.part,
            )
        notes = _notes(request, speaker, listener, reactions)
        settings = _settings(request, reactions, listener, style, notes, animator.kind if "photo" in looks else None)
        clock.enter("Drawing")
        made = _draw(
            work, request, looks, info, speaker, listener, reactions, style, settings, mesh, animator, clock.part
        )
        clock.enter("Packing")
        _pack(work, made, reactions, settings)
        if request.save_shift is not None and reactor.shift is not None:
            reactor.shift.save(request.save_shift)
    return ReactResult(
        folder=request.out,
        side_by_side=request.out / "side_by_side.mp4",
        reactions=tuple(
            Reaction(
                number=reaction.number,
                videos={look: request.out / path.name for look, path in reaction.videos.items()},
                csv=request.out / reaction.csv.name,
                transparent=reaction.transparent and request.out / reaction.transparent.name,
            )
            for reaction in made
        ),
        coefficients=request.out / "coefficients.npz",
        settings=request.out / "settings.json",
        archive=request.out / "reactions.zip",
        frames=reactions.coefficients.shape[1],
        style=style,
        notes=tuple(notes),
        habits=tuple(listener.habits.rows()) if listener.habits is not None else (),
        stage_seconds=clock.close(),
    )


@contextmanager
def _threads_for(reactor: Reactor) -> Iterator[None]:
    """One torch thread for a small generator, all of them for a large one.

    The matrices of the demo weights are done before a second thread has woken. Beside any other work the two spend
    their time waiting for each other: on a busy 2-core machine 8 s of reactions took 112 s with two threads, 20 s with
    one (3.5 s of processor time).
    """
    before = torch.get_num_threads()
    if reactor.checkpoint.denoiser.config.width <= SMALL_WIDTH:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _known(reactor: Reactor, coefficients: np.ndarray) -> np.ndarray:
    """Coefficients with the channels at rest that the demo weights never saw move: their simulator leaves them still,
    and what varies by a hundredth there would be blown up to a storm here."""
    if reactor.checkpoint.published:
        return coefficients
    rows = coefficients.copy()
    rows[:, [CHANNEL[name] for name in BLIND]] = 0.0
    return rows


def _set_listener(reactor: Reactor, listener: Listener, request: ReactRequest) -> str:
    """Give the generator the listener's style; the style in words."""
    if request.shifts:
        saved = [(ListenerShift.load(path), share) for path, share in request.shifts]
        reactor.set_listener(saved[0][0] if saved[0][1] == 1 == len(saved) else mixed(saved), request.strength)
        return f"saved: {reactor.listener}"
    if request.style is None and listener.behaviour is not None:
        reactor.set_listener(_known(reactor, listener.behaviour), strength=request.strength)
        return "the listener's own"
    name = request.style or styles(reactor)[0]
    reactor.set_listener(None if name == GENERIC else name, strength=request.strength)
    if reactor.shift is None and request.save_shift is not None:
        raise InputError("The generic listener has no shift to save; name a style, or give a listener's video.")
    return name


def _check_shift_file(request: ReactRequest) -> None:
    """Before any work: whether the listener's shift can be saved where it is to be."""
    path = request.save_shift
    if path is None:
        return
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent} to save the listener's shift in; make it, or name another.")
    if path.is_dir() or (path.exists() and not request.overwrite):
        raise InputError(f"{path} exists already; name another file for the listener's shift, or allow overwriting.")


def _notes(request: ReactRequest, speaker: Speaker, listener: Listener, reactions: Reactions) -> list[str]:
    """What a person should know about this run, each sentence once; without file names, for the settings are shared."""
    notes = []
    for note in (*speaker.notes, *listener.notes):
        for path, words in ((request.speaker, "the speaker's video"), (request.listener, "the listener's picture")):
            note = note.replace(shown_name(path), words)
        notes.append(note[:1].upper() + note[1:])
    wild = wildness(reactions.coefficients.reshape(-1, WIDTH))
    if wild is not None:
        notes.append(wild)
    return list(dict.fromkeys(notes))


def _settings(
    request: ReactRequest,
    reactions: Reactions,
    listener: Listener,
    style: str,
    notes: list[str],
    animator: str | None,
) -> dict[str, object]:
    """What was asked and what was used (`animator`: what moved the photo); nothing in it names a person's file."""
    count, frames, _ = reactions.coefficients.shape
    return {
        "what": TITLE,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "version": __version__,
        "settings": request.public() | {"steps": reactions.steps, "guidance": reactions.guidance, "animator": animator},
        "weights": {"name": reactions.weights, "sha256": reactions.weights_sha256},
        "speaker": "video",
        "listener": "photo" if listener.behaviour is None else "video",
        "listening_style": style,
        "reactions": count,
        "frames": frames,
        "frames_per_second": FPS,
        "libraries": results.library_versions(),
        "notes": notes,
    }


def _draw(
    work: Path,
    request: ReactRequest,
    looks: tuple[str, ...],
    info: media.VideoInfo | None,
    speaker: Speaker,
    listener: Listener,
    reactions: Reactions,
    style: str,
    settings: dict,
    mesh: MeshRenderer,
    animator: PortraitAnimator,
    progress: Callable[[float], None],
) -> list[Reaction]:
    """Every video of the run, in one pass."""
    count, frames, _ = reactions.coefficients.shape
    drawn = {}  # look -> the frames of every reaction, drawn when they are asked for
    if "mesh" in looks:
        drawn["mesh"] = [mesh.render(coefficients) for coefficients in reactions.coefficients]
    if "photo" in looks:
        drawn["photo"] = animator.animate_many(list(reactions.coefficients))
    made, cards, apart = [], [], []
    for index, coefficients in enumerate(reactions.coefficients):
        stem = f"reaction_{index + 1}"
        videos = {look: work / f"{stem}_{look}.mp4" for look in drawn}
        cards.append([Strip(strips[index], videos[look]) for look, strips in drawn.items()])
        transparent = work / f"{stem}_mesh_transparent.webm" if request.transparent else None
        if transparent is not None:
            apart.append(Strip(mesh.render_transparent(coefficients), transparent))
        made.append(Reaction(index + 1, videos, work / f"{stem}.csv", transparent))
    kind = "generic" if style == GENERIC or request.strength == 0 else f"{style} · personalised"
    grid = Grid(
        (info.width, info.height) if info else (SPEAKER_SIZE, SPEAKER_SIZE),
        [f"Reaction {number} · {request.name}\n{kind}" for number in range(1, count + 1)],
        len(drawn),
        request.size,
        note=f"Listening style: {style}",
        label=AI_LABEL if request.label else "",
    )
    assert grid.speaker_size is not None
    source = {"seed": request.seed, "version": __version__, "weights": reactions.weights, "source": DIGITAL_SOURCE_TYPE}
    write_reel(
        cards,
        _speaker_pictures(request, info, speaker, max(grid.speaker_size)),
        grid,
        work / "side_by_side.mp4",
        frames,
        request.size,
        audio=(speaker.sound.samples, speaker.sound.rate) if speaker.sound is not None else None,
        metadata={"title": TITLE, "comment": json.dumps(source), "description": settings["what"]},
        label=AI_LABEL if request.label else None,
        progress=progress,
        apart=apart,
    )
    return made


def _looks(request: ReactRequest, listener: Listener) -> tuple[str, ...]:
    """What can be drawn: a features file shows nobody, so there is no photo to move."""
    if listener.photo is not None:
        return request.looks
    if request.looks == ("photo",):
        raise InputError("A features file carries no picture of the listener; ask for the mesh, or give a video.")
    if "photo" in request.looks:
        listener.notes.append("The listener's features file carries no picture; only the mesh is drawn.")
    return tuple(look for look in request.looks if look != "photo")


def _speaker_pictures(
    request: ReactRequest, info: media.VideoInfo | None, speaker: Speaker, long_side: int
) -> Iterator[np.ndarray]:
    """The speaker's video, or, where there are only numbers of it, the drawn head that makes their movements."""
    if info is None:
        return MeshRenderer(_face(), SPEAKER_SIZE).render(speaker.coefficients)
    return media.frames(request.speaker, FPS, request.max_seconds, long_side=long_side, info=info)


def _pack(work: Path, made: list[Reaction], reactions: Reactions, settings: dict) -> None:
    """The numbers, the settings, and everything in one zip."""
    results.write_coefficients(work / "coefficients.npz", reactions.coefficients)
    for reaction, coefficients in zip(made, reactions.coefficients, strict=True):
        results.write_csv(reaction.csv, coefficients)
    results.write_settings(work / "settings.json", settings)
    results.write_zip(work / "reactions.zip", sorted(work.iterdir()))


class _Clock:
    """Tells the listener of the progress where in the whole the run is, and remembers what took how long."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._stage, self._since, self._done = "", 0.0, 0.0
        self.seconds: dict[str, float] = {}

    def enter(self, stage: str) -> None:
        self.close()
        self._stage, self._since = stage, time.perf_counter()
        self.part(0.0)

    def part(self, fraction: float) -> None:
        """Tell that this fraction (0 … 1) of the present stage is done."""
        if self._progress is not None:
            self._progress(self._stage, min(1.0, self._done + STAGES[self._stage] * min(1.0, max(0.0, fraction))))

    def close(self) -> dict[str, float]:
        """End the present stage; seconds of every stage so far."""
        if self._stage:
            self.seconds[self._stage] = time.perf_counter() - self._since
            self._done += STAGES[self._stage]
            self._stage = ""
        return self.seconds
