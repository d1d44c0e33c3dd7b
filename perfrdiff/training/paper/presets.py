"""What a stage is trained with where no --config is given: the paper's values, or, with --preset small, small ones.

The files lie in perfrdiff/published/config; docs/research.md says which of their values are published.
"""

from dataclasses import replace
from pathlib import Path

import torch

from perfrdiff.models.autoencoder import AutoencoderConfig
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.prior import PriorConfig
from perfrdiff.models.style_encoder import StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditorConfig
from perfrdiff.published import config
from perfrdiff.published.config.settings import DataSettings, PublishedConfig

CONFIG_FOLDER = Path(config.__file__).parent
PRESETS = ("paper", "small")
VARIANT_STAGES = ("generator", "weight-editor")
SMALL_WIDTH = 64  # of latents, tokens and styles
SMALL_LAYERS = 3  # of the denoiser; the last ones of the published seven
SMALL_EPOCHS = {"autoencoder": 40, "style encoder": 6, "generator": 15, "weight editor": 6}
SMALL_RATE = {"generator": 5e-4, "weight editor": 1e-2}  # the published rates want a hundred times the steps
SMALL_RANK = 8
SMALL_CLIP = 250  # frames; the windows of 50 stay


def paper_config(stage: str, variant: str) -> Path:
    """The file with the paper's values for a stage."""
    return CONFIG_FOLDER / (f"{stage}-{variant}.yaml" if stage in VARIANT_STAGES else f"{stage}.yaml")


def small(config: PublishedConfig) -> PublishedConfig:
    """The same stage with networks, batches and epochs that two processor cores train in minutes."""
    networks = {name: _small_network(sizes) for name, sizes in config.networks.items()}
    if "weight_editor" in networks:
        networks["weight_editor"] = _small_editor(config.networks, networks)
    epochs = SMALL_EPOCHS[config.stage]
    optimizer = replace(
        config.optimizer, learning_rate=SMALL_RATE.get(config.stage, config.optimizer.learning_rate), cosine=False
    )
    return replace(
        config,
        networks=networks,
        optimizer=optimizer,
        trainer=config.trainer.model_copy(update={"epochs": epochs, "val_period": epochs}),
        data={split: _small_data(settings) for split, settings in config.data.items()},
        sampling=config.sampling and replace(config.sampling, steps=10),
    )


def _small_data(settings: DataSettings) -> DataSettings:
    changes = {
        "batch_size": min(settings.batch_size, 8), "targets": min(settings.targets, 4), "clip_length": SMALL_CLIP,
        "num_person": 2, "num_sample": 3,
    }  # fmt: skip
    return settings.model_copy(update=changes)


def _small_network(sizes):
    if isinstance(sizes, AutoencoderConfig):
        return replace(sizes, hidden=SMALL_WIDTH, code=SMALL_WIDTH, decoder_layers=(SMALL_WIDTH, SMALL_WIDTH))
    if isinstance(sizes, StyleEncoderConfig):
        return replace(sizes, width=SMALL_WIDTH, layers=2, heads=4, feedforward=2 * SMALL_WIDTH, projection=SMALL_WIDTH)
    if isinstance(sizes, PriorConfig):
        return replace(sizes, width=SMALL_WIDTH, depth=2, head_width=16, widening=2)
    if isinstance(sizes, DenoiserConfig):
        latents = dict.fromkeys(("speaker_latent", "listener_latent", "personal"), SMALL_WIDTH)
        return replace(
            sizes, width=SMALL_WIDTH, layers=min(SMALL_LAYERS, sizes.layers), heads=4, feedforward=2 * SMALL_WIDTH,
            audio_scale=SMALL_WIDTH**-0.5 if sizes.variant == "emotion" else sizes.audio_scale,
            condition_widths=dict(sizes.condition_widths) | latents,
        )  # fmt: skip
    return sizes


def _small_editor(published: dict, networks: dict) -> WeightEditorConfig:
    """The same weights, counted from the last layer, of the small denoiser."""
    with torch.device("meta"):
        published_shapes, small_shapes = (
            {name: p.shape for name, p in Denoiser(sizes["denoiser"]).named_parameters()}
            for sizes in (published, networks)
        )
    targets = {}
    for name, (rows, _) in published["weight_editor"].targets.items():
        parts = name.split(".")
        if parts[0] == "layers":
            from_last = published["denoiser"].layers - int(parts[1])
            parts[1] = str(max(0, networks["denoiser"].layers - from_last))
        target = ".".join(parts)
        shape = small_shapes[target]
        targets[target] = (shape[0] * rows // published_shapes[name][0], shape[1])
    return replace(
        published["weight_editor"], style=SMALL_WIDTH, hidden=SMALL_WIDTH, targets=targets,
        rank=SMALL_RANK if published["weight_editor"].predict == "shift" else None,
    )  # fmt: skip
