"""Schedule, denoising steps and whole reactions of both variants against fixtures."""

import re
from dataclasses import replace

import numpy as np
import torch

from perfrdiff import sampling
from perfrdiff.published.compat import PUBLISHED
from perfrdiff.published.conformance import fixtures
from perfrdiff.published.conformance.fixtures import END_TO_END, Deviation, Fixture, compare
from perfrdiff.published.inference import (
    Noise,
    PublishedModel,
    SamplingOptions,
    guided_prior,
    infer,
    personal_edits,
    window_conditions,
    window_layout,
)
from perfrdiff.published.weights.names import CONDITION_INPUTS, target_name

EXACT = 1e-12  # float64 tables


def check_schedule(fixture: Fixture) -> list[Deviation]:
    abar = sampling.cumulative_alphas()
    beta = 1 - abar / np.concatenate([[1.0], abar[:-1]])
    before = np.concatenate([[1.0], abar[:-1]])
    tables = {
        "alphas_cumprod": abar,
        "betas": beta,
        "posterior_variance": beta * (1 - before) / (1 - abar),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / abar),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / abar - 1),
    }
    stored = {name: value for name, value in tables.items() if name in fixture.keys}
    deviations = [compare(name, torch.tensor(value), fixture[name], EXACT) for name, value in stored.items()]
    for key in fixture.keys:
        if match := re.fullmatch(r"indices_leading_(\d+)", key):
            computed = torch.tensor(sampling.leading_timesteps(int(match[1])))
            deviations.append(compare(f"{match[1]} leading steps", computed, _as_ordered(fixture[key], computed), 0.0))
        elif match := re.fullmatch(r"alphas_cumprod_at_leading_(\d+)", key):
            computed = torch.tensor(abar[sampling.leading_timesteps(int(match[1]))])
            deviations.append(compare(key, computed, fixture[key], EXACT))
    return deviations + fixture.compare_stored(
        "noised", "q/x_t", lambda: sampling.add_noise(fixture["q/x0"], fixture["q/noise"], fixture["q/t"])
    )


def _as_ordered(expected: torch.Tensor, computed: torch.Tensor) -> torch.Tensor:
    """The stored list of steps may run from clean to noisy."""
    return expected.flip(0) if expected[0] < expected[-1] and computed[0] > computed[-1] else expected


def check_denoising(fixture: Fixture) -> list[Deviation]:
    """Every stored step by itself, then the whole chain from the stored noise."""
    kind = (
        "prior_net"
        if fixture.has_prefix("in/speaker_latent_emb") and not fixture.has_prefix("in/speaker_latent_embed")
        else None
    )
    guidance, eta = fixture.config["guidance"], fixture.config.get("eta", 0.0)
    conditions = fixture.conditions()
    if kind:
        predict = guided_prior(fixtures.prior(fixture.neighbours.weights_fixture(kind, fixture)), conditions, guidance)
    else:
        kind = "denoiser_emo" if fixture.variant == "emotion" else "denoiser_ren"
        # These fixtures shrink the output layer so that 50 steps stay well conditioned; their settings say by how much.
        shrunk = re.search(r"multiplied by ([0-9.]+[0-9])", str(fixture.config.get("weights", "")))
        model = fixtures.denoiser(
            fixture.neighbours.weights_fixture(kind, fixture), float(shrunk[1]) if shrunk else 1.0
        )
        predict = sampling.guided_denoiser(model, conditions, guidance)
    schedule = fixture["timesteps"].tolist()
    step_draws = fixture.tensors.get("rng/step_noise")
    deviations = [
        compare("timesteps", torch.tensor(sampling.leading_timesteps(len(schedule))), torch.tensor(schedule), 0.0)
    ]
    steps = {match[1] for key in fixture.keys if (match := re.match(r"step(\d+)/", key))}
    for digits in sorted(steps, key=int):
        number, name = int(digits), f"step{digits}"
        t = schedule[number]
        following = schedule[number + 1] if number + 1 < len(schedule) else 0
        x, x0 = fixture[f"{name}/x_in"], fixture[f"{name}/pred_x0_clipped"]
        noise = None if step_draws is None else step_draws[number]
        deviations.append(compare(f"{name} prediction", predict(x, t).clamp(-1, 1), x0))
        deviations.append(compare(name, sampling.ddim_step(x, x0, t, following, eta, noise), fixture[f"{name}/x_out"]))
    final = sampling.ddim(
        predict,
        fixture["in/noise_x_T"],
        len(schedule),
        discard_last_call=True,
        step_noise=sampling.StepNoise(eta, step_draws),
    )
    deviations.append(compare(f"all {len(schedule)} steps", final, fixture["out/final"], END_TO_END))
    return deviations


