"""The stages that make a render-variant model: style encoder, generic generator, weight editor (spec section 9)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perfrdiff.data.corpus import Corpus
from perfrdiff.data.motion_codec import MotionCodec
from perfrdiff.features.coefficients import CHANNEL, WIDTH
from perfrdiff.models.denoiser import Denoiser, DenoiserConfig
from perfrdiff.models.style_encoder import StyleEncoder
from perfrdiff.models.weight_editor import WeightEditor
from perfrdiff.sampling import TRAIN_STEPS, add_noise, cumulative_alphas
from perfrdiff.training.losses import supervised_contrastive


def _draw(count: int, below: int, generator: torch.Generator) -> Tensor:
    return torch.randint(below, (count,), generator=generator)


class StyleModel(nn.Module):
    """The style encoder with a linear reading of habits from the style, which only training uses."""

    def __init__(self, encoder: StyleEncoder, habits: int):
        super().__init__()
        self.encoder = encoder
        self.reading = nn.Linear(encoder.config.projection, habits)


@dataclass
class StyleStage:
    """PSSL: clips of the same person lie together, clips of different persons apart.

    Beside the paper's contrastive loss, the habits the person was drawn with have to be readable from the style: told
    apart by their rest faces alone, people get styles that do not say how often they nod or smile.
    """

    model: StyleModel
    corpus: Corpus
    people: int = 32
    shortest: int = 50  # tokens of a crop: 10 to 30 s
    longest: int = 150
    habit_weight: float = 3.0

    def loss(self, generator: torch.Generator) -> Tensor:
        clips_of = self.corpus.clips_of()
        people = torch.randperm(len(clips_of), generator=generator)[: self.people]
        clips = clips_of[people][:, :2].reshape(-1)
        length = self.shortest + int(_draw(1, self.longest - self.shortest + 1, generator))
        last_start = self.corpus.tokens - length
        crops = torch.stack(
            [
                self.corpus.listener[clip, start : start + length]
                for clip, start in zip(clips, _draw(len(clips), last_start + 1, generator), strict=True)
            ]
        ).float()
        style = self.model.encoder(crops).float()
        owner = people.repeat_interleave(2)
        reading = F.mse_loss(self.model.reading(style * style.shape[1] ** 0.5), self.corpus.habits[owner])
        return supervised_contrastive(style, owner) + self.habit_weight * reading


def window_batch(
    corpus: Corpus, clips: Tensor, starts: Tensor, config: DenoiserConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Listener windows x0 that begin at token `starts`, and their conditions.

    The speaker's part begins `reaction_delay` tokens earlier; the past listener is the `window` tokens before. Tokens
    before the clip's start are zeros (spec section 9).
    """

    def cut(table: Tensor, rows: Tensor, first: Tensor, length: int) -> Tensor:
        index = first[:, None] + torch.arange(length)
        outside = (index < 0) | (index >= table.shape[1])
        picked = table[rows[:, None], index.clamp(0, table.shape[1] - 1)].float()
        return picked.masked_fill(outside[..., None], 0.0)

    speakers, heard = corpus.speaker[clips], starts - config.reaction_delay
    conditions = {
        "audio": cut(corpus.speaker_audio, speakers, heard, config.speaker_frames),
        "coefficients": cut(corpus.speaker_coefficients, speakers, heard, config.speaker_frames),
        "past_listener": cut(corpus.listener, clips, starts - config.window, config.window),
    }
    return cut(corpus.listener, clips, starts, config.window), conditions


def direction_weights(codec: MotionCodec, most: float = 6.0) -> Tensor:
    """How much each direction of a token counts, (D,): 1, and up to `most` for those in which the head pitches.

    A nod is rare and small beside all else that a face does, so that when to nod is learnt last, yet it is what a
    listener is watched for.
    """
    pitch = codec.listener_out.unflatten(1, (codec.patch, WIDTH))[:, :, CHANNEL["rotationX"]]
    quick = (pitch - pitch.mean(1, keepdim=True)).square().sum(1).sqrt()
    return 1 + (most - 1) * quick / quick.max().clamp(min=1e-9)


def weighted_error(predicted: Tensor, x0: Tensor, timesteps: Tensor, directions: Tensor) -> Tensor:
    """Squared error of x0 (N, W, D), weighted by direction and by (1 + SNR) / (1 + SNR / 5), SNR = abar / (1 - abar).

    That is 1 where all is noise and 5 where little is: these steps, in which quick movements take shape, have small
    errors and would otherwise be drowned by those where nothing can be known (after min-SNR, Hang et al. 2023).
    """
    abar = torch.as_tensor(cumulative_alphas(), dtype=torch.float32)[timesteps]
    snr = abar / (1 - abar)
    step_weight = (1 + snr) / (1 + snr / 5)
    return (((predicted - x0) ** 2 * directions).mean(dim=(1, 2)) * step_weight).mean()


