"""The authors' YAML files, read as they are. Nothing a file names is ever executed or looked up as code."""

import difflib
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

import yaml
from pydantic import ValidationError

from perfrdiff.errors import InputError
from perfrdiff.models.autoencoder import AutoencoderConfig
from perfrdiff.models.denoiser import DenoiserConfig
from perfrdiff.models.prior import PriorConfig
from perfrdiff.models.style_encoder import StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditorConfig
from perfrdiff.published.config import settings
from perfrdiff.published.config.settings import (
    DiffusionFile,
    GeneratorFile,
    IgnoredKey,
    OptimizerSettings,
    PretrainingFile,
    PublishedConfig,
    Section,
    WeightEditorFile,
)
from perfrdiff.published.weights import names
from perfrdiff.sampling import SamplingOptions

MAX_BYTES = 1 << 18  # bytes; the published files have 2 to 9 kB
MAX_WRITTEN_OUT = 4 * MAX_BYTES
GUESSED_KEYS = 50  # unknown keys for which a similar one is looked for
NAMED_FAULTS = 8
SPLITS = {"dataset": "train", "validation_dataset": "val", "test_dataset": "test"}


class PublishedLoader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number, as it was for the authors' reader, and a key counts once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        duplicate, times = next(iter(counts.most_common(1)), ("", 0))
        if times > 1:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{duplicate}' is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


PublishedLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_config(path: Path, strict: bool = False) -> PublishedConfig:
    """Read a YAML file in the published layout.

    `strict` refuses unknown keys too, which otherwise are only listed: a mistyped key would silently not count.

    Raises InputError, in one sentence that names the keys, for a file that is none, a missing section, a value of
    another kind or range, and a value that means a network which is not built here.
    """
    document = _load(path)
    file_class = PretrainingFile
    if "diffusion_decoder" in document:
        file_class = WeightEditorFile if "main_model" in document else GeneratorFile
    try:
        file = file_class.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        _raise_faults(path, [_describe_error(entry, document) for entry in error.errors(include_url=False)])
    keys = _KeyReport()
    keys.collect(file, document)
    config, faults = _pretraining(file) if file_class is PretrainingFile else _diffusion(file)
    if strict and keys.unknown:
        faults.append(f"unknown: {'; '.join(keys.unknown)}")
    _raise_faults(path, faults)
    data = {split: getattr(file, name) for name, split in SPLITS.items() if getattr(file, name)}
    notes = {name: tuple(entries) for name, entries in vars(keys).items()}
    return PublishedConfig(path.name, loss=file.loss.args, trainer=file.trainer, data=data, **config, **notes)


