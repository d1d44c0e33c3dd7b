"""How much a face moves, and when: soft measures of nods, blinks, glances and expressions that gradients pass through.

The diffusion loss sees them last: how often a person nods is a small part of the squared error of a noised window. Here
reactions are measured as an onlooker would, so that training can ask for the right amount, at the right time, from the
right person (`energy_score`, `person_error`).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from perfrdiff.data.motion_codec import MotionCodec
from perfrdiff.features.coefficients import CHANNEL, EXPRESSION, FPS, ROTATION

NOD_BANDS = (1.0, 1.7, 2.5, 3.4)  # Hz; nods are 1.4 to 2.9 (spec listener_statistics, section 1)
NOD_WIDTH = 25  # frames of the filters
NOD_DEGREES = 1.0  # amplitude from which the head counts as nodding
LEVELS = ("mouthSmile", "browInnerUp", "browDown", "mouthPress", "eyeSquint", "jawOpen", "eyeBlink", "eyeLookDown")
CHANGES = ("mouthSmile", "browInnerUp", "browDown", "mouthPress")
FLOOR = 0.3  # of the mean of a measure, added before its logarithm is taken
BORDER_FLOOR = 1e-4  # the same for the change between tokens
LEAST_SPREAD = 0.05  # of a logarithm: what never varies is not blown up
LEAST_REST = 0.01  # of a coefficient's mean, likewise
WINDOW_BINS = 6  # bins by which the spread of amounts is told
BIN = 20  # frames over which a measure is averaged to say when something happens, 0.8 s


def _columns(name: str) -> list[int]:
    return [CHANNEL[name]] if name in CHANNEL else [CHANNEL[f"{name}Left"], CHANNEL[f"{name}Right"]]


def _nod_filters() -> Tensor:
    """Hann-windowed cosines and sines without mean, (2 * bands, 1, NOD_WIDTH): a wave of amplitude 1 answers with 1."""
    time = (torch.arange(NOD_WIDTH) - NOD_WIDTH // 2) / FPS
    window = torch.hann_window(NOD_WIDTH + 2, periodic=False)[1:-1]
    rows = []
    for hertz in NOD_BANDS:
        for wave in (torch.cos, torch.sin):
            row = window * wave(2 * torch.pi * hertz * time)
            row = row - window * row.sum() / window.sum()
            rows.append(row / (row * wave(2 * torch.pi * hertz * time)).sum())
    return torch.stack(rows)[:, None]


def _step(x: Tensor, frames: int) -> Tensor:
    """Change over `frames` frames, (N, T) -> (N, T); 0 at the beginning."""
    return F.pad(x[:, frames:] - x[:, :-frames], (frames, 0))


def courses(clips: Tensor) -> Tensor:
    """What an onlooker follows, frame by frame: clips (N, T, 58) -> (N, T, measures), all 0 or more.

    Nodding by frequency and as such, turning and tilting, closing of the lids, glances; levels and changes of
    expressions.
    """

    def of(name: str) -> Tensor:
        return clips[..., _columns(name)].mean(-1)

    pitch, yaw, roll = torch.rad2deg(clips[..., ROTATION]).unbind(-1)
    padded = F.pad((pitch - pitch.mean(1, keepdim=True))[:, None], (NOD_WIDTH // 2, NOD_WIDTH // 2), mode="replicate")
    waves = F.conv1d(padded, _nod_filters().to(clips)).unflatten(1, (-1, 2))
    nodding = (waves.square().sum(2) + 1e-3).sqrt().transpose(1, 2)
    sideways = clips[..., CHANNEL["eyeLookOutLeft"]] - clips[..., CHANNEL["eyeLookInLeft"]]
    measures = [
        torch.sigmoid((nodding[..., 1:3].amax(-1) - NOD_DEGREES) / 0.25),
        _step(yaw, 3).abs(),
        _step(roll, 3).abs(),
        (_step(of("eyeBlink"), 2) - 0.06).clamp(min=0),
        (_step(sideways, 3).abs() - 0.04).clamp(min=0),
        *(of(name) for name in LEVELS),
        *(_step(of(name), 5).abs() for name in CHANGES),
    ]
    return torch.cat([nodding, torch.stack(measures, dim=-1)], dim=-1)


def borders(clips: Tensor, patch: int) -> Tensor:
    """Frame-to-frame change between tokens and inside them, of expressions and of angles: (N, T, 58) -> (N, 4)."""
    change = (clips[:, 1:] - clips[:, :-1]).abs()
    between = torch.arange(change.shape[1], device=clips.device) % patch == patch - 1
    parts = [change[..., EXPRESSION].mean(-1), torch.rad2deg(change[..., ROTATION]).mean(-1)]
    kinds = (between, ~between)  # with one frame in a token there is nothing inside
    return torch.stack([part[:, k].sum(1) / k.sum().clamp(min=1) for part in parts for k in kinds], dim=-1)


@dataclass(frozen=True)
class Measures:
    """Movement of windows, on scales of even spread."""

    when: Tensor  # (N, bins, measures) of `courses`
    whole: Tensor  # (N, 2 * measures) over the whole window: logarithms, and as they are: amounts and rates
    rest: Tensor  # (N, 58) mean face
    edges: Tensor  # (N, 4) of `borders`

    @property
    def person(self) -> Tensor:
        """What is a person's own, (N, 2 * measures + 58)."""
        return torch.cat([self.whole, self.rest], dim=-1)


