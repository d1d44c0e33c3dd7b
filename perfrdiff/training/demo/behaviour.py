"""The weight editor is also told how its person moves: numbers of few-step samples against the person's own."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from perfrdiff.coefficients import CHANNEL
from perfrdiff.data.simulator.corpus import Corpus
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.layers import Edits
from perfrdiff.models.listening_codec import ListeningCodec
from perfrdiff.models.motion_descriptors import DESCRIPTORS, frame_descriptors
from perfrdiff.sampling import ddim_step, even_timesteps
from perfrdiff.training.demo.windows import noise_like

FLOOR = 0.02  # squared token units: movement below it is as good as none
SAMPLER_STEPS = 4
LEAST_SPREAD = 0.05  # of a number over persons
SHARES = {"energies": 0.25, "means": 0.35, "frames": 0.3, "sides": 0.1}  # of the loss; what is learnt last counts most
DEGREES_FLOOR, EXPRESSION_FLOOR = 0.5, 0.03  # movement below it is as good as none
SIDE_FLOOR = 0.1  # the same where it is asked to which side somebody moves
SIDES = 2  # numbers that say to which side, the last ones
ANGLES = ("rotationX", "rotationZ")
EXPRESSIONS = ("mouthSmileLeft", "browInnerUp", "browDownLeft", "mouthPressLeft", "jawOpen", "eyeBlinkLeft")


def movement_energies(tokens: Tensor, motion_width: int) -> Tensor:
    """Windows (N, W, D) of a listener's tokens -> (N, 3 * motion_width + descriptors): how much is moved, and where.

    The logarithms of slow movement (about the window's mean) and of quick movement (from token to token) in every
    direction, the mean in every direction and of every descriptor.
    """
    motion = tokens[..., :motion_width]
    slow = (motion - motion.mean(1, keepdim=True)).square().mean(1)
    quick = motion.diff(dim=1).square().mean(1)
    return torch.cat([(slow + FLOOR).log(), (quick + FLOOR).log(), tokens.mean(1)], dim=-1)


def frame_numbers(frames: Tensor) -> Tensor:
    """Windows (N, T, 58) of frames -> (N, numbers) that no direction of a token tells by itself.

    The mean of every motion descriptor of the frames as they are drawn (how quickly somebody nods), the logarithm of
    the range that is gone through by angles and expressions (how large a nod or smile is, however many there are), on
    which side of the usual direction the eyes are when they leave it, and to which side a smile leans, -1 … 1.
    """
    angles = torch.rad2deg(frames[..., [CHANNEL[name] for name in ANGLES]])
    expressions = frames[..., [CHANNEL[name] for name in EXPRESSIONS]]
    aside = frames[..., CHANNEL["eyeLookOutLeft"]] - frames[..., CHANNEL["eyeLookInLeft"]]
    smiles = frames[..., CHANNEL["mouthSmileLeft"]], frames[..., CHANNEL["mouthSmileRight"]]
    away = aside - aside.median(1, keepdim=True).values.detach()
    side = (away * away.abs()).mean(1) / (away.square().mean(1) + SIDE_FLOOR**2)
    moved, leaning = (total - total.mean(1, keepdim=True) for total in (smiles[0] + smiles[1], smiles[0] - smiles[1]))
    lean = (leaning * moved).mean(1) / (moved.square().mean(1) + SIDE_FLOOR**2)
    ranges = [
        (_range(angles) + DEGREES_FLOOR).log(),
        (_range(torch.cat([expressions, aside[..., None]], dim=-1)) + EXPRESSION_FLOOR).log(),
    ]
    return torch.cat([frame_descriptors(frames).mean(1), *ranges, side[:, None], lean[:, None]], dim=-1)


def _range(x: Tensor) -> Tensor:
    return x.amax(1) - x.amin(1)


def behaviour_numbers(tokens: Tensor, codec: ListeningCodec) -> Tensor:
    """`movement_energies` and `frame_numbers` of windows (N, W, D) of tokens, in one row (N, numbers)."""
    with torch.autocast(tokens.device.type, enabled=False):  # 16 bits would tell no small movement
        tokens = tokens.float()
        return torch.cat(
            [movement_energies(tokens, codec.motion_width), frame_numbers(codec.raw_coefficients(tokens))], dim=-1
        )


def shares(codec: ListeningCodec, numbers: int) -> Tensor:
    """How much each of `behaviour_numbers` counts, (numbers,), 1 in the mean."""
    energies, means = 2 * codec.motion_width, codec.motion_width + DESCRIPTORS
    sizes = {"energies": energies, "means": means, "frames": numbers - energies - means - SIDES, "sides": SIDES}
    return torch.cat([torch.full((size,), numbers * SHARES[name] / size) for name, size in sizes.items()])


@torch.no_grad()
def person_numbers(corpus: Corpus, window: int) -> Tensor:
    """(persons, numbers): the mean of `behaviour_numbers` over all windows of a person's clips."""
    rows = []
    for clips in corpus.clips_of():
        windows = corpus.listener[clips].float().unfold(1, window, window).transpose(2, 3).flatten(0, 1)
        rows.append(behaviour_numbers(windows, corpus.codec).mean(0))
    return torch.stack(rows)


@contextmanager
def _held(network: nn.Module) -> Iterator[None]:
    """What is computed meanwhile gives the network's own weights no gradient."""
    learning = [p for p in network.parameters() if p.requires_grad]
    try:
        for p in learning:
            p.requires_grad_(False)
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)


