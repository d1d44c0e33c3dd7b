"""From the published files' names to ours: state_dict keys, settings, conditions.

The published names are facts of the files that people have (see shapes.json); everything behind this file speaks our
own names.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from perfrdiff.models.autoencoder import AutoencoderConfig
from perfrdiff.models.denoiser import DenoiserConfig
from perfrdiff.models.layers import sine_table
from perfrdiff.models.prior import PriorConfig
from perfrdiff.models.style_encoder import StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditorConfig

Tensors = dict[str, Tensor]

STYLE_ENCODER = {
    "cls_token": "class_token",
    "embed_layer.": "embed.",
    "transformer.layers.": "layers.",
    "proj_head.": "project.",
}
AUTOENCODER = {
    "x_rnn.rnn_f.weight_ih": "encoder.weight_ih_l0",
    "x_rnn.rnn_f.weight_hh": "encoder.weight_hh_l0",
    "x_rnn.rnn_f.bias_ih": "encoder.bias_ih_l0",
    "x_rnn.rnn_f.bias_hh": "encoder.bias_hh_l0",
    "fc_mu_enc.": "mean.",
    "fc_logvar_enc.": "log_variance.",
    "fc_z_dec.": "start.",
    "d_rnn.rnn_f.": "decoder.",
    "d_mlp.affine_layers.0.": "output.0.",
    "d_mlp.affine_layers.1.": "output.2.",
    "d_out.": "output.4.",
    "coeff_reg.": "regressor.",
}
PRIOR = {
    "to_audio_encodings.": "audio.",
    "to_speaker_3dmmenc.": "coefficients.",
    "null_s_audio_encodings": "null.audio",
    "null_s_latent_embed": "null.speaker_latent",
    "null_s_3dmm_encodings": "null.coefficients",
    "time_embed.0.": "time1.",
    "time_embed.2.": "time2.",
    "causal_transformer.rel_pos_bias.relative_attention_bias.": "relative.",
    "causal_transformer.norm.g": "norm.gain",
    "causal_transformer.project_out.": "output.",
}
PRIOR_LAYER = {
    "0.norm.g": "norm1.gain",
    "0.null_kv": "null_key_value",
    "0.to_q.weight": "query.weight",
    "0.to_kv.weight": "key_value.weight",
    "0.to_out.0.weight": "out.weight",
    "0.to_out.1.g": "norm2.gain",
    "1.0.g": "norm3.gain",
    "1.1.weight": "widen.weight",
    "1.5.weight": "narrow.weight",
}
DENOISER = {
    "to_3dmm_embed.": "embed.",
    "to_emotion_embed.": "embed.",
    "to_3dmm_feat.": "output.",
    "to_emotion_feat.": "output.",
    "time_embedding.linear_1.": "time1.",
    "time_embedding.linear_2.": "time2.",
    "speaker_audio_proj.": "condition.audio.",
    "speaker_3dmm_proj.": "condition.coefficients.",
    "speaker_emotion_proj.": "condition.emotion.",
    "listener_3dmm_proj.": "condition.past_listener.",
    "listener_emotion_proj.": "condition.past_listener.",
    "listener_latent_proj.": "condition.listener_latent.",
    "speaker_latent_proj.": "condition.speaker_latent.",
    "listener_personal_proj.": "condition.personal.",
    "decoder.": "",
}
POSITION_TABLES = {"query_positions": "query_pos.pe", "memory_positions": "mem_pos.pe"}
DROP_SETTINGS = {
    "s_audio_enc_drop_prob": "audio",
    "s_3dmm_enc_drop_prob": "coefficients",
    "s_emotion_enc_drop_prob": "emotion",
    "s_latent_embed_drop_prob": "speaker_latent",
    "l_latent_embed_drop_prob": "listener_latent",
    "l_personal_embed_drop_prob": "personal",
}
PAST_DROP_SETTING = {"render": "past_l_3dmm_drop_prob", "emotion": "past_l_emotion_drop_prob"}
PUBLISHED_DROP = 0.2  # what the published code takes for a drop probability that the settings leave out
CONDITION_INPUTS = {
    "speaker_audio_encodings": "audio",
    "speaker_3dmm_encodings": "coefficients",
    "speaker_emotion_encodings": "emotion",
    "speaker_latent_embed": "speaker_latent",
    "speaker_latent_emb": "speaker_latent",
    "listener_latent_embed": "listener_latent",
    "listener_personal_embed": "personal",
    "past_listener_3dmmenc": "past_listener",
    "past_listener_emotion": "past_listener",
}
"""Names of the conditions in the published code (and its fixtures) -> ours."""


def _rename_keys(tensors: Mapping[str, Tensor], table: Mapping[str, str]) -> Tensors:
    renamed = {}
    for key, value in tensors.items():
        start = next((old for old in table if key.startswith(old)), "")
        renamed[table[start] + key[len(start) :] if start else key] = value
    return renamed


def style_encoder_tensors(tensors: Mapping[str, Tensor]) -> Tensors:
    return _rename_keys(tensors, STYLE_ENCODER)


def autoencoder_tensors(tensors: Mapping[str, Tensor]) -> Tensors:
    return _rename_keys(tensors, AUTOENCODER)


def prior_tensors(tensors: Mapping[str, Tensor]) -> Tensors:
    """The rotary frequencies, which are no weights, are left out; the null tokens lose their leading axis of one."""
    cleaned = {}
    for key, value in tensors.items():
        layer = re.fullmatch(r"causal_transformer\.layers\.(\d+)\.(.+)", key)
        if key.endswith("rotary_emb.freqs"):
            continue
        if layer:
            cleaned[f"layers.{layer[1]}.{PRIOR_LAYER.get(layer[2], layer[2])}"] = value
        else:
            cleaned[key] = value[0] if key.startswith("null_s_") else value
    return _rename_keys(cleaned, PRIOR)


def denoiser_tensors(tensors: Mapping[str, Tensor]) -> Tensors:
    """Learned position tables lose their middle axis of one; the render variant's fixed sine tables are left out."""
    cleaned = dict(tensors)
    tables = {name: cleaned.pop(key, None) for name, key in POSITION_TABLES.items()}
    renamed = _rename_keys(cleaned, DENOISER)
    if "to_emotion_embed.weight" in tensors:
        renamed |= {name: table[:, 0] for name, table in tables.items() if table is not None}
    return renamed


