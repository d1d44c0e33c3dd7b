"""The weight editor is also told how its person moves: energies of few-step samples against the person's own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.layers import Edits
from perfrdiff.sampling import ddim_step, even_timesteps
from perfrdiff.training.demo.windows import noise_like

FLOOR = 0.02  # squared token units: movement below it is as good as none
SAMPLER_STEPS = 4
BIAS_SHARE = 0.02  # of the newest step in the running bias
LEAST_SPREAD = 0.05  # of a number over persons


def movement_energies(tokens: Tensor, motion_width: int) -> Tensor:
    """Windows (N, W, D) of a listener's tokens -> (N, 2 * motion_width + descriptors): how much is moved.

    The logarithms of slow movement (about the window's mean) and of quick movement (from token to token) in every
    direction, and the mean of every descriptor.
    """
    motion = tokens[..., :motion_width]
    slow = (motion - motion.mean(1, keepdim=True)).square().mean(1)
    quick = motion.diff(dim=1).square().mean(1)
    return torch.cat([(slow + FLOOR).log(), (quick + FLOOR).log(), tokens[..., motion_width:].mean(1)], dim=-1)


@torch.no_grad()
def person_energies(corpus: Corpus, window: int) -> Tensor:
    """(persons, numbers): the mean of `movement_energies` over all windows of a person's clips."""
    width = corpus.codec.motion_width
    rows = []
    for clips in corpus.clips_of():
        windows = corpus.listener[clips].float().unfold(1, window, window).transpose(2, 3).flatten(0, 1)
        rows.append(movement_energies(windows, width).mean(0))
    return torch.stack(rows)


@dataclass
class BehaviourLoss:
    """How far a person's few-step samples are from how much this person moves.

    In the diffusion loss of a noisy window there is little to be gained by knowing that this person's smiles are large:
    the window shows it. A sample from nothing but noise, whose past is hidden, has only the style to know it from.
    Samples of few steps move too little in everybody; that running bias is taken off, and what is left is whether
    *this* person moves more than others.
    """

    denoiser: Denoiser
    motion_width: int
    targets: Tensor  # (persons, numbers), of `person_energies`

    def __post_init__(self) -> None:
        self._spread = self.targets.std(0).clamp(min=LEAST_SPREAD)
        self._bias, self._steps = torch.zeros_like(self._spread), 0

    def __call__(
        self, persons: Tensor, conditions: dict[str, Tensor], edits: Edits, generator: torch.Generator
    ) -> Tensor:
        """The loss of persons (P,) with `edits` of theirs, and conditions of two windows of each (2 P, …).

        The product of the errors of two independent samples is, in the mean, the square of the error's mean: a person's
        samples are not asked to be alike.
        """
        count = len(conditions["past_listener"])
        hidden = {"past_listener": torch.zeros(count, device=self._spread.device)}
        sampled = self._sample(conditions, hidden, edits, generator)
        error = movement_energies(sampled, self.motion_width).unflatten(0, (len(persons), 2))
        error = error - self.targets[persons.to(self.targets.device)][:, None]
        self._steps += 1
        share = max(BIAS_SHARE, 1 / self._steps)
        self._bias = self._bias + share * (error.detach().mean((0, 1)) - self._bias)
        first, second = ((error - self._bias) / self._spread).unbind(1)
        return (first * second).mean()

    def _sample(
        self, conditions: dict[str, Tensor], keep: dict[str, Tensor], edits: Edits, generator: torch.Generator
    ) -> Tensor:
        """Windows (N, W, D) from noise in SAMPLER_STEPS differentiable steps."""
        config = self.denoiser.config
        count = len(conditions["past_listener"])
        memory = self.denoiser.prepare(conditions, keep, edits)
        x = noise_like(torch.empty(count, config.window, config.features, device=self._spread.device), generator)
        schedule = even_timesteps(SAMPLER_STEPS)
        for step, after in zip(schedule, [*schedule[1:], None], strict=True):
            x0 = self.denoiser(x, torch.full((count,), step, device=x.device), memory, edits)
            if after is not None:
                x = ddim_step(x, x0, step, after)
        return x0
