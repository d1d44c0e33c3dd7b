"""Motion descriptors: how much a head nods, lids close and smiles change at each moment, as smooth numbers.

A nod is an oscillation: its mean over many nods is nothing at all, so a network that predicts means learns last what it
should learn first, whether there will be a nod. How *much* nodding there is has a mean. The demo weights' tokens carry
both (perfrdiff.models.listening_codec).
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from perfrdiff.coefficients import CHANNEL, FPS, ROTATION

NOD_BANDS = (1.0, 1.7, 2.5, 3.4)  # Hz; nods are 1.4 to 2.9 (perfrdiff/behaviour/ranges.py)
SHAKE_BAND = 1.7
BAND_FRAMES = 25  # of the filters of a band, 1 s
EVENT_FRAMES = 7  # over which what lasts a moment, as a closing lid or a glance, is averaged
CHANGE_FRAMES = 15  # the same for slower movements
DESCRIPTOR_NAMES = (
    *(f"nodding at {hertz} Hz" for hertz in NOD_BANDS), "shaking", "tilting", "closing of the lids", "glancing",
    "change of smile", "change of brows", "change of lips",
)  # fmt: skip
DESCRIPTORS = len(DESCRIPTOR_NAMES)
DEGREES_SCALE = 0.5  # degrees of a band's amplitude that count as little
EXPRESSION_SCALE = 0.02  # the same for expressions' steps


def _columns(name: str) -> list[int]:
    return [CHANNEL[name]] if name in CHANNEL else [CHANNEL[f"{name}Left"], CHANNEL[f"{name}Right"]]


@cache
def _band_filters(hertz: tuple[float, ...]) -> Tensor:
    """Hann-windowed waves without mean, (2 * bands, 1, BAND_FRAMES); a wave of amplitude 1 answers with 1."""
    time = (torch.arange(BAND_FRAMES) - BAND_FRAMES // 2) / FPS
    window = torch.hann_window(BAND_FRAMES + 2, periodic=False)[1:-1]
    rows = []
    for frequency in hertz:
        for wave in (torch.cos, torch.sin):
            row = window * wave(2 * torch.pi * frequency * time)
            row = row - window * row.sum() / window.sum()
            rows.append(row / (row * wave(2 * torch.pi * frequency * time)).sum())
    return torch.stack(rows)[:, None]


def band_amplitude(x: Tensor, hertz: tuple[float, ...]) -> Tensor:
    """Amplitude of x (N, T) about each frequency, within half a second before and after, (N, T, bands)."""
    half = BAND_FRAMES // 2
    padded = F.pad((x - x.mean(1, keepdim=True))[:, None], (half, half), mode="replicate")
    waves = F.conv1d(padded, _band_filters(hertz).to(x)).unflatten(1, (-1, 2))
    return (waves.square().sum(2) + 1e-6).sqrt().transpose(1, 2)


def _step(x: Tensor, frames: int) -> Tensor:
    """Change over `frames` frames, (N, T) -> (N, T); 0 at the beginning."""
    return F.pad(x[:, frames:] - x[:, :-frames], (frames, 0))


def _averaged(x: Tensor, frames: int) -> Tensor:
    """Mean of x (N, T) over `frames` frames about each."""
    return F.avg_pool1d(F.pad(x[:, None], (frames // 2, frames // 2), mode="replicate"), frames, stride=1)[:, 0]


def frame_descriptors(clips: Tensor) -> Tensor:
    """The descriptors of every frame, clips (N, T, 58) with T of 26 or more -> (N, T, 11), all 0 or more."""

    def of(name: str) -> Tensor:
        return clips[..., _columns(name)].mean(-1)

    pitch, yaw, roll = torch.rad2deg(clips[..., ROTATION]).unbind(-1)
    nodding, shaking = band_amplitude(pitch, NOD_BANDS), band_amplitude(yaw, (SHAKE_BAND,))
    aside = clips[..., CHANNEL["eyeLookOutLeft"]] - clips[..., CHANNEL["eyeLookInLeft"]]
    lowered = of("eyeLookDown") - of("eyeLookUp")
    brows = of("browInnerUp") - of("browDown")
    lips = of("mouthPress") + of("jawOpen") + of("mouthPucker")
    steps = [
        _averaged(_step(roll, 12).abs(), CHANGE_FRAMES) / DEGREES_SCALE,
        _averaged((_step(of("eyeBlink"), 2) - 0.06).clamp(min=0), EVENT_FRAMES) / EXPRESSION_SCALE,
        _averaged((_step(aside, 3).abs() + _step(lowered, 3).abs() - 0.06).clamp(min=0), EVENT_FRAMES)
        / EXPRESSION_SCALE,
        *(_averaged(_step(x, 5).abs(), CHANGE_FRAMES) / EXPRESSION_SCALE for x in (of("mouthSmile"), brows, lips)),
    ]
    degrees = torch.cat([nodding, shaking], dim=-1) / DEGREES_SCALE
    return torch.cat([degrees, torch.stack(steps, dim=-1)], dim=-1).log1p()
