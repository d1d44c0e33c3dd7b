"""The published networks: the fast path against the published order of work, in the same run.

    python -m benchmarks.published                  both variants, 1 and 10 samples, 30 s, one thread: some ten minutes
    python -m benchmarks.published --samples 10 --seconds 10 --rounds 2
    python -m benchmarks.published --tiny           small networks and 6 s, to see that it runs
    python -m benchmarks.published --rows 4 16 96   how many windows to denoise together
    python -m benchmarks.published --profile        where the time of one step goes

Weights are random, by the written recipe (docs/method.md 17.1). *Published order*: at each of 50 steps the prior, whose
output nothing reads, the projections of the speaker and their keys and values, and both branches of all samples in one
call. *Plain*: `sampling.guided_denoiser`, the definition. *Ours*: `FastDenoiser`, set-up included. A whole clip is 50
steps and the set-up; both are timed by themselves, in processor seconds, the ways in turns; ratios are medians over the
rounds. *of matmul*: floating-point operations of our matrix products and attention (torch's counter) a second, by those
of a product of 800 x 512 and 512 x 1024 in the same round. Memory is the peak of a process that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from perfrdiff import sampling
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.prior import Prior, PriorConfig
from perfrdiff.published import inference
from perfrdiff.published.compat import PUBLISHED

VARIANTS = ("emotion", "render")
STEPS, GUIDANCE = 50, 7.5
MARK_RATIO, MARK_RATE, MARK_MEMORY = 2.6, 0.75, 1.0  # by the published order, of matmul, GiB
COUNTED = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v)
}


@dataclass(frozen=True)
class Size:
    """What is timed."""

    frames: int = 750
    width: int = 512
    layers: int = 7
    feedforward: int = 1024


TINY = Size(150, 64, 2, 96)


def model(variant: str, size: Size) -> inference.PublishedModel:
    """Denoiser and prior of a variant with random weights."""
    torch.manual_seed(0)
    sizes = {"width": size.width, "layers": size.layers, "feedforward": size.feedforward}
    if variant == "emotion":
        widths = {"audio": 78, "coefficients": 58, "speaker_latent": size.width}
        config = DenoiserConfig(
            variant="emotion", features=25, heads=4, audio_scale=size.width**-0.5, condition_widths=widths,
            drop_probability=dict.fromkeys(widths, 0.2), **sizes,
        )  # fmt: skip
    else:
        config = DenoiserConfig(**sizes)
    prior = Prior(PriorConfig(width=size.width))
    return inference.PublishedModel(_recipe(Denoiser(config)), prior=_recipe(prior))


@torch.no_grad()
def _recipe(network: torch.nn.Module) -> torch.nn.Module:
    """Weights by docs/method.md 17.1: matrices randn / sqrt(in), gains near 1, other vectors small."""
    for name, value in network.named_parameters():
        noise = torch.randn(value.shape)
        if value.ndim > 1:
            value.copy_(noise / value.shape[-1] ** 0.5)
        else:
            value.copy_(0.1 * noise + (1 if "norm" in name and name.endswith(("weight", "gain")) else 0))
    return network.eval().requires_grad_(False)


class Case:
    """One variant with a number of samples, in every way."""

    def __init__(self, variant: str, samples: int, size: Size, device: str = "cpu", steps: int = STEPS):
        self.model, self.samples = model(variant, size), samples
        self.denoiser, self.prior = self.model.denoiser.to(device), self.model.prior.to(device)
        layout = inference.window_layout(self.model, size.frames, sampling.SamplingOptions())
        generator = torch.Generator().manual_seed(1)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(device)

        audio, coefficients = normal(1, size.frames, 78), normal(1, size.frames, 58)
        self.windows = {"audio": layout.cut(audio), "coefficients": layout.cut(coefficients)}
        self.windows["speaker_latent"] = normal(1, layout.count, 1, size.width)
        config = self.denoiser.config
        self.x = normal(1, layout.count, samples, config.window, config.features)
        self.latent = normal(layout.count * samples, 1, size.width)
        self.options = sampling.SamplingOptions(steps=steps, guidance=GUIDANCE, discard_last_call=True)
        self.predictions: list = []

    @property
    def rows(self) -> int:
        """Windows times samples."""
        return self.x[..., 0, 0].numel()

    def _all_rows(self) -> dict[str, Tensor]:
        return {name: value.flatten(0, 1).repeat_interleave(self.samples, 0) for name, value in self.windows.items()}

    def published_order(self) -> Tensor:
        """One step as the published code does it."""
        conditions = self._all_rows()
        inference.guided_prior(self.prior, conditions, 1.0)(self.latent, 480)
        used = {name: value for name, value in conditions.items() if name in self.denoiser.config.conditions}
        return sampling.guided_denoiser(self.denoiser, used, GUIDANCE)(self.x.flatten(0, 2), 480)

    def set_up(self, plain: bool = False) -> None:
        """What is done once for a clip."""
        arguments = self.denoiser, self.windows, self.samples, self.options, None, plain
        self.predictions = [(self.x[part[:2]].flatten(0, 2), part[2]) for part in inference.guided_windows(*arguments)]

    def step(self) -> Tensor:
        """One step of all rows."""
        return torch.cat([predict(x, 480) for x, predict in self.predictions])

    def operations(self) -> int:
        """Floating-point operations of `step`, of its matrix products and attention."""
        with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
            self.step()
        return counter.get_total_flops()


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds."""
    started = time.process_time()
    work()
    return time.process_time() - started


