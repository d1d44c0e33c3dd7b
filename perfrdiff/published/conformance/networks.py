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
    deviations = []
    if "mid/pos_table" in fixture.tensors:
        deviations.append(compare("position table", model.positions, fixture["mid/pos_table"]))
    for name in [key.removeprefix("in/") for key in fixture.keys if key.startswith("in/")]:
        ending = name.removeprefix("x")
        x = fixture[f"in/{name}"]
        deviations += fixture.compare_stored(f"feature{ending}", f"out/feat{ending}", lambda x=x: model.feature(x))
        deviations += fixture.compare_stored(f"style{ending}", f"out/proj{ending}", lambda x=x: model(x))
    return deviations


def check_autoencoder(fixture: Fixture) -> list[Deviation]:
    model = fixtures.autoencoder(fixture)
    deviations = []
    if "in/window" in fixture.keys:
        window = fixture["in/window"]
        deviations += fixture.compare_stored("encode", "out/encode_window", lambda: model.encode(window))
        deviations += fixture.compare_stored("states", "out/get_encodings_window", lambda: model.states(window))
        deviations += fixture.compare_stored("regress", "out/decode_coeff_window", lambda: model.regress(window))
    if "in/z" in fixture.keys:
        deviations += fixture.compare_stored("decode", "out/decode_z", lambda: model.decode(fixture["in/z"]))
    if "in/seq" not in fixture.keys:
        return deviations
    sequence = fixture["in/seq"]
    output = model(sequence)
    deviations += fixture.compare_stored("encode all", "out/encode_all", lambda: model.encode(model.windows(sequence)))
    for part, value in (("prediction", output.frames), ("mu", output.mean), ("logvar", output.log_variance)):
        deviations += fixture.compare_stored(
            f"evaluation {part}", f"out/forward_eval/{part}", lambda value=value: value
        )
    for key in fixture.keys:
        if key.startswith("out/forward_eval/coefficients_"):
            deviations.append(compare("regressed reconstruction", output.regressed, fixture[key]))
    if "rng/reparam_eps" in fixture.keys:
        trained_result = model(sequence, fixture["rng/reparam_eps"])
        deviations += fixture.compare_stored(
            "training reconstruction", "out/forward_train/prediction", lambda: trained_result.frames
        )
    return deviations


def check_prior(fixture: Fixture) -> list[Deviation]:
    model = fixtures.prior(fixture)
    conditions, x = fixture.conditions(), fixture["in/x_t"]
    predict = guided_prior(model, conditions, 1.0)
    deviations = []
    if "ref/relpos_bucket_of_distance_0_199" in fixture.tensors:
        expected = fixture["ref/relpos_bucket_of_distance_0_199"]
        deviations.append(compare("position buckets", distance_bucket(torch.arange(len(expected))), expected))
    if "mid/attn_bias" in fixture.keys:
        bias = fixture["mid/attn_bias"]
        computed = model.attention_bias(0, bias.shape[1])
        allowed = computed.isfinite()
        deviations.append(
            compare("attention bias", torch.where(allowed, computed, 0.0), torch.where(allowed, bias, 0.0))
        )
    for key in fixture.keys:
        name = key.removeprefix("out/")
        if key.startswith("out/t") and name[1:].isdigit():
            deviations.append(compare(f"call at {name}", predict(x, int(name[1:])), fixture[key]))
        elif key.startswith("out/cond_scale"):
            scale, step = name.removeprefix("cond_scale").split("_t")
            guided = guided_prior(model, conditions, float(scale))
            deviations.append(compare(f"guidance {scale} at t{step}", guided(x, int(step)), fixture[key]))
        elif key.startswith("out/null_t"):
            step = int(name.removeprefix("null_t"))
            null = guided_prior(model, conditions, 0.0)
            deviations.append(compare(f"null pass at t{step}", null(x, step), fixture[key]))
    return deviations + fixture.compare_stored(
        "mixed steps", "out/t_mixed", lambda: model(x, fixture["in/t_mixed"], model.prepare(conditions))
    )


