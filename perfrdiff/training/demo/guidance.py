"""Guidance that the weights have learnt: after this stage the plain prediction is what was the guided one.

Classifier-free guidance makes up for conditions that are learnt too little, at the price of a second call of the
network in every step, and of timing that is lost without it. Here a student is taught to predict what its teacher, the
same networks before the stage, predicts under guidance (Meng et al. 2023, On Distillation of Guided Diffusion Models).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from perfrdiff.models.layers import Edits
from perfrdiff.sampling import add_noise, even_timesteps, slow_noise_like
from perfrdiff.training.demo.generator import SPEAKER_CONDITIONS
from perfrdiff.training.demo.personal import PersonalBatch, PersonalModel, PersonalStage
from perfrdiff.training.demo.windows import direction_weights, noise_like, random_integers, weighted_error

NOISE_LEVELS = 250  # as many as a solver may visit, evenly from all noise to nearly none


@dataclass(kw_only=True)
class GuidanceStage:
    """`personal`'s model learns its teacher's guided predictions, for persons and for nobody in particular, and goes on
    to be told how each person moves.

    Only what the conditions say of the speaker is guided: windows that have lost both of the speaker's streams are to
    be predicted as ever, so that more guidance can still be asked for.
    """

    personal: PersonalStage
    teacher: PersonalModel  # frozen
    scale: float  # of the guidance that is learnt
    imitation_weight: float = 20.0  # what guidance changes is small beside how persons move
    slow_noise: float = 0.0  # most of it in what is denoised (docs/method.md 16.2), as in sampling

    def loss(self, generator: torch.Generator) -> Tensor:
        batch = self.personal.draw(generator)
        shifts = self.personal.model.editor(batch.styles)
        error = self._imitation(batch, batch.for_some(shifts), generator)
        return self.imitation_weight * error + self.personal.behaviour_loss(batch, shifts, generator)

    def _imitation(self, batch: PersonalBatch, edits: Edits, generator: torch.Generator) -> Tensor:
        """How far the student's predictions are from its teacher's guided ones."""
        stage = self.personal.generator_stage
        x0, conditions = stage.windows(batch.windows, generator)
        count = len(x0)
        levels = torch.tensor(even_timesteps(NOISE_LEVELS))
        timesteps = levels[random_integers(count, NOISE_LEVELS, generator)].to(x0.device)
        slowness = self.slow_noise * torch.rand(count, 1, 1, generator=generator).to(x0.device)
        noise = noise_like(x0, generator) + slowness * slow_noise_like(x0, generator)
        noised = add_noise(x0, noise, timesteps)
        keep = stage.draw_masks(count, generator)
        target = self._guided(noised, timesteps, conditions, keep, batch)
        memory = stage.denoiser.prepare(conditions, keep, edits)
        predicted = stage.denoiser(noised, timesteps, memory, edits)
        return weighted_error(predicted.float(), target, timesteps, direction_weights(stage.corpus.codec))

    @torch.no_grad()
    def _guided(
        self,
        noised: Tensor,
        timesteps: Tensor,
        conditions: dict[str, Tensor],
        keep: dict[str, Tensor],
        batch: PersonalBatch,
    ) -> Tensor:
        """The teacher's prediction u + scale (c - u), (N, W, D)."""
        edits = batch.for_some(self.teacher.editor(batch.styles))
        denoiser = self.teacher.generator.denoiser
        without_speaker = keep | {name: torch.zeros_like(keep[name]) for name in SPEAKER_CONDITIONS}
        conditional, unconditional = (
            denoiser(noised, timesteps, denoiser.prepare(conditions, masks, edits), edits).float()
            for masks in (keep, without_speaker)
        )
        return unconditional + self.scale * (conditional - unconditional)
