"""Python, shell, page and API ask for the same run by the same names, and refuse a value in the same sentence."""

import inspect
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client import handle_file as upload
from gradio_client.exceptions import AppError

from page import api, build, recipe
from page.controls import NOT_ON_THE_PAGE, OWN_STYLE, QUALITIES, VIEWS_BY_WORD, Controls
from page.jobs import Job, Jobs
from page.live import LiveServer
from page.live_heads import LiveHeads
from page.visits import Visits
from perfrdiff.cli import react as react_command
from perfrdiff.cli.main import main
from perfrdiff.errors import InputError
from perfrdiff.pipeline import run as pipeline
from perfrdiff.pipeline.request import COMPARISONS, DEFAULTS, SETTINGS, ReactRequest
from perfrdiff.weights import summary

README = Path(__file__).resolve().parent.parent / "README.md"
OUT = Path("reactions")


class Asked(Exception):
    """Raised in place of a run, with the request that would have been run."""


@pytest.fixture(scope="module")
def controls(weights):
    """The page's widgets."""
    with gr.Blocks():
        controls = Controls(summary(weights), weights)
        controls.add_files()
        controls.add_main()
        controls.add_comparing()
        controls.add_folded()
    return controls


@pytest.fixture
def files(tmp_path, speaker, portrait):
    """Uploaded files by the names that the README's table gives them, and a saved shift."""
    shutil.copy(speaker, tmp_path / "talk.mp4")
    shutil.copy(portrait, tmp_path / "me.jpg")
    (tmp_path / "me.safetensors").write_bytes(b"a shift")
    return tmp_path


@pytest.fixture
def doors(monkeypatch, capsys, files, weights, controls):
    """Door -> function of (settings by name) that gives the request, or raises InputError with the door's sentence."""
    required = {"speaker": files / "talk.mp4", "listener": files / "me.jpg", "out": OUT}

    def raise_asked(request, *_):
        raise Asked(request)

    def shell_words(name, value):
        if value is True or value is False:
            return [f"--{'' if value else 'no-'}{name.replace('_', '-')}"]
        words = value if isinstance(value, tuple | list) else [value]
        return [react_command.option(name), *map(str, words[0] if name == "shift" else words)]

    def shell(**settings):
        words = [word for name, value in (required | settings).items() for word in shell_words(name, value)]
        monkeypatch.setattr(pipeline, "react", raise_asked)
        try:
            assert main(["react", *words]) == 2
        except Asked as asked:
            return asked.args[0]
        raise InputError(capsys.readouterr().err.removeprefix("perfrdiff: ").strip())

    def page(**settings):
        return page_request(controls, required | settings)

    def over_api(**settings):
        given = required | settings
        given = {name: json_value(value) for name, value in given.items() if name != "out"}
        return api_request(monkeypatch, files, weights, given)

    return {"Python": lambda **settings: ReactRequest(**required | settings), "shell": shell, "page": page,
            "API": over_api}  # fmt: skip


def json_value(value):
    """A value as a client sends it."""
    if isinstance(value, Path):
        return {"path": str(value), "meta": {"_type": "gradio.FileData"}}
    return [json_value(part) for part in value] if isinstance(value, tuple | list) else value


def page_request(controls, settings):
    """What the button asks for when a visitor has set the widgets so."""
    values = shown_values(controls)
    words = {"views": VIEWS_BY_WORD, "steps": QUALITIES}
    for name, value in settings.items():
        if name != "out":
            shown = {given: word for word, given in words.get(name, {}).items()}
            values[controls.widgets[name]] = shown.get(value, value) if name in words else value
    return controls.request(values, OUT)


def shown_values(controls, kind="photo"):
    """The widgets' values before anything is set, for a speaker of two minutes and a listener of a kind."""
    values = {widget: widget.value for widget in controls.inputs}
    return values | {
        controls.speaker.about: {"kind": "video", "seconds": 120.0},
        controls.listener.about: {"kind": kind, "seconds": 8.0 if kind == "video" else 0.0},
        controls.speaker.end: 120.0,
        controls.listener.end: 8.0,
    }


def api_request(monkeypatch, uploads, weights, settings):
    """What a call of /react asks for."""
    asked = []

    def submit(self, request, inputs=None, client="", address=None):
        asked.append(request)
        return Job(request, None, state="done")

    monkeypatch.setattr(Jobs, "submit", submit)
    monkeypatch.setattr(api, "answer", lambda result: result)
    function = api.endpoint(Visits(uploads), Jobs(), weights)
    arguments = inspect.signature(function).bind(SimpleNamespace(session_hash="caller"), **settings)
    arguments.apply_defaults()
    try:
        list(function(*arguments.args))
    except gr.Error as error:
        raise InputError(error.message) from None
    return asked[0]


