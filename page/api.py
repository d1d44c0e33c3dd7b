"""The endpoint /react: the parameters are the fields of `ReactRequest`, the result is one object with names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypedDict

import gradio as gr
from gradio.data_classes import FileDataMeta

from page.controls import choosable_weights
from page.jobs import Jobs
from page.owners import address_of, client_of
from page.run import explain, finished
from page.visits import Visits
from perfrdiff.errors import InputError
from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.request import DEFAULTS, MAX_SEED, SETTINGS, ReactRequest, Setting

NOT_OVER_THE_API = (
    "out", "overwrite", "device", "save_shift", "save_identity", "credentials_key", "credentials_certificate",
)  # fmt: skip
"""Settings that name places and devices of the server."""

PARAMETERS = tuple(
    sorted((name for name in SETTINGS if name not in NOT_OVER_THE_API), key=lambda name: name in DEFAULTS)
)
"""In this order: those without a default come first."""
FILES = tuple(name for name in PARAMETERS if SETTINGS[name].kind == "path")
META: FileDataMeta = {"_type": "gradio.FileData"}


class File(TypedDict):
    """A file as Gradio passes it; gradio_client uploads and downloads it."""

    path: str
    meta: FileDataMeta


class ReactionFiles(TypedDict):
    """The files of one reaction; None for what was not asked for. `title`: of a comparison, what it is."""

    number: int
    title: str
    mesh: File | None
    photo: File | None
    csv: File
    transparent: File | None


class Answer(TypedDict):
    """What /react returns: `ReactResult` under the same names."""

    side_by_side: File
    reactions: list[ReactionFiles]
    coefficients: File
    settings: File
    archive: File
    exports: list[File]
    frames: int
    style: str
    habits: dict[str, str]
    notes: list[str]


def add_endpoint(visits: Visits, jobs: Jobs, weights: str) -> None:
    """Add /react to the present Blocks; `weights`: used where a call names none."""
    gr.api(
        endpoint(visits, jobs, weights),
        api_name="react",
        api_description=description(),
        concurrency_limit=None,  # the runs have a queue of their own
    )


def endpoint(visits: Visits, jobs: Jobs, weights: str) -> Callable[..., Iterator[Answer | None]]:
    """The function of /react, with a signature made from `SETTINGS`, which Gradio reads.

    It yields None while the run goes on, where Gradio ends it if the caller has left, and the answer at last.
    Raises gr.Error with one sentence.
    """

    def react(visit: gr.Request, *values: object) -> Iterator[Answer | None]:
        try:
            given = dict(zip(PARAMETERS, values, strict=True))
            given = given | read_files(given, visits.folder)
            shifts = (path for path, *_ in given["shift"])
            visits.keep(visit.session_hash, *shifts, *(given[name] for name in FILES))
            out = visits.new_folder(visit.session_hash)
            request = read_request(given, out, weights)
            memory = visits.of(visit.session_hash).memory
            job = jobs.submit(request, memory, client_of(visit), address_of(visit))
            try:
                for result in finished(jobs, job):
                    yield None if result is None else answer(result)
            finally:
                jobs.cancel(job)  # nobody comes back to a call that was left
        except Exception as error:
            raise gr.Error(explain(error), print_exception=False) from None

    ordinary = inspect.Parameter.POSITIONAL_OR_KEYWORD
    defaults = DEFAULTS | {"weights": weights}
    parameters = [inspect.Parameter("visit", ordinary, annotation=gr.Request)]
    for name in PARAMETERS:
        default = defaults.get(name, inspect.Parameter.empty)
        parameters.append(inspect.Parameter(name, ordinary, default=default, annotation=_type(SETTINGS[name])))
    react.__signature__ = inspect.Signature(parameters, return_annotation=Answer)
    react.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": Answer}
    return react


def read_files(given: Mapping[str, object], uploads: Path) -> dict[str, object]:
    """The files of a call as `ReactRequest` takes them. `given`: parameter -> value; `uploads`: their folder.

    Raises InputError for anything that is no uploaded file: other paths of this machine are closed to a caller.
    """
    files: dict[str, object] = {
        name: None if SETTINGS[name].optional and given.get(name) is None else _uploaded(name, given.get(name), uploads)
        for name in FILES
    }
    shifts = given.get("shift") or ()
    files["shift"] = [_shift(entry, uploads) for entry in (shifts if isinstance(shifts, list | tuple) else [shifts])]
    return files


def read_request(given: Mapping[str, object], out: Path, weights: str) -> ReactRequest:
    """The run that a call asks for. `given`: parameter -> value, files as `read_files` gives them.

    Raises InputError: weights by a name that is not offered, or what `ReactRequest` raises.
    """
    request = ReactRequest(**{"weights": weights} | dict(given), out=out)
    if request.weights not in (offered := choosable_weights(weights)):
        raise InputError(f"There are no weights named '{request.weights}' here. Present: {', '.join(offered)}.")
    return request


def answer(result: ReactResult) -> Answer:
    """The result as a client gets it."""
    reactions = [
        ReactionFiles(
            number=reaction.number,
            title=result.cells[reaction.number - 1][0] if result.cells else f"Reaction {reaction.number}",
            mesh=_file(reaction.videos.get("mesh")),
            photo=_file(reaction.videos.get("photo")),
            csv=_file(reaction.csv),
            transparent=_file(reaction.transparent),
        )
        for reaction in result.reactions
    ]
    return Answer(
        side_by_side=_file(result.side_by_side),
        reactions=reactions,
        coefficients=_file(result.coefficients),
        settings=_file(result.settings),
        archive=_file(result.archive),
        exports=[_file(path) for path in result.exports],
        frames=result.frames,
        style=result.style,
        habits=dict(result.habits),
        notes=list(result.notes),
    )


def description() -> str:
    """What Gradio's page about the interface says: every parameter with its sentence, range and default."""
    lines = ["Several reactions of one listener to a talking person."]
    for name in PARAMETERS:
        setting = SETTINGS[name]
        has_limits = setting.low is not None and setting.high < MAX_SEED
        lines.append(f"{name}: {setting.help}" + (f" [{setting.low:g} to {setting.high:g}]" if has_limits else ""))
    return " · ".join(lines)


def _file(path: Path | None) -> File | None:
    return None if path is None else File(path=str(path), meta=META)


def _uploaded(name: str, value: object, uploads: Path) -> Path:
    """The path of an uploaded file."""
    path = Path(str(value.get("path"))).resolve() if isinstance(value, Mapping) else None
    if path is None or not path.is_relative_to(uploads.resolve()) or not path.is_file():
        raise InputError(f"{name} must be an uploaded file; with gradio_client: handle_file(path).")
    return path


def _shift(entry: object, uploads: Path) -> tuple[object, ...]:
    """A file, or a file and its share."""
    file, *share = entry if isinstance(entry, list | tuple) and entry else (entry,)
    return (_uploaded("shift", file, uploads), *share)


def _type(setting: Setting) -> object:
    """The type of a parameter, as Gradio describes it to a client."""
    if setting.kind == "shifts":
        return list[File | tuple[File, float]]
    if setting.kind in ("views", "exports"):
        return list[Literal[setting.choices]]
    plain = {"whole": int, "number": float, "text": str, "flag": bool, "path": File}[setting.kind]
    named = Literal[setting.choices] if setting.choices else plain
    return named | None if setting.optional else named