class GeneratorModel(nn.Module):
    """The denoiser with a linear forecast from its context, which only training uses, see `foreseen`."""

    def __init__(self, denoiser: Denoiser):
        super().__init__()
        self.denoiser = denoiser
        self.forecast = nn.Linear(denoiser.config.width, len(FORESEEN))


FORESEEN = ("nodding", "mouthSmileLeft", "browInnerUp")


def foreseen(codec: MotionCodec, x0: Tensor) -> Tensor:
    """What of a listener's tokens (N, W, D) a speaker may tell beforehand: nodding, smile, raised brows, (N, W, 3).

    Nodding is the standard deviation of the pitch within a token, in half degrees; the others are means in tenths.
    """
    pitching = codec.listener_out.unflatten(1, (codec.patch, WIDTH))[:, :, CHANNEL["rotationX"]]
    pitch = (x0 @ pitching).std(-1, correction=0)
    raw = codec.raw_coefficients(x0).unflatten(-2, (-1, codec.patch)).mean(-2)
    levels = [raw[..., CHANNEL[name]] * 10 for name in FORESEEN[1:]]
    return torch.stack([torch.rad2deg(pitch).clamp(max=3) * 2, *levels], dim=-1)


@dataclass
class GeneratorStage:
    """GAFRG: predict the clean window of a listener from its noised one and the speaker.

    With a model of `GeneratorModel`, the speaker's context alone also has to forecast nods, smiles and brows: in the
    diffusion loss an answer to the speaker is a small part, and learnt late.
    """

    denoiser: Denoiser
    corpus: Corpus
    windows: int = 40
    joint_drop: float = 0.1  # share of windows that lose both speaker streams at once: guidance needs that branch
    opening: float = 0.15  # share of windows that open a clip
    past_noise: float = 0.3  # most noise on the past listener: at test time it is the model's own and not perfect
    model: GeneratorModel | None = None
    forecast_weight: float = 0.1

    def loss(self, generator: torch.Generator) -> Tensor:
        clips = _draw(self.windows, len(self.corpus.listener), generator)
        return self.denoising_loss(clips, generator)

    def denoising_loss(self, clips: Tensor, generator: torch.Generator, edits=None) -> Tensor:
        config = self.denoiser.config
        count = len(clips)
        starts = _draw(count, self.corpus.tokens - config.window + 1, generator)
        starts = torch.where(torch.rand(count, generator=generator) < self.opening, 0, starts)
        x0, conditions = window_batch(self.corpus, clips, starts, config)
        past = conditions["past_listener"]
        size = self.past_noise * torch.rand(count, 1, 1, generator=generator) * (past != 0)
        conditions["past_listener"] = past + size * torch.randn(past.shape, generator=generator)
        timesteps = _draw(count, TRAIN_STEPS, generator)
        noise = torch.randn(x0.shape, generator=generator)
        keep = self.denoiser.draw_masks(count, generator)
        deaf = torch.rand(count, generator=generator) < self.joint_drop
        for name in ("audio", "coefficients"):
            keep[name] = keep[name] * ~deaf
        memory = self.denoiser.prepare(conditions, keep, edits)
        predicted = self.denoiser(add_noise(x0, noise, timesteps), timesteps, memory, edits)
        error = weighted_error(predicted.float(), x0, timesteps, direction_weights(self.corpus.codec))
        if self.model is None:
            return error
        forecast = self.model.forecast(memory.context).float()
        return error + self.forecast_weight * F.mse_loss(forecast, foreseen(self.corpus.codec, x0))


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
    shortest: int = 75  # tokens of the style clip: 15 to 30 s
    longest: int = 150

    def loss(self, generator: torch.Generator) -> Tensor:
        corpus = self.generator_stage.corpus
        clips_of = corpus.clips_of()
        people = torch.randperm(len(clips_of), generator=generator)[: self.people]
        order = torch.randperm(clips_of.shape[1], generator=generator)
        personal, target = clips_of[people][:, order[0]], clips_of[people][:, order[1]]
        length = self.shortest + int(_draw(1, self.longest - self.shortest + 1, generator))
        start = int(_draw(1, corpus.tokens - length + 1, generator))
        with torch.no_grad():
            style = self.encoder(corpus.listener[personal, start : start + length].float()).float()
        shifts = self.editor(style)
        clips = target.repeat_interleave(self.windows_each)
        return self.generator_stage.denoising_loss(clips, generator, shifts)