def without_out(request):
    return {name: getattr(request, name) for name in SETTINGS if name != "out"}


def test_one_run_through_four_doors(doors, weights):
    """A reader who moves from the page to a script gets the same reactions."""
    settings = {
        "samples": 2, "seed": 7, "views": ("photo",), "style": "Warm", "strength": 0.5, "guidance_scale": 3.0,
        "size": 512, "mesh_style": "grey", "mesh_identity": "Mara", "transparent": True, "animator": "warp",
        "name": "Jo", "label": False, "max_seconds": 30.0, "speaker_face_number": 2, "weights": weights,
        "speaker_start": 1.5, "speaker_end": 9.0, "listener_face_number": 3, "steps": 50, "other_style": "Calm",
        "other_share": 0.25,
    }  # fmt: skip
    expected = doors["Python"](**settings)
    assert {name for name in settings if getattr(expected, name) == DEFAULTS[name]} <= {"weights"}
    for door, ask in doors.items():
        assert without_out(ask(**settings)) == without_out(expected), door


def test_the_defaults_are_the_same_at_every_door(doors, weights, controls):
    """The page fills in what depends on the weights, and nothing else."""
    for door, ask in doors.items():
        filled = {"weights": weights} if door in ("page", "API") else {}
        if door == "page":
            filled |= {name: controls.widgets[name].value for name in ("style", "guidance_scale")}
        assert without_out(ask()) == without_out(doors["Python"](**filled)), door


def test_a_setting_has_one_name_everywhere(controls, weights):
    """Every field is an option of the shell; page and API lack what the server decides, the page what few want."""
    parameters = set(inspect.signature(api.endpoint(Visits(OUT), Jobs(), weights)).parameters) - {"visit"}
    of_the_server = {"credentials_key", "credentials_certificate"}
    assert parameters == set(SETTINGS) - {"out", "overwrite", "device", "save_shift", "save_identity"} - of_the_server
    assert set(controls.widgets) == set(SETTINGS) - set(NOT_ON_THE_PAGE)
    left_out = {"out", "overwrite", "device", "save_shift", "compat", "identity", "save_identity"}
    assert set(NOT_ON_THE_PAGE) == left_out | of_the_server | {"exports", "solver", "other_name", "compare"}


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("samples", 11, "samples must lie between 1 and 10; it is 11."),
        ("samples", 2.5, "samples must be a whole number; it is 2.5."),
        ("seed", 1.5, "seed must be a whole number; it is 1.5."),
        ("seed", -1, "seed must lie between 0 and 9.22337e+18; it is -1."),
        ("strength", 3, "strength must lie between 0 and 2; it is 3."),
        ("guidance_scale", "much", "guidance_scale must be a number; it is much."),
        ("max_seconds", 121, "max_seconds must lie between 1 and 120; it is 121."),
        ("size", 300, "size must be 256, 512 or 224; it is 300."),
        ("mesh_style", "blue", "mesh_style must be studio or grey; it is blue."),
        ("animator", "magic", "animator must be auto, warp or pirender; it is magic."),
        ("views", "sketch", "views must name mesh or photo or both; it is sketch."),
        ("name", "J" * 25, "name must be at most 24 letters on one line."),
        ("speaker_face_number", 0, "speaker_face_number must lie between 1 and 99; it is 0."),
        ("label", "maybe", "label must be true or false; it is maybe."),
        ("other_share", 1.2, "other_share must lie between 0 and 1; it is 1.2."),
        ("compare", "all", "compare must be listeners, strengths or mixtures; it is all."),
        ("steps", 1, "steps must lie between 2 and 1000; it is 1."),
        ("solver", "euler", "solver must be ddim or dpm; it is euler."),
        ("compat", "wrong", "compat must be 'corrected', 'published' or some of"),
        ("shift", "SHIFT", "the share of me.safetensors must lie between -2 and 2; it is 3."),
    ],
)
def test_a_value_out_of_range_is_refused_in_one_sentence(doors, files, name, value, sentence):
    """A visitor reads what a programmer reads. Only the shell's flags have no value that could be wrong."""
    if value == "SHIFT":
        value = [(files / "me.safetensors", 3)]
    asked = [door for door in doors if not (door == "page" and name in NOT_ON_THE_PAGE)]
    for door in [door for door in asked if not (door == "shell" and name == "label")]:
        with pytest.raises(InputError) as refusal:
            doors[door](**{name: value})
        assert str(refusal.value).startswith(sentence), door


