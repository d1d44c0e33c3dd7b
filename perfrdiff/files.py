"""Files that are whole or not there."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with the permissions that any new file gets; nothing half-written stays at `path`."""
    part = path.with_suffix(".part")
    part.touch()  # as the umask says; safetensors writes into a private temporary file, readable by its owner only
    mode = part.stat().st_mode
    save_file(dict(tensors), part, metadata=dict(metadata))
    part.chmod(mode)
    part.replace(path)
