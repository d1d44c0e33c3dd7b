"""A style from what can be counted and measured in a listener's clip, for clips unlike those the style encoder knows.

The demo's style encoder has seen simulated listeners only. Tracked real faces move in far more ways, and what it
makes of them lies where no simulated listener's style does: they would blink without end. Nods, blinks, smiles,
levels and the pose are found alike in both. So for a real face the style is the one to be expected of a simulated
listener of whom the same was measured (least squares), which is shorter than 1 by what they do not tell.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from perfrdiff.features import events
from perfrdiff.features.coefficients import CHANNEL, FPS, ROTATION
from perfrdiff.features.habits import confidence_of

LEVELS = (
    "mouthSmile", "browInnerUp", "browOuterUp", "browDown", "mouthPress", "eyeSquint", "eyeLookDown", "eyeBlink",
)  # fmt: skip
COUNTED = 7  # of `measured`: the first ones, which a short clip tells badly
USUAL_SIZES = 4.3, 0.3  # degrees of a nod, mouthSmile of a smile, where there is none
ANGLE_FLOOR = 0.5  # degrees
RIDGE = 10.0  # clips
UNHEARD_OF = 0.001  # share of the simulated clips that are livelier than what the style encoder is shown
EXTREME = 0.01  # share of the clips at either end beyond which a measurement is not believed


def measured(clip: np.ndarray) -> np.ndarray:
    """What is measured in a clip (frames, 58), (21,): rates and sizes of events, levels, the head's pose and unrest."""
    clip = clip.astype(np.float64)
    nods, smiles = events.nods(clip), events.smiles(clip)
    happened = (
        nods.start, events.blinks(clip).time, smiles.start, events.humps(clip, "browInnerUp").start,
        events.humps(clip, "browDown").start,
    )  # fmt: skip
    minutes = len(clip) / FPS / 60
    rates = [np.log(len(times) / minutes + 1.0) for times in happened]
    sizes = [np.log(nods.size.mean() if len(nods.size) else USUAL_SIZES[0]),
             smiles.size.mean() if len(smiles.size) else USUAL_SIZES[1]]  # fmt: skip
    levels = [np.sqrt(max(clip[:, _columns(name)].mean(), 0.0)) for name in LEVELS]
    angles = np.degrees(clip[:, ROTATION] - [np.pi, 0.0, 0.0])
    return np.array([*rates, *sizes, *levels, *np.median(angles, axis=0), *np.log(angles.std(axis=0) + ANGLE_FLOOR)])


def _columns(name: str) -> list[int]:
    return [CHANNEL[name]] if name in CHANNEL else [CHANNEL[f"{name}Left"], CHANNEL[f"{name}Right"]]


@dataclass(frozen=True)
class MeasuredStyle:
    """The map from what is measured to styles; it travels in the checkpoint."""

    mean: Tensor  # (21,) of what is measured in clips of 30 s
    scale: Tensor  # (21,)
    low: Tensor  # (21,) measurements are limited to low … high
    high: Tensor  # (21,)
    weights: Tensor  # (2 * 21 + 1, style): of each, of its square, constant
    liveliest: Tensor  # (): the most that the tokens of a clip vary which the style encoder may be shown

    @classmethod
    def fit(cls, clips: np.ndarray, styles: Tensor, spreads: Tensor) -> "MeasuredStyle":
        """From clips (N, frames, 58), what the style encoder makes of them (N, style), and `spread_of` each (N,)."""
        seen = np.stack([measured(clip) for clip in clips])
        mean, scale = seen.mean(axis=0), seen.std(axis=0).clip(min=1e-6)
        rows = _rows((seen - mean) / scale)
        square = rows.T @ rows + RIDGE * np.eye(rows.shape[1])
        weights = np.linalg.solve(square, rows.T @ styles.double().cpu().numpy())
        low, high = np.quantile(seen, (EXTREME, 1 - EXTREME), axis=0)
        numbers = (torch.tensor(part, dtype=torch.float32) for part in (mean, scale, low, high, weights))
        return cls(*numbers, spreads.float().cpu().quantile(1 - UNHEARD_OF))

    def unknown(self, tokens: Tensor) -> bool:
        """Whether the style encoder has never seen a clip that moves like these tokens (n, D)."""
        return bool(spread_of(tokens) > self.liveliest)

    def style(self, clip: np.ndarray) -> Tensor:
        """The style to be expected of a clip (frames, 58), (style,), of length 1 at most or near it.

        What is counted in less than 30 s is drawn towards the usual (`features.habits.confidence_of`).
        """
        mean, scale, low, high = (part.double().numpy() for part in (self.mean, self.scale, self.low, self.high))
        seen = (np.clip(measured(clip), low, high) - mean) / scale
        seen[:COUNTED] *= min(confidence_of(len(clip) / FPS) / confidence_of(30.0), 1.0)
        return torch.tensor(_rows(seen[None])[0] @ self.weights.double().numpy(), dtype=torch.float32)

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def spread_of(tokens: Tensor) -> Tensor:
    """How much the tokens (…, n, D) of a clip vary, (…)."""
    return tokens.float().std(-2).square().mean(-1).sqrt()


def _rows(seen: np.ndarray) -> np.ndarray:
    return np.concatenate([seen, seen**2, np.ones((len(seen), 1))], axis=1)
