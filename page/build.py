"""The page put together: its parts from top to bottom, and what happens when something is clicked or chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import gradio as gr
from gradio.components import Component

from page import recipe, showcase
from page.api import add_endpoint
from page.controls import PRESETS, Controls, new_seed
from page.inputs import InputCard, OtherCard, as_given
from page.jobs import ENDED, Job, Jobs
from page.library import PICK, entry_of
from page.live import LiveServer
from page.live_heads import LiveHeads
from page.live_tab import KEEP, LiveTab
from page.owners import Owners, address_of, client_of
from page.results import Results, for_the_browser
from page.run import explain, status
from page.visits import KEEP_SECONDS, LATEST_MINUTES, SWEEP_SECONDS, Visits
from page.words import COMPARED, HEAD, notice, trouble
from perfrdiff.errors import InputError
from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.weights import summary
from renderer.resources import asset

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
FILMS = "films"  # the tab in which runs are shown
GO, BUSY = "Show the reactions", "At work …"
TOKEN = "() => [window.perfrdiff.token()]"  # assets/page/manners.js
SET_ADDRESS = "(query) => { window.perfrdiff.setAddress(query); return []; }"
NOW = "() => [String(performance.now())]"
FORGIVE = """(html) => html?.includes('data-state="failed"') ? "" : html"""  # another file may be the remedy


def build(
    weights: str,
    folder: Path,
    live: LiveServer,
    heads: LiveHeads,
    jobs: Jobs | None = None,
    owners: Owners | None = None,
) -> gr.Blocks:
    """The whole page, for the weights of that name; `folder`: for uploads and results, and nothing else; `live` and
    `heads`: what serves the tab *Live*; `jobs`: the runs; `owners`: whose each file is.

    Raises InputError if there are no such weights.
    """
    about_weights = summary(weights)
    visits, jobs = Visits(folder, owners), jobs or Jobs()
    with (
        gr.Blocks(
            title="How would they react?", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEEP_SECONDS)
        ) as page,
        gr.Tabs(elem_id="tabs") as tabs,
        gr.Tab("Films", id=FILMS),
    ):
        controls = Controls(about_weights, weights)
        gr.HTML(HEAD, elem_id="head", padding=False)
        results = Results()
        controls.add_files()
        with gr.Column(elem_classes="card"):
            controls.add_main()
            with gr.Row(elem_id="going"):
                go = gr.Button(GO, variant="primary", elem_id="go")
                cancel = gr.Button("Cancel", visible=False, elem_id="cancel")
            state = gr.HTML(elem_id="status", padding=False)
            controls.add_comparing()
            controls.add_folded()
            _Recipe(controls).follow({"": go} | controls.comparisons)
        about = gr.Markdown(notice(about_weights, LATEST_MINUTES), elem_classes="fine", elem_id="about")
        run = _Run(controls, results, visits, jobs, state, go, cancel)
        run.follow_buttons()
        results.take_away.follow(visits, QUIET)
        results.mark_earlier(controls.inputs)
        _follow_weights(controls, state, about)
        _follow_presets(controls)
        for card in (controls.speaker, controls.listener):
            _follow_card(card, controls)
        for card in (controls.speaker, controls.listener, controls.other):
            _follow_file(card, visits)
            card.file.change(None, state, state, js=FORGIVE, queue=False, **QUIET)
        shift = controls.widgets["shift"]
        shift.change(_keep(visits), shift, None, queue=False, **QUIET)
        run.follow_loading(page)
        add_endpoint(visits, jobs, weights)
        page.unload(visits.forget)
    with page, tabs, gr.Tab("Live"):
        run.follow_live(LiveTab(about_weights.styles[:-1], live, heads, visits, page), tabs, weights)
    return page


class _Run:
    """The button, the words on how far the run is, and what may end it."""

    def __init__(
        self, controls: Controls, results: Results, visits: Visits, jobs: Jobs, state: gr.HTML, go: gr.Button,
        cancel: gr.Button,
    ) -> None:  # fmt: skip
        self._controls, self._results, self._visits, self._jobs = controls, results, visits, jobs
        self._state, self._go, self._cancel = state, go, cancel
        self._cards = (controls.speaker, controls.listener)
        blames = [card.blame for card in (*self._cards, controls.other)]
        self._comparisons = controls.comparisons
        self._outputs = [
            state, go, cancel, *self._comparisons.values(), controls.widgets["seed"], *blames, *results.outputs,
        ]  # fmt: skip

    def follow_buttons(self) -> None:
        """Go and Cancel."""
        options = {"concurrency_limit": None, "trigger_mode": "once"} | QUIET
        run = (self._show, self._controls.inputs, self._outputs)
        self._go.click(*run, **options)
        for kind, button in self._comparisons.items():
            button.click(self._compare(kind), *run[1:], **options)
        cards, chosen = self._cards, self._controls.chosen
        example = [cards[0].file, cards[1].file, *(chosen[name] for name in showcase.settings())]
        files = [str(asset(name)) for name in (showcase.SPEAKER, showcase.LISTENER)]
        again = self._results.watch.again(
            lambda: [*files, *showcase.settings().values()], None, example, queue=False, **QUIET
        )
        again.then(*run, **options)
        self._cancel.click(self._end, None, [self._cancel], queue=False, **QUIET)

    def follow_loading(self, page: gr.Blocks) -> None:
        """What a loaded page finds: the settings of its address, and its own run and files if it was loaded again."""
        token = gr.Textbox(visible=False)
        controls = self._controls
        files = [card.file for card in self._cards]
        page.load(self._enter, token, [*controls.chosen.values(), *files], js=TOKEN, queue=False, **QUIET).then(
            self._resume, None, self._outputs, concurrency_limit=None, **QUIET
        )

    def follow_live(self, tab: LiveTab, tabs: gr.Tabs, weights: str) -> None:
        """*Keep the last minute* of a live session: a run like any other, shown where runs are shown."""

        def keep(given: gr.EventData, visit: gr.Request) -> Iterator[dict]:
            here = self._visits.of(visit.session_hash)
            try:
                if here.job is not None and here.job.state not in ENDED:
                    raise InputError("A run of yours is still being made; keep this minute when it is done.")
                take = tab.take(given, visit)
                request = take.request(self._visits.new_folder(visit.session_hash), weights)
                here.job = self._jobs.submit(request, None, client_of(visit), address_of(visit), take)
            except Exception as error:
                yield {tab.state: trouble(explain(error))}
                return
            yield {tab.state: "", tabs: gr.Tabs(selected=FILMS)} | self._blame("", None)
            yield from self._follow(here.job, visit.session_hash)

        outputs = [tab.state, tabs, *self._outputs]
        getattr(tab.widget, KEEP)(keep, None, outputs, concurrency_limit=None, trigger_mode="once", **QUIET)

    def _compare(self, kind: str) -> Callable[..., Iterator[dict]]:
        def show(values: dict, visit: gr.Request) -> Iterator[dict]:
            yield from self._show(values, visit, kind)

        return show

    def _show(self, values: dict, visit: gr.Request, compare: str | None = None) -> Iterator[dict]:
        here = self._visits.of(visit.session_hash)
        if here.job is not None and here.job.state not in ENDED:
            yield from self._follow(here.job, visit.session_hash)
            return
        seed = self._controls.widgets["seed"]
        self._visits.keep(visit.session_hash, *self._controls.files(values))
        request = None
        try:
            if values.get(self._controls.is_fresh):
                values = values | {seed: new_seed()}
            request = self._controls.request(values, self._visits.new_folder(visit.session_hash), compare)
            here.job = self._jobs.submit(request, here.memory, client_of(visit), address_of(visit))
        except Exception as error:
            yield {self._state: trouble(explain(error))} | self._idle() | self._blame(str(error), request)
            return
        yield {seed: request.seed} | self._blame("", request)
        yield from self._follow(here.job, visit.session_hash)

    def _follow(self, job: Job, session: str | None) -> Iterator[dict]:
        shown = None
        for look in self._jobs.follow(job):
            if job.ready is not None and shown is None:  # not before: the run itself has the cores until then
                shown = for_the_browser(job.request)
                self._visits.keep_folder(session, shown.folder)
                yield self._results.show_reactions(job.ready, shown)
            if look.state in ENDED:
                results: dict = {}
                if job.result is not None:
                    self._tidy(job.result)
                    results = self._results.show(job.result, shown)
                    self._visits.drop_earlier(session, job.request.out)
                elif job.ready is not None:
                    results = self._results.show_unfinished(job.ready, shown)
                words = status(job, look)
                sentence = str(job.error) if isinstance(job.error, InputError) else ""
                yield {self._state: words} | self._idle() | self._blame(sentence, job.request) | results
            else:
                yield {
                    self._state: status(job, look),
                    self._go: gr.update(value=BUSY, interactive=False),
                    self._cancel: gr.update(visible=not job.is_cancelled.is_set(), value="Cancel"),
                } | dict.fromkeys(self._comparisons.values(), gr.update(interactive=False))

    def _tidy(self, result: ReactResult) -> None:
        """Delete what the page does not show; it is in the zip."""
        for file in (result.coefficients, result.settings, *(reaction.csv for reaction in result.reactions)):
            file.unlink(missing_ok=True)

    def _resume(self, visit: gr.Request) -> Iterator[dict]:
        job = self._visits.of(visit.session_hash).job
        if job is None:
            yield {self._state: gr.skip()}
        else:
            yield from self._follow(job, visit.session_hash)

    def _end(self, visit: gr.Request) -> dict:
        job = self._visits.of(visit.session_hash).job
        if job is not None:
            self._jobs.cancel(job)
        return {self._cancel: gr.update(visible=False)}

    def _enter(self, token: str | None, visit: gr.Request) -> dict:
        here = self._visits.enter(visit.session_hash, token or "")
        query = visit.query_params
        kept = {
            card.file: here.inputs[card.role]
            for card in self._cards
            if here.inputs.get(card.role) and Path(here.inputs[card.role]).is_file()
        }
        nothing = {self._controls.widgets["seed"]: gr.skip()}
        return nothing | self._controls.read_address(dict(query)) | kept

    def _blame(self, sentence: str, request: ReactRequest | None) -> dict:
        """The updates that put an error's sentence beside the input it names."""
        cards = (*self._cards, self._controls.other)
        names = ("speaker", "listener", "other_listener")
        updates: dict = {}
        for card, name in zip(cards, names, strict=True):
            updates |= card.show_blame(sentence, None if request is None else getattr(request, name))
        return updates

    def _idle(self) -> dict:
        ready = dict.fromkeys((*self._comparisons.values(), self._go), gr.update(interactive=True))
        return ready | {self._go: gr.update(value=GO, interactive=True), self._cancel: gr.update(visible=False)}


