"""The loop of the paper's stages, on Hugging Face Accelerate: one process or many, the same numbers.

Every random draw of a step depends on the seed and the step alone and is made for the whole batch; each process then
takes its share of the rows. So the mean gradient over processes is that of one process, and a resumed run sees what an
unbroken one would have seen. (Dropout is the exception: its masks depend on the number of processes.)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from perfrdiff.errors import InputError
from perfrdiff.files import strip_prefix, write_safetensors
from perfrdiff.training import progress
from perfrdiff.training.plan import Schedule, TrainingPlan, make_optimizer
from perfrdiff.training.run_state import STATE_FORMAT, as_json, check_identity, read_state

SEED_STRIDE = 10_000_019  # keeps the seeds of neighbouring steps apart
PRECISIONS = ("no", "bf16", "fp16")
NO_VALIDATION = float("inf")  # validation loss before the first one


class Stage(Protocol):
    """What is trained, and on what. A validation stage also has `validation_batches`, how many are evaluated."""

    name: str
    model: nn.Module  # its trainable parameters are the stage's; called with a batch it returns losses, "total" first

    def batch(self, step: int, share: tuple[int, int]) -> dict[str, object] | None:
        """The rows of a step's batch that process `share[0]` of `share[1]` works on; None: nothing to learn from."""


@dataclass(frozen=True)
class RunFiles:
    """Where a run lies, and which run it is."""

    state: Path  # saved here, and resumed from here where it exists
    identity: dict[str, object]  # settings that must be equal for a state to be resumed
    logs: Path | None = None  # folder for TensorBoard


def make_accelerator(plan: TrainingPlan, logs: Path | None) -> Accelerator:
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
    plan: TrainingPlan,
    files: RunFiles,
    *,
    validation: Stage | None = None,
    accelerator: Accelerator | None = None,
    say: Callable[[str], None] = print,
) -> nn.Module:
    """Train; returns the model with the weights to keep: the best on validation, else the average, else the last.

    Args:
        files: the run's state, which is resumed if it exists, its identity and its logs.
        validation: the same stage on another split, evaluated every `plan.check_every` steps.
        accelerator: as `make_accelerator` makes it.
        say: called by the first process with a line of progress every `plan.log_every` steps.

    Raises InputError for a state that is broken or of another run, and for losses that are not finite.
    """
    accelerator = accelerator or make_accelerator(plan, files.logs)
    parameters = [p for p in stage.model.parameters() if p.requires_grad]
    optimizer = make_optimizer(plan.optimizer, parameters)
    schedule = Schedule(plan, optimizer)
    model, optimizer = accelerator.prepare(stage.model, optimizer)
    run = _Run(stage.model, plan, files.identity, optimizer, schedule)
    first = run.load(files.state, accelerator) if files.state.exists() else 0
    if first and accelerator.is_main_process:
        say(f"{stage.name}: taken up at step {first} of {plan.steps}")
    if files.logs is not None:
        if accelerator.is_main_process:
            files.logs.mkdir(parents=True, exist_ok=True)
        accelerator.init_trackers(stage.name.replace(" ", "-"))
    share = (accelerator.process_index, accelerator.num_processes)
    means_since_log = _RunningMeans()
    hidden = not accelerator.is_main_process
    bar = progress.bar(stage.name, range(first, plan.steps), total=plan.steps, done=first, hidden=hidden)
    for step in bar:
        model.train()
        torch.manual_seed((plan.seed * SEED_STRIDE + step) * 101 + share[0])  # dropout
        batch = stage.batch(step, share)
        if batch is not None:
            with accelerator.autocast():
                losses = model(_to_device(batch, accelerator.device))
            accelerator.backward(losses["total"])
            if plan.clip is not None:
                means_since_log.add({"gradient": accelerator.clip_grad_norm_(parameters, plan.clip).detach()})
            optimizer.step()
            optimizer.zero_grad()
            means_since_log.add({name: value.detach() for name, value in losses.items()})
            run.update_average()
        done, rate = step + 1, schedule.rate
        schedule.advance(done)
        is_log_step = done % plan.log_every == 0 or done == plan.steps
        is_save_step = done % plan.save_every == 0 or done == plan.steps
        if is_log_step or is_save_step:  # what is not finite is never saved
            means = {name: float(accelerator.reduce(value, "mean")) for name, value in means_since_log.means().items()}
            _check_finite(stage, accelerator, done, means, files.state)
        if is_log_step:
            means_since_log.reset()
            _log_progress(stage, plan, accelerator, done, means | {"learning rate": rate}, bar, say)
        if validation is not None and plan.check_every and (done % plan.check_every == 0 or done == plan.steps):
            value = run.validate(validation, accelerator)
            if accelerator.is_main_process:
                say(f"{stage.name} {done}/{plan.steps} validation {value:.5f}, best {run.best_value:.5f}")
                accelerator.log({"validation": value}, step=done)
        if is_save_step and accelerator.is_main_process:
            run.save(files.state, done, accelerator)
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
    remedy = f"The last good state stays in {state}" if state.exists() else "No state was saved yet"
    raise InputError(
        f"{stage.name}: the loss is not finite at step {done}; the run stops. {remedy}; go on without mixed precision, "
        "or begin anew with a lower learning rate and --restart."
    )


