"""The stages of the paper from configurations in the authors' layout: they train, resume, fit together, and refuse."""

import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from perfrdiff.data.react2024 import dataset as react
from perfrdiff.data.react2024 import writer as react_writer
from perfrdiff.errors import InputError
from perfrdiff.files import write_safetensors
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.published.config.settings import ContrastiveLossSettings, DataSettings, OptimizerSettings
from perfrdiff.published.weights import convert
from perfrdiff.reactor import Reactor
from perfrdiff.training import engine
from perfrdiff.training.engine import RunFiles
from perfrdiff.training.paper import files as react_files
from perfrdiff.training.paper.batches import EntryOrder
from perfrdiff.training.paper.run import TrainRequest, train
from perfrdiff.training.paper.style_encoder import StyleModel, StyleStage
from perfrdiff.training.plan import Schedule, TrainingPlan, make_optimizer
from perfrdiff.training.run_state import read_state
from tests.support import published_yaml, tiny_training

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
BATCH, CLIP = 2, 60  # entries, frames


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("react") / "set"
    react_writer.write_dataset(react_writer.DatasetSize(dyads=4, clips=2, listeners=2), out)
    return out / "data"


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    return {v: tiny_training.all_of(tmp_path_factory.mktemp(v), v) for v in ("render", "emotion")}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(convert, "STYLE_CLIPS", 1)
    monkeypatch.setattr(convert, "STYLE_SECONDS", 4.0)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)  # one process trains with several precisions here


def request_of(stage, config, data, out, **options):
    defaults = {"steps": 2, "batch_size": BATCH, "clip_length": CLIP, "check_every": 0, "log_every": 1, "device": "cpu"}
    return TrainRequest(stage, config, out, data, **defaults | options)


@pytest.fixture(scope="module", params=["render", "emotion"])
def trained(request, configs, data, tmp_path_factory):
    """A training folder with all stages of a variant."""
    out = tmp_path_factory.mktemp("run")
    for stage, config in configs[request.param].items():
        rank = {"rank": 2} if stage == "weight-editor" and request.param == "emotion" else {}
        train(request_of(stage, config, data, out, **rank), lambda line: None)
    return SimpleNamespace(variant=request.param, folder=out, config=configs[request.param])


def test_all_stages_together_are_weights_that_react(trained):
    path = react_files.assemble(trained.folder)
    reactor = Reactor.load(str(path), "cpu")
    rng = np.random.default_rng(0)
    audio, face = rng.standard_normal((40, 78)), np.abs(rng.standard_normal((40, 58))) * 0.1
    generic = reactor.react(audio, face, samples=1, steps=2).coefficients
    reactor.set_listener(np.abs(rng.standard_normal((60, 58))).astype(np.float32) * 0.1)
    personal = reactor.react(audio, face, samples=1, steps=2).coefficients
    assert generic.shape == (1, 40, 58) and np.isfinite(personal).all()
    assert np.abs(personal - generic).max() > 0
    assert reactor.checkpoint.denoiser.config.variant == trained.variant
    assert reactor.checkpoint.sampling.slide == (5 if trained.variant == "render" else tiny_training.WINDOW)


def test_without_an_editor_everybody_is_the_generic_listener(trained, tmp_path):
    for stage in ("autoencoder", "style-encoder", "generator"):
        shutil.copy(react_files.stage_path(trained.folder, stage), tmp_path)
    reactor = Reactor.load(str(react_files.assemble(tmp_path)), "cpu")
    audio, face = np.zeros((20, 78)), np.zeros((20, 58))
    generic = reactor.react(audio, face, samples=1, steps=2).coefficients
    reactor.set_listener(np.ones((60, 58), np.float32))
    assert np.allclose(reactor.react(audio, face, samples=1, steps=2).coefficients, generic, atol=1e-6)


def test_the_editor_leaves_the_generator_alone(trained, data, tmp_path):
    before = load_file(react_files.stage_path(trained.folder, "generator"))
    shutil.copytree(trained.folder, tmp_path / "run")
    options = {"steps": 4, "restart": True, "published_dropout": True}
    train(request_of("weight-editor", trained.config["weight-editor"], data, tmp_path / "run", **options), print)
    after = load_file(react_files.stage_path(tmp_path / "run", "generator"))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_stage_learns(configs, data, tmp_path):
    lines = []
    options = {"steps": 60, "log_every": 20, "check_every": 30}
    train(request_of("autoencoder", configs["render"]["autoencoder"], data, tmp_path, **options), lines.append)
    losses = [float(line.split("total ")[1].split(",")[0]) for line in lines if "total" in line]
    assert losses[-1] < 0.8 * losses[0]
    assert any("validation" in line for line in lines) and lines[1].startswith("autoencoder 20/60 ")
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