@dataclass
class BehaviourLoss:
    """How far few-step samples of two persons differ otherwise than the persons do.

    In the diffusion loss of a noisy window there is little to be gained by knowing that this person's smiles are large:
    the window shows it. A sample from nothing but noise, whose past is hidden, has only the style to know it from. Both
    persons of a pair are sampled from the same noise and speaker, so that chance, which is far larger in a window than
    what sets persons apart, is taken off with their difference; and so is what is wrong with everybody in few steps.
    The product of the errors of two independent pairs of samples is, in the mean, the square of the error's mean: what
    chance is left costs nothing, and a person's samples are not asked to be alike.
    """

    denoiser: Denoiser
    codec: ListeningCodec
    targets: Tensor  # (persons, numbers), of `person_numbers`
    editor_alone: bool = False  # the denoiser's own weights do not learn from it

    def __post_init__(self) -> None:
        self._variance = self.targets.std(0).clamp(min=LEAST_SPREAD).square()
        self._shares = shares(self.codec, self.targets.shape[1]).to(self.targets)

    def __call__(
        self, persons: Tensor, conditions: dict[str, Tensor], edits: Edits, generator: torch.Generator
    ) -> Tensor:
        """The loss of an even number of persons (P,) with `edits` of theirs; conditions are of two windows of each of
        the first half, (P, …), and serve for the other half as well."""
        count = len(persons)
        both = {name: torch.cat([value, value]) for name, value in conditions.items()}
        noise = noise_like(self._empty(count), generator).repeat(2, 1, 1)
        hidden = {"past_listener": torch.zeros(2 * count, device=self.targets.device)}
        with _held(self.denoiser) if self.editor_alone else nullcontext():
            sampled = self._sample(noise, both, hidden, edits)
        error = behaviour_numbers(sampled, self.codec).unflatten(0, (count, 2))
        error = error - self.targets[persons.to(self.targets.device)][:, None]
        first, second = (error[: count // 2] - error[count // 2 :]).unbind(1)
        return (first * second / (2 * self._variance) * self._shares).mean()

    def _empty(self, windows: int) -> Tensor:
        config = self.denoiser.config
        return torch.empty(windows, config.window, config.features, device=self.targets.device)

    def _sample(self, noise: Tensor, conditions: dict[str, Tensor], keep: dict[str, Tensor], edits: Edits) -> Tensor:
        """Windows (N, W, D) from noise of that shape in SAMPLER_STEPS differentiable steps."""
        memory = self.denoiser.prepare(conditions, keep, edits)
        x, schedule = noise, even_timesteps(SAMPLER_STEPS)
        for step, after in zip(schedule, [*schedule[1:], None], strict=True):
            x0 = self.denoiser(x, torch.full((len(x),), step, device=x.device), memory, edits)
            if after is not None:
                x = ddim_step(x, x0, step, after)
        return x0