def _log_progress(stage, plan, accelerator, done, means, bar: tqdm, say) -> None:
    accelerator.log(means, step=done)
    if accelerator.is_main_process:
        bar.set_postfix(total=f"{means['total']:.5f}" if "total" in means else "-", refresh=False)
        words = ", ".join(f"{name} {value:.5f}" for name, value in means.items() if name != "learning rate")
        say(f"{stage.name} {done}/{plan.steps} {words}")


class _RunningMeans:
    """Means of the logged values since the last reset."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            total, count = self._sums.get(name, (torch.zeros_like(value, dtype=torch.float32), 0))
            self._sums[name] = (total + value.float(), count + 1)

    def means(self) -> dict[str, Tensor]:
        return {name: total / count for name, (total, count) in self._sums.items()}

    def reset(self) -> None:
        self._sums = {}


class _Run:
    """The weights of a run (those being trained, their average, the best so far), saved and loaded with its state."""

    def __init__(self, model: nn.Module, plan: TrainingPlan, identity: dict, optimizer, schedule: Schedule):
        self.model, self.plan = model, plan
        self.identity = as_json(identity)
        self.optimizer, self.schedule = optimizer, schedule
        self.averaged = AveragedModel(self._parameters(), multi_avg_fn=self._average_step) if plan.ema > 0 else None
        self.best: dict[str, Tensor] | None = None
        self.best_value = NO_VALIDATION

    def _trainable(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _copy_trainable(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self._trainable().items()}

    def _parameters(self) -> nn.ParameterList:
        """The trained weights alone, not the frozen networks of the same model."""
        return nn.ParameterList(self._trainable().values())

    def _average_step(self, average: list[Tensor], weights: list[Tensor], updates: Tensor) -> None:
        """Move the average towards the weights; early on it follows faster."""
        count = int(updates)
        torch._foreach_lerp_(average, weights, 1 - min(self.plan.ema, (count + 1) / (count + 10)))

    def update_average(self) -> None:
        if self.averaged is not None:
            self.averaged.update_parameters(self._parameters())

    @property
    def average(self) -> dict[str, Tensor] | None:
        if self.averaged is None:
            return None
        return dict(zip(self._trainable(), (p.detach() for p in self.averaged.module), strict=True))

    def _set_weights(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, p in self._trainable().items():
                p.copy_(weights[name].to(p.device))

    def validate(self, validation: Stage, accelerator: Accelerator) -> float:
        """Mean validation loss of the weights that would be kept now; keeps a copy of the best."""
        weights = self._copy_trainable()
        if self.averaged is not None:
            self._set_weights(self.average)
        self.model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for step in range(validation.validation_batches):
                batch = validation.batch(step, (0, 1))
                if batch is not None:
                    total += float(self.model(_to_device(batch, accelerator.device))["total"])
                    count += 1
        value = total / count if count else NO_VALIDATION
        if value < self.best_value:
            self.best_value, self.best = value, self._copy_trainable()
        self._set_weights(weights)
        return value

    def keep_best(self) -> None:
        final = self.best or self.average
        if final is not None:
            self._set_weights(final)

    def save(self, path: Path, step: int, accelerator: Accelerator) -> None:
        tensors = {f"model.{name}": p.detach() for name, p in self._trainable().items()}
        for prefix, weights in (("average", self.average), ("best", self.best)):
            tensors |= {f"{prefix}.{name}": value for name, value in (weights or {}).items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                if value is not None:
                    tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
        scaler = getattr(accelerator, "scaler", None)
        header = {
            "format": STATE_FORMAT, "step": step, "identity": self.identity, "best": self.best_value,
            "scaler": scaler.state_dict() if scaler is not None else {}, "schedule": self.schedule.state(),
            "averaged": int(self.averaged.n_averaged) if self.averaged is not None else 0,
        }  # fmt: skip
        rows = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        write_safetensors(path, rows, {"about": header})

    def load(self, path: Path, accelerator: Accelerator) -> int:
        """Resume a run from its state; returns the steps done."""
        header, tensors = read_state(path)
        check_identity(path, header, self.identity)
        if header["step"] > self.plan.steps:
            raise InputError(
                f"The run in {path} has {header['step']} steps behind it; {self.plan.steps} were asked for. Ask for "
                "more, or begin anew with --restart."
            )

        self._set_weights(strip_prefix(tensors, "model"))
        if self.averaged is not None:
            saved = strip_prefix(tensors, "average")
            for name, average in zip(self._trainable(), self.averaged.module, strict=True):
                average.data.copy_(saved[name])
            self.averaged.n_averaged.fill_(header["averaged"])
        self.best, self.best_value = strip_prefix(tensors, "best") or None, header["best"]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in strip_prefix(tensors, "optimizer").items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.schedule.load(header["schedule"])
        if header["scaler"] and getattr(accelerator, "scaler", None) is not None:
            accelerator.scaler.load_state_dict(header["scaler"])
        return header["step"]


def _to_device(batch, device: torch.device):
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {name: _to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_to_device(value, device) for value in batch)
    return batch