def check_generic(fixture: Fixture) -> list[Deviation]:
    """K samples of several clips in one call, no listener."""
    steps = _drawn_steps(fixture)
    options = SamplingOptions(steps=steps, prior_steps=steps)
    return _reactions(fixture, fixtures.published_model(fixture), None, fixture.config["k"], options)


def _drawn_steps(fixture: Fixture) -> int:
    """The generic fixtures name their steps only as the number of draws, one per step."""
    counts = [draw[2] for draw in fixture.config.get("rng_draw_order", []) if draw[0] == "randn_like"]
    return counts[-1] if counts else SamplingOptions.steps


def check_personal(fixture: Fixture) -> list[Deviation]:
    """Style, weight shifts, edited weights and the reaction of one listener."""
    model = fixtures.published_model(fixture, fixture)
    behaviour = fixture["in/listener_personal_input"]
    style = model.style_encoder(behaviour)
    shifts = model.weight_editor(style)
    edits = personal_edits(model, behaviour, zero_query_rows=True)
    settings = fixture.config["config"]["diffusion_decoder"]
    options = SamplingOptions(
        steps=settings["scheduler"].get("num_inference_timesteps", SamplingOptions.steps),
        prior_steps=fixture.config["config"]["diffusion_prior"]
        .get("scheduler", settings["scheduler"])
        .get("num_inference_timesteps", SamplingOptions.prior_steps),
        guidance=settings["args"]["guidance_scale"],
        prior_guidance=fixture.config["config"]["diffusion_prior"]["args"]["guidance_scale"],
        eta=settings["scheduler"].get("eta", 0.0),
        slide=settings["args"].get("window_sliding", SamplingOptions.slide),
    )
    deviations = fixture.compare_stored("style", "mid/hypernet_input_proj", lambda: style)
    deviations += fixture.compare_stored(
        "style feature", "mid/person_feat", lambda: model.style_encoder.feature(behaviour)
    )
    for module, expected in fixture.with_prefix("mid/delta").items():
        deviations.append(compare(f"shift of {target_name(module)}", shifts[target_name(module)].dense[0], expected))
    for module, expected in fixture.with_prefix("mid/new_weight").items():
        deviations.append(compare(f"edited {target_name(module)}", edits[target_name(module)].dense[0], expected))
    return deviations + _reactions(fixture, model, edits, 1, options)


def _reactions(
    fixture: Fixture, model: PublishedModel, edits, samples: int, options: SamplingOptions
) -> list[Deviation]:
    speaker = fixture.speaker()
    clips, frames = speaker.audio.shape[:2]
    if edits is None and model.variant == "render":
        options = _slide_from_rows(fixture, model, clips, frames, samples, options)
    count = window_layout(model, frames, options).count
    has_prior = "mid/prior_x_T" in fixture.keys
    config = model.denoiser.config
    noise = Noise(
        fixture["mid/decoder_x_T"].reshape(clips, -1, samples, config.window, config.features),
        prior=fixture["mid/prior_x_T"].reshape(clips, count, samples, 1, -1) if has_prior else None,
    )
    deviations = []
    windows = window_conditions(model, speaker, options, PUBLISHED)
    for prefix in ("mid/prior_cond", "mid/decoder_cond"):
        for published_name, expected in fixture.with_prefix(prefix).items():
            name = CONDITION_INPUTS[published_name]
            if name in windows:
                computed = windows[name].flatten(0, 1).repeat_interleave(samples, dim=0)
                deviations.append(compare(f"window {name}", computed, expected))
    prediction = infer(model, speaker, noise, options, edits, PUBLISHED)
    expected = "out/prediction_emotion" if model.variant == "emotion" else "out/prediction_3dmm"
    if has_prior:
        latents = prediction.prior.flatten(0, 2)
        deviations += fixture.compare_stored("prior", "out/prior", lambda: latents, END_TO_END)
    deviations.append(compare("reactions", prediction.reactions, fixture[expected], END_TO_END))
    return deviations


def _slide_from_rows(
    fixture: Fixture, model: PublishedModel, clips: int, frames: int, samples: int, options: SamplingOptions
) -> SamplingOptions:
    """The generic fixtures do not name their slide; the number of windows they drew noise for does."""
    window = model.denoiser.config.window
    if "mid/prior_x_T" not in fixture.keys:
        return replace(options, slide=window // 2)  # as published
    windows = len(fixture["mid/prior_x_T"]) // (clips * samples)
    return replace(options, slide=(frames - window) // max(windows - 1, 1))
