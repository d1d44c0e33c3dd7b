"""Which weights exist, where they are, and how a checkpoint is laid out.

A checkpoint is one safetensors file that carries the networks, the normaliser, the named styles and, as JSON in its
metadata, every architecture size. Loading says what is missing or unexpected, by name.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from perfrdiff.data.normalizer import Normalizer
from perfrdiff.errors import InputError
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig

FOLDER = Path(__file__).resolve().parent.parent / "checkpoints"
FORMAT = 1
NETWORKS: dict[str, tuple[type[nn.Module], type]] = {
    "denoiser": (Denoiser, DenoiserConfig),
    "style_encoder": (StyleEncoder, StyleEncoderConfig),
    "weight_editor": (WeightEditor, WeightEditorConfig),
}


@dataclass(frozen=True)
class SamplingDefaults:
    """How the weights are meant to be sampled."""

    steps: int = 50  # denoising network calls per window
    guidance: float = 7.5
    guidance_over: tuple[str, ...] = ()  # conditions the unconditional branch loses; empty: all of them (published)
    slide: int = 25  # new frames per window
    clamp: float = 1.0  # limit of a predicted x0, network units


@dataclass
class Checkpoint:
    """Networks in evaluation mode, with all that is needed to use them."""

    denoiser: Denoiser
    style_encoder: StyleEncoder
    weight_editor: WeightEditor
    normalizer: Normalizer
    styles: dict[str, Tensor]  # name -> (projection,) unit style vectors
    sampling: SamplingDefaults = field(default_factory=SamplingDefaults)
    description: str = ""
    name: str = ""
    sha256: str = ""


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write one safetensors file; nothing half-written stays behind."""
    tensors: dict[str, Tensor] = {}
    sizes = {}
    for name in NETWORKS:
        network = getattr(checkpoint, name)
        sizes[name] = asdict(network.config)
        tensors |= {f"{name}.{key}": value.contiguous() for key, value in network.state_dict().items()}
    tensors |= {f"normalizer.{key}": value for key, value in checkpoint.normalizer.tensors().items()}
    tensors |= {f"styles.{key}": value for key, value in checkpoint.styles.items()}
    header = {
        "format": str(FORMAT),
        "sizes": json.dumps(sizes, default=dict),
        "sampling": json.dumps(asdict(checkpoint.sampling)),
        "description": checkpoint.description,
    }
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=header)
    part.rename(path)


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
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise InputError(
            f"{path.name} cannot be read as safetensors weights ({error}); fetch or train it again."
        ) from None
    if header.get("format") != str(FORMAT):
        raise InputError(
            f"{path.name} holds no PerFRDiff checkpoint of format {FORMAT}; it says {header.get('format')}."
        )
    sizes = json.loads(header["sizes"])
    networks = {}
    for part, (network, config) in NETWORKS.items():
        built = network(config(**sizes[part]))
        _fill(built, _under(tensors, part), f"{path.name}, {part}")
        networks[part] = built.eval().requires_grad_(False)
    sampling = json.loads(header["sampling"])
    sampling["guidance_over"] = tuple(sampling["guidance_over"])
    return Checkpoint(
        **networks,
        normalizer=Normalizer(**_under(tensors, "normalizer")),
        styles=_under(tensors, "styles"),
        sampling=SamplingDefaults(**sampling),
        description=header.get("description", ""),
        name=path.stem,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(prefix + ".")}


def _fill(network: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
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
    network.load_state_dict({key: torch.as_tensor(value) for key, value in tensors.items()})
