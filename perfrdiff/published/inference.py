"""Both published variants from features to reactions (docs/method.md 8), any clip length, any number of listeners,
clips and samples in one call.

The published code pads nothing and takes 750 frames only. Here a clip is lengthened to whole windows by holding its
last frame, and the reaction is cut back to the clip. Because the speaker's stream is shifted by at least as many frames
as are added, no network ever sees an added frame, unless a clip is shorter than half a window.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from perfrdiff import sampling
from perfrdiff.models.autoencoder import WindowAutoencoder
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.fast_denoiser import Predict
from perfrdiff.models.layers import Edits
from perfrdiff.models.prior import Prior, PriorMemory
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor, edited_weights
from perfrdiff.published.compat import CORRECTED, Compat
from perfrdiff.sampling import SamplingOptions

ROWS_AT_ONCE = {"cpu": 16, "cuda": 512}
"""Windows x samples denoised together, by device. It bounds the memory and does not change the numbers; 16 was the
quickest of 2, 4, 8 and 16 on one thread (benchmarks/published.py --rows)."""
ATTRIBUTE_RANGE = ((0.0, 1.0, 15), (-1.0, 1.0, 2), (0.0, 1.0, 8))  # low, high, columns


@dataclass(frozen=True)
class PublishedModel:
    """The networks of one published variant, in evaluation mode."""

    denoiser: Denoiser
    autoencoder: WindowAutoencoder | None = None  # attributes -> latent and coefficients; the emotion variant needs it
    style_encoder: StyleEncoder | None = None
    weight_editor: WeightEditor | None = None
    prior: Prior | None = None

    @property
    def variant(self) -> str:
        return self.denoiser.config.variant


@dataclass(frozen=True)
class SpeakerClips:
    """C clips of speakers in network units, equally long."""

    audio: Tensor  # (C, L, 78) MFCCs
    coefficients: Tensor  # (C, L, 58) minus the mean face
    attributes: Tensor | None = None  # (C, L, 25); the emotion variant and the prior need them


@dataclass(frozen=True)
class Noise:
    """Standard normal draws of one call, for C clips of n windows and K samples."""

    decoder: Tensor  # (C, n or 1, K, window, features); 1: all windows of a sample start from the same noise
    decoder_steps: Tensor | None = None  # (steps, C, n, K, window, features), only used with eta > 0
    prior: Tensor | None = None  # (C, n, K, 1, width); where it is given, the prior runs, which changes no reaction


@dataclass(frozen=True)
class Prediction:
    """The reactions of one call."""

    reactions: Tensor  # (C, K, L, features): 25 attributes, or 58 coefficients minus the mean face
    prior: Tensor | None = None  # (C, n, K, 1, width) the prior's latents, if it was run


@dataclass(frozen=True)
class WindowLayout:
    """How a clip of `frames` frames is cut into `count` windows."""

    frames: int
    window: int
    slide: int  # frames between the starts of neighbouring windows
    delay: int  # frames by which the reaction follows the speaker

    @property
    def count(self) -> int:
        return 1 + -(-max(self.frames - self.window, 0) // self.slide)

    @property
    def padded_frames(self) -> int:
        """Frames of the whole windows."""
        return self.window + (self.count - 1) * self.slide

    def cut(self, stream: Tensor) -> Tensor:
        """(C, L, channels) -> (C, n, window, channels): window i is what the speaker did `delay` frames earlier."""
        last_frames = stream[:, -1:].expand(-1, self.padded_frames - self.frames, -1)
        shifted = F.pad(torch.cat([stream, last_frames], dim=1), (0, 0, self.delay, 0))[:, : self.padded_frames]
        return shifted.unfold(1, self.window, self.slide).transpose(2, 3).contiguous()

    def join(self, windows: Tensor) -> Tensor:
        """(C, n, K, window, features) -> (C, K, L, features): window 0 whole, then the new frames of each."""
        first = windows[:, 0]
        later = windows[:, 1:, :, self.window - self.slide :].transpose(1, 2).flatten(2, 3)
        return torch.cat([first, later], dim=2)[:, :, : self.frames]


def window_layout(model: PublishedModel, frames: int, options: SamplingOptions) -> WindowLayout:
    """The published windows: emotion side by side and one window late, render overlapping and one slide late."""
    window = model.denoiser.config.window
    slide = window if model.variant == "emotion" else options.slide
    if not 0 < slide <= window:
        raise ValueError(f"a slide of {slide} frames for windows of {window}: expected 1 to {window}")
    return WindowLayout(frames, window, slide, slide)


def personal_edits(
    model: PublishedModel, behaviour: Tensor, strength: float = 1.0, zero_query_rows: bool = False
) -> Edits:
    """Edits of P listeners from their behaviour (P, frames, 58) minus the mean face; the editor runs once for all.

    `zero_query_rows`: see `edited_weights`.
    """
    with torch.no_grad():
        shifts = model.weight_editor(model.style_encoder(behaviour))
        return edited_weights(model.denoiser, shifts, strength, model.weight_editor.config.predict, zero_query_rows)


def draw_noise(
    model: PublishedModel,
    speaker: SpeakerClips,
    samples: int,
    options: SamplingOptions,
    generator: torch.Generator | None = None,
) -> Noise:
    """Noise in the published order: prior start, a draw per step, decoder start (docs/method.md 8.3).

    With the same torch generator state the emotion variant's draws are those of the published code. Its render variant
    also spends numbers on the dropout of an encoder left in training mode, so seeds do not carry over there.
    """
    clips, frames = speaker.audio.shape[:2]
    config = model.denoiser.config
    windows = window_layout(model, frames, options).count
    prior = None
    if model.prior is not None:
        rows = (clips, windows, samples, 1, model.prior.config.width)
        prior = torch.randn(rows, generator=generator)
        for _ in range(options.prior_steps):
            torch.randn(rows, generator=generator)  # drawn and multiplied by 0 (docs/method.md 6.3)
    shared = 1 if model.variant == "render" else windows
    start = torch.randn((clips, shared, samples, config.window, config.features), generator=generator)
    steps = None
    if options.eta > 0.0:
        shape = (options.steps, clips, windows, samples, config.window, config.features)
        steps = torch.randn(shape, generator=generator)
    return Noise(start, steps, prior)


def seeded_noise(
    model: PublishedModel, speaker: SpeakerClips, samples: int, options: SamplingOptions, seed: int
) -> Noise:
    """Noise of which sample k, window i depends on the seed, k and i alone, however many of anything there are."""
    clips, frames = speaker.audio.shape[:2]
    config = model.denoiser.config
    windows = 1 if model.variant == "render" else window_layout(model, frames, options).count
    rows = []
    for k in range(samples):
        generator = torch.Generator().manual_seed(seed * sampling.STEP_SEED + k)
        rows.append([torch.randn((config.window, config.features), generator=generator) for _ in range(windows)])
    start = torch.stack([torch.stack(row) for row in rows], dim=1)  # (windows, samples, window, features)
    return Noise(start.expand(clips, -1, -1, -1, -1).to(speaker.audio.device))


@torch.no_grad()
def infer(
    model: PublishedModel,
    speaker: SpeakerClips,
    noise: Noise,
    options: SamplingOptions | None = None,
    edits: Edits | None = None,
    compat: Compat = CORRECTED,
    progress: Callable[[float], None] | None = None,
    plain: bool = False,
) -> Prediction:
    """Reactions (C, K, L, features) to C clips, K samples each, in windows that are independent of one another.

    `edits` of one listener serve all clips; edits of C listeners pair listener i with clip i. To pair one clip with
    many listeners, repeat the clip (`repeat_speaker`). The render variant's corrected way, in which every window
    continues the one before, is `sampling.sample_sequence`; this function always makes isolated windows
    (`compat.isolated_windows`). `plain`: see `sampling.guidance_of`.
    """
    options = replace(options or SamplingOptions(), discard_last_call=compat.discard_last_call)
    windows = window_conditions(model, speaker, options, compat)
    windowing = window_layout(model, speaker.audio.shape[1], options)
    samples = noise.decoder.shape[2]
    prior = None
    if model.prior is not None and noise.prior is not None:
        prior = prior_latents(model.prior, windows, noise.prior, options)
    start, steps = noise.decoder.expand(-1, windowing.count, -1, -1, -1), noise.decoder_steps
    out, done, rows = torch.empty_like(start), 0, start[..., 0, 0].numel()
    for clip, window, predict in guided_windows(model.denoiser, windows, samples, options, edits, plain):
        draws = None if steps is None else steps[:, clip, window].flatten(1, 3)
        if progress is not None:
            batch = start[clip, window].flatten(0, 2).shape[0]
            predict = sampling.reporting(
                predict, options.steps, sampling.share_of(progress, done / batch, rows / batch)
            )
        x = options.denoise_window(
            predict, start[clip, window].flatten(0, 2), step_noise=sampling.StepNoise(options.eta, draws)
        )
        out[clip, window] = x.unflatten(0, out[clip, window].shape[:3])
        done += len(x)
        if progress is not None:
            progress(done / rows)
    reactions = windowing.join(out)
    if model.variant == "emotion" and not compat.out_of_range:
        reactions = clamp_attributes(reactions)
    return Prediction(reactions, prior)


def guided_windows(
    denoiser: Denoiser,
    windows: Mapping[str, Tensor],
    samples: int,
    options: SamplingOptions,
    edits: Edits | None = None,
    plain: bool = False,
) -> Iterator[tuple[slice, slice, Predict]]:
    """Clips, their windows, and the guided prediction for these, as many at a time as are denoised together.

    `windows`: see `window_conditions`; with the edits of C listeners, listener i is for clip i. A prediction takes rows
    (clip, window, sample). Raises ValueError for edits of another number of listeners.
    """
    used = {name: value for name, value in windows.items() if name in denoiser.config.conditions}
    clips, count = next(iter(used.values())).shape[:2]
    listeners = next(iter(edits.values())).listener_count if edits else 1
    if listeners not in (1, clips):
        raise ValueError(f"edits of {listeners} listeners for {clips} clips: expected 1 or {clips}")
    for i in range(listeners):
        of_listener = edits and {name: edit.of_listener(i) for name, edit in edits.items()}
        guided = sampling.guidance_of(denoiser, of_listener, plain)
        own_clips = slice(0, clips) if listeners == 1 else slice(i, i + 1)
        for clip, window in _row_batches(own_clips, count, samples, windows["audio"].device):
            conditions = {name: value[clip, window].flatten(0, 1) for name, value in used.items()}
            yield clip, window, guided(conditions, options.guidance, samples=samples)


def window_conditions(
    model: PublishedModel, speaker: SpeakerClips, options: SamplingOptions, compat: Compat = CORRECTED
) -> dict[str, Tensor]:
    """Conditions of every window, name -> (C, n, frames, channels), audio scaled as the variant wants it."""
    windowing = window_layout(model, speaker.audio.shape[1], options)
    windows = {"coefficients": windowing.cut(speaker.coefficients)}
    if model.variant == "emotion":
        windows["audio"] = windowing.cut(speaker.audio)
    elif compat.audio_range_over_call:
        windows["audio"] = scale_to_unit_range(windowing.cut(speaker.audio))
    else:
        low, high = speaker.audio.amin((1, 2), keepdim=True), speaker.audio.amax((1, 2), keepdim=True)
        windows["audio"] = (windowing.cut(speaker.audio) - low[:, None]) / (high - low).clamp(min=1e-6)[:, None]
    if model.autoencoder is not None and speaker.attributes is not None:
        attributes = windowing.cut(speaker.attributes)
        latent = model.autoencoder.encode(attributes.flatten(0, 1))
        windows["speaker_latent"] = latent[:, None].unflatten(0, attributes.shape[:2])
    elif model.variant == "emotion":
        raise ValueError("the emotion variant needs the speaker's attributes and the attribute autoencoder")
    return windows


@torch.no_grad()
def prior_latents(prior: Prior, windows: Mapping[str, Tensor], noise: Tensor, options: SamplingOptions) -> Tensor:
    """The prior's latents (C, n, K, 1, width), denoised from `noise` of that shape, every step clamped."""
    conditions = {name: windows[name].flatten(0, 1) for name in ("audio", "speaker_latent", "coefficients")}
    predict = guided_prior(prior, conditions, options.prior_guidance, noise.shape[2])
    latents = sampling.ddim(predict, noise.flatten(0, 2), options.prior_steps, clamp=1.0, discard_last_call=True)
    return latents.unflatten(0, noise.shape[:3])


