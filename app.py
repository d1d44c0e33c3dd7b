"""The page: a speaker and a listener go in, their reactions come out. Widgets, events and words; the work is elsewhere.

python app.py    then open http://127.0.0.1:7860
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
# A folder of this process alone, inside the one that was named, if any: it is deleted with all it holds at the end.
os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="perfrdiff-page-", dir=os.environ.get("GRADIO_TEMP_DIR"))

import gradio as gr

from page.following import followed
from page.people import Chooser
from page.theme import THEME
from page.visits import Visits
from page.words import TROUBLE, notice, outcome, stages, trouble
from perfrdiff import checkpoints, pipeline
from perfrdiff.errors import InputError
from perfrdiff.request import LONGEST_NAME, SETTINGS, ReactRequest
from renderer.errors import RenderError
from renderer.portrait import pirender_weights
from renderer.resources import asset
from renderer.studio import PEOPLE

EXAMPLES = asset("examples")
PAGE = asset("page")
KEPT = Path(os.environ["GRADIO_TEMP_DIR"])  # uploads and results, nothing else
KEPT_SECONDS = 30 * 60  # an upload or a result is deleted after this time even if its tab stays open,
SWEEP_SECONDS = 5 * 60  # when it is next looked for
LATEST_MINUTES = (KEPT_SECONDS + SWEEP_SECONDS) // 60
SWEPT = (SWEEP_SECONDS, KEPT_SECONDS)  # as gradio takes it
LARGEST_UPLOAD = "300mb"
WAITING = 8  # visitors in the queue; two minutes each is the longest anybody should be asked to wait

VISITS = Visits(KEPT)

ANIMATORS, SIZES, MESH_LOOKS = (SETTINGS[name].choices for name in ("animator", "size", "mesh_style"))
MOST_SAMPLES, STRONGEST, HIGHEST_GUIDANCE, LONGEST_SECONDS = (
    SETTINGS[name].high for name in ("samples", "strength", "guidance_scale", "max_seconds")
)

PHOTO, VIDEO = "photo", "video"
LOOKS = {"both": ("mesh", "photo"), "mesh": ("mesh",), "photo": ("photo",)}


def build(weights: str = "demo") -> gr.Blocks:
    """The whole page, for the weights of that name."""
    reactor = pipeline.load_reactor(weights)
    styles = pipeline.styles(reactor)
    with gr.Blocks(title="How would they react?", analytics_enabled=False, delete_cache=SWEPT) as page:
        gr.HTML(
            "<h1>How would they react?</h1><p>Give a video of somebody talking and a picture of a listener, and see "
            "several ways in which that listener might react: nods, smiles, glances, in step with the talk.</p>",
            elem_id="head",
            padding=False,
        )
        with gr.Row(equal_height=True):
            with gr.Column(elem_classes="card", min_width=300):
                with gr.Row(elem_classes="top"):
                    gr.HTML("<h2>1 · Somebody talking</h2>", padding=False)
                speaker = gr.Video(
                    label="Speaker", sources=["upload", "webcam"], include_audio=True, height=250, elem_id="speaker"
                )
                talks = Chooser("Who of them talks?", "speaker")
            with gr.Column(elem_classes="card", min_width=300):
                with gr.Row(elem_classes="top"):
                    gr.HTML("<h2>2 · Somebody listening</h2>", padding=False)
                    kind = gr.Radio(
                        [PHOTO, VIDEO],
                        value=PHOTO,
                        label="Listener as",
                        show_label=False,
                        container=False,
                        elem_id="kind",
                    )
                photo = gr.Image(
                    label="Listener",
                    sources=["upload", "webcam", "clipboard"],
                    type="filepath",
                    height=250,
                    elem_id="photo",
                    buttons=[],
                )
                # The file goes on as it came: our own reader judges it, and explains what is wrong with it.
                photo.preprocess = lambda payload: payload.path if payload is not None else None
                video = gr.Video(
                    label="Listener", sources=["upload", "webcam"], height=250, visible=False, elem_id="listener"
                )
                with gr.Column(visible=False, elem_id="whose") as whose:
                    listens = Chooser("Who of them listens?", "listener")
        with gr.Row(elem_id="examples"):
            gr.Markdown("Nothing at hand?", elem_classes="hint")
            try_photo = gr.Button("Try our speaker and a photo", size="sm", elem_id="try-photo")
            try_video = gr.Button("Try our speaker and a listener's video", size="sm", elem_id="try-video")
        with gr.Column(elem_classes="card"):
            with gr.Row(elem_id="choices"):
                samples = gr.Slider(1, MOST_SAMPLES, value=3, step=1, label="Number of reactions", elem_id="samples")
                look = gr.Radio(list(LOOKS), value="both", label="Show them as", elem_id="look")
                style = gr.Dropdown(list(styles), value=styles[0], label="Listening style", elem_id="style")
            go = gr.Button("Show the reactions", variant="primary", elem_id="go")
            with gr.Accordion("Settings", open=False):
                with gr.Row():
                    seed = gr.Number(
                        0, label="Seed", info="The same seed gives the same reactions.", precision=0, minimum=0
                    )
                    strength = gr.Slider(
                        0, STRONGEST, value=1, step=0.1, label="Strength of the style", info="0 generic, 1 as learnt."
                    )
                    guidance = gr.Slider(
                        0,
                        HIGHEST_GUIDANCE,
                        value=reactor.checkpoint.sampling.guidance,
                        step=0.1,
                        label="Guidance",
                        info="How closely the reactions follow the speaker.",
                    )
                with gr.Row():
                    size = gr.Radio(list(SIZES), value=SIZES[0], label="Size of a reaction, pixels")
                    longest = gr.Slider(2, LONGEST_SECONDS, value=60, step=1, label="Longest speaker video, seconds")
                    label = gr.Checkbox(True, label='Stamp "AI-generated" on the videos')
                with gr.Row():
                    mesh_look = gr.Radio(list(MESH_LOOKS), value=MESH_LOOKS[0], label="Look of the mesh")
                    person = gr.Dropdown(list(PEOPLE), value=next(iter(PEOPLE)), label="Who the mesh shows")
                    called = gr.Textbox("Listener", label="Listener's name in the captions", max_length=LONGEST_NAME)
                    transparent = gr.Checkbox(False, label="Meshes without a ground, too (WebM)")
                    animator = gr.Radio(
                        list(ANIMATORS),
                        value=ANIMATORS[0],
                        label="What moves the photo",
                        visible=pirender_weights(checkpoints.FOLDER) is not None,
                    )
                present = sorted({weights, *checkpoints.available()})
                choice = gr.Dropdown(
                    present, value=weights, label="Weights", elem_id="weights", visible=len(present) > 1
                )
        status = gr.HTML(elem_id="status", padding=False)
        with gr.Column(visible=False, elem_id="results") as results:
            with gr.Row(elem_id="results-head"):
                gr.HTML("<h2>The reactions</h2>", padding=False)
                play = gr.Button("▶ Play all in step", elem_id="play")
                archive = gr.DownloadButton("Download everything (.zip)", elem_id="zip")
            together = gr.Video(
                label="Side by side, with the speaker's sound",
                show_label=False,
                interactive=False,
                buttons=["download"],
                elem_id="together",
            )
            cards, meshes, photos = [], [], []
            cut_out = gr.Files(label="Meshes without a ground", visible=False, elem_id="transparent")
            with gr.Row(elem_id="cards"):
                for number in range(1, MOST_SAMPLES + 1):
                    with gr.Column(visible=False, elem_classes="card", min_width=0) as card:
                        gr.HTML(f"<h3>Reaction {number}</h3>", padding=False)
                        with gr.Row(elem_classes="pair"):
                            for name, shelf in (("Mesh", meshes), ("Photo", photos)):
                                shelf.append(
                                    gr.Video(
                                        label=name,
                                        show_label=False,
                                        interactive=False,
                                        visible=False,
                                        buttons=["download"],
                                        min_width=0,
                                        elem_classes=f"reaction-{name.lower()}",
                                    )
                                )
                    cards.append(card)
        about = gr.Markdown(notice(reactor, LATEST_MINUTES), elem_classes="fine", elem_id="about")

        def run(
            speaker_file, kind, photo_file, video_file, samples, look, style, seed, strength, guidance, size, longest,
            label, weights, mesh_look, person, called, transparent, animator, speaker_person, listener_person,
            visit: gr.Request,
        ) -> Iterator[dict]:  # fmt: skip
            listener_file = photo_file if kind == PHOTO else video_file
            VISITS.keep(visit.session_hash, speaker_file, photo_file, video_file)
            try:
                if not speaker_file:
                    raise InputError("The speaker is missing: choose a video of somebody talking.")
                if not listener_file:
                    raise InputError(f"The listener is missing: choose a {kind} of the person who is to react.")
                request = ReactRequest(
                    speaker=Path(speaker_file),
                    listener=Path(listener_file),
                    speaker_face_number=speaker_person,
                    listener_face_number=listener_person if kind == VIDEO else None,
                    out=VISITS.new_folder(visit.session_hash),
                    samples=int(samples),
                    seed=int(seed or 0),
                    views=LOOKS[look],
                    style=style if kind == PHOTO else None,
                    strength=strength,
                    guidance_scale=guidance,
                    size=int(size),
                    label=label,
                    max_seconds=longest,
                    weights=weights,
                    mesh_style=mesh_look,
                    mesh_identity=person,
                    name=called.strip() or "Listener",
                    transparent=transparent,
                    animator=animator,
                )
                yield {status: stages(next(iter(pipeline.STAGES)), 0), results: gr.Column(visible=False)}
                for stage, fraction, result in followed(request):
                    if result is None:
                        yield {status: stages(stage, fraction)}
            except (InputError, RenderError) as error:
                yield {status: trouble(str(error)), results: gr.Column(visible=False)}
                return
            except Exception as error:  # a fault of ours; its message is not logged, for it may name a person's file
                traceback.print_tb(error.__traceback__)
                print(type(error).__name__, file=sys.stderr)
                yield {status: trouble(TROUBLE), results: gr.Column(visible=False)}
                return
            for file in (result.coefficients, result.settings, *(reaction.csv for reaction in result.reactions)):
                file.unlink()  # they are in the zip; what the page does not show, it does not keep
            shown = {
                status: outcome(result),
                results: gr.Column(visible=True),
                together: str(result.side_by_side),
                archive: str(result.archive),
                cut_out: gr.Files(
                    value=[str(reaction.transparent) for reaction in result.reactions if reaction.transparent] or None,
                    visible=transparent,
                ),
            }
            for index, (card, mesh, picture) in enumerate(zip(cards, meshes, photos, strict=True)):
                videos = result.reactions[index].videos if index < len(result.reactions) else {}
                shown[card] = gr.Column(visible=bool(videos))
                for slot, name in ((mesh, "mesh"), (picture, "photo")):
                    file = videos.get(name)
                    shown[slot] = gr.Video(value=str(file) if file else None, visible=bool(file))
            yield shown

        inputs = [
            speaker,
            kind,
            photo,
            video,
            samples,
            look,
            style,
            seed,
            strength,
            guidance,
            size,
            longest,
            label,
            choice,
            mesh_look,
            person,
            called,
            transparent,
            animator,
            talks.number,
            listens.number,
        ]
        outputs = [status, results, together, archive, cut_out, *cards, *meshes, *photos]
        go.click(
            run,
            inputs,
            outputs,
            api_name="react",
            concurrency_limit=1,
            show_progress="hidden",
            trigger_mode="once",
            scroll_to_output=True,
        )
        kind.change(
            lambda kind: [
                gr.update(visible=kind == PHOTO),
                gr.update(visible=kind == VIDEO),
                gr.update(visible=kind == VIDEO),
                gr.update(visible=kind == PHOTO),
            ],
            kind,
            [photo, video, whose, style],
            show_progress="hidden",
            queue=False,
            api_visibility="private",
        )

        def other_weights(name: str) -> dict:
            try:
                chosen = pipeline.load_reactor(name)
            except InputError as error:
                return {status: trouble(str(error))}
            names = pipeline.styles(chosen)
            return {
                status: "",
                style: gr.Dropdown(choices=list(names), value=names[0]),
                guidance: chosen.checkpoint.sampling.guidance,
                about: notice(chosen, LATEST_MINUTES),
            }

        choice.change(other_weights, choice, [status, style, guidance, about], api_visibility="private")

        def noticed(file: str | None, visit: gr.Request) -> None:
            VISITS.keep(visit.session_hash, file)

        for slot in (speaker, photo, video):
            slot.change(noticed, slot, None, show_progress="hidden", queue=False, api_visibility="private")
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        for slot, chooser in ((speaker, talks), (video, listens)):
            slot.change(chooser.hidden, None, chooser.parts, queue=False, **quiet).then(
                chooser.look, slot, chooser.parts, **quiet
            )
        ours = str(EXAMPLES / "speaker.mp4")
        for button, chosen, files in (
            (try_photo, PHOTO, {photo: EXAMPLES / "portrait.jpg"}),
            (try_video, VIDEO, {video: EXAMPLES / "listener.mp4"}),
        ):
            button.click(
                lambda chosen=chosen, files=files: (
                    {speaker: ours, kind: chosen} | {k: str(v) for k, v in files.items()}
                ),
                None,
                [speaker, kind, *files],
                show_progress="hidden",
                queue=False,
                api_visibility="private",
            )
        play.click(None, js=(PAGE / "in_step.js").read_text(encoding="utf-8"))
        page.unload(VISITS.forget)
    return page


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Open the page. Host and port: GRADIO_SERVER_NAME, GRADIO_SERVER_PORT."
    )
    parser.add_argument("--weights", default="demo", metavar="NAME", help="name of the weights (default: demo)")
    weights = parser.parse_args(arguments).weights
    try:
        page = build(weights)
    except InputError as error:
        sys.exit(f"perfrdiff: {error}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a stopped server cleans up as one left by Ctrl-C does
    threading.Thread(target=pipeline.warm_up, args=(weights,), daemon=True).start()
    try:
        page.queue(max_size=WAITING).launch(
            theme=THEME,
            css_paths=[PAGE / "page.css"],
            footer_links=["api"],
            run_history=False,
            ssr_mode=False,
            max_file_size=LARGEST_UPLOAD,
            allowed_paths=[str(EXAMPLES)],
        )
    finally:
        shutil.rmtree(KEPT, ignore_errors=True)


if __name__ == "__main__":
    main()
