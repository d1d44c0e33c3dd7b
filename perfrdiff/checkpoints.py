"""Which weights exist, where they are, and how a checkpoint is laid out.

A checkpoint is one safetensors file that carries the networks, the normaliser, the named styles and, as JSON in its
metadata, every architecture size. Loading says what is missing or unexpected, by name.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perfrdiff.errors import InputError
from perfrdiff.files import read_safetensors, sha256_of, strip_prefix, write_safetensors
from perfrdiff.models import registry
from perfrdiff.models.autoencoder import WindowAutoencoder
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.models.motion_codec import MotionCodec
from perfrdiff.models.normalizer import Normalizer
from perfrdiff.models.prior import Prior
from perfrdiff.models.registry import NETWORKS
from perfrdiff.models.schedule import TRAIN_STEPS
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor
from perfrdiff.personal.calibration import CalibrationSpeakers
from perfrdiff.personal.event_probe import EventProbe
from perfrdiff.personal.style_probe import StyleProbe
from perfrdiff.sampling import SamplingOptions
from perfrdiff.weights import FOLDER, FORMAT, available, path_of, read_metadata

__all__ = ["FOLDER", "FORMAT", "Checkpoint", "available", "header", "load", "save"]

MOST_LAYERS, MOST_TARGETS, MOST_WIDE = 256, 4096, 1 << 24
"""Of sizes in a file's header; the published networks have 7 layers, 24 targets and rows of 786,432 numbers."""
TRANSFORMERS = ("denoiser", "style_encoder")
SPARE_NUMBERS = 1 << 24  # of fixed tables beyond the numbers in the file

FITTED = ("style_probe", "event_probe", "calibration")
"""Parts of the demo weights that are fitted numbers, no networks."""
FORMAT_1_KEYS = {
    "style_reading.mean": "style_probe.mean",
    "style_reading.weights": "style_probe.weights",
    "style_reading.moves": "style_probe.directions",
    "style_reading.usual": "style_probe.population_mean",
    "style_reading.spread": "style_probe.population_std",
    "style_reading.liveliest": "style_probe.max_token_std",
    "style_reading.trust": "style_probe.blend_weights",
    "style_reading.reach": "style_probe.blend_std",
    "style_reading.trust_known": "style_probe.blend_weights_in_distribution",
    "style_reading.reach_known": "style_probe.blend_std_in_distribution",
    "rehearsal.audio": "calibration.audio",
    "rehearsal.coefficients": "calibration.coefficients",
    "rehearsal.response": "calibration.response",
    "rehearsal.chance": "calibration.bias",
}
"""Tensors of format 1, as the demo weights have them -> their names of today; the others have kept their names."""


@dataclass
class Checkpoint:
    """Networks in evaluation mode, with all that is needed to use them."""

    denoiser: Denoiser
    style_encoder: StyleEncoder
    weight_editor: WeightEditor
    normalizer: Normalizer | MotionCodec | ListeningCodec  # how frames become what the networks see, and back
    styles: dict[str, Tensor]  # name -> (projection,) unit style vectors
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    description: str = ""
    name: str = ""
    sha256: str = ""
    autoencoder: WindowAutoencoder | None = None
    coefficient_autoencoder: WindowAutoencoder | None = None
    prior: Prior | None = None
    style_probe: StyleProbe | None = None  # reads habits from styles
    event_probe: EventProbe | None = None  # says which event features are to be expected of a listener
    calibration: CalibrationSpeakers | None = None  # brings reactions to a listener's habits; only with a style_probe

    @property
    def window_frames(self) -> tuple[int, int]:
        """Frames in a window, and new frames per window."""
        return self.denoiser.config.window * self.normalizer.patch, self.sampling.slide * self.normalizer.patch

    @property
    def hears(self) -> bool:
        """Whether the weights listen to features.hearing; others listen to MFCCs."""
        return isinstance(self.normalizer, ListeningCodec)

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
        module = getattr(checkpoint, name)
        if module is not None:
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    tensors |= {f"styles.{key}": value for key, value in checkpoint.styles.items()}
    write_safetensors(path, tensors, header(sizes, checkpoint.sampling, checkpoint.description))


def header(sizes: Mapping[str, dict], sampling: SamplingOptions, description: str) -> dict[str, str]:
    """A checkpoint's metadata; `sizes`: network name -> its configuration's fields."""
    return {
        "format": str(FORMAT),
        "sizes": json.dumps(sizes, default=dict),
        "sampling": json.dumps(asdict(sampling)),
        "description": description,
    }


def load(name: str = "demo", folder: Path = FOLDER) -> Checkpoint:
    """The weights of that name: `folder/name.safetensors`, or the path of such a file.

    Raises InputError for an unknown name (listing those that exist), a file that is no checkpoint of format 1 or 2, and
    a key that is missing, unexpected or of another shape.
    """
    path = path_of(name, folder)
    metadata, tensors = read_safetensors(path, "safetensors weights", "fetch or train it again")
    about = read_metadata(path, metadata)
    if about["format"] == "1":
        tensors = {FORMAT_1_KEYS.get(key, key): value for key, value in tensors.items()}
    try:
        return _build(path, about, tensors)
    except (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError, AttributeError, AssertionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path.name} does not say which networks it holds ({type(error).__name__}: {error}); fetch or import it "
            "again."
        ) from None


