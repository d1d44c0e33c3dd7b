"""The widgets of a run: built from `SETTINGS`, laid out, and read back into a `ReactRequest` by name."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio as gr
from gradio.components import Component

from page.inputs import HEIGHT, InputCard, OtherCard, as_given
from page.library import EXAMPLES, Entry, entries, entry_of, other_than
from page.words import COMPARED, LABELS, PLAIN
from perfrdiff.errors import InputError
from perfrdiff.pipeline.request import DEFAULTS, LISTENER, MAX_NAME_LENGTH, SETTINGS, VIEWS, ReactRequest, Setting
from perfrdiff.weights import FOLDER, WeightsSummary, available
from renderer.mesh_identities import MESH_IDENTITIES
from renderer.resources import pirender_weights

VIEWS_BY_WORD = {"both": VIEWS} | {view: (view,) for view in VIEWS}
QUALITIES = {"fast": 6, "balanced": None, "paper": 50}
"""Word -> denoising steps; None: what the weights were tuned for. The published code takes 50."""
OWN_STYLE = "As in the video"  # the style that is read from a listener's video
MAIN_ROW = ("samples", "views", "style")
SECOND_ROW = ("steps", "strength", "seed")
FOLDED_ROWS = (
    ("guidance_scale", "size", "label"),
    ("mesh_style", "mesh_identity", "animator"),
    ("name", "transparent", "max_seconds"),
    ("shift", "weights"),
)
NOT_ON_THE_PAGE = (
    "out",
    "overwrite",
    "device",
    "save_shift",
    "compat",
    "identity",
    "save_identity",
    "exports",
    "solver",
    "other_name",
    "compare",
    "credentials_key",
    "credentials_certificate",
)
"""Settings without a widget: the server's own, what only those want who write programs, and what a button says."""
FILES = ("speaker", "listener", "shift", "other_listener")
OF_FILES = ("speaker_face_number", "listener_face_number", "speaker_start", "speaker_end", "listener_start",
            "listener_end")  # fmt: skip
"""Settings that belong to a file: they are neither in an address nor reset."""
OF_THE_OTHER = ("other_style", "other_name")  # of somebody of the gallery, what the address has is their file's name
WITH_A_STYLE = ("video", "table")  # kinds of a listener's file
PRESETS: Mapping[str, Mapping[str, object]] = {
    "A quick look": {"samples": 1, "steps": 6, "views": ("mesh",)},
    "Ten ways": {"samples": 10, "views": ("mesh",)},
    "Exaggerated": {"strength": 2.0},
    "As in the paper": {"mesh_style": "grey", "size": 224, "steps": 50, "views": ("mesh",), "label": False},
}
"""Name -> settings; the others go back to their defaults."""

