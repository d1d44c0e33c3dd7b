"""The tab *Live*: who listens is chosen with Gradio's widgets; the session itself runs in assets/page/live.js.

That gets one object: the addresses of libraries, of the tracker's model, of the socket and of an example film; the
names of the coefficients; and the listener, {id, name, head, photo}: what the socket is asked for, words, the address
of a head (page/live_heads.py), whether there is a photo. Its event `keep` asks for the last minute as an ordinary run:
{session, until, film, film_start}, see `LiveTab.take`.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from page import web_libraries
from page.jobs import GRACE_SECONDS
from page.library import entries
from page.live import PATH as SOCKET
from page.live import LiveServer
from page.live_heads import LiveHeads
from page.live_listeners import ReadyListener
from page.loading import heavy
from page.run import explain
from page.visits import Visits
from page.watch import SCRIPTS, address
from page.words import trouble
from perfrdiff.coefficients import COEFFICIENT_NAMES
from perfrdiff.errors import InputError
from renderer.resources import asset

if TYPE_CHECKING:
    from perfrdiff.features.clip import Listener
    from perfrdiff.pipeline.listener_mesh import ShownHead
    from perfrdiff.pipeline.take import Take
    from perfrdiff.reactor import Reactor
    from renderer.identity.identity import Identity

STYLE, LIBRARY, FILE, SAVED = KINDS = "A listening style", "From the library", "A photo or a video", "A saved style"
STAND_IN = "Alex"  # the made-up person who lends a listening style a head; pipeline.listener_mesh.STAND_IN
EXAMPLE, EXAMPLE_FILM = "example", asset("examples/speaker.mp4")
MODEL = asset("tracker/face_landmarker.task")
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
LONGEST_FILM = 86_400.0  # seconds
KEEP = "keep"  # the widget's event
_MOUNT = """
import(new URL("%s", document.baseURI))
  .then((module) => module.mount(element, props, (given) => trigger("keep", given), upload))
  .catch((error) => { element.textContent = "The tab could not be loaded: " + error.message; });
