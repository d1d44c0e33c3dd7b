"""Reading PIRender's published checkpoints: nothing in a file is run, and every name is checked.

Formats (docs/method.md 13.10): REACT's `cur_model_fold.pth` with the weights under `state_dict`; the original's
`epoch_…_checkpoint.pt` with `net_G_ema`, or `net_G` whose names begin with `module.`; a bare table of tensors; and the
.safetensors that `import_checkpoint` makes of any of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from renderer.errors import RenderError
from renderer.guarded_files import UnsafeFile, load_torch
from renderer.portrait.pirender.architecture import (
    ORIGINAL_WIDTH,
    REACT_WIDTH,
    Architecture,
    expected_shapes,
    is_unused,
    read_architecture,
)

WEIGHT_KEYS = ("state_dict", "net_G_ema", "net_G")  # where a checkpoint keeps the weights, best first
PREFIX = "module."  # of a network that was saved out of its data-parallel wrapper
NAMES_SHOWN = 6


def load_weights(path: str | Path) -> tuple[dict[str, Tensor], Architecture]:
    """Every tensor that reaches the picture, float32, under its published name, and the network's architecture.

    Raises RenderError, in one sentence, for a file that is missing, is no checkpoint, holds more than tensors and plain
    values, or whose tensors are missing, unexpected, of another shape, or not finite.
    """
    path = Path(path)
    tensors = _load_tensors(path)
    tensor_shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    architecture = read_architecture(tensor_shapes)
    expected = expected_shapes(architecture or Architecture())
    _compare(path, tensor_shapes, expected, known=architecture is not None)
    if architecture.coefficients not in (REACT_WIDTH, ORIGINAL_WIDTH):
        raise RenderError(
            f"{path} reads {architecture.coefficients} coefficients; PIRender has {REACT_WIDTH} or {ORIGINAL_WIDTH}."
        )
    weights = {name: tensors[name].float() for name in expected if not is_unused(name)}
    non_finite = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if non_finite:
        raise RenderError(f"{path} holds NaN or infinity in {_join_names(non_finite)}; get the file again.")
    return weights, architecture


def import_checkpoint(path: str | Path, out: str | Path) -> Architecture:
    """Rewrite a published checkpoint as a .safetensors without the unused tensors; returns its architecture."""
    path, out = Path(path), Path(out)
    weights, architecture = load_weights(path)
    file_metadata = {
        "format": "PIRender",
        "variant": "react58" if architecture.is_react else "original73",
        "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    partial = out.with_name(f".{out.name}.part")
    try:
        save_file({name: value.contiguous() for name, value in weights.items()}, partial, metadata=file_metadata)
        mask = os.umask(0o022)  # safetensors writes for the owner alone; a file gets what the umask leaves
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        partial.replace(out)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise RenderError(f"{out} cannot be written: choose a folder that exists and is writable.") from error
    return architecture


def _load_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise RenderError(f"There are no PIRender weights at {path}.")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else load_torch(path)
    except UnsafeFile as error:
        raise RenderError(f"{path} {error}; such files can run code and are not read.") from None
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, MemoryError) as error:
        raise RenderError(f"{path} is not a checkpoint that can be read; get the file again.") from error
    for key in WEIGHT_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise RenderError(f"{path} holds no table of tensors, neither itself nor under {', '.join(WEIGHT_KEYS)}.")
    return {str(name).removeprefix(PREFIX): value for name, value in content.items()}


def _compare(path: Path, tensor_shapes: Mapping, expected: Mapping, known: bool) -> None:
    missing = [name for name in expected if name not in tensor_shapes and not is_unused(name)]
    unexpected = [name for name in tensor_shapes if name not in expected]
    other = [
        f"{n} {tensor_shapes[n]} instead of {expected[n]}"
        for n in expected
        if n in tensor_shapes and tensor_shapes[n] != expected[n]
    ]
    problems = []
    if missing:
        problems.append(f"lacks {_join_names(missing)}")
    if unexpected:
        problems.append(f"has the unexpected {_join_names(unexpected)}")
    if other and known:
        problems.append(f"has other shapes: {_join_names(other)}")
    if problems:
        raise RenderError(f"{path} does not fit PIRender: it {'; it '.join(problems)}.")


def _join_names(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