FACE_OF_A_STYLE = EXAMPLES / "portrait.jpg"  # who shows a saved style that comes without a face
SLIDER_LIMIT = 10_000  # a whole number that may be larger is typed, not slid to
DICE = 1_000_000  # seeds that the dice throw are below


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
            "other_style": [value for _, value in _others(summary.styles)],
        }
        self._styles = summary.styles
        self._defaults = DEFAULTS | _defaults_of(summary) | {"weights": weights}

    def add_files(self) -> None:
        """The speaker and the listener, with what belongs to each."""
        with gr.Row(equal_height=False):
            self.speaker = InputCard("speaker", "1 · Somebody talking", "Video of the speaker", "Who of them talks?")
            self.listener = InputCard(
                "listener", "2 · Somebody listening", "Photo, video or saved style", "Who of them listens?"
            )
        self.widgets |= self.speaker.widgets | self.listener.widgets

    def add_main(self) -> None:
        """The settings that everybody sees, and the presets."""
        for row in (MAIN_ROW, SECOND_ROW):
            with gr.Row(elem_classes="choices"):
                for name in row:
                    self._add(name)
        with gr.Row(elem_id="seed-tools", elem_classes="tools"):
            self.dice = gr.Button("Dice: another seed", size="sm", elem_id="dice")
            self.is_fresh = gr.Checkbox(False, label="A new seed at every run", container=False, elem_id="fresh-seed")
        with gr.Row(elem_id="presets", elem_classes="tools"):
            self.presets = {name: gr.Button(name, size="sm") for name in PRESETS}
            self.reset = gr.Button("Reset all", size="sm", elem_id="reset")

    def add_comparing(self) -> None:
        """The buttons of comparisons, and another listener, who is compared or mixed in."""
        with gr.Row(elem_id="compare", elem_classes="tools"):
            gr.HTML("<p>Or compare, one reaction each at this seed:</p>", padding=False)
            self.comparisons = {
                kind: gr.Button(words, size="sm", elem_id=f"compare-{kind}") for kind, words in COMPARED.items()
            }
        with gr.Accordion("Another listener, to mix in or to compare with", open=False, elem_id="other"):
            with gr.Row():
                for name in ("other_style", "other_share"):
                    self._add(name)
            self._add("other_listener")
            self.other = OtherCard(self.widgets["other_listener"])

    def add_folded(self) -> None:
        """The other settings, folded."""
        is_visible = {
            "animator": pirender_weights(FOLDER) is not None,
            "weights": len(self._names["weights"]) > 1,
        }
        with gr.Accordion("More settings", open=False):
            for row in FOLDED_ROWS:
                with gr.Row():
                    for name in row:
                        self._add(name, visible=is_visible.get(name, True))

    @property
    def inputs(self) -> set[Component]:
        """Everything `request` reads; as a set, so that Gradio hands on a mapping."""
        return {self.speaker.about, self.listener.about, self.is_fresh, *self.widgets.values()}

    @property
    def chosen(self) -> dict[str, Component]:
        """Setting -> its widget, for what presets, addresses and *reset all* set."""
        return {name: widget for name, widget in self.widgets.items() if name not in (*FILES, *OF_FILES)}

    def files(self, values: Mapping[Component, object]) -> list[object]:
        """The uploaded files among the widgets' values, None for an empty widget."""
        return [values.get(self.widgets[name]) for name in FILES]

    def settings(self, values: Mapping[Component, object]) -> dict[str, object]:
        """The settings that the widgets hold, by name and as `ReactRequest` takes them; empty ones are left out."""
        given = {name: values.get(widget) for name, widget in self.widgets.items()}
        given["views"] = VIEWS_BY_WORD.get(given["views"], given["views"])
        given["steps"] = QUALITIES.get(given["steps"], given["steps"])
        for card in (self.speaker, self.listener):
            start, end = (given.pop(f"{card.role}_{edge}") for edge in ("start", "end"))
            given |= card.part(values, start, end)
        if self.listener.understood(values)[0] == "style":
            given["shift"], given["listener"] = given["listener"], str(FACE_OF_A_STYLE)
        if given["style"] == OWN_STYLE or given["shift"]:
            given["style"] = None
        if given["other_listener"]:
            given["other_style"] = None
        elif entry := entry_of(given["other_style"]):
            given |= _of_entry(entry)
        return {name: value for name, value in given.items() if value is not None and str(value).strip()}

    def compared(self, values: Mapping[Component, object], compare: str | None) -> dict[str, object]:
        """The settings with a comparison of this kind in place of an ordinary run; where it wants another listener and
        none is chosen, somebody of the gallery. None: those of an ordinary run."""
        given = self.settings(values)
        if compare is None:
            return given
        if compare in ("listeners", "mixtures") and not given.keys() & {"other_listener", "other_style"}:
            other = other_than(given.get("style"), self._styles)
            given |= _of_entry(other) if other is not None else {}
        return {name: value for name, value in given.items() if value is not None} | {"compare": compare}

    def request(self, values: Mapping[Component, object], out: Path, compare: str | None = None) -> ReactRequest:
        """The run that the visitor asks for; an empty widget leaves its setting at the default.

        compare: see `compared`.
        Raises InputError: a file is missing, or what `ReactRequest` raises.
        """
        given = self.compared(values, compare)
        if not given.get("speaker"):
            raise InputError("The speaker is missing: choose a video of somebody talking.")
        if not given.get("listener"):
            raise InputError("The listener is missing: choose a photo or video of the person who is to react.")
        return ReactRequest(**given, out=out)

    def told(self, values: Mapping[Component, object], compare: str | None = None) -> dict[str, object]:
        """The settings that make the run of `request` elsewhere: the files, what belongs to them, the comparison, and
        all that is not at its default."""
        given = self.compared(values, compare)
        names = {*FILES, *OF_FILES, *OF_THE_OTHER, "compare", *self.differing(values)}
        if (values.get(self.listener.about) or {}).get("kind") in WITH_A_STYLE:
            names.add("style")  # without it, the listener's own
        if given.get("weights") != DEFAULTS["weights"]:  # the default here may be others
            names.add("weights")
        return {name: value for name, value in given.items() if name in names}

    def show_listener(self, about: Mapping[str, object] | None) -> dict:
        """The update of the style for another kind of listener: a video has a style of its own."""
        names = list(self._names["style"])
        if (about or {}).get("kind") in WITH_A_STYLE:
            return {self.widgets["style"]: gr.update(choices=[OWN_STYLE, *names], value=OWN_STYLE)}
        return {self.widgets["style"]: gr.update(choices=names, value=self._defaults["style"])}

    def show_weights(self, summary: WeightsSummary) -> dict:
        """The updates that bring in the styles and defaults of other weights."""
        defaults = _defaults_of(summary)
        return {
            self.widgets["style"]: gr.update(choices=list(summary.styles), value=defaults["style"]),
            self.widgets["guidance_scale"]: defaults["guidance_scale"],
            self.widgets["other_style"]: gr.update(choices=_others(summary.styles), value=""),
        }

    def shown(self, settings: Mapping[str, object]) -> dict[Component, object]:
        """The widgets' values for these settings; the others go back to their defaults."""
        values = self._defaults | settings
        return {widget: self._shown(name, values[name]) for name, widget in self.chosen.items()}

    def read_address(self, query: Mapping[str, str]) -> dict[Component, object]:
        """The widgets' values that the page's address names; what is no setting, or out of range, is left out."""
        values = {}
        for name, widget in self.chosen.items():
            if name not in query:
                continue
            text: object = query[name]
            if SETTINGS[name].kind == "flag":
                text = {"true": True, "false": False}.get(str(text))
            elif SETTINGS[name].kind == "views":
                text = tuple(str(text).split(","))
            if name in self._names and text not in self._names[name]:
                continue
            try:
                request = ReactRequest(**dict.fromkeys(("speaker", "listener", "out"), Path("none")), **{name: text})
            except InputError:
                continue
            values[widget] = self._shown(name, getattr(request, name))
        return values

    def differing(self, values: Mapping[Component, object]) -> dict[str, object]:
        """The settings, without files, that are not at the page's defaults."""
        given = self.settings(values)
        if other := values.get(self.widgets["other_style"]):
            given["other_style"] = other  # as the widget has it: somebody of the gallery by the name of their file
        return {
            name: given[name]
            for name in self.chosen
            if name in given and self._shown(name, given[name]) != self._shown(name, self._defaults[name])
        }

    def _shown(self, name: str, value: object) -> object:
        """A setting's value as its widget has it."""
        if SETTINGS[name].kind == "views":
            return {views: word for word, views in VIEWS_BY_WORD.items()}.get(value, value)  # type: ignore[call-overload]
        if name == "other_style":
            return value or ""
        if name == "steps":
            return {steps: word for word, steps in QUALITIES.items()}.get(value, "balanced")  # type: ignore[call-overload]
        return value

    def _add(self, name: str, **more) -> None:
        """The widget of a setting: its kind, range and choices say which."""
        setting, value = SETTINGS[name], self._shown(name, self._defaults[name])
        more |= {"label": LABELS.get(name, name.replace("_", " ").capitalize()), "elem_id": name}
        if setting.kind != "shifts":
            more["info"] = PLAIN.get(name) or _sentence(setting)
        if name == "steps":
            widget = as_given(gr.Radio)(list(QUALITIES), value=value, **more)
        elif setting.kind == "shifts":
            widget = as_given(gr.File)(file_types=[".safetensors"], height=110, **more)
        elif setting.kind == "path":
            del more["info"]
            widget = as_given(gr.File)(height=HEIGHT, **more)
        elif name == "other_style":
            widget = as_given(gr.Dropdown)(_others(self._names["style"]), value=value, **more)
        elif setting.kind == "views":
            widget = as_given(gr.Radio)(list(VIEWS_BY_WORD), value=value, **more)
        elif setting.kind == "flag":
            widget = as_given(gr.Checkbox)(value, **more)
        elif setting.choices:
            widget = as_given(gr.Radio)(list(setting.choices), value=value, **more)
        elif name in self._names:
            widget = as_given(gr.Dropdown)(list(self._names[name]), value=value, **more)
        elif setting.kind == "text":
            widget = as_given(gr.Textbox)(value, max_length=MAX_NAME_LENGTH, **more)
        elif setting.high > SLIDER_LIMIT:
            widget = as_given(gr.Number)(value, **more)  # without limits: `ReactRequest` explains them better
        else:
            step = 1 if setting.kind == "whole" or setting.high > 10 else 0.05 if setting.high <= 1 else 0.1
            widget = as_given(gr.Slider)(setting.low, setting.high, value=value, step=step, **more)
        self.widgets[name] = widget


