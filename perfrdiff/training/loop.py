"""The loop all stages share: AdamW, bf16 on request, gradient clipping, EMA, resume, a line of log now and then."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast a stage trains."""

    steps: int
    learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    warmup: int = 100
    clip: float = 1.0  # gradient norm
    ema: float = 0.998
    bf16: bool = True  # where the processor has it; emulated bf16 is 10 times slower than float32
    log_every: int = 25
    save_every: int = 200
    seed: int = 0


def _rate(step: int, config: LoopConfig) -> float:
    """Linear warm-up, then a half cosine down to 2 % of the learning rate."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.02 + 0.98 * 0.5 * (1 + float(torch.cos(torch.tensor(done * torch.pi))))


def train(
    model: nn.Module, loss_of: Callable[[torch.Generator], Tensor], config: LoopConfig, path: Path, name: str
) -> nn.Module:
    """Train `model` and return its exponential moving average; resumes from `path` when that file exists.

    `loss_of` draws a batch with the generator it is given and returns the loss. Every step's draws depend on the seed
    and the step alone, so a resumed run sees the batches an unbroken one would have seen.
    """
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    first = 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
        print(f"{name}: resuming from step {first}", flush=True)
    bf16 = config.bf16 and torch.cpu._is_avx512_bf16_supported()
    model.train()
    started, recent = time.monotonic(), []
    for step in range(first, config.steps):
        generator = torch.Generator().manual_seed(config.seed * 10_000_019 + step)
        torch.manual_seed(config.seed * 10_000_019 + step)  # dropout
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _rate(step, config)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = loss_of(generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        keep = min(config.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        recent.append(loss.item())
        done = step + 1
        if done % config.log_every == 0 or done == config.steps:
            pace = (time.monotonic() - started) / (done - first)
            left = pace * (config.steps - done) / 60
            mean = sum(recent) / len(recent)
            print(f"{name} {done}/{config.steps} loss {mean:.4f} {pace:.2f} s/step, {left:.0f} min left", flush=True)
            recent = []
        if done % config.save_every == 0 or done == config.steps:
            state = {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": done,
            }
            part = path.with_suffix(".part")
            torch.save(state, part)
            part.rename(path)
    return average