def test_numbers_in_text_are_taken_at_every_door(doors):
    for door, ask in doors.items():
        request = ask(samples="1", size="512", strength="0.5")
        assert (request.samples, request.size, request.strength) == (1, 512, 0.5), door


def test_an_emptied_widget_means_the_default(controls, files):
    request = page_request(
        controls, {"speaker": files / "talk.mp4", "listener": files / "me.jpg", "seed": None, "name": "  "}
    )
    assert (request.seed, request.name) == (DEFAULTS["seed"], DEFAULTS["name"])


def test_a_listeners_video_brings_its_own_style(controls, files):
    """The page offers it first, and a named one in its place."""
    style, files = controls.widgets["style"], {controls.speaker.file: "talk.mp4", controls.listener.file: "me.mp4"}
    for about, named in (({"kind": "photo"}, style.value), ({"kind": "video"}, None)):
        (update,) = controls.show_listener(about).values()
        request = controls.request(shown_values(controls) | files | {style: update["value"]}, OUT)
        assert request.style == named
        assert set(update["choices"]) - set(style.choices and [name for name, _ in style.choices]) <= {OWN_STYLE}
    request = controls.request(shown_values(controls, "video") | files | {style: "Warm"}, OUT)
    assert request.style == "Warm"


def test_a_saved_style_takes_a_listeners_place(controls, files):
    """Who has nothing but a saved style sees it on a face of the examples."""
    given = {controls.speaker.file: "talk.mp4", controls.listener.file: files / "me.safetensors"}
    request = controls.request(shown_values(controls, "style") | given, OUT)
    assert request.shift == ((files / "me.safetensors", 1.0),) and request.style is None
    assert request.listener.is_file()
    beside = given | {controls.listener.file: "me.jpg", controls.widgets["shift"]: files / "me.safetensors"}
    request = controls.request(shown_values(controls) | beside, OUT)
    assert (request.listener.name, request.style, len(request.shift)) == ("me.jpg", None, 1)


def test_another_listener_is_somebody_of_the_gallery_a_style_or_a_file(controls, files):
    """Who compares without choosing anybody sees somebody else than the listener."""
    given = {controls.speaker.file: "talk.mp4", controls.listener.file: files / "me.jpg"}
    values = shown_values(controls) | given
    request = controls.request(values, OUT, "listeners")
    assert request.compare == "listeners" and request.count == 4
    assert request.other_style not in (None, request.style) and request.other_name in ("Yuna", "Kofi")
    assert not controls.request(values, OUT).has_other and not controls.request(values, OUT, "strengths").has_other
    chosen = values | {controls.widgets["other_style"]: "listener_warm.mp4"}
    request = controls.request(chosen, OUT, "mixtures")
    assert (request.other_listener.name, request.other_name, request.count) == ("listener_warm.mp4", "Edda", 5)
    assert "other_style=listener_warm.mp4" in recipe.address(controls.differing(chosen))
    assert controls.read_address({"other_style": "listener_warm.mp4"}) == {
        controls.widgets["other_style"]: "listener_warm.mp4"
    }
    own = chosen | {controls.widgets["other_listener"]: files / "me.safetensors"}
    request = controls.request(own, OUT)
    assert (request.other_listener.name, request.other_style) == ("me.safetensors", None), "one's own file comes first"


def chosen(controls, files):
    """The widgets' values of a visitor who has changed something of everything."""
    return shown_values(controls) | {
        controls.speaker.file: files / "talk.mp4", controls.listener.file: files / "me.jpg",
        controls.widgets["samples"]: 2, controls.widgets["views"]: "mesh", controls.widgets["label"]: False,
        controls.widgets["style"]: "Warm", controls.speaker.start: 1.5, controls.widgets["steps"]: "paper",
    }  # fmt: skip


