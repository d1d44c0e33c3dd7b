"""The paper's training by a stranger: every stage without a file of one's own, in one command, up to the evaluation."""

import json
import os
import stat

import pytest
import torch
from accelerate.state import AcceleratorState

from perfrdiff.cli.main import main
from perfrdiff.errors import InputError
from perfrdiff.files import write_safetensors
from perfrdiff.models import registry
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.published.config.reader import read_config
from perfrdiff.published.weights import convert
from perfrdiff.published.weights.variants import RENAME_TENSORS, shape_tables
from perfrdiff.training.paper import all_stages as react_all
from perfrdiff.training.paper import files as react_files
from perfrdiff.training.paper import presets as react_presets
from perfrdiff.training.paper.run import TrainRequest, read_request

STAGES = react_all.ORDER["render"]


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("variant", ["emotion", "render"])
@pytest.mark.parametrize("stage", STAGES)
def test_the_shipped_files_configure_the_published_networks(variant, stage):
    """Every tensor of every network has the name and the shape that the published weights have."""
    config = read_config(react_presets.paper_config(stage, variant), strict=True)
    assert config.stage.replace(" ", "-") == stage.removeprefix("coefficient-")
    assert config.variant == (variant if stage in react_presets.VARIANT_STAGES else None)
    assert set(config.defaulted) <= {"trainer.start_epoch", "diffusion_decoder.args.s_audio_scale"}
    files = {file.network: file for file in shape_tables()[variant]}
    for name in react_files.STAGE_NETWORKS[stage]:
        empty = {key: torch.empty(shape, device="meta") for key, shape in files[name].shapes.items()}
        published_shapes = {key: value.shape for key, value in RENAME_TENSORS[name](empty).items()}
        assert {
            key: value.shape
            for key, value in registry.build(name, config.networks[name], without_memory=True).state_dict().items()
        } == published_shapes


@pytest.mark.parametrize("variant", ["emotion", "render"])
def test_the_small_preset_edits_weights_that_the_small_denoiser_has(variant, tmp_path):
    request = TrainRequest("weight-editor", None, tmp_path, variant=variant, preset="small")
    config, networks = read_request(request)
    weights = dict(Denoiser(networks["denoiser"]).named_parameters())
    targets = networks["weight_editor"].targets
    assert len(targets) == 3 and networks["weight_editor"].rank == react_presets.SMALL_RANK
    assert all(tuple(weights[name].shape) == shape for name, shape in targets.items())
    last = networks["denoiser"].layers - 1
    assert any(name.startswith(f"layers.{last}.") for name in targets)
    assert config.trainer.epochs < 100


def test_bad_requests_are_told_in_one_sentence(tmp_path, monkeypatch, capsys):
    request = TrainRequest("all", tmp_path / "some.yaml", tmp_path)
    with pytest.raises(InputError, match="--config belongs to a single stage"):
        react_all.train_all(request)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="one process"):
        react_all.train_all(request)
    assert main(["train", "autoencoder", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "run")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_finished_stage_of_other_sizes_is_not_skipped(tmp_path):
    """Weights of the small preset, then a run with the paper's sizes in the same folder."""
    _, networks = read_request(TrainRequest("autoencoder", None, tmp_path, preset="small"))
    built = {"autoencoder": registry.build("autoencoder", networks["autoencoder"])}
    react_files.save(tmp_path, "autoencoder", None, built, torch.zeros(58), None)
    with pytest.raises(InputError, match=r"autoencoder trained before does not fit autoencoder\.yaml: hidden 64 there"):
        react_all.train_all(TrainRequest("all", None, tmp_path, tmp_path / "none"))


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_weights_get_the_permissions_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_safetensors(tmp_path / "a.safetensors", {"a": torch.zeros(2)}, {})
        write_safetensors(tmp_path / "a.safetensors", {"a": torch.ones(2)}, {"replaced": "yes"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == 0o666 & ~umask
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.slow
def test_from_nothing_to_scores(tmp_path, capsys, monkeypatch):
    """simulate, neighbours, train all and evaluate data, as docs/research.md has it, with fewer of everything; a
    second `train all` has nothing left to do."""
    monkeypatch.setattr(convert, "STYLE_CLIPS", 1)
    monkeypatch.setattr(convert, "STYLE_SECONDS", 4.0)
    sim, run = tmp_path / "sim", tmp_path / "run"
    assert main(["simulate", "--out", str(sim), "--dyads", "4", "--clips", "2", "--listeners", "2"]) == 0
    assert main(["neighbours", "--data", str(sim), "--split", "train", "--overwrite"]) == 0
    train = ["train", "all", "--preset", "small", "--data", str(sim), "--out", str(run), "--device", "cpu"]
    train += ["--steps", "2", "--batch-size", "2", "--clip-length", "150", "--log-every", "1"]
    assert main(train) == 0
    capsys.readouterr()
    assert main(train) == 0
    printed = capsys.readouterr().out
    assert all(f"{stage}: finished before, skipped" in printed for stage in STAGES) and "total" not in printed
    (tmp_path / "any").touch()
    assert (run / "weights.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode
    score = ["evaluate", "data", "--data", str(sim), "--weights", str(run / "weights.safetensors"), "--samples", "2"]
    score += ["--limit", "2", "--steps", "2", "--out", str(tmp_path / "scores")]
    assert main(score) == 0
    report = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert [line["method"] for line in report["lines"]][:2] == ["this listener", "generic"]
    assert all(line["sound"]["FRDist"] >= 0 for line in report["lines"])
