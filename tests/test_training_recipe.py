"""The demo weights' recipe as a whole, on next to nothing: every stage runs, and what comes out reacts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from perfrdiff import checkpoints
from perfrdiff.data.simulator.corpus import CorpusConfig
from perfrdiff.errors import InputError
from perfrdiff.reactor import Reactor
from perfrdiff.training.demo import recipe
from perfrdiff.training.demo.stage_loop import ComputeOptions, Schedule


def tiny_config():
    """Two steps of each stage on eight persons."""
    schedule = Schedule(steps=2, learning_rate=1e-3, warmup=1)
    return recipe.DemoConfig(
        CorpusConfig(persons=8, speakers=16, clips_per_person=2, seconds=10.0),
        style_clips=1,
        persons_per_step=4,
        style_schedule=schedule,
        personal_schedule=schedule,
        guidance_schedule=schedule,
    )


@pytest.mark.slow
def test_from_nothing_to_weights_that_react(tmp_path, monkeypatch):
    config, compute = tiny_config(), ComputeOptions()
    recipe.run(config, tmp_path / "work", tmp_path / "tiny.safetensors", compute)
    made = checkpoints.load(str(tmp_path / "tiny.safetensors"))
    assert made.sampling.guidance == 1.0, "what guidance gives has been learnt"
    rng = np.random.default_rng(0)
    reactor = Reactor(made, "cpu")
    reactor.set_listener("Warm")
    reactions = reactor.react(None, 0.1 * rng.standard_normal((150, 58)).astype(np.float32), samples=2).coefficients
    assert reactions.shape == (2, 150, 58) and np.isfinite(reactions).all()
    assert made.calibration is not None and made.style_probe is not None

    written = []
    monkeypatch.setattr(recipe, "_write", lambda networks, corpus, *_: written.append((networks, corpus)))
    start = checkpoints.load(str(tmp_path / "tiny.safetensors"))
    recipe.run(config, tmp_path / "further", tmp_path / "more.safetensors", compute, start=start)
    networks, corpus = written[0]
    assert corpus.codec is start.normalizer, "tokens stay what the networks know"
    for name, changed in (("style_encoder", False), ("denoiser", True), ("weight_editor", True)):
        before, after = getattr(made, name).parameters(), getattr(networks, name.rpartition("_")[2]).parameters()
        assert any(not torch.equal(*pair) for pair in zip(before, after, strict=True)) == changed


def test_other_weights_are_not_trained_further(tmp_path):
    other = replace(checkpoints.load(), normalizer=None)
    with pytest.raises(InputError, match="not demo weights"):
        recipe.run(tiny_config(), tmp_path, tmp_path / "never.safetensors", ComputeOptions(), start=other)


def test_weights_that_have_learnt_it_are_not_taught_again(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["demo", "--from", "demo"])
    with pytest.raises(SystemExit):
        recipe.main()
    assert "need no guidance any more" in capsys.readouterr().err
