"""The widgets that show what came out of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr
from gradio.components import Component

from page.loading import heavy
from page.takeaway import TakeAway
from page.watch import RunShown, watch_widget
from page.words import COMPARED, SAME
from perfrdiff.pipeline.folder import ReactResult
from renderer.resources import asset

if TYPE_CHECKING:
    from perfrdiff.pipeline.request import ReactRequest
    from perfrdiff.pipeline.run import ReadyReactions

ASSETS = asset("page")


class Results:
    """The reactions of a run, from the first heads to the last file. Built inside the present Gradio context.

    The widget that plays comes first on the page, with the example in it; what an earlier run made stays there until
    the reactions of the next exist.
    """

    def __init__(self) -> None:
        self.watch = watch_widget()
        with gr.Row(visible=False, elem_id="results-files") as self._row:
            self._archive = gr.DownloadButton("Download everything (.zip)", elem_id="zip")
            self._transparent = gr.Files(label="Meshes without a ground", visible=False, elem_id="transparent-files")
        self.take_away = TakeAway()
        self.outputs: list[Component] = [
            self.watch, self._row, self._archive, self._transparent, *self.take_away.outputs,
        ]  # fmt: skip

    def mark_earlier(self, inputs: set[Component]) -> None:
        """Let the widget say, as soon as one of these changes, that what it shows belongs to the earlier inputs."""
        gr.on(
            [widget.change for widget in inputs],
            None,
            js="() => { document.getElementById('watch')?.querySelector('.watch')?.widget?.inputsChanged(); }",
            api_visibility="private",
        )

    def show_reactions(self, ready: ReadyReactions, shown: RunShown) -> dict:
        """The updates for a run whose reactions exist, and no video yet: their heads can be drawn in the browser."""
        heavy("page.watch_data").write_ready(shown.folder, ready)
        return {self.watch: shown.first_seen(ready.style), self._row: gr.Row(visible=False)} | self.take_away.hide()

    def show_unfinished(self, ready: ReadyReactions, shown: RunShown) -> dict:
        """The updates for a run that broke off after its reactions were seen."""
        return {self.watch: shown.unfinished(ready.style)}

    def show(self, result: ReactResult, shown: RunShown) -> dict:
        """The updates for a run that went well."""
        transparent = [str(reaction.transparent) for reaction in result.reactions if reaction.transparent]
        return {
            self.watch: shown.finished(result),
            self._row: gr.Row(visible=True),
            self._archive: str(result.archive),
            self._transparent: gr.Files(value=transparent or None, visible=bool(transparent)),
        } | self.take_away.offer()


def for_the_browser(request: ReactRequest) -> RunShown:
    """How a run is shown; a speaker's video that browsers do not play is copied for it. See `RunShown`."""
    folder = request.out.with_name(f"{request.out.name}-watch")
    part = heavy("perfrdiff.features.media.video").Part(request.speaker_start, request.speaker_end)
    film = heavy("page.previews").write_preview(request.speaker, folder, part)
    start = request.speaker_start if film == request.speaker else 0.0
    if request.compare is None:
        return RunShown(folder, film, start)
    return RunShown(folder, film, start, f"{COMPARED[request.compare]}, at seed {request.seed}", SAME)
