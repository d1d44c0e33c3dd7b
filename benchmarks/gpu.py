"""All there is on CUDA, checked and timed in one table; under 8 minutes on a card.

    python -m benchmarks.gpu                        on the first CUDA device
    python -m benchmarks.gpu --device cpu --tiny    small sizes, to see that it runs; what needs CUDA says so

Both published variants at full size, ten samples of 30 s, in float32, TF32 and bfloat16, one kernel after another, as a
CUDA graph of all 50 steps, and compiled, each against the plain path in float32; rows at once; the corrected windows,
one after another; PIRender; the mesh by OpenGL. Weights are random (benchmarks/published.py). *Published order* is one
step of that order, timed and times 50: ten calls with one sample each, as the published evaluation makes them, and one
call with ten. Every part stands alone: one that fails or has no time left is a line that says so. Seconds of the wall
clock, medians of three.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.published import GUIDANCE, STEPS, TINY, VARIANTS, Case, Size
from perfrdiff import sampling
from perfrdiff.models.fast_denoiser import FastDenoiser, Predict
from perfrdiff.published import inference
from renderer.backends import GLBackend
from renderer.face_model import load_face_model, neutral_coefficients
from renderer.mesh import MeshRenderer
from renderer.portrait.pirender.architecture import WINDOW, Architecture
from renderer.portrait.pirender.network import Network
from renderer.portrait.pirender.reference import ReferencePIRender
from renderer.portrait.pirender.synthetic_weights import synthetic_weights

SAMPLES, ROUNDS = 10, 3
MARK_SECONDS, MARK_RATIO, MARK_OFF = 0.5, 30.0, 1e-4  # exact, on an H200-class card
TINY_PIRENDER = Architecture(
    descriptor=16, warping_channels=(4, 8, 8, 8, 8, 8), decoder_channels=(8, 8, 8), editing_channels=(4, 8, 8, 8)
)
PRECISIONS = ("float32", "TF32", "bfloat16")


@dataclass
class Run:
    """What is measured, where, until when, and the lines so far."""

    device: torch.device
    tiny: bool
    until: float  # time.monotonic()
    lines: list[dict] = field(default_factory=list)

    @property
    def on_card(self) -> bool:
        return self.device.type == "cuda"

    @property
    def steps(self) -> int:
        """Denoising steps of a clip."""
        return 3 if self.tiny else STEPS

    def case(self, variant: str, samples: int | None = None) -> Case:
        """What is timed of a variant, ten samples where nothing else is said."""
        size, usual = (TINY, 2) if self.tiny else (Size(), SAMPLES)
        return Case(variant, usual if samples is None else samples, size, str(self.device), self.steps)

    def add(self, what: str, value: float | str, unit: str = "s", **more: object) -> None:
        """A line of the table, printed at once."""
        self.lines.append({"what": what, "value": value, "unit": unit, **more})
        number = value if isinstance(value, str) else f"{value:.4g} {unit}"
        print(f"| {what} | {number} | {', '.join(f'{name} {words}' for name, words in more.items())} |", flush=True)

    def part(self, what: str, work: Callable[[], None], needs_card: bool = False) -> None:
        """Do a part of the whole; nothing that happens in it stops the others."""
        if needs_card and not self.on_card:
            self.add(what, "left out: needs CUDA")
        elif time.monotonic() > self.until:
            self.add(what, "left out: no time")
        else:
            try:
                work()
            except Exception as error:  # a table with a hole is worth more than none
                self.add(what, f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
                if self.on_card:
                    torch.cuda.empty_cache()

    def seconds(self, work: Callable[[], object], rounds: int = ROUNDS) -> float:
        """Of the wall clock, the device's queue emptied; the median after one run that does not count."""
        times = []
        for _ in range(1 + (1 if self.tiny else rounds)):
            started = time.perf_counter()
            work()
            if self.on_card:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
        return statistics.median(times[1:])


