"""The training code: it learns, resumes to the same numbers, and cuts windows where they belong."""

from dataclasses import replace

import pytest
import torch

from perfrdiff.checkpoints import SamplingDefaults
from perfrdiff.data.corpus import Corpus
from perfrdiff.data.motion_codec import MotionCodec
from perfrdiff.errors import InputError
from perfrdiff.features.coefficients import CHANNEL
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets
from perfrdiff.training.demo_editor import EditorStage
from perfrdiff.training.demo_generator import GeneratorModel, GeneratorStage
from perfrdiff.training.demo_matching import Matching, TunedGeneratorStage
from perfrdiff.training.demo_style import StyleModel, StyleStage
from perfrdiff.training.drawn import Schedule, Where, train
from perfrdiff.training.losses import supervised_contrastive
from perfrdiff.training.movement import NOD_BANDS, Onlooker, borders, courses, energy_score, person_error
from perfrdiff.training.windows import window_batch

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


def schedule(steps, **options):
    return Schedule(steps=steps, learning_rate=1e-2, warmup=1, ema=0.5, log_every=1000, **options)


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
    onlooker = Onlooker.of(corpus.codec, corpus.listener.float())
    model = StyleModel(encoder, corpus.habits.shape[1], len(onlooker.floor))
    stage = StyleStage(model, corpus, onlooker, people=6, shortest=20, longest=60, movement_weight=0.0)
    before = stage.loss(torch.Generator().manual_seed(1)).item()
    train(model, stage.loss, schedule(30), tmp_path / "style.safetensors", "style", Where())
    assert stage.loss(torch.Generator().manual_seed(1)).item() < 0.5 * before


def test_the_style_says_how_much_a_person_nods(tmp_path):
    still = torch.full((24, 60, 58), 0.1)
    size = torch.linspace(0, 5, 12).repeat_interleave(2)
    for clip, degrees in zip(still, size, strict=True):
        clip[:, CHANNEL["rotationX"]] = nodding(1.7, degrees, 60)[0, :, CHANNEL["rotationX"]]
    corpus = replace(tiny_corpus(12, 2, 60), listener=still.half())
    onlooker = Onlooker.of(corpus.codec, still)
    torch.manual_seed(0)
    encoder = StyleEncoder(StyleEncoderConfig(width=32, layers=2, heads=2, feedforward=32, projection=16, dropout=0.0))
    model = StyleModel(encoder, corpus.habits.shape[1], len(onlooker.floor))
    stage = StyleStage(model, corpus, onlooker, people=12, shortest=50, longest=60, habit_weight=0.0)
    slower = replace(schedule(100), learning_rate=5e-3)
    train(model, stage.loss, slower, tmp_path / "style.safetensors", "style", Where())
    with torch.no_grad():
        said = model.movement(encoder(corpus.listener.float()) * 4.0)[:, NOD_BANDS.index(1.7)]
    assert torch.corrcoef(torch.stack([said, onlooker.person(corpus.listener)[:, NOD_BANDS.index(1.7)]]))[0, 1] > 0.9


def test_generator_and_editor_stages_learn(tmp_path):
    corpus = tiny_corpus()
    torch.manual_seed(0)
    generator = GeneratorStage(Denoiser(SMALL), corpus, windows=24)
    corpus.listener[..., 0] = 0
    before = generator.loss(torch.Generator().manual_seed(5)).item()
    denoiser = generator.denoiser
    train(denoiser, generator.loss, schedule(60), tmp_path / "g.safetensors", "generator", Where())
    assert generator.loss(torch.Generator().manual_seed(5)).item() < 0.8 * before

    encoder = StyleEncoder(StyleEncoderConfig(width=16, layers=1, heads=2, feedforward=16, projection=8)).eval()
    editor = WeightEditor(WeightEditorConfig(style=8, hidden=16, rank=2, targets=render_targets(SMALL)))
    frozen = {name: value.clone() for name, value in denoiser.state_dict().items()}
    stage = EditorStage(editor, GeneratorStage(denoiser, corpus), encoder, people=4, shortest=20, longest=60)
    stage.loss(torch.Generator().manual_seed(1)).backward()
    assert all(left.weight.grad.abs().sum() > 0 for left in editor.left)
    denoiser.requires_grad_(False)
    train(editor, stage.loss, schedule(5), tmp_path / "e.safetensors", "editor", Where())
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
    train(model, stage.loss, schedule(80), tmp_path / "g.safetensors", "generator", Where())
    assert forecast_error() < 0.5 * before


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path):
    def run(path, *steps):
        for count in steps:
            torch.manual_seed(0)
            stage = GeneratorStage(Denoiser(SMALL), tiny_corpus(), windows=4)
            how = (schedule(6, save_every=3), path, "run", Where())
            if count < 6:  # killed after its first save
                with pytest.raises(KeyboardInterrupt):
                    train(stage.denoiser, killed_after(stage.loss, count), *how)
            else:
                train(stage.denoiser, stage.loss, *how)
        return stage.denoiser.state_dict()

    whole = run(tmp_path / "whole.safetensors", 6)
    broken = run(tmp_path / "broken.safetensors", 4, 6)
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def killed_after(loss, count):
    calls = iter(range(count))

    def wrapped(generator):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return loss(generator)

    return wrapped


