"""YAML files in the authors' layout: the keys and values that they publish, put together here."""

STYLE_ENCODER = """\
    type: # PersonSpecificEncoder
        Transformer
    args:
        {in_features: 58, embed_dim: 512, num_heads: 4, num_layers: 4, mlp_dim: 1024, seq_len: 750, proj_dim: 512,
         proj_head: mlp, drop_prob: 0.1, max_len: 1000, pos_encoding: absolute, embed_layer: linear}
"""
AUTOENCODER = """\
    type:
        AutoencoderRNN_VAE_v2
    args:
        emotion_dim: 25
        coeff_3dmm_dim: 58
        emb_dims: [128, 128]
        num_layers: 2
        hidden_dim: 512
        z_dim: 512
        rnn_type: 'gru'
        dropout: 0.0
        window_size: 50
        seq_len: 750
"""
COEFFICIENT_AUTOENCODER = (
    AUTOENCODER.replace("VAE_v2", "VAE_v1")
    .replace(" emotion_dim: 25", " _3dmm_dim: 58")
    .replace("coeff_3dmm_dim: 58", "coeff_emotion_dim: 25")
)
SCHEDULER = """\
    scheduler:
        noise_schedule: cosine # linear or cosine
        timestep_spacing: leading
        num_train_timesteps: 1000
        num_inference_timesteps: 50
        predict: start_x
        var_type: fixed_large
        rescale_timesteps: False
        noise_std: 1
        k: @k
"""
PRIOR = """\
diffusion_prior:
    type:
        LatentMLPMatcher
    args:
        emb_preprocessing: normalize
""" + "".join(
    f"        {line}\n"
    for line in (
        "freeze_encoder: True", "audio_dim: 78", "window_size: 50", "token_len: 750 #", "_3dmm_dim: 58",
        "speaker_emb_dim: 512", "latent_dim: 512", "depth: 4", "num_time_layers: 2", "num_time_embeds: 1",
        "num_time_emb_channels: 64", "time_last_act: False", "use_learned_query: True", "s_audio_cond_drop_prob: 0.0",
        "s_latentemb_cond_drop_prob: 0.0", "s_3dmm_cond_drop_prob: 0.0", "guidance_scale: 1.0", "dim_head: 64",
        "heads: 8", "ff_mult: 4", "norm_in: False", "norm_out: True", "attn_dropout: 0.0", "ff_dropout: 0.0",
        "final_proj: True", "normformer: False", "rotary_emb: True",
    )
)  # fmt: skip
DECODER = {
    "emotion": (
        "nfeats: 25", "num_heads: 4", "position_embedding: learned", "s_latent_embed_drop_prob: 0.2",
    ),
    "render": (
        "nfeats: 58 # dimension of raw 3dmm feature", "num_heads: 8", "position_embedding: sine",
        "s_latent_embed_drop_prob: 1.0", "reaction_delay: 8", "use_attn_mask: True", "s_audio_scale: 1.0",
        "condition_concat: token_concat", "use_generated_pl: False", "window_sliding: 25",
    ),
}  # fmt: skip
DECODER_BOTH = (
    "emb_preprocessing: normalize", "freeze_encoder: True", "window_size: 50", "token_len: 750",
    "encode_emotion: False", "encode_3dmm: False", "ablation_skip_connection: True", "latent_dim: 512", "ff_size: 1024",
    "num_layers: 7", "dropout: 0.1", "normalize_before: False", "activation: gelu", "flip_sin_to_cos: True",
    "return_intermediate_dec: False", "arch: trans_dec", "freq_shift: 0", "time_encoded_dim: 64", "s_audio_dim: 78",
    "s_emotion_dim: 25", "l_embed_dim: 512", "s_embed_dim: 512", "personal_emb_dim: 512", "s_3dmm_dim: 58",
    "concat: concat_first", "guidance_scale: 7.5 ", "l_latent_embed_drop_prob: 1.0 ", "l_personal_embed_drop_prob: 1.0",
    "s_audio_enc_drop_prob: 0.2 ", "s_3dmm_enc_drop_prob: 0.2 ", "s_emotion_enc_drop_prob: 1.0 ",
    "past_l_emotion_drop_prob: 1.0 ", "use_past_frames: False",
)  # fmt: skip
LAYERS = {
    "emotion": "[diffusion_decoder.model.decoder.layers.4.multihead_attn,\n"
    "             diffusion_decoder.model.decoder.layers.6.multihead_attn,\n"
    "             diffusion_decoder.model.to_emotion_feat]",
    "render": "[diffusion_decoder.model.decoder.layers.6.linear1,\n"
    "             diffusion_decoder.model.decoder.layers.6.linear2,\n"
    "             diffusion_decoder.model.to_3dmm_feat]",
}
SGD = """\
        type:
            sgd
        args:
            lr: 0.001
            weight_decay: 1e-4
            momentum: 0.9
"""
ADAMW = """\
optimizer:
    type:
        adamW
    args:
        lr: 0.0001
        weight_decay: 1e-4
        beta: [0.9, 0.999]
    scheduler: cosine_annealing # or none
"""
LOADED = "".join(
    f"    {name}: True\n"
    for name in ("load_audio", "load_emotion_l", "load_emotion_s", "load_3dmm_l", "load_3dmm_s", "load_ref")
)


