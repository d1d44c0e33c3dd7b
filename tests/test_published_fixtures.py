"""Is this PerFRDiff? Every kind of number the published code was seen to produce, in a few MB, reproduced here."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from trimmed_fixtures import DATA, restore

from perfrdiff import conformance
from perfrdiff.errors import InputError
from perfrdiff.published import suite

WHOLE = Path(__file__).resolve().parents[2] / "shared" / "golden" / "perfrdiff"
COMPARISONS = {  # fewest comparisons that have to take place, so that a check cannot become empty
    "ddim_decoder_emo_eta03_small": 8, "ddim_prior_small": 20, "denoiser_emo_allcond_small": 8,
    "denoiser_emo_small": 8, "denoiser_ren_small": 8, "diffusion_schedule": 5, "generic_test_k3_ren_small": 2,
    "hypernet_train_step_ren_small": 15, "losses": 29, "mainnet_emo_apply_modes_small": 3, "mainnet_emo_small": 7,
    "mainnet_ren_small": 4, "metrics": 18, "person_encoder_small": 4, "prior_net_small": 11,
    "train_forward_k2_emo_small": 8, "train_forward_k2_ren_small": 8, "vae_v2_small": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return restore(tmp_path_factory.mktemp("fixtures"))


def test_no_stored_number_is_left_out():
    assert {path.stem for path in DATA.glob("*.safetensors")} == set(COMPARISONS)


@pytest.mark.parametrize("name", COMPARISONS)
def test_published_numbers_are_reproduced(folder, name):
    (outcome,) = [o for o in suite.run_folder(folder, f"{name}.") if o.name == f"{name}.safetensors"]
    assert outcome.status == "pass", f"{outcome.words}: {outcome.largest} > {outcome.tolerance}"
    assert outcome.comparisons >= COMPARISONS[name]


def spoilt(folder, tmp_path, name, key, change):
    """A folder with one number of one fixture changed."""
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    place = tmp_path / f"{name}.safetensors"
    tensors = load_file(place)
    tensors[key] = change(tensors[key])
    from safetensors import safe_open

    with safe_open(place, "pt") as file:
        about = file.metadata()
    place.unlink()
    save_file(tensors, place, metadata=about)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("mainnet_ren_small", "out/prediction_3dmm"),
        ("mainnet_emo_small", "in/speaker_audio"),
        ("hypernet_train_step_ren_small", "out/step0/grad/shared_layers.0.weight"),
        ("metrics", "out/FRD"),
        ("denoiser_emo_small", "sd/query_pos.pe"),
    ],
)
def test_a_small_error_is_noticed(folder, tmp_path, capsys, name, key):
    """Half a percent off in one tensor fails the file and the command."""
    place = spoilt(folder, tmp_path, name, key, lambda x: x * 1.005)
    parser = conformance.argparse.ArgumentParser()
    conformance.add_arguments(parser)
    assert conformance.run(parser.parse_args([str(place), "--only", f"{name}."])) == 1
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
        outcomes["train.safetensors"].status == "fail" and "needs the weights of" in outcomes["train.safetensors"].words
    )
    assert outcomes["photo.jpg"].status == "skip"
    assert (
        outcomes["unknown.safetensors"].status == "fail" and "unknown layout" in outcomes["unknown.safetensors"].words
    )
    assert outcomes["torn.safetensors"].status == "fail" and "cannot be read" in outcomes["torn.safetensors"].words


def test_a_folder_without_fixtures_is_refused(tmp_path):
    with pytest.raises(InputError, match="no fixture file"):
        list(suite.run_folder(tmp_path))
    with pytest.raises(InputError, match="no folder"):
        list(suite.run_folder(tmp_path / "nowhere"))


@pytest.mark.media
@pytest.mark.slow
@pytest.mark.skipif(not WHOLE.is_dir(), reason=f"the whole fixtures are not in {WHOLE}")
def test_all_fixtures_with_the_full_size_networks():
    failed = [outcome for outcome in suite.run_folder(WHOLE) if outcome.status == "fail"]
    assert not failed, failed
