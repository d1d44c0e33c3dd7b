"""Single calls of every network against fixtures: style encoder, autoencoders, prior, denoiser, weight edits."""

import torch

from perfrdiff.models.layers import WeightEdit, sine_table, timestep_embedding
from perfrdiff.models.prior import distance_bucket
from perfrdiff.models.weight_editor import edited_weights
from perfrdiff.published import fixtures
from perfrdiff.published.fixtures import Deviation, Fixture, compare
from perfrdiff.published.inference import guided_prior
from perfrdiff.published.names import target_name
from perfrdiff.sampling import guided_denoiser

GUIDANCE = 7.5


def check_style_encoder(fixture: Fixture) -> list[Deviation]:
    model = fixtures.style_encoder(fixture)
    found = []
    if "mid/pos_table" in fixture.tensors:
        found.append(compare("position table", model.positions, fixture["mid/pos_table"]))
    for name in [key.removeprefix("in/") for key in fixture.keys if key.startswith("in/")]:
        ending = name.removeprefix("x")
        found.append(compare(f"feature{ending}", model.feature(fixture[f"in/{name}"]), fixture[f"out/feat{ending}"]))
        found.append(compare(f"style{ending}", model(fixture[f"in/{name}"]), fixture[f"out/proj{ending}"]))
    return found


def check_autoencoder(fixture: Fixture) -> list[Deviation]:
    model = fixtures.autoencoder(fixture)
    sequence, window = fixture["in/seq"], fixture["in/window"]
    evaluated, trained = model(sequence), model(sequence, fixture["rng/reparam_eps"])
    regressed = next(key for key in fixture.keys if key.startswith("out/forward_eval/coefficients_"))
    return [
        compare("encode", model.encode(window), fixture["out/encode_window"]),
        compare("states", model.states(window), fixture["out/get_encodings_window"]),
        compare("encode all", model.encode(model.windows(sequence)), fixture["out/encode_all"]),
        compare("decode", model.decode(fixture["in/z"]), fixture["out/decode_z"]),
        compare("regress", model.regress(window), fixture["out/decode_coeff_window"]),
        compare("reconstruction", evaluated.frames, fixture["out/forward_eval/prediction"]),
        compare("mean", evaluated.mean, fixture["out/forward_eval/mu"]),
        compare("log variance", evaluated.log_variance, fixture["out/forward_eval/logvar"]),
        compare("regressed reconstruction", evaluated.regressed, fixture[regressed]),
        compare("training reconstruction", trained.frames, fixture["out/forward_train/prediction"]),
    ]


def check_prior(fixture: Fixture) -> list[Deviation]:
    model = fixtures.prior(fixture)
    conditions, x = fixture.conditions(), fixture["in/x_t"]
    predict = guided_prior(model, conditions, 1.0)
    found = []
    if "ref/relpos_bucket_of_distance_0_199" in fixture.tensors:
        wanted = fixture["ref/relpos_bucket_of_distance_0_199"]
        found.append(compare("position buckets", distance_bucket(torch.arange(len(wanted))), wanted))
    bias = fixture["mid/attn_bias"]
    ours = model.attention_bias(0, bias.shape[1])
    seen = ours.isfinite()
    found.append(compare("attention bias", torch.where(seen, ours, 0.0), torch.where(seen, bias, 0.0)))
    for key in fixture.keys:
        name = key.removeprefix("out/")
        if key.startswith("out/t") and name[1:].isdigit():
            found.append(compare(f"call at {name}", predict(x, int(name[1:])), fixture[key]))
        elif key.startswith("out/cond_scale"):
            scale, step = name.removeprefix("cond_scale").split("_t")
            guided = guided_prior(model, conditions, float(scale))
            found.append(compare(f"guidance {scale} at t{step}", guided(x, int(step)), fixture[key]))
        elif key.startswith("out/null_t"):
            step = int(name.removeprefix("null_t"))
            null = guided_prior(model, conditions, 0.0)
            found.append(compare(f"null pass at t{step}", null(x, step), fixture[key]))
    mixed = model(x, fixture["in/t_mixed"], model.prepare(conditions))
    found.append(compare("mixed steps", mixed, fixture["out/t_mixed"]))
    return found


