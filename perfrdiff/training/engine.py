"""The loop of the paper's stages, on Hugging Face Accelerate: one process or many, the same numbers.

Every random draw of a step depends on the seed and the step alone and is made for the whole batch; each process then
takes its share of the rows. So the mean gradient over processes is that of one process, and a resumed run sees what an
unbroken one would have seen. (Dropout is the exception: its masks depend on the number of processes.)
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from perfrdiff.errors import InputError
from perfrdiff.files import read_safetensors, under, write_safetensors
from perfrdiff.published.config.settings import OptimizerSettings
from perfrdiff.training import progress

STATE_FORMAT = "2"
PRIME = 10_000_019  # keeps the seeds of neighbouring steps apart
LAST_RATE = 0.02  # share of the learning rate that a warmed-up plan ends with
COSINE_FROM = 5  # epoch from which the published schedule is stepped (docs/method.md)
PRECISIONS = ("no", "bf16", "fp16")
WORST = float("inf")


class Stage(Protocol):
    """What is trained, and what on. As a validation it also has `rounds`, how many batches are looked at."""

    name: str
    model: nn.Module  # its trainable parameters are the stage's; called with a batch it returns losses, "total" first

    def batch(self, step: int, share: tuple[int, int]) -> dict[str, object] | None:
        """The rows of a step's batch that process `share[0]` of `share[1]` works on; None: nothing to learn from."""


@dataclass(frozen=True)
class Plan:
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

    def __init__(self, plan: Plan, optimizer: torch.optim.Optimizer):
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

    def follow(self, done: int) -> None:
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


