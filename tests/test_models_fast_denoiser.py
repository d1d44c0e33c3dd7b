"""The fast path of the published denoisers against their readable definition."""

import pytest
import torch

from perfrdiff import sampling
from perfrdiff.models.cross_attention import FoldedMemory
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.fast_denoiser import FastDenoiser, can_speed_up
from perfrdiff.models.layers import WeightEdit

CLOSE = {"atol": 2e-5, "rtol": 1e-5}
WIDTHS = {"audio": 78, "coefficients": 58, "speaker_latent": 64, "past_listener": 58}
CONFIGS = {  # memory small against the width: folded; as large as the width: not
    "emotion": {"variant": "emotion", "features": 25, "window": 5, "heads": 4, "audio_scale": 0.1},
    "emotion, long window": {"variant": "emotion", "features": 25, "window": 20, "heads": 4, "audio_scale": 0.1},
    "render": {"variant": "render", "window": 9, "heads": 4, "reaction_delay": 2},
    "render, long window": {"variant": "render", "window": 20, "heads": 8, "reaction_delay": 4},
}
USED = {"emotion": ("audio", "coefficients", "speaker_latent"), "render": ("audio", "coefficients", "past_listener")}


def denoiser(name, **changes):
    sizes = CONFIGS[name] | changes
    used = USED[sizes["variant"]]
    torch.manual_seed(0)
    config = DenoiserConfig(
        width=64, layers=3, feedforward=96, condition_widths={one: WIDTHS[one] for one in used},
        drop_probability=dict.fromkeys(used, 0.2), **sizes,
    )  # fmt: skip
    model = Denoiser(config).eval().requires_grad_(False)
    for parameter in model.parameters():  # biases and gains as trained networks have them
        parameter += 0.1 * torch.randn(parameter.shape)
    return model


def conditions(model, count, *names):
    generator = torch.Generator().manual_seed(1)
    names = names or tuple(name for name in model.config.conditions if name != "past_listener")
    frames = dict.fromkeys(names, model.config.window) | {"speaker_latent": 1}
    return {name: torch.randn(count, frames[name], WIDTHS[name], generator=generator) for name in names}


def noised(model, rows):
    return torch.randn(rows, model.config.window, model.config.features, generator=torch.Generator().manual_seed(2))


def edited(model, *names):
    parameters, generator = dict(model.named_parameters()), torch.Generator().manual_seed(3)
    shifts = {name: 0.05 * torch.randn(parameters[name].shape, generator=generator) for name in names}
    return {name: WeightEdit(dense=(parameters[name] + shift)[None]) for name, shift in shifts.items()}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_it_predicts_what_the_definition_predicts(name, scale):
    """Every rearrangement at once: the folded memory, equal tokens as one, the shared first layer, samples together."""
    model = denoiser(name)
    edits = edited(model, "output.weight", "layers.1.multihead_attn.in_proj_weight", "layers.2.linear1.weight")
    given = conditions(model, 2)
    repeated = {one: value.repeat_interleave(3, dim=0) for one, value in given.items()}
    fast = FastDenoiser(model, edits).guided(given, scale, samples=3)
    plain = sampling.guided_denoiser(model, repeated, scale, edits)
    x = noised(model, 6)
    for t in (980, 40, 980, 0):  # coming back to a step, too
        torch.testing.assert_close(fast(x, t), plain(x, t), **CLOSE)


def test_both_kinds_of_memory_are_in_use():
    """What the test before compares: small memories are folded, large ones not, and neither branch is forgotten."""
    kinds = {}
    for name in CONFIGS:
        model = denoiser(name)
        guided = FastDenoiser(model).guided(conditions(model, 2), 2.0).__self__
        kinds[name] = [isinstance(memories[0], FoldedMemory) for memories in guided.branches]
    assert kinds == {
        "emotion": [True, True], "emotion, long window": [False, False], "render": [True, False],
        "render, long window": [False, False],
    }  # fmt: skip


