"""The published networks in use: many listeners, clips and samples at once, any length, every fault an option."""

from dataclasses import fields, replace

import pytest
import torch

from perfrdiff import sampling
from perfrdiff.errors import InputError
from perfrdiff.models.layers import WeightEdit
from perfrdiff.models.weight_editor import WeightEditor, edited_weights
from perfrdiff.published import inference
from perfrdiff.published.compat import CORRECTED, PUBLISHED, Compat, reasons
from perfrdiff.published.inference import PublishedModel, SamplingOptions, SpeakerClips
from perfrdiff.published.weights import variants
from perfrdiff.published.weights.names import load_tensors
from tests.support.published_folder import published_weights, reduced_tables

WINDOW = 10
OPTIONS = SamplingOptions(steps=6, guidance=3.0, slide=5)


def small_model(variant):
    files = {file.network: file for file in reduced_tables()[variant]}
    built = {
        name: variants.build_network(variant, name, published_weights(files[name], seed), WINDOW)
        for seed, name in enumerate(("denoiser", "autoencoder", "style_encoder", "prior"))
    }
    config = variants.editor_config(variants.VARIANTS[variant], files["weight_editor"].shapes, built["denoiser"].config)
    tensors = variants.RENAME_TENSORS["weight_editor"](published_weights(files["weight_editor"], 9))
    return PublishedModel(**built, weight_editor=load_tensors(WeightEditor(config), tensors))


@pytest.fixture(scope="module", params=["emotion", "render"])
def model(request):
    return small_model(request.param)


