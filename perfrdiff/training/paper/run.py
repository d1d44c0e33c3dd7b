"""One stage of the paper, from a configuration in the published layout to its file in the training folder."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from perfrdiff.data.react2024.dataset import ReactData, check_files_exist, data_folder, fingerprint, open_split
from perfrdiff.errors import InputError
from perfrdiff.models import registry
from perfrdiff.published.config.reader import read_config
from perfrdiff.published.config.settings import DataSettings, PublishedConfig
from perfrdiff.published.inference import PublishedModel
from perfrdiff.sampling import SamplingOptions
from perfrdiff.training.engine import RunFiles, Stage, fit, make_accelerator
from perfrdiff.training.paper import files
from perfrdiff.training.paper.autoencoder import AutoencoderModel, AutoencoderStage
from perfrdiff.training.paper.generator import GeneratorModel, GeneratorStage
from perfrdiff.training.paper.presets import PRESETS, paper_config, small
from perfrdiff.training.paper.style_encoder import StyleModel, StyleStage
from perfrdiff.training.paper.weight_editor import EditorModel, EditorStage
from perfrdiff.training.plan import TrainingPlan
from perfrdiff.training.run_state import check_identity, read_state

DEFAULT_VARIANT = "render"  # where neither --config nor --variant says which
PUBLISHED_GRADIENT_NORM = 5.0  # limit, where a published file says that it clips


@dataclass(frozen=True)
class TrainRequest:
    """What a person asks for; None: what the configuration says."""

    stage: str
    config: Path | None  # None: the paper's values
    out: Path
    data: Path | None = None
    variant: str | None = None
    epochs: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    clip_length: int | None = None
    seed: int | None = None
    precision: str = "no"
    clip: float | None = None
    ema: float = 0.0
    rank: int | None = None  # of the weight editor; None: full, as published
    published_dropout: bool = False  # of the frozen networks while the weight editor is trained
    log_every: int = 10
    save_every: int | None = None  # steps
    check_every: int | None = None  # steps; 0: never
    device: str = "auto"
    restart: bool = False
    strict: bool = False
    preset: str = "paper"  # or "small": small networks, few epochs


def read_request(request: TrainRequest) -> tuple[PublishedConfig, dict[str, object]]:
    """The stage's configuration and its networks' sizes, with what the request changes.

    Raises InputError for a configuration of another stage or variant, and for options out of range.
    """
    if request.stage not in files.STAGES:
        raise InputError(f"There is no stage '{request.stage}'; there are {', '.join(files.STAGES)}.")
    if request.preset not in PRESETS:
        raise InputError(f"There is no preset '{request.preset}'; there are {', '.join(PRESETS)}.")
    path = request.config or paper_config(request.stage, request.variant or DEFAULT_VARIANT)
    config = read_config(path, request.strict)
    _check_stage(request, config)
    if request.preset == "small":
        config = small(config)
    return config, _networks(request, config)


def train(request: TrainRequest, say: Callable[[str], None] = print) -> Path:
    """Train a stage; returns its file. Whatever is wrong with the request is reported before the first step.

    Raises InputError in one sentence: a configuration of another stage or variant, missing or unfit earlier stages, a
    state of another run, too little disk, data that is missing or broken.
    """
    config, networks = read_request(request)
    earlier = _earlier_networks(request, config, networks)
    stage_networks = {name: networks[name] for name in files.STAGE_NETWORKS[request.stage]}
    with torch.device("meta"):
        parameters = sum(
            p.numel() for name, sizes in stage_networks.items() for p in registry.build(name, sizes).parameters()
        )
    state = files.state_path(request.out, request.stage)
    files.check_parameters_fit(request.out, parameters, _copies(request, config, state))
    settings = _settings(request, config, "train")
    folder = data_folder(Path(request.data or settings.path), settings.split)
    validation_splits = _validation_splits(request, config, folder)
    check_files_exist(folder, [settings.split, *validation_splits])
    identity = _identity(request, config, networks, settings) | {"data": fingerprint(folder, settings.split)}
    if state.exists() and not request.restart:
        check_identity(state, read_state(state)[0], identity)

    placement = TrainingPlan(1, 1, config.optimizer, precision=request.precision, device=request.device)
    accelerator = make_accelerator(placement, request.out / "logs")
    data = open_split(folder, settings.split)
    validation_data = open_split(folder, *validation_splits) if validation_splits else None
    is_main = accelerator.is_main_process
    if is_main:
        state.parent.mkdir(parents=True, exist_ok=True)
        if request.restart:
            state.unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    seed = config.trainer.seed if request.seed is None else request.seed
    torch.manual_seed(seed)
    model = _model(request, config, networks, earlier)
    stage = _stage(request, model, data, settings, seed, accelerator)
    validation = None
    if validation_data is not None:
        val_settings = _settings(request, config, "val")
        batch_size = min(val_settings.batch_size, len(validation_data))
        val_settings = val_settings.model_copy(update={"batch_size": batch_size})
        validation = _stage(request, model, validation_data, val_settings, seed + 1, None)
    plan = _plan(request, config, stage.order.per_epoch, seed, validation is not None)
    if is_main:
        size = f"{parameters / 1e6:.1f} M" if parameters >= 1e6 else f"{parameters:,}"
        summary = f"{len(data)} entries, {stage.order.per_epoch} steps an epoch, {size} parameters"
        processes = accelerator.num_processes
        summary += f", {processes} process{'es' if processes > 1 else ''}, mean face: {data.mean_source}"
        say(f"{request.stage}: {summary}")
        if not validation_splits and request.check_every != 0:
            say(f"{request.stage}: no validation split in {folder}; the last weights are kept")
    fit(
        stage,
        plan,
        RunFiles(state, identity, request.out / "logs"),
        validation=validation,
        accelerator=accelerator,
        say=say,
    )
    trained = {name: getattr(model, attribute) for name, attribute in _model_attributes(request.stage).items()}
    target = files.stage_path(request.out, request.stage)
    if is_main:
        variant = config.variant if request.stage in ("generator", "weight-editor") else None
        sampling = _sampling(config) if request.stage == "generator" else None
        target = files.save(request.out, request.stage, variant, trained, torch.from_numpy(data.mean), sampling)
        say(f"wrote {target}")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return target


def _model_attributes(stage: str) -> dict[str, str]:
    """Network -> where the stage's model holds it."""
    return {
        "autoencoder": {"autoencoder": "autoencoder"},
        "coefficient-autoencoder": {"coefficient_autoencoder": "autoencoder"},
        "style-encoder": {"style_encoder": "encoder"},
        "generator": {"prior": "prior", "denoiser": "denoiser"},
        "weight-editor": {"weight_editor": "editor"},
    }[stage]