def _others(styles: Sequence[str]) -> list[tuple[str, str]]:
    """Who can be the other listener: words and value. Somebody of the gallery goes by the name of their file."""
    people = [entry for entry in entries() if entry.role == "listener" and entry.style in ("", *styles)]
    return [
        ("Nobody", ""),
        *((f"{entry.title}, {entry.words.partition(', ')[2]}", entry.file) for entry in people),
        *((f"Anybody, {style}", style) for style in styles),
    ]


def _of_entry(entry: Entry) -> dict[str, object]:
    """The settings that make somebody of the gallery the other listener."""
    if entry.style:
        return {"other_style": entry.style, "other_listener": None, "other_name": entry.title}
    return {"other_style": None, "other_listener": str(entry.path), "other_name": entry.title}


def new_seed() -> int:
    """A seed by chance, short enough to be read out."""
    return secrets.randbelow(DICE)


def choosable_weights(weights: str) -> tuple[str, ...]:
    """The weights that a visitor can name: those that exist, and those the server was started with."""
    return tuple(sorted({weights, *available()}))


def _defaults_of(summary: WeightsSummary) -> dict[str, object]:
    return {"style": summary.styles[0], "guidance_scale": summary.guidance_scale}


def _sentence(setting: Setting) -> str:
    """A setting's help for somebody who always sees a value: without what happens when there is none."""
    words = setting.help.partition("; without it")[0]
    return f"{words[:1].upper()}{words[1:]}."