class _Recipe:
    """The present settings as lines to copy, and in the page's address."""

    def __init__(self, controls: Controls) -> None:
        with gr.Accordion("The same at the shell, in Python, over the network", open=False, elem_id="recipe"):
            kinds = [(words, kind) for kind, words in COMPARED.items()]
            self._kind = as_given(gr.Radio)(
                [("The reactions", ""), *kinds], value="", label="Lines for", elem_id="recipe-kind"
            )
            lines = {"shell": "Shell", "python": "Python", "client": "From another machine (pip install gradio_client)"}
            boxes = [
                gr.Textbox(label=label, lines=2, interactive=False, buttons=["copy"], elem_id=f"as-{name}")
                for name, label in lines.items()
            ]
        query, server = gr.Textbox(visible=False), gr.Textbox(visible=False)
        # A preset changes many settings at once. Each would be answered by itself, the first perhaps last; so all of
        # them change one thing, which is answered once at a time and then as it is at last.
        changed = gr.Textbox(visible="hidden")
        told = (*controls.widgets.values(), controls.listener.about, self._kind)
        gr.on([widget.change for widget in told], None, None, changed, js=NOW, queue=False, **QUIET)
        changed.change(
            self._lines(controls),
            controls.inputs | {server, self._kind},
            [*boxes, query],
            queue=False,
            trigger_mode="always_last",
            **QUIET,
        ).then(None, query, None, js=SET_ADDRESS, queue=False, **QUIET)
        self._server, self._boxes, self._query = server, boxes, query

    def follow(self, buttons: Mapping[str, gr.Button]) -> None:
        """Let the lines be those of the run that was asked for last. Kind of comparison -> its button; "": no one."""
        for kind, button in buttons.items():
            button.click(lambda kind=kind: kind, None, self._kind, queue=False, **QUIET)

    def _lines(self, controls: Controls) -> Callable:
        def lines(values: dict, visit: gr.Request) -> dict:
            told = controls.told(values, values.get(self._kind) or None)
            server = str(visit.request.base_url) if visit.request is not None else ""
            shown = (recipe.shell(told), recipe.python(told), recipe.client(told, server))
            query = recipe.address(controls.differing(values))
            return dict(zip(self._boxes, shown, strict=True)) | {self._query: query}

        return lines


