"""A synthetic folder in the published layout, with all sizes reduced: what people download, in a few hundred kB."""

import json
import zipfile
from pathlib import Path

import torch

from perfrdiff.models.layers import sine_table
from perfrdiff.published.conformance.full_size import recipe_weights
from perfrdiff.published.weights.variants import PublishedFile, shape_tables

SMALLER = {
    512: 32, 1536: 96, 1024: 48, 537: 57, 570: 90, 128: 8, 4096: 256, 2048: 128, 50: 10, 5000: 60,
    12800: 25 * 32, 786432: 96 * 32, 29696: 58 * 32, 524288: 48 * 32,
}  # fmt: skip
"""Published size -> reduced size, consistent between the networks; sizes of features and heads stay."""


def reduced_tables() -> dict[str, tuple[PublishedFile, ...]]:
    """The published shape tables with every width reduced."""

    def small(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (2, 4) if key.endswith("null_kv") else tuple(SMALLER.get(size, size) for size in shape)

    return {
        variant: tuple(
            PublishedFile(file.path, file.network, file.role, {k: small(k, s) for k, s in file.shapes.items()})
            for file in files
        )
        for variant, files in shape_tables().items()
    }


def published_weights(file: PublishedFile, seed: int) -> dict[str, torch.Tensor]:
    """Random weights with the published keys; the render denoiser's tables are the fixed ones."""
    weights = recipe_weights(file.shapes, seed)
    if file.network == "denoiser" and "to_3dmm_embed.weight" in weights:
        for key in ("query_pos.pe", "mem_pos.pe"):
            weights[key] = sine_table(weights[key].shape[0], weights[key].shape[-1])[:, None]
    if file.network in ("denoiser", "weight_editor"):  # keep the sampling chain well conditioned
        weights = {k: v * 0.1 if k.startswith(("to_3dmm_feat", "to_emotion_feat", "branches")) else v
                   for k, v in weights.items()}  # fmt: skip
    return weights


def write_folder(folder: Path, variant: str, change=None) -> Path:
    """The variant's files below `folder`; `change(file, container)` may alter what is saved, None drops the file."""
    for seed, file in enumerate(reduced_tables()[variant]):
        container = {"state_dict": published_weights(file, seed), "optimizer": {"state": {}, "param_groups": []}}
        if change is not None:
            container = change(file, container)
        if container is not None:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(container, path)
    return folder


def write_zip(folder: Path, target: Path, root: str = "checkpoints") -> Path:
    """The folder as the zip that Drive makes of it."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{root}/{file.relative_to(folder).as_posix()}")
        archive.writestr(f"{root}/readme.json", json.dumps({"not": "a checkpoint"}))
    return target
