"""Which weights there are, and what a file of them says about itself; without torch, which takes seconds to load."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from perfrdiff.errors import InputError
from renderer.resources import checkpoint_folder

FOLDER = checkpoint_folder()
FORMAT = 2
FORMAT_1_SOURCE = " (perfrdiff/data/simulated.py)"
"""Named in the description of the first demo weights, which visitors read; the module is elsewhere now."""
GENERIC = "Generic"  # the listening style of nobody in particular, which all weights have


@dataclass(frozen=True)
class WeightsSummary:
    """What one may choose with some weights, and the words about them."""

    name: str
    description: str
    styles: tuple[str, ...]  # the listening styles to choose from; the last is the generic one
    guidance_scale: float  # with which they sample unless asked otherwise


def available(folder: Path = FOLDER) -> tuple[str, ...]:
    """Names of the weights in the folder."""
    return tuple(sorted(path.stem for path in folder.glob("*.safetensors")))


def path_of(name: str, folder: Path = FOLDER) -> Path:
    """The file of these weights: `folder/name.safetensors`, or the path of such a file.

    Raises InputError, which lists those that exist, if there is none.
    """
    path = Path(name) if name.endswith(".safetensors") else folder / f"{name}.safetensors"
    if not path.is_file():
        present = ", ".join(available(folder)) or "none"
        raise InputError(f"There are no weights named '{name}': {path.name} is not in {folder}. Present: {present}.")
    return path


def read_metadata(path: Path, metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata of a file of weights, `path`, as the present format has them.

    Raises InputError for a file that is no checkpoint of format 1 or 2.
    """
    if metadata.get("format") not in ("1", str(FORMAT)):
        raise InputError(
            f"{path.name} holds no PerFRDiff checkpoint of format 1 or {FORMAT}; it says "
            f"{str(metadata.get('format'))[:40]!r}."
        )
    return {**metadata, "description": metadata.get("description", "").replace(FORMAT_1_SOURCE, "")}


def summary(name: str = "demo", folder: Path = FOLDER) -> WeightsSummary:
    """What the weights of that name say about themselves; whether their tensors fit is seen when they are loaded.

    Raises InputError for an unknown name, and for a file that is no checkpoint of format 1 or 2.
    """
    path = path_of(name, folder)
    try:
        with safe_open(path, "np") as file:
            metadata, keys = file.metadata() or {}, list(file.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path.name} cannot be read as safetensors weights ({error}); fetch it again.") from None
    about = read_metadata(path, metadata)
    styles = [key.removeprefix("styles.") for key in keys if key.startswith("styles.")]
    try:
        guidance_scale = float(json.loads(about["sampling"])["guidance"])
        if not math.isfinite(guidance_scale):
            raise ValueError("guidance")
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{path.name} does not say how to sample ({type(error).__name__}); fetch or import it again."
        ) from None
    return WeightsSummary(path.stem, about["description"], (*styles, GENERIC), guidance_scale)
