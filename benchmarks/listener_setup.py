"""What a listener costs: the weight editor once per listener against once per sample, and the peak memory of sampling.

    python -m benchmarks.listener_setup [--samples 10] [--seconds 30] [--steps 3] [--threads 1]

Full-size render variant with random weights: set-up with the published dense editor's sizes (its smallest branch is
timed and scaled up, the whole has 1.1 billion numbers) and with the low-rank editor; then reactions, both ways, in this
process. CPU seconds are counted, not the wall clock: the machine may be busy with other things. Memory does not depend
on the number of denoising steps, so a few are enough.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--samples", type=int, default=10)
parser.add_argument("--seconds", type=float, default=30.0)
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--rank", type=int, default=8)
parser.add_argument("--threads", type=int, default=1)
OPTIONS = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(OPTIONS.threads)

import torch  # noqa: E402

from perfrdiff import sampling  # noqa: E402
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig  # noqa: E402
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig  # noqa: E402
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets  # noqa: E402
from perfrdiff.published import inference  # noqa: E402

MAX_MEMORY = 4.0  # GiB
ROUNDS = 3


def cpu_seconds(work: Callable[[], object]) -> float:
    """The best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def peak_memory() -> float:
    """GiB this process has had resident at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


@torch.no_grad()
def main() -> int:
    torch.set_num_threads(OPTIONS.threads)
    torch.manual_seed(0)
    config = DenoiserConfig()
    denoiser = Denoiser(config).eval()
    encoder = StyleEncoder(StyleEncoderConfig()).eval()
    targets = render_targets(config)
    editor = WeightEditor(WeightEditorConfig(rank=OPTIONS.rank, targets=targets)).eval()
    model = inference.PublishedModel(denoiser, style_encoder=encoder, weight_editor=editor)
    frames = round(OPTIONS.seconds * 25)
    behaviour = 0.1 * torch.randn(1, 750, config.features)

    low_rank = cpu_seconds(lambda: inference.personal_edits(model, behaviour))
    encoding = cpu_seconds(lambda: encoder(behaviour))
    name, (rows, columns) = next(iter(targets.items()))
    smallest_branch = WeightEditor(WeightEditorConfig(targets={name: (rows, columns)})).eval()
    share = rows * columns / sum(r * c for r, c in targets.values())
    style = encoder(behaviour)
    dense = encoding + cpu_seconds(lambda: smallest_branch(style)) / share
    numbers = sum(value.numel() for value in editor.parameters())
    print(f"style of 30 s of behaviour             {encoding:8.3f} CPU-s")
    print(f"set-up, rank {OPTIONS.rank:2} editor ({numbers / 1e6:5.1f} M)     {low_rank:8.3f} CPU-s per listener")
    print(
        f"the same once per sample, as published {low_rank * OPTIONS.samples:8.3f} CPU-s for {OPTIONS.samples} samples"
    )
    print(f"set-up, dense editor (1107 M, scaled)  {dense:8.3f} CPU-s per listener")
    print(f"the same once per sample, as published {dense * OPTIONS.samples:8.3f} CPU-s for {OPTIONS.samples} samples")

    edits = inference.personal_edits(model, behaviour)
    streams = {"audio": torch.randn(frames, 78), "coefficients": 0.1 * torch.randn(frames, 58)}
    guided = sampling.SamplingOptions(OPTIONS.steps, 7.5, ("audio", "coefficients"), 25, 1.0)
    words = f"{OPTIONS.samples} x {OPTIONS.seconds:g} s, {OPTIONS.steps} steps"
    started = time.process_time()
    sampling.sample_sequence(denoiser, streams, OPTIONS.samples, 0, guided, edits)
    print(
        f"{words}, corrected:  {time.process_time() - started:7.1f} CPU-s, peak memory so far {peak_memory():.2f} GiB"
    )
    speaker = inference.SpeakerClips(*(stream[None] for stream in streams.values()))
    options = inference.SamplingOptions(steps=OPTIONS.steps)
    noise = inference.seeded_noise(model, speaker, OPTIONS.samples, options, 0)
    started = time.process_time()
    inference.infer(model, speaker, noise, options, edits, inference.Compat.named("published"))
    print(
        f"{words}, published:  {time.process_time() - started:7.1f} CPU-s, peak memory so far {peak_memory():.2f} GiB"
    )
    return 0 if peak_memory() < MAX_MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
