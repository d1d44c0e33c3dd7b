"""The state of a training run as it lies on disk, and whether it is that of this run."""

import json
from pathlib import Path

from torch import Tensor

from perfrdiff.errors import InputError
from perfrdiff.files import read_safetensors

STATE_FORMAT = "2"


def read_state(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """The header of a state (step, identity, schedule …) and its tensors. Raises InputError for another file."""
    metadata, tensors = read_safetensors(path, "the state of a training run", "begin anew with --restart")
    try:
        header = json.loads(metadata.get("about", "{}"))
    except ValueError:
        header = {}
    if header.get("format", STATE_FORMAT) != STATE_FORMAT:
        raise InputError(f"{path} is a state of an earlier version of this program; begin anew with --restart.")
    if "step" not in header:
        raise InputError(f"{path} is no state of a training run; begin anew with --restart.")
    return header, tensors


def check_identity(path: Path, header: dict, identity: dict) -> None:
    """Raises InputError that names what differs where the state is another run's."""
    saved, current = _flattened(header.get("identity", {})), _flattened(as_json(identity))
    different = [name for name in sorted(saved.keys() | current.keys()) if saved.get(name) != current.get(name)]
    if different:
        pairs = (f"{name}: {_short(saved.get(name))} there, {_short(current.get(name))} here" for name in different)
        raise InputError(
            f"The run in {path} is another one ({'; '.join(pairs)}). Give another --out, or begin anew with --restart."
        )


def as_json(identity: dict) -> dict:
    """As it comes back from JSON: lists for tuples."""
    return json.loads(json.dumps(identity, default=dict))


def _flattened(identity: dict, within: str = "") -> dict[str, object]:
    """Nested settings under names such as sizes.weight_editor.rank."""
    flat: dict[str, object] = {}
    for name, value in identity.items():
        flat |= _flattened(value, f"{within}{name}.") if isinstance(value, dict) else {f"{within}{name}": value}
    return flat


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 90 else text[:87] + "..."
