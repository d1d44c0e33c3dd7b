"""The widgets of a run: built from `SETTINGS`, laid out, and read back into a `ReactRequest` by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio as gr
from gradio.components import Component

from page.people import FaceChooser
from page.words import LABELS
from perfrdiff.errors import InputError
from perfrdiff.pipeline.request import DEFAULTS, LISTENER, MAX_NAME_LENGTH, SETTINGS, VIEWS, ReactRequest, Setting
from perfrdiff.weights import FOLDER, WeightsSummary, available
from renderer.mesh_identities import MESH_IDENTITIES
from renderer.resources import pirender_weights

PHOTO, VIDEO = "photo", "video"  # as what the listener is given
VIEWS_BY_WORD = {"both": VIEWS} | {view: (view,) for view in VIEWS}
MAIN_ROW = ("samples", "views", "style")
FOLDED_ROWS = (
    ("seed", "strength", "guidance_scale"),
    ("size", "max_seconds", "label"),
    ("mesh_style", "mesh_identity", "name", "transparent", "animator"),
    ("weights",),
)
NOT_ON_THE_PAGE = (
    "out", "overwrite", "device", "save_shift", "steps", "solver", "compat", "shift", "identity", "save_identity",
    "exports",
)  # fmt: skip
"""Settings without a widget: the server's own, and what only those want who write programs."""

SLIDER_LIMIT = 10_000  # a whole number that may be larger is typed, not slid to
PICTURE_HEIGHT = 250  # pixels of an uploaded picture or video


