"""The demo's stages on the loop that all training shares: every step draws a random batch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from perfrdiff.published.config.settings import OptimizerSettings
from perfrdiff.training.engine import SEED_STRIDE, RunFiles, fit
from perfrdiff.training.plan import TrainingPlan
from perfrdiff.training.progress import say

Loss = Callable[[torch.Generator], Tensor]
FUSED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a stage trains."""

    steps: int
    learning_rate: float
    warmup: int = 100
    ema: float = 0.998
    weight_decay: float = 1e-4
    clip: float = 1.0  # gradient norm
    log_every: int = 25
    save_every: int = 200
    seed: int = 0

    def plan(self, precision: str, device: str) -> TrainingPlan:
        """The settings of the shared loop."""
        return TrainingPlan(
            steps=self.steps,
            epoch_steps=self.steps,
            optimizer=OptimizerSettings("adamw", self.learning_rate, self.weight_decay),
            clip=self.clip,
            ema=self.ema,
            warmup=self.warmup,
            precision=precision,
            seed=self.seed,
            log_every=self.log_every,
            save_every=self.save_every,
            device=device,
        )


class _LossModule(nn.Module):
    """A loss as a module that is called with the seed of a batch."""

    def __init__(self, trained: nn.Module, loss: Loss):
        super().__init__()
        self.trained, self.loss = trained, loss

    def forward(self, batch: dict[str, int]) -> dict[str, Tensor]:
        # On a processor the fused attention's backward pass takes up to four times as long in bf16 (torch 2.13).
        with sdpa_kernel(FUSED if next(self.trained.parameters()).is_cuda else [SDPBackend.MATH]):
            return {"total": self.loss(torch.Generator().manual_seed(batch["seed"]))}


@dataclass(frozen=True)
class _RandomBatches:
    name: str
    model: _LossModule
    seed: int

    def batch(self, step: int, share: tuple[int, int]) -> dict[str, int]:
        return {"seed": self.seed * SEED_STRIDE + step * share[1] + share[0]}


@dataclass(frozen=True)
class ComputeOptions:
    """Where and in what precision a stage computes."""

    device: str = "cpu"  # or "auto": a GPU where there is one
    precision: str = "no"  # or "bf16", "fp16"


def train(trained: nn.Module, loss: Loss, schedule: Schedule, state: Path, name: str, compute: ComputeOptions) -> None:
    """Train `trained`, which ends as the running average of its weights; a run saved in `state` is resumed.

    `loss` draws its batch with the generator it is given, which depends on the seed and the step alone, so that a
    resumed run sees the batches an unbroken one would have seen. Of several processes each draws a batch of its own.

    Raises InputError for a state of another stage or other sizes, and for losses that are not finite.
    """
    plan = schedule.plan(compute.precision, compute.device)
    sizes = {key: list(value.shape) for key, value in trained.named_parameters() if value.requires_grad}
    state.parent.mkdir(parents=True, exist_ok=True)
    stage = _RandomBatches(name, _LossModule(trained, loss), schedule.seed)
    identity = {"stage": name, "sizes": sizes}
    fit(stage, plan, RunFiles(state, identity, state.parent / "logs"), say=say)
