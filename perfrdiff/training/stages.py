"""The stages that make a render-variant model: style encoder, generic generator, weight editor (spec section 9)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.data.corpus import Corpus
from perfrdiff.data.simulated import BLIND
from perfrdiff.features.coefficients import CHANNEL, ROTATION, WIDTH
from perfrdiff.models.denoiser import Denoiser
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor
from perfrdiff.sampling import TRAIN_STEPS, add_noise, cumulative_alphas
from perfrdiff.training.losses import supervised_contrastive


def _draw(count: int, below: int, generator: torch.Generator) -> Tensor:
    return torch.randint(below, (count,), generator=generator)


def measured_habits(corpus: Corpus) -> Tensor:
    """What each person does in their clips, averaged, over persons of mean 0 and variance 1: (persons, habits).

    Levels and restlessness of the channels that a listener moves: smile, brows, lids, gaze, lips, head.
    """
    names = ("mouthSmileLeft", "browInnerUp", "browDownLeft", "eyeBlinkLeft", "eyeLookOutLeft", "mouthPressLeft")
    level = corpus.listener[..., [CHANNEL[name] for name in names]].float().mean(dim=1)
    moving = corpus.listener[..., [CHANNEL["mouthSmileLeft"], CHANNEL["browInnerUp"], 52, 53, 54]].float()
    speed = (moving[:, 1:] - moving[:, :-1]).square().mean(dim=1).log()
    rest = corpus.listener[..., ROTATION].float().mean(dim=1)
    habits = torch.cat([level, speed, rest], dim=1)[corpus.clips_of()].mean(dim=1)
    return (habits - habits.mean(0)) / habits.std(0).clamp(min=1e-6)  # a habit all persons share says nothing


class StyleModel(nn.Module):
    """The style encoder with a linear reading of habits from the style, which only training uses."""

    def __init__(self, encoder: StyleEncoder, habits: int):
        super().__init__()
        self.encoder = encoder
        self.reading = nn.Linear(encoder.config.projection, habits)


@dataclass
class StyleStage:
    """PSSL: clips of the same person lie together, clips of different persons apart.

    Beside the paper's contrastive loss, the person's measured habits have to be readable from the style: told apart by
    their rest faces alone, people get styles that do not say how often they nod or smile.
    """

    model: StyleModel
    corpus: Corpus
    habits: Tensor  # (persons, habits), see measured_habits
    people: int = 24
    shortest: int = 250  # frames of a crop: 10 to 30 s
    longest: int = 750
    habit_weight: float = 3.0

    def loss(self, generator: torch.Generator) -> Tensor:
        clips_of = self.corpus.clips_of()
        people = torch.randperm(len(clips_of), generator=generator)[: self.people]
        clips = clips_of[people][:, :2].reshape(-1)
        length = self.shortest + int(_draw(1, self.longest - self.shortest + 1, generator))
        last_start = self.corpus.frames - length
        crops = torch.stack(
            [
                self.corpus.listener[clip, start : start + length]
                for clip, start in zip(clips, _draw(len(clips), last_start + 1, generator), strict=True)
            ]
        ).float()
        style = self.model.encoder(crops).float()
        owner = people.repeat_interleave(2)
        reading = F.mse_loss(self.model.reading(style * style.shape[1] ** 0.5), self.habits[owner])
        return supervised_contrastive(style, owner) + self.habit_weight * reading


def window_batch(
    corpus: Corpus, clips: Tensor, starts: Tensor, window: int, delay: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Listener windows x0 and their conditions; `starts` are the speaker windows' first frames, from -delay on.

    The listener's window begins `delay` frames after the speaker's; the past listener frames are the `window` frames
    before it. Frames before the clip's start are zeros (spec section 9).
    """
    pad = window

    def cut(table: Tensor, rows: Tensor, first: Tensor) -> Tensor:
        index = first[:, None] + torch.arange(window)
        outside = index < 0
        picked = table[rows[:, None], index.clamp(0, table.shape[1] - 1)].float()
        return picked.masked_fill(outside[..., None], 0.0)

    speakers = corpus.speaker[clips]
    conditions = {
        "audio": cut(corpus.speaker_audio, speakers, starts),
        "coefficients": cut(corpus.speaker_coefficients, speakers, starts),
        "past_listener": cut(corpus.listener, clips, starts + delay - pad),
    }
    return cut(corpus.listener, clips, starts + delay), conditions


