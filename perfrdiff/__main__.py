"""The shell's door: python -m perfrdiff COMMAND. Every command is a function of the library and nothing else."""

from __future__ import annotations

import argparse
import sys
from dataclasses import MISSING, fields
from pathlib import Path

from perfrdiff import __version__, config, conformance, download, import_weights
from perfrdiff.data import command as data
from perfrdiff.errors import InputError
from perfrdiff.evaluation import command as evaluation
from perfrdiff.features import command as features
from perfrdiff.request import (
    ANIMATORS,
    COMPAT,
    HIGHEST_GUIDANCE,
    LONGEST_SECONDS,
    LOOKS,
    MESH_LOOKS,
    MOST_SAMPLES,
    SIZES,
    STRONGEST,
    ReactRequest,
)
from perfrdiff.training import command as training
from renderer.errors import RenderError

OPENCV = "opencv-python-headless==5.0.0.93"  # as in requirements.txt, which says why
DEFAULT = {field.name: field.default for field in fields(ReactRequest) if field.default is not MISSING}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it worked, 2 for input that cannot be used (one sentence on stderr), 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (InputError, RenderError) as error:
        print(f"perfrdiff: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("perfrdiff: stopped; nothing was written.", file=sys.stderr)
        return 130
    except ImportError as error:
        advice = _advice(error)
        if advice is None:
            raise
        print(f"perfrdiff: {advice}", file=sys.stderr)
        return 2


def _advice(error: ImportError) -> str | None:
    """What to install for an import that failed, or None where that is not known."""
    if error.name in ("accelerate", "tensorboard"):
        return f"Training needs the package {error.name}: pip install 'perfrdiff[train]'."
    if "cannot open shared object file" in str(error):
        return (
            f"A system library is missing ({error}). Where OpenCV asks for it, its headless build does not: "
            f"pip install --force-reinstall --no-deps {OPENCV}"
        )
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m perfrdiff",
        description="A video of somebody talking goes in, several videos of one listener reacting come out.",
        epilog="python -m perfrdiff COMMAND --help explains the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"perfrdiff {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_react(commands)
    _add_styles(commands)
    features.add_commands(commands)
    _add_compat(commands)
    _add_download(commands)
    _add_import_weights(commands)
    _add_config(commands)
    _add_conformance(commands)
    _add_evaluate(commands)
    _add_data(commands)
    _add_train(commands)
    _add_page(commands)
    return parser


def _add_react(commands) -> None:
    command = commands.add_parser(
        "react",
        help="make reaction videos",
        description="Make several different reactions of one listener to a talking person. Writes a mesh and a photo "
        "video of each, all of them beside the speaker, the coefficients (.npz, .csv), the settings, and one zip.",
    )
    command.set_defaults(run=_react)
    files = command.add_argument_group("files")
    files.add_argument(
        "--speaker", type=Path, required=True, metavar="FILE", help="video of somebody talking, or a features file"
    )
    files.add_argument(
        "--listener", type=Path, required=True, metavar="FILE", help="photo, video or features file of who reacts"
    )
    for who in ("speaker", "listener"):
        files.add_argument(
            f"--{who}-person",
            type=int,
            metavar="N",
            help=f"whom of the {who}'s video to follow ('people' numbers them; default: the largest steady face)",
        )
    files.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    files.add_argument("--overwrite", action="store_true", help="allow a folder that is not empty")

    reactions = command.add_argument_group("reactions")
    reactions.add_argument(
        "--samples",
        type=int,
        metavar="K",
        help=f"number of different reactions, 1 to {MOST_SAMPLES}{_default('samples')}",
    )
    reactions.add_argument(
        "--seed", type=int, metavar="N", help=f"same seed and settings, same reactions{_default('seed')}"
    )
    reactions.add_argument(
        "--style",
        metavar="NAME",
        help="a named listening style ('styles' lists them); default: a listener video's own habits, "
        "the first named style for a photo",
    )
    reactions.add_argument(
        "--strength",
        type=float,
        metavar="X",
        help=f"how strong the style is: 0 generic, 1 as learnt, at most {STRONGEST:g}{_default('strength')}",
    )
    reactions.add_argument(
        "--guidance",
        type=float,
        metavar="X",
        help=f"classifier-free guidance scale, 0 to {HIGHEST_GUIDANCE:g} (default: what the weights were tuned for)",
    )
    reactions.add_argument(
        "--steps", type=int, metavar="N", help="denoising steps (default: what the weights were tuned for)"
    )
    reactions.add_argument(
        "--shift",
        dest="shifts",
        nargs="+",
        action="append",
        metavar=("FILE", "SHARE"),
        help="a listener's shift kept by --save-shift, in place of a style; several are mixed, each with its share "
        "(default: 1)",
    )
    reactions.add_argument(
        "--save-shift", type=Path, metavar="FILE", help="keep what this listener adds to the generator's weights"
    )
    reactions.add_argument(
        "--compat",
        choices=COMPAT,
        help="'published' repeats the faults of the published code, for the paper's weights ('compat' lists them)"
        f"{_default('compat')}",
    )
    reactions.add_argument("--weights", metavar="NAME", help=f"name of the weights{_default('weights')}")
    reactions.add_argument("--device", metavar="NAME", help="cpu or cuda (default: cuda if there is one)")

    pictures = command.add_argument_group("pictures")
    pictures.add_argument(
        "--looks", nargs="+", choices=LOOKS, help=f"what to draw{_default('looks', ' and '.join(LOOKS))}"
    )
    pictures.add_argument(
        "--size", type=int, choices=SIZES, help=f"edge of a reaction's picture in pixels{_default('size')}"
    )
    pictures.add_argument(
        "--mesh-look",
        choices=MESH_LOOKS,
        help=f"the drawn head: studio, or grey as in the REACT challenge's videos (224 pixels){_default('mesh_look')}",
    )
    pictures.add_argument(
        "--person",
        metavar="NAME",
        help=f"who the mesh shows: Alex, Mara, Kofi, Yuna, Omar or Edda{_default('person')}",
    )
    pictures.add_argument(
        "--transparent",
        action="store_true",
        help="also write each mesh without a ground (WebM, VP9 with alpha, silent)",
    )
    pictures.add_argument(
        "--animator",
        choices=ANIMATORS,
        help=f"what moves the photo; auto takes PIRender where its weights are present{_default('animator')}",
    )
    pictures.add_argument("--name", help=f"what the captions call the listener{_default('name')}")
    pictures.add_argument(
        "--no-label",
        dest="label",
        action="store_false",
        help="leave out the visible words 'AI-generated' (the files' metadata keep them)",
    )
    pictures.add_argument(
        "--max-seconds",
        type=float,
        metavar="S",
        help=f"refuse longer speaker videos, at most {LONGEST_SECONDS:g}{_default('max_seconds')}",
    )
    command.add_argument("--quiet", action="store_true", help="print nothing but errors")
    command.set_defaults(**DEFAULT | {"shifts": None})


def _default(name: str, words: str | None = None) -> str:
    value = DEFAULT[name]
    return f" (default: {words or (f'{value:g}' if isinstance(value, float) else value)})"


def _react(options: argparse.Namespace) -> int:
    names = {field.name for field in fields(ReactRequest)}
    request = ReactRequest(
        **{name: getattr(options, name) for name in names - {"looks", "shifts"}},
        looks=tuple(options.looks),
        shifts=tuple(_shift(given) for given in options.shifts or ()),
    )
    from perfrdiff import pipeline  # torch and the tracker take seconds to import: not before --help or a bad option

    result = pipeline.react(request, None if options.quiet else _Printer().show)
    if not options.quiet:
        for note in result.notes:
            print(f"Note: {note}")
        for name, value in result.habits:
            print(f"Listener: {name.lower()} {value}")
        took = sum(result.stage_seconds.values())
        if request.save_shift is not None:
            print(f"The listener's shift: {request.save_shift} ({request.save_shift.stat().st_size / 1e3:.0f} kB)")
        print(f"{len(result.reactions)} reactions of {result.frames / 25:.1f} s in {took:.1f} s: {result.folder}")
    return 0


def _shift(given: list[str]) -> tuple[Path, float]:
    """FILE, or FILE and SHARE."""
    try:
        path, share = given if len(given) > 1 else (given[0], "1")
        return Path(path), float(share)
    except ValueError:
        raise InputError(
            f"--shift takes a file and at most one number behind it; it is '{' '.join(given)}'. "
            "For several files, give --shift several times."
        ) from None


class _Printer:
    """One line per stage on stdout, with its percentage where a terminal can show it move."""

    def __init__(self) -> None:
        self._stage = ""

    def show(self, stage: str, fraction: float) -> None:
        if sys.stdout.isatty():
            end = "\n" if fraction >= 1 else ""
            print(f"\r\033[K{fraction:4.0%}  {stage}", end=end, flush=True)
        elif stage != self._stage:
            print(stage, flush=True)
        self._stage = stage


def _add_styles(commands) -> None:
    command = commands.add_parser(
        "styles",
        help="list the named listening styles",
        description="List the listening styles that --style of 'react' takes.",
    )
    command.add_argument(
        "--weights", metavar="NAME", default=DEFAULT["weights"], help=f"name of the weights{_default('weights')}"
    )
    command.set_defaults(run=_styles)


def _styles(options: argparse.Namespace) -> int:
    from perfrdiff import pipeline

    print("\n".join(pipeline.styles(pipeline.load_reactor(options.weights))))
    return 0


def _add_compat(commands) -> None:
    command = commands.add_parser(
        "compat",
        help="list the published code's faults",
        description="List what --compat published of 'react' repeats: each fault of the published code, why it is one, "
        "and what is done here by default. In Python each can be chosen by itself (perfrdiff.published.compat).",
    )
    command.set_defaults(run=_compat)


def _compat(_options: argparse.Namespace) -> int:
    from perfrdiff.published.compat import reasons

    print("\n".join(f"{name}: {reason}" for name, reason in reasons().items()))
    return 0


def _add_download(commands) -> None:
    command = commands.add_parser(
        "download",
        help="fetch one of the authors' files",
        description="Fetch a file that the authors publish, or any other address: goes on where it broke off, checks "
        "the checksum. Without NAME, lists what is published where and fetches nothing.",
    )
    download.add_arguments(command)
    command.set_defaults(run=download.run)


def _add_import_weights(commands) -> None:
    command = commands.add_parser(
        "import-weights",
        help="make the paper's own weights usable",
        description="Check the 'checkpoints' folder that the authors publish, or its zip, key by key, and convert it "
        "to the weights paper-emotion or paper-render, for --weights of 'react'. No code of a file is run.",
    )
    import_weights.add_arguments(command)
    command.set_defaults(run=import_weights.run)


def _add_config(commands) -> None:
    command = commands.add_parser(
        "config",
        help="say what a published YAML file means",
        description="Read a configuration as the authors publish it: the networks and settings it stands for, and by "
        "name the keys that are ignored, unknown or left out.",
    )
    config.add_arguments(command)
    command.set_defaults(run=config.run)


def _add_conformance(commands) -> None:
    command = commands.add_parser(
        "conformance",
        help="compare the networks with the published code's numbers",
        description="Run every fixture of the published code in a folder: largest deviation, tolerance, pass or fail. "
        "Exit code 1 if one fails.",
    )
    conformance.add_arguments(command)
    command.set_defaults(run=conformance.run)


def _add_evaluate(commands) -> None:
    command = commands.add_parser(
        "evaluate",
        help="measure what weights are worth",
        description="Measure the reactions that weights make: on simulated dyads with known truth ('demo').",
    )
    evaluation.add_arguments(command)


def _add_data(commands) -> None:
    data.add_simulate(
        commands.add_parser(
            "simulate",
            help="write simulated conversations in the layout of REACT 2024",
            description="Write simulated conversations in the layout of the REACT 2024 data set, for 'train' and "
            "'evaluate'.",
        )
    )
    data.add_neighbours(
        commands.add_parser(
            "neighbours",
            help="build a data set's matrices of appropriate reactions",
            description="Build the neighbour matrices of a data set in the layout of REACT 2024, generic and "
            "person-specific: entries whose speakers behave alike.",
        )
    )


def _add_train(commands) -> None:
    command = commands.add_parser(
        "train",
        help="train a stage of the paper",
        description="Train a stage of the paper on data in the layout of REACT 2024; 'assemble' puts the trained "
        "stages together. Several processes: accelerate launch --multi_gpu -m perfrdiff train … A killed run goes on.",
    )
    training.add_arguments(command)


def _add_page(commands) -> None:
    command = commands.add_parser(
        "page",
        help="open the page",
        description="Serve the page, on http://127.0.0.1:7860 unless GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say "
        "otherwise.",
    )
    command.add_argument(
        "--weights", metavar="NAME", default=DEFAULT["weights"], help=f"name of the weights{_default('weights')}"
    )
    command.set_defaults(run=_page)


def _page(options: argparse.Namespace) -> int:
    import app  # gradio takes seconds to import, and importing the page makes its folder for uploads

    app.main(["--weights", options.weights])
    return 0


if __name__ == "__main__":
    sys.exit(main())
