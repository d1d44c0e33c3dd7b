"""The published YAML files, read as they are, into this project's own typed settings.

Nothing a file names is ever executed or looked up as code: types are compared with a list of known ones. What the
published code ignores, what has no consequence here, what is unknown and what the file leaves out is all told by name.
"""

from collections.abc import Mapping
from pathlib import Path

from perfrdiff.models.autoencoder import AutoencoderConfig
from perfrdiff.models.denoiser import DenoiserConfig
from perfrdiff.models.prior import PriorConfig
from perfrdiff.models.style_encoder import StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditorConfig
from perfrdiff.published import names, yaml_keys
from perfrdiff.published.settings import (
    AutoencoderLossSettings,
    ContrastiveLossSettings,
    DataSettings,
    DiffusionLossSettings,
    OptimizerSettings,
    PublishedConfig,
    SamplingSettings,
    TrainerSettings,
)
from perfrdiff.published.yaml_keys import Key, anything, fixed, ignored, text, used
from perfrdiff.published.yaml_reader import Reader, load, shown

VARIANT_OF_WIDTH = {25: "emotion", 58: "render"}
AUTOENCODER_OF_TYPE = {"AutoencoderRNN_VAE_v2": "autoencoder", "AutoencoderRNN_VAE_v1": "coefficient_autoencoder"}


def read_config(path: Path, strict: bool = False) -> PublishedConfig:
    """Read a YAML file in the published layout.

    `strict` refuses unknown keys too, which otherwise are only listed: a mistyped key would silently not count.

    Raises InputError, in one sentence that names the keys, for a file that is none, a missing section, a value of
    another kind or range, and a value that means a network which is not built here.
    """
    document = load(path)
    reader = Reader(path.name)
    made = _diffusion(reader, document) if "diffusion_decoder" in document else _pretraining(reader, document)
    if strict and reader.unknown:
        reader.faults.append(f"unknown: {'; '.join(reader.unknown)}")
    reader.finish()
    return PublishedConfig(
        path.name, **made, ignored=tuple(reader.ignored), unknown=tuple(reader.unknown),
        defaulted=tuple(reader.defaulted),
    )  # fmt: skip


WEIGHTS = {"checkpoint_path": used(text)}
OTHER_SPLITS = ("validation_dataset", "test_dataset")
DIFFUSION_SECTIONS = (
    "person_specific", "audio_encoder", "latent_embedder", "latent_3dmm_embedder", "diffusion_prior",
    "diffusion_decoder", "loss", "trainer", "dataset",
)  # fmt: skip


def _top(reader: Reader, document: dict, needed: tuple[str, ...], others: tuple[str, ...] = ()) -> None:
    """The file's sections: those that have to be there, and no others."""
    keys = {name: Key(anything, required=True) for name in needed} | {name: Key(anything) for name in others}
    reader.values(document, "", keys)
    reader.defaulted = [name for name in reader.defaulted if name not in others]
    if reader.faults:
        reader.finish()