def accelerator_of(plan: Plan, logs: Path | None) -> Accelerator:
    """Raises InputError for a precision the machine does not have."""
    if plan.precision not in PRECISIONS:
        raise InputError(f"There is no precision '{plan.precision}'; expected one of {', '.join(PRECISIONS)}.")
    cpu = plan.device == "cpu" or not torch.cuda.is_available()
    if plan.precision == "fp16" and cpu:
        raise InputError("fp16 needs a GPU; on a processor take bf16 or no mixed precision.")
    return Accelerator(
        cpu=cpu,
        mixed_precision=plan.precision,
        log_with="tensorboard" if logs is not None else None,
        project_dir=None if logs is None else str(logs),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def fit(
    stage: Stage,
    plan: Plan,
    state: Path,
    identity: dict[str, object],
    *,
    validation: Stage | None = None,
    logs: Path | None = None,
    accelerator: Accelerator | None = None,
    say: Callable[[str], None] = print,
) -> nn.Module:
    """Train; returns the model with the weights to keep: the best on validation, else the average, else the last.

    Args:
        state: where the run is kept, and taken up again if it is there.
        identity: what the run is; a state of anything else is refused.
        validation: the same stage on another split, looked at every `plan.check_every` steps.
        logs: folder for TensorBoard.
        accelerator: as `accelerator_of` makes it.
        say: told a line of progress now and then, by the first process.

    Raises InputError for a state that cannot be taken up, and for losses that are not finite.
    """
    accelerator = accelerator or accelerator_of(plan, logs)
    parameters = [p for p in stage.model.parameters() if p.requires_grad]
    optimizer = make_optimizer(plan.optimizer, parameters)
    schedule = Schedule(plan, optimizer)
    model, optimizer = accelerator.prepare(stage.model, optimizer)
    run = _Run(stage.model, plan, identity, optimizer, schedule)
    first = run.load(state, accelerator) if state.exists() else 0
    if first and accelerator.is_main_process:
        say(f"{stage.name}: taken up at step {first} of {plan.steps}")
    if logs is not None and accelerator.is_main_process:
        logs.mkdir(parents=True, exist_ok=True)
    if logs is not None:
        accelerator.init_trackers(stage.name.replace(" ", "-"))
    share = (accelerator.process_index, accelerator.num_processes)
    recent = _Means()
    hidden = not accelerator.is_main_process
    bar = progress.bar(stage.name, range(first, plan.steps), total=plan.steps, done=first, hidden=hidden)
    for step in bar:
        model.train()
        torch.manual_seed((plan.seed * PRIME + step) * 101 + share[0])  # dropout
        batch = stage.batch(step, share)
        if batch is not None:
            with accelerator.autocast():
                losses = model(_moved(batch, accelerator.device))
            accelerator.backward(losses["total"])
            if plan.clip is not None:
                recent.add({"gradient": accelerator.clip_grad_norm_(parameters, plan.clip).detach()})
            optimizer.step()
            optimizer.zero_grad()
            recent.add({name: value.detach() for name, value in losses.items()})
            run.follow()
        done, rate = step + 1, schedule.rate
        schedule.follow(done)
        telling = done % plan.log_every == 0 or done == plan.steps
        saving = done % plan.save_every == 0 or done == plan.steps
        if telling or saving:  # what is not finite is never saved
            means = {name: float(accelerator.reduce(value, "mean")) for name, value in recent.means().items()}
            _check_finite(stage, accelerator, done, means, state)
        if telling:
            recent.forget()
            _tell(stage, plan, accelerator, done, means | {"learning rate": rate}, bar, say)
        if validation is not None and plan.check_every and (done % plan.check_every == 0 or done == plan.steps):
            value = run.judge(validation, accelerator)
            if accelerator.is_main_process:
                say(f"{stage.name} {done}/{plan.steps} validation {value:.5f}, best {run.best_value:.5f}")
                accelerator.log({"validation": value}, step=done)
        if saving and accelerator.is_main_process:
            run.save(state, done, accelerator)
    accelerator.wait_for_everyone()
    for tracker in accelerator.trackers:  # the processes themselves go on: the weights are still to be written
        tracker.finish()
    run.keep_best()
    return stage.model.eval()


def _check_finite(stage, accelerator, done, means, state) -> None:
    """A gradient that overflows in fp16 is no fault: the scaler leaves that step out and goes on with less."""
    scaled = getattr(accelerator, "scaler", None) is not None
    if all(math.isfinite(value) for name, value in means.items() if not (scaled and name == "gradient")):
        return
    kept = f"The last good state stays in {state}" if state.exists() else "No state was saved yet"
    raise InputError(
        f"{stage.name}: the loss is not finite at step {done}; the run stops. {kept}; go on without mixed precision, "
        "or begin anew with a lower learning rate and --restart."
    )


def _tell(stage, plan, accelerator, done, means, bar: tqdm, say) -> None:
    accelerator.log(means, step=done)
    if accelerator.is_main_process:
        bar.set_postfix(total=f"{means['total']:.5f}" if "total" in means else "-", refresh=False)
        words = ", ".join(f"{name} {value:.5f}" for name, value in means.items() if name != "learning rate")
        say(f"{stage.name} {done}/{plan.steps} {words}")


class _Means:
    """Running means of what is logged."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            total, count = self._sums.get(name, (torch.zeros_like(value, dtype=torch.float32), 0))
            self._sums[name] = (total + value.float(), count + 1)

    def means(self) -> dict[str, Tensor]:
        return {name: total / count for name, (total, count) in self._sums.items()}

    def forget(self) -> None:
        self._sums = {}


class _Run:
    """The weights of a run: those being trained, their average, the best so far; on disk and back."""

    def __init__(self, model: nn.Module, plan: Plan, identity: dict[str, object], optimizer, schedule: Schedule):
        self.model, self.plan = model, plan
        self.identity = _as_stored(identity)
        self.optimizer, self.schedule = optimizer, schedule
        self.averaged = AveragedModel(self._listed(), multi_avg_fn=self._nearer) if plan.ema > 0 else None
        self.best: dict[str, Tensor] | None = None
        self.best_value = WORST

    def _trained(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _copied(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self._trained().items()}

    def _listed(self) -> nn.ParameterList:
        """What is averaged: the trained weights alone, not the frozen networks beside them."""
        return nn.ParameterList(self._trained().values())

    def _nearer(self, average: list[Tensor], weights: list[Tensor], updates: Tensor) -> None:
        """Move the average towards the weights; early on it follows faster."""
        count = int(updates)
        torch._foreach_lerp_(average, weights, 1 - min(self.plan.ema, (count + 1) / (count + 10)))

    def follow(self) -> None:
        if self.averaged is not None:
            self.averaged.update_parameters(self._listed())

    @property
    def average(self) -> dict[str, Tensor] | None:
        if self.averaged is None:
            return None
        return dict(zip(self._trained(), (p.detach() for p in self.averaged.module), strict=True))

    def _put(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, p in self._trained().items():
                p.copy_(weights[name].to(p.device))

    def judge(self, validation: Stage, accelerator: Accelerator) -> float:
        """Validation loss of the weights that would be kept now; the best are remembered."""
        training = self._copied()
        if self.averaged is not None:
            self._put(self.average)
        self.model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for step in range(validation.rounds):
                batch = validation.batch(step, (0, 1))
                if batch is not None:
                    total += float(self.model(_moved(batch, accelerator.device))["total"])
                    count += 1
        value = total / count if count else WORST
        if value < self.best_value:
            self.best_value, self.best = value, self._copied()
        self._put(training)
        return value

    def keep_best(self) -> None:
        chosen = self.best or self.average
        if chosen is not None:
            self._put(chosen)

    def save(self, path: Path, step: int, accelerator: Accelerator) -> None:
        tensors = {f"model.{name}": p.detach() for name, p in self._trained().items()}
        for prefix, weights in (("average", self.average), ("best", self.best)):
            tensors |= {f"{prefix}.{name}": value for name, value in (weights or {}).items()}
        for index, kept in self.optimizer.state_dict()["state"].items():
            for name, value in kept.items():
                if value is not None:
                    tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
        scaler = getattr(accelerator, "scaler", None)
        about = {
            "format": STATE_FORMAT, "step": step, "identity": self.identity, "best": self.best_value,
            "scaler": scaler.state_dict() if scaler is not None else {}, "schedule": self.schedule.state(),
            "averaged": int(self.averaged.n_averaged) if self.averaged is not None else 0,
        }  # fmt: skip
        rows = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        write_safetensors(path, rows, {"about": about})

    def load(self, path: Path, accelerator: Accelerator) -> int:
        """Take a run up again; returns the steps done."""
        about, tensors = read_state(path)
        check_identity(path, about, self.identity)
        if about["step"] > self.plan.steps:
            raise InputError(
                f"The run in {path} has {about['step']} steps behind it; {self.plan.steps} were asked for. Ask for "
                "more, or begin anew with --restart."
            )

        self._put(under(tensors, "model"))
        if self.averaged is not None:
            stored = under(tensors, "average")
            for name, average in zip(self._trained(), self.averaged.module, strict=True):
                average.data.copy_(stored[name])
            self.averaged.n_averaged.fill_(about["averaged"])
        self.best, self.best_value = under(tensors, "best") or None, about["best"]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in under(tensors, "optimizer").items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.schedule.load(about["schedule"])
        if about["scaler"] and getattr(accelerator, "scaler", None) is not None:
            accelerator.scaler.load_state_dict(about["scaler"])
        return about["step"]


def read_state(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """What a state says of itself, and its tensors. Raises InputError for a file that is none."""
    metadata, tensors = read_safetensors(path, "the state of a training run", "begin anew with --restart")
    try:
        about = json.loads(metadata.get("about", "{}"))
    except ValueError:
        about = {}
    if about.get("format", STATE_FORMAT) != STATE_FORMAT:
        raise InputError(f"{path} is a state of an earlier version of this program; begin anew with --restart.")
    if "step" not in about:
        raise InputError(f"{path} is no state of a training run; begin anew with --restart.")
    return about, tensors


def check_identity(path: Path, about: dict, wanted: dict) -> None:
    """Raises InputError that names what is different in a state of another run."""
    there, here = _flat(about.get("identity", {})), _flat(_as_stored(wanted))
    other = [name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)]
    if other:
        told = "; ".join(f"{name}: {_short(there.get(name))} there, {_short(here.get(name))} here" for name in other)
        raise InputError(
            f"The run in {path} is another one ({told}). Give another --out, or begin anew with --restart."
        )


def _as_stored(identity: dict) -> dict:
    """As it comes back from JSON: lists for tuples."""
    return json.loads(json.dumps(identity, default=dict))


def _flat(identity: dict, within: str = "") -> dict[str, object]:
    """Nested settings under names such as sizes.weight_editor.rank."""
    found: dict[str, object] = {}
    for name, value in identity.items():
        found |= _flat(value, f"{within}{name}.") if isinstance(value, dict) else {f"{within}{name}": value}
    return found


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 90 else text[:87] + "..."


def _moved(batch, device: torch.device):
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {name: _moved(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_moved(value, device) for value in batch)
    return batch