def test_another_stage_s_state_is_refused(tmp_path):
    stage = GeneratorStage(Denoiser(SMALL), tiny_corpus(), windows=4)
    train(stage.denoiser, stage.loss, schedule(1), tmp_path / "s.safetensors", "generator", Where())
    with pytest.raises(InputError, match=r"another one.*stage"):
        train(stage.denoiser, stage.loss, schedule(2), tmp_path / "s.safetensors", "editor", Where())


def nodding(hertz, degrees, frames=120):
    clip = torch.zeros(1, frames, 58)
    time = torch.arange(frames) / 25
    clip[..., CHANNEL["rotationX"]] = torch.pi + torch.deg2rad(degrees * torch.sin(2 * torch.pi * hertz * time))
    return clip


def plain_onlooker():
    """Scales of clips with and without movement, on frames as tokens."""
    generator = torch.Generator().manual_seed(3)
    clips = torch.cat([nodding(h, d) for h in (1.0, 2.0, 3.0) for d in (0.2, 2.0, 5.0)])
    clips[..., :52] = 0.3 * torch.rand(9, 120, 52, generator=generator)
    codec = MotionCodec(
        torch.zeros(58), torch.eye(58), torch.eye(58), torch.zeros(58), torch.eye(58), torch.zeros(78), torch.ones(78)
    )
    return Onlooker.of(codec, clips)


@pytest.mark.parametrize("hertz", NOD_BANDS)
def test_an_onlooker_sees_how_large_and_how_quick_a_nod_is(hertz):
    seen = courses(nodding(hertz, 3.0))[0, 30:90, : len(NOD_BANDS)].mean(0)
    assert NOD_BANDS[int(seen.argmax())] == hertz
    assert seen.max() == pytest.approx(3.0, rel=0.05)
    nods = courses(nodding(hertz, 0.2))[0, 30:90, len(NOD_BANDS)]
    assert nods.max() < 0.1  # a still head does not nod


def test_a_step_between_tokens_is_told_from_movement():
    steady = torch.zeros(1, 20, 58)
    jumping = steady + 0.2 * (torch.arange(20) // 5)[None, :, None]
    between, inside = borders(jumping, 5)[0, :2]
    assert between == pytest.approx(0.2) and inside == pytest.approx(0)
    assert borders(steady, 5).abs().max() == 0


def test_the_energy_score_is_least_for_the_right_distribution():
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(40_000, generator=generator)

    def score(shift, spread):
        one, other = (shift + spread * torch.randn(40_000, generator=generator) for _ in range(2))
        return energy_score(one, other, real).mean()

    best = score(0.0, 1.0)
    assert all(best < score(*wrong) for wrong in ((0.5, 1.0), (0.0, 0.5), (0.0, 1.7)))
    assert best == pytest.approx(1 / torch.pi**0.5, abs=0.02)  # E|x - y| / 2 of two standard normal numbers


def test_a_person_is_right_on_average_however_much_windows_differ():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(500, 4, 20, generator=generator) for _ in range(2))
    assert person_error(one, other, torch.zeros(500, 20)).abs() < 0.05
    assert person_error(one, other, torch.ones(500, 20)) == pytest.approx(1.0, abs=0.1)


def test_matching_moves_a_generator_towards_how_listeners_move(tmp_path):
    corpus = tiny_corpus()
    corpus.listener[..., 0] = 0
    still, onlooker = torch.full_like(corpus.listener, 0.1), plain_onlooker()
    still[..., CHANNEL["rotationX"]] = nodding(1.7, 3.0, corpus.tokens)[0, :, CHANNEL["rotationX"]].half()
    corpus = replace(corpus, listener=still)
    wide = replace(SMALL, window=40, speaker_window=44)
    torch.manual_seed(0)
    model = GeneratorModel(Denoiser(wide))
    generator = GeneratorStage(model.denoiser, corpus, windows=8, model=model)
    matching = Matching(generator, model, onlooker, SamplingDefaults(steps=4, guidance=1.0, slide=20, clamp=10.0))
    tuned = TunedGeneratorStage(generator, matching, windows=8)

    def score():
        with torch.no_grad():
            return matching.loss(torch.arange(12), torch.Generator().manual_seed(2)).item()

    before = score()
    train(generator.denoiser, tuned.loss, schedule(25), tmp_path / "t.safetensors", "tuning", Where())
    assert score() < 0.7 * before

    people = matching.loss(torch.arange(18)[:12], torch.Generator().manual_seed(2), people=4)
    people.backward()
    assert people.isfinite()
