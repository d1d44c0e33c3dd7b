"""The files of a training folder: one per trained stage, the states of runs, the logs, and the finished weights.

autoencoder.safetensors, coefficient-autoencoder.safetensors, style-encoder.safetensors, generator.safetensors,
weight-editor.safetensors     the networks of a stage, with their sizes, variant and mean face
states/<stage>.safetensors    to take a run up again
logs/<stage>/                 for TensorBoard
weights.safetensors           all of them together, for --weights of 'react', 'evaluate' and the page
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from perfrdiff import checkpoints
from perfrdiff.coefficients import WIDTH
from perfrdiff.errors import InputError
from perfrdiff.features.audio import MFCC_WIDTH
from perfrdiff.files import check_disk_space, read_safetensors, strip_prefix, write_safetensors
from perfrdiff.models import registry
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.normalizer import Normalizer
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets
from perfrdiff.published.weights.convert import named_styles
from perfrdiff.sampling import SamplingOptions

STAGES = ("autoencoder", "coefficient-autoencoder", "style-encoder", "generator", "weight-editor")
STAGE_NETWORKS = {
    "autoencoder": ("autoencoder",),
    "coefficient-autoencoder": ("coefficient_autoencoder",),
    "style-encoder": ("style_encoder",),
    "generator": ("prior", "denoiser"),
    "weight-editor": ("weight_editor",),
}
"""Stage -> the networks it trains, as perfrdiff.checkpoints names them."""
EARLIER_STAGES = {"generator": ("autoencoder",), "weight-editor": ("autoencoder", "style-encoder", "generator")}
UNCHECKED_SIZES = ("max_tokens", "dropout")
"""Sizes that may differ between the configurations of two stages, as no tensor depends on them: the published style
encoder's says 5000 frames, those that use it 1000."""
FORMAT = "1"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class StageFile:
    """A trained stage."""

    stage: str
    variant: str | None
    networks: Mapping[str, nn.Module]
    mean: Tensor  # (58,) the mean face that was subtracted
    sampling: SamplingOptions | None


def stage_path(folder: Path, stage: str) -> Path:
    return folder / f"{stage}.safetensors"


def state_path(folder: Path, stage: str) -> Path:
    return folder / "states" / f"{stage}.safetensors"


def sizes_as_json(config) -> dict:
    """A configuration as JSON keeps it."""
    return json.loads(json.dumps(asdict(config), default=dict))


def save(
    folder: Path, stage: str, variant: str | None, networks: Mapping[str, nn.Module], mean: Tensor,
    sampling: SamplingOptions | None,
) -> Path:  # fmt: skip
    """Write a stage's networks; nothing half-written stays behind."""
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    header = {
        "perfrdiff_stage": FORMAT,
        "stage": stage,
        "variant": json.dumps(variant),
        "sizes": {name: sizes_as_json(network.config) for name, network in networks.items()},
        "sampling": json.dumps(None if sampling is None else asdict(sampling)),
    }
    target = stage_path(folder, stage)
    write_safetensors(target, tensors | {"mean_face": mean}, header)
    return target


def load(folder: Path, stage: str) -> StageFile:
    """A trained stage of the folder, its networks in evaluation mode.

    Raises InputError where the stage has not been trained, or the file holds another stage.
    """
    path = stage_path(folder, stage)
    if not path.is_file():
        raise InputError(f"{path} is missing: train the stage first, with perfrdiff train {stage}.")
    header, tensors = read_safetensors(path, "a trained stage", "train the stage again")
    _check_stage_file(path, header, stage)
    networks = {}
    for name, sizes in json.loads(header["sizes"]).items():
        network = registry.build(name, sizes)
        network.load_state_dict(strip_prefix(tensors, name))
        networks[name] = network.eval()
    sampling = json.loads(header["sampling"])
    if sampling is not None:
        sampling = SamplingOptions(**sampling | {"guidance_over": tuple(sampling["guidance_over"])})
    return StageFile(stage, json.loads(header["variant"]), networks, tensors["mean_face"], sampling)