def _diffusion(reader: Reader, document: dict) -> dict:
    """The generator's file, or, with a main_model, the weight editor's."""
    editing = "main_model" in document
    _top(reader, document, (*DIFFUSION_SECTIONS, "main_model" if editing else "optimizer"), OTHER_SPLITS)
    _, style, weights = reader.typed(
        document["person_specific"], "person_specific", {"Transformer": yaml_keys.STYLE_ENCODER}, WEIGHTS
    )
    checkpoints = {"style_encoder": weights["checkpoint_path"]}
    _, audio, _ = reader.typed(
        document["audio_encoder"], "audio_encoder", {"AudioEmbedder": {"skip_norm": Key(yaml_keys.flag, True)}}, WEIGHTS
    )
    autoencoders = {}
    for section, kind in (
        ("latent_embedder", "AutoencoderRNN_VAE_v2"),
        ("latent_3dmm_embedder", "AutoencoderRNN_VAE_v1"),
    ):
        _, values, weights = reader.typed(document[section], section, {kind: yaml_keys.AUTOENCODERS[kind]}, WEIGHTS)
        autoencoders[AUTOENCODER_OF_TYPE[kind]] = values
        checkpoints[AUTOENCODER_OF_TYPE[kind]] = weights["checkpoint_path"]
    prior_part = _network(reader, document["diffusion_prior"], "diffusion_prior", yaml_keys.PRIOR)
    arguments = document["diffusion_decoder"].get("args") if isinstance(document["diffusion_decoder"], dict) else None
    features = arguments.get("nfeats") if isinstance(arguments, dict) else None
    variant = VARIANT_OF_WIDTH.get(features) if isinstance(features, int) else None
    reader.need(variant is not None, f"diffusion_decoder.args.nfeats is {shown(features)}; expected 25 or 58")
    if variant is None:
        reader.finish()
    decoder_part = _network(reader, document["diffusion_decoder"], "diffusion_decoder", yaml_keys.DENOISERS[variant])
    _, loss, _ = reader.typed(document["loss"], "loss", {"DiffusionLoss": yaml_keys.LOSSES["DiffusionLoss"]})
    optimizer = None if editing else _optimizer(reader, document["optimizer"], "optimizer")
    trainer, data = _trainer(reader, document["trainer"]), _data(reader, document)
    if editing:
        editor, optimizer = _editor_section(reader, document["main_model"])
    if reader.faults:
        reader.finish()

    (prior, prior_scheduler), (decoder, scheduler) = prior_part, decoder_part
    networks = {"style_encoder": _style_encoder(style)}
    networks |= {name: _autoencoder(values) for name, values in autoencoders.items()}
    networks["prior"] = PriorConfig(
        width=prior["latent_dim"], depth=prior["depth"], head_width=prior["dim_head"], widening=prior["ff_mult"],
        window=prior["window_size"], audio=prior["audio_dim"], coefficients=prior["_3dmm_dim"],
        time_width=prior["num_time_emb_channels"],
    )  # fmt: skip
    networks["denoiser"] = denoiser = _denoiser(decoder, variant)
    _agree(reader, networks, decoder)
    if editing:
        reader.need(
            editor["input_dim"] == networks["style_encoder"].projection,
            f"main_model.args.input_dim is {editor['input_dim']}, but person_specific.args.proj_dim "
            f"{networks['style_encoder'].projection}",
        )
        reader.need(
            editor["embed_dim"] == denoiser.width,
            f"main_model.args.embed_dim is {editor['embed_dim']}, but diffusion_decoder.args.latent_dim "
            f"{denoiser.width}",
        )
        targets = _targets(reader, editor, denoiser)
        networks["weight_editor"] = WeightEditorConfig(
            style=editor["input_dim"], hidden=editor["latent_dim"], targets=targets, predict=editor["predict"]
        )
        if editor["resume"]:
            checkpoints["weight_editor"] = editor["resume"]
    return {
        "stage": "weight editor" if editing else "generator",
        "variant": variant,
        "networks": networks,
        "loss": DiffusionLossSettings(*loss["losses_multipliers"]),
        "optimizer": optimizer,
        "trainer": trainer,
        "data": data,
        "sampling": SamplingSettings(
            steps=scheduler["num_inference_timesteps"],
            guidance=decoder["guidance_scale"],
            eta=scheduler["eta"] if variant == "render" else 0.0,
            slide=decoder["window_sliding"] if variant == "render" else denoiser.window,
            samples=scheduler["k"],
            audio_range=not audio["skip_norm"],
            prior_steps=prior_scheduler["num_inference_timesteps"],
            prior_guidance=prior["guidance_scale"],
        ),
        "prior_drop_probability": {
            "audio": prior["s_audio_cond_drop_prob"],
            "speaker_latent": prior["s_latentemb_cond_drop_prob"],
            "coefficients": prior["s_3dmm_cond_drop_prob"],
        },
        "checkpoints": {name: path for name, path in checkpoints.items() if path},
    }


def _network(reader: Reader, section: object, where: str, keys: Mapping[str, Key]) -> tuple[dict, dict]:
    """The args and the scheduler of a diffusion network."""
    kind = ignored("never read (quirk 8)") if where == "diffusion_prior" else fixed("TransformerDenoiser")
    outer = {"type": kind, "args": Key(anything, required=True), "scheduler": Key(anything, required=True)}
    found = reader.values(section, f"{where}.", outer)
    return (
        reader.values(found["args"] or {}, f"{where}.args.", keys),
        reader.values(found["scheduler"] or {}, f"{where}.scheduler.", yaml_keys.SCHEDULER),
    )