def _check_stage(request: TrainRequest, config: PublishedConfig) -> None:
    stage = config.stage.replace(" ", "-")
    if stage == "autoencoder" and "coefficient_autoencoder" in config.networks:
        stage = "coefficient-autoencoder"
    if stage != request.stage:
        raise InputError(f"{config.source} configures the stage {stage}, not {request.stage}.")
    if request.variant is not None and config.variant not in (None, request.variant):
        raise InputError(
            f"{config.source} is of the {config.variant} variant; the {request.variant} one was asked for."
        )
    if request.rank is not None and (request.stage != "weight-editor" or request.rank < 1):
        raise InputError("--rank, 1 or more, belongs to the stage weight-editor.")
    for name in ("epochs", "steps", "batch_size", "clip_length", "log_every", "save_every"):
        value = getattr(request, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}; at least 1 is needed.")
    if request.check_every is not None and request.check_every < 0:
        raise InputError(f"--check-every is {request.check_every}; at least 0 is needed.")
    if request.clip is not None and not request.clip > 0:
        raise InputError(f"--clip is {request.clip}; a number above 0 is needed.")
    if not 0 <= request.ema < 1:
        raise InputError(f"--ema is {request.ema}; expected 0 (none) up to, not including, 1.")


def _networks(request: TrainRequest, config: PublishedConfig) -> dict[str, object]:
    networks = dict(config.networks)
    if request.rank is not None:
        networks["weight_editor"] = replace(networks["weight_editor"], rank=request.rank)
    return networks


def _earlier_networks(request: TrainRequest, config: PublishedConfig, networks: dict) -> dict[str, nn.Module]:
    """Networks of earlier stages, checked against the configuration."""
    earlier = {}
    for stage in files.EARLIER_STAGES.get(request.stage, ()):
        loaded = files.load(request.out, stage)
        if loaded.variant is not None and loaded.variant != config.variant:
            raise InputError(
                f"{files.stage_path(request.out, stage)} is of the {loaded.variant} variant, {config.source} of the "
                f"{config.variant} one."
            )
        sizes = {name: files.sizes_as_json(network.config) for name, network in loaded.networks.items()}
        files.check_sizes(sizes, networks, config.source)
        earlier |= loaded.networks
    return earlier


def _settings(request: TrainRequest, config: PublishedConfig, split: str) -> DataSettings:
    settings = config.data[split]
    changes = {
        "batch_size": request.batch_size,
        "clip_length": request.clip_length,
    }
    return settings.model_copy(update={name: value for name, value in changes.items() if value is not None})


