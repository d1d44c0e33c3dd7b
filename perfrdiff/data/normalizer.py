"""What is subtracted from and divided out of the features before the networks see them; travels in the checkpoint."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from perfrdiff.features.coefficients import ROTATION

SPREAD_FLOOR = 0.02  # channels a tracker hardly sees would otherwise be blown up to unit variance
# Share of the head angles' spread that counts as 1: most of it is where people hold their heads, and a nod, small
# beside that, must stand out from the noise early in the denoising to be made at all.
ANGLE_SHARE = 0.4


@dataclass(frozen=True)
class Normalizer:
    """Coefficients (…, 58) and audio (…, 78) to network units and back.

    The published weights subtract the mean face and divide by nothing: `coefficient_scale` of ones.
    """

    coefficient_mean: Tensor  # (58,)
    coefficient_scale: Tensor  # (58,)
    audio_mean: Tensor  # (78,)
    audio_scale: Tensor  # (78,)

    @classmethod
    def fit(cls, coefficients: np.ndarray, audio: np.ndarray) -> "Normalizer":
        """Means and spreads of (frames, 58) and (frames, 78)."""
        spread = np.maximum(coefficients.std(0), SPREAD_FLOOR)
        spread[ROTATION] *= ANGLE_SHARE
        return cls(
            torch.tensor(coefficients.mean(0), dtype=torch.float32),
            torch.tensor(spread, dtype=torch.float32),
            torch.tensor(audio.mean(0), dtype=torch.float32),
            torch.tensor(np.maximum(audio.std(0), 1e-3), dtype=torch.float32),
        )

    def coefficients(self, raw: Tensor) -> Tensor:
        return (raw - self.coefficient_mean) / self.coefficient_scale

    def raw_coefficients(self, normal: Tensor) -> Tensor:
        return normal * self.coefficient_scale + self.coefficient_mean

    def audio(self, raw: Tensor) -> Tensor:
        return (raw - self.audio_mean) / self.audio_scale

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def to(self, device: torch.device) -> "Normalizer":
        return Normalizer(**{name: value.to(device) for name, value in self.tensors().items()})
