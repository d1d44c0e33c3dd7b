"""PIRender: seconds per frame of the plain network and of every faster way, interleaved in the same run.

    python -m benchmarks.pirender [--size 224] [--threads 1] [--rounds 3]

The weights are made by the hash rule, full size; no file is read. On the CPU processor seconds are counted, on a GPU
the wall clock. "plain" is the published arithmetic, dead layers included (docs/method.md 13.12: "reference").
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import torch

from renderer.portrait.pirender.architecture import WINDOW, Architecture
from renderer.portrait.pirender.network import Network
from renderer.portrait.pirender.reference import ReferencePIRender
from renderer.portrait.pirender.synthetic_weights import synthetic_weights


def cpu_ways(size: int) -> dict[str, Callable[[], torch.Tensor]]:
    """Name -> one frame."""
    weights, architecture = synthetic_weights(Architecture()), Architecture()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, size, size, generator=generator) * 2 - 1
    driving = torch.randn(1, architecture.coefficients, WINDOW, generator=generator)
    plain = ReferencePIRender(weights, architecture)
    ways: dict[str, Callable[[], torch.Tensor]] = {"plain": lambda: plain.outputs(image, driving)["fake_image"]}
    kinds = ["arranged", "and Winograd's convolutions"]
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        kinds.append("arranged, editing in bfloat16")
    for kind in kinds:
        network = Network(weights, architecture)
        if kind.startswith("and"):
            network.use_winograd()
        elif kind.endswith("bfloat16"):
            network.editing_precision = torch.bfloat16
        source, modulations = network.source(image), network.modulations(network.descriptors(driving[0].T))
        ways[kind] = lambda network=network, source=source, modulations=modulations: network(source, modulations)
    return ways


def gpu_ways(size: int, batch: int = 16) -> dict[str, Callable[[], torch.Tensor]]:
    """Name -> a batch of frames."""
    weights, architecture = synthetic_weights(Architecture()), Architecture()
    image = torch.rand(1, 3, size, size, device="cuda") * 2 - 1
    driving = torch.randn(batch, architecture.coefficients, WINDOW, device="cuda")
    plain = ReferencePIRender({name: value.cuda() for name, value in weights.items()}, architecture)
    many = image.expand(batch, -1, -1, -1)
    ways: dict[str, Callable[[], torch.Tensor]] = {"plain": lambda: plain.outputs(many, driving)["fake_image"]}
    for kind in ("float32", "bfloat16", "bfloat16, compiled"):
        network = Network(weights, architecture).cuda()
        network.channels_last()
        network.editing_precision = getattr(torch, kind.split(",")[0])
        modulations = network.modulations(torch.cat([network.descriptors(each.T) for each in driving]))
        source = network.source(image)
        draw = torch.compile(network, dynamic=False) if kind.endswith("compiled") else network
        ways[f"batched, {kind}"] = lambda draw=draw, source=source, modulations=modulations: draw(source, modulations)
    return ways


def seconds_of(way: Callable[[], torch.Tensor], gpu: bool) -> tuple[float, torch.Tensor]:
    clock = time.perf_counter if gpu else time.process_time
    start = clock()
    result = way()
    if gpu:
        torch.cuda.synchronize()
    return (clock() - start) / len(result), result


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    gpu = torch.cuda.is_available()
    ways = gpu_ways(options.size) if gpu else cpu_ways(options.size)
    device = torch.cuda.get_device_name() if gpu else torch.backends.cpu.get_cpu_capability()
    print(f"{options.size} px, {device}, {options.threads} of {os.cpu_count()} threads")
    wanted = {name: seconds_of(way, gpu)[1] for name, way in ways.items()}  # also compiles
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(options.rounds):
        for name, way in ways.items():
            best[name] = min(best[name], seconds_of(way, gpu)[0])
    for name, seconds in best.items():
        off = float((wanted[name] - wanted["plain"]).abs().max())
        print(f"{name:32} {seconds:8.3f} s a frame   {best['plain'] / seconds:5.2f} x plain   off by {off:.0e}")


if __name__ == "__main__":
    main()