def matmul_rate() -> float:
    """Operations a second of a plain product."""
    x, weight = torch.randn(800, 512), torch.randn(1024, 512)
    times = [seconds(lambda: F.linear(x, weight)) for _ in range(20)]
    return 2 * 800 * 512 * 1024 / statistics.median(times)


def row(variant: str, samples: int, size: Size, rounds: int) -> tuple[str, bool]:
    """A line of the table, and whether it keeps the marks."""
    case = Case(variant, samples, size)
    case.set_up()
    operations = case.operations()
    measured: dict[str, list[float]] = {name: [] for name in ("order", "plain", "set-up", "ours", "share")}
    for _ in range(rounds):
        measured["order"].append(seconds(case.published_order))
        case.set_up(plain=True)
        measured["plain"].append(seconds(case.step))
        measured["set-up"].append(seconds(case.set_up))
        rate = matmul_rate()
        measured["ours"].append(seconds(case.step))
        measured["share"].append(operations / measured["ours"][-1] / statistics.mean([rate, matmul_rate()]))
    clip = [set_up + STEPS * step for set_up, step in zip(measured["set-up"], measured["ours"], strict=True)]
    ratios = [STEPS * order / ours for order, ours in zip(measured["order"], clip, strict=True)]
    ratio, share = statistics.median(ratios), statistics.median(measured["share"])
    plain = statistics.median(STEPS * one / ours for one, ours in zip(measured["plain"], clip, strict=True))
    gib = _peak_of_a_process(variant, samples, size)
    off = difference(variant, size)
    kept = ratio >= MARK_RATIO and share >= MARK_RATE and gib <= MARK_MEMORY and off < 1e-4
    return (
        f"| {variant} | {samples} | {STEPS * statistics.median(measured['order']):.0f} | {statistics.median(clip):.1f} "
        f"| {1000 * statistics.median(measured['ours']) / case.rows:.1f} | **{ratio:.2f}** "
        f"({min(ratios):.2f} … {max(ratios):.2f}) | {plain:.2f} | {share:.0%} | {gib:.2f} | {off:.0e} |"
    ), kept


def difference(variant: str, size: Size) -> float:
    """Largest difference of whole reactions, 50 steps of a window and two samples, fast and plain."""
    chosen = model(variant, size)
    conditions = {"audio": (1, 50, 78), "coefficients": (1, 50, 58)}
    generator = torch.Generator().manual_seed(2)
    speaker = inference.SpeakerClips(*(torch.randn(shape, generator=generator) for shape in conditions.values()))
    options = sampling.SamplingOptions(steps=STEPS, guidance=GUIDANCE)
    if variant == "emotion":
        speaker, chosen = _with_attributes(speaker, chosen, size)
    noise = inference.seeded_noise(chosen, speaker, 2, options, 0)
    ours, plain = (
        inference.infer(chosen, speaker, noise, options, compat=PUBLISHED, plain=plain).reactions
        for plain in (False, True)
    )
    return float((ours - plain).abs().max())


def _with_attributes(
    speaker: inference.SpeakerClips, chosen: inference.PublishedModel, size: Size
) -> tuple[inference.SpeakerClips, inference.PublishedModel]:
    """What the emotion variant listens to besides."""
    from perfrdiff.models.autoencoder import AutoencoderConfig, WindowAutoencoder

    torch.manual_seed(3)
    attributes = torch.rand(1, speaker.audio.shape[1], 25)
    autoencoder = WindowAutoencoder(AutoencoderConfig(hidden=size.width, code=size.width)).eval()
    return replace(speaker, attributes=attributes), replace(chosen, autoencoder=autoencoder)


