"""What a published YAML file means here: the command `perfrdiff config FILE.yaml`."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `perfrdiff config`."""
    parser.add_argument("file", type=Path, metavar="FILE.yaml", help="a configuration as the authors publish it")
    parser.add_argument("--strict", action="store_true", help="refuse keys that are not known")


def run(options: argparse.Namespace) -> int:
    """Print what the file sets, and by name what it does not."""
    from perfrdiff.published.config.reader import read_config  # torch takes seconds to import: not before --help

    config = read_config(options.file, options.strict)
    variant = f", {config.variant} variant" if config.variant else ""
    print(f"{config.source}: {config.stage}{variant}")
    for name in ("networks", "sampling", "loss", "optimizer", "trainer", "data"):
        for line in _lines(name, getattr(config, name)):
            print(f"  {line}")
    for network, path in config.checkpoints.items():
        print(f"  {network} from {path}")
    for title, by_published_code in (("Ignored by the published code", True), ("Of no consequence here", False)):
        keys: dict[str, list[str]] = {}
        for entry in config.ignored:
            if entry.by_published_code == by_published_code:
                keys.setdefault(entry.reason, []).append(entry.key)
        _print_list(title, [f"{', '.join(names)}: {reason}" for reason, names in keys.items()])
    _print_list("Left out, so as published", config.defaulted)
    _print_list("Unknown, without effect", config.unknown)
    return 0


def _lines(name: str, value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _lines(f"{name} {key}", item)
    elif value is not None:
        values = asdict(value) if is_dataclass(value) else value.model_dump(include=set(value.used()))
        yield f"{name}: {', '.join(f'{key} {_as_text(item)}' for key, item in values.items())}"


def _as_text(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} {item}" for key, item in value.items()) + "}"
    return str(value)


def _print_list(title: str, rows: list[str] | tuple[str, ...]) -> None:
    if rows:
        print(f"{title}:")
        for row in rows:
            print(f"  {row}")
