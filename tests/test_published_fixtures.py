"""Is this PerFRDiff? Every kind of number the published code was seen to produce, in a few MB, reproduced here."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from perfrdiff.cli import conformance
from perfrdiff.cli.main import main
from perfrdiff.errors import InputError
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.published.conformance import suite
from perfrdiff.published.weights import names
from perfrdiff.sampling import guided_denoiser
from tests.support.trimmed_fixtures import DATA, restore

WHOLE = Path(__file__).resolve().parents[2] / "shared" / "golden" / "perfrdiff"
FULL_SIZE = Path(__file__).parent / "data" / "published_full_size"
COMPARISONS = {  # fewest comparisons that have to take place, so that a check cannot become empty
    "ddim_decoder_emo_eta03_small": 8, "ddim_decoder_emo_small": 8, "ddim_decoder_ren_eta03_small": 8,
    "ddim_decoder_ren_small": 8, "ddim_prior_small": 20, "denoiser_emo_allcond_small": 8, "denoiser_emo_small": 8,
    "denoiser_ren_allcond_small": 8, "denoiser_ren_small": 8, "diffusion_schedule": 5, "generic_test_k3_emo_small": 2,
    "generic_test_k3_ren_small": 2, "hypernet_train_step_emo_small": 15, "hypernet_train_step_ren_small": 15,
    "losses": 29, "mainnet_emo_apply_modes_small": 3, "mainnet_emo_small": 4, "mainnet_ren_small": 4, "metrics": 18,
    "mfcc": 3, "person_encoder_small": 4, "prior_net_small": 11, "train_forward_k2_emo_small": 8,
    "train_forward_k2_ren_small": 8, "vae_v1_small": 10, "vae_v2_small": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return restore(tmp_path_factory.mktemp("fixtures"))


def test_no_stored_number_is_left_out():
    assert {path.stem for path in DATA.glob("*.safetensors")} == set(COMPARISONS)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARISONS)
def test_published_numbers_are_reproduced(folder, name):
    (outcome,) = [o for o in suite.run_folder(folder, f"{name}.") if o.name == f"{name}.safetensors"]
    assert outcome.status == "pass", f"{outcome.detail}: {outcome.largest} > {outcome.tolerance}"
    assert outcome.comparisons >= COMPARISONS[name]


def spoilt(folder, tmp_path, name, key, change):
    """A folder with one number of one fixture changed."""
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    path = tmp_path / f"{name}.safetensors"
    tensors = load_file(path)
    tensors[key] = change(tensors[key])
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        about = file.metadata()
    path.unlink()
    save_file(tensors, path, metadata=about)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("mainnet_ren_small", "out/prediction_3dmm"),
        ("mainnet_emo_small", "in/speaker_audio"),
        ("hypernet_train_step_ren_small", "out/step0/grad/shared_layers.0.weight"),
        pytest.param("metrics", "out/FRD", marks=pytest.mark.slow),
        ("denoiser_emo_small", "sd/query_pos.pe"),
    ],
)
def test_a_small_error_is_noticed(folder, tmp_path, capsys, name, key):
    """Half a percent off in one tensor fails the file and the command."""
    path = spoilt(folder, tmp_path, name, key, lambda x: x * 1.005)
    parser = conformance.argparse.ArgumentParser()
    conformance.add_arguments(parser)
    assert conformance.run(parser.parse_args([str(path), "--only", f"{name}."])) == 1
    assert "fail" in capsys.readouterr().out


def test_other_names_and_missing_neighbours(folder, tmp_path):
    """A fixture is known by its content; where the weights it needs are not there, one line says which."""
    save_file(load_file(folder / "losses.safetensors"), tmp_path / "whatever.safetensors")
    (tmp_path / "train.safetensors").symlink_to(folder / "train_forward_k2_ren_small.safetensors")
    (tmp_path / "photo.jpg").write_bytes(b"")
    save_file({"x": torch.zeros(2)}, tmp_path / "unknown.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    outcomes = {outcome.name: outcome for outcome in suite.run_folder(tmp_path)}
    assert outcomes["whatever.safetensors"].status == "pass"
    assert (
        outcomes["train.safetensors"].status == "fail"
        and "needs the weights of" in outcomes["train.safetensors"].detail
    )
    assert outcomes["photo.jpg"].status == "skip"
    assert (
        outcomes["unknown.safetensors"].status == "fail" and "unknown layout" in outcomes["unknown.safetensors"].detail
    )
    assert outcomes["torn.safetensors"].status == "fail" and "cannot be read" in outcomes["torn.safetensors"].detail


def test_fixtures_under_any_name_find_their_weights(folder, tmp_path):
    """Neither the seed nor the size in a file's name matters: every file is known by what it holds."""
    renamed = {}
    for number, path in enumerate(sorted(folder.glob("*.safetensors"))):
        if "allcond" not in path.name:  # a second set of the same network's weights, which only the names tell apart
            renamed[path.stem] = f"seed7-{number:02d}.safetensors"
            (tmp_path / renamed[path.stem]).symlink_to(path)
    for name in ("hypernet_train_step_ren_small", "train_forward_k2_emo_small", "mainnet_emo_apply_modes_small"):
        (outcome,) = suite.run_folder(tmp_path, renamed[name])
        assert outcome.status == "pass", f"{name}: {outcome.detail}"


