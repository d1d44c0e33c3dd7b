"""Every network there is, under the one name that checkpoints, training and the published files' tables use for it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from perfrdiff.models.autoencoder import AutoencoderConfig, WindowAutoencoder
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.prior import Prior, PriorConfig
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig


@dataclass(frozen=True)
class NetworkKind:
    """A network's class, and the class of its sizes."""

    network: type[nn.Module]
    config: type
    required: bool = False  # whether no checkpoint is without it; the others belong to the paper's weights


NETWORKS = {
    "denoiser": NetworkKind(Denoiser, DenoiserConfig, required=True),
    "style_encoder": NetworkKind(StyleEncoder, StyleEncoderConfig, required=True),
    "weight_editor": NetworkKind(WeightEditor, WeightEditorConfig, required=True),
    "autoencoder": NetworkKind(WindowAutoencoder, AutoencoderConfig),  # attributes -> latent, coefficients
    "coefficient_autoencoder": NetworkKind(WindowAutoencoder, AutoencoderConfig),  # coefficients -> latent, attributes
    "prior": NetworkKind(Prior, PriorConfig),
}


FORMER_SIZES = {"max_frames": "max_tokens"}
"""Sizes as files of format 1 name them -> their names of today."""


def build(name: str, sizes: object, without_memory: bool = False) -> nn.Module:
    """The network of that name with these sizes, a configuration or its fields as JSON gives them.

    `without_memory`: its tensors are on `meta`, to be filled by assignment. The weight editor of the paper has 1.6
    billion numbers. Raises TypeError or ValueError for sizes that make no network.
    """
    with torch.device("meta" if without_memory else "cpu"):
        return NETWORKS[name].network(configuration(name, sizes))


def configuration(name: str, sizes: object) -> Any:
    """The configuration of the network of that name, of one or of its fields as JSON gives them; raises as `build`."""
    kind = NETWORKS[name]
    if isinstance(sizes, dict):
        sizes = kind.config(
            **{
                FORMER_SIZES.get(key, key): tuple(value) if isinstance(value, list) else value
                for key, value in sizes.items()
            }
        )
    return sizes