def check_denoiser(fixture: Fixture) -> list[Deviation]:
    model = fixtures.denoiser(fixture)
    conditions, x = fixture.conditions(), fixture["in/x_t"]
    count, window = x.shape[:2]
    found = []
    for name in ("query_pos.pe_first60", "mem_pos.pe_first60"):
        if f"ref/{name}" in fixture.tensors:
            wanted = fixture[f"ref/{name}"][:, 0]
            found.append(compare("position table", sine_table(*wanted.shape), wanted))
    for key in fixture.keys:
        kind, _, step = key.removeprefix("out/").partition("_t")
        scale = {"cfg": GUIDANCE, "cond": 1.0, "uncond": 0.0}.get(kind)
        if key.startswith("out/") and scale is not None and step.isdigit():
            predict = guided_denoiser(model, conditions, scale)
            found.append(compare(f"{kind} at t{step}", predict(x, int(step)), fixture[key]))
    steps = fixture["in/t_train"]
    memory = model.prepare(conditions)
    found.append(compare("training call", model(x, steps, memory), fixture["out/forward_nodrop"]))
    dropped = fixture.under("rng/forward_train")
    drawn = [name for name in model.draw_masks(count) if name in conditions]
    keep = dict(zip(drawn, (1 - dropped[key] for key in sorted(dropped)), strict=True))
    memory = model.prepare(conditions, keep)
    found.append(compare("training call, masked", model(x, steps, memory), fixture["out/forward_train"]))

    twice = {name: torch.cat([value, value]) for name, value in conditions.items()}
    half = torch.cat([torch.zeros(count), torch.ones(count)])
    tokens, mask = model.memory_tokens(twice, dict.fromkeys(conditions, half))
    if "mid_cfg_t0/memory" in fixture.tensors:
        embedded = timestep_embedding(torch.zeros(2 * count), model.config.time_width)
        found.append(compare("time embedding", embedded, fixture["mid_cfg_t0/time_proj"]))
        wanted = fixture["mid_cfg_t0/memory"]
        wanted = wanted if wanted.shape[0] == 2 * count else wanted.transpose(0, 1)
        found.append(compare("memory tokens", tokens, wanted[:, 1:]))
    if "mid_cfg_t0/memory_mask_allowed" in fixture.tensors:
        wanted = fixture["mid_cfg_t0/memory_mask_allowed"]
        found.append(compare("memory mask", mask.expand(wanted.shape), wanted))
        wanted = fixture["mid_cfg_t0/tgt_mask_allowed"]
        found.append(compare("causal mask", torch.ones(window, window).tril().expand(wanted.shape), wanted))
    return found


def check_edit_modes(fixture: Fixture) -> list[Deviation]:
    """Shift, offset and weight, whole attention or keys and values only: stored deltas on the stored weights."""
    model = fixtures.denoiser(fixture.neighbours.carrier(f"denoiser_{'emo' if _emotion(fixture) else 'ren'}", fixture))
    found = []
    for mode in sorted({key.split("/")[0] for key in fixture.keys}):
        deltas = {target_name(name): WeightEdit(dense=d[None]) for name, d in fixture.under(f"{mode}/delta").items()}
        edits = edited_weights(model, deltas, predict=mode.split("_")[0], compat="published")
        for name, wanted in fixture.under(f"{mode}/new_weight").items():
            ours = target_name(name)
            found.append(compare(f"{mode} {ours}", edits[ours].dense[0], wanted))
    return found


def _emotion(fixture: Fixture) -> bool:
    return any("to_emotion" in key for key in fixture.keys)
