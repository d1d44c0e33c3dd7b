"""Single calls of every network against fixtures: style encoder, autoencoders, prior, denoiser, weight edits."""

import torch

from perfrdiff.models.layers import WeightEdit, sine_table, timestep_embedding
from perfrdiff.models.prior import distance_bucket
from perfrdiff.models.weight_editor import edited_weights
from perfrdiff.published.conformance import fixtures
from perfrdiff.published.conformance.fixtures import Deviation, Fixture, compare
from perfrdiff.published.inference import guided_prior
from perfrdiff.published.weights.names import target_name
from perfrdiff.sampling import guided_denoiser

GUIDANCE = 7.5  # published; what a fixture's settings say goes first


def check_style_encoder(fixture: Fixture) -> list[Deviation]:
    model = fixtures.style_encoder(fixture)
    found = []
    if "mid/pos_table" in fixture.tensors:
        found.append(compare("position table", model.positions, fixture["mid/pos_table"]))
    for name in [key.removeprefix("in/") for key in fixture.keys if key.startswith("in/")]:
        ending = name.removeprefix("x")
        x = fixture[f"in/{name}"]
        found += fixture.stored(f"feature{ending}", f"out/feat{ending}", lambda x=x: model.feature(x))
        found += fixture.stored(f"style{ending}", f"out/proj{ending}", lambda x=x: model(x))
    return found


def check_autoencoder(fixture: Fixture) -> list[Deviation]:
    model = fixtures.autoencoder(fixture)
    found = []
    if "in/window" in fixture.keys:
        window = fixture["in/window"]
        found += fixture.stored("encode", "out/encode_window", lambda: model.encode(window))
        found += fixture.stored("states", "out/get_encodings_window", lambda: model.states(window))
        found += fixture.stored("regress", "out/decode_coeff_window", lambda: model.regress(window))
    if "in/z" in fixture.keys:
        found += fixture.stored("decode", "out/decode_z", lambda: model.decode(fixture["in/z"]))
    if "in/seq" not in fixture.keys:
        return found
    sequence = fixture["in/seq"]
    made = model(sequence)
    found += fixture.stored("encode all", "out/encode_all", lambda: model.encode(model.windows(sequence)))
    for part, value in (("prediction", made.frames), ("mu", made.mean), ("logvar", made.log_variance)):
        found += fixture.stored(f"evaluation {part}", f"out/forward_eval/{part}", lambda value=value: value)
    for key in fixture.keys:
        if key.startswith("out/forward_eval/coefficients_"):
            found.append(compare("regressed reconstruction", made.regressed, fixture[key]))
    if "rng/reparam_eps" in fixture.keys:
        trained = model(sequence, fixture["rng/reparam_eps"])
        found += fixture.stored("training reconstruction", "out/forward_train/prediction", lambda: trained.frames)
    return found


def check_prior(fixture: Fixture) -> list[Deviation]:
    model = fixtures.prior(fixture)
    conditions, x = fixture.conditions(), fixture["in/x_t"]
    predict = guided_prior(model, conditions, 1.0)
    found = []
    if "ref/relpos_bucket_of_distance_0_199" in fixture.tensors:
        wanted = fixture["ref/relpos_bucket_of_distance_0_199"]
        found.append(compare("position buckets", distance_bucket(torch.arange(len(wanted))), wanted))
    if "mid/attn_bias" in fixture.keys:
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
    return found + fixture.stored(
        "mixed steps", "out/t_mixed", lambda: model(x, fixture["in/t_mixed"], model.prepare(conditions))
    )


def check_denoiser(fixture: Fixture) -> list[Deviation]:
    model = fixtures.denoiser(fixture)
    conditions, x = fixture.conditions(), fixture["in/x_t"]
    count, window = x.shape[:2]
    guidance = fixture.config.get("guidance_scale", GUIDANCE)
    found = []
    for name in ("query_pos.pe_first60", "mem_pos.pe_first60"):
        if f"ref/{name}" in fixture.tensors:
            wanted = fixture[f"ref/{name}"][:, 0]
            found.append(compare("position table", sine_table(*wanted.shape), wanted))
    for key in fixture.keys:
        kind, _, step = key.removeprefix("out/").partition("_t")
        scale = {"cfg": guidance, "cond": 1.0, "uncond": 0.0}.get(kind)
        if key.startswith("out/") and scale is not None and step.isdigit():
            predict = guided_denoiser(model, conditions, scale)
            found.append(compare(f"{kind} at t{step}", predict(x, int(step)), fixture[key]))
    if "in/t_train" in fixture.keys:
        steps = fixture["in/t_train"]
        whole = model.prepare(conditions)
        found += fixture.stored("training call", "out/forward_nodrop", lambda: model(x, steps, whole))
        dropped = fixture.under("rng/forward_train")
        drawn = [name for name in model.draw_masks(count) if name in conditions]
        keep = dict(zip(drawn, (1 - dropped[key] for key in sorted(dropped)), strict=True)) if dropped else {}
        masked = model.prepare(conditions, keep)
        if dropped:
            found += fixture.stored("training call, masked", "out/forward_train", lambda: model(x, steps, masked))

    twice = {name: torch.cat([value, value]) for name, value in conditions.items()}
    half = torch.cat([torch.zeros(count), torch.ones(count)])
    tokens, mask, _ = model.memory_tokens(twice, dict.fromkeys(conditions, half))
    if "mid_cfg_t0/memory" in fixture.tensors:
        embedded = timestep_embedding(torch.zeros(2 * count), model.config.time_width)
        found += fixture.stored("time embedding", "mid_cfg_t0/time_proj", lambda: embedded)
        wanted = fixture["mid_cfg_t0/memory"]
        wanted = wanted if wanted.shape[0] == 2 * count else wanted.transpose(0, 1)
        found.append(compare("memory tokens", tokens, wanted[:, 1:]))
    if "mid_cfg_t0/memory_mask_allowed" in fixture.tensors:
        wanted = fixture["mid_cfg_t0/memory_mask_allowed"]
        found.append(compare("memory mask", mask.expand(wanted.shape), wanted))
    if "mid_cfg_t0/tgt_mask_allowed" in fixture.tensors:
        wanted = fixture["mid_cfg_t0/tgt_mask_allowed"]
        found.append(compare("causal mask", torch.ones(window, window).tril().expand(wanted.shape), wanted))
    return found


def check_edit_modes(fixture: Fixture) -> list[Deviation]:
    """Shift, offset and weight, whole attention or keys and values only: stored deltas on the stored weights."""
    model = fixtures.denoiser(fixture.neighbours.carrier(f"denoiser_{'emo' if _emotion(fixture) else 'ren'}", fixture))
    found = []
    for mode in sorted({key.split("/")[0] for key in fixture.keys}):
        deltas = {target_name(name): WeightEdit(dense=d[None]) for name, d in fixture.under(f"{mode}/delta").items()}
        edits = edited_weights(model, deltas, predict=mode.split("_")[0], zero_query_rows=True)
        for name, wanted in fixture.under(f"{mode}/new_weight").items():
            ours = target_name(name)
            found.append(compare(f"{mode} {ours}", edits[ours].dense[0], wanted))
    return found


def _emotion(fixture: Fixture) -> bool:
    return any("to_emotion" in key for key in fixture.keys)