def is_sine_table(table: Tensor) -> bool:
    """Whether a position table (length, 1, width) is the fixed one that we recompute instead of storing it."""
    sine = sine_table(table.shape[0], table.shape[-1])
    return bool((table[:, 0] - sine).abs().max() < 1e-3)  # sines of angles up to 5000 in float32


def weight_editor_tensors(tensors: Mapping[str, Tensor]) -> Tensors:
    renamed = {}
    for key, value in tensors.items():
        layer = re.fullmatch(r"(shared_layers|branches)\.(\d+)\.(weight|bias)", key)
        if not layer:
            renamed[key] = value
        elif layer[1] == "branches":
            renamed[f"full.{layer[2]}.{layer[3]}"] = value
        else:
            renamed[f"shared.{2 * int(layer[2])}.{layer[3]}"] = value
    return renamed


def target_name(module: str) -> str:
    """A module of the published files' `modified_layers` -> the parameter of our denoiser that is edited there."""
    inner = module.removeprefix("diffusion_decoder.model.")
    if inner in ("to_3dmm_feat", "to_emotion_feat"):
        return "output.weight"
    inner = inner.removeprefix("decoder.")
    return f"{inner}.in_proj_weight" if inner.endswith("_attn") else f"{inner}.weight"


def drop_probabilities(arguments: Mapping, variant: str) -> dict[str, float]:
    """The settings' drop probabilities under our names; the published defaults fill the gaps.

    The render variant reads `past_l_3dmm_drop_prob`, although its published file says `past_l_emotion_drop_prob`
    (docs/method.md 12, quirk 9).
    """
    names = DROP_SETTINGS | {PAST_DROP_SETTING[variant]: "past_listener"}
    return {name: float(arguments.get(key, PUBLISHED_DROP)) for key, name in names.items()}