def generator(variant: str) -> str:
    """The generator's file."""
    loss = "[MSELoss, MSELoss] # MSELossWithAct | MSELoss | L1Loss\n        losses_multipliers: [1, 1]"
    return _networks(variant, 10) + _loss(loss, 10) + _trainer(500) + ADAMW + _data(4, 10)


def weight_editor(variant: str) -> str:
    """The weight editor's file."""
    loss = "[MSELoss, MSELoss]\n        losses_multipliers: [0, 1]"
    editor = (
        "main_model:\n    type:\n        MainNetUnified\n        # or (deprecated) MainNet\n    args:\n"
        "        input_dim: 512\n        latent_dim: 1024\n        embed_dim: 512\n        regularization: False\n"
        "        regular_w: 0.0\n        num_shared_layers: 2\n        modified_layers:\n"
        f"            {LAYERS[variant]}\n        predict: shift\n        modify: all\n        resume: \n"
        f"    optimizer_hypernet:\n{SGD}    optimizer_mainnet:\n{SGD}"
    )
    return _networks(variant, 1) + _loss(loss, 1) + _trainer(100, 12345) + editor + _data(1, 1)


def autoencoder() -> str:
    """The emotion autoencoder's file."""
    optimizer = ADAMW.replace("0.0001", "0.001").replace("1e-4", "5e-4").replace("    scheduler: cosine_annealing", "")
    weights = "        w_mse: 1\n        w_kld: 0.00001\n        w_coeff: 1\n"
    loss = f"loss:\n    type:\n        MSELoss_AE_v2\n    args:\n{weights}"
    return f"model:\n{AUTOENCODER}" + loss + _trainer(1500, clip="clip_grad: True") + optimizer + _data(32, 1)


def style_encoder() -> str:
    """The style encoder's file; here the table is longer."""
    loss = "loss:\n    type: SupConLoss\n    args:\n        temperature: 0.07\n        base_temperature: 0.07\n"
    more = "    method: 'speaker_based' # 'non_speaker_based'\n"
    trainer = _trainer(200, clip="data_aug: False\n    clip_grad_norm: False")
    return f"model:\n{STYLE_ENCODER.replace('1000', '5000')}{loss}{ADAMW}{trainer}{_data(3, 1)}{more}"


def _networks(variant: str, k: int) -> str:
    decoder = "".join(f"        {line}\n" for line in (*DECODER_BOTH, *DECODER[variant]))
    more = "        same_latent_noise: True\n        eta: 0.0\n" if variant == "render" else ""
    scheduler = SCHEDULER.replace("@k", str(k))
    skip = variant == "emotion"
    return (
        f"person_specific:\n{STYLE_ENCODER}{_weights('person_specific')}"
        f"audio_encoder:\n    type:\n        AudioEmbedder\n    args:\n        skip_norm: {skip} # default skip\n"
        "    checkpoint_path: \n\n"
        f"latent_embedder: # emotion\n{AUTOENCODER}{_weights('embedder_latent')}"
        f"latent_3dmm_embedder:\n{COEFFICIENT_AUTOENCODER}{_weights('embedder_3dmm')}"
        f"{PRIOR}{'' if skip else '        window_sliding: 25' + chr(10)}{scheduler}\n"
        f"diffusion_decoder:\n    type:\n        TransformerDenoiser\n    args:\n{decoder}{scheduler}{more}\n"
    )


def _weights(folder: str) -> str:
    return f"    checkpoint_path:\n        ./checkpoints/{folder}/checkpoint.pth\n\n"


def _loss(kinds: str, k: int) -> str:
    return (
        f"loss:\n    type:\n        DiffusionLoss\n    args:\n        losses_type: {kinds}\n"
        f"        losses_decoded: [False, True]\n        k: {k}\n        temporal_loss_w: 0.0\n\n"
    )


def _trainer(epochs: int, seed: int = 1234, clip: str = "model: LatentMatcher\n    clip_grad: False") -> str:
    return (
        f"trainer:\n    seed: {seed}\n    start_epoch: 0\n    epochs: {epochs}\n    {clip}\n    resume: # a path\n"
        "    num_workers: 16\n    log_dir: ./log/run\n    tb_dir: ./tb_logs/run\n    out_dir: ./results/run\n"
        "    checkpoint_dir: ./checkpoints/run\n    save_period: 50\n    val_period: 50\n\n"
    )


def _data(batch: int, k: int) -> str:
    return "".join(
        f"{section}:\n    batch_size: {size}\n    shuffle: {split == 'train'}\n    num_workers: 16\n"
        f"    dataset_path: ./react_clean\n    split: {split}\n    num_person: 16\n    num_sample: 4\n"
        f"    img_size: 256\n    crop_size: 224\n    clip_length: 750\n    fps: 25\n{LOADED}    k_appro: {k}\n"
        for section, split, size in (
            ("validation_dataset", "val", 8),
            ("test_dataset", "test", 1),
            ("dataset", "train", batch),
        )
    )