@dataclass(frozen=True)
class Onlooker:
    """Measures reactions in tokens; its scales come from the corpus."""

    codec: MotionCodec
    floor: Tensor  # (measures,)
    spread: Tensor  # (measures,) of a bin's logarithm
    amount_spread: Tensor  # (measures,) of a measure over a window
    edge_spread: Tensor  # (4,)
    rest_spread: Tensor  # (58,)
    usual: Tensor  # (measures,) mean over whole clips
    between: Tensor  # (measures,) spread over whole clips

    @classmethod
    def of(cls, codec: MotionCodec, tokens: Tensor) -> "Onlooker":
        """From listener clips (N, tokens, D)."""
        clips = _frames(codec, tokens)
        bins = _binned(courses(clips))
        floor = FLOOR * bins.mean((0, 1)).clamp(min=1e-4)
        spread = (bins + floor).log().flatten(0, 1).std(0).clamp(min=LEAST_SPREAD)
        whole = (bins.mean(1) + floor).log() / spread
        edges = (borders(clips, codec.patch) + BORDER_FLOOR).log().std(0).clamp(min=LEAST_SPREAD)
        rest = clips.mean(1).std(0).clamp(min=LEAST_REST)
        amounts = bins.unfold(1, min(WINDOW_BINS, bins.shape[1]), WINDOW_BINS).mean(-1).flatten(0, 1)
        amounts = amounts.std(0) + LEAST_SPREAD * floor
        return cls(codec, floor, spread, amounts, edges, rest, whole.mean(0), whole.std(0).clamp(min=LEAST_SPREAD))

    def measure(self, tokens: Tensor) -> Measures:
        """Windows (N, W, D) -> their movement."""
        clips = _frames(self.codec, tokens)
        bins = _binned(courses(clips))
        edges = (borders(clips, self.codec.patch) + BORDER_FLOOR).log() / self.edge_spread
        mean = bins.mean(1)
        whole = torch.cat([self._even(mean), mean / self.amount_spread], dim=-1)
        return Measures(self._even(bins), whole, clips.mean(1) / self.rest_spread, edges)

    def person(self, tokens: Tensor) -> Tensor:
        """Clips of any length (N, n, D) -> their movement, (N, measures), as the first half of `Measures.whole`."""
        return self._even(courses(_frames(self.codec, tokens)).mean(1))

    def windows(self, tokens: Tensor, length: int) -> Tensor:
        """Clips (N, n, D) -> the mean of `Measures.person` over their windows of `length` tokens.

        It is not the logarithm of the mean: movement comes in bursts.
        """
        count = tokens.shape[1] // length
        cut = tokens[:, : count * length].unflatten(1, (count, length)).flatten(0, 1)
        return self.measure(cut).person.unflatten(0, (-1, count)).mean(1)

    def among_people(self, whole: Tensor) -> Tensor:
        """Movement as a whole on a scale in which clips of all sorts of people have mean 0 and spread 1."""
        return (whole - self.usual) / self.between

    def _even(self, measures: Tensor) -> Tensor:
        return (measures + self.floor).log() / self.spread


def _frames(codec: MotionCodec, tokens: Tensor) -> Tensor:
    """Frames (N, T, 58) as they are handed out: no expression below 0."""
    clips = codec.raw_coefficients(tokens.float())
    return torch.cat([clips[..., EXPRESSION].clamp(min=0), clips[..., EXPRESSION.stop :]], dim=-1)


def _binned(measures: Tensor) -> Tensor:
    whole = measures.shape[1] // BIN * BIN
    return measures[:, :whole].unflatten(1, (-1, BIN)).mean(2)


def energy_score(one: Tensor, other: Tensor, real: Tensor) -> Tensor:
    """Continuous ranked probability score of each number, (…) -> (…), from two samples of a window and the real one.

    Its mean is least when the samples are spread as the real ones are, given what both were made from (Gneiting &
    Raftery 2007, equation 20): neither a wrong rate nor a wrong time nor a lack of variety goes unseen.
    """
    return ((one - real).abs() + (other - real).abs() - (one - other).abs()) / 2


def person_error(one: Tensor, other: Tensor, real: Tensor) -> Tensor:
    """How far persons' mean movement is from their own, squared, without the bias of a mean of few samples.

    one, other (P, M, measures): two samples of M windows each; real (P, measures). The two factors come from different
    windows and different noise.
    """
    half = one.shape[1] // 2
    first, second = one[:, :half].mean(1) - real, other[:, half:].mean(1) - real
    third, fourth = other[:, :half].mean(1) - real, one[:, half:].mean(1) - real
    return ((first * second).mean() + (third * fourth).mean()) / 2