def _keep(visits: Visits, role: str | None = None) -> Callable[..., None]:
    """Remembers a file as this visitor's; `role`: whose file it is now."""

    def keep(file: str | None, visit: gr.Request) -> None:
        visits.keep(visit.session_hash, file)
        if role:
            visits.of(visit.session_hash).inputs[role] = file or ""

    return keep


def _follow_file(card: InputCard | OtherCard, visits: Visits) -> None:
    """What happens to a file that is put in: it is remembered, understood and shown."""

    def look(file: str | None, visit: gr.Request) -> Iterator[dict]:
        session = visit.session_hash
        yield from card.look(file, lambda: visits.new_folder(session, "look"), visits.of(session).memory)

    role = card.role if isinstance(card, InputCard) else None
    card.file.change(_keep(visits, role), card.file, None, queue=False, **QUIET)
    card.file.change(look, card.file, card.parts, concurrency_id="look", concurrency_limit=2, **QUIET)


def _follow_card(card: InputCard, controls: Controls) -> None:
    """What the other ways in of the speaker or the listener do."""

    def pick(event: gr.EventData) -> dict:
        entry = entry_of(getattr(event, "file", None))
        if entry is None:
            return {card.file: gr.skip()}
        return {card.file: str(entry.path)}

    getattr(card.gallery, PICK)(pick, None, [card.file], queue=False, **QUIET)
    card.follow_cameras(QUIET)
    if card is controls.listener:
        card.about.change(controls.show_listener, card.about, [controls.widgets["style"]], queue=False, **QUIET)


def _follow_weights(controls: Controls, state: gr.HTML, about: gr.Markdown) -> None:
    """What changes when other weights are chosen."""
    style, guidance_scale, weights = (controls.widgets[name] for name in ("style", "guidance_scale", "weights"))

    def show_weights(name: str) -> dict[Component, object]:
        try:
            chosen = summary(name)
        except InputError as error:
            return {state: trouble(str(error))}
        return {state: "", about: notice(chosen, LATEST_MINUTES)} | controls.show_weights(chosen)

    weights.input(
        show_weights,
        weights,
        [state, style, guidance_scale, controls.widgets["other_style"], about],
        api_visibility="private",
    )


def _follow_presets(controls: Controls) -> None:
    """What the dice, the presets and *reset all* set."""
    outputs = list(controls.chosen.values())
    controls.dice.click(new_seed, None, controls.widgets["seed"], queue=False, **QUIET)
    for name, button in controls.presets.items():
        button.click(lambda name=name: controls.shown(PRESETS[name]), None, outputs, queue=False, **QUIET)
    controls.reset.click(lambda: controls.shown({}), None, outputs, queue=False, **QUIET)