"""
_SET_LISTENER = """(listener) => {
  if (listener) document.querySelector("#live .live")?.widget?.setListener(JSON.parse(listener));
}"""
HINT = (
    "The server has a few live places; a session lasts {minutes:g} minutes at most and ends after {idle:g} s without "
    "sound and pictures. What is shown are computer-made guesses of what this listener might do."
)


class LiveTab:
    """The tab's widgets, in the present Gradio context."""

    def __init__(
        self, styles: Sequence[str], server: LiveServer, heads: LiveHeads, visits: Visits, page: gr.Blocks
    ) -> None:
        """styles: those of the weights that have a name."""
        self._server, self._heads, self._visits = server, heads, visits
        self._shelf = {f"{entry.title}, {entry.words}": entry for entry in entries() if entry.role == "listener"}
        self._of_visit: dict[str | None, list[dict]] = defaultdict(list)  # listeners made ready, by session
        gr.set_static_paths([SCRIPTS, MODEL, asset("examples")])
        with gr.Column(elem_classes="card"):
            with gr.Row(elem_id="live-listener"):
                kind = gr.Radio(KINDS, value=STYLE, label="Who listens", elem_id="live-kind")
                style = gr.Dropdown(styles, value=styles[0] if styles else None, label="Style", elem_id="live-style")
                shelf = gr.Dropdown(
                    list(self._shelf), label="Listener", value=None, visible=False, elem_id="live-shelf"
                )
            file = gr.File(
                label="Photo or video of the listener", visible=False, file_types=["image", "video"],
                height=120, elem_id="live-file",
            )  # fmt: skip
            saved = gr.File(
                label="A style that was saved", visible=False, file_types=[".safetensors"],
                height=120, elem_id="live-saved",
            )  # fmt: skip
            self.state = state = gr.HTML(elem_id="live-state", padding=False)
        self.widget = gr.HTML(
            json.dumps(self._about(styles[0] if styles else None)),
            html_template='<div class="watch live"></div>',
            js_on_load=_MOUNT % address(SCRIPTS / "live.js"),
            apply_default_css=False,
            elem_id="live",
            padding=False,
        )
        limits = server.limits
        gr.Markdown(HINT.format(minutes=limits.minutes, idle=limits.idle_seconds), elem_classes="fine")
        ready = gr.Textbox(visible=False)
        inputs = [kind, style, shelf, file, saved]
        kind.change(self._show_kind, kind, [style, shelf, file, saved], queue=False, **QUIET)
        gr.on(
            [widget.change for widget in inputs],
            self._prepare,
            inputs,
            [state, ready],
            concurrency_limit=1,
            concurrency_id="live-listener",
            trigger_mode="always_last",
            **QUIET,
        ).then(None, ready, None, js=_SET_LISTENER, **QUIET)
        page.unload(self._forget)

    def take(self, given: gr.EventData, visit: gr.Request) -> Take:
        """What the event `keep` asks for. A browser may send anything, so nothing of it is believed.

        session: the key of a session whose socket is open; until: the last frame that was shown; film: what the
        speaker was, EXAMPLE or the path of an upload, null for a camera; film_start: the second of it at which the
        session began. Raises InputError.
        """
        wishes = {name: getattr(given, name, None) for name in ("session", "until", "film", "film_start")}
        until, start = wishes["until"], wishes["film_start"]
        if not isinstance(wishes["session"], str) or type(until) is not int or until < 0:
            raise InputError("There is no session to keep; start one first.")
        film = None
        if wishes["film"] == EXAMPLE:
            film = EXAMPLE_FILM
        elif isinstance(wishes["film"], str):
            film = Path(wishes["film"]).resolve()
            if not film.is_relative_to(self._visits.folder.resolve()) or not film.is_file():
                raise InputError("The film is not on the server any more; keep the minute again.")
            self._visits.keep(visit.session_hash, film)
        seconds = float(start) if isinstance(start, int | float) and abs(start) < LONGEST_FILM else 0.0
        return self._server.take(wishes["session"], until, film, seconds)

    def _about(self, style: str | None) -> dict[str, object]:
        return {
            "web": web_libraries.base_address() if web_libraries.are_installed() else None,
            "model": address(MODEL),
            "socket": SOCKET.lstrip("/"),
            "example": address(EXAMPLE_FILM),
            "names": list(COEFFICIENT_NAMES),
            "listener": self._listener(style, style or "somebody", STAND_IN),
        }

    def _listener(
        self, name: str | None, words: str, head: Identity | str, has_photo: bool = False
    ) -> dict[str, object]:
        """What the browser is told; `name`: what the socket is asked for; `has_photo`: whether a photo can be moved."""
        return {"id": name, "name": words, "head": self._heads.add(head), "photo": has_photo}

    def _show_kind(self, kind: str) -> list[dict]:
        """A photo says nothing about manners, so a style is chosen for it, too."""
        shown = (kind in (STYLE, FILE), kind == LIBRARY, kind == FILE, kind == SAVED)
        return [gr.update(visible=one) for one in shown]

    def _prepare(
        self, kind: str, style: str | None, shelf: str | None, file: str | None, saved: str | None, visit: gr.Request
    ) -> Iterator[tuple[str, str]]:
        """What is said below the choice, and the listener for the browser; "" where nobody is chosen yet."""
        self._visits.keep(visit.session_hash, file, saved)
        entry = self._shelf[shelf] if shelf else None
        chosen = {STYLE: style, LIBRARY: entry and entry.path, FILE: file, SAVED: saved}[kind]
        if not chosen:
            yield "", ""
            return
        if kind == STYLE:
            yield "", json.dumps(self._listener(chosen, chosen, STAND_IN))
            return
        yield _note("Getting the listener ready …"), ""
        try:
            reactor = self._server.new_reactor()
            if kind == SAVED:
                reactor.set_listener(heavy("perfrdiff.personal.weight_shift").WeightShift.load(Path(chosen)))
                words, head, notes, looks = "the listener of that style", STAND_IN, [], None
            else:
                is_known = kind == LIBRARY and entry is not None
                words, manner = (entry.title, entry.style) if is_known else ("this person", style)
                looks = self._read(reactor, Path(chosen), manner)
                shown = self._head_of(looks)
                head, notes = shown.identity, [*looks.notes, *shown.notes]
            name = self._server.listeners.add(ReadyListener(reactor, looks))
            has_photo = looks is not None and looks.photo is not None
            listener = self._listener(name, words, head, has_photo)
        except Exception as error:
            yield trouble(explain(error)), ""
            return
        self._of_visit[visit.session_hash].append(listener)
        yield _note(" ".join(["The listener is ready.", *notes])), json.dumps(listener)

    def _read(self, reactor: Reactor, file: Path, style: str | None) -> Listener:
        """Set the reactor to whom a photo or a video shows, and give them."""
        listener = heavy("perfrdiff.features.clip").read_listener(file)
        if listener.behaviour is not None:
            reactor.set_listener(listener.behaviour)
        elif style in reactor.styles:
            reactor.set_listener(style)
        return listener

    def _head_of(self, listener: Listener) -> ShownHead:
        face = heavy("perfrdiff.pipeline.videos").built_in_face()
        return heavy("perfrdiff.pipeline.listener_mesh").fitted_head(listener, face)

    def _forget(self, visit: gr.Request) -> None:
        """Drop the listeners of a closed tab, in a while: a network that breaks looks as if the tab was closed."""
        listeners = self._of_visit.pop(visit.session_hash, [])
        if listeners:
            self._drop_later(listeners)

    def _drop_later(self, listeners: list[dict]) -> None:
        timer = threading.Timer(GRACE_SECONDS, self._drop, (listeners,))
        timer.daemon = True
        timer.start()

    def _drop(self, listeners: list[dict]) -> None:
        used = [listener for listener in listeners if self._server.is_heard(str(listener["id"]))]
        for listener in listeners:
            if listener not in used:
                self._server.listeners.forget(str(listener["id"]))
                self._heads.forget(str(listener["head"]))
        if used:
            self._drop_later(used)


def _note(words: str) -> str:
    return f'<div class="note">{escape(words)}</div>'
