"""The widget that plays a run: the speaker and all reactions in step, what they do and when. assets/page/watch.js.

The browser gets one small object, and fetches what it names:

    id       another one for every run
    kind     "example" (made beforehand), "run", or "" for nothing to show
    title, note   words above the players
    data     address of the description (page/watch_data.py); the players' heads and curves come from it
    speaker  address of a video, or null
    videos   {"1": {"mesh": address, "photo": address}, …}: those that are finished
    pending  whether videos are still being made
    film     address of the side-by-side video, or null
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import gradio as gr

from page.watch_data import DESCRIPTION
from perfrdiff.pipeline.folder import ReactResult
from renderer.resources import asset

SCRIPTS, SHOWCASE = asset("page"), asset("showcase")
AGAIN = "again"  # the event of the button that runs the example live
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
            "data": address(SHOWCASE / DESCRIPTION), "speaker": address(asset(made["speaker"])), "videos": videos,
            "pending": False, "film": None,
        }
    )  # fmt: skip


def first_seen(run: str, description: Path, speaker: Path | None, style: str) -> str:
    """The value for a run whose reactions exist, and none of its videos. `run`: a name that no other run has."""
    return _of_run(run, description, speaker, style, {}, None, pending=True)


def finished(run: str, description: Path, speaker: Path | None, result: ReactResult) -> str:
    """The value for a run that is done."""
    videos = {reaction.number: reaction.videos for reaction in result.reactions}
    return _of_run(run, description, speaker, result.style, videos, result.side_by_side, pending=False)


def _of_run(
    run: str,
    description: Path,
    speaker: Path | None,
    style: str,
    videos: Mapping[int, Mapping[str, Path]],
    film: Path | None,
    pending: bool,
) -> str:
    return json.dumps(
        {
            "id": run, "kind": "run", "title": "The reactions", "note": f"Listening style: {style}.",
            "data": address(description), "speaker": None if speaker is None else address(speaker),
            "videos": {
                str(number): {view: address(file) for view, file in views.items()} for number, views in videos.items()
            },
            "pending": pending, "film": None if film is None else address(film),
        }
    )  # fmt: skip