def _pretraining(reader: Reader, document: dict) -> dict:
    """The file of an autoencoder or of the style encoder."""
    _top(reader, document, ("model", "loss", "optimizer", "trainer", "dataset"), OTHER_SPLITS)
    kinds = {"Transformer": yaml_keys.STYLE_ENCODER} | yaml_keys.AUTOENCODERS
    kind, values, _ = reader.typed(document["model"], "model", kinds, WEIGHTS)
    losses = ("SupConLoss",) if kind == "Transformer" else ("MSELoss_AE_v2", "MSELoss_AE_v1")
    _, loss, _ = reader.typed(document["loss"], "loss", {name: yaml_keys.LOSSES[name] for name in losses})
    optimizer = _optimizer(reader, document["optimizer"], "optimizer")
    trainer, data = _trainer(reader, document["trainer"]), _data(reader, document)
    if reader.faults:
        reader.finish()
    style = kind == "Transformer"
    network = _style_encoder(values) if style else _autoencoder(values)
    if style:
        _divides(reader, "model", network.width, network.heads)
        made_loss = ContrastiveLossSettings(loss["temperature"], loss["base_temperature"])
    else:
        made_loss = AutoencoderLossSettings(loss["w_mse"], loss["w_kld"], loss["w_coeff"])
    return {
        "stage": "style encoder" if style else "autoencoder",
        "variant": None,
        "networks": {"style_encoder" if style else AUTOENCODER_OF_TYPE[kind]: network},
        "loss": made_loss,
        "optimizer": optimizer,
        "trainer": trainer,
        "data": data,
    }


def _optimizer(reader: Reader, section: object, where: str) -> OptimizerSettings | None:
    schedule = {"scheduler": Key(yaml_keys.one_of("cosine_annealing", "none", None), "none", telling=False)}
    more = schedule if where == "optimizer" else {}
    kind, values, outer = reader.typed(section, where, yaml_keys.OPTIMIZERS, more)
    if kind is None:
        return None
    return OptimizerSettings(
        kind.lower(), values["lr"], values["weight_decay"], values.get("beta"), values.get("momentum"),
        outer.get("scheduler") == "cosine_annealing",
    )  # fmt: skip


def _trainer(reader: Reader, section: object) -> TrainerSettings:
    values = reader.values(section, "trainer.", yaml_keys.TRAINER)
    return TrainerSettings(
        clip_gradients=bool(values["clip_grad"] or values["clip_grad_norm"]),
        **{
            name: values[name]
            for name in (
                "seed", "epochs", "start_epoch", "save_period", "val_period", "resume", "checkpoint_dir",
                "saving_checkpoint_dir",
            )
        },
    )  # fmt: skip


def _data(reader: Reader, document: dict) -> dict[str, DataSettings]:
    found = {}
    for section, split in yaml_keys.DATA_SECTIONS.items():
        if section not in document:
            continue
        values = reader.values(document[section], f"{section}.", yaml_keys.DATA)
        found[split] = DataSettings(
            values["split"], values["dataset_path"], values["batch_size"], values["shuffle"], values["num_workers"],
            values["clip_length"], values["k_appro"], values["num_person"], values["num_sample"],
        )  # fmt: skip
    return found


def _editor_section(reader: Reader, section: object) -> tuple[dict, OptimizerSettings | None]:
    more = {
        "optimizer_hypernet": Key(anything, required=True),
        "optimizer_mainnet": ignored("only ever zeroes gradients; the generator is never stepped (quirk 11)"),
    }
    _, editor, outer = reader.typed(section, "main_model", {"MainNetUnified": yaml_keys.WEIGHT_EDITOR}, more)
    return editor, _optimizer(reader, outer["optimizer_hypernet"], "main_model.optimizer_hypernet")