def denoiser_config(arguments: Mapping, variant: str, widths: Mapping[str, int], window: int) -> DenoiserConfig:
    """The published settings of the decoder network as ours; `widths` name -> width of the conditions with weights."""
    return DenoiserConfig(
        variant=variant,
        features=arguments["nfeats"],
        width=arguments["latent_dim"],
        layers=arguments["num_layers"],
        heads=arguments["num_heads"],
        feedforward=arguments["ff_size"],
        window=window,
        reaction_delay=arguments.get("reaction_delay", 0) if variant == "render" else 0,
        audio_scale=arguments.get("s_audio_scale", arguments["latent_dim"] ** -0.5),
        dropout=arguments.get("dropout", 0.1),
        time_width=arguments.get("time_encoded_dim", 64),
        condition_widths=dict(widths),
        drop_probability=drop_probabilities(arguments, variant),
    )


def denoiser_widths(tensors: Mapping[str, Tensor], config: Mapping[str, int]) -> dict[str, int]:
    """Widths of the conditions, from the weights where there are any; `config` has those of latents without."""
    widths = {}
    for key, value in tensors.items():
        match = re.fullmatch(r"condition\.(\w+)\.(?:1\.)?weight", key)
        if match:
            widths[match[1]] = value.shape[1]
    return dict(config) | widths


def style_encoder_config(tensors: Mapping[str, Tensor], heads: int = 4, max_tokens: int = 999) -> StyleEncoderConfig:
    """Sizes read off the weights (our names); heads and the longest clip are not in them."""
    return StyleEncoderConfig(
        coefficients=tensors["embed.weight"].shape[1],
        width=tensors["embed.weight"].shape[0],
        layers=_count(tensors, "layers"),
        heads=heads,
        feedforward=tensors["layers.0.linear1.weight"].shape[0],
        projection=tensors["project.2.weight"].shape[0],
        max_tokens=max_tokens,
    )


def autoencoder_config(tensors: Mapping[str, Tensor], window: int) -> AutoencoderConfig:
    """Sizes read off the weights (our names), but for the window, which is not in them."""
    return AutoencoderConfig(
        features=tensors["encoder.weight_ih_l0"].shape[1],
        regressed=tensors["regressor.2.weight"].shape[0],
        hidden=tensors["encoder.weight_hh_l0"].shape[1],
        code=tensors["mean.weight"].shape[0],
        decoder_layers=(tensors["output.0.weight"].shape[0], tensors["output.2.weight"].shape[0]),
        window=window,
    )


def prior_config(tensors: Mapping[str, Tensor]) -> PriorConfig:
    """Sizes read off the weights (our names)."""
    width, audio = tensors["audio.weight"].shape
    head_width = tensors["layers.0.key_value.weight"].shape[0] // 2
    return PriorConfig(
        width=width,
        depth=_count(tensors, "layers"),
        heads=tensors["layers.0.query.weight"].shape[0] // head_width,
        head_width=head_width,
        widening=tensors["layers.0.narrow.weight"].shape[1] // width,
        window=tensors["null.audio"].shape[0],
        audio=audio,
        coefficients=tensors["coefficients.weight"].shape[1],
        time_width=tensors["time1.weight"].shape[1],
    )


def weight_editor_config(
    tensors: Mapping[str, Tensor], targets: Mapping[str, tuple[int, int]], predict: str = "shift"
) -> WeightEditorConfig:
    """Sizes read off the weights (our names); `targets` parameter -> predicted shape, in branch order."""
    hidden, style = tensors["shared.0.weight"].shape
    return WeightEditorConfig(style=style, hidden=hidden, rank=None, targets=dict(targets), predict=predict)


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max(int(key.split(".")[1]) for key in tensors if key.startswith(f"{prefix}."))


def scaled_output(tensors: Mapping[str, Tensor], factor: float) -> Tensors:
    """The denoiser's tensors (our names) with the output layer multiplied by `factor` (fixtures ddim_decoder_*)."""
    return {key: value * factor if key.startswith("output.") else value for key, value in tensors.items()}


def load_tensors(network: torch.nn.Module, tensors: Mapping[str, Tensor]) -> torch.nn.Module:
    """The network with these weights, strictly, ready to use."""
    network.load_state_dict(dict(tensors))
    return network.eval()