def check_sizes(trained: Mapping[str, dict], configured: Mapping[str, object], source: str) -> None:
    """Raises InputError where networks (name -> sizes) have other sizes than the configuration says."""
    for name, sizes in trained.items():
        if name not in configured:
            continue
        expected = sizes_as_json(configured[name])
        different = [key for key in expected if key not in UNCHECKED_SIZES and sizes.get(key) != expected[key]]
        if different:
            pairs = ", ".join(f"{key} {sizes.get(key)} there, {expected[key]} here" for key in different)
            raise InputError(f"The {name} trained before does not fit {source}: {pairs}.")


def check_finished(path: Path, stage: str, variant: str | None, configured: Mapping[str, object], source: str) -> None:
    """Raises InputError unless the file holds this stage, of this variant and of the configured sizes."""
    header, _ = read_safetensors(path, "a trained stage", "train the stage again")
    _check_stage_file(path, header, stage)
    saved_variant = json.loads(header["variant"])
    if saved_variant not in (None, variant):
        raise InputError(f"{path} is of the {saved_variant} variant, not the {variant} one; give another --out.")
    check_sizes(json.loads(header["sizes"]), configured, source)


def _check_stage_file(path: Path, header: Mapping[str, str], stage: str) -> None:
    if header.get("perfrdiff_stage") != FORMAT or header.get("stage") != stage:
        raise InputError(f"{path} does not hold the stage {stage}; it says {header.get('stage')}.")


def check_parameters_fit(folder: Path, parameters: int, copies: float, extra: int = 0) -> None:
    """Raises InputError if `copies` of that many float32 numbers, and `extra` bytes, do not fit on the disk."""
    root = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    check_disk_space(root, int(4 * parameters * copies) + extra)


def assemble(folder: Path, target: Path | None = None) -> Path:
    """Put the trained stages together into one file that the Reactor loads.

    Without a weight editor every listener gets the generic generator: the editor in the file shifts nothing.

    Raises InputError for a missing stage, for stages of different variants, and for stages of different data.
    """
    optional = [stage for stage in ("coefficient-autoencoder", "weight-editor") if stage_path(folder, stage).is_file()]
    stages = [load(folder, stage) for stage in ("generator", "style-encoder", "autoencoder", *optional)]
    generator, networks = stages[0], {}
    for stage in stages:
        if stage.variant not in (None, generator.variant):
            raise InputError(f"The {stage.stage} is of the {stage.variant} variant, the generator {generator.variant}.")
        if not torch.equal(stage.mean, generator.mean):
            raise InputError(
                f"{stage_path(folder, stage.stage)} was trained with another mean face than the generator, so on other "
                f"data; train the stage {stage.stage} again."
            )
        networks |= stage.networks
    description = f"Trained by perfrdiff train, {generator.variant} variant."
    if "weight_editor" not in networks:
        networks["weight_editor"] = zero_weight_editor(networks["style_encoder"], networks["denoiser"])
        description += " No weight editor was trained: every listener is the generic one."
    mean = generator.mean
    normalizer = Normalizer(mean, torch.ones(WIDTH), torch.zeros(MFCC_WIDTH), torch.ones(MFCC_WIDTH))
    styles = named_styles(networks["style_encoder"], normalizer)
    path = target or folder / WEIGHTS
    parameters = sum(tensor.numel() for network in networks.values() for tensor in network.state_dict().values())
    check_parameters_fit(path.parent, parameters, 1.1)
    checkpoints.save(
        checkpoints.Checkpoint(
            normalizer=normalizer, styles=styles, sampling=generator.sampling, description=description, **networks
        ),
        path,
    )
    return path


def zero_weight_editor(encoder: StyleEncoder, denoiser: Denoiser) -> WeightEditor:
    """An editor of rank 1 that shifts nothing."""
    config = denoiser.config
    targets = (
        render_targets(config) if config.variant == "render" else {"output.weight": (config.features, config.width)}
    )
    return WeightEditor(WeightEditorConfig(style=encoder.config.projection, hidden=1, rank=1, targets=targets)).eval()
