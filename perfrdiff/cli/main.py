"""`perfrdiff COMMAND`: every command is a function of the library and nothing else."""

from __future__ import annotations

import argparse
import sys

from page import server
from perfrdiff import __version__
from perfrdiff.cli import (
    batch,
    config,
    conformance,
    download,
    export,
    features,
    import_weights,
    live,
    neighbours,
    simulate,
    web_libraries,
)
from perfrdiff.cli import evaluate as evaluation
from perfrdiff.cli import react as react_command
from perfrdiff.cli import train as training
from perfrdiff.cli.command import Command
from perfrdiff.errors import InputError
from perfrdiff.pipeline.request import DEFAULTS
from renderer.errors import RenderError

OPENCV = "opencv-python-headless==5.0.0.93"  # as in requirements.txt, which says why


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it worked, 2 for input that cannot be used (one sentence on stderr), 130 for Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(react_command.current_names(arguments) if arguments[:1] == ["react"] else arguments)
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
        prog="perfrdiff",
        description="A video of somebody talking goes in, several videos of one listener reacting come out.",
        epilog="perfrdiff COMMAND --help explains the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"perfrdiff {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = commands.add_parser(command.name, help=command.help, description=command.description)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def _add_weights(command: argparse.ArgumentParser) -> None:
    weights = DEFAULTS["weights"]
    command.add_argument("--weights", metavar="NAME", default=weights, help=f"name of the weights (default: {weights})")


def _styles(options: argparse.Namespace) -> int:
    from perfrdiff.pipeline import run as pipeline

    print("\n".join(pipeline.styles(pipeline.load_reactor(options.weights))))
    return 0


def _compat(_options: argparse.Namespace) -> int:
    from perfrdiff.published.compat import reasons

    print("\n".join(f"{name}: {reason}" for name, reason in reasons().items()))
    return 0


def _warm_up(_options: argparse.Namespace) -> int:
    from perfrdiff.pipeline.warm_up import warm_up
    from perfrdiff.weights import available

    default, names = DEFAULTS["weights"], available()
    warm_up(names[0] if names and default not in names else str(default), compile_all=True)
    return 0


def _page(options: argparse.Namespace) -> int:
    server.run(options)
    return 0


COMMANDS = (
    Command(
        "react",
        "make reaction videos",
        "Make several different reactions of one listener to a talking person. Writes a mesh and a photo "
        "video of each, all of them beside the speaker, the coefficients (.npz, .csv), the settings, and one zip.",
        react_command.add_arguments,
        react_command.run,
    ),
    Command(
        "export",
        "write a run's reactions for other programs",
        "Write what is in a folder of results for other programs: Live Link Face, moving and still heads (glTF, OBJ, "
        "PLY), the listener's style. A head that is the listener's own needs the file that --save-identity kept.",
        export.add_arguments,
        export.run,
    ),
    Command(
        "styles",
        "list the named listening styles",
        "List the listening styles that --style of 'react' takes.",
        _add_weights,
        _styles,
    ),
    *features.COMMANDS,
    live.COMMAND,
    batch.COMMAND,
    Command(
        "compat",
        "list the published code's faults",
        "List what --compat published of 'react' repeats: each fault of the published code, why it is one, "
        "and what is done here by default. Each can be chosen by itself: --compat NAME,NAME.",
        lambda _: None,
        _compat,
    ),
    Command(
        "download",
        "fetch one of the authors' files",
        "Fetch a file that the authors publish, or any other address: goes on where it broke off, checks "
        "the checksum. Without NAME, lists what is published where and fetches nothing.",
        download.add_arguments,
        download.run,
    ),
    Command(
        "import-weights",
        "make the paper's own weights usable",
        "Check the 'checkpoints' folder that the authors publish, or its zip, key by key, and convert it "
        "to the weights paper-emotion or paper-render, for --weights of 'react'. No code of a file is run.",
        import_weights.add_arguments,
        import_weights.run,
    ),
    Command(
        "config",
        "say what a published YAML file means",
        "Read a configuration as the authors publish it: the networks and settings it stands for, and by "
        "name the keys that are ignored, unknown or left out.",
        config.add_arguments,
        config.run,
    ),
    Command(
        "conformance",
        "compare the networks with the published code's numbers",
        "Run every fixture of the published code in a folder: largest deviation, tolerance, pass or fail. "
        "Exit code 1 if one fails.",
        conformance.add_arguments,
        conformance.run,
    ),
    Command(
        "evaluate",
        "measure what weights are worth",
        "Measure the reactions that weights make: on simulated dyads with known truth ('demo') or "
        "on a data set ('data').",
        evaluation.add_arguments,
        evaluation.run,
    ),
    Command(
        "simulate",
        "write simulated conversations in the layout of REACT 2024",
        "Write simulated conversations in the layout of the REACT 2024 data set, for 'train' and 'evaluate'.",
        simulate.add_arguments,
        simulate.run,
    ),
    Command(
        "neighbours",
        "build a data set's matrices of appropriate reactions",
        "Build the neighbour matrices of a data set in the layout of REACT 2024, generic and "
        "person-specific: entries whose speakers behave alike.",
        neighbours.add_arguments,
        neighbours.run,
    ),
    Command(
        "train",
        "train a stage of the paper",
        "Train a stage of the paper on data in the layout of REACT 2024; 'assemble' puts the trained "
        "stages together. Several processes: accelerate launch --multi_gpu -m perfrdiff train … A killed run goes on.",
        training.add_arguments,
        training.run,
    ),
    Command(
        "warm-up",
        "compile what draws, once, so that no run waits for it",
        "Make tiny runs that compile every loop of the program and keep the machine code, beside the program or in "
        "the user's cache folder. Half a minute of processor time after an installation, a few seconds from then on.",
        lambda _: None,
        _warm_up,
    ),
    Command(
        "page",
        "open the page",
        "Serve the page, on http://127.0.0.1:7860 unless GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say otherwise. "
        "A page that others can reach needs --auth or --public.",
        server.add_arguments,
        _page,
    ),
    Command(
        "web-libraries",
        "fetch what the page runs in the browser",
        "Fetch the libraries that the page runs in the browser, with npm and in fixed versions: three, uPlot and "
        "MediaPipe's face tracker. Without them the page shows videos alone. PERFRDIFF_WEB names the folder.",
        lambda _: None,
        web_libraries.run,
    ),
)
