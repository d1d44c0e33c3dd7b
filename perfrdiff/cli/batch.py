"""`perfrdiff batch`: whole data sets. Nothing heavy is imported before one runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from perfrdiff.batch.ctrl_c import ends_at_once, waits_for_imports
from perfrdiff.cli.command import Command
from perfrdiff.cli.features import LAYOUTS
from perfrdiff.cli.react import add_option
from perfrdiff.errors import InputError
from perfrdiff.pipeline.request import SETTINGS

NOT_OF_A_BATCH = (
    "speaker", "out", "overwrite", "save_shift", "save_identity", "shift", "speaker_face_number",
    "listener_face_number", "other_listener", "credentials_key", "credentials_certificate",
)  # fmt: skip
"""Settings of one run alone."""
PICTURES = [name for name, setting in SETTINGS.items() if setting.group == "pictures"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `perfrdiff batch`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    features = _action(actions, "features", "read the features of many videos", _features)
    _add_input(features)
    features.add_argument(
        "--layout", choices=LAYOUTS, default="table", help="react2024: the challenge's folders (default: table)"
    )
    react = _action(actions, "react", "make reactions to many speakers, as numbers", _react)
    _add_input(react)
    _add_settings(react, [name for name in SETTINGS if name not in (*NOT_OF_A_BATCH, *PICTURES)])
    render = _action(actions, "render", "draw the videos of a batch of reactions", _render)
    render.add_argument("folder", metavar="DIR", help="where 'batch react' wrote; it is made again, and drawn")
    _add_settings(
        render, [name for name in (*PICTURES, "device") if name not in NOT_OF_A_BATCH]
    )  # the others are those with which the reactions were made
    evaluate = _action(actions, "evaluate", "measure a batch of reactions", _evaluate)
    evaluate.add_argument("folder", metavar="DIR", help="where 'batch react' wrote")


def _action(actions: Any, name: str, help: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}; called again, it goes on.")
    parser.set_defaults(run=run)
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: as many as cores and memory allow)"
    )
    parser.add_argument("--retry-failed", action="store_true", help="also do again what failed")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="do only the I-th of N shares (default: 1/1)")
    parser.add_argument(
        "--deadline", type=float, default=1800.0, metavar="S", help="seconds of one item (default: 1800)"
    )
    parser.add_argument(
        "--engine",
        choices=("pool", "ray"),
        default="pool",
        help="pool: processes of this machine; ray: a Ray cluster, of this machine where there is none (default: pool)",
    )
    parser.add_argument(
        "--gpu-share", type=float, default=0.0, metavar="X", help="of a GPU, for each worker of Ray (default: 0)"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a folder, a glob in quotes, or a table (.csv, .jsonl) with columns speaker, listener, id and settings; "
        "also an address such as s3://bucket/folder",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results, or its address")


def _add_settings(parser: argparse.ArgumentParser, names: list[str]) -> None:
    group = parser.add_argument_group("settings of all items, where their own rows say nothing")
    for name in names:
        add_option(group, name, SETTINGS[name], required=False)


def _features(options: argparse.Namespace) -> int:
    layout = {} if options.layout == "table" else {"layout": options.layout}
    return _run(options, "features", options.input, options.out, layout=layout)


def _react(options: argparse.Namespace) -> int:
    return _run(options, "react", options.input, options.out, settings=_given(options))


def _render(options: argparse.Namespace) -> int:
    return _run(options, "render", f"{options.folder}/items.jsonl", options.folder, settings=_given(options))


def _evaluate(options: argparse.Namespace) -> int:
    return _run(options, "evaluate", f"{options.folder}/items.jsonl", options.folder)


def _given(options: argparse.Namespace) -> dict[str, object]:
    names = [name for name in SETTINGS if name not in NOT_OF_A_BATCH]
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


def _run(
    options: argparse.Namespace,
    action: str,
    source: str,
    out: str,
    settings: dict[str, object] | None = None,
    layout: dict[str, object] | None = None,
) -> int:
    """One action. The device is this machine's, and not of the items, whose table goes with the results."""
    with ends_at_once():
        from perfrdiff.batch.manifest import fill_in, read_items
        from perfrdiff.batch.run import BatchRequest, run_batch
        from perfrdiff.batch.storage import exists, locate

    if action in ("render", "evaluate") and not exists(locate(source)):
        raise InputError(f"{out} is not the folder of a batch: items.jsonl is missing; run 'batch react' first.")
    settings = settings or {}
    of_the_machine = {"device": settings.pop("device")} if "device" in settings else {}
    items = fill_in(read_items(source, out=out), settings)
    same_for_all = (layout or {}) | of_the_machine
    request = BatchRequest(
        action, items, out, same_for_all, options.workers, options.retry_failed, _shard(options.shard),
        options.deadline, options.quiet,
    )  # fmt: skip
    try:
        with waits_for_imports():
            result = run_batch(request, _engine(options))
    except KeyboardInterrupt:
        print("perfrdiff: stopped; what is done is whole, and the same command goes on.", file=sys.stderr)
        return 130
    if not options.quiet:
        print(f"{len(result.outcomes)} items, {result.done_now} now, {result.failures} failed: {result.table}")
        print(f"Summary: {result.summary}")
    return 0


def _engine(options: argparse.Namespace) -> Any:
    from functools import partial

    from perfrdiff.batch.pool import run_jobs
    from perfrdiff.batch.ray_engine import run_jobs_on_ray

    if not 0 <= options.gpu_share <= 1:
        raise InputError(f"--gpu-share is {options.gpu_share:g}; it is a part of one GPU, 0 to 1.")
    if options.gpu_share and options.engine != "ray":
        raise InputError("--gpu-share is for --engine ray; processes of the pool share the machine's GPU as they are.")
    return partial(run_jobs_on_ray, gpu_share=options.gpu_share) if options.engine == "ray" else run_jobs


def _shard(text: str) -> tuple[int, int]:
    try:
        number, count = (int(part) for part in text.split("/"))
    except ValueError:
        raise InputError(f"A share is written as 2/8, the second of eight; it is '{text}'.") from None
    return number, count


COMMAND = Command(
    "batch",
    "work on whole data sets",
    "Do many files in one call, in processes that load everything once. A broken file costs its row; the same command "
    "goes on where it stopped. Writes results.csv and summary.html.",
    add_arguments,
    lambda _: 2,
)
