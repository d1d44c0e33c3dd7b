"""Which weights exist, where they are, and how a checkpoint is laid out.

A checkpoint is one safetensors file that carries the networks, the normaliser, the named styles and, as JSON in its
metadata, every architecture size. Loading says what is missing or unexpected, by name.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from perfrdiff.data.motion_codec import MotionCodec
from perfrdiff.data.normalizer import Normalizer
from perfrdiff.errors import InputError
from perfrdiff.files import save_tensors
from perfrdiff.models.autoencoder import AutoencoderConfig, WindowAutoencoder
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.prior import Prior, PriorConfig
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig
from perfrdiff.rehearsal import Rehearsal
from perfrdiff.style_reading import StyleReading

FOLDER = Path(os.environ.get("PERFRDIFF_CHECKPOINTS") or Path(__file__).resolve().parent.parent / "checkpoints")
FORMAT = 1
NETWORKS: dict[str, tuple[type[nn.Module], type]] = {
    "denoiser": (Denoiser, DenoiserConfig),
    "style_encoder": (StyleEncoder, StyleEncoderConfig),
    "weight_editor": (WeightEditor, WeightEditorConfig),
}
PUBLISHED_ONLY: dict[str, tuple[type[nn.Module], type]] = {
    "autoencoder": (WindowAutoencoder, AutoencoderConfig),  # attributes -> latent, coefficients
    "coefficient_autoencoder": (WindowAutoencoder, AutoencoderConfig),
    "prior": (Prior, PriorConfig),
}
"""Networks that only imported published weights have."""


@dataclass(frozen=True)
class SamplingDefaults:
    """How the weights are meant to be sampled."""

    steps: int = 50  # denoising network calls per window
    guidance: float = 7.5
    guidance_over: tuple[str, ...] = ()  # conditions the unconditional branch loses; empty: all of them (published)
    slide: int = 25  # new frames (tokens, where weights have these) per window
    clamp: float = 1.0  # limit of a predicted x0, network units
    head_smoothing: float = 0.0  # frames: standard deviation of a Gaussian over where the head is; a third over nods
    solver: str = "ddim"  # (published) or "dpm": `sampling.dpm_solver`
    audio_range: bool = False  # scale the speaker's audio to 0 … 1 over the clip (published render weights)


@dataclass
class Checkpoint:
    """Networks in evaluation mode, with all that is needed to use them."""

    denoiser: Denoiser
    style_encoder: StyleEncoder
    weight_editor: WeightEditor
    normalizer: Normalizer | MotionCodec  # how frames become what the networks see, and back
    styles: dict[str, Tensor]  # name -> (projection,) unit style vectors
    sampling: SamplingDefaults = field(default_factory=SamplingDefaults)
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
    for name in (*NETWORKS, *PUBLISHED_ONLY):
        network = getattr(checkpoint, name)
        if network is None:
            continue
        sizes[name] = asdict(network.config)
        for key, value in network.state_dict().items():
            tensors[f"{name}.{key}"] = (value.half() if half else value).contiguous()
    tensors |= {f"normalizer.{key}": value.contiguous() for key, value in checkpoint.normalizer.tensors().items()}
    tensors |= {f"styles.{key}": value for key, value in checkpoint.styles.items()}
    for name in ("style_reading", "rehearsal"):
        part = getattr(checkpoint, name)
        if part is not None:
            tensors |= {f"{name}.{key}": value.contiguous() for key, value in part.tensors().items()}
    save_tensors(tensors, path, header(sizes, checkpoint.sampling, checkpoint.description))


def header(sizes: Mapping[str, dict], sampling: SamplingDefaults, description: str) -> dict[str, str]:
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
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise InputError(
            f"{path.name} cannot be read as safetensors weights ({error}); fetch or train it again."
        ) from None
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
    networks = {}
    for part, (network, config) in (NETWORKS | PUBLISHED_ONLY).items():
        if part in PUBLISHED_ONLY and part not in sizes:
            continue
        # The published editor has 1.6 billion numbers: it is built without memory of its own and then stays in the
        # mapped file. The others have fixed tables that are not in the file, so they are built in full.
        mapped = network is WeightEditor
        with torch.device("meta" if mapped else "cpu"):
            built = network(config(**sizes[part]))
        _fill(built, _under(tensors, part), f"{path.name}, {part}", assign=mapped)
        if next(built.parameters()).dtype == torch.float16:
            built = built.float()
        networks[part] = built.eval().requires_grad_(False)
    sampling = json.loads(about["sampling"])
    sampling["guidance_over"] = tuple(sampling["guidance_over"])
    reading, rehearsal = _under(tensors, "style_reading"), _under(tensors, "rehearsal")
    return Checkpoint(
        **networks,
        normalizer=_normalizer(_under(tensors, "normalizer")),
        styles=_under(tensors, "styles"),
        sampling=SamplingDefaults(**sampling),
        description=about.get("description", ""),
        name=path.stem,
        sha256=_sha256(path),
        style_reading=StyleReading(**reading) if reading else None,
        rehearsal=Rehearsal(**rehearsal) if rehearsal else None,
    )


def _normalizer(tensors: dict[str, Tensor]) -> Normalizer | MotionCodec:
    return MotionCodec(**tensors) if "listener_into" in tensors else Normalizer(**tensors)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(prefix + ".")}


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
