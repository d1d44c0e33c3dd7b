"""The gallery: speakers and listeners that come with the program, one click each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from urllib.parse import quote

import gradio as gr

from renderer.resources import asset

EXAMPLES = asset("examples")
PICK = "pick"  # the event of a click
_ON_LOAD = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-file]");
  if (button) trigger("pick", { file: button.dataset.file });
});
"""


@dataclass(frozen=True)
class Entry:
    """A file of the gallery."""

    role: str  # "speaker" or "listener"
    file: str  # in assets/examples
    title: str
    words: str
    style: str  # a named listening style for a portrait; "" otherwise
    picture: str  # in assets/examples

    @property
    def path(self) -> Path:
        return EXAMPLES / self.file


@lru_cache
def entries() -> tuple[Entry, ...]:
    """What tools/make_examples.py made."""
    made = json.loads((EXAMPLES / "library.json").read_text(encoding="utf-8"))
    return tuple(Entry(**entry) for entry in made["entries"])


def entry_of(file: object) -> Entry | None:
    """The entry of a file name, None where there is none: a browser may send anything."""
    return next((entry for entry in entries() if entry.file == file), None)


def other_than(style: object, styles: Sequence[str]) -> Entry | None:
    """A portrait with another style than this one, of those that the weights know: somebody to compare with."""
    return next((entry for entry in entries() if entry.style in styles and entry.style not in ("", style)), None)


def gallery(role: str) -> gr.HTML:
    """The buttons for one input, in the present Gradio context; its event `pick` carries the file's name."""
    buttons = "".join(
        f'<button type="button" data-file="{escape(entry.file)}"><img src="{address(EXAMPLES / entry.picture)}" alt="" '
        f'width="56" height="56"><span><b>{escape(entry.title)}</b> {escape(entry.words)}</span></button>'
        for entry in entries()
        if entry.role == role
    )
    return gr.HTML(
        f'<div class="gallery" role="group" aria-label="Examples of a {role}">{buttons}</div>',
        js_on_load=_ON_LOAD,
        elem_id=f"{role}-gallery",
        padding=False,
    )


def address(file: Path) -> str:
    """A file's address, relative to the page's own."""
    return f"gradio_api/file={quote(str(file))}"
