"""The training code: it learns, resumes to the same numbers, and cuts windows where they belong."""

import copy
from dataclasses import replace

import pytest
import torch

from perfrdiff.coefficients import CHANNEL
from perfrdiff.data.simulator.corpus import SPANS, Corpus
from perfrdiff.errors import InputError
from perfrdiff.features.hearing import HEARING_WIDTH
from perfrdiff.features.speaker_face import FACE_WIDTH
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.models.losses import supervised_contrastive
from perfrdiff.models.motion_descriptors import DESCRIPTORS, NOD_BANDS, frame_descriptors
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets
from perfrdiff.training.demo.augmentation import augment_speakers
from perfrdiff.training.demo.behaviour import BehaviourLoss, frame_numbers, movement_energies, person_numbers, shares
from perfrdiff.training.demo.generator import SPEAKER_CONDITIONS, GeneratorModel, GeneratorStage
from perfrdiff.training.demo.guidance import GuidanceStage
from perfrdiff.training.demo.personal import PersonalModel, PersonalStage, style_table
from perfrdiff.training.demo.stage_loop import ComputeOptions, Schedule, train
from perfrdiff.training.demo.style_encoder import StyleModel, StyleStage, fit_event_scale
from perfrdiff.training.demo.windows import window_batch

WIDTHS = {"listener": 58 + DESCRIPTORS, "audio": HEARING_WIDTH + 1, "coefficients": FACE_WIDTH}
SMALL = DenoiserConfig(
    features=WIDTHS["listener"], width=24, layers=1, heads=2, feedforward=32, window=16, reaction_delay=4,
    speaker_window=20, context=3, dropout=0.0,
    condition_widths={"audio": WIDTHS["audio"], "coefficients": FACE_WIDTH, "past_listener": WIDTHS["listener"]},
)  # fmt: skip
EVENTS = 3


def tiny_corpus(persons=6, clips=3, frames=80):
    """Persons who differ by where they hold their face; frame numbers are in channel 0. A token is a frame."""
    generator = torch.Generator().manual_seed(0)
    width = WIDTHS["listener"]
    rest = torch.randn(persons, 1, width, generator=generator).repeat_interleave(clips, 0)
    listener = rest + 0.1 * torch.randn(persons * clips, frames, width, generator=generator)
    listener[..., 0] = torch.arange(frames)
    zero, one, same = torch.zeros, torch.ones, torch.eye(58)
    middle = torch.cat([zero(58, 58), same, zero(58, 58)])
    events = rest[:, 0, :EVENTS]
    return Corpus(
        listener.half(),
        listener.half(),
        events,
        events[:, None].repeat(1, len(SPANS), 1),
        torch.arange(persons).repeat_interleave(clips),
        torch.arange(persons * clips) % 4,
        rest[::clips, 0, :5],
        torch.randn(4, frames, FACE_WIDTH, generator=generator).half(),
        torch.randn(4, frames, WIDTHS["audio"], generator=generator).half(),
        ListeningCodec(
            zero(58), same, same, middle, zero(DESCRIPTORS), one(DESCRIPTORS), zero(HEARING_WIDTH), one(HEARING_WIDTH)
        ),
    )


def tiny_encoder(**sizes):
    common = {"coefficients": WIDTHS["listener"], "layers": 1, "heads": 2, "feedforward": 16, "dropout": 0.0}
    return StyleEncoder(StyleEncoderConfig(**(common | {"width": 16, "projection": 8, "events": EVENTS} | sizes)))


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


@pytest.mark.slow
def test_the_style_stage_learns_who_is_who(tmp_path):
    corpus = tiny_corpus()
    encoder = tiny_encoder()
    fit_event_scale(encoder, corpus)
    model = StyleModel(encoder, corpus.habits.shape[1])
    stage = StyleStage(model, corpus, persons=6, event_weight=0.0)
    before = stage.loss(torch.Generator().manual_seed(1)).item()
    train(model, stage.loss, schedule(30), tmp_path / "style.safetensors", "style", ComputeOptions())
    assert stage.loss(torch.Generator().manual_seed(1)).item() < 0.5 * before


