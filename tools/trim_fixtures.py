"""The fixtures of the published code, cut down to what the tests need: python tools/trim_fixtures.py FOLDER

Writes tests/data/published/*.safetensors. Every number that stays is the original one; what goes are intermediates,
repeated weights and inputs that nothing reads. `restore` in tests/trimmed_fixtures.py fills the gaps again.
"""

import re
import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "published"
TABLE_ROWS = 64  # of the 500 rows of learned positions; no window uses more
ALWAYS = r"sd/(?!.*(?:freqs)$).*|in/.*|out/.*|rng/.*"
KEEP = {
    "person_encoder_small": ALWAYS,
    "vae_v2_small": ALWAYS,
    "prior_net_small": f"{ALWAYS}|mid/attn_bias|ref/.*",
    "denoiser_ren_small": ALWAYS,
    "denoiser_emo_small": ALWAYS,
    "denoiser_emo_allcond_small": ALWAYS,
    "ddim_prior_small": ".*",
    "ddim_decoder_emo_eta03_small": r"in/.*|out/.*|rng/.*|timesteps|step(00|48|49)/.*",
    "generic_test_k3_ren_small": r"in/speaker.*|mid/.*|out/.*",
    "mainnet_ren_small": r"in/(speaker|listener_personal).*|out/.*|sd_hypernet/.*|mid/(.*_x_T|hyper.*|person.*)",
    "mainnet_emo_small": r"in/(speaker|listener_personal).*|out/.*|sd_hypernet/shared.*"
    r"|mid/(.*_x_T|hyper.*|person.*|delta.*)",
    "mainnet_emo_apply_modes_small": r"(offset_all|weight_all)/.*to_emotion_feat|shift_kv/.*layers\.1\..*",
    "train_forward_k2_ren_small": ".*",
    "train_forward_k2_emo_small": r"in/(speaker|listener_(emotion|3dmm)).*|out/.*|rng/.*",
    "hypernet_train_step_ren_small": r"in/.*|rng/.*|out/step\d/(loss|decoded|encoded)"
    r"|out/(step0/grad|after2)/(shared_layers.*|branches\.0\.bias)",
    "diffusion_schedule": r"alphas_cumprod|betas|indices_leading.*|q/.*",
    "losses": ".*",
    "metrics": ".*",
}


def main(folder: Path) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    whole = 0
    for name, pattern in KEEP.items():
        with safe_open(folder / f"{name}.safetensors", "pt") as file:
            kept = {key: file.get_tensor(key) for key in file.keys() if re.fullmatch(pattern, key)}  # noqa: SIM118
            about = file.metadata()
        kept = {key: value[:TABLE_ROWS] if key.endswith("_pos.pe") else value for key, value in kept.items()}
        save_file({key: value.contiguous() for key, value in kept.items()}, OUT / f"{name}.safetensors", metadata=about)
        size = (OUT / f"{name}.safetensors").stat().st_size
        whole += size
        print(f"{name:34} {size / 1e3:7.0f} kB")
    print(f"{whole / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
