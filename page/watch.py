"""The widget that plays a run: the speaker and all reactions in step, what they do and when. assets/page/watch.js.

The browser gets one small object, and fetches what it names:

    id       another one for every run
    kind     "example" (made beforehand), "run", or "" for nothing to show
    title, note   words above the players
    data     address of the description (page/watch_data.py); the players' heads and curves come from it
    speaker  address of a video, or null; start: seconds into it at which the run begins
    videos   {"1": {"mesh": address, "photo": address}, …}: those that are finished
    pending  whether videos are still being made
    film     address of the side-by-side video, or null
    web      address of the browser's libraries, or null where they are not installed
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import gradio as gr

from page import web_libraries
from perfrdiff.pipeline.folder import ReactResult
from renderer.resources import asset

SCRIPTS, SHOWCASE = asset("page"), asset("showcase")
DESCRIPTION = "watch.json"  # see page/watch_data.py
FIRST = "Your browser draws these heads; the videos follow."
UNFINISHED = "The run ended before there were videos; your browser draws these heads."
_MOUNT = """
import(new URL("%s", document.baseURI))
  .then((module) => module.mount(element, props, watch, () => trigger("again")))
  .catch((error) => { element.textContent = "The players could not be loaded: " + error.message; });
"""


def address(file: Path) -> str:
    """The file's address, relative to the page's own."""
    return f"gradio_api/file={quote(str(file))}"


def watch_widget() -> gr.HTML:
    """The widget, showing the example that comes with the program; its event `again` asks for that run, live."""
    gr.set_static_paths([SCRIPTS, SHOWCASE, asset("examples")])
    return gr.HTML(
        showcase(),
        html_template='<div class="watch"></div>',
        js_on_load=_MOUNT % address(SCRIPTS / "watch.js"),
        apply_default_css=False,
        elem_id="watch",
        padding=False,
    )


def nothing() -> str:
    """The value that shows nothing."""
    return json.dumps({"id": "", "kind": ""})


def showcase() -> str:
    """The value that shows what `python -m tools.make_showcase` made; nothing where that is missing."""
    settings = SHOWCASE / "showcase.json"
    if not settings.is_file():
        return nothing()
    made = json.loads(settings.read_text(encoding="utf-8"))
    videos = {
        number: {view: address(SHOWCASE / name) for view, name in views.items()}
        for number, views in made["videos"].items()
    }
    return json.dumps(
        {
            "id": "showcase", "kind": "example", "title": made["title"], "note": made["note"],
            "data": address(SHOWCASE / DESCRIPTION), "speaker": address(asset(made["speaker"])), "start": 0.0,
            "videos": videos, "pending": False, "film": None, "web": _libraries(),
        }
    )  # fmt: skip


@dataclass(frozen=True)
class RunShown:
    """A visitor's run, as the widget plays it."""

    folder: Path  # of the description and what it names; no other run has it
    speaker: Path | None  # a video that a browser plays
    start: float = 0.0  # seconds into that video at which the run begins
    title: str = "The reactions"
    about: str = ""  # a sentence on the run; without it, its listening style

    def first_seen(self, style: str) -> str:
        """The value for a run whose reactions exist, and none of its videos."""
        return self._value(style, {}, None, FIRST, pending=True)

    def unfinished(self, style: str) -> str:
        """The value for a run that ended after its reactions existed and before its videos did."""
        return self._value(style, {}, None, UNFINISHED)

    def finished(self, result: ReactResult) -> str:
        """The value for a run that is done."""
        videos = {reaction.number: reaction.videos for reaction in result.reactions}
        return self._value(result.style, videos, result.side_by_side)

    def _value(
        self,
        style: str,
        videos: Mapping[int, Mapping[str, Path]],
        film: Path | None,
        note: str = "",
        pending: bool = False,
    ) -> str:
        return json.dumps(
            {
                "id": self.folder.name,
                "kind": "run",
                "title": self.title,
                "note": f"{self.about or f'Listening style: {style}.'} {note}".rstrip(),
                "data": address(self.folder / DESCRIPTION),
                "speaker": None if self.speaker is None else address(self.speaker),
                "start": self.start,
                "videos": {
                    str(number): {view: address(file) for view, file in views.items()}
                    for number, views in videos.items()
                },
                "pending": pending,
                "film": None if film is None else address(film),
                "web": _libraries(),
            }
        )


def _libraries() -> str | None:
    return web_libraries.base_address() if web_libraries.are_installed() else None