class Controls:
    """The widgets for every setting that a visitor may choose, and for the files.

    `add_…` build widgets inside the present Gradio context, each once; `request` needs all of them.
    """

    def __init__(self, summary: WeightsSummary, weights: str) -> None:
        """`summary`: of the weights of that name, which some defaults depend on."""
        self.widgets: dict[str, Component] = {}
        self._names: Mapping[str, Sequence[str]] = {
            "style": summary.styles,
            "mesh_identity": (LISTENER, *MESH_IDENTITIES),
            "weights": choosable_weights(weights),
        }
        self._defaults = DEFAULTS | _defaults_of(summary) | {"weights": weights}

    def add_speaker(self) -> None:
        """The speaker's video, and which of its faces."""
        with gr.Column(elem_classes="card", min_width=300):
            with gr.Row(elem_classes="top"):
                gr.HTML("<h2>1 · Somebody talking</h2>", padding=False)
            self.speaker = gr.Video(
                label="Speaker",
                sources=["upload", "webcam"],
                include_audio=True,
                height=PICTURE_HEIGHT,
                elem_id="speaker",
            )
            self.speaker_face = FaceChooser("Who of them talks?", "speaker")
        self.widgets |= {"speaker": self.speaker, "speaker_face_number": self.speaker_face.number}

    def add_listener(self) -> None:
        """The listener's photo or video, and which of the video's faces."""
        with gr.Column(elem_classes="card", min_width=300):
            with gr.Row(elem_classes="top"):
                gr.HTML("<h2>2 · Somebody listening</h2>", padding=False)
                self.kind = gr.Radio(
                    [PHOTO, VIDEO], value=PHOTO, label="Listener as", show_label=False, container=False, elem_id="kind"
                )
            self.photo = gr.Image(
                label="Listener",
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                height=PICTURE_HEIGHT,
                elem_id="photo",
                buttons=[],
            )
            # The file goes on as it came: our own reader judges it, and explains what is wrong with it.
            self.photo.preprocess = lambda payload: payload.path if payload is not None else None
            self.video = gr.Video(
                label="Listener", sources=["upload", "webcam"], height=PICTURE_HEIGHT, visible=False, elem_id="listener"
            )
            with gr.Column(visible=False, elem_id="whose") as self.whose:
                self.listener_face = FaceChooser("Who of them listens?", "listener")
        self.widgets["listener_face_number"] = self.listener_face.number

    def add_main_row(self) -> None:
        """The settings that everybody sees."""
        with gr.Row(elem_id="choices"):
            for name in MAIN_ROW:
                self._add(name, info=None)

    def add_folded(self) -> None:
        """The other settings, each with its sentence, folded."""
        is_visible = {
            "animator": pirender_weights(FOLDER) is not None,
            "weights": len(self._names["weights"]) > 1,
        }
        with gr.Accordion("Settings", open=False):
            for row in FOLDED_ROWS:
                with gr.Row(visible=any(is_visible.get(name, True) for name in row)):
                    for name in row:
                        self._add(name, info=_sentence(SETTINGS[name]), visible=is_visible.get(name, True))

    @property
    def inputs(self) -> set[Component]:
        """Everything `request` reads; as a set, so that Gradio hands on a mapping."""
        return {self.kind, self.photo, self.video, *self.widgets.values()}

    def files(self, values: Mapping[Component, object]) -> list[object]:
        """The uploaded files among the widgets' values, None for an empty widget."""
        return [values.get(widget) for widget in (self.speaker, self.photo, self.video)]

    def request(self, values: Mapping[Component, object], out: Path) -> ReactRequest:
        """The run that the visitor asks for; an empty widget leaves its setting at the default.

        Raises InputError: a file is missing, or what `ReactRequest` raises.
        """
        kind = values.get(self.kind) or PHOTO
        given = {name: values.get(widget) for name, widget in self.widgets.items()}
        given["listener"] = values.get(self.photo if kind == PHOTO else self.video)
        if not given["speaker"]:
            raise InputError("The speaker is missing: choose a video of somebody talking.")
        if not given["listener"]:
            raise InputError(f"The listener is missing: choose a {kind} of the person who is to react.")
        given["views"] = VIEWS_BY_WORD.get(given["views"], given["views"])
        # A photo has one face, and a video has a style of its own.
        given["listener_face_number" if kind == PHOTO else "style"] = None
        filled = {name: value for name, value in given.items() if value is not None and str(value).strip()}
        return ReactRequest(**filled, out=out)

    def show_kind(self, kind: str) -> dict:
        """The updates that show the widgets of a photo, or of a video."""
        is_photo = kind == PHOTO
        return {
            self.photo: gr.update(visible=is_photo),
            self.video: gr.update(visible=not is_photo),
            self.whose: gr.update(visible=not is_photo),
            self.widgets["style"]: gr.update(visible=is_photo),
        }

    def show_weights(self, summary: WeightsSummary) -> dict:
        """The updates that bring in the styles and defaults of other weights."""
        defaults = _defaults_of(summary)
        return {
            self.widgets["style"]: gr.Dropdown(choices=list(summary.styles), value=defaults["style"]),
            self.widgets["guidance_scale"]: defaults["guidance_scale"],
        }

    def _add(self, name: str, **more: object) -> None:
        """The widget of a setting: its kind, range and choices say which."""
        setting, value = SETTINGS[name], self._defaults[name]
        more |= {"label": LABELS.get(name, name.replace("_", " ").capitalize()), "elem_id": name}
        if setting.kind == "views":
            words = {views: word for word, views in VIEWS_BY_WORD.items()}
            widget = gr.Radio(list(VIEWS_BY_WORD), value=words[value], **more)
        elif setting.kind == "flag":
            widget = gr.Checkbox(value, **more)
        elif setting.choices:
            widget = gr.Radio(list(setting.choices), value=value, **more)
        elif name in self._names:
            widget = gr.Dropdown(list(self._names[name]), value=value, **more)
        elif setting.kind == "text":
            widget = gr.Textbox(value, max_length=MAX_NAME_LENGTH, **more)
        elif setting.high > SLIDER_LIMIT:
            widget = gr.Number(value, **more)  # without limits: `ReactRequest` explains them better
        else:
            step = 1 if setting.kind == "whole" or setting.high > 10 else 0.1
            widget = gr.Slider(setting.low, setting.high, value=value, step=step, **more)
        self.widgets[name] = widget


def choosable_weights(weights: str) -> tuple[str, ...]:
    """The weights that a visitor can name: those that exist, and those the server was started with."""
    return tuple(sorted({weights, *available()}))


def _defaults_of(summary: WeightsSummary) -> dict[str, object]:
    return {"style": summary.styles[0], "guidance_scale": summary.guidance_scale}


def _sentence(setting: Setting) -> str:
    """A setting's help for somebody who always sees a value: without what happens when there is none."""
    words = setting.help.partition("; without it")[0]
    return f"{words[:1].upper()}{words[1:]}."