def test_other_sizes_and_seeds(tmp_path):
    """Windows, widths, heads, delay, guidance and steps of a fixture are its own, not ours."""
    for seed in (3, 4):
        tensors, config = other_denoiser(seed)
        target = tmp_path / f"denoiser_ren_seed{seed}.safetensors"
        save_file(tensors, target, metadata={"config": json.dumps(config)})
    outcomes = list(suite.run_folder(tmp_path))
    assert [(o.status, o.comparisons) for o in outcomes] == [("pass", 4)] * 2, outcomes


def other_denoiser(seed):
    """A small render denoiser of sizes that no stored fixture has, and what it computes: tensors, settings."""
    sizes = {
        "nfeats": 58, "latent_dim": 24, "ff_size": 40, "num_layers": 2, "num_heads": 2, "reaction_delay": 2,
        "time_encoded_dim": 64, "s_audio_scale": 1.0, "guidance_scale": 2.5, "dropout": 0.1, "s_embed_dim": 20,
        "l_embed_dim": 20, "personal_emb_dim": 20, "s_audio_enc_drop_prob": 0.2, "s_3dmm_enc_drop_prob": 0.2,
        "past_l_3dmm_drop_prob": 0.2, "s_latent_embed_drop_prob": 1.0, "s_emotion_enc_drop_prob": 1.0,
        "l_latent_embed_drop_prob": 1.0, "l_personal_embed_drop_prob": 1.0,
    }  # fmt: skip
    config = DenoiserConfig(
        features=58, width=24, layers=2, heads=2, feedforward=40, window=12, reaction_delay=2,
        condition_widths={"audio": 78, "coefficients": 58, "past_listener": 58},
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Denoiser(config).eval()
    conditions = {"speaker_audio_encodings": torch.randn(2, 12, 78), "speaker_3dmm_encodings": torch.randn(2, 12, 58)}
    x, named_conditions = torch.randn(2, 12, 58), dict(zip(("audio", "coefficients"), conditions.values(), strict=True))
    tensors = {f"in/{name}": value for name, value in conditions.items()} | {"in/x_t": x}
    with torch.no_grad():
        tensors |= {
            f"out/{kind}_t{t}": guided_denoiser(model, named_conditions, scale)(x, t).contiguous()
            for kind, scale, t in (("cfg", 2.5, 980), ("cfg", 2.5, 7), ("cond", 1.0, 500), ("uncond", 0.0, 500))
        }
    published_keys = {new: old for old, new in names.DENOISER.items() if "emotion" not in old and new}
    for key, value in model.state_dict().items():
        start = next((new for new in published_keys if key.startswith(new)), None)
        tensors[f"sd/{published_keys[start]}{key[len(start) :]}" if start else f"sd/decoder.{key}"] = value.contiguous()
    return tensors, sizes


def test_what_a_fixture_leaves_out_is_not_compared(folder, tmp_path):
    """Intermediates and single results may be missing; a fixture with no result at all fails."""
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for name, keep in (("mainnet_ren_small", "mid/decoder_x_T|out/prediction"), ("vae_v2_small", "out/forward_eval/c")):
        fixture = suite.FixtureFolder(folder).fixture(f"{name}.safetensors")
        kept = {k: v for k, v in fixture.tensors.items() if k.startswith(("sd", "in/")) or re.match(keep, k)}
        (tmp_path / f"{name}.safetensors").unlink()
        save_file(kept, tmp_path / f"{name}.safetensors", metadata={"config": json.dumps(fixture.config)})
        (outcome,) = [o for o in suite.run_folder(tmp_path, name) if o.name == f"{name}.safetensors"]
        assert (outcome.status, outcome.comparisons) == ("pass", 1), outcome.detail
        none = {k: v for k, v in kept.items() if not k.startswith("out/forward") and k != "in/seq"}
        if name.startswith("vae"):
            save_file(none, tmp_path / "nothing.safetensors", metadata={"config": json.dumps(fixture.config)})
            (outcome,) = suite.run_folder(tmp_path, "nothing")
            assert (outcome.status, outcome.detail) == ("fail", "nothing in it could be compared")


@pytest.mark.parametrize(
    ("content", "status"),
    [("{", "fail"), ("[1, 2]", "skip"), ('{"files": [1]}', "skip"), ('{"files": {"a": {"keys": 5}}}', "skip"),
     ('{"a.safetensors": 3}', "skip"), ("{}", "skip"), ('{"note": "hello"}', "skip")],
)  # fmt: skip
def test_any_other_file_is_reported_and_stops_nothing(folder, tmp_path, content, status):
    (tmp_path / "extra.json").write_text(content)
    save_file({"in/x": torch.zeros(1)}, tmp_path / "odd.safetensors", metadata={"config": "no json"})
    (tmp_path / "losses.safetensors").symlink_to(folder / "losses.safetensors")
    (tmp_path / "folder").mkdir()
    outcomes = {outcome.name: outcome.status for outcome in suite.run_folder(tmp_path)}
    assert outcomes == {"extra.json": status, "losses.safetensors": "pass", "odd.safetensors": "fail"}


def test_the_command_says_what_is_no_folder_of_fixtures(tmp_path, capsys):
    (tmp_path / "file.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file.txt"):
        assert main(["conformance", str(path)]) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("perfrdiff: There is no ") and printed.count("\n") == 1


def test_a_folder_without_fixtures_is_refused(tmp_path):
    with pytest.raises(InputError, match="no fixture file"):
        list(suite.run_folder(tmp_path))
    with pytest.raises(InputError, match="no folder"):
        list(suite.run_folder(tmp_path / "nowhere"))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["emo", "ren"])
def test_the_full_size_networks(variant):
    """Weights made by the written recipe, as large as the published ones, against the published code's results."""
    (outcome,) = [o for o in suite.run_folder(FULL_SIZE, f"full_probe_{variant}") if o.status != "skip"]
    assert outcome.status == "pass", f"{outcome.detail}: {outcome.largest} > {outcome.tolerance}"
    assert outcome.comparisons >= {"emo": 15, "ren": 8}[variant]


@pytest.mark.media
@pytest.mark.slow
@pytest.mark.skipif(not WHOLE.is_dir(), reason=f"the whole fixtures are not in {WHOLE}")
def test_all_fixtures_with_the_full_size_networks():
    failed = [outcome for outcome in suite.run_folder(WHOLE) if outcome.status == "fail"]
    assert not failed, failed