def guided_prior(
    prior: Prior, conditions: Mapping[str, Tensor], scale: float, samples: int = 1
) -> Callable[[Tensor, int], Tensor]:
    """Null + scale * (conditional - null) as a function (x_t (N * samples, 1, width), t) -> x0.

    Scale 1 needs the conditional pass alone. Conditions are name -> (N, frames, channels).
    """
    memory = _repeated_memory(prior.prepare(conditions), samples)

    def call(x: Tensor, t: int, memory: PriorMemory) -> Tensor:
        return prior(x, torch.full((len(x),), t, device=x.device), memory)

    if scale == 1.0:
        return lambda x, t: call(x, t, memory)
    count = len(conditions["audio"])
    dropped = {name: torch.zeros(count, device=conditions["audio"].device) for name in conditions}
    null = _repeated_memory(prior.prepare(conditions, dropped), samples)

    def predict(x: Tensor, t: int) -> Tensor:
        unconditional = call(x, t, null)
        return unconditional + scale * (call(x, t, memory) - unconditional)

    return predict


def scale_to_unit_range(x: Tensor, over: Tensor | None = None) -> Tensor:
    """(x - min) / (max - min), extremes over the whole of `over` (default: x); a constant one becomes zeros."""
    over = x if over is None else over
    low, high = over.min(), over.max()
    return (x - low) / (high - low).clamp(min=1e-12)