def _build(path: Path, about: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Checkpoint:
    """The checkpoint of a file's metadata and tensors."""
    sizes = json.loads(about["sizes"])
    _check_sizes(sizes)
    networks: dict[str, Any] = {}
    for name, kind in NETWORKS.items():
        if not kind.required and name not in sizes:
            continue
        # The published editor is built without memory of its own and then stays in the mapped file. The others have
        # fixed tables that are not in the file, so they are built in full.
        mapped = name == "weight_editor"
        _check_room(name, sizes[name], strip_prefix(tensors, name), f"{path.name}, {name}")
        network = registry.build(name, sizes[name], without_memory=mapped)
        _fill(network, strip_prefix(tensors, name), f"{path.name}, {name}", assign=mapped)
        if next(network.parameters()).dtype == torch.float16:
            network = network.float()
        networks[name] = network.eval().requires_grad_(False)
    sampling = json.loads(about["sampling"])
    sampling["guidance_over"] = tuple(sampling["guidance_over"])
    _check_sampling(sampling)
    probe, event_probe, calibration = (_copied(tensors, name) for name in FITTED)
    return Checkpoint(
        **networks,
        normalizer=_normalizer(_copied(tensors, "normalizer")),
        styles=_copied(tensors, "styles"),
        sampling=SamplingOptions(**sampling),
        description=about.get("description", ""),
        name=path.stem,
        sha256=sha256_of(path),
        style_probe=StyleProbe(**probe) if probe else None,
        event_probe=EventProbe(**event_probe) if event_probe else None,
        calibration=CalibrationSpeakers(**calibration) if calibration else None,
    )


def _copied(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of that name in memory of their own: those of a mapped file change when somebody writes over it."""
    return {key: tensor.clone() for key, tensor in strip_prefix(tensors, name).items()}


def _check_sizes(sizes: dict) -> None:
    """Raises ValueError for sizes that no network has; what they say is believed before any room is made for it."""
    left: list[object] = list(sizes.values())
    while left:
        value = left.pop()
        if isinstance(value, dict):
            deep = [value[name] for name in ("layers", "depth") if name in value]
            if len(value) > MOST_TARGETS or any(not isinstance(one, int) or one > MOST_LAYERS for one in deep):
                raise ValueError(f"more than {MOST_LAYERS} layers or {MOST_TARGETS} targets")
            heads = value.get("heads", 1)
            if not isinstance(heads, int) or heads < 1:
                raise ValueError(f"{heads} heads")
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if isinstance(value, int | float) and not 0 <= value <= MOST_WIDE:
            raise ValueError(f"a size that is not between 0 and {MOST_WIDE}")


def _check_room(name: str, sizes: object, tensors: dict[str, Tensor], where: str) -> None:
    """Raises InputError or ValueError for a network that would need far more room than its tensors in the file."""
    numbers = sum(tensor.numel() for tensor in tensors.values())
    if name not in TRANSFORMERS:
        network = registry.build(name, sizes, without_memory=True)
        _check_fit(network, tensors, where)
        needed = sum(table.numel() for table in network.buffers())
    else:  # the same would load torch's compiler, 1 s; but every one of their layers has matrices of these sizes
        config = registry.configuration(name, sizes)
        layers = config.layers * config.width * max(config.width, config.feedforward)
        needed = max([layers, *(size * config.width for size in _whole_numbers(asdict(config)))])
    if needed > numbers + SPARE_NUMBERS:
        raise ValueError(f"{name} would have {needed} numbers, of which {numbers} are there")


def _whole_numbers(value: object) -> list[int]:
    """All of them in nested tables."""
    if isinstance(value, dict):
        return [number for part in value.values() for number in _whole_numbers(part)]
    return [value] if isinstance(value, int) else []


def _check_sampling(sampling: dict) -> None:
    """Raises ValueError for settings of sampling that would be none, or never end."""
    for one in fields(SamplingOptions):
        value = sampling.get(one.name, one.default)
        kind = int | float if one.type in (float, "float") else type(one.default)
        if not isinstance(value, kind) or (isinstance(value, int | float) and not abs(value) <= MOST_WIDE):
            raise ValueError(f"the sampling's {one.name} is none")
    steps = [sampling.get(name, SamplingOptions.steps) for name in ("steps", "prior_steps")]
    if min(steps) < 1 or max(steps) > TRAIN_STEPS or sampling.get("slide", SamplingOptions.slide) < 1:
        raise ValueError("the sampling's steps or slide are none")


def _normalizer(tensors: dict[str, Tensor]) -> Normalizer | MotionCodec | ListeningCodec:
    if "descriptor_mean" in tensors:
        return ListeningCodec(**tensors)
    return MotionCodec(**tensors) if "listener_into" in tensors else Normalizer(**tensors)


def _check_fit(network: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Raises InputError that names what does not fit."""
    expected = network.state_dict()
    faults = [f"missing {key}" for key in expected.keys() - tensors.keys()]
    faults += [f"unexpected {key}" for key in tensors.keys() - expected.keys()]
    faults += [
        f"{key} has shape {tuple(tensors[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in expected.keys() & tensors.keys()
        if expected[key].shape != tensors[key].shape
    ]
    if faults:
        raise InputError(f"{where} does not fit its own sizes: {'; '.join(sorted(faults)[:10])}.")


def _fill(network: nn.Module, tensors: dict[str, Tensor], where: str, assign: bool = False) -> None:
    """Load strictly and name what does not fit."""
    _check_fit(network, tensors, where)
    network.load_state_dict({key: torch.as_tensor(value) for key, value in tensors.items()}, assign=assign)
