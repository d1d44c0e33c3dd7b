"""Motion descriptors of a listener: how much the head nods, lids close, smiles and brows move, as smooth numbers."""

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
LOG_FLOOR = 0.3  # of the mean of a measure, added before its logarithm is taken
MIN_LOG_STD = 0.05  # of a logarithm: what never varies is not blown up
BIN_FRAMES = 20  # frames over which a measure is averaged to say how much its amounts vary, 0.8 s


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


def frame_descriptors(clips: Tensor) -> Tensor:
    """The descriptors of every frame: clips (N, T, 58) -> (N, T, measures), all 0 or more.

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
class MotionDescriptors:
    """Describes listeners by their tokens, on scales that are fitted to the corpus."""

    codec: MotionCodec
    log_floor: Tensor  # (measures,) added before logarithms are taken
    log_std: Tensor  # (measures,) of a bin's logarithm
    clip_mean: Tensor  # (measures,) of `describe`, over clips
    clip_std: Tensor  # (measures,)

    @classmethod
    def of(cls, codec: MotionCodec, tokens: Tensor) -> "MotionDescriptors":
        """From listener clips (N, tokens, D)."""
        bins = _mean_of_bins(frame_descriptors(_frames(codec, tokens)))
        log_floor = LOG_FLOOR * bins.mean((0, 1)).clamp(min=1e-4)
        log_std = (bins + log_floor).log().flatten(0, 1).std(0).clamp(min=MIN_LOG_STD)
        clips = (bins.mean(1) + log_floor).log() / log_std
        return cls(codec, log_floor, log_std, clips.mean(0), clips.std(0).clamp(min=MIN_LOG_STD))

    def describe(self, tokens: Tensor) -> Tensor:
        """Clips of any length (N, n, D) -> logarithms (N, measures) of the mean descriptors, in `log_std`."""
        return (frame_descriptors(_frames(self.codec, tokens)).mean(1) + self.log_floor).log() / self.log_std

    def standardized(self, described: Tensor) -> Tensor:
        """`describe`'s numbers (N, measures), scaled to mean 0 and deviation 1 over the corpus."""
        return (described - self.clip_mean) / self.clip_std


def _frames(codec: MotionCodec, tokens: Tensor) -> Tensor:
    """Frames (N, T, 58) as they are handed out: no expression below 0."""
    clips = codec.raw_coefficients(tokens.float())
    return torch.cat([clips[..., EXPRESSION].clamp(min=0), clips[..., EXPRESSION.stop :]], dim=-1)


def _mean_of_bins(measures: Tensor) -> Tensor:
    frames = measures.shape[1] // BIN_FRAMES * BIN_FRAMES
    return measures[:, :frames].unflatten(1, (-1, BIN_FRAMES)).mean(2)
