"""Safe YAML into checked values: nothing is executed, and everything there is to tell about a file is remembered."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from perfrdiff.errors import InputError
from perfrdiff.published.settings import Ignored
from perfrdiff.published.yaml_keys import Key, anything, one_of

LARGEST = 1 << 20  # bytes; the published files have 2 to 9 kB
NAMED_FAULTS = 8


class Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number, as it was for the authors' reader, and a key counts once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{twice}' is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load(path: Path) -> dict:
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path.name} is no configuration: it has {path.stat().st_size / 1e6:.1f} MB.")
        document = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a published YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path.name} is no readable YAML ({' '.join(str(error).split())[:200]}).") from None
    if not isinstance(document, dict) or not {"diffusion_decoder", "model"} & document.keys():
        raise InputError(
            f"{path.name} is no published configuration: it has neither a 'diffusion_decoder' (generator, weight "
            "editor) nor a 'model' (autoencoder, style encoder)."
        )
    return document


class Reader:
    """Checks values, and remembers everything there is to tell."""

    def __init__(self, name: str):
        self.name = name
        self.faults: list[str] = []
        self.ignored: list[Ignored] = []
        self.unknown: list[str] = []
        self.defaulted: list[str] = []

    def values(self, section: object, where: str, keys: Mapping[str, Key]) -> dict:
        """Key -> checked value of one section; keys that change nothing are left out."""
        if not isinstance(section, dict):
            self.faults.append(f"{where.rstrip('.') or 'the file'} is {shown(section)}; expected keys with values")
            section = {}
        for name in section.keys() - keys.keys():
            near = difflib.get_close_matches(str(name), keys, 1)
            self.unknown.append(f"{where}{name}{f' (is {near[0]} meant?)' if near else ''}")
        found = {}
        for name, key in keys.items():
            if name not in section:
                if key.required:
                    self.faults.append(f"{where}{name} is missing")
                elif key.telling and not key.ignored:
                    self.defaulted.append(f"{where}{name}")
                found[name] = key.default
                continue
            if key.ignored:
                self.ignored.append(Ignored(f"{where}{name}", key.ignored, key.by_published_code))
                continue
            try:
                found[name] = key.check(section[name])
            except ValueError as error:
                self.faults.append(f"{where}{name} is {shown(section[name])}; expected {error}")
                found[name] = key.default
        return found

    def typed(
        self, section: object, where: str, kinds: Mapping[str, Mapping[str, Key]], more: Mapping | None = None
    ) -> tuple:
        """A section with a `type` and its `args`: the type, the checked args, the other checked values."""
        keys = {"type": Key(one_of(*kinds), required=True), "args": Key(anything, {})} | dict(more or {})
        outer = self.values(section, f"{where}.", keys)
        kind = outer.pop("type")
        arguments = outer.pop("args") or {}
        return kind, self.values(arguments, f"{where}.args.", kinds[kind]) if kind else None, outer

    def need(self, holds: bool, words: str) -> None:
        if not holds:
            self.faults.append(words)

    def finish(self) -> None:
        """Raise InputError if anything was wrong."""
        if self.faults:
            more = f"; and {len(self.faults) - NAMED_FAULTS} more" * (len(self.faults) > NAMED_FAULTS)
            raise InputError(f"{self.name}: {'; '.join(self.faults[:NAMED_FAULTS])}{more}.")


def shown(value: object) -> str:
    return "empty" if value is None else repr(value)[:60]
