"""One input of a run: the ways in, what was understood of it, which part and which face are used."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from page import understood_words
from page.library import address, gallery
from page.loading import heavy
from perfrdiff.features.media.local_file import display_name

if TYPE_CHECKING:
    from page.understood import Understood
    from perfrdiff.pipeline.input_memory import InputMemory

MAX_FACES = 9  # that can be chosen from
HEIGHT = 132  # pixels of the place to drop a file
NOTHING = {"kind": "", "seconds": 0.0}

CAMERA = {"width": {"ideal": 1280}, "height": {"ideal": 720}}
"""What a camera is asked for: without it, all it has, of which a browser records a picture now and then."""


@cache
def as_given(kind: type[Component]) -> type[Component]:
    """The kind of widget without Gradio's own checks of what a browser sends, which end in a traceback on the server
    and in no sentence for the visitor; `ReactRequest` checks the same, and says what is wrong. A file is handed on as
    its path: Gradio would leave an empty temporary file behind each time."""
    is_file = issubclass(kind, gr.File | gr.Image | gr.Video)

    def preprocess(_: Component, payload: Any) -> object:
        return payload.path if is_file and payload is not None else payload

    # A template, in Gradio's words: the browser takes it for its base. Gradio's own way to make such a class writes
    # a file beside this one.
    attributes = {"preprocess": preprocess, "is_template": True, "__module__": __name__}
    return ABCMeta.__new__(type(kind), kind.__name__, (kind,), attributes)


class InputCard:
    """The widgets of the speaker or of the listener. Built inside the present Gradio context.

    Attributes:
        file: the file itself, whichever way it came in.
        about: holds {"kind", "seconds"} of what was understood; see `understood`.
    """

    def __init__(self, role: str, heading: str, drop: str, question: str) -> None:
        """`role`: "speaker" or "listener"; `drop`: what to put in; `question`: which face is meant."""
        self.role = role
        self.about = as_given(gr.JSON)(NOTHING, visible=False)  # kept by the browser: Gradio forgets sessions
        with gr.Column(elem_classes="card", min_width=300, elem_id=f"{role}-card"):
            gr.HTML(f"<h2>{heading}</h2>", padding=False)
            self.file = as_given(gr.File)(label=drop, height=HEIGHT, elem_id=role)
            self.view = gr.HTML(visible=False, padding=False, elem_id=f"{role}-view")
            self.blame = gr.HTML(visible=False, padding=False, elem_id=f"{role}-blame")
            numbers = list(range(1, MAX_FACES + 1))
            self.number = as_given(gr.Radio)(numbers, label=question, visible=False, elem_id=f"{role}-face-number")
            with gr.Column(visible=False, elem_id=f"{role}-trim", elem_classes="trim") as self.trim:
                self.strip = gr.HTML(padding=False, elem_id=f"{role}-strip")
                with gr.Row():
                    self.start, self.end = (
                        as_given(gr.Slider)(0, 1, value=0, step=0.1, label=f"{edge} (s)", elem_id=f"{role}_{name}")
                        for name, edge in (("start", "Start"), ("end", "End"))
                    )
            self.card = gr.HTML(visible=False, padding=False, elem_id=f"{role}-habits")
            self.gallery = gallery(role)
            self._add_cameras()

    def _add_cameras(self) -> None:
        with gr.Row(elem_classes="ways"):
            self._film = gr.Button("Record with the webcam", size="sm", elem_id=f"{self.role}-record")
            if self.role == "listener":
                self._snap = gr.Button("Take or paste a photo", size="sm", elem_id="listener-snap")
        self._camera = as_given(gr.Video)(
            label="Webcam",
            sources=["webcam"],
            webcam_options=gr.WebcamOptions(constraints={"video": CAMERA}),
            include_audio=True,
            visible=False,
            height=260,
            buttons=[],
            elem_id=f"{self.role}-webcam",
        )
        opened: list[Component] = [self._camera]
        if self.role == "listener":
            self._stills = as_given(gr.Image)(
                label="Photo", sources=["webcam", "clipboard"], type="filepath", visible=False, height=260, buttons=[]
            )
            opened.append(self._stills)
        self._opened = opened

    @property
    def parts(self) -> list[Component]:
        """The outputs of `look`."""
        return [self.about, self.view, self.blame, self.number, self.trim, self.strip, self.start, self.end, self.card]

    @property
    def widgets(self) -> dict[str, Component]:
        """Setting -> its widget."""
        names = {"": self.file, "_face_number": self.number, "_start": self.start, "_end": self.end}
        return {self.role + name: widget for name, widget in names.items()}

    def follow_cameras(self, quiet: dict) -> None:
        """What the camera's buttons and the cameras do. `quiet`: options of the events."""
        for index, button in enumerate([self._film, *([self._snap] if self.role == "listener" else [])]):
            button.click(
                lambda index=index: {one: gr.update(visible=at == index) for at, one in enumerate(self._opened)},
                None,
                self._opened,
                queue=False,
                **quiet,
            )
        for camera in self._opened:
            camera.change(
                lambda taken: (taken, gr.update(value=None, visible=False)) if taken else (gr.skip(), gr.skip()),
                camera,
                [self.file, camera],
                queue=False,
                **quiet,
            )

    def look(self, file: str | None, folder: Callable[[], Path], memory: InputMemory) -> Iterator[dict]:
        """Updates of `parts` for a new file, as it is understood step by step. `folder`: makes one for a preview;
        `memory`: where whoever is read is remembered for the run."""
        if not file:
            yield self._nothing()
            return
        yield self._nothing() | {self.view: gr.update(value=understood_words.looking(), visible=True)}
        reading = heavy("page.understood")
        found = reading.Understood()
        for found in reading.understand(file, self.role):
            yield self._show(found)
        if found.kind == "video":
            film = heavy("page.previews").write_preview(file, folder(), found.part)
            player = address(film) if film else ""
            yield {self.view: understood_words.view(found, self.role, player)}
            if self.role == "listener" and found.faces == 1 and found.seconds <= reading.CARD_SECONDS:
                yield {self.card: gr.update(value=understood_words.listening(), visible=True)}
                found = reading.with_habits(file, found, memory)
                card = understood_words.habits(found.habits)
                yield {
                    self.view: understood_words.view(found, self.role, player),
                    self.card: gr.update(value=card, visible=bool(card)),
                    self.about: _about(found),
                }

    def show_blame(self, sentence: str, file: Path | None) -> dict:
        """The update for a run that failed with this sentence, which names the file that caused it; "" clears it."""
        return _blame(self.blame, sentence, file)

    def understood(self, values: Mapping[Component, object]) -> tuple[str, float]:
        """What kind of file was understood and of how many seconds, from the widgets' values; ("", 0) for nothing."""
        about = values.get(self.about)
        kind, seconds = (about.get("kind"), about.get("seconds")) if isinstance(about, dict) else (None, None)
        return (kind, float(seconds)) if isinstance(kind, str) and isinstance(seconds, int | float) else ("", 0.0)

    def part(self, values: Mapping[Component, object], start: object, end: object) -> dict[str, object]:
        """The settings of the part that the sliders choose; nothing where they choose all of it."""
        kind, seconds = self.understood(values)
        if kind not in ("video", "table"):
            return {}
        chosen = {f"{self.role}_start": start if start else None, f"{self.role}_end": end}
        if isinstance(end, int | float) and end >= seconds - 0.05:
            chosen[f"{self.role}_end"] = None
        return {name: value for name, value in chosen.items() if value is not None}

    def _nothing(self) -> dict:
        return {
            self.about: NOTHING,
            self.view: gr.update(value="", visible=False),
            self.blame: gr.update(value="", visible=False),
            self.number: gr.update(value=None, visible=False),
            self.trim: gr.update(visible=False),
            self.strip: "",
            self.start: gr.update(value=0),
            self.end: gr.update(value=0),
            self.card: gr.update(value="", visible=False),
        }

    def _show(self, found: Understood) -> dict:
        updates = {
            self.about: _about(found),
            self.view: gr.update(value=understood_words.view(found, self.role), visible=True),
        }
        if found.faces > 1:
            numbers = list(range(1, min(found.faces, MAX_FACES) + 1))
            updates[self.number] = gr.update(choices=numbers, value=1, visible=True)
        if found.kind in ("video", "table") and found.seconds and not found.faces:
            seconds = int(found.seconds * 10) / 10
            end = seconds if found.part.end is None else found.part.end
            updates |= {
                self.trim: gr.update(visible=True),
                self.strip: understood_words.strip(found, self.role),
                self.start: gr.update(maximum=seconds, value=0),
                self.end: gr.update(maximum=seconds, value=end),
            }
        if found.trouble:
            updates[self.trim] = gr.update(visible=False)
        return updates