def _style_encoder(values: Mapping) -> StyleEncoderConfig:
    return StyleEncoderConfig(
        coefficients=values["in_features"], width=values["embed_dim"], layers=values["num_layers"],
        heads=values["num_heads"], feedforward=values["mlp_dim"], projection=values["proj_dim"],
        max_frames=values["max_len"] - 1, dropout=values["drop_prob"],
    )  # fmt: skip


def _autoencoder(values: Mapping) -> AutoencoderConfig:
    first = "emotion_dim" in values
    return AutoencoderConfig(
        features=values["emotion_dim" if first else "_3dmm_dim"],
        regressed=values["coeff_3dmm_dim" if first else "coeff_emotion_dim"],
        hidden=values["hidden_dim"],
        code=values["z_dim"],
        decoder_layers=values["emb_dims"],
        window=values["window_size"],
    )


def _denoiser(values: Mapping, variant: str) -> DenoiserConfig:
    arguments = {name: value for name, value in values.items() if value is not None}
    every = {
        "audio": values["s_audio_dim"], "coefficients": values["s_3dmm_dim"], "emotion": values["s_emotion_dim"],
        "past_listener": values["nfeats"], "speaker_latent": values["s_embed_dim"],
        "listener_latent": values["l_embed_dim"], "personal": values["personal_emb_dim"],
    }  # fmt: skip
    return names.denoiser_config(arguments, variant, every, values["window_size"])


def _agree(reader: Reader, networks: Mapping, decoder: Mapping) -> None:
    """What one network hands to another has to fit."""
    denoiser, prior = networks["denoiser"], networks["prior"]
    _divides(reader, "diffusion_decoder", denoiser.width, denoiser.heads)
    _divides(reader, "person_specific", networks["style_encoder"].width, networks["style_encoder"].heads)
    latent = networks["autoencoder"].hidden
    for words, got in (
        ("diffusion_prior.args.latent_dim", prior.width),
        ("diffusion_decoder.args.s_embed_dim", decoder["s_embed_dim"]),
    ):
        reader.need(got == latent, f"{words} is {got}, but latent_embedder.args.hidden_dim {latent}")
    window = denoiser.window
    for section, network in (
        ("latent_embedder", "autoencoder"),
        ("latent_3dmm_embedder", "coefficient_autoencoder"),
        ("diffusion_prior", "prior"),
    ):
        got = networks[network].window
        reader.need(got == window, f"{section}.args.window_size is {got}, but diffusion_decoder's {window}")
    slide = decoder.get("window_sliding")
    reader.need(
        slide is None or slide <= window, f"diffusion_decoder.args.window_sliding is {slide}; expected at most {window}"
    )


def _divides(reader: Reader, where: str, width: int, heads: int) -> None:
    reader.need(width % heads == 0, f"{where}: a width of {width} cannot be split among {heads} heads")


def _targets(reader: Reader, editor: Mapping, denoiser: DenoiserConfig) -> dict[str, tuple[int, int]]:
    """The edited weights in the order of torch's named_modules, that of the editor's branches (docs/method.md 7.2)."""
    output = "to_emotion_feat" if denoiser.variant == "emotion" else "to_3dmm_feat"
    width, inner = denoiser.width, denoiser.feedforward
    rows = {"all": 3, "kv": 2}[editor["modify"]] * width
    module = "diffusion_decoder.model"
    editable = {f"{module}.{output}": (denoiser.features, width)}
    for layer in range(denoiser.layers):
        for part, shape in (
            ("multihead_attn", (rows, width)), ("linear1", (inner, width)), ("linear2", (width, inner)),
        ):  # fmt: skip
            editable[f"{module}.decoder.layers.{layer}.{part}"] = shape
    wanted = editor["modified_layers"]
    for name in wanted:
        reader.need(
            name in editable,
            f"main_model.args.modified_layers names {name!r}; expected {module}.{output}, or {module}.decoder.layers.N "
            f"with N from 0 to {denoiser.layers - 1} and .multihead_attn, .linear1 or .linear2 behind",
        )
    reader.need(bool(wanted), "main_model.args.modified_layers is empty; expected the layers to edit")
    return {names.target_name(name): shape for name, shape in editable.items() if name in wanted}
