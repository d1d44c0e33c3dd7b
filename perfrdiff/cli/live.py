"""`perfrdiff live`: a webcam or a film in, a listener's coefficients out while they come, as lines or over OSC."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from perfrdiff.cli.command import Command
from perfrdiff.cli.react import add_option
from perfrdiff.errors import InputError
from perfrdiff.pipeline.request import DEFAULTS, SETTINGS

if TYPE_CHECKING:
    from perfrdiff.live.session import LiveFrames
    from perfrdiff.reactor import Reactor

CAMERA = "camera"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The source, who listens, where to."""
    parser.add_argument("source", metavar="SOURCE", help="a film, or camera, or camera:1 for the second one")
    parser.add_argument("--listener", type=Path, metavar="FILE", help="photo, video or features file of who listens")
    for name in ("style", "weights", "device"):
        add_option(parser, name, SETTINGS[name])
    parser.add_argument("--seed", type=int, default=DEFAULTS["seed"], metavar="N", help=SETTINGS["seed"].help)
    parser.add_argument(
        "--osc", metavar="HOST:PORT", help="send VMC messages there (receivers usually listen on port 39539)"
    )


def run(options: argparse.Namespace) -> int:
    """React until the source ends. Without --osc, a line of CSV for every frame goes to stdout: time_s and the 58
    channels by name."""
    place = _place(options.osc)
    from perfrdiff.coefficients import COEFFICIENT_NAMES, FPS
    from perfrdiff.live.osc import OscOutput
    from perfrdiff.pipeline.run import load_reactor

    reactor = load_reactor(options.weights or DEFAULTS["weights"], options.device)
    _set_listener(reactor, options.listener, options.style)
    with ExitStack() as stack:
        output = stack.enter_context(OscOutput(*place)) if place else None
        if output is None:
            print("time_s", *COEFFICIENT_NAMES, sep=",")
        for frames in _frames(reactor, options.source, options.seed):
            if output is not None:
                output.push(frames)
                continue
            for number, row in enumerate(frames.reactions[0], start=frames.first_frame):
                print(f"{number / FPS:.2f}", *(f"{value:.6f}" for value in row), sep=",", flush=True)
    if output is not None:
        print(f"{output.sent} frames were sent to {options.osc}.", file=sys.stderr)
    return 0


def _frames(reactor: Reactor, source: str, seed: int) -> Iterator[LiveFrames]:
    name, _, number = source.partition(":")
    if name == CAMERA:
        from perfrdiff.live.camera import react_to_camera

        if number and not number.isdecimal():
            raise InputError(f"There is no camera '{number}'; name it by its number: camera:0, camera:1 …")
        return react_to_camera(reactor, int(number or 0), seed=seed)
    from perfrdiff.live.film import react_to_film

    return react_to_film(reactor, source, seed=seed, in_time=True)


def _set_listener(reactor: Reactor, file: Path | None, style: str | None) -> None:
    """A style that is named, else the listener of a video, else the first style."""
    behaviour = None
    if file is not None and style is None:
        from perfrdiff.features.clip import read_listener

        behaviour = read_listener(file).behaviour
    if behaviour is not None:
        reactor.set_listener(behaviour)
    else:
        reactor.set_listener(style or next(iter(reactor.styles), None))


def _place(words: str | None) -> tuple[str, int] | None:
    if words is None:
        return None
    host, _, port = words.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"--osc takes a host and a port, for example 127.0.0.1:39539; it is {words}.")
    return host.strip("[]"), int(port)


COMMAND = Command(
    "live",
    "react while somebody talks",
    "React to a webcam or a film as it plays, and give the listener's coefficients as they become known: as lines of "
    "CSV, or as OSC messages of the VMC protocol for game engines and avatars. A webcam is seen and not heard.",
    add_arguments,
    run,
)
