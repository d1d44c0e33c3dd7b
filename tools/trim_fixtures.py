"""The fixtures of the published code, cut down to what the tests need: python -m tools.trim_fixtures FOLDER

Writes tests/data/published/*.safetensors. Every number that stays is the original one; what goes are intermediates,
repeated weights and inputs that nothing reads. `restore` in tests/support/trimmed_fixtures.py fills the gaps again.
"""

import re
import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "published"
TABLE_ROWS = 64  # of the 500 rows of learned positions; no window uses more
ALWAYS = r"sd/(?!.*(?:freqs)$).*|in/.*|out/.*|rng/.*"
STEPS = r"in/.*|out/.*|rng/.*|timesteps|step(00|48|49)/.*"
EDITOR_STEPS = (
    r"in/.*|rng/.*|out/step\d/(loss|decoded|encoded)|out/(step0/grad|after2)/(shared_layers.*|branches\.0\.bias)"
)
FULL_SIZE = ("full_probe_emo", "full_probe_ren")  # copied whole, with their fingerprints, to a folder of their own
KEEP = {
    "vae_v1_small": ALWAYS,
    "denoiser_ren_allcond_small": ALWAYS,
    "ddim_decoder_emo_small": STEPS,
    "ddim_decoder_ren_small": STEPS,
    "ddim_decoder_ren_eta03_small": STEPS,
    "generic_test_k3_emo_small": r"in/speaker.*|mid/.*|out/.*",
    "hypernet_train_step_emo_small": EDITOR_STEPS,
    "mfcc": ".*",
    "person_encoder_small": ALWAYS,
    "vae_v2_small": ALWAYS,
    "prior_net_small": f"{ALWAYS}|mid/attn_bias|ref/.*",
    "denoiser_ren_small": ALWAYS,
    "denoiser_emo_small": ALWAYS,
    "denoiser_emo_allcond_small": ALWAYS,
    "ddim_prior_small": ".*",
    "ddim_decoder_emo_eta03_small": STEPS,
    "generic_test_k3_ren_small": r"in/speaker.*|mid/.*|out/.*",
    "mainnet_ren_small": r"in/(speaker|listener_personal).*|out/.*|sd_hypernet/.*|mid/(.*_x_T|hyper.*|person.*)",
    "mainnet_emo_small": r"in/(speaker|listener_personal).*|out/.*|sd_hypernet/.*|mid/(.*_x_T|hyper.*|person.*)",
    "mainnet_emo_apply_modes_small": r"(offset_all|weight_all)/.*to_emotion_feat|shift_kv/.*layers\.1\..*",
    "train_forward_k2_ren_small": ".*",
    "train_forward_k2_emo_small": r"in/(speaker|listener_(emotion|3dmm)).*|out/.*|rng/.*",
    "hypernet_train_step_ren_small": EDITOR_STEPS,
    "diffusion_schedule": r"alphas_cumprod|betas|indices_leading.*|q/.*",
    "losses": ".*",
    "metrics": ".*",
}


def main(folder: Path) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    total = 0
    for name, pattern in KEEP.items():
        with safe_open(folder / f"{name}.safetensors", "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys() if re.fullmatch(pattern, key)}  # noqa: SIM118
            metadata = file.metadata()
        tensors = {key: value[:TABLE_ROWS] if key.endswith("_pos.pe") else value for key, value in tensors.items()}
        save_file(
            {key: value.contiguous() for key, value in tensors.items()}, OUT / f"{name}.safetensors", metadata=metadata
        )
        size = (OUT / f"{name}.safetensors").stat().st_size
        total += size
        print(f"{name:34} {size / 1e3:7.0f} kB")
    print(f"{total / 1e6:.2f} MB")
    full_size_folder = OUT.with_name("published_full_size")
    full_size_folder.mkdir(exist_ok=True)
    for name in FULL_SIZE:
        for file in (f"{name}.safetensors", f"{name.replace('probe', 'probe_fingerprints')}.json"):
            (full_size_folder / file).write_bytes((folder / file).read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
