"""Which weights exist, where they are, and how a checkpoint is laid out.

A checkpoint is one safetensors file that carries the networks, the normaliser, the named styles and, as JSON in its
metadata, every architecture size. Loading says what is missing or unexpected, by name.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perfrdiff.errors import InputError
from perfrdiff.files import read_safetensors, sha256_of, under, write_safetensors
from perfrdiff.models import registry
from perfrdiff.models.autoencoder import WindowAutoencoder
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.motion_codec import MotionCodec
from perfrdiff.models.normalizer import Normalizer
from perfrdiff.models.prior import Prior
from perfrdiff.models.registry import NETWORKS
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor
from perfrdiff.personal.calibration import Rehearsal
from perfrdiff.personal.style_probe import StyleReading
from perfrdiff.sampling import SamplingOptions
from renderer.resources import checkpoint_folder

FOLDER = checkpoint_folder()
FORMAT = 1
FITTED = ("style_reading", "rehearsal")
"""Parts of the demo weights that are fitted numbers, no networks."""


@dataclass
class Checkpoint:
    """Networks in evaluation mode, with all that is needed to use them."""

    denoiser: Denoiser
    style_encoder: StyleEncoder
    weight_editor: WeightEditor
    normalizer: Normalizer | MotionCodec  # how frames become what the networks see, and back
    styles: dict[str, Tensor]  # name -> (projection,) unit style vectors
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    description: str = ""
    name: str = ""
    sha256: str = ""
    autoencoder: WindowAutoencoder | None = None
    coefficient_autoencoder: WindowAutoencoder | None = None
    prior: Prior | None = None
    style_reading: StyleReading | None = None  # by which a style is told what was counted
    rehearsal: Rehearsal | None = None  # by which reactions are brought to a listener's habits; with a style_reading

    @property
    def window_frames(self) -> tuple[int, int]:
        """Frames in a window, and new frames per window."""
        return self.denoiser.config.window * self.normalizer.patch, self.sampling.slide * self.normalizer.patch

    @property
    def published(self) -> bool:
        """Whether these are imported weights of the paper."""
        return self.autoencoder is not None


def save(checkpoint: Checkpoint, path: Path, half: bool = False) -> None:
    """Write one safetensors file; nothing half-written stays behind.

    `half` keeps the networks' numbers in 16 bits, which halves the file; they are computed with in 32 bits either way.
    """
    tensors: dict[str, Tensor] = {}
    sizes = {}
    for name in NETWORKS:
        network = getattr(checkpoint, name)
        if network is None:
            continue
        sizes[name] = asdict(network.config)
        for key, value in network.state_dict().items():
            tensors[f"{name}.{key}"] = value.half() if half else value
    for name in ("normalizer", *FITTED):
        part = getattr(checkpoint, name)
        if part is not None:
            tensors |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
    tensors |= {f"styles.{key}": value for key, value in checkpoint.styles.items()}
    write_safetensors(path, tensors, header(sizes, checkpoint.sampling, checkpoint.description))


def header(sizes: Mapping[str, dict], sampling: SamplingOptions, description: str) -> dict[str, str]:
    """What a checkpoint says of itself: network name -> its configuration's fields, how to sample, what it is."""
    return {
        "format": str(FORMAT),
        "sizes": json.dumps(sizes, default=dict),
        "sampling": json.dumps(asdict(sampling)),
        "description": description,
    }


def available(folder: Path = FOLDER) -> tuple[str, ...]:
    """Names of the weights in the folder, for `load`."""
    return tuple(sorted(path.stem for path in folder.glob("*.safetensors")))


def load(name: str = "demo", folder: Path = FOLDER) -> Checkpoint:
    """The weights of that name: `folder/name.safetensors`, or the path of such a file.

    Raises InputError for an unknown name (listing those that exist), a file that is no checkpoint of this format, and a
    key that is missing, unexpected or of another shape.
    """
    path = Path(name) if name.endswith(".safetensors") else folder / f"{name}.safetensors"
    if not path.is_file():
        known = ", ".join(available(folder)) or "none"
        raise InputError(f"There are no weights named '{name}': {path.name} is not in {folder}. Present: {known}.")
    about, tensors = read_safetensors(path, "safetensors weights", "fetch or train it again")
    if about.get("format") != str(FORMAT):
        raise InputError(
            f"{path.name} holds no PerFRDiff checkpoint of format {FORMAT}; it says {about.get('format')}."
        )
    try:
        return _built(path, about, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path.name} does not say which networks it holds ({type(error).__name__}: {error}); fetch or import it "
            "again."
        ) from None


def _built(path: Path, about: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Checkpoint:
    """The checkpoint of a file's metadata and tensors."""
    sizes = json.loads(about["sizes"])
    networks: dict[str, Any] = {}
    for name, kind in NETWORKS.items():
        if not kind.required and name not in sizes:
            continue
        # The published editor is built without memory of its own and then stays in the mapped file. The others have
        # fixed tables that are not in the file, so they are built in full.
        mapped = name == "weight_editor"
        network = registry.build(name, sizes[name], without_memory=mapped)
        _fill(network, under(tensors, name), f"{path.name}, {name}", assign=mapped)
        if next(network.parameters()).dtype == torch.float16:
            network = network.float()
        networks[name] = network.eval().requires_grad_(False)
    sampling = json.loads(about["sampling"])
    sampling["guidance_over"] = tuple(sampling["guidance_over"])
    probe, rehearsal = under(tensors, "style_reading"), under(tensors, "rehearsal")
    return Checkpoint(
        **networks,
        normalizer=_normalizer(under(tensors, "normalizer")),
        styles=under(tensors, "styles"),
        sampling=SamplingOptions(**sampling),
        description=about.get("description", ""),
        name=path.stem,
        sha256=sha256_of(path),
        style_reading=StyleReading(**probe) if probe else None,
        rehearsal=Rehearsal(**rehearsal) if rehearsal else None,
    )


def _normalizer(tensors: dict[str, Tensor]) -> Normalizer | MotionCodec:
    return MotionCodec(**tensors) if "listener_into" in tensors else Normalizer(**tensors)


def _fill(network: nn.Module, tensors: dict[str, Tensor], where: str, assign: bool = False) -> None:
    """Load strictly and name what does not fit."""
    wanted = network.state_dict()
    faults = [f"missing {key}" for key in wanted.keys() - tensors.keys()]
    faults += [f"unexpected {key}" for key in tensors.keys() - wanted.keys()]
    faults += [
        f"{key} has shape {tuple(tensors[key].shape)}, expected {tuple(wanted[key].shape)}"
        for key in wanted.keys() & tensors.keys()
        if wanted[key].shape != tensors[key].shape
    ]
    if faults:
        raise InputError(f"{where} does not fit its own sizes: {'; '.join(sorted(faults)[:10])}.")
    network.load_state_dict({key: torch.as_tensor(value) for key, value in tensors.items()}, assign=assign)