def copied(told, monkeypatch, files, weights):
    """The runs that the lines for these settings ask for: at the shell, in Python, over the network."""
    asked = []
    monkeypatch.setattr(
        pipeline, "react", lambda request, *_, **__: asked.append(request) or (_ for _ in ()).throw(Asked)
    )
    with pytest.raises(Asked):
        main(shlex.split(recipe.shell(told))[1:])
    exec(
        recipe.python(told).replace("from perfrdiff.pipeline.run import react", "react = asked.append"),
        {"asked": asked},
    )
    sent = []
    client = SimpleNamespace(predict=lambda **given: sent.append(given) or (_ for _ in ()).throw(Asked))
    lines = recipe.client(told, "http://127.0.0.1:7860/").partition("\n")[2]
    with pytest.raises(Asked):
        exec(lines, {"Client": lambda address: client, "handle_file": lambda name: json_value(files / name)})
    assert sent[0].pop("api_name") == "/react"
    return [*asked, api_request(monkeypatch, files, weights, sent[0])]


def same_run(request, expected):
    """Whether two requests are one run; lines to copy have the files' bare names."""
    one, other = without_out(request), without_out(expected)
    for name in ("speaker", "listener", "other_listener"):
        files = [values.pop(name) for values in (one, other)]
        assert len({file and file.name for file in files}) == 1, name
    one["shift"], other["shift"] = (
        tuple((path.name, share) for path, share in values["shift"]) for values in (one, other)
    )
    assert one == other | {"guidance_scale": one["guidance_scale"]}


@pytest.mark.parametrize("compare", [None, *COMPARISONS])
@pytest.mark.parametrize("other", ["nobody", "a style", "a video of the gallery", "a file"])
def test_lines_to_copy_are_the_run_that_the_page_would_make(controls, files, monkeypatch, weights, compare, other):
    """Shell, Python, network: whoever takes them along gets what they saw, comparisons included."""
    who, own = controls.widgets["other_style"], controls.widgets["other_listener"]
    (files / "listener_warm.mp4").touch()
    values = chosen(controls, files) | {
        "nobody": {}, "a style": {who: "Calm", controls.widgets["other_share"]: 0.25},
        "a video of the gallery": {who: "listener_warm.mp4"}, "a file": {own: files / "me.safetensors"},
    }[other]  # fmt: skip
    expected = controls.request(values, OUT, compare)
    assert expected.has_other == (other != "nobody" or compare in ("listeners", "mixtures"))
    for request in copied(controls.told(values, compare), monkeypatch, files, weights):
        same_run(request, expected)


@pytest.mark.parametrize("style", [OWN_STYLE, "Attentive", "Warm"])
def test_lines_to_copy_say_whether_a_video_brings_its_own_style(controls, files, monkeypatch, weights, style):
    """Also where the named style is the one that a photo would have."""
    values = shown_values(controls, "video") | {
        controls.speaker.file: files / "talk.mp4", controls.listener.file: files / "me.jpg",
        controls.widgets["style"]: style,
    }  # fmt: skip
    expected = controls.request(values, OUT)
    assert expected.style == (None if style == OWN_STYLE else style)
    for request in copied(controls.told(values), monkeypatch, files, weights):
        same_run(request, expected)


def test_lines_to_copy_have_a_saved_style_on_a_face(controls, files, monkeypatch, weights):
    shutil.copy(files / "me.jpg", files / "portrait.jpg")
    values = shown_values(controls, "style") | {
        controls.speaker.file: files / "talk.mp4", controls.listener.file: files / "me.safetensors",
    }  # fmt: skip
    for request in copied(controls.told(values), monkeypatch, files, weights):
        same_run(request, controls.request(values, OUT))


def test_lines_to_copy_are_whole_before_there_is_a_file(controls, files, monkeypatch, weights):
    """Who reads them first sees what belongs where."""
    for request in copied(controls.told(shown_values(controls)), monkeypatch, files, weights):
        assert (request.speaker.name, request.listener.name) == ("talk.mp4", "me.jpg")


def test_the_address_brings_the_settings_back(controls, files):
    values = chosen(controls, files)
    expected = without_out(controls.request(values, OUT))
    query = dict(parse_qsl(recipe.address(controls.differing(values))))
    assert "speaker" not in query and "listener" not in query
    brought = shown_values(controls) | given_files(values, controls) | controls.read_address(query)
    assert without_out(controls.request(brought, OUT)) == expected
    assert controls.read_address({"samples": "99", "seed": "x", "style": "Angry", "nothing": "1"}) == {}


def given_files(values, controls):
    kept = (controls.speaker.file, controls.listener.file, controls.speaker.start)
    return {widget: values[widget] for widget in kept}


