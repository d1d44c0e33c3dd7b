"""`perfrdiff react`: its options are the fields of `ReactRequest`, with their defaults, ranges and words."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from perfrdiff.pipeline.again import settings_again
from perfrdiff.pipeline.request import DEFAULTS, FORMER_NAMES, SETTINGS, ReactRequest, Setting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one option for each field of `ReactRequest`, --settings and --quiet."""
    groups = {name: parser.add_argument_group(name) for name in dict.fromkeys(one.group for one in SETTINGS.values())}
    for name, setting in SETTINGS.items():
        add_option(groups[setting.group], name, setting)
    groups["run"].add_argument(
        "--settings",
        metavar="FILE",
        help="settings.json of an earlier run, whose settings count unless given here",
    )
    groups["run"].add_argument("--quiet", action="store_true", help="print nothing but errors")


def option(name: str) -> str:
    """The option of a field of `ReactRequest`."""
    return "--" + name.replace("_", "-")


def current_names(arguments: Sequence[str]) -> list[str]:
    """The arguments of `react` with former options under their present names; a line on stderr says so for each."""
    renamed = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name in FORMER_NAMES:
            print(f"perfrdiff: {name} is called {FORMER_NAMES[name]} now.", file=sys.stderr)
            argument = FORMER_NAMES[name] + equals + value
        renamed.append(argument)
    return renamed


def run(options: argparse.Namespace) -> int:
    """Make the reactions; prints the stages, the notes and where the files are."""
    settings = {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}
    request = ReactRequest(**settings_again(options.settings, settings) if options.settings else settings)
    from perfrdiff.cli.stage_progress import StageProgress
    from perfrdiff.pipeline import run as pipeline  # torch and the tracker take seconds to import

    if options.quiet:
        pipeline.react(request)
        return 0
    with StageProgress() as progress:
        result = pipeline.react(request, progress)
    for note in (*result.notes, *(filter(None, [_other_weights(options.settings, result.settings)]))):
        print(f"Note: {note}")
    for number, (title, words) in enumerate(result.cells, start=1):
        print(f"Reaction {number}: {title}, {words}")
    for name, value in result.habits:
        print(f"Listener: {name.lower()} {value}")
    if request.save_shift is not None:
        print(f"The listener's shift: {request.save_shift} ({request.save_shift.stat().st_size / 1e3:.0f} kB)")
    if request.save_identity is not None:
        size = request.save_identity.stat().st_size
        print(f"The listener's head: {request.save_identity} ({size / 1e6:.1f} MB); it is a person's face")
    print(f"{len(result.reactions)} reactions of {result.frames / 25:.1f} s in {result.seconds:.1f} s: {result.folder}")
    return 0


def _other_weights(earlier: str | None, now: Path) -> str | None:
    """A note where a run that was to be made again had weights of another content under the same name."""
    if earlier is None:
        return None
    before, after = (json.loads(Path(path).read_text(encoding="utf-8"))["weights"] for path in (earlier, now))
    if before["name"] != after["name"] or before.get("sha256") == after["sha256"]:
        return None
    return f"The weights '{after['name']}' are not those of the earlier run; the reactions are other ones."


def add_option(group: argparse._ArgumentGroup, name: str, setting: Setting, required: bool | None = None) -> None:
    """Add the option of one field of `ReactRequest`.

    Values stay text here: `ReactRequest` converts and checks them, so that shell, page and Python say the same.
    """
    help_text = f"{setting.help}{_range(setting)}{_default(name)}"
    required = name not in DEFAULTS if required is None else required
    if setting.kind == "flag":
        group.add_argument(option(name), action=argparse.BooleanOptionalAction, help=help_text)
    elif setting.kind in ("views", "exports"):
        group.add_argument(option(name), nargs="+", metavar=_braced(setting.choices), help=help_text)
    elif setting.kind == "shifts":
        group.add_argument(
            option(name), nargs="+", action="append", metavar=(setting.placeholder, "SHARE"), help=help_text
        )
    elif setting.choices:
        group.add_argument(option(name), metavar=_braced(setting.choices), help=help_text)
    else:
        group.add_argument(option(name), metavar=setting.placeholder, required=required, help=help_text)


def _braced(choices: tuple) -> str:
    """{a,b,c}, as argparse writes choices; given as such, it would refuse others in words of its own."""
    return "{" + ",".join(map(str, choices)) + "}"


def _range(setting: Setting) -> str:
    if setting.low is None or setting.high is None or setting.high >= 2**31:
        return ""
    return f" [{setting.low:g} to {setting.high:g}]"


def _default(name: str) -> str:
    default = DEFAULTS.get(name)
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        words = "on" if default else "off"
    elif isinstance(default, tuple):
        words = " ".join(default)
    else:
        words = f"{default:g}" if isinstance(default, float) else str(default)
    return f" (default: {words})"