def check_denoiser(fixture: Fixture) -> list[Deviation]:
    model = fixtures.denoiser(fixture)
    conditions, x = fixture.conditions(), fixture["in/x_t"]
    count, window = x.shape[:2]
    guidance = fixture.config.get("guidance_scale", GUIDANCE)
    deviations = []
    for name in ("query_pos.pe_first60", "mem_pos.pe_first60"):
        if f"ref/{name}" in fixture.tensors:
            expected = fixture[f"ref/{name}"][:, 0]
            deviations.append(compare("position table", sine_table(*expected.shape), expected))
    for key in fixture.keys:
        kind, _, step = key.removeprefix("out/").partition("_t")
        scale = {"cfg": guidance, "cond": 1.0, "uncond": 0.0}.get(kind)
        if key.startswith("out/") and scale is not None and step.isdigit():
            predict = guided_denoiser(model, conditions, scale)
            deviations.append(compare(f"{kind} at t{step}", predict(x, int(step)), fixture[key]))
    if "in/t_train" in fixture.keys:
        steps = fixture["in/t_train"]
        memory = model.prepare(conditions)
        deviations += fixture.compare_stored("training call", "out/forward_nodrop", lambda: model(x, steps, memory))
        dropped = fixture.with_prefix("rng/forward_train")
        dropped_names = [name for name in model.draw_masks(count) if name in conditions]
        keep = dict(zip(dropped_names, (1 - dropped[key] for key in sorted(dropped)), strict=True)) if dropped else {}
        masked = model.prepare(conditions, keep)
        if dropped:
            deviations += fixture.compare_stored(
                "training call, masked", "out/forward_train", lambda: model(x, steps, masked)
            )

    both_passes = {name: torch.cat([value, value]) for name, value in conditions.items()}
    keep_half = torch.cat([torch.zeros(count), torch.ones(count)])
    tokens, mask, _ = model.memory_tokens(both_passes, dict.fromkeys(conditions, keep_half))
    if "mid_cfg_t0/memory" in fixture.tensors:
        embedded = timestep_embedding(torch.zeros(2 * count), model.config.time_width)
        deviations += fixture.compare_stored("time embedding", "mid_cfg_t0/time_proj", lambda: embedded)
        expected = fixture["mid_cfg_t0/memory"]
        expected = expected if expected.shape[0] == 2 * count else expected.transpose(0, 1)
        deviations.append(compare("memory tokens", tokens, expected[:, 1:]))
    if "mid_cfg_t0/memory_mask_allowed" in fixture.tensors:
        expected = fixture["mid_cfg_t0/memory_mask_allowed"]
        deviations.append(compare("memory mask", mask.expand(expected.shape), expected))
    if "mid_cfg_t0/tgt_mask_allowed" in fixture.tensors:
        expected = fixture["mid_cfg_t0/tgt_mask_allowed"]
        deviations.append(compare("causal mask", torch.ones(window, window).tril().expand(expected.shape), expected))
    return deviations


def check_edit_modes(fixture: Fixture) -> list[Deviation]:
    """Shift, offset and weight, whole attention or keys and values only: stored deltas on the stored weights."""
    model = fixtures.denoiser(
        fixture.neighbours.weights_fixture(f"denoiser_{'emo' if _emotion(fixture) else 'ren'}", fixture)
    )
    deviations = []
    for mode in sorted({key.split("/")[0] for key in fixture.keys}):
        deltas = {
            target_name(name): WeightEdit(dense=d[None]) for name, d in fixture.with_prefix(f"{mode}/delta").items()
        }
        edits = edited_weights(model, deltas, predict=mode.split("_")[0], zero_query_rows=True)
        for name, expected in fixture.with_prefix(f"{mode}/new_weight").items():
            computed = target_name(name)
            deviations.append(compare(f"{mode} {computed}", edits[computed].dense[0], expected))
    return deviations


def _emotion(fixture: Fixture) -> bool:
    return any("to_emotion" in key for key in fixture.keys)
