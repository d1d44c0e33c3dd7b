"""How a stage is trained: how long, with which optimizer, and at which learning rate."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from perfrdiff.published.config.settings import OptimizerSettings

LAST_RATE = 0.02  # share of the learning rate that a warmed-up plan ends with
COSINE_FROM = 5  # epoch from which the published schedule is stepped (docs/method.md)


@dataclass(frozen=True)
class TrainingPlan:
    """How a stage is trained."""

    steps: int
    epoch_steps: int  # steps of an epoch, for the published schedule
    optimizer: OptimizerSettings
    clip: float | None = None  # gradient norm
    ema: float = 0.0  # decay of the running average of the weights; 0: none (published)
    warmup: int | None = None  # steps up to the full learning rate, then half a cosine down; None: as published
    precision: str = "no"
    seed: int = 1234
    log_every: int = 10  # steps
    save_every: int = 200
    check_every: int = 0  # steps between validations; 0: none
    device: str = "auto"  # or "cpu"


class Schedule:
    """The learning rate over the steps of a plan.

    With a warm-up: a straight line up and half a cosine down to `LAST_RATE`. The published cosine is stepped once an
    epoch from the sixth on, with the batches of an epoch as its half period (docs/method.md).
    """

    def __init__(self, plan: TrainingPlan, optimizer: torch.optim.Optimizer):
        self.plan, self.optimizer = plan, optimizer
        self.scheduler: LRScheduler | None = None  # None: a constant rate
        if plan.warmup is not None:
            lowest = LAST_RATE * plan.optimizer.learning_rate
            self.scheduler = CosineAnnealingLR(optimizer, max(1, plan.steps - plan.warmup), lowest)
            if plan.warmup:
                rising = LinearLR(optimizer, 1 / plan.warmup, total_iters=max(1, plan.warmup - 1))
                self.scheduler = SequentialLR(optimizer, [rising, self.scheduler], [plan.warmup])
        elif plan.optimizer.cosine:
            self.scheduler = CosineAnnealingLR(optimizer, plan.epoch_steps)

    @property
    def rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def advance(self, done: int) -> None:
        """To be called after every step, with the number of steps done."""
        epochs, within = divmod(done, self.plan.epoch_steps)
        if self.scheduler is not None and (self.plan.warmup is not None or (within == 0 and epochs > COSINE_FROM)):
            self.scheduler.step()

    def state(self) -> dict:
        return {} if self.scheduler is None else self.scheduler.state_dict()

    def load(self, state: dict) -> None:
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state)
            for group, rate in zip(self.optimizer.param_groups, self.scheduler.get_last_lr(), strict=True):
                group["lr"] = rate


def make_optimizer(settings: OptimizerSettings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    common = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.name == "sgd":
        return torch.optim.SGD(parameters, momentum=settings.momentum or 0.0, **common)
    return torch.optim.AdamW(parameters, betas=settings.betas or (0.9, 0.999), **common)
