"""What a training folder holds: a file per trained stage, the states of runs, the logs, and the finished weights.

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
from perfrdiff.files import check_room, read_safetensors, under, write_safetensors
from perfrdiff.models import registry
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.normalizer import Normalizer
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets
from perfrdiff.published.weights.convert import named_styles
from perfrdiff.sampling import SamplingOptions

STAGES = ("autoencoder", "coefficient-autoencoder", "style-encoder", "generator", "weight-editor")
NETWORKS_OF = {
    "autoencoder": ("autoencoder",),
    "coefficient-autoencoder": ("coefficient_autoencoder",),
    "style-encoder": ("style_encoder",),
    "generator": ("prior", "denoiser"),
    "weight-editor": ("weight_editor",),
}
"""Stage -> the networks it trains, as perfrdiff.checkpoints names them."""
NEEDS = {"generator": ("autoencoder",), "weight-editor": ("autoencoder", "style-encoder", "generator")}
WITHOUT_WEIGHTS = ("max_frames", "dropout")
"""What may differ between the files of two stages: the published style encoder's says 5000 frames, those that use it
1000."""
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


def place(folder: Path, stage: str) -> Path:
    return folder / f"{stage}.safetensors"


def state_place(folder: Path, stage: str) -> Path:
    return folder / "states" / f"{stage}.safetensors"


def sizes_of(config) -> dict:
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
    about = {
        "perfrdiff_stage": FORMAT,
        "stage": stage,
        "variant": json.dumps(variant),
        "sizes": {name: sizes_of(network.config) for name, network in networks.items()},
        "sampling": json.dumps(None if sampling is None else asdict(sampling)),
    }
    target = place(folder, stage)
    write_safetensors(target, tensors | {"mean_face": mean}, about)
    return target


def load(folder: Path, stage: str) -> StageFile:
    """A trained stage of the folder, its networks in evaluation mode.

    Raises InputError where the stage has not been trained, or the file is another's.
    """
    path = place(folder, stage)
    if not path.is_file():
        raise InputError(f"{path} is missing: train the stage first, with python -m perfrdiff train {stage}.")
    about, tensors = read_safetensors(path, "a trained stage", "train the stage again")
    _check_stage_file(path, about, stage)
    networks = {}
    for name, sizes in json.loads(about["sizes"]).items():
        network = registry.build(name, sizes)
        network.load_state_dict(under(tensors, name))
        networks[name] = network.eval()
    sampling = json.loads(about["sampling"])
    if sampling is not None:
        sampling = SamplingOptions(**sampling | {"guidance_over": tuple(sampling["guidance_over"])})
    return StageFile(stage, json.loads(about["variant"]), networks, tensors["mean_face"], sampling)


def check_sizes(trained: Mapping[str, dict], wanted: Mapping[str, object], source: str) -> None:
    """Raises InputError where networks (name -> sizes) have other sizes than the configuration says."""
    for name, there in trained.items():
        if name not in wanted:
            continue
        here = sizes_of(wanted[name])
        other = [key for key in here if key not in WITHOUT_WEIGHTS and there.get(key) != here[key]]
        if other:
            told = ", ".join(f"{key} {there.get(key)} there, {here[key]} here" for key in other)
            raise InputError(f"The {name} trained before does not fit {source}: {told}.")


def check_finished(path: Path, stage: str, variant: str | None, wanted: Mapping[str, object], source: str) -> None:
    """Raises InputError unless the file holds this stage, of the variant and the sizes that are wanted."""
    about, _ = read_safetensors(path, "a trained stage", "train the stage again")
    _check_stage_file(path, about, stage)
    there = json.loads(about["variant"])
    if there not in (None, variant):
        raise InputError(f"{path} is of the {there} variant, not the {variant} one; give another --out.")
    check_sizes(json.loads(about["sizes"]), wanted, source)


def _check_stage_file(path: Path, about: Mapping[str, str], stage: str) -> None:
    if about.get("perfrdiff_stage") != FORMAT or about.get("stage") != stage:
        raise InputError(f"{path} does not hold the stage {stage}; it says {about.get('stage')}.")


def check_parameters_fit(folder: Path, parameters: int, copies: float, extra: int = 0) -> None:
    """Raises InputError if `copies` of that many float32 numbers, and `extra` bytes, do not fit on the disk."""
    root = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    check_room(root, int(4 * parameters * copies) + extra)


def assemble(folder: Path, target: Path | None = None) -> Path:
    """Put the trained stages together into one file that the Reactor loads.

    Without a weight editor every listener gets the generic generator: the editor in the file shifts nothing.

    Raises InputError for a missing stage, for stages of different variants, and for stages of different data.
    """
    optional = [stage for stage in ("coefficient-autoencoder", "weight-editor") if place(folder, stage).is_file()]
    stages = [load(folder, stage) for stage in ("generator", "style-encoder", "autoencoder", *optional)]
    generator, made = stages[0], {}
    for stage in stages:
        if stage.variant not in (None, generator.variant):
            raise InputError(f"The {stage.stage} is of the {stage.variant} variant, the generator {generator.variant}.")
        if not torch.equal(stage.mean, generator.mean):
            raise InputError(
                f"{place(folder, stage.stage)} was trained with another mean face than the generator, so on other "
                f"data; train the stage {stage.stage} again."
            )
        made |= stage.networks
    said = f"Trained by python -m perfrdiff train, {generator.variant} variant."
    if "weight_editor" not in made:
        made["weight_editor"] = nothing_to_edit(made["style_encoder"], made["denoiser"])
        said += " No weight editor was trained: every listener is the generic one."
    mean = generator.mean
    normalizer = Normalizer(mean, torch.ones(WIDTH), torch.zeros(MFCC_WIDTH), torch.ones(MFCC_WIDTH))
    styles = named_styles(made["style_encoder"], normalizer)
    path = target or folder / WEIGHTS
    parameters = sum(tensor.numel() for network in made.values() for tensor in network.state_dict().values())
    check_parameters_fit(path.parent, parameters, 1.1)
    checkpoints.save(
        checkpoints.Checkpoint(
            normalizer=normalizer, styles=styles, sampling=generator.sampling, description=said, **made
        ),
        path,
    )
    return path


def nothing_to_edit(encoder: StyleEncoder, denoiser: Denoiser) -> WeightEditor:
    """An editor of rank 1 that shifts nothing."""
    config = denoiser.config
    targets = (
        render_targets(config) if config.variant == "render" else {"output.weight": (config.features, config.width)}
    )
    return WeightEditor(WeightEditorConfig(style=encoder.config.projection, hidden=1, rank=1, targets=targets)).eval()
