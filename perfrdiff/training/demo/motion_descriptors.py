"""What an onlooker sees of a listener: how much the head nods, lids close, smiles and brows move, as smooth numbers."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, ROTATION
from perfrdiff.models.motion_codec import MotionCodec

NOD_BANDS = (1.0, 1.7, 2.5, 3.4)  # Hz; nods are 1.4 to 2.9 (perfrdiff/behaviour/ranges.py)
NOD_WIDTH = 25  # frames of the filters
NOD_DEGREES = 1.0  # amplitude from which the head counts as nodding
LEVELS = ("mouthSmile", "browInnerUp", "browDown", "mouthPress", "eyeSquint", "jawOpen", "eyeBlink", "eyeLookDown")
CHANGES = ("mouthSmile", "browInnerUp", "browDown", "mouthPress")
FLOOR = 0.3  # of the mean of a measure, added before its logarithm is taken
LEAST_SPREAD = 0.05  # of a logarithm: what never varies is not blown up
BIN = 20  # frames over which a measure is averaged to say how much its amounts vary, 0.8 s


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


@dataclass(frozen=True)
class Onlooker:
    """Measures how much listeners move, from their tokens; its scales come from the corpus."""

    codec: MotionCodec
    floor: Tensor  # (measures,)
    spread: Tensor  # (measures,) of a bin's logarithm
    usual: Tensor  # (measures,) mean over whole clips
    between: Tensor  # (measures,) spread over whole clips

    @classmethod
    def of(cls, codec: MotionCodec, tokens: Tensor) -> "Onlooker":
        """From listener clips (N, tokens, D)."""
        bins = _binned(courses(_frames(codec, tokens)))
        floor = FLOOR * bins.mean((0, 1)).clamp(min=1e-4)
        spread = (bins + floor).log().flatten(0, 1).std(0).clamp(min=LEAST_SPREAD)
        whole = (bins.mean(1) + floor).log() / spread
        return cls(codec, floor, spread, whole.mean(0), whole.std(0).clamp(min=LEAST_SPREAD))

    def person(self, tokens: Tensor) -> Tensor:
        """Clips of any length (N, n, D) -> how much there is of every measure, (N, measures), as even logarithms."""
        return (courses(_frames(self.codec, tokens)).mean(1) + self.floor).log() / self.spread

    def among_people(self, whole: Tensor) -> Tensor:
        """`person` on a scale in which clips of all sorts of people have mean 0 and spread 1."""
        return (whole - self.usual) / self.between


def _frames(codec: MotionCodec, tokens: Tensor) -> Tensor:
    """Frames (N, T, 58) as they are handed out: no expression below 0."""
    clips = codec.raw_coefficients(tokens.float())
    return torch.cat([clips[..., EXPRESSION].clamp(min=0), clips[..., EXPRESSION.stop :]], dim=-1)


def _binned(measures: Tensor) -> Tensor:
    whole = measures.shape[1] // BIN * BIN
    return measures[:, :whole].unflatten(1, (-1, BIN)).mean(2)
