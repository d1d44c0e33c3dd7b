"""From noise to reaction windows: schedule, noise, solvers and classifier-free guidance, each a pure function."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.layers import Edits
from perfrdiff.models.schedule import TRAIN_STEPS, cumulative_alphas

STEP_SEED = 1_000_003  # keeps the seeds of neighbouring samples apart
SOLVERS = ("ddim", "dpm")
NOISIEST, CLEANEST = -4.0, 2.5  # log(signal / noise) where `even_timesteps` begins and ends


def add_noise(x0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) noise; x0, noise (N, frames, features), timesteps (N,)."""
    abar = torch.as_tensor(cumulative_alphas(), dtype=torch.float32, device=x0.device)[timesteps][:, None, None]
    return abar.sqrt() * x0 + (1 - abar).sqrt() * noise


def leading_timesteps(steps: int) -> list[int]:
    """`steps` diffusion steps from noisy to clean, spaced as published ("leading"): 50 -> 980, 960, … 20, 0."""
    if not 2 <= steps <= TRAIN_STEPS:
        raise ValueError(f"{steps} denoising steps: expected 2 to {TRAIN_STEPS}")
    ratio = TRAIN_STEPS // steps
    return [i * ratio for i in reversed(range(steps))]


def even_timesteps(steps: int) -> list[int]:
    """`steps` diffusion steps from noisy to clean, evenly spaced in the logarithm of signal over noise.

    The published spacing begins where a window's slow movement has long been decided, and makes reactions too alike.
    """
    if not 2 <= steps <= TRAIN_STEPS:
        raise ValueError(f"{steps} denoising steps: expected 2 to {TRAIN_STEPS}")
    ratio = _log_ratio()
    wanted = np.linspace(NOISIEST, CLEANEST, steps)
    return [int(np.abs(ratio - value).argmin()) for value in wanted]


@cache
def _log_ratio() -> np.ndarray:
    """log(signal / noise) of every diffusion step, (1000,)."""
    abar = cumulative_alphas()
    return 0.5 * np.log(abar / (1 - abar))


