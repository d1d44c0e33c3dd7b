"""The widgets that show what came out of a run."""

from __future__ import annotations

import gradio as gr
from gradio.components import Component

from page.words import outcome, stages, trouble
from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.request import SETTINGS, VIEWS
from perfrdiff.pipeline.stages import STAGES
from renderer.resources import asset

ASSETS = asset("page")


class Results:
    """How far a run is, what went wrong with it, or its videos. Built inside the present Gradio context."""

    def __init__(self) -> None:
        self.status = gr.HTML(elem_id="status", padding=False)
        with gr.Column(visible=False, elem_id="results") as self._column:
            with gr.Row(elem_id="results-head"):
                gr.HTML("<h2>The reactions</h2>", padding=False)
                play = gr.Button("▶ Play all in step", elem_id="play")
                self._archive = gr.DownloadButton("Download everything (.zip)", elem_id="zip")
            self._side_by_side = gr.Video(
                label="Side by side, with the speaker's sound",
                show_label=False,
                interactive=False,
                buttons=["download"],
                elem_id="side-by-side",
            )
            self._transparent = gr.Files(label="Meshes without a ground", visible=False, elem_id="transparent-files")
            with gr.Row(elem_id="cards"):
                self._cards = [_card(number) for number in range(1, int(SETTINGS["samples"].high) + 1)]
        play.click(None, js=(ASSETS / "in_step.js").read_text(encoding="utf-8"), api_visibility="private")
        self.outputs: list[Component] = [
            self.status, self._column, self._archive, self._side_by_side, self._transparent,
            *(part for card, videos in self._cards for part in (card, *videos.values())),
        ]  # fmt: skip

    def show_start(self) -> dict:
        """The updates for a run that begins."""
        return self.show_stage(next(iter(STAGES)), 0.0) | {self._column: gr.Column(visible=False)}

    def show_stage(self, stage: str, fraction: float) -> dict:
        """The updates for a run of which this fraction, 0 … 1, is done."""
        return {self.status: stages(stage, fraction)}

    def show_trouble(self, sentence: str) -> dict:
        """The updates for a run that failed."""
        return {self.status: trouble(sentence), self._column: gr.Column(visible=False)}

    def show(self, result: ReactResult) -> dict:
        """The updates for a run that went well."""
        transparent = [str(reaction.transparent) for reaction in result.reactions if reaction.transparent]
        updates = {
            self.status: outcome(result),
            self._column: gr.Column(visible=True),
            self._side_by_side: str(result.side_by_side),
            self._archive: str(result.archive),
            self._transparent: gr.Files(value=transparent or None, visible=bool(transparent)),
        }
        for index, (card, widgets) in enumerate(self._cards):
            videos = result.reactions[index].videos if index < len(result.reactions) else {}
            updates[card] = gr.Column(visible=bool(videos))
            for view, widget in widgets.items():
                file = videos.get(view)
                updates[widget] = gr.Video(value=str(file) if file else None, visible=bool(file))
        return updates


def _card(number: int) -> tuple[gr.Column, dict[str, gr.Video]]:
    """The place of one reaction, and its video for each view."""
    with gr.Column(visible=False, elem_classes="card", min_width=0) as card:
        gr.HTML(f"<h3>Reaction {number}</h3>", padding=False)
        with gr.Row(elem_classes="pair"):
            videos = {
                view: gr.Video(
                    label=view.capitalize(),
                    show_label=False,
                    interactive=False,
                    visible=False,
                    buttons=["download"],
                    min_width=0,
                    elem_classes=f"reaction-{view}",
                )
                for view in VIEWS
            }
    return card, videos