def test_a_caller_names_uploaded_files_and_present_weights_only(doors, files, tmp_path_factory):
    """Else anybody could have files of the server read."""
    outside = tmp_path_factory.mktemp("server") / "me.safetensors"
    outside.write_bytes(b"not the caller's")
    assert doors["API"](shift=[(files / "me.safetensors", 0.5)]).shift == ((files / "me.safetensors", 0.5),)
    for settings, sentence in (
        ({"weights": str(outside)}, "There are no weights named"),
        ({"shift": [outside]}, "shift must be an uploaded file"),
        ({"listener": outside}, "listener must be an uploaded file"),
        ({"speaker": str(files / "talk.mp4")}, "speaker must be an uploaded file"),
        ({"speaker": files}, "speaker must be an uploaded file"),
        ({"speaker": files / ".." / outside.parent.name / outside.name}, "speaker must be an uploaded file"),
    ):
        with pytest.raises(InputError, match=sentence):
            doors["API"](**settings)


def test_the_table_in_the_readme_is_one_run(monkeypatch, files, weights, controls):
    """What a reader copies from any line of the table works, and is the same run."""
    text = README.read_text(encoding="utf-8")
    lines = dict(re.findall(r"^\| (Python|shell|page|API) \| (.*?) \|$", text, re.MULTILINE))
    asked = []
    python = {"react": asked.append, "ReactRequest": ReactRequest}
    eval(lines["Python"].strip("`"), python)

    monkeypatch.setattr(pipeline, "react", lambda request, *_: asked.append(request) or (_ for _ in ()).throw(Asked))
    command = shlex.split(lines["shell"].strip("`"))
    assert command[0] == "perfrdiff"
    with pytest.raises(Asked):
        main(command[1:])

    labels = {getattr(widget, "label", None): widget for widget in controls.inputs}
    labels |= {"Speaker": controls.speaker.file, "Listener": controls.listener.file}
    values = shown_values(controls)
    for label, value in (entry.split(": ") for entry in lines["page"].split("; ")):
        values[labels[label]] = {"on": True, "off": False}.get(value, value)
    asked.append(controls.request(values, OUT))

    called = {}
    client = SimpleNamespace(predict=lambda **arguments: called.update(arguments))
    handle_file = lambda name: json_value(files / name)  # noqa: E731 - as gradio_client calls it
    eval(lines["API"].strip("`"), {"client": client, "handle_file": handle_file})
    assert called.pop("api_name") == "/react"
    asked.append(api_request(monkeypatch, files, weights, called))

    settings = [without_out(request) for request in asked]
    for one in settings:
        one["weights"] = DEFAULTS["weights"]
        one["speaker"], one["listener"] = one["speaker"].name, one["listener"].name
    assert len(settings) == 4 and all(one == settings[0] for one in settings)


@pytest.fixture
def address(monkeypatch, tmp_path, weights):
    """A page that is served by this process."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    page = build.build(weights, tmp_path, LiveServer(lambda: pipeline.load_reactor(weights)), LiveHeads())
    _, address, _ = page.queue().launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, server_name="127.0.0.1")
    yield address
    page.close()


def test_a_refusal_reaches_a_client_as_an_error(address, monkeypatch, tmp_path, speaker, portrait, capfd):
    """A script must not take a refusal for a result; and a fault of ours tells nobody's file name."""
    client = Client(address, verbose=False, analytics_enabled=False, download_files=str(tmp_path))
    files = {"speaker": upload(speaker), "listener": upload(portrait)}
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(endpoints) == ["/react"]
    assert [one["parameter_name"] for one in endpoints["/react"]["parameters"]] == list(api.PARAMETERS)
    needed = {one["parameter_name"] for one in endpoints["/react"]["parameters"] if not one["parameter_has_default"]}
    assert needed == {"speaker", "listener"}

    with pytest.raises(AppError, match=r"^samples must be a whole number; it is 2.5\.$"):
        client.predict(**files, samples=2.5, api_name="/react")
    with pytest.raises(AppError, match=f"{portrait.name}.* is a picture"):
        client.predict(speaker=files["listener"], listener=files["listener"], api_name="/react")
    assert "Traceback" not in "".join(capfd.readouterr())

    def submit(self, request, inputs=None, client="", address=None):
        raise RuntimeError(f"{request.speaker} burst")

    monkeypatch.setattr(Jobs, "submit", submit)
    with pytest.raises(AppError, match="on our side"):
        client.predict(**files, api_name="/react")
    logged = "".join(capfd.readouterr())
    assert "RuntimeError" in logged and speaker.name not in logged