class OtherCard:
    """What belongs to the file of another listener, below it. Built inside the present Gradio context."""

    def __init__(self, file: Component) -> None:
        self.file = file
        self.view = gr.HTML(visible=False, padding=False, elem_id="other_listener-view")
        self.blame = gr.HTML(visible=False, padding=False, elem_id="other_listener-blame")
        self.card = gr.HTML(visible=False, padding=False, elem_id="other_listener-habits")
        self.parts: list[Component] = [self.view, self.blame, self.card]

    def look(self, file: str | None, folder: Callable[[], Path], memory: InputMemory) -> Iterator[dict]:
        """As `InputCard.look`; a picture of the video stands for a preview."""
        nothing = dict.fromkeys(self.parts, gr.update(value="", visible=False))
        if not file:
            yield nothing
            return
        yield nothing | {self.view: gr.update(value=understood_words.looking(), visible=True)}
        reading = heavy("page.understood")
        found = reading.Understood()
        for found in reading.understand(file, understood_words.OTHER):
            yield self._show(found)
        if found.kind == "video" and found.seconds <= reading.CARD_SECONDS:
            yield {self.card: gr.update(value=understood_words.listening(), visible=True)}
            found = reading.with_habits(file, found, memory)
            card = understood_words.habits(found.habits)
            yield self._show(found) | {self.card: gr.update(value=card, visible=bool(card))}

    def show_blame(self, sentence: str, file: Path | None) -> dict:
        """As `InputCard.show_blame`."""
        return _blame(self.blame, sentence, file)

    def _show(self, found: Understood) -> dict:
        return {self.view: gr.update(value=understood_words.view(found, "other listener"), visible=True)}


def _blame(place: Component, sentence: str, file: Path | None) -> dict:
    is_meant = file is not None and display_name(file) in sentence
    return {place: gr.update(value=understood_words.trouble(sentence) if is_meant else "", visible=is_meant)}


def _about(found: Understood) -> dict[str, object]:
    return {"kind": found.kind, "seconds": int(found.seconds * 10) / 10}