def clamp_attributes(attributes: Tensor) -> Tensor:
    """Attributes (…, 25) with every column inside its own range."""
    low = torch.tensor([low for low, _, count in ATTRIBUTE_RANGE for _ in range(count)], device=attributes.device)
    high = torch.tensor([high for _, high, count in ATTRIBUTE_RANGE for _ in range(count)], device=attributes.device)
    return attributes.clamp(low, high)


def repeat_speaker(speaker: SpeakerClips, listeners: int) -> SpeakerClips:
    """One clip (1, L, ·) for each of several listeners."""
    attributes = None if speaker.attributes is None else speaker.attributes.expand(listeners, -1, -1)
    return SpeakerClips(
        speaker.audio.expand(listeners, -1, -1), speaker.coefficients.expand(listeners, -1, -1), attributes
    )


def _row_batches(clips: slice, windows: int, samples: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Clips and windows to denoise together: several whole clips, or some windows of one, in shares of nearly one size.

    A window's samples stay together, because they have one memory.
    """
    at_once = max(1, ROWS_AT_ONCE.get(device.type, ROWS_AT_ONCE["cpu"]) // samples)  # windows
    if windows <= at_once:
        step = at_once // windows
        for first in range(clips.start, clips.stop, step):
            yield slice(first, min(first + step, clips.stop)), slice(0, windows)
        return
    calls = -(-windows // at_once)
    for clip in range(clips.start, clips.stop):
        for i in range(calls):
            yield slice(clip, clip + 1), slice(i * windows // calls, (i + 1) * windows // calls)


def _repeated_memory(memory: PriorMemory, samples: int) -> PriorMemory:
    if samples == 1:
        return memory
    keys, values = (
        [tensor.repeat_interleave(samples, dim=0) for tensor in layers] for layers in (memory.keys, memory.values)
    )
    return PriorMemory(keys, values, memory.length)
