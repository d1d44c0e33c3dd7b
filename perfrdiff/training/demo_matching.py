"""Tuning for the demo weights: reactions made as at test time shall move as real ones do."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from perfrdiff.checkpoints import SamplingDefaults
from perfrdiff.models.layers import Edits
from perfrdiff.sampling import ddim, guided_denoiser
from perfrdiff.training.demo_generator import GeneratorModel, GeneratorStage, foreseen
from perfrdiff.training.movement import Onlooker, energy_score, person_error
from perfrdiff.training.windows import draw, noise_like, window_batch


@dataclass
class Matching:
    """Reactions made as at test time, window after window in few denoising steps, are to move as real ones do.

    Gradients pass through all steps of the last window. What comes before it is made as well: shown real frames, a
    generator takes from them how lively the person is, and at test time there are none. (Scoring rules for diffusion
    models: De Bortoli et al. 2025; continuing one's own output: Huang et al. 2025, Self Forcing.)
    """

    generator_stage: GeneratorStage
    model: GeneratorModel  # forecasts
    onlooker: Onlooker
    sampling: SamplingDefaults
    longest: int = 3  # windows before the last
    whole_weight: float = 1.0  # of the window's movement as a whole, beside when it happens
    rest_weight: float = 1.0  # of the mean face
    edge_weight: float = 0.3  # of steps between tokens
    person_weight: float = 4.0  # of the persons' own movement
    person_rest_weight: float = 1.0  # of the persons' own mean face
    foreseen_weight: float = 3.0

    def loss(self, clips: Tensor, generator: torch.Generator, edits: Edits | None = None, people: int = 0) -> Tensor:
        """clips (N,): clips whose speakers are answered; with `people`, one person's together."""
        stage, corpus = self.generator_stage, self.generator_stage.corpus
        before = int(draw(1, self.longest + 1, generator))
        starts = torch.full((len(clips),), before * self.sampling.slide)
        real, _ = window_batch(corpus, clips, starts, stage.denoiser.config)
        made, context = self.react(clips.repeat_interleave(2), before, generator, edits)
        with torch.no_grad():
            seen = self.onlooker.measure(real)
        one, other = (self.onlooker.measure(sample) for sample in made.unflatten(0, (-1, 2)).unbind(1))
        weights = {"when": 1.0, "whole": self.whole_weight, "rest": self.rest_weight, "edges": self.edge_weight}
        score = sum(
            weight * energy_score(*(getattr(moved, name) for moved in (one, other, seen))).mean()
            for name, weight in weights.items()
        )
        if people:
            owned = corpus.clips_of()[corpus.person[clips.unflatten(0, (people, -1))[:, 0]]]
            with torch.no_grad():
                own = self.onlooker.windows(corpus.listener[owned.flatten()].float(), real.shape[1])
            own = own.unflatten(0, owned.shape).mean(1)
            each = [moved.person.unflatten(0, (people, -1)) for moved in (one, other)]
            movement = 2 * len(self.onlooker.floor)
            for weight, part in (
                (self.person_weight, slice(movement)),
                (self.person_rest_weight, slice(movement, None)),
            ):
                score = score + weight * person_error(*(x[..., part] for x in (*each, own)))
        return score + self.foreseen_weight * self._as_foreseen(made, context, centred=bool(people))

    def react(
        self, clips: Tensor, before: int, generator: torch.Generator, edits: Edits | None = None
    ) -> tuple[Tensor, Tensor]:
        """The window of a reaction to each of the clips' speakers (N, W, D) that follows `before` others, and the
        speaker's context in it (N, W, width)."""
        stage, how = self.generator_stage, self.sampling
        denoiser, corpus = stage.denoiser, stage.corpus
        window, width = denoiser.config.window, denoiser.config.features
        done = torch.zeros(len(clips), 0, width, device=corpus.device)
        learning = torch.is_grad_enabled()
        for i in range(before + 1):
            start = i * how.slide
            _, conditions = window_batch(corpus, clips, torch.full((len(clips),), start), denoiser.config)
            past = done[:, max(start - window, 0) : start]
            conditions["past_listener"] = F.pad(past, (0, 0, window - past.shape[1], 0))
            noise = noise_like(conditions["past_listener"], generator)
            with torch.set_grad_enabled(learning and i == before):
                predict = guided_denoiser(denoiser, conditions, how.guidance, edits, how.guidance_over)
                known = done[:, start:] if i else None
                piece = ddim(predict, noise, how.steps, known=known, clamp=how.clamp).float()
            done = torch.cat([done[:, :start], piece], dim=1)
        return piece, denoiser.memory_tokens(conditions)[2]

    def _as_foreseen(self, made: Tensor, context: Tensor, centred: bool) -> Tensor:
        """On average over samples, made windows answer the speaker as the generator's forecast says real ones do.

        The forecast has averaged over thousands of listeners; one real listener's nods are a noisy teacher. It does not
        know the person: then only its course counts, `centred` in every window.
        """
        codec = self.generator_stage.corpus.codec
        with torch.no_grad():
            expected = self.model.forecast(context).float()[::2]
        one, other = (foreseen(codec, sample) for sample in made.unflatten(0, (-1, 2)).unbind(1))
        if centred:
            expected, one, other = (course - course.mean(1, keepdim=True) for course in (expected, one, other))
        return ((one - expected) * (other - expected)).mean()


@dataclass
class TunedGeneratorStage:
    """The trained generator once more, so that what it makes moves as listeners do, when they do."""

    generator_stage: GeneratorStage
    matching: Matching
    windows: int = 24
    matching_weight: float = 1.0

    def loss(self, generator: torch.Generator) -> Tensor:
        clips = draw(self.windows, len(self.generator_stage.corpus.listener), generator)
        matched = self.matching.loss(clips, generator)
        return self.generator_stage.loss(generator) + self.matching_weight * matched