@pytest.mark.slow
def test_the_style_says_how_a_person_moves_even_when_only_counts_tell(tmp_path):
    """Faces that are all alike: what sets persons apart is in their event features."""
    corpus = tiny_corpus(12, 2, 60)
    alike = torch.zeros_like(corpus.listener)
    corpus = replace(corpus, listener=alike, tracked=alike)
    torch.manual_seed(0)
    encoder = tiny_encoder(projection=16)
    fit_event_scale(encoder, corpus)
    model = StyleModel(encoder, corpus.habits.shape[1])
    stage = StyleStage(model, corpus, persons=12, habit_weight=0.0)
    slower = replace(schedule(100), learning_rate=5e-3)
    train(model, stage.loss, slower, tmp_path / "style.safetensors", "style", ComputeOptions())
    with torch.no_grad():
        style = encoder(corpus.tracked.float(), corpus.tracked_features[:, 0])
        reported = model.event_probe(style * 4.0)[:, 0]
    assert torch.corrcoef(torch.stack([reported, corpus.features[:, 0]]))[0, 1] > 0.9


def test_a_style_encoder_that_reads_events_says_when_they_are_missing():
    encoder = tiny_encoder().eval()
    with pytest.raises(ValueError, match="event features"):
        encoder(torch.zeros(1, 20, WIDTHS["listener"]))
    far = torch.full((1, EVENTS), 50.0)
    assert torch.equal(encoder.standardized_events(far), encoder.standardized_events(2 * far))


def personal_stage(corpus, config=SMALL, **options):
    """Generator and editor that know their listeners by where these hold their faces."""
    torch.manual_seed(0)
    model = GeneratorModel(Denoiser(config))
    editor = WeightEditor(
        WeightEditorConfig(style=8, hidden=32, rank=2, targets=render_targets(config), shared_factors=True)
    )
    encoder = tiny_encoder(max_tokens=150).eval()
    editor.initialize_from_probe(torch.randn(5, 8))
    generator = GeneratorStage(model.denoiser, corpus, model=model)
    styles = style_table(encoder, corpus)
    return PersonalStage(PersonalModel(model, editor), generator, styles, persons=4, windows_per_person=6, **options)


@pytest.mark.slow
def test_generator_and_editor_learn_together(tmp_path):
    corpus = tiny_corpus(clips=3)
    corpus.listener[..., 0] = 0
    stage = personal_stage(corpus)
    assert stage.styles.shape == (len(SPANS), 18, 8)

    def error():
        with torch.no_grad():
            return stage.loss(torch.Generator().manual_seed(5)).item()

    before = error()
    train(stage.model, stage.loss, schedule(60), tmp_path / "p.safetensors", "personal", ComputeOptions())
    assert error() < 0.8 * before
    assert all(left.abs().sum() > 0 for left in stage.model.editor.left_factor)

    def change(share):
        """How far the persons' shifts move what is denoised."""
        alike = replace(stage, generic_share=share, persons=6)
        return alike.loss(torch.Generator().manual_seed(3)).item()

    assert change(0.0) != change(1.0)


def test_energies_tell_slow_movement_from_quick():
    time = torch.arange(24) / 24
    slow, quick = torch.sin(2 * torch.pi * time), torch.sin(2 * torch.pi * 10 * time)
    tokens = torch.zeros(2, 24, 3)
    tokens[0, :, 0], tokens[1, :, 0] = slow, quick
    tokens[:, :, 2] = torch.tensor([0.5, -0.5])[:, None]  # a descriptor
    energies = movement_energies(tokens, motion_width=2)
    assert energies.shape == (2, 7)
    assert energies[0, 0].item() == pytest.approx(energies[1, 0].item(), abs=0.05), "both move as much"
    assert energies[1, 2] > energies[0, 2] + 2, "the second moves quickly"
    assert (energies[:, [1, 3]] < -3).all(), "the second direction stands still"
    assert energies[:, 4:6].abs().max() < 1e-5, "both move about nothing"
    assert energies[:, 6].tolist() == [0.5, -0.5]


