"""The two published variants: their files, their settings, and their networks built from the files' tensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from perfrdiff.models import registry
from perfrdiff.models.denoiser import DenoiserConfig
from perfrdiff.models.weight_editor import WeightEditorConfig, emotion_targets, render_targets
from perfrdiff.published.weights import names

NETWORK_OF_ROLE = {
    "person encoder": "style_encoder",
    "emotion VAE": "autoencoder",
    "3DMM VAE": "coefficient_autoencoder",
    "diffusion prior network": "prior",
    "diffusion decoder network": "denoiser",
    "hypernet": "weight_editor",
}
"""First words of a role in the shape tables -> the network's name in our checkpoints."""
RENAME_TENSORS = {
    "style_encoder": names.style_encoder_tensors,
    "autoencoder": names.autoencoder_tensors,
    "coefficient_autoencoder": names.autoencoder_tensors,
    "prior": names.prior_tensors,
    "denoiser": names.denoiser_tensors,
    "weight_editor": names.weight_editor_tensors,
}
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class PublishedFile:
    """One file of the published `checkpoints` folder."""

    path: str  # inside that folder
    network: str  # the network's name in our checkpoints
    role: str  # in words
    shapes: Shapes  # key -> shape, all float32


@dataclass(frozen=True)
class Variant:
    """Settings of a published variant that its files do not hold (docs/method.md 5.1)."""

    name: str  # "emotion" or "render"
    heads: int  # of the denoiser
    scaled_audio: bool  # audio tokens times width ** -0.5
    reaction_delay: int
    drop_probability: Mapping[str, float]  # of the conditions that are used
    latents: tuple[str, ...] = ()  # conditions as wide as the denoiser, without weights of their own
    edited_layers: tuple[int, ...] = ()  # layers whose cross-attention is edited (emotion)


VARIANTS = {
    "emotion": Variant(
        "emotion", 4, True, 0, {"audio": 0.2, "coefficients": 0.2, "speaker_latent": 0.2}, ("speaker_latent",), (4, 6)
    ),
    "render": Variant("render", 8, False, 8, {"audio": 0.2, "coefficients": 0.2, "past_listener": 0.2}),
}


def shape_tables(path: Path | None = None) -> dict[str, tuple[PublishedFile, ...]]:
    """Variant -> its files with every key and shape, as published; `path` reads another table of that layout."""
    return _tables(path or Path(__file__).with_name("shapes.json"))


@cache
def _tables(path: Path) -> dict[str, tuple[PublishedFile, ...]]:
    table = json.loads(path.read_text(encoding="utf-8"))
    return {variant: tuple(_file(name, entry) for name, entry in files.items()) for variant, files in table.items()}


def _file(path: str, entry: Mapping) -> PublishedFile:
    network = next(name for role, name in NETWORK_OF_ROLE.items() if entry["role"].startswith(role))
    return PublishedFile(path, network, entry["role"], {key: tuple(shape) for key, shape in entry["keys"].items()})


def network_config(variant: Variant, network: str, shapes: Shapes, window: int):
    """The sizes of a network from the shapes of its published file; `window` in frames, which only the prior's has."""
    tensors = RENAME_TENSORS[network]({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    if network == "style_encoder":
        return names.style_encoder_config(tensors)
    if network in ("autoencoder", "coefficient_autoencoder"):
        return names.autoencoder_config(tensors, window)
    if network == "prior":
        return names.prior_config(tensors)
    if network == "denoiser":
        return _denoiser_config(variant, tensors, window)
    raise ValueError(f"{network} has to be sized with editor_config")


def _denoiser_config(variant: Variant, tensors: Mapping[str, Tensor], window: int) -> DenoiserConfig:
    width, features = tensors["embed.weight"].shape
    return DenoiserConfig(
        variant=variant.name,
        features=features,
        width=width,
        layers=1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("layers.")),
        heads=variant.heads,
        feedforward=tensors["layers.0.linear1.weight"].shape[0],
        window=window,
        reaction_delay=variant.reaction_delay,
        audio_scale=width**-0.5 if variant.scaled_audio else 1.0,
        time_width=tensors["time1.weight"].shape[1],
        condition_widths=names.denoiser_widths(tensors, dict.fromkeys(variant.latents, width)),
        drop_probability=dict(variant.drop_probability),
    )


def editor_config(variant: Variant, shapes: Shapes, denoiser: DenoiserConfig) -> WeightEditorConfig:
    """The published editor: shifts of whole attention projections (emotion) or of the last feed-forward block."""
    tensors = RENAME_TENSORS["weight_editor"]({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    layers = tuple(layer for layer in variant.edited_layers if layer < denoiser.layers) or (denoiser.layers - 1,)
    targets = emotion_targets(denoiser, layers) if variant.name == "emotion" else render_targets(denoiser)
    return names.weight_editor_config(tensors, targets)


def build_network(variant: str, network: str, tensors: Mapping[str, Tensor], window: int = 50) -> nn.Module:
    """A network with the tensors of its published file (published keys), ready to use; not for the weight editor."""
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    config = network_config(VARIANTS[variant], network, shapes, window)
    return names.load_tensors(registry.build(network, config), RENAME_TENSORS[network](tensors))