def _identity(request, config: PublishedConfig, networks: dict, settings: DataSettings) -> dict[str, object]:
    """The settings that make a run this one: a state with another identity is refused."""
    return {
        "stage": request.stage,
        "variant": config.variant if request.stage in ("generator", "weight-editor") else None,
        "sizes": {name: files.sizes_as_json(networks[name]) for name in files.STAGE_NETWORKS[request.stage]},
        "optimizer": asdict(config.optimizer),
        "seed": config.trainer.seed if request.seed is None else request.seed,
        "batch": [settings.batch_size, settings.targets, settings.clip_length],
        "ema": request.ema,
    }


def _copies(request: TrainRequest, config: PublishedConfig, state: Path) -> int:
    """Largest disk space of a run beside what is there, in copies of its weights.

    A state holds weights, moments of the optimizer, the average and the best weights; the next is written before the
    last one is deleted; the stage's own file is one copy more.
    """
    moments = 1 if config.optimizer.name == "sgd" else 2
    in_state = 1 + moments + (request.ema > 0) + (request.check_every != 0)
    return 1 + in_state * (1 if state.exists() else 2)


def _validation_splits(request: TrainRequest, config: PublishedConfig, folder: Path) -> list[str]:
    """The split that decides which weights are kept, or none where the configuration or the folder has none."""
    if "val" not in config.data or request.check_every == 0:
        return []
    split = config.data["val"].split
    return [split] if (folder / f"{split}.csv").is_file() else []


def _model(request: TrainRequest, config: PublishedConfig, networks: dict, earlier: dict[str, nn.Module]) -> nn.Module:
    fresh = {name: registry.build(name, networks[name]) for name in files.STAGE_NETWORKS[request.stage]}
    if request.stage in ("autoencoder", "coefficient-autoencoder"):
        return AutoencoderModel(*fresh.values(), config.loss)
    if request.stage == "style-encoder":
        return StyleModel(fresh["style_encoder"], config.loss)
    if request.stage == "generator":
        return GeneratorModel(fresh["prior"], fresh["denoiser"], earlier["autoencoder"], config.loss)
    generator = PublishedModel(earlier["denoiser"], earlier["autoencoder"], prior=earlier["prior"])
    return EditorModel(
        fresh["weight_editor"], generator, earlier["style_encoder"], config.loss, request.published_dropout
    )


def _stage(
    request: TrainRequest, model, data: ReactData, settings: DataSettings, seed: int, accelerator: Accelerator | None
) -> Stage:
    processes = 1 if accelerator is None else accelerator.num_processes
    if request.stage in ("autoencoder", "coefficient-autoencoder"):
        return AutoencoderStage(request.stage, model, data, settings, seed, processes)
    if request.stage == "style-encoder":
        max_tokens = model.encoder.config.max_tokens
        if settings.clip_length > max_tokens:
            raise InputError(
                f"Clips of {settings.clip_length} frames do not fit a style encoder that takes {max_tokens}."
            )
        return StyleStage(model, data, settings, seed)
    stage_class = GeneratorStage if request.stage == "generator" else EditorStage
    window = model.denoiser.config.window
    if settings.clip_length <= 2 * window:
        raise InputError(
            f"Clips of {settings.clip_length} frames are too short for windows of {window}: more than two."
        )
    return stage_class(model, data, settings, seed, processes)


def _plan(request: TrainRequest, config: PublishedConfig, per_epoch: int, seed: int, validating: bool) -> TrainingPlan:
    steps = request.steps or (request.epochs or config.trainer.epochs) * per_epoch
    check_every = request.check_every or config.trainer.val_period * per_epoch
    return TrainingPlan(
        steps=steps,
        epoch_steps=per_epoch,
        optimizer=config.optimizer,
        clip=request.clip or (PUBLISHED_GRADIENT_NORM if config.trainer.clip_gradients else None),
        ema=request.ema,
        precision=request.precision,
        seed=seed,
        log_every=request.log_every,
        save_every=request.save_every or max(1, min(500, per_epoch)),
        check_every=check_every if validating else 0,
        device=request.device,
    )


def _sampling(config: PublishedConfig) -> SamplingOptions:
    """How the trained generator is sampled: as imported published weights are."""
    published = config.sampling
    over = ("audio", "coefficients") if config.variant == "render" else ()
    return SamplingOptions(
        steps=published.steps,
        guidance=published.guidance,
        guidance_over=over,
        slide=published.slide,
        audio_range=published.audio_range,
    )