def test_frames_tell_how_quickly_somebody_nods_and_to_which_side_they_look_and_smile():
    slow, quick = (nodding(hertz, 3.0) for hertz in (1.0, 2.5))
    bands = frame_numbers(torch.cat([slow, quick]))[:, : len(NOD_BANDS)]
    assert bands.argmax(1).tolist() == [0, 2]
    glancing = torch.zeros(2, 120, 58)
    glancing[0, 30:40, CHANNEL["eyeLookOutLeft"]] = 0.4
    glancing[1, 30:40, CHANNEL["eyeLookInLeft"]] = 0.4
    glancing[0, 60:90, CHANNEL["mouthSmileLeft"]] = 0.5
    glancing[1, 60:90, CHANNEL["mouthSmileRight"]] = 0.5
    side, lean = frame_numbers(glancing)[:, -2:].unbind(1)
    assert side[0] > 0.5 and side[1] < -0.5
    assert lean[0] > 0.7 and lean[1] < -0.7
    once, often = torch.zeros(2, 1, 120, 58)
    once[:, 20:30, CHANNEL["browInnerUp"]] = 0.3
    often[:, torch.arange(120) % 40 < 10, CHANNEL["browInnerUp"]] = 0.3
    assert torch.allclose(frame_numbers(once)[:, len(NOD_BANDS) + 7 :], frame_numbers(often)[:, len(NOD_BANDS) + 7 :])


@pytest.mark.slow
def test_the_editor_is_told_how_its_person_moves():
    """One of four persons is livelier than the others: their shift learns it from samples alone."""
    stage = personal_stage(tiny_corpus(clips=3))
    denoiser, codec = stage.generator_stage.denoiser, stage.generator_stage.corpus.codec
    width = codec.motion_width
    persons, windows = torch.arange(4), torch.arange(4).repeat_interleave(2)
    style = torch.nn.functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    targets = torch.zeros_like(person_numbers(stage.generator_stage.corpus, SMALL.window))
    targets[0, : 2 * width] = 3.0
    targets[4, 2 * width :], targets[5, 2 * width :] = 10.0, -10.0  # spreads beside which no error counts
    behaviour = BehaviourLoss(denoiser, codec, targets)

    def livelier() -> float:
        """By how much the first person's samples move more than the others'."""
        generator = torch.Generator().manual_seed(7)
        conditions = stage.generator_stage.conditions(windows.repeat(8), generator)
        styles = style.repeat(8, 1)
        noise = torch.randn(behaviour._empty(64).shape, generator=generator)
        with torch.no_grad():
            sampled = behaviour._sample(noise, conditions, {}, stage.model.editor(styles))
        energies = movement_energies(sampled, width)[:, : 2 * width].mean(1).reshape(8, 4, 2).mean((0, 2))
        return (energies[0] - energies[1:].mean()).item()

    before = livelier()
    optimizer = torch.optim.Adam(stage.model.editor.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(2)
    for _ in range(40):
        optimizer.zero_grad()
        conditions = stage.generator_stage.conditions(windows[:4], generator)
        behaviour(persons, conditions, stage.model.editor(style), generator).backward()
        optimizer.step()
    assert livelier() > before + 0.5


def test_behaviour_is_part_of_the_personal_stage():
    stage = personal_stage(tiny_corpus(clips=3))
    codec = stage.generator_stage.corpus.codec
    own = person_numbers(stage.generator_stage.corpus, SMALL.window)
    assert len(own) == 6 and own.isfinite().all()
    assert shares(codec, own.shape[1]).mean().item() == pytest.approx(1)
    behaviour = BehaviourLoss(stage.generator_stage.denoiser, codec, own)
    both = replace(stage, persons=4, windows_per_person=2, behaviour=behaviour)
    values = [one.loss(torch.Generator().manual_seed(3)) for one in (both, replace(both, behaviour=None))]
    assert torch.stack(values).isfinite().all() and values[0] != values[1]


def test_the_editor_alone_may_be_told():
    stage = personal_stage(tiny_corpus(clips=3))
    own = person_numbers(stage.generator_stage.corpus, SMALL.window)
    behaviour = BehaviourLoss(stage.generator_stage.denoiser, stage.generator_stage.corpus.codec, own)
    for editor_alone in (False, True):
        told = replace(behaviour, editor_alone=editor_alone)
        alone = replace(stage, windows_per_person=2, behaviour=told)
        batch = alone.draw(torch.Generator().manual_seed(3))
        stage.model.zero_grad()
        alone.behaviour_loss(batch, stage.model.editor(batch.styles), torch.Generator().manual_seed(4)).backward()
        denoiser, editor = stage.generator_stage.denoiser, stage.model.editor
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in editor.parameters())
        assert all(p.grad is None for p in denoiser.parameters()) == editor_alone
        assert all(p.requires_grad for p in denoiser.parameters())