def channel_weights() -> Tensor:
    """How much each coefficient counts, (58,), mean 1: what no tracker sees hardly counts (paper: all alike)."""
    weights = torch.ones(WIDTH)
    weights[[CHANNEL[name] for name in BLIND]] = 0.1
    return weights / weights.mean()


def weighted_error(predicted: Tensor, x0: Tensor, timesteps: Tensor) -> Tensor:
    """Squared error of x0 (N, W, 58), weighted by min(SNR, 5) / 5 + 0.2 of its step and by channel.

    SNR = abar / (1 - abar): the steps with little noise, where quick movements take shape, have small errors and would
    otherwise be drowned by those where nothing can be known (Hang et al. 2023, min-SNR weighting).
    """
    abar = torch.as_tensor(cumulative_alphas(), dtype=torch.float32)[timesteps]
    step_weight = (abar / (1 - abar)).clamp(max=5.0) / 5.0 + 0.2
    error = ((predicted - x0) ** 2 * channel_weights()).mean(dim=(1, 2))
    return (error * step_weight).mean()


@dataclass
class GeneratorStage:
    """GAFRG: predict the clean window of a listener from its noised one and the speaker."""

    denoiser: Denoiser
    corpus: Corpus
    windows: int = 40
    joint_drop: float = 0.1  # share of windows that lose both speaker streams at once: guidance needs that branch

    def loss(self, generator: torch.Generator) -> Tensor:
        clips = _draw(self.windows, len(self.corpus.listener), generator)
        return self.denoising_loss(clips, generator)

    def denoising_loss(self, clips: Tensor, generator: torch.Generator, edits=None) -> Tensor:
        config = self.denoiser.config
        count, window, delay = len(clips), config.window, config.reaction_delay
        starts = _draw(count, self.corpus.frames - window + 1, generator) - delay
        first = torch.rand(count, generator=generator) < 0.1  # enough windows that open a clip
        starts = torch.where(first, torch.full_like(starts, -delay), starts)
        x0, conditions = window_batch(self.corpus, clips, starts, window, delay)
        timesteps = _draw(count, TRAIN_STEPS, generator)
        noise = torch.randn(x0.shape, generator=generator)
        keep = self.denoiser.draw_masks(count, generator)
        deaf = torch.rand(count, generator=generator) < self.joint_drop
        for name in ("audio", "coefficients"):
            keep[name] = keep[name] * ~deaf
        memory = self.denoiser.prepare(conditions, keep, edits)
        predicted = self.denoiser(add_noise(x0, noise, timesteps), timesteps, memory, edits)
        return weighted_error(predicted.float(), x0, timesteps)


@dataclass
class EditorStage:
    """PWSG: with the generator and the style encoder frozen, learn the shifts that make a window this listener's.

    The style is read from another clip of the same person, so that it must carry the person and not the clip.
    """

    editor: WeightEditor
    generator_stage: GeneratorStage
    encoder: StyleEncoder
    people: int = 16
    windows_each: int = 3
    shortest: int = 250  # frames of the style clip
    longest: int = 500

    def loss(self, generator: torch.Generator) -> Tensor:
        corpus = self.generator_stage.corpus
        clips_of = corpus.clips_of()
        people = torch.randperm(len(clips_of), generator=generator)[: self.people]
        order = torch.randperm(clips_of.shape[1], generator=generator)
        personal, target = clips_of[people][:, order[0]], clips_of[people][:, order[1]]
        length = self.shortest + int(_draw(1, self.longest - self.shortest + 1, generator))
        start = int(_draw(1, corpus.frames - length + 1, generator))
        with torch.no_grad():
            style = self.encoder(corpus.listener[personal, start : start + length].float()).float()
        shifts = self.editor(style)
        clips = target.repeat_interleave(self.windows_each)
        return self.generator_stage.denoising_loss(clips, generator, shifts)
