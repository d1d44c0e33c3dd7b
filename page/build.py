"""The page put together: its parts from top to bottom, and what happens when something is clicked or chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr

from page.api import add_endpoint
from page.controls import PHOTO, VIDEO, Controls
from page.results import Results
from page.run import explain, follow
from page.visits import KEEP_SECONDS, LATEST_MINUTES, SWEEP_SECONDS, Visits
from page.words import HEAD, notice, trouble
from perfrdiff.errors import InputError
from perfrdiff.weights import summary
from renderer.resources import asset

EXAMPLES = asset("examples")
QUIET = {"show_progress": "hidden", "api_visibility": "private"}


def build(weights: str, folder: Path) -> gr.Blocks:
    """The whole page, for the weights of that name; `folder`: for uploads and results, and nothing else.

    Raises InputError if there are no such weights.
    """
    about_weights = summary(weights)
    visits = Visits(folder)
    with gr.Blocks(
        title="How would they react?", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEEP_SECONDS)
    ) as page:
        controls = Controls(about_weights, weights)
        gr.HTML(HEAD, elem_id="head", padding=False)
        with gr.Row(equal_height=True):
            controls.add_speaker()
            controls.add_listener()
        try_photo, try_video = _example_buttons()
        with gr.Column(elem_classes="card"):
            controls.add_main_row()
            go = gr.Button("Show the reactions", variant="primary", elem_id="go")
            controls.add_folded()
        results = Results()
        about = gr.Markdown(notice(about_weights, LATEST_MINUTES), elem_classes="fine", elem_id="about")
        go.click(
            _show_reactions(controls, results, visits),
            controls.inputs,
            results.outputs,
            concurrency_limit=1,
            concurrency_id="react",
            trigger_mode="once",
            scroll_to_output=True,
            **QUIET,
        )
        _follow_choices(controls, results, about)
        _follow_files(controls, visits)
        _fill_examples(controls, try_photo, try_video)
        add_endpoint(visits, weights)
        page.unload(visits.forget)
    return page


def _example_buttons() -> tuple[gr.Button, gr.Button]:
    with gr.Row(elem_id="examples"):
        gr.Markdown("Nothing at hand?", elem_classes="hint")
        photo = gr.Button("Try our speaker and a photo", size="sm", elem_id="try-photo")
        video = gr.Button("Try our speaker and a listener's video", size="sm", elem_id="try-video")
    return photo, video


def _show_reactions(controls: Controls, results: Results, visits: Visits) -> Callable[..., Iterator[dict]]:
    """What the button does: a generator of updates, from the first stage to the videos."""

    def show_reactions(values: dict, visit: gr.Request) -> Iterator[dict]:
        visits.keep(visit.session_hash, *controls.files(values))
        try:
            request = controls.request(values, visits.new_folder(visit.session_hash))
            yield results.show_start()
            for stage, fraction, result in follow(request):
                if result is None:
                    yield results.show_stage(stage, fraction)
        except Exception as error:
            yield results.show_trouble(explain(error))
            return
        for file in (result.coefficients, result.settings, *(reaction.csv for reaction in result.reactions)):
            file.unlink()  # they are in the zip; what the page does not show, it does not keep
        yield results.show(result)

    return show_reactions


def _follow_choices(controls: Controls, results: Results, about: gr.Markdown) -> None:
    """What changes when the listener is given otherwise, or other weights are chosen."""
    style, guidance_scale, weights = (controls.widgets[name] for name in ("style", "guidance_scale", "weights"))

    def show_weights(name: str) -> dict:
        try:
            chosen = summary(name)
        except InputError as error:
            return {results.status: trouble(str(error))}
        return {results.status: "", about: notice(chosen, LATEST_MINUTES)} | controls.show_weights(chosen)

    controls.kind.change(
        controls.show_kind,
        controls.kind,
        [controls.photo, controls.video, controls.whose, style],
        queue=False,
        **QUIET,
    )
    weights.change(show_weights, weights, [results.status, style, guidance_scale, about], api_visibility="private")


def _follow_files(controls: Controls, visits: Visits) -> None:
    """What happens to a file that is put in: it is remembered as this visitor's, and its faces are looked for."""

    def keep(file: str | None, visit: gr.Request) -> None:
        visits.keep(visit.session_hash, file)

    for widget in (controls.speaker, controls.photo, controls.video):
        widget.change(keep, widget, None, queue=False, **QUIET)
    for widget, faces in ((controls.speaker, controls.speaker_face), (controls.video, controls.listener_face)):
        widget.change(faces.hide, None, faces.components, queue=False, **QUIET).then(
            faces.find_faces, widget, faces.components, **QUIET
        )


def _fill_examples(controls: Controls, try_photo: gr.Button, try_video: gr.Button) -> None:
    """What the example buttons put in."""
    for button, kind, widget, name in (
        (try_photo, PHOTO, controls.photo, "portrait.jpg"),
        (try_video, VIDEO, controls.video, "listener.mp4"),
    ):
        files = {controls.speaker: str(EXAMPLES / "speaker.mp4"), widget: str(EXAMPLES / name)}
        button.click(
            lambda kind=kind, files=files: {controls.kind: kind} | files,
            None,
            [controls.kind, *files],
            queue=False,
            **QUIET,
        )