class Graph:
    """A function of tensors as a CUDA graph: recorded once, then replayed without a launch for each kernel."""

    def __init__(self, function: Callable[..., Tensor], *inputs: Tensor):
        self.inputs = [value.clone() for value in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # what is made once, is made here
            for _ in range(2):
                function(*self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = function(*self.inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        for own, value in zip(self.inputs, inputs, strict=True):
            own.copy_(value)
        self.graph.replay()
        return self.output


@contextmanager
def precision(name: str) -> Iterator[None]:
    """float32 products as such, or in TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if name == "TF32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Whole:
    """All windows and samples of a clip, denoised to the end."""

    def __init__(self, case: Case, denoiser: torch.nn.Module, plain: bool = False):
        arguments = denoiser, case.windows, case.samples, case.options, None, plain
        self.options, self.x = case.options, case.x
        self.parts = list(inference.guided_windows(*arguments))

    def denoise(self, predict: Predict, noise: Tensor) -> Tensor:
        """From noise to windows in 50 steps."""
        return self.options.denoise_window(predict, noise)

    def one_by_one(self) -> Callable[[], Tensor]:
        """One kernel after another."""
        return self.with_each(lambda predict: lambda noise: self.denoise(predict, noise))

    def with_each(self, way: Callable[[Predict], Callable[[Tensor], Tensor]]) -> Callable[[], Tensor]:
        """`way` prepared for every part; a function that runs them all."""
        ready = [(way(predict), self.x[clip, window].flatten(0, 2)) for clip, window, predict in self.parts]
        return lambda: torch.cat([run(noise) for run, noise in ready])

    def graphed(self) -> Callable[[], Tensor]:
        """All steps of a part as one CUDA graph."""
        first = self.x[self.parts[0][0], self.parts[0][1]].flatten(0, 2)
        assert len(self.parts) == 1, f"{len(first)} rows at once are too few for one graph"
        return self.with_each(lambda predict: Graph(lambda noise: self.denoise(predict, noise), first))

    def compiled(self) -> Callable[[], Tensor]:
        """The network compiled, the steps one after another."""

        def way(predict: Predict) -> Callable[[Tensor], Tensor]:
            guided = predict.__self__  # type: ignore[attr-defined]
            guided.denoise = torch.compile(guided.denoise, dynamic=False)
            return lambda noise: self.denoise(predict, noise)

        return self.with_each(way)


def networks(run: Run, variant: str) -> None:
    """One variant: the published order, the definition, and ours in every precision."""
    case = run.case(variant)
    one_by_one = run.steps * case.samples * run.seconds(run.case(variant, 1).published_order)
    run.add(f"{variant}: published order, {case.samples} calls with one sample", one_by_one)
    run.add(f"{variant}: published order, one call", run.steps * run.seconds(case.published_order))
    plain = Whole(case, case.denoiser, plain=True)
    exact = plain.one_by_one()()
    run.add(f"{variant}: plain, float32", run.seconds(plain.one_by_one(), 1))
    for name in PRECISIONS:
        denoiser = deepcopy(case.denoiser).to(torch.bfloat16) if name == "bfloat16" else case.denoiser

        def line(words: str, ready: Callable[[Whole], Callable[[], Tensor]], name: str, whole: Whole) -> None:
            work = ready(whole)
            taken, off = run.seconds(work), float((work() - exact).abs().max())
            more: dict[str, object] = {"× published": f"{one_by_one / taken:.1f}", "off by": f"{off:.0e}"}
            if name == "float32" and run.on_card and not run.tiny:
                kept = taken <= MARK_SECONDS and one_by_one / taken >= MARK_RATIO and off < MARK_OFF
                more["mark"] = "kept" if kept else f"missed ({MARK_SECONDS} s, {MARK_RATIO:.0f} ×, {MARK_OFF:.0e})"
            run.add(f"{variant}: {name}{words}", taken, **more)

        with precision(name):
            whole = Whole(case, denoiser)
            for words, ready in {"": Whole.one_by_one, ", graph": Whole.graphed, ", compiled": Whole.compiled}.items():
                arguments = words, ready, name, whole
                run.part(f"{variant}: {name}{words}", partial(line, *arguments), needs_card=bool(words))


def rows_at_once(run: Run) -> None:
    """One step by how many windows and samples share it."""
    for name in ("float32", "TF32"):
        for samples in (1, 10, 40):
            case = run.case("render", samples)
            with precision(name):
                case.set_up()
                taken = run.seconds(case.step)
            run.add(f"render, one step of {case.rows} rows, {name}", 1000 * taken / case.rows, "ms a row")


def corrected(run: Run) -> None:
    """Windows that continue one another cannot share a call: one of them, times as many as a clip has."""
    case = run.case("render")
    config, fast = case.denoiser.config, FastDenoiser(case.denoiser)
    windows, known = case.x.shape[1], config.window - case.options.slide
    names = ("audio", "coefficients")
    given = [case.windows[name][0, :1].expand(case.samples, -1, -1).contiguous() for name in names]
    past, noise = 0.1 * torch.randn_like(case.x[0, 0]), case.x[0, 0]
    options = replace(case.options, discard_last_call=False)

    def window(audio: Tensor, coefficients: Tensor, past: Tensor, noise: Tensor) -> Tensor:
        conditions = {"audio": audio, "coefficients": coefficients, "past_listener": past}
        predict = fast.guided(conditions, GUIDANCE, names, skipped_frames=known)
        return options.denoise_window(predict, noise, past[:, -known:])

    exact = window(*given, past, noise).clone()
    conditions = dict(zip((*names, "past_listener"), (*given, past), strict=True))
    plain = sampling.guided_denoiser(case.denoiser, conditions, GUIDANCE, None, names)
    off = float((options.denoise_window(plain, noise, past[:, -known:]) - exact).abs().max())
    run.add(
        "render, corrected: float32",
        windows * run.seconds(lambda: window(*given, past, noise)),
        **{"off by": f"{off:.0e}"},
    )

    def graph() -> None:
        for name in ("float32", "TF32"):
            with precision(name):
                recorded = Graph(window, *given, past, noise)
                taken = windows * run.seconds(lambda recorded=recorded: recorded(*given, past, noise))
            off = float((recorded(*given, past, noise) - exact).abs().max())
            run.add(f"render, corrected: {name}, graph", taken, **{"off by": f"{off:.0e}"})

    run.part("render, corrected: graph", graph, needs_card=True)


def pirender(run: Run) -> None:
    """Frames of the photo's network: the published arithmetic and ours."""
    architecture, size, batch = (TINY_PIRENDER, 64, 2) if run.tiny else (Architecture(), 224, 16)
    weights, device = synthetic_weights(architecture), run.device
    generator = torch.Generator().manual_seed(0)
    image = (torch.rand(1, 3, size, size, generator=generator) * 2 - 1).to(device)
    driving = torch.randn(batch, architecture.coefficients, WINDOW, generator=generator).to(device)
    plain = ReferencePIRender({name: value.to(device) for name, value in weights.items()}, architecture)
    many = image.expand(batch, -1, -1, -1)
    exact = plain.outputs(many, driving)["fake_image"]
    frames = {"plain": lambda: plain.outputs(many, driving)["fake_image"]}
    for kind in ("float32", "bfloat16") if run.on_card else ("float32",):
        network = Network(weights, architecture).to(device)
        if run.on_card:
            network.channels_last()
        network.editing_precision = getattr(torch, kind)
        modulations = network.modulations(torch.cat([network.descriptors(each.T) for each in driving]))
        source = network.source(image)
        frames[kind] = lambda network=network, source=source, modulations=modulations: network(source, modulations)
    for kind, draw in frames.items():
        taken, off = run.seconds(draw), float((draw() - exact).abs().max())
        run.add(f"PIRender {size}², {batch} frames, {kind}", batch / taken, "frames/s", **{"off by": f"{off:.0e}"})
    if run.on_card:  # the last of them, compiled
        draw = torch.compile(network, dynamic=False)
        run.part(
            "PIRender, bfloat16, compiled",
            lambda: run.add(
                f"PIRender {size}², bfloat16, compiled",
                batch / run.seconds(lambda: draw(source, modulations)),
                "frames/s",
            ),
        )


def mesh(run: Run) -> None:
    """Frames of the mesh by OpenGL, on whatever driver there is, and by the processor."""
    size, count = (64, 2) if run.tiny else (256, 50)
    face, rows = load_face_model(), neutral_coefficients(count)
    rows[:, :50] += 0.1
    pictures = {}
    for backend in ("cpu", "gl"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without EGL the processor draws, which the line says
            drawer = MeshRenderer(face, size, backend=backend)
        driver = drawer._backend.renderer_name if isinstance(drawer._backend, GLBackend) else "the processor"
        taken = run.seconds(lambda drawer=drawer: list(drawer.render(rows)))
        pictures[backend] = next(drawer.render(rows[:1])).astype(int)
        off = abs(pictures[backend] - pictures["cpu"]).mean()
        run.add(f"mesh {size}², {backend}", count / taken, "frames/s", driver=driver, **{"off by": f"{off:.2f} of 255"})


@torch.inference_mode()
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--minutes", type=float, default=8.0, help="after these no further part is begun")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the lines there")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("torch sees no CUDA device here; --device cpu --tiny shows that the script runs", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU: no figure here is one of a card"
    print(f"{name}, torch {torch.__version__}{', tiny sizes' if options.tiny else ''}\n")
    print("| what | figure | |\n|---|---|---|", flush=True)
    # A part takes a minute at most.
    run = Run(device, options.tiny, time.monotonic() + 60 * (options.minutes - 1))
    for variant in VARIANTS:
        run.part(variant, lambda variant=variant: networks(run, variant))
    run.part("render, corrected", lambda: corrected(run))
    run.part("rows at once", lambda: rows_at_once(run))
    run.part("PIRender", lambda: pirender(run))
    run.part("mesh", lambda: mesh(run))
    if options.json:
        options.json.write_text(json.dumps({"device": name, "lines": run.lines}, indent=2) + "\n")
    return 1 if any(str(line["value"]).startswith("failed") for line in run.lines) else 0


if __name__ == "__main__":
    sys.exit(main())
