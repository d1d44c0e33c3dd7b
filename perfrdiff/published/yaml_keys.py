"""Every key of the published YAML files: what it has to be, and what becomes of it.

A key is *used*, or *fixed* (other values mean networks that no published file uses and that are not built here), or
*ignored* by the published code, which never reads it (docs/method.md 12, quirks 8, 9 and 11), or *idle*: read there, of
no consequence here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Check = Callable[[object], object]


@dataclass(frozen=True)
class Key:
    """What a key takes, and what stands for it where the file leaves it out."""

    check: Check  # value -> value, or ValueError with the words for what was expected
    default: object = None
    required: bool = False
    ignored: str = ""  # the reason why the value changes nothing
    by_published_code: bool = False  # and whether it is the published code that does not read it
    telling: bool = True  # whether it is worth saying that the file leaves it out


def whole(low: int = 1) -> Check:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"a whole number of {low} or more")
        return value

    return check


def number(low: float = 0.0, high: float = float("inf")) -> Check:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g}" if high < float("inf") else f"a number from {low:g}")
        return float(value)

    return check


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def text(value: object) -> str | None:
    """A path, a name, or nothing."""
    if value is not None and not isinstance(value, str):
        raise ValueError("a text, or nothing")
    return value


def one_of(*values: object) -> Check:
    def check(value: object) -> object:
        for known in values:
            if value == known and isinstance(value, bool) == isinstance(known, bool):
                return known
        raise ValueError(" or ".join(map(str, values)))

    return check


def list_of(check: Check, count: int | None = None) -> Check:
    def check_list(value: object) -> tuple:
        words = f"a list of {count or 'some'} values"
        if not isinstance(value, list) or (count is not None and len(value) != count):
            raise ValueError(words)
        return tuple(check(part) for part in value)

    return check_list


def anything(value: object) -> object:
    return value


def used(check: Check, default: object = None, required: bool = False) -> Key:
    return Key(check, default, required, telling=check is not text)


def fixed(value: object) -> Key:
    """Only the published value is built here."""
    return Key(one_of(value), value, telling=False)


def fixed_list(*values: object) -> Key:
    def check(value: object) -> object:
        if value != list(values):
            raise ValueError(f"[{', '.join(map(str, values))}]")
        return value

    return Key(check, list(values), telling=False)


def ignored(reason: str) -> Key:
    return Key(anything, ignored=reason, by_published_code=True)


def idle(reason: str) -> Key:
    return Key(anything, ignored=reason)


ANY_LENGTH = idle("clips of any length are taken here")
READ_AS_NEEDED = idle("each stage loads what it needs")
FEATURES_ONLY = idle("no stage reads pictures")
OWN_LAYOUT = idle("the run's own folder takes its place")

STYLE_ENCODER = {
    "in_features": used(whole(), 58),
    "embed_dim": used(whole(), 512),
    "num_heads": used(whole(), 4),
    "num_layers": used(whole(), 4),
    "mlp_dim": used(whole(), 1024),
    "seq_len": ANY_LENGTH,
    "proj_dim": used(whole(), 512),
    "proj_head": fixed("mlp"),
    "drop_prob": used(number(0, 0.99), 0.1),
    "max_len": used(whole(2), 1000),
    "pos_encoding": fixed("absolute"),
    "embed_layer": fixed("linear"),
}
_AUTOENCODER = {
    "emb_dims": used(list_of(whole(), 2), (128, 128)),
    "num_layers": ignored("one GRU cell whatever it says (quirk 8)"),
    "hidden_dim": used(whole(), 512),
    "z_dim": used(whole(), 512),
    "rnn_type": fixed("gru"),
    "dropout": fixed(0.0),
    "window_size": used(whole(), 50),
    "seq_len": ANY_LENGTH,
}
AUTOENCODERS: dict[str, Mapping[str, Key]] = {
    "AutoencoderRNN_VAE_v2": {"emotion_dim": used(whole(), 25), "coeff_3dmm_dim": used(whole(), 58)} | _AUTOENCODER,
    "AutoencoderRNN_VAE_v1": {"_3dmm_dim": used(whole(), 58), "coeff_emotion_dim": used(whole(), 25)} | _AUTOENCODER,
}
_DIFFUSION = {
    "emb_preprocessing": ignored("never read (quirk 8)"),
    "freeze_encoder": fixed(True),
    "window_size": used(whole(), 50),
    "token_len": ANY_LENGTH,
    "latent_dim": used(whole(), 512),
    "guidance_scale": used(number(), 7.5),
    "window_sliding": used(whole(), 25),
}
PRIOR = _DIFFUSION | {
    "audio_dim": used(whole(), 78),
    "_3dmm_dim": used(whole(), 58),
    "speaker_emb_dim": used(whole(), 512),
    "depth": used(whole(), 4),
    "num_time_layers": fixed(2),
    "num_time_embeds": fixed(1),
    "num_time_emb_channels": used(whole(2), 64),
    "time_last_act": fixed(False),
    "use_learned_query": ignored("looked up under a misspelt name (quirk 8); the query is learned"),
    "s_audio_cond_drop_prob": used(number(0, 1), 0.0),
    "s_latentemb_cond_drop_prob": used(number(0, 1), 0.0),
    "s_3dmm_cond_drop_prob": used(number(0, 1), 0.0),
    "guidance_scale": used(number(), 1.0),
    "dim_head": used(whole(2), 64),
    "heads": ignored("never passed on (quirk 8); 8 heads run"),
    "ff_mult": used(whole(), 4),
    "norm_in": fixed(False),
    "norm_out": fixed(True),
    "attn_dropout": fixed(0.0),
    "ff_dropout": fixed(0.0),
    "final_proj": fixed(True),
    "normformer": fixed(False),
    "rotary_emb": fixed(True),
    "window_sliding": idle("the decoder's counts"),
}
_DROP = used(number(0, 1), 0.2)
_DENOISER = _DIFFUSION | {
    "encode_emotion": fixed(False),
    "encode_3dmm": fixed(False),
    "ablation_skip_connection": fixed(True),
    "nfeats": used(one_of(25, 58), required=True),
    "ff_size": used(whole(), 1024),
    "num_layers": used(whole(), 7),
    "dropout": used(number(0, 0.99), 0.1),
    "normalize_before": fixed(False),
    "activation": fixed("gelu"),
    "flip_sin_to_cos": fixed(True),
    "return_intermediate_dec": fixed(False),
    "arch": fixed("trans_dec"),
    "freq_shift": fixed(0),
    "time_encoded_dim": used(whole(2), 64),
    "s_audio_dim": used(whole(), 78),
    "s_emotion_dim": used(whole(), 25),
    "l_embed_dim": used(whole(), 512),
    "s_embed_dim": used(whole(), 512),
    "personal_emb_dim": used(whole(), 512),
    "s_3dmm_dim": used(whole(), 58),
    "concat": fixed("concat_first"),
    "condition_concat": fixed("token_concat"),
    "l_latent_embed_drop_prob": _DROP,
    "l_personal_embed_drop_prob": _DROP,
    "s_audio_enc_drop_prob": _DROP,
    "s_latent_embed_drop_prob": _DROP,
    "s_3dmm_enc_drop_prob": _DROP,
    "s_emotion_enc_drop_prob": _DROP,
    "use_past_frames": fixed(False),
}
DENOISERS: dict[str, Mapping[str, Key]] = {
    "emotion": _DENOISER
    | {
        "num_heads": used(whole(), 4),
        "position_embedding": fixed("learned"),
        "s_audio_scale": used(number()),
        "past_l_emotion_drop_prob": _DROP,
        "window_sliding": idle("the windows of this variant lie side by side"),
    },
    "render": _DENOISER
    | {
        "num_heads": used(whole(), 8),
        "position_embedding": fixed("sine"),
        "s_audio_scale": used(number(), 1.0),
        "reaction_delay": used(whole(0), 8),
        "use_attn_mask": fixed(True),
        "period": idle("the masks' period is the window"),
        "past_l_3dmm_drop_prob": _DROP,
        "past_l_emotion_drop_prob": ignored("past_l_3dmm_drop_prob is read in its place, 0.2 if absent (quirk 9)"),
        "use_generated_pl": fixed(False),
    },
}
SCHEDULER = {
    "noise_schedule": fixed("cosine"),
    "timestep_spacing": fixed("leading"),
    "num_train_timesteps": fixed(1000),
    "num_inference_timesteps": used(whole(2), 50),
    "predict": fixed("start_x"),
    "var_type": idle("DDIM steps have no learned variance"),
    "rescale_timesteps": fixed(False),
    "noise_std": fixed(1),
    "k": used(whole(), 10),
    "same_latent_noise": fixed(True),
    "eta": used(number(0, 1), 0.0),
}
WEIGHT_EDITOR = {
    "input_dim": used(whole(), 512),
    "latent_dim": used(whole(), 1024),
    "embed_dim": used(whole(), 512),
    "regularization": fixed(False),
    "regular_w": fixed(0.0),
    "num_shared_layers": fixed(2),
    "modified_layers": used(list_of(text), required=True),
    "predict": used(one_of("shift", "offset", "weight"), "shift"),
    "modify": used(one_of("all", "kv"), "all"),
    "resume": used(text),
}
LOSSES: dict[str, Mapping[str, Key]] = {
    "DiffusionLoss": {
        "losses_type": fixed_list("MSELoss", "MSELoss"),
        "losses_multipliers": used(list_of(number(), 2), (1.0, 1.0)),
        "losses_decoded": fixed_list(False, True),
        "k": used(whole(), 10),
        "temporal_loss_w": fixed(0.0),
    },
    "MSELoss_AE_v2": {
        "w_mse": used(number(), 1.0),
        "w_kld": used(number(), 1e-5),
        "w_coeff": used(number(), 1.0),
    },
    "SupConLoss": {"temperature": used(number(1e-6), 0.07), "base_temperature": used(number(1e-6), 0.07)},
}
LOSSES["MSELoss_AE_v1"] = LOSSES["MSELoss_AE_v2"]
OPTIMIZERS: dict[str, Mapping[str, Key]] = {
    "adamW": {
        "lr": used(number(), 1e-4),
        "weight_decay": used(number(), 1e-4),
        "beta": used(list_of(number(0, 1), 2), (0.9, 0.999)),
    },
    "sgd": {
        "lr": used(number(), 1e-3),
        "weight_decay": used(number(), 1e-4),
        "momentum": used(number(0, 1), 0.9),
    },
}
TRAINER = {
    "seed": used(whole(0), 1234),
    "start_epoch": used(whole(0), 0),
    "epochs": used(whole(), required=True),
    "model": idle("the file's networks say which model it is"),
    "clip_grad": Key(flag, False, telling=False),
    "clip_grad_norm": Key(flag, False, telling=False),
    "data_aug": fixed(False),
    "resume": used(text),
    "num_workers": idle("the data set's own counts"),
    "log_dir": OWN_LAYOUT,
    "tb_dir": OWN_LAYOUT,
    "out_dir": OWN_LAYOUT,
    "checkpoint_dir": used(text),
    "saving_checkpoint_dir": used(text),
    "save_period": used(whole(), 50),
    "val_period": used(whole(), 50),
}
DATA = {
    "batch_size": used(whole(), 1),
    "shuffle": used(flag, False),
    "num_workers": used(whole(0), 16),
    "dataset_path": used(text, "./data"),
    "split": used(one_of("train", "val", "test"), required=True),
    "num_person": used(whole(), 16),
    "num_sample": used(whole(), 4),
    "img_size": FEATURES_ONLY,
    "crop_size": FEATURES_ONLY,
    "clip_length": used(whole(), 750),
    "fps": fixed(25),
    "k_appro": used(whole(), 1),
    "method": fixed("speaker_based"),
    "audio_model_name": fixed("mfcc"),
    "threads": idle("the metrics take the processors there are"),
} | dict.fromkeys(
    (
        "load_audio", "load_video", "load_video_s", "load_video_l", "load_emotion", "load_emotion_s", "load_emotion_l",
        "load_3dmm", "load_3dmm_s", "load_3dmm_l", "load_ref",
    ),
    READ_AS_NEEDED,
)  # fmt: skip
DATA_SECTIONS = {"dataset": "train", "validation_dataset": "val", "test_dataset": "test"}
