"""The two published variants: their files, their settings, and their networks built from the files' tensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from perfrdiff.models.autoencoder import AutoencoderConfig, WindowAutoencoder
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.prior import Prior, PriorConfig
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, emotion_targets, render_targets
from perfrdiff.published.weights import names

ROLES = {
    "person encoder": "style_encoder",
    "emotion VAE": "autoencoder",
    "3DMM VAE": "coefficient_autoencoder",
    "diffusion prior network": "prior",
    "diffusion decoder network": "denoiser",
    "hypernet": "weight_editor",
}
"""How a role in the shape tables starts -> the network's name in our checkpoints."""
RENAMERS = {
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
    """What the published settings say and the files do not (docs/method.md 5.1)."""

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
    stored = json.loads(path.read_text(encoding="utf-8"))
    return {variant: tuple(_file(name, entry) for name, entry in files.items()) for variant, files in stored.items()}


def _file(path: str, entry: Mapping) -> PublishedFile:
    network = next(ours for words, ours in ROLES.items() if entry["role"].startswith(words))
    return PublishedFile(path, network, entry["role"], {key: tuple(shape) for key, shape in entry["keys"].items()})


def config_of(variant: Variant, network: str, shapes: Shapes, window: int):
    """The sizes of a network from the shapes of its published file; `window` in frames, which only the prior's has."""
    ours = RENAMERS[network]({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    if network == "style_encoder":
        return names.style_encoder_config(ours)
    if network in ("autoencoder", "coefficient_autoencoder"):
        return names.autoencoder_config(ours, window)
    if network == "prior":
        return names.prior_config(ours)
    if network == "denoiser":
        return _denoiser_config(variant, ours, window)
    raise ValueError(f"{network} has to be sized with editor_config")


def _denoiser_config(variant: Variant, ours: Mapping[str, Tensor], window: int) -> DenoiserConfig:
    width, features = ours["embed.weight"].shape
    return DenoiserConfig(
        variant=variant.name,
        features=features,
        width=width,
        layers=1 + max(int(key.split(".")[1]) for key in ours if key.startswith("layers.")),
        heads=variant.heads,
        feedforward=ours["layers.0.linear1.weight"].shape[0],
        window=window,
        reaction_delay=variant.reaction_delay,
        audio_scale=width**-0.5 if variant.scaled_audio else 1.0,
        time_width=ours["time1.weight"].shape[1],
        condition_widths=names.denoiser_widths(ours, dict.fromkeys(variant.latents, width)),
        drop_probability=dict(variant.drop_probability),
    )


def editor_config(variant: Variant, shapes: Shapes, denoiser: DenoiserConfig) -> WeightEditorConfig:
    """The published editor: shifts of whole attention projections (emotion) or of the last feed-forward block."""
    ours = RENAMERS["weight_editor"]({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    layers = tuple(layer for layer in variant.edited_layers if layer < denoiser.layers) or (denoiser.layers - 1,)
    targets = emotion_targets(denoiser, layers) if variant.name == "emotion" else render_targets(denoiser)
    return names.weight_editor_config(ours, targets)


def empty_network(config) -> nn.Module:
    """The network of a configuration, without spending memory on a dense editor (its tensors are on `meta`)."""
    kinds = {
        StyleEncoderConfig: StyleEncoder,
        AutoencoderConfig: WindowAutoencoder,
        PriorConfig: Prior,
        DenoiserConfig: Denoiser,
        WeightEditorConfig: WeightEditor,
    }
    with torch.device("meta" if isinstance(config, WeightEditorConfig) else "cpu"):
        return kinds[type(config)](config)


def build(variant: str, network: str, tensors: Mapping[str, Tensor], window: int = 50) -> nn.Module:
    """A network with the tensors of its published file (published keys), ready to use; not for the weight editor."""
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    config = config_of(VARIANTS[variant], network, shapes, window)
    return names.filled(empty_network(config), RENAMERS[network](tensors))