def _load(path: Path) -> dict:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path.name} is no configuration: it has {path.stat().st_size / 1e6:.1f} MB.")
        document = _construct(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a published YAML file.") from None
    except InputError:
        raise
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise InputError(f"{path.name} is no readable YAML ({' '.join(str(error).split())[:200]}).") from None
    if not isinstance(document, dict) or not {"diffusion_decoder", "model"} & document.keys():
        raise InputError(
            f"{path.name} is no published configuration: it has neither a 'diffusion_decoder' (generator, weight "
            "editor) nor a 'model' (autoencoder, style encoder)."
        )
    return document


def _construct(text: str) -> object:
    """The document. What is named once and used often counts each time: a few lines could stand for gigabytes."""
    loader = PublishedLoader(text)
    try:
        node = loader.get_single_node()
        if node is not None and _written_out(node, {}) > MAX_WRITTEN_OUT:
            raise yaml.YAMLError("its aliases stand for more than a configuration holds")
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """Characters and values of a node with every alias written out. RecursionError for one that holds itself."""
    if id(node) not in known:
        parts = [] if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        own = len(node.value) if isinstance(node, yaml.ScalarNode) else 1
        known[id(node)] = 1 + own + sum(_written_out(part, known) for part in parts)
    return known[id(node)]


def _raise_faults(path: Path, faults: list[str]) -> None:
    if faults:
        more = f"; and {len(faults) - NAMED_FAULTS} more" * (len(faults) > NAMED_FAULTS)
        raise InputError(f"{path.name}: {'; '.join(faults[:NAMED_FAULTS])}{more}.")


def _describe_error(error: dict, document: dict) -> str:
    """The key, its value, and what is expected there."""
    keys, value = [], document
    for name in error["loc"]:  # beside keys, it holds the tags that chose among several models
        if isinstance(value, dict) and (name in value or (error["type"], name) == ("missing", error["loc"][-1])):
            keys, value = [*keys, name], value.get(name)
    context, expected = error.get("ctx", {}), {"bool_type": "True or False", "string_type": "a text, or nothing"}
    words = expected.get(error["type"], "keys with values")
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        discriminator = context["discriminator"].strip("'")
        keys, value = [*keys, discriminator], value.get(discriminator)
        words = context.get("expected_tags", "").replace(", ", " or ").replace("'", "")
    elif error["type"] in ("expected", "literal_error"):
        words = context.get("words") or context["expected"].replace("'", "")
    where = ".".join(keys)
    if error["type"] in ("missing", "union_tag_not_found"):
        return f"{where} is missing"
    return f"{where} is {_quoted(value)}; expected {words}"


def _quoted(value: object) -> str:
    return "empty" if value is None else repr(value)[:60]


class _KeyReport:
    """The keys of a file that are ignored, unknown or left out."""

    def __init__(self):
        self.ignored: list[IgnoredKey] = []
        self.unknown: list[str] = []
        self.defaulted: list[str] = []

    def collect(self, section: Section, arguments: dict, where: str = "") -> None:
        fields_by_key = {key.alias or name: (name, key) for name, key in type(section).model_fields.items()}
        for name in arguments.keys() - fields_by_key.keys():
            guess = len(self.unknown) < GUESSED_KEYS
            near = difflib.get_close_matches(str(name), fields_by_key, 1) if guess else []
            self.unknown.append(f"{where}{name}{f' (is {near[0]} meant?)' if near else ''}")
        for name, (attribute, key) in fields_by_key.items():
            value = getattr(section, attribute)
            if isinstance(value, Section):
                self.collect(value, arguments.get(name, {}), f"{where}{name}.")
            elif name in arguments and key.json_schema_extra:
                self.ignored.append(IgnoredKey(f"{where}{name}", **key.json_schema_extra))
            elif name not in arguments and any(isinstance(mark, settings.Expected) for mark in key.metadata):
                self.defaulted.append(f"{where}{name}")


def _network_config(config_class: type, section: Section, **more):
    """A network's configuration, from the section's fields that have the same names."""
    names = [field.name for field in fields(config_class) if hasattr(section, field.name)]
    return config_class(**{name: getattr(section, name) for name in names} | more)


def _style_encoder(args: Section) -> StyleEncoderConfig:
    return _network_config(StyleEncoderConfig, args, max_tokens=args.max_len - 1)


def _optimizer(section: Section) -> OptimizerSettings:
    cosine = getattr(section, "scheduler", None) == "cosine_annealing"
    return OptimizerSettings(section.type.lower(), **section.args.model_dump(), cosine=cosine)


def _pretraining(file: PretrainingFile) -> tuple[dict, list[str]]:
    """Arguments of `PublishedConfig`, and faults."""
    optimizer, args, model_type = _optimizer(file.optimizer), file.model.args, file.model.type
    style, contrastive = model_type == "Transformer", file.loss.type == "SupConLoss"
    faults = []
    if style != contrastive:
        losses = "SupConLoss" if style else "MSELoss_AE_v2 or MSELoss_AE_v1"
        faults.append(f"loss.type is {file.loss.type!r}; expected {losses}")
    if style:
        network = _style_encoder(args)
        faults += _divides("model", network)
    else:
        network = _network_config(AutoencoderConfig, args)
    network_names = {"Transformer": "style_encoder", "AutoencoderRNN_VAE_v2": "autoencoder"}
    name = network_names.get(model_type, "coefficient_autoencoder")
    stage = "style encoder" if style else "autoencoder"
    return {"stage": stage, "variant": None, "networks": {name: network}, "optimizer": optimizer}, faults


def _diffusion(file: DiffusionFile) -> tuple[dict, list[str]]:
    """As `_pretraining`, for the generator's file or, with a main_model, the weight editor's."""
    prior, decoder, scheduler = file.diffusion_prior, file.diffusion_decoder.args, file.diffusion_decoder.scheduler
    variant = "render" if decoder.nfeats == 58 else "emotion"
    arguments = {name: value for name, value in decoder.model_dump(by_alias=True).items() if value is not None}
    widths = {
        "audio": decoder.s_audio_dim, "coefficients": decoder.s_3dmm_dim, "emotion": decoder.s_emotion_dim,
        "past_listener": decoder.nfeats, "speaker_latent": decoder.s_embed_dim,
        "listener_latent": decoder.l_embed_dim, "personal": decoder.personal_emb_dim,
    }  # fmt: skip
    denoiser = names.denoiser_config(arguments, variant, widths, decoder.window)
    networks = {
        "style_encoder": _style_encoder(file.person_specific.args),
        "autoencoder": _network_config(AutoencoderConfig, file.latent_embedder.args),
        "coefficient_autoencoder": _network_config(AutoencoderConfig, file.latent_3dmm_embedder.args),
        "prior": _network_config(PriorConfig, prior.args),
        "denoiser": denoiser,
    }
    loaded = {"style_encoder": file.person_specific, "autoencoder": file.latent_embedder,
              "coefficient_autoencoder": file.latent_3dmm_embedder}  # fmt: skip
    checkpoints = {name: section.checkpoint_path for name, section in loaded.items()}
    faults = _find_mismatches(networks, decoder)
    editing = hasattr(file, "main_model")
    if editing:
        args = file.main_model.args
        networks["weight_editor"] = _network_config(WeightEditorConfig, args, targets=_targets(args, denoiser, faults))
        checkpoints["weight_editor"] = args.resume
        for own_key, key, size, own_size in (
            ("input_dim", "person_specific.args.proj_dim", networks["style_encoder"].projection, args.style),
            ("embed_dim", "diffusion_decoder.args.latent_dim", denoiser.width, args.embed_dim),
        ):
            if size != own_size:
                faults.append(f"main_model.args.{own_key} is {own_size}, but {key} {size}")
    config = {
        "stage": "weight editor" if editing else "generator",
        "variant": variant,
        "networks": networks,
        "optimizer": _optimizer(file.main_model.optimizer_hypernet if editing else file.optimizer),
        "sampling": SamplingOptions(
            steps=scheduler.num_inference_timesteps,
            guidance=decoder.guidance_scale,
            eta=scheduler.eta if variant == "render" else 0.0,
            slide=decoder.window_sliding if variant == "render" else denoiser.window,
            audio_range=not file.audio_encoder.args.skip_norm,
            prior_steps=prior.scheduler.num_inference_timesteps,
            prior_guidance=prior.args.guidance_scale,
        ),
        "samples": scheduler.k,
        "checkpoints": {name: path for name, path in checkpoints.items() if path},
    }
    return config, faults


def _divides(section: str, network: DenoiserConfig | StyleEncoderConfig) -> list[str]:
    words = f"{section}: a width of {network.width} cannot be split among {network.heads} heads"
    return [words] if network.width % network.heads else []


def _find_mismatches(networks: dict, decoder: Section) -> list[str]:
    """Sizes of networks that do not fit the networks they are connected to."""
    denoiser, latent, window = networks["denoiser"], networks["autoencoder"].hidden, networks["denoiser"].window
    faults = _divides("diffusion_decoder", denoiser) + _divides("person_specific", networks["style_encoder"])
    for key, size in (
        ("diffusion_prior.args.latent_dim", networks["prior"].width),
        ("diffusion_decoder.args.s_embed_dim", decoder.s_embed_dim),
    ):
        if size != latent:
            faults.append(f"{key} is {size}, but latent_embedder.args.hidden_dim {latent}")
    for section, network in (
        ("latent_embedder", "autoencoder"),
        ("latent_3dmm_embedder", "coefficient_autoencoder"),
        ("diffusion_prior", "prior"),
    ):
        if networks[network].window != window:
            size = networks[network].window
            faults.append(f"{section}.args.window_size is {size}, but diffusion_decoder's {window}")
    slide = getattr(decoder, "window_sliding", 0)
    if slide > window:
        faults.append(f"diffusion_decoder.args.window_sliding is {slide}; expected at most {window}")
    return faults


def _targets(args: Section, denoiser: DenoiserConfig, faults: list[str]) -> dict:
    """The edited weights in the order of torch's named_modules, which is that of the published editor's branches."""
    output = "to_emotion_feat" if denoiser.variant == "emotion" else "to_3dmm_feat"
    width, inner, module = denoiser.width, denoiser.feedforward, "diffusion_decoder.model"
    rows = {"all": 3, "kv": 2}[args.modify] * width
    editable = {f"{module}.{output}": (denoiser.features, width)}
    for layer in range(denoiser.layers):
        for layer_module, shape in (
            ("multihead_attn", (rows, width)),
            ("linear1", (inner, width)),
            ("linear2", (width, inner)),
        ):
            editable[f"{module}.decoder.layers.{layer}.{layer_module}"] = shape
    faults += [
        f"main_model.args.modified_layers names {name!r}; expected {module}.{output}, or {module}.decoder.layers.N "
        f"with N from 0 to {denoiser.layers - 1} and .multihead_attn, .linear1 or .linear2 behind"
        for name in args.modified_layers
        if name not in editable
    ]
    return {names.target_name(name): shape for name, shape in editable.items() if name in args.modified_layers}