@pytest.mark.slow
def test_the_last_stage_needs_no_guidance_any_more(tmp_path):
    """The student's plain prediction becomes its teacher's guided one; without the speaker it stays the teacher's."""
    corpus = tiny_corpus(clips=3)
    personal = personal_stage(corpus)
    teacher = copy.deepcopy(personal.model).eval().requires_grad_(False)
    stage = GuidanceStage(personal=personal, teacher=teacher, scale=3.0, slow_noise=0.3)

    def error(conditioned: bool) -> float:
        """Mean square by which the student departs from what it is to predict."""
        generator = torch.Generator().manual_seed(4)
        x0, conditions = personal.generator_stage.windows(torch.arange(12), generator)
        noised, timesteps = x0 + torch.randn(x0.shape, generator=generator), torch.full((12,), 500)
        without = {name: torch.zeros(12) for name in SPEAKER_CONDITIONS}

        def predicted(model, keep):
            denoiser = model.generator.denoiser
            shifts = model.editor(personal.styles[0, :12])
            return denoiser(noised, timesteps, denoiser.prepare(conditions, keep, shifts), shifts)

        with torch.no_grad():
            blind = predicted(teacher, without)
            target = blind + 3.0 * (predicted(teacher, {}) - blind) if conditioned else blind
            return (predicted(personal.model, {} if conditioned else without) - target).square().mean().item()

    before = error(conditioned=True)
    assert error(conditioned=False) == 0, "they begin alike"
    slower = replace(schedule(80), learning_rate=3e-3)
    train(personal.model, stage.loss, slower, tmp_path / "g.safetensors", "guidance", ComputeOptions())
    assert error(conditioned=True) < 0.3 * before
    assert error(conditioned=False) < 0.1 * before


def test_generic_persons_shift_nothing():
    stage = personal_stage(tiny_corpus(clips=3), generic_share=1.0)
    torch.nn.init.normal_(stage.model.editor.left_factor[0])
    plain = replace(stage, generic_share=0.0)
    torch.nn.init.zeros_(plain.model.editor.left_factor[0])
    same = plain.loss(torch.Generator().manual_seed(3)).item()
    torch.nn.init.normal_(stage.model.editor.left_factor[0])
    assert stage.loss(torch.Generator().manual_seed(3)).item() == same
    assert plain.loss(torch.Generator().manual_seed(3)).item() != same


