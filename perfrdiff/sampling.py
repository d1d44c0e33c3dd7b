"""From noise to reaction windows: schedule, noise, solvers and classifier-free guidance, each a pure function."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.signal import lfilter
from torch import Tensor

from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.fast_denoiser import FastDenoiser, Predict, can_speed_up
from perfrdiff.models.layers import Edits
from perfrdiff.models.schedule import TRAIN_STEPS, cumulative_alphas

STEP_SEED = 1_000_003  # keeps the seeds of neighbouring samples apart
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
    return [int(np.abs(ratio - value).argmin()) for value in np.linspace(NOISIEST, CLEANEST, steps)]


@cache
def _log_ratio() -> np.ndarray:
    """log(signal / noise) of every diffusion step, (1000,)."""
    abar = cumulative_alphas()
    return 0.5 * np.log(abar / (1 - abar))


def start_noise(
    seed: int, samples: int, shape: tuple[int, int], slow_noise: float = 0.0, slow_frames: float = 5.0
) -> Tensor:
    """Standard normal (samples, frames, features); sample i depends on the seed and i alone, whatever `samples` is.

    With `slow_noise`, noise of that standard deviation is added that forgets itself within `slow_frames` frames
    (an autoregression of first order): see SamplingOptions.
    """
    rows = []
    for i in range(samples):
        generator = torch.Generator().manual_seed(seed * STEP_SEED + i)
        noise = torch.randn(shape, generator=generator)
        if slow_noise:
            noise = noise + slow_noise * slow_noise_like(noise, generator, slow_frames)
        rows.append(noise)
    return torch.stack(rows)


def slow_noise_like(x: Tensor, generator: torch.Generator, slow_frames: float = 5.0) -> Tensor:
    """Noise of deviation 1 of the shape of x (…, frames, features) that forgets itself within `slow_frames` frames."""
    kept = float(np.exp(-1 / slow_frames))
    fresh = torch.randn(x.shape, generator=generator).numpy() * float(np.sqrt(1 - kept**2))
    fresh[..., 0, :] /= np.sqrt(1 - kept**2)  # as long ago as ever
    return torch.from_numpy(lfilter([1.0], [1.0, -kept], fresh, axis=-2)).to(x)


def ddim_step(x: Tensor, x0: Tensor, t: int, t_next: int, eta: float = 0.0, step_noise: Tensor | None = None) -> Tensor:
    """One DDIM step from t to t_next, with x0 already clamped (docs/method.md 6.3).

    eta 0 is deterministic; above it, `step_noise` (standard normal, x's shape) is mixed in, except in a step from t 0.
    """
    if eta > 0.0 and step_noise is None:
        raise ValueError(f"DDIM with eta {eta} needs a noise for every step")
    abar = cumulative_alphas()
    abar_t, abar_next = np.float32(abar[t]), np.float32(abar[t_next])
    one = np.float32(1.0)
    inverse_root = float(np.float32(np.sqrt(1.0 / abar[t])))
    inverse_minus_one = float(np.float32(np.sqrt(1.0 / abar[t] - 1.0)))
    eps = (inverse_root * x - x0) / inverse_minus_one
    sigma = np.float32(eta) * np.sqrt((one - abar_next) / (one - abar_t)) * np.sqrt(one - abar_t / abar_next)
    x = x0 * float(np.sqrt(abar_next)) + float(np.sqrt(one - abar_next - sigma**2)) * eps
    return x + float(sigma) * step_noise if step_noise is not None and eta > 0.0 and t > 0 else x


@dataclass(frozen=True)
class StepNoise:
    """Noise that stochastic DDIM adds on the way."""

    eta: float = 0.0  # 0: deterministic
    draws: Tensor | None = None  # (steps, N, W, features), standard normal

    def at(self, step: int) -> Tensor | None:
        """The noise (N, W, features) of one step."""
        return None if self.draws is None else self.draws[step]


def guided_denoiser(
    denoiser: Denoiser,
    conditions: dict[str, Tensor],
    scale: float,
    edits: Edits | None = None,
    dropped_conditions: tuple[str, ...] = (),
) -> Predict:
    """Classifier-free guidance u + scale * (c - u) as a function (x_t (N, W, features), t) -> x0.

    The readable definition, and what runs where `FastDenoiser` is not for a network. The memory is made here, once. The
    unconditional branch u loses the conditions named in `dropped_conditions`, all of them when empty (published). Scale
    1 needs the conditional branch alone. With the edits of P listeners, N is P groups of equal size, one listener's
    rows together.
    """
    first = next(iter(conditions.values()))
    count = first.shape[0]
    listener_count = next(iter(edits.values())).listener_count if edits else 1
    if scale == 1.0:
        memory = denoiser.prepare(conditions, edits=edits)

        def predict(x: Tensor, t: int) -> Tensor:
            return denoiser(x, torch.full((count,), t, device=x.device), memory, edits)

        return predict

    def repeat_for_guidance(value: Tensor) -> Tensor:
        """Each listener's rows once for the unconditional and once for the conditional branch, (2 N, …)."""
        rows = value.unflatten(0, (listener_count, -1))
        return torch.cat([rows, rows], dim=1).flatten(0, 1)

    doubled = {name: repeat_for_guidance(value) for name, value in conditions.items()}
    branch = torch.tensor([0.0, 1.0], device=first.device).repeat(listener_count)  # unconditional, conditional
    branch = branch.repeat_interleave(count // listener_count)
    keep = {name: branch for name in conditions if not dropped_conditions or name in dropped_conditions}
    memory = denoiser.prepare(doubled, keep, edits)

    def predict_guided(x: Tensor, t: int) -> Tensor:
        branches = denoiser(repeat_for_guidance(x), torch.full((2 * count,), t, device=x.device), memory, edits)
        branches = branches.unflatten(0, (listener_count, -1))
        unconditional, conditional = (branch.flatten(0, 1) for branch in branches.chunk(2, dim=1))
        return unconditional + scale * (conditional - unconditional)

    return predict_guided


def guidance_of(denoiser: Denoiser, edits: Edits | None = None, plain: bool = False) -> Callable[..., Predict]:
    """The quickest exact way to guided predictions of a denoiser with these edits: its own part is prepared here.

    Returns a function with the arguments of `FastDenoiser.guided`. `plain`: by `guided_denoiser` in any case, which is
    what tests and benchmarks compare with.
    """
    if not plain and can_speed_up(denoiser.config, edits):
        return FastDenoiser(denoiser, edits).guided

    def guided(
        conditions: dict[str, Tensor],
        scale: float,
        dropped_conditions: tuple[str, ...] = (),
        *,
        samples: int = 1,
        skipped_frames: int = 0,
    ) -> Predict:
        repeated = {name: value.repeat_interleave(samples, dim=0) for name, value in conditions.items()}
        return guided_denoiser(denoiser, repeated, scale, edits, dropped_conditions)

    return guided


def reporting(predict: Predict, steps: int, report: Callable[[float], None] | None) -> Predict:
    """`predict` that reports, before each of its `steps` calls, the share of them that is done: a window of large
    networks takes long, and whoever is told may end it by raising."""
    if report is None:
        return predict
    calls = iter(range(steps))

    def predict_and_report(x: Tensor, t: int) -> Tensor:
        report(next(calls) / steps)
        return predict(x, t)

    return predict_and_report


def share_of(progress: Callable[[float], None], number: float, count: float) -> Callable[[float], None]:
    """What reports to `progress` the share of part `number` of `count` that is done, as a share of all."""
    return lambda share: progress((number + share) / count)


def ddim(
    predict: Predict,
    noise: Tensor,
    steps: int,
    *,
    inpainted_frames: Tensor | None = None,
    clamp: float = 1.0,
    discard_last_call: bool = False,
    step_noise: StepNoise | None = None,
) -> Tensor:
    """Denoise `noise` (N, W, features) in `steps` network calls -> (N, W, features).

    The prediction is clamped to ±`clamp` at every step (published: 1). `inpainted_frames` (N, F, features) fixes the
    first F frames at values of an earlier window, which this one continues. The last prediction is the result;
    `discard_last_call` takes one more step 0 -> 0, which mixes a little noise back in (docs/method.md 12, quirk 2).
    """
    x, stochastic = noise, step_noise or StepNoise()
    schedule = leading_timesteps(steps)
    for i, t in enumerate(schedule):
        x0 = predict(x, t).clamp(-clamp, clamp)
        if inpainted_frames is not None:
            x0 = torch.cat([inpainted_frames, x0[:, inpainted_frames.shape[1] :]], dim=1)
        last = i + 1 == len(schedule)
        if last and not discard_last_call:
            return x0
        x = ddim_step(x, x0, t, 0 if last else schedule[i + 1], stochastic.eta, stochastic.at(i))
    return x


def dpm_solver(
    predict: Predict,
    noise: Tensor,
    steps: int,
    *,
    inpainted_frames: Tensor | None = None,
    clamp: float = 1.0,
) -> Tensor:
    """Denoise as `ddim` does, with the multistep solver of second order (DPM-Solver++ 2M, Lu et al. 2022, algorithm 2).

    It looks at how the prediction changes from step to step, and in ten calls comes as near to the exact solution as
    DDIM in twenty-five. Steps are those of `even_timesteps`.
    """
    abar, ratio = cumulative_alphas(), _log_ratio()
    x, previous_x0 = noise, None
    schedule = even_timesteps(steps)
    for i, t in enumerate(schedule):
        x0 = predict(x, t).clamp(-clamp, clamp)
        if inpainted_frames is not None:
            x0 = torch.cat([inpainted_frames, x0[:, inpainted_frames.shape[1] :]], dim=1)
        if i + 1 == len(schedule):
            return x0
        t_next, extrapolated = schedule[i + 1], x0
        if previous_x0 is not None and t_next != t:
            last_step, step = ratio[t] - ratio[schedule[i - 1]], ratio[t_next] - ratio[t]
            extrapolated = x0 + float(step / (2 * last_step)) * (x0 - previous_x0)
        noise_left = float(np.sqrt((1 - abar[t_next]) / (1 - abar[t])))
        x = noise_left * x + float(np.sqrt(abar[t_next]) - noise_left * np.sqrt(abar[t])) * extrapolated
        previous_x0 = x0
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
    slow_noise: float = 0.0  # of the noise a reaction begins as: slow noise beside the white, see docs/method.md 16.2
    slow_frames: float = 5.0  # frames (tokens, where weights have these) in which it forgets itself
    solver: str = "ddim"  # (published) or "dpm": `dpm_solver`
    eta: float = 0.0  # of DDIM; only the render variant of the published code takes one
    discard_last_call: bool = False  # see `ddim`; `dpm_solver` has no such fault to repeat
    audio_range: bool = False  # scale the speaker's audio to 0 … 1 over the clip (published render weights)
    prior_steps: int = 50  # denoising calls of the prior, which only imported published weights have
    prior_guidance: float = 1.0

    def denoise_window(
        self,
        predict: Predict,
        noise: Tensor,
        inpainted_frames: Tensor | None = None,
        step_noise: StepNoise | None = None,
    ) -> Tensor:
        """Noise (N, W, features) -> a window; `inpainted_frames` and `step_noise`: see `ddim`."""
        if self.solver == "dpm":
            return dpm_solver(predict, noise, self.steps, inpainted_frames=inpainted_frames, clamp=self.clamp)
        return ddim(
            predict, noise, self.steps, inpainted_frames=inpainted_frames, clamp=self.clamp,
            discard_last_call=self.discard_last_call, step_noise=step_noise,
        )  # fmt: skip


def padded_slice(stream: Tensor, start: int, length: int) -> Tensor:
    """Frames start … start + length of (…, frames, channels), zeros where there are none."""
    frames = stream.shape[-2]
    inside = stream[..., max(start, 0) : min(max(start + length, 0), frames), :]
    before = min(max(-start, 0), length)
    return torch.nn.functional.pad(inside, (0, 0, before, length - before - inside.shape[-2]))


def window_starts(frames: int, window: int, slide: int) -> list[int]:
    """Where windows begin that go `slide` frames further each time and cover `frames` frames."""
    return list(range(0, max(frames - window, 0) + slide, slide))


def sample_sequence(
    denoiser: Denoiser,
    streams: dict[str, Tensor],
    samples: int,
    seed: int,
    options: SamplingOptions,
    edits: Edits | None = None,
    progress: Callable[[float], None] | None = None,
    plain: bool = False,
) -> Tensor:
    """Reactions (samples, frames, features) to speaker streams name -> (frames, channels), in network units; or to
    streams (samples, frames, channels), each to its own. See `sequence_windows`.
    """
    windows = list(sequence_windows(denoiser, streams, samples, seed, options, edits, plain, progress))
    if progress is not None:
        progress(1.0)
    return torch.cat(windows, dim=1)


def sequence_windows(
    denoiser: Denoiser,
    streams: dict[str, Tensor],
    samples: int,
    seed: int,
    options: SamplingOptions,
    edits: Edits | None = None,
    plain: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Tensor]:
    """The reactions of `sample_sequence` in order of time: the new frames (samples, n, features) of one window after
    another, each as soon as it is there.

    Windows follow one another as in training: the listener's window starts `reaction_delay` frames after the speaker's,
    so that no frame sees the speaker's future, and the frames before it are the condition `past_listener` (of which the
    published code knows nothing at test time, docs/method.md 12, quirk 9). Neighbouring windows share window - slide
    frames, which keep the values the earlier one gave them: there is no seam. `plain`: see `guidance_of`. `progress`
    is called with the share done, before every call of the network.
    """
    config = denoiser.config
    frames = next(iter(streams.values())).shape[-2]
    device = next(iter(streams.values())).device
    window, slide = config.window, options.slide
    starts = window_starts(frames, window, slide)
    shape = (starts[-1] + window, config.features)
    noise = start_noise(seed, samples, shape, options.slow_noise, options.slow_frames).to(device)
    done = torch.zeros(samples, 0, config.features, device=device)
    guided = guidance_of(denoiser, edits, plain)
    for number, start in enumerate(starts):
        speaker_start = start - config.reaction_delay
        conditions = {
            name: padded_slice(streams[name], speaker_start, config.speaker_tokens).expand(samples, -1, -1)
            for name in config.conditions
            if name in streams
        }
        if "past_listener" in config.conditions:  # zeros before the beginning, as in training
            past = done[:, max(start - window, 0) : start]
            conditions["past_listener"] = torch.nn.functional.pad(past, (0, 0, window - past.shape[1], 0))
        known = done.shape[1] - start
        predict = guided(conditions, options.guidance, options.guidance_over, skipped_frames=known)
        if progress is not None:
            predict = reporting(predict, options.steps, share_of(progress, number, len(starts)))
        inpainted_frames = done[:, start:] if start > 0 else None
        reaction = options.denoise_window(predict, noise[:, start : start + window], inpainted_frames)
        done = torch.cat([done[:, :start], reaction], dim=1)
        yield done[:, start + known : frames]