def test_equal_tokens_of_the_unconditional_branch_are_one():
    """Render counts positions from 0 in each block: a dropped audio frame is the same token as a dropped face."""
    model = denoiser("render")
    guided = FastDenoiser(model).guided(conditions(model, 2), 2.0).__self__
    unconditional, conditional = (memories[0] for memories in guided.branches)
    window = model.config.window
    assert unconditional.rows.shape[:3] == (1, 4, 1 + window) and conditional.keys.shape[:3] == (2, 4, 1 + 2 * window)


@pytest.mark.parametrize("skipped", [0, 4])
@pytest.mark.parametrize("name", ["render", "render, long window"])
def test_guidance_by_the_speaker_alone(name, skipped):
    """As the corrected windows are sampled: the past stays in both branches, the first frames are known already."""
    model = denoiser(name)
    given, dropped = conditions(model, 3, "audio", "coefficients", "past_listener"), ("audio", "coefficients")
    fast = FastDenoiser(model).guided(given, 2.5, dropped, skipped_frames=skipped)
    plain = sampling.guided_denoiser(model, given, 2.5, None, dropped)
    x = noised(model, 3)
    torch.testing.assert_close(fast(x, 300)[:, skipped:], plain(x, 300)[:, skipped:], **CLOSE)
    assert not fast(x, 300)[:, :skipped].any(), "what nobody needs was computed"


def test_low_rank_edits():
    model = denoiser("render")
    name = "layers.2.linear2.weight"
    generator = torch.Generator().manual_seed(4)
    left, right = torch.randn(1, 64, 2, generator=generator), torch.randn(1, 2, 96, generator=generator)
    edits = {name: WeightEdit(left=0.1 * left, right=0.1 * right)}
    given, x = conditions(model, 2), noised(model, 2)
    fast = FastDenoiser(model, edits).guided(given, 2.0)
    torch.testing.assert_close(fast(x, 300), sampling.guided_denoiser(model, given, 2.0, edits)(x, 300), **CLOSE)
    with pytest.raises(ValueError, match="2 listeners"):
        WeightEdit(left=left.repeat(2, 1, 1), right=right.repeat(2, 1, 1)).applied_to(torch.zeros(64, 96))


def test_two_clips_may_be_predicted_in_turns():
    """What a prediction writes is its own: threads share the network and its edits, nothing else."""
    model = denoiser("emotion")
    fast = FastDenoiser(model)
    first, second = fast.guided(conditions(model, 2), 3.0), fast.guided(conditions(model, 2), 3.0)
    x = noised(model, 2)
    wanted = first(x, 900).clone()
    second(x, 20)
    assert torch.equal(first(x, 900), wanted)


@pytest.mark.parametrize(("name", "value"), [("norm_first", True), ("time_in_query", True), ("prediction", "velocity")])
def test_other_networks_take_the_plain_path(name, value):
    model = denoiser("render", **{name: value})
    assert not can_speed_up(model.config, None)
    with pytest.raises(ValueError, match="published layout"):
        FastDenoiser(model)
    given, x = conditions(model, 2), noised(model, 2)
    guided = sampling.guidance_of(model)(given, 2.0)
    assert torch.equal(guided(x, 300), sampling.guided_denoiser(model, given, 2.0)(x, 300))


def test_whole_reactions_are_the_same():
    """Sequences in windows that continue one another, as render's corrected way makes them."""
    model = denoiser("render, long window")
    generator = torch.Generator().manual_seed(5)
    streams = {name: torch.randn(55, WIDTHS[name], generator=generator) for name in ("audio", "coefficients")}
    options = sampling.SamplingOptions(steps=6, guidance=2.0, guidance_over=("audio", "coefficients"), slide=10)
    fast = sampling.sample_sequence(model, streams, 2, 0, options)
    torch.testing.assert_close(fast, sampling.sample_sequence(model, streams, 2, 0, options, plain=True), **CLOSE)