def test_a_validation_split_smaller_than_its_batch_is_looked_at_whole(configs, data, tmp_path):
    path = tmp_path / "config.yaml"
    words = configs["render"]["autoencoder"].read_text()
    path.write_text(words.replace("batch_size: 32", "batch_size: 2").replace("batch_size: 8", "batch_size: 50"))
    lines = []
    train(request_of("autoencoder", path, data, tmp_path, steps=1, check_every=1, batch_size=None), lines.append)
    assert any("validation" in line for line in lines)


class Killed(Exception):
    pass


@pytest.mark.parametrize("stage", ["generator", "weight-editor"])
@pytest.mark.parametrize("trained", ["render"], indirect=True)
def test_a_killed_run_resumes_to_the_same_numbers(stage, trained, data, tmp_path, monkeypatch):
    """With a running average and validation, so that both are taken up again too."""
    options = {"steps": 6, "ema": 0.9, "save_every": 2, "check_every": 3}

    def folder(name):
        (tmp_path / name).mkdir()
        for before in react_files.EARLIER_STAGES[stage]:
            shutil.copy(react_files.stage_path(trained.folder, before), tmp_path / name)
        return tmp_path / name

    def run(out, **more):
        train(request_of(stage, trained.config[stage], data, out, **options | more), lambda line: None)
        return load_file(react_files.stage_path(out, stage))

    unbroken, broken = run(folder("whole")), folder("broken")
    log_progress = engine._log_progress

    def log_then_die(stage, plan, accelerator, done, *arguments):
        log_progress(stage, plan, accelerator, done, *arguments)
        if done == 5:
            raise Killed

    monkeypatch.setattr(engine, "_log_progress", log_then_die)
    with pytest.raises(Killed):
        run(broken)
    monkeypatch.setattr(engine, "_log_progress", log_progress)
    AcceleratorState._reset_state(reset_partial_state=True)
    resumed = run(broken)
    assert all(torch.equal(unbroken[key], resumed[key]) for key in unbroken)


class Doubtful(torch.nn.Module):
    """A model whose loss is not a number at the steps that it is told."""

    def __init__(self, bad):
        super().__init__()
        self.weight, self.bad = torch.nn.Parameter(torch.ones(3)), bad

    def forward(self, batch):
        total = (self.weight * batch["rows"]).square().mean()
        return {"total": total * torch.nan if int(batch["step"]) in self.bad else total}


class DoubtfulStage:
    name = "doubtful"

    def __init__(self, bad):
        self.model = Doubtful(bad)

    def batch(self, step, share):
        return {"rows": torch.full((3,), step + 1.0), "step": torch.tensor(step)}


def test_what_is_not_finite_is_never_saved_and_the_run_goes_on_from_before(tmp_path):
    """Though the loss is logged every 100 steps only, every state is finite; average and schedule go on too."""
    adamw = OptimizerSettings("adamw", 0.1, 0.0)
    plan = TrainingPlan(8, 8, adamw, ema=0.9, warmup=2, log_every=100, save_every=1, device="cpu")
    state = tmp_path / "state.safetensors"
    with pytest.raises(InputError, match=r"not finite at step 5.*last good state stays in .*state\.safetensors"):
        engine.fit(DoubtfulStage({4}), plan, RunFiles(state, {}), say=lambda line: None)
    header, tensors = read_state(state)
    assert header["step"] == 4 and all(torch.isfinite(value).all() for value in tensors.values())
    lines = []
    resumed = engine.fit(DoubtfulStage(()), plan, RunFiles(state, {}), say=lines.append)
    unbroken = engine.fit(DoubtfulStage(()), plan, RunFiles(tmp_path / "whole.safetensors", {}), say=lambda line: None)
    assert "taken up at step 4" in lines[0] and torch.equal(resumed.weight, unbroken.weight)
    with pytest.raises(InputError, match=r"not finite at step 1.*No state was saved yet"):
        engine.fit(DoubtfulStage({0}), plan, RunFiles(tmp_path / "none.safetensors", {}))


