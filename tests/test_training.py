"""The training code: it learns, resumes to the same numbers, and cuts windows where they belong."""

import pytest
import torch

from perfrdiff.data.corpus import Corpus
from perfrdiff.data.motion_codec import MotionCodec
from perfrdiff.features.coefficients import CHANNEL
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets
from perfrdiff.training.loop import LoopConfig, train
from perfrdiff.training.losses import supervised_contrastive
from perfrdiff.training.stages import EditorStage, GeneratorModel, GeneratorStage, StyleModel, StyleStage, window_batch

SMALL = DenoiserConfig(
    width=24, layers=1, heads=2, feedforward=32, window=16, reaction_delay=4, speaker_window=20, context=3, dropout=0.0
)


def tiny_corpus(persons=6, clips=3, frames=80):
    """Persons who differ by where they hold their face; frame numbers are in channel 0."""
    generator = torch.Generator().manual_seed(0)
    rest = torch.randn(persons, 1, 58, generator=generator).repeat_interleave(clips, 0)
    listener = rest + 0.1 * torch.randn(persons * clips, frames, 58, generator=generator)
    listener[..., 0] = torch.arange(frames)
    one = torch.ones
    zero, one, same = torch.zeros, torch.ones, torch.eye(58)
    return Corpus(
        listener.half(),
        torch.arange(persons).repeat_interleave(clips),
        torch.arange(persons * clips) % 4,
        rest[::clips, 0, :5],
        torch.randn(4, frames, 58, generator=generator).half(),
        torch.randn(4, frames, 78, generator=generator).half(),
        MotionCodec(zero(58), same, same, zero(58), same, zero(78), one(78)),
    )


def loop(steps, **options):
    return LoopConfig(steps=steps, learning_rate=1e-2, warmup=1, ema=0.5, log_every=1000, **options)


def test_windows_are_cut_with_the_speaker_earlier():
    corpus = tiny_corpus()
    x0, conditions = window_batch(corpus, torch.tensor([2, 2]), torch.tensor([0, 34]), SMALL)
    assert x0[:, :, 0].tolist() == [list(range(16)), list(range(34, 50))]
    assert conditions["past_listener"][0].abs().sum() == 0  # nothing before the clip
    assert conditions["past_listener"][1, :, 0].tolist() == list(range(18, 34))
    assert torch.equal(conditions["audio"][1], corpus.speaker_audio[corpus.speaker[2], 30:50].float())
    assert conditions["audio"][0, :4].abs().sum() == 0


def test_contrastive_loss_prefers_clips_of_one_person_together():
    person = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    mixed = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    assert supervised_contrastive(apart, person) < 0.01
    assert supervised_contrastive(mixed, person) > 5


def test_the_style_stage_learns_who_is_who(tmp_path):
    corpus = tiny_corpus()
    encoder = StyleEncoder(StyleEncoderConfig(width=16, layers=1, heads=2, feedforward=16, projection=8, dropout=0.0))
    model = StyleModel(encoder, corpus.habits.shape[1])
    stage = StyleStage(model, corpus, people=6, shortest=20, longest=60)
    before = stage.loss(torch.Generator().manual_seed(1)).item()
    train(model, stage.loss, loop(30), tmp_path / "style.pt", "style")
    assert stage.loss(torch.Generator().manual_seed(1)).item() < 0.5 * before


def test_generator_and_editor_stages_learn(tmp_path):
    corpus = tiny_corpus()
    torch.manual_seed(0)
    generator = GeneratorStage(Denoiser(SMALL), corpus, windows=24)
    corpus.listener[..., 0] = 0
    before = generator.loss(torch.Generator().manual_seed(5)).item()
    denoiser = train(generator.denoiser, generator.loss, loop(60), tmp_path / "g.pt", "generator")
    assert generator.loss(torch.Generator().manual_seed(5)).item() < 0.8 * before

    encoder = StyleEncoder(StyleEncoderConfig(width=16, layers=1, heads=2, feedforward=16, projection=8)).eval()
    editor = WeightEditor(WeightEditorConfig(style=8, hidden=16, rank=2, targets=render_targets(SMALL)))
    frozen = {name: value.clone() for name, value in denoiser.state_dict().items()}
    stage = EditorStage(editor, GeneratorStage(denoiser, corpus), encoder, people=4, shortest=20, longest=60)
    stage.loss(torch.Generator().manual_seed(1)).backward()
    assert all(left.weight.grad.abs().sum() > 0 for left in editor.left)
    train(editor, stage.loss, loop(5), tmp_path / "e.pt", "editor")
    assert all(torch.equal(frozen[name], value) for name, value in denoiser.state_dict().items())
    assert any(left.weight.abs().sum() > 0 for left in editor.left)


def test_the_context_learns_to_forecast(tmp_path):
    """Listeners smile when the speaker's first audio coefficient is high: the context alone can tell."""
    corpus = tiny_corpus(persons=12, frames=120)
    corpus.listener[..., 0] = 0
    corpus.listener[..., CHANNEL["browInnerUp"]] = 0
    heard = corpus.speaker_audio[corpus.speaker][..., 0]
    corpus.listener[..., CHANNEL["mouthSmileLeft"]] = 0.1 * (heard > 0).half()
    torch.manual_seed(0)
    model = GeneratorModel(Denoiser(SMALL))
    stage = GeneratorStage(model.denoiser, corpus, windows=24, model=model, forecast_weight=1.0)
    alone = GeneratorStage(model.denoiser, corpus, windows=24)

    def forecast_error():
        both, diffusion = (part.loss(torch.Generator().manual_seed(9)).item() for part in (stage, alone))
        return both - diffusion

    before = forecast_error()
    train(model, stage.loss, loop(80), tmp_path / "g.pt", "generator")
    assert forecast_error() < 0.5 * before


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path):
    def run(path, *steps):
        torch.manual_seed(0)
        for count in steps:
            stage = GeneratorStage(Denoiser(SMALL), tiny_corpus(), windows=4)
            config = loop(6, save_every=3)
            if count < 6:  # killed after its first save
                with pytest.raises(KeyboardInterrupt):
                    train(stage.denoiser, killed_after(stage.loss, count), config, path, "run")
            else:
                return train(stage.denoiser, stage.loss, config, path, "run").state_dict()

    whole = run(tmp_path / "whole.pt", 6)
    broken = run(tmp_path / "broken.pt", 4, 6)
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def killed_after(loss, count):
    calls = iter(range(count))

    def wrapped(generator):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return loss(generator)

    return wrapped
