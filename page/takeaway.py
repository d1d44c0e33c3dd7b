"""A finished run for other programs, made when somebody asks for it: animation files, heads, the style."""

from __future__ import annotations

import gradio as gr
from gradio.components import Component

from page.jobs import DONE
from page.loading import heavy
from page.run import explain
from page.visits import Visits
from page.words import trouble
from perfrdiff.errors import InputError

CHOICES = {
    "live-link": "Live Link Face (CSV): Unreal, MetaHuman, Blender",
    "glb": "Moving head (GLB): browsers, Blender",
    "webm": "Moving head without a ground (WebM with alpha)",
    "style": "The listener's style (safetensors), to use it again",
    "obj": "Still head (OBJ)",
    "ply": "Still head (PLY)",
    "still-glb": "Still head (GLB)",
}
"""Names of perfrdiff.exports.MADE_AFTERWARDS -> words on the page."""
NOTHING_CHOSEN = "Choose at least one kind of file."
MAKING = '<p class="note" role="status">Being made …</p>'
GONE = "That run is not here any more; make it again."
A_FACE = "A head is the listener's likeness: keep it, and hand it on, only with their consent."


class TakeAway:
    """What is chosen, the button and the files. Built inside the present Gradio context."""

    def __init__(self) -> None:
        with gr.Accordion("For other programs", open=False, visible=False, elem_id="take-away") as self._fold:
            self._kinds = gr.CheckboxGroup(
                [(words, name) for name, words in CHOICES.items()],
                value=["live-link"],
                label="Kinds of files",
                info=A_FACE,
                elem_id="take-away-kinds",
            )
            with gr.Row(elem_classes="tools"):
                self._make = gr.Button("Make these files", size="sm", elem_id="take-away-make")
            self._state = gr.HTML(padding=False, visible=False, elem_id="take-away-state")
            self._files = gr.Files(label="Files", visible=False, interactive=False, elem_id="take-away-files")
        self.outputs: list[Component] = [self._fold, self._state, self._files]

    def follow(self, visits: Visits, quiet: dict) -> None:
        """What the button does. `quiet`: options of the event."""

        def make(kinds: list[str], visit: gr.Request) -> dict:
            try:
                files = self._write(visits, visit.session_hash, kinds)
            except Exception as error:
                return self._say(trouble(explain(error)))
            return self._say("") | {self._files: gr.Files(value=files, visible=True)}

        outputs = [self._state, self._files]
        self._make.click(lambda: self._say(MAKING), None, outputs, **quiet).then(
            make, self._kinds, outputs, concurrency_limit=1, concurrency_id="exports", **quiet
        )

    def hide(self) -> dict:
        """The updates for a run that has no files yet."""
        return {self._fold: gr.Accordion(visible=False)}

    def offer(self) -> dict:
        """The updates for a run that is done."""
        return {self._fold: gr.Accordion(visible=True)} | self._say("")

    def _say(self, html: str) -> dict:
        """The updates that show words, and no files."""
        return {self._state: gr.HTML(value=html, visible=bool(html)), self._files: gr.Files(value=None, visible=False)}

    def _write(self, visits: Visits, session: str | None, kinds: list[str]) -> list[str]:
        """Write the files of the session's latest run into a folder of their own; their paths."""
        job = visits.of(session).job
        if job is None or job.ready is None or job.state != DONE:
            raise InputError(GONE)
        if not kinds:
            raise InputError(NOTHING_CHOSEN)
        out = job.request.out.with_name(f"{job.request.out.name}-export")  # goes when the run goes
        visits.keep(session, out)
        exporting = heavy("perfrdiff.exports.from_run")
        return [str(path) for path in exporting.export_run(job.request, job.ready, kinds, out)]