def corrected(samples: int, size: Size, rounds: int) -> str:
    """A line on the render variant's corrected windows, each of which continues the one before."""
    case = Case("render", samples, size)
    conditions = {**case._all_rows(), "past_listener": 0.1 * torch.randn(case.rows, case.denoiser.config.window, 58)}
    names = case.denoiser.config.conditions
    one = {name: conditions[name][:samples] for name in names}
    over, x, known = ("audio", "coefficients"), case.x[0, 0], case.denoiser.config.window - case.options.slide
    set_up, steps, ratios, plains = [], [], [], []
    for _ in range(rounds):
        order = seconds(case.published_order) / case.x.shape[1]
        plain = sampling.guided_denoiser(case.denoiser, one, GUIDANCE, None, over)
        plains.append(seconds(lambda plain=plain: plain(x, 480)))
        guided = sampling.guidance_of(case.denoiser)
        set_up.append(seconds(lambda guided=guided: guided(one, GUIDANCE, over, samples=1, skipped_frames=known)))
        fast = guided(one, GUIDANCE, over, samples=1, skipped_frames=known)
        fast(x, 480)
        steps.append(seconds(lambda fast=fast: [fast(x, 480) for _ in range(3)]) / 3)
        ratios.append(STEPS * order / (set_up[-1] + STEPS * steps[-1]))
    step = statistics.median(steps)
    whole = statistics.median(set_up) + STEPS * step
    return (
        f"| render, corrected | {samples} | | {case.x.shape[1] * whole:.1f} | {1000 * step / samples:.1f} "
        f"| {statistics.median(ratios):.2f} | {STEPS * statistics.median(plains) / whole:.2f} | | | |"
    )


def peak(variant: str, samples: int, size: Size) -> float:
    """GiB this process has had resident at most, after two steps of a whole clip."""
    case = Case(variant, samples, size)
    arguments = case.denoiser, case.windows, samples, replace(case.options, steps=2)
    for clip, window, predict in inference.guided_windows(*arguments):
        arguments[3].denoise_window(predict, case.x[clip, window].flatten(0, 2))
    # Not getrusage: its maximum is that of the process which started this one, where that is larger.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 2**20


def _peak_of_a_process(variant: str, samples: int, size: Size) -> float:
    """`peak` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.published", "--peak", variant, str(samples)]
    command += ["--tiny"] if size == TINY else ["--seconds", str(size.frames / 25)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def rows_at_once(counts: Sequence[int], size: Size, rounds: int) -> None:
    """Milliseconds a row and step, by how many rows are denoised together; and whether the numbers are the same."""
    for variant in VARIANTS:
        for samples in (1, 10):
            case, times, results = Case(variant, samples, size), {count: [] for count in counts}, {}
            for _ in range(rounds):
                for count in counts:
                    inference.ROWS_AT_ONCE = {"cpu": count}
                    case.set_up()
                    results[count] = case.step()
                    times[count].append(1000 * seconds(case.step) / case.rows)
            first = results[counts[0]]
            off = {count: float((results[count] - first).abs().max()) for count in counts}
            words = ", ".join(
                f"{count}: {statistics.median(times[count]):.1f} (off {off[count]:.0e})" for count in counts
            )
            print(f"{variant}, {samples} samples, ms a row and step by rows at once: {words}", flush=True)


def profiled(size: Size) -> None:
    """The operators of one step of 16 rows."""
    from torch.profiler import ProfilerActivity, profile

    for variant in VARIANTS:
        case = Case(variant, 1, size)
        case.set_up()
        case.step()
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            case.step()
        entries = sorted(profiler.key_averages(), key=lambda entry: -entry.self_cpu_time_total)
        whole = sum(entry.self_cpu_time_total for entry in entries)
        print(f"{variant}: " + ", ".join(f"{one.key} {one.self_cpu_time_total / whole:.1%}" for one in entries[:10]))


@torch.inference_mode()
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--seconds", type=float, default=30.0, help="of the clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="small networks and a short clip; no mark is checked")
    parser.add_argument("--rows", type=int, nargs="+", help="compare these numbers of rows at once instead")
    parser.add_argument("--profile", action="store_true", help="the operators of a step instead")
    parser.add_argument("--peak", nargs=2, metavar=("VARIANT", "K"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    size = TINY if options.tiny else Size(round(25 * options.seconds))
    if options.peak:
        print(peak(options.peak[0], int(options.peak[1]), size))
        return 0
    if options.rows:
        rows_at_once(options.rows, size, options.rounds)
        return 0
    if options.profile:
        profiled(size)
        return 0
    print(
        f"{size.frames / 25:g} s, {STEPS} steps, {options.threads} of {os.cpu_count()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}, load average {os.getloadavg()[0]:.1f}; processor seconds.\n\n"
        "| variant | K | published order, s | ours, s | ours, ms a row and step | × published order | × plain "
        "| of matmul | peak GiB | off by |\n|---|---|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    all_kept = True
    for samples in options.samples:
        for variant in VARIANTS:
            line, kept = row(variant, samples, size, options.rounds)
            print(line, flush=True)
            all_kept &= kept
        print(corrected(samples, size, options.rounds), flush=True)
    print(
        f"\nMarks: {MARK_RATIO} × the published order, {MARK_RATE:.0%} of matmul, {MARK_MEMORY:g} GiB, 1e-4: "
        + ("not checked on a tiny size" if options.tiny else "kept" if all_kept else "missed, see --profile")
    )
    return 0 if all_kept or options.tiny else 1


if __name__ == "__main__":
    sys.exit(main())
