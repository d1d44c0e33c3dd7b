"""The page put together: its parts from top to bottom, and what happens when something is clicked or chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
from gradio.components import Component

from page import showcase
from page.api import add_endpoint
from page.controls import PHOTO, VIDEO, Controls
from page.loading import heavy
from page.results import Results, for_the_browser
from page.run import explain, follow
from page.visits import KEEP_SECONDS, LATEST_MINUTES, SWEEP_SECONDS, Visits
from page.words import HEAD, notice, outcome, stages, trouble
from perfrdiff.errors import InputError
from perfrdiff.pipeline.stages import STAGES
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
        results = Results()
        with gr.Row(equal_height=True):
            controls.add_speaker()
            controls.add_listener()
        try_photo, try_video = _example_buttons()
        with gr.Column(elem_classes="card"):
            controls.add_main_row()
            go = gr.Button("Show the reactions", variant="primary", elem_id="go")
            controls.add_folded()
        status = gr.HTML(elem_id="status", padding=False)
        about = gr.Markdown(notice(about_weights, LATEST_MINUTES), elem_classes="fine", elem_id="about")
        run = {
            "fn": _show_reactions(controls, results, visits, status),
            "inputs": controls.inputs,
            "outputs": [status, *results.outputs],
            "concurrency_limit": 1,
            "concurrency_id": "react",
            "trigger_mode": "once",
            **QUIET,
        }
        go.click(**run)
        results.watch.again(_example_values(controls), None, _example_widgets(controls), queue=False, **QUIET).then(
            **run
        )
        results.mark_earlier(controls.inputs)
        _follow_choices(controls, status, about)
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


def _show_reactions(
    controls: Controls, results: Results, visits: Visits, status: gr.HTML
) -> Callable[..., Iterator[dict]]:
    """What the button does: a generator of updates, from the first stage to the videos."""

    def show_reactions(values: dict, visit: gr.Request) -> Iterator[dict]:
        pipeline = heavy("perfrdiff.pipeline.follow")
        visits.keep(visit.session_hash, *controls.files(values))
        out = visits.new_folder(visit.session_hash, keep_earlier=True)
        unfinished: dict = {}
        try:
            request = controls.request(values, out)
            shown = for_the_browser(out, request.speaker)
            visits.keep(visit.session_hash, shown.folder)
            yield {status: stages(next(iter(STAGES)), 0.0)}
            for event in follow(request):
                if isinstance(event, pipeline.StageReport):
                    yield {status: stages(event.stage, event.fraction)}
                elif isinstance(event, pipeline.ReadyReactions):
                    unfinished = results.show_unfinished(event, shown)
                    yield results.show_reactions(event, shown)
                else:
                    result = event
        except Exception as error:
            yield unfinished | {status: trouble(explain(error))}
            return
        for file in (result.coefficients, result.settings, *(reaction.csv for reaction in result.reactions)):
            file.unlink()  # they are in the zip; what the page does not show, it does not keep
        yield results.show(result, shown) | {status: outcome(result)}
        visits.drop_earlier(visit.session_hash, out)

    return show_reactions


def _example_widgets(controls: Controls) -> list[Component]:
    return [controls.kind, controls.speaker, controls.photo, *(controls.widgets[name] for name in showcase.settings())]


def _example_values(controls: Controls) -> Callable[[], list[object]]:
    """What the widgets of `_example_widgets` are given, so that a run makes the showcase again."""
    files = [str(asset(name)) for name in (showcase.SPEAKER, showcase.LISTENER)]
    return lambda: [PHOTO, *files, *showcase.settings().values()]


def _follow_choices(controls: Controls, status: gr.HTML, about: gr.Markdown) -> None:
    """What changes when the listener is given otherwise, or other weights are chosen."""
    style, guidance_scale, weights = (controls.widgets[name] for name in ("style", "guidance_scale", "weights"))

    def show_weights(name: str) -> dict:
        try:
            chosen = summary(name)
        except InputError as error:
            return {status: trouble(str(error))}
        return {status: "", about: notice(chosen, LATEST_MINUTES)} | controls.show_weights(chosen)

    controls.kind.change(
        controls.show_kind,
        controls.kind,
        [controls.photo, controls.video, controls.whose, style],
        queue=False,
        **QUIET,
    )
    weights.change(show_weights, weights, [status, style, guidance_scale, about], api_visibility="private")


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