def test_bf16_trains(configs, data, tmp_path):
    lines = []
    train(
        request_of("style-encoder", configs["render"]["style-encoder"], data, tmp_path, precision="bf16"), lines.append
    )
    assert "wrote" in lines[-1]


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch has no gloo here")
def test_two_processes_reach_the_numbers_of_one(configs, data, tmp_path):
    """The style encoder's loss needs all clips at once; its gradients come from both processes."""
    config = configs["render"]["style-encoder"]
    lines = []
    train(request_of("style-encoder", config, data, tmp_path / "one", steps=3), lines.append)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--num_cpu_threads_per_process", "1", "--main_process_port", str(port),
        "-m", "perfrdiff", "train", "style-encoder", "--config", str(config),
        "--data", str(data), "--out", str(tmp_path / "two"), "--steps", "3", "--batch-size", str(BATCH),
        "--clip-length", str(CLIP), "--log-every", "1", "--check-every", "0", "--device", "cpu",
    ]  # fmt: skip
    done = subprocess.run(launch, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 processes" in done.stdout

    def losses(text):
        return [float(line.split("total ")[1].split(",")[0]) for line in text if "total" in line]

    assert losses(done.stdout.splitlines()) == pytest.approx(losses(lines), abs=2e-5)
    one, two = (load_file(react_files.stage_path(tmp_path / name, "style-encoder")) for name in ("one", "two"))
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5


def test_shares_of_a_batch_make_the_whole_batch(trained, data):
    """The generator's batch, shared by two processes: rows, draws, and the render variant's audio range."""
    from perfrdiff.published.config.settings import DiffusionLossSettings
    from perfrdiff.training.paper.generator import GeneratorModel, GeneratorStage

    split = react.open_split(data, "train")
    loaded = react_files.load(trained.folder, "generator").networks
    autoencoder = react_files.load(trained.folder, "autoencoder").networks["autoencoder"]
    model = GeneratorModel(loaded["prior"], loaded["denoiser"], autoencoder, DiffusionLossSettings()).eval()
    settings = DataSettings(split="train", batch_size=4, shuffle=True, clip_length=CLIP, targets=3)
    stage = GeneratorStage(model, split, settings, seed=1, processes=2)
    with torch.no_grad():
        single = model(stage.batch(5, (0, 1)))
        halves = [model(stage.batch(5, (rank, 2))) for rank in (0, 1)]
    for name in ("total", "latent", "window"):
        assert float(single[name]) == pytest.approx(sum(float(half[name]) for half in halves) / 2, rel=1e-5)


def style_stage(data, **neighbours):
    model = StyleModel(StyleEncoder(StyleEncoderConfig(width=8, layers=1, heads=2)), ContrastiveLossSettings())
    split = react.open_split(data, "train")
    if neighbours:
        split = replace(split, **neighbours)
    return StyleStage(
        model, split, DataSettings(split="train", batch_size=3, shuffle=True, clip_length=CLIP, num_person=2), seed=0
    )


def test_style_batches_hold_several_clips_of_several_listeners(data):
    everybody = style_stage(data, neighbours=np.ones((8, 8), bool))
    assert everybody.appropriate_only
    batch = everybody.batch(0, (0, 1))
    persons, counts = torch.unique(batch["person"], return_counts=True)
    assert len(persons) >= 2 and (counts >= 2).all()
    assert batch["clips"].shape == (len(batch["person"]), CLIP, 58)
    simulated = style_stage(data)  # neighbours are other listeners only: their other clips fill up
    assert not simulated.appropriate_only
    assert simulated.batch(0, (0, 1)) is not None


def test_every_entry_is_seen_once_an_epoch():
    order = EntryOrder(10, 3, seed=4)
    entries = np.concatenate([order.batch_entries(step) for step in range(3)])
    assert len(set(entries.tolist())) == 9 and not np.array_equal(order.batch_entries(0), order.batch_entries(3))
    assert np.array_equal(order.batch_entries(2), EntryOrder(10, 3, seed=4).batch_entries(2))


def rates_of(plan):
    """Learning rate of every step."""
    optimizer = make_optimizer(plan.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    schedule, rates = Schedule(plan, optimizer), []
    for step in range(plan.steps):
        optimizer.step()
        rates.append(schedule.rate)
        schedule.advance(step + 1)
    return rates


def test_the_published_schedule():
    """Stepped once an epoch from the sixth on; half a cosine lasts as many epochs as an epoch has batches."""
    rates = rates_of(TrainingPlan(400, 10, OptimizerSettings("adamw", 1e-4, 1e-4, (0.9, 0.999), None, True)))
    epochs = [max(0, epoch - 5) for epoch in range(40)]
    expected = [0.5e-4 * (1 + np.cos(np.pi * turned / 10)) for turned in epochs for _ in range(10)]
    assert rates == pytest.approx(expected, abs=1e-12)
    assert rates_of(TrainingPlan(10, 10, OptimizerSettings("sgd", 1e-3, 1e-4, None, 0.9))) == [1e-3] * 10


@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_the_schedule_with_a_warm_up(warmup):
    """A straight line up, then half a cosine down to a fiftieth."""
    rates = rates_of(TrainingPlan(20, 20, OptimizerSettings("adamw", 1.0, 0.0), warmup=warmup))
    rising = [(step + 1) / warmup for step in range(warmup)]
    falling = [0.02 + 0.49 * (1 + np.cos(np.pi * step / (20 - warmup))) for step in range(20 - warmup)]
    assert rates == pytest.approx(rising + falling, abs=1e-12)


def test_a_state_of_an_earlier_version_is_refused(tmp_path):
    write_safetensors(tmp_path / "old.safetensors", {"a": torch.zeros(1)}, {"about": {"format": "1", "step": 3}})
    with pytest.raises(InputError, match=r"old\.safetensors is a state of an earlier version.*--restart"):
        read_state(tmp_path / "old.safetensors")


# --- Bad input: one error, before the first step ---


def refused(words, stage, config, data, out, **options):
    with pytest.raises(InputError, match=words) as error:
        train(request_of(stage, config, data, out, **options), lambda line: None)
    assert str(error.value).count("\n") == 0


def test_configurations_of_something_else_are_refused(configs, data, tmp_path):
    render = configs["render"]
    refused("configures the stage generator, not autoencoder", "autoencoder", render["generator"], data, tmp_path)
    refused("stage autoencoder, not coeff", "coefficient-autoencoder", render["autoencoder"], data, tmp_path)
    refused("is of the render variant", "generator", render["generator"], data, tmp_path, variant="emotion")
    refused("--rank", "generator", render["generator"], data, tmp_path, rank=4)
    refused("--batch-size is 0", "autoencoder", render["autoencoder"], data, tmp_path, batch_size=0)
    refused("Batches of 99", "autoencoder", render["autoencoder"], data, tmp_path, batch_size=99)
    refused("--check-every is -1", "autoencoder", render["autoencoder"], data, tmp_path, check_every=-1)
    refused("--clip is 0", "autoencoder", render["autoencoder"], data, tmp_path, clip=0.0)
    refused("fp16 needs a GPU", "autoencoder", render["autoencoder"], data, tmp_path, precision="fp16")
    refused("too short for windows", "generator", render["generator"], data, folder_with(tmp_path, configs, data),
            clip_length=15)  # fmt: skip


def folder_with(tmp_path, configs, data):
    train(request_of("autoencoder", configs["render"]["autoencoder"], data, tmp_path / "ae"), lambda line: None)
    return tmp_path / "ae"


def test_earlier_stages_have_to_be_there_and_to_fit(trained, configs, data, tmp_path):
    other = configs["emotion" if trained.variant == "render" else "render"]
    refused("train the stage first", "generator", trained.config["generator"], data, tmp_path)
    shutil.copytree(trained.folder, tmp_path / "run")
    refused(f"is of the {trained.variant} variant", "weight-editor", other["weight-editor"], data, tmp_path / "run",
            restart=True)  # fmt: skip
    wider = trained.config["generator"].read_text().replace("hidden_dim: 16", "hidden_dim: 32")
    wider = wider.replace("s_embed_dim: 16", "s_embed_dim: 32").replace(
        "latent_dim: 16, depth", "latent_dim: 32, depth"
    )
    path = tmp_path / "wider.yaml"
    path.write_text(wider)
    with pytest.raises(InputError, match="hidden"):
        train(request_of("generator", path, data, tmp_path / "run", restart=True), print)


def test_a_state_of_another_run_is_not_taken_up(trained, data, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    config = trained.config["generator"]
    refused("is another one .*batch", "generator", config, data, tmp_path / "run", batch_size=4)
    deeper = tmp_path / "deeper.yaml"
    deeper.write_text(config.read_text().replace("depth: 1", "depth: 2"))
    words = r"is another one \(sizes\.prior\.depth: 1 there, 2 here\)"
    refused(words, "generator", deeper, data, tmp_path / "run")
    refused("is another one .*seed", "generator", config, data, tmp_path / "run", seed=3)
    refused("steps behind it", "generator", config, data, tmp_path / "run", steps=1)
    states = tmp_path / "run" / "states"
    shutil.copy(states / "autoencoder.safetensors", states / "generator.safetensors")
    refused("is another one .*stage", "generator", config, data, tmp_path / "run")
    (states / "generator.safetensors").write_bytes(b"half a file")
    refused("cannot be read", "generator", config, data, tmp_path / "run")


def test_too_little_disk_is_told_first(configs, data, tmp_path, monkeypatch):
    monkeypatch.setattr("perfrdiff.files.shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    refused(
        "are needed in .*; 0.0 MB are free",
        "autoencoder",
        configs["render"]["autoencoder"],
        data,
        tmp_path / "run",
    )
    assert not (tmp_path / "run").exists()


def test_stages_that_do_not_belong_together_are_not_assembled(trained, tmp_path):
    """The style would be read off faces without another mean than the one the encoder knows."""
    shutil.copytree(trained.folder, tmp_path / "run", ignore=shutil.ignore_patterns(react_files.WEIGHTS))
    encoder = react_files.load(tmp_path / "run", "style-encoder")
    react_files.save(tmp_path / "run", "style-encoder", None, encoder.networks, encoder.mean + 0.01, None)
    with pytest.raises(InputError, match=r"style-encoder\.safetensors was trained with another mean face"):
        react_files.assemble(tmp_path / "run")
    react_files.save(tmp_path / "run", "style-encoder", None, encoder.networks, encoder.mean, None)
    editor = react_files.load(tmp_path / "run", "weight-editor")
    react_files.save(tmp_path / "run", "weight-editor", "other", editor.networks, editor.mean, None)
    with pytest.raises(InputError, match="weight-editor is of the other variant"):
        react_files.assemble(tmp_path / "run")
    assert not (tmp_path / "run" / react_files.WEIGHTS).exists()


def test_a_state_of_other_data_is_not_taken_up(trained, data, tmp_path):
    """Other conversations under the same names: their mean face is another one."""
    shutil.copytree(trained.folder, tmp_path / "run")
    shutil.copytree(data.parent, tmp_path / "set")
    mean_face = tmp_path / "set" / "external" / react.MEAN_FACE
    np.save(mean_face, np.load(mean_face) + 0.01)
    refused("is another one .*data", "generator", trained.config["generator"], tmp_path / "set", tmp_path / "run")


def test_missing_files_of_both_splits_are_told_before_anything_is_made(configs, data, tmp_path):
    shutil.copytree(data, tmp_path / "data", ignore=shutil.ignore_patterns("test"))
    gone = [
        "train/Audio_files/NoXI/001/Expert_video/1.wav",
        "val/Emotion/NoXI/002/P2/2.csv",
        "neighbour_emotion_val.npy",
    ]
    for name in gone:
        (tmp_path / "data" / name).unlink()
    config = configs["render"]["autoencoder"]
    words = "lacks 3 of .*" + ".*".join(name.replace(".", "[.]") for name in sorted(gone))
    refused(words, "autoencoder", config, tmp_path / "data", tmp_path / "run", check_every=1)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_data_is_told_first(configs, tmp_path):
    refused("does not exist", "autoencoder", configs["render"]["autoencoder"], tmp_path / "none", tmp_path / "run")


def test_the_published_files_run_up_to_the_data(tmp_path):
    """Full-size networks: everything is read and checked, and the first thing missing is named."""
    path = tmp_path / "autoencoder.yaml"
    path.write_text(published_yaml.autoencoder())
    with pytest.raises(InputError, match=r"data folder .* does not exist"):
        train(TrainRequest("autoencoder", path, tmp_path / "run", data=tmp_path / "none"))
    path.write_text(published_yaml.generator("emotion"))
    with pytest.raises(InputError, match=r"train the stage first, with .* autoencoder"):
        train(TrainRequest("generator", path, tmp_path / "run"))
