"""What a listener costs: the weight editor once per listener against once per sample, and the peak memory of sampling.

    python -m benchmarks.listener_setup [--samples 10] [--seconds 30] [--steps 3] [--threads 1]
    python -m benchmarks.listener_setup --busy    the set-up alone, idle and beside a process that burns a core

Full-size render variant with random weights: set-up with the published dense editor's sizes (its smallest branch is
timed and scaled up, the whole has 1.1 billion numbers) and with the low-rank editor; then reactions, both ways, in this
process. CPU seconds are counted, not the wall clock: the machine may be busy with other things. Memory does not depend
on the number of denoising steps, so a few are enough.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--samples", type=int, default=10)
parser.add_argument("--seconds", type=float, default=30.0)
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--rank", type=int, default=8)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--busy", action="store_true", help="how much longer a set-up takes on a busy machine")
parser.add_argument("--time-setup", action="store_true", help=argparse.SUPPRESS)  # the child process of --busy
OPTIONS = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(OPTIONS.threads)

import numpy as np  # noqa: E402
import torch  # noqa: E402

from perfrdiff import sampling  # noqa: E402
from perfrdiff.coefficients import neutral  # noqa: E402
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig  # noqa: E402
from perfrdiff.models.style_encoder import StyleEncoder, StyleEncoderConfig  # noqa: E402
from perfrdiff.models.weight_editor import WeightEditor, WeightEditorConfig, render_targets  # noqa: E402
from perfrdiff.published import inference  # noqa: E402
from perfrdiff.reactor import Reactor  # noqa: E402

MAX_MEMORY = 4.0  # GiB
ROUNDS = 3
BUSY_ROUNDS = 5
MARK_BUSY = 1.5  # times as long as on an idle machine


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
def time_setup() -> None:
    """Print the wall seconds of a listener's set-up, idle and busy in turns: of full size, and with the demo weights.

    The full size runs on all of torch's threads, as it does in a run; the demo weights choose one by themselves.
    """
    torch.manual_seed(0)
    config = DenoiserConfig()
    editor = WeightEditor(WeightEditorConfig(rank=OPTIONS.rank, targets=render_targets(config))).eval()
    encoder = StyleEncoder(StyleEncoderConfig()).eval()
    model = inference.PublishedModel(Denoiser(config).eval(), style_encoder=encoder, weight_editor=editor)
    behaviour = 0.1 * torch.randn(1, 750, config.features)
    demo = Reactor.load("demo", "cpu")
    rows = np.repeat(neutral()[None], 750, axis=0)
    rows += 0.02 * np.random.default_rng(0).standard_normal(rows.shape).astype(np.float32)
    works: dict[str, Callable[[], object]] = {
        "full": lambda: [inference.personal_edits(model, behaviour) for _ in range(4)],
        "demo": lambda: demo.set_listener(rows),
    }
    for work in works.values():
        work()
    for _ in range(BUSY_ROUNDS):
        for name, work in works.items():
            for is_busy in (False, True):
                hog = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if is_busy else None
                time.sleep(0.3)
                started = time.perf_counter()
                work()
                print(name, "busy" if is_busy else "idle", time.perf_counter() - started)
                if hog is not None:
                    hog.kill()
                    hog.wait()


def compare_busy() -> int:
    """A table of `time_setup`, with threads that sleep while they wait, as the program has them, and that spin."""
    cores = len(os.sched_getaffinity(0))
    print(f"{'':44} {'idle, s':>9} {'busy, s':>9} {'ratio':>7}   on {cores} cores, medians of {BUSY_ROUNDS}")
    worst = 0.0
    for policy in ("passive", "active"):
        child = [sys.executable, "-m", "benchmarks.listener_setup", "--time-setup", "--threads", str(cores)]
        done = subprocess.run(
            child, env=os.environ | {"OMP_WAIT_POLICY": policy}, capture_output=True, text=True, check=True
        )
        lines = [line.split() for line in done.stdout.splitlines()]
        for name, words in (("full", "full size, all threads"), ("demo", "demo weights, with calibration")):
            idle, busy = (
                statistics.median(float(one[2]) for one in lines if one[:2] == [name, state])
                for state in ("idle", "busy")
            )
            print(f"{words + ', ' + policy:44} {idle:9.3f} {busy:9.3f} {busy / idle:7.2f}")
            worst = max(worst, busy / idle) if policy == "passive" else worst
    print(f"mark for passive waiting: ≤ {MARK_BUSY}")
    return 0 if worst <= MARK_BUSY else 1


@torch.no_grad()
def main() -> int:
    if OPTIONS.busy:
        return compare_busy()
    if OPTIONS.time_setup:
        time_setup()
        return 0
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
    inference.infer(model, speaker, noise, options, edits, inference.Compat.parse("published"))
    print(
        f"{words}, published:  {time.process_time() - started:7.1f} CPU-s, peak memory so far {peak_memory():.2f} GiB"
    )
    return 0 if peak_memory() < MAX_MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