def start_noise(seed: int, samples: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal (samples, *shape); sample i depends on the seed and i alone, whatever `samples` is."""
    rows = []
    for i in range(samples):
        generator = torch.Generator().manual_seed(seed * STEP_SEED + i)
        rows.append(torch.randn(shape, generator=generator))
    return torch.stack(rows)


def ddim_step(x: Tensor, x0: Tensor, t: int, t_next: int, eta: float = 0.0, step_noise: Tensor | None = None) -> Tensor:
    """One DDIM step from t to t_next, with x0 already clamped (docs/method.md 6.3).

    eta 0 is deterministic; above it, `step_noise` (standard normal, x's shape) is mixed in, except in a step from t 0.
    """
    if eta > 0.0 and step_noise is None:
        raise ValueError(f"DDIM with eta {eta} needs a noise for every step")
    abar = cumulative_alphas()
    here, there = np.float32(abar[t]), np.float32(abar[t_next])
    one = np.float32(1.0)
    inverse_root = float(np.float32(np.sqrt(1.0 / abar[t])))
    inverse_minus_one = float(np.float32(np.sqrt(1.0 / abar[t] - 1.0)))
    eps = (inverse_root * x - x0) / inverse_minus_one
    sigma = np.float32(eta) * np.sqrt((one - there) / (one - here)) * np.sqrt(one - here / there)
    x = x0 * float(np.sqrt(there)) + float(np.sqrt(one - there - sigma**2)) * eps
    return x + float(sigma) * step_noise if step_noise is not None and eta > 0.0 and t > 0 else x


def guided_denoiser(
    denoiser: Denoiser,
    conditions: dict[str, Tensor],
    scale: float,
    edits: Edits | None = None,
    over: tuple[str, ...] = (),
) -> Callable[[Tensor, int], Tensor]:
    """Classifier-free guidance u + scale * (c - u) as a function (x_t (N, W, features), t) -> x0.

    Everything that does not depend on the step is computed here, once. The unconditional branch u loses the conditions
    named in `over`, all of them when empty (published). Scale 1 needs the conditional branch alone. With the edits of
    P listeners, N is P groups of equal size, one listener's rows together.
    """
    first = next(iter(conditions.values()))
    count = first.shape[0]
    people = next(iter(edits.values())).people if edits else 1
    if scale == 1.0:
        memory = denoiser.prepare(conditions, edits=edits)

        def predict(x: Tensor, t: int) -> Tensor:
            return denoiser(x, torch.full((count,), t, device=x.device), memory, edits)

        return predict

    def twice(value: Tensor) -> Tensor:
        """Each listener's rows once for the unconditional and once for the conditional branch, (2 N, …)."""
        rows = value.unflatten(0, (people, -1))
        return torch.cat([rows, rows], dim=1).flatten(0, 1)

    doubled = {name: twice(value) for name, value in conditions.items()}
    kept = torch.tensor([0.0, 1.0], device=first.device).repeat(people).repeat_interleave(count // people)
    keep = {name: kept for name in conditions if not over or name in over}
    memory = denoiser.prepare(doubled, keep, edits)

    def predict_guided(x: Tensor, t: int) -> Tensor:
        both = denoiser(twice(x), torch.full((2 * count,), t, device=x.device), memory, edits)
        unconditional, conditional = (half.flatten(0, 1) for half in both.unflatten(0, (people, -1)).chunk(2, dim=1))
        return unconditional + scale * (conditional - unconditional)

    return predict_guided


def ddim(
    predict: Callable[[Tensor, int], Tensor],
    noise: Tensor,
    steps: int,
    *,
    known: Tensor | None = None,
    clamp: float = 1.0,
    discard_last_call: bool = False,
    eta: float = 0.0,
    step_noise: Tensor | None = None,
) -> Tensor:
    """Denoise `noise` (N, W, features) in `steps` network calls -> (N, W, features).

    The prediction is clamped to ±`clamp` at every step (published: 1). `known` (N, F, features) holds the first F
    frames at values decided before, the continuation of an earlier window. The last prediction is the result;
    `discard_last_call` takes one more step 0 -> 0, which mixes a little noise back in (docs/method.md 12, quirk 2).
    `eta` above 0 adds `step_noise` (steps, N, W, features) on the way.
    """
    x = noise
    schedule = leading_timesteps(steps)
    for i, t in enumerate(schedule):
        x0 = predict(x, t).clamp(-clamp, clamp)
        if known is not None:
            x0 = torch.cat([known, x0[:, known.shape[1] :]], dim=1)
        last = i + 1 == len(schedule)
        if last and not discard_last_call:
            return x0
        x = ddim_step(x, x0, t, 0 if last else schedule[i + 1], eta, None if step_noise is None else step_noise[i])
    return x


def dpm_solver(
    predict: Callable[[Tensor, int], Tensor],
    noise: Tensor,
    steps: int,
    *,
    known: Tensor | None = None,
    clamp: float = 1.0,
) -> Tensor:
    """Denoise as `ddim` does, with the multistep solver of second order (DPM-Solver++ 2M, Lu et al. 2022, algorithm 2).

    It looks at how the prediction changes from step to step, and in ten calls comes as near to the exact solution as
    DDIM in twenty-five. Steps are those of `even_timesteps`.
    """
    abar, ratio = cumulative_alphas(), _log_ratio()
    x, before = noise, None
    schedule = even_timesteps(steps)
    for i, t in enumerate(schedule):
        x0 = predict(x, t).clamp(-clamp, clamp)
        if known is not None:
            x0 = torch.cat([known, x0[:, known.shape[1] :]], dim=1)
        if i + 1 == len(schedule):
            return x0
        there, ahead = schedule[i + 1], x0
        if before is not None and there != t:
            last_step, step = ratio[t] - ratio[schedule[i - 1]], ratio[there] - ratio[t]
            ahead = x0 + float(step / (2 * last_step)) * (x0 - before)
        noise_left = float(np.sqrt((1 - abar[there]) / (1 - abar[t])))
        x = noise_left * x + float(np.sqrt(abar[there]) - noise_left * np.sqrt(abar[t])) * ahead
        before = x0
    return x


@dataclass(frozen=True)
class SamplingOptions:
    """How reactions are sampled; a checkpoint carries those it was made for. The defaults are published."""

    steps: int = 50  # denoising network calls per window
    guidance: float = 7.5  # classifier-free guidance scale
    guidance_over: tuple[str, ...] = ()  # conditions the unconditional branch loses; empty: all of them (published)
    slide: int = 25  # new frames (tokens, where weights have these) per window
    clamp: float = 1.0  # limit of a predicted x0, network units
    head_smoothing: float = 0.0  # frames: standard deviation of a Gaussian over where the head is; a third over nods
    solver: str = "ddim"  # (published) or "dpm": `dpm_solver`
    eta: float = 0.0  # of DDIM; only the render variant of the published code takes one
    audio_range: bool = False  # scale the speaker's audio to 0 … 1 over the clip (published render weights)
    prior_steps: int = 50  # denoising calls of the prior, which only imported published weights have
    prior_guidance: float = 1.0

    def denoised(
        self,
        predict: Callable[[Tensor, int], Tensor],
        noise: Tensor,
        known: Tensor | None,
        discard_last_call: bool = False,
    ) -> Tensor:
        """A window (N, W, features) made of its noise; `known`: its first frames where an earlier window gave them.

        `discard_last_call`: see `ddim`; the other solver has no such fault to repeat.
        """
        if self.solver == "dpm":
            return dpm_solver(predict, noise, self.steps, known=known, clamp=self.clamp)
        return ddim(predict, noise, self.steps, known=known, clamp=self.clamp, discard_last_call=discard_last_call)


def cut(stream: Tensor, start: int, length: int) -> Tensor:
    """Frames start … start + length of (…, frames, channels), zeros where there are none."""
    frames = stream.shape[-2]
    inside = stream[..., max(start, 0) : min(max(start + length, 0), frames), :]
    before = min(max(-start, 0), length)
    return torch.nn.functional.pad(inside, (0, 0, before, length - before - inside.shape[-2]))


def sample_sequence(
    denoiser: Denoiser,
    streams: dict[str, Tensor],
    samples: int,
    seed: int,
    options: SamplingOptions,
    edits: Edits | None = None,
    progress: Callable[[float], None] | None = None,
    discard_last_call: bool = False,
) -> Tensor:
    """Reactions (samples, frames, features) to speaker streams name -> (frames, channels), in network units; or to
    streams (samples, frames, channels), each to its own.

    Windows follow one another as in training: the listener's window starts `reaction_delay` frames after the speaker's,
    so that no frame sees the speaker's future, and the frames before it are the condition `past_listener` (of which the
    published code knows nothing at test time, docs/method.md 12, quirk 9). Neighbouring windows share window - slide
    frames, which keep the values the earlier one gave them: there is no seam. `discard_last_call`: see `ddim`.
    """
    config = denoiser.config
    frames = next(iter(streams.values())).shape[-2]
    device = next(iter(streams.values())).device
    window, slide = config.window, options.slide
    starts = list(range(0, max(frames - window, 0) + slide, slide))
    noise = start_noise(seed, samples, (starts[-1] + window, config.features)).to(device)
    done = torch.zeros(samples, 0, config.features, device=device)
    for i, start in enumerate(starts):
        conditions = {
            name: cut(streams[name], start - config.reaction_delay, config.speaker_frames).expand(samples, -1, -1)
            for name in config.conditions
            if name in streams
        }
        if "past_listener" in config.conditions:  # zeros before the beginning, as in training
            past = done[:, max(start - window, 0) : start]
            conditions["past_listener"] = torch.nn.functional.pad(past, (0, 0, window - past.shape[1], 0))
        predict = guided_denoiser(denoiser, conditions, options.guidance, edits, options.guidance_over)
        known = done[:, start:] if start > 0 else None
        piece = options.denoised(predict, noise[:, start : start + window], known, discard_last_call)
        done = torch.cat([done[:, :start], piece], dim=1)
        if progress is not None:
            progress((i + 1) / len(starts))
    return done[:, :frames]