def speakers(clips, frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return SpeakerClips(*(torch.randn(clips, frames, width, generator=generator) for width in (78, 58, 25)))


def react(model, speaker, samples=1, edits=None, compat=CORRECTED, options=OPTIONS, seed=0):
    noise = inference.seeded_noise(model, speaker, samples, options, seed)
    return inference.infer(model, speaker, noise, options, edits, compat).reactions


def one(speaker, i):
    return SpeakerClips(*(stream[i : i + 1] for stream in (speaker.audio, speaker.coefficients, speaker.attributes)))


@pytest.mark.slow
def test_many_listeners_at_once_are_each_alone(model, monkeypatch):
    """The published code takes one listener, one clip and one sample per call; a batch gives the same reactions."""
    behaviour = torch.randn(3, 60, 58, generator=torch.Generator().manual_seed(5))
    together = inference.personal_edits(model, behaviour)
    speaker = speakers(3, 40)
    batch = react(model, speaker, 2, together)
    assert batch.shape == (3, 2, 40, model.denoiser.config.features)
    for i in range(3):
        alone = react(model, one(speaker, i), 2, inference.personal_edits(model, behaviour[i : i + 1]))
        torch.testing.assert_close(batch[i], alone[0], atol=5e-5, rtol=0)
    monkeypatch.setattr(inference, "ROWS_AT_ONCE", {"cpu": 4})  # how many windows are denoised together is no matter
    torch.testing.assert_close(react(model, speaker, 2, together), batch, atol=5e-5, rtol=0)


def test_one_clip_for_many_listeners(model):
    edits = inference.personal_edits(model, torch.randn(2, 60, 58, generator=torch.Generator().manual_seed(6)))
    speaker = speakers(1, 30)
    both = react(model, inference.repeat_speaker(speaker, 2), 1, edits)
    assert not torch.allclose(both[0], both[1], atol=1e-3), "two listeners react alike"


@pytest.mark.parametrize("frames", [1, 9, 10, 11, 27, 60])
def test_any_length(model, frames):
    """Reactions are as long as the speaker; a longer clip does not change the beginning."""
    speaker = speakers(1, 64)
    cut = SpeakerClips(*(stream[:, :frames] for stream in (speaker.audio, speaker.coefficients, speaker.attributes)))
    short = react(model, cut)
    assert short.shape[2] == frames and short.isfinite().all()
    if model.variant == "emotion":  # the render variant scales the audio by the clip's own range
        torch.testing.assert_close(react(model, speaker)[:, :, :frames], short, atol=5e-5, rtol=0)


@pytest.mark.slow
def test_whole_reactions_are_those_of_the_plain_path(model):
    """50 steps, some windows and samples, a listener: the largest difference stays under 1e-4."""
    speaker, options = speakers(1, 20), replace(OPTIONS, steps=50)
    edits = inference.personal_edits(model, torch.randn(1, 60, 58, generator=torch.Generator().manual_seed(7)))
    noise = inference.seeded_noise(model, speaker, 2, options, 0)
    fast, plain = (
        inference.infer(model, speaker, noise, options, edits, PUBLISHED, plain=plain).reactions
        for plain in (False, True)
    )
    assert (fast - plain).abs().max() < 1e-4


def test_samples_do_not_depend_on_their_number(model):
    speaker = speakers(1, 30)
    torch.testing.assert_close(react(model, speaker, 3)[:, :2], react(model, speaker, 2), atol=5e-5, rtol=0)


@pytest.mark.parametrize("solver", ["ddim", "dpm"])
def test_fewer_calls_are_an_option(model, solver):
    """Each solver as it stands in `sampling`, with as many network calls as asked for and no other change."""
    speaker, options = speakers(1, 10), replace(OPTIONS, solver=solver, steps=4)
    (_, _, predict), *_ = inference.guided_windows(
        model.denoiser, inference.window_conditions(model, speaker, options), 1, options, plain=True
    )
    calls = []
    solve = {"ddim": sampling.ddim, "dpm": sampling.dpm_solver}[solver]
    noise = inference.seeded_noise(model, speaker, 1, options, 3)
    expected = solve(lambda x, t: calls.append(t) or predict(x, t), noise.decoder.flatten(0, 2), 4)
    uncorrected = replace(CORRECTED, out_of_range=True)
    assert len(calls) == 4
    out = react(model, speaker, options=options, compat=uncorrected, seed=3)[0]
    torch.testing.assert_close(out, expected[:1], atol=5e-5, rtol=0)


def test_the_prior_changes_nothing(model):
    """It runs only where noise for it is given, and gives the same reactions to the bit."""
    speaker = speakers(2, 30)
    generator = torch.Generator().manual_seed(1)
    noise = inference.draw_noise(model, speaker, 1, OPTIONS, generator)
    without = inference.infer(model, speaker, replace(noise, prior=None), OPTIONS)
    with_prior = inference.infer(model, speaker, noise, OPTIONS)
    assert without.prior is None and with_prior.prior.shape[-1] == 32
    assert torch.equal(without.reactions, with_prior.reactions)


def test_every_fault_is_an_option_with_a_reason():
    assert set(reasons()) == {quirk.name for quirk in fields(Compat)}
    assert all("corrected:" in reason for reason in reasons().values())
    for name in reasons():
        assert Compat.parse(name) == replace(CORRECTED, **{name: True})
    assert Compat.parse(",".join(reasons())) == PUBLISHED
    with pytest.raises(InputError, match="'corrected', 'published' or some of discard_last_call"):
        Compat.parse("exact")


@pytest.mark.parametrize(
    ("variant", "option"),
    [("emotion", "discard_last_call"), ("render", "discard_last_call"), ("emotion", "out_of_range"),
     ("render", "audio_range_over_call")],
)  # fmt: skip
def test_each_fault_by_itself(variant, option):
    """An option does something where its variant has the fault."""
    model, speaker = small_model(variant), speakers(2, 30)
    faulty = react(model, speaker, 2, compat=replace(CORRECTED, **{option: True}))
    assert not torch.allclose(react(model, speaker, 2), faulty, atol=1e-6)


def test_corrected_attributes_are_in_their_ranges():
    model = small_model("emotion")
    published = react(model, speakers(2, 30), 2, compat=PUBLISHED)
    corrected = react(model, speakers(2, 30), 2)
    assert published.min() < 0 and corrected[..., :15].min() >= 0 and corrected[..., 17:].min() >= 0
    assert corrected[..., 15:17].min() < 0, "valence and arousal may be negative"


def test_whole_weights_for_keys_and_values_keep_the_query():
    """Published: the query's rows become 0 (docs/method.md 7.3). Corrected: they stay."""
    denoiser = small_model("emotion").denoiser
    name = "layers.4.multihead_attn.in_proj_weight"
    weight = dict(denoiser.named_parameters())[name]
    width = denoiser.config.width
    shift = {name: WeightEdit(dense=torch.ones(1, 2 * width, width))}
    published = edited_weights(denoiser, shift, predict="weight", zero_query_rows=True)[name].dense[0]
    corrected = edited_weights(denoiser, shift, predict="weight")[name].dense[0]
    assert not published[:width].any() and torch.equal(corrected[:width], weight[:width])
    assert (corrected[width:] == 1).all() and (published[width:] == 1).all()


def test_the_emotion_variant_says_what_it_misses(model):
    speaker = speakers(1, 20)
    blind = SpeakerClips(speaker.audio, speaker.coefficients)
    if model.variant == "emotion":
        with pytest.raises(ValueError, match="attributes"):
            react(model, blind)
    else:
        assert torch.equal(react(model, blind), react(model, speaker)), "the render variant listens to no attributes"


def test_listeners_and_clips_have_to_pair(model):
    edits = inference.personal_edits(model, torch.randn(2, 60, 58))
    with pytest.raises(ValueError, match="2 listeners for 3 clips"):
        react(model, speakers(3, 20), 1, edits)


def test_whoever_follows_is_told_before_every_call(model):
    """A window of the full-size networks takes half a minute; a run that is left ends within a call."""
    shares = []
    speaker = speakers(1, 23)
    noise = inference.seeded_noise(model, speaker, 2, OPTIONS, 0)
    inference.infer(model, speaker, noise, OPTIONS, progress=shares.append)
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[-1] == 1.0 and len(shares) > OPTIONS.steps
    with pytest.raises(InterruptedError):
        inference.infer(model, speaker, noise, OPTIONS, progress=lambda share: leave() if share > 0.1 else None)


def leave():
    raise InterruptedError