def test_speakers_in_training_are_augmented():
    """Real speakers are livelier than simulated ones, and now and then not there; what was before a clip is nothing."""
    generator = torch.Generator().manual_seed(1)
    tokens = {name: torch.randn(400, 12, WIDTHS[name], generator=generator) for name in ("audio", "coefficients")}
    for stream in tokens.values():
        stream[:, :2] = 0
    tokens["coefficients"][:, 2:, -1] = 1.0  # seen
    other = augment_speakers(tokens, torch.Generator().manual_seed(0))
    for name, stream in other.items():
        assert stream[:, :2].abs().max() == 0, "the zeros before a clip stay"
        lost = (stream == 0).all(2).all(1).float().mean()
        assert 0 < lost < 0.3, f"{name} is lost now and then"
    seen = other["coefficients"][:, 2:]
    flags = seen[..., -1]
    assert set(flags.unique().tolist()) == {0.0, 1.0}
    assert seen[flags == 0].abs().max() == 0, "nothing is known of a face that is not seen"
    louder = (other["coefficients"] / tokens["coefficients"])[:, 5, 0]
    assert louder[louder != 0].std() > 0.2
    again = augment_speakers(tokens, torch.Generator().manual_seed(0))
    assert all(torch.equal(again[name], other[name]) for name in other)


def random_windows(stage, count=24):
    """The generator's own loss on windows of random clips."""

    def loss(generator):
        clips = torch.randint(len(stage.corpus.listener), (count,), generator=generator)
        return stage.denoising_loss(clips, generator)

    return loss


@pytest.mark.slow
def test_the_context_learns_to_forecast(tmp_path):
    """Listeners smile when the speaker's first number is high: the context alone can tell."""
    corpus = tiny_corpus(persons=12, frames=120)
    corpus.listener[..., 0] = 0
    corpus.listener[..., CHANNEL["browInnerUp"]] = 0
    corpus.listener[..., 58:] = 0  # descriptors
    audio = corpus.speaker_audio[corpus.speaker][..., 0]
    corpus.listener[..., CHANNEL["mouthSmileLeft"]] = 0.1 * (audio > 0).half()
    torch.manual_seed(0)
    model = GeneratorModel(Denoiser(SMALL))
    stage = GeneratorStage(model.denoiser, corpus, model=model, forecast_weight=1.0)
    alone = GeneratorStage(model.denoiser, corpus)

    def forecast_error():
        both, diffusion = (random_windows(part)(torch.Generator().manual_seed(9)).item() for part in (stage, alone))
        return both - diffusion

    before = forecast_error()
    train(model, random_windows(stage), schedule(80), tmp_path / "g.safetensors", "generator", ComputeOptions())
    assert forecast_error() < 0.5 * before


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path):
    def run(path, *steps):
        for count in steps:
            torch.manual_seed(0)
            stage = GeneratorStage(Denoiser(SMALL), tiny_corpus())
            loss = random_windows(stage, 4)
            options = (schedule(6, save_every=3), path, "run", ComputeOptions())
            if count < 6:  # killed after its first save
                with pytest.raises(KeyboardInterrupt):
                    train(stage.denoiser, killed_after(loss, count), *options)
            else:
                train(stage.denoiser, loss, *options)
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
    stage = GeneratorStage(Denoiser(SMALL), tiny_corpus())
    loss = random_windows(stage, 4)
    train(stage.denoiser, loss, schedule(1), tmp_path / "s.safetensors", "generator", ComputeOptions())
    with pytest.raises(InputError, match=r"another one.*stage"):
        train(stage.denoiser, loss, schedule(2), tmp_path / "s.safetensors", "editor", ComputeOptions())


def nodding(hertz, degrees, frames=120):
    clip = torch.zeros(1, frames, 58)
    time = torch.arange(frames) / 25
    clip[..., CHANNEL["rotationX"]] = torch.pi + torch.deg2rad(degrees * torch.sin(2 * torch.pi * hertz * time))
    return clip


@pytest.mark.parametrize("hertz", NOD_BANDS)
def test_descriptors_measure_how_large_and_how_quick_a_nod_is(hertz):
    large, small, still = (
        frame_descriptors(nodding(hertz, degrees))[0, 30:90, : len(NOD_BANDS)].mean(0) for degrees in (3.0, 1.0, 0.0)
    )
    assert NOD_BANDS[int(large.argmax())] == hertz
    assert large.max() > small.max() > 1.0
    assert still.max() < 0.01, "a still head does not nod"
