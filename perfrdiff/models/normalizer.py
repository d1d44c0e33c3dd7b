"""The mean and scale of the features that published networks see; they travel in the checkpoint."""

from torch import Tensor

from perfrdiff.models.fixed_tensors import FixedTensors


class Normalizer(FixedTensors):
    """Coefficients (…, 58) and audio (…, 78) to network units and back.

    The published weights subtract the mean face and divide by nothing: `coefficient_scale` of ones.
    """

    coefficient_mean: Tensor  # (58,)
    coefficient_scale: Tensor  # (58,)
    audio_mean: Tensor  # (78,)
    audio_scale: Tensor  # (78,)

    patch = 1
    """Frames in a token; see `perfrdiff.models.motion_codec` for more."""

    def coefficients(self, raw: Tensor) -> Tensor:
        """A listener's frames (…, 58) in network units."""
        return (raw - self.coefficient_mean) / self.coefficient_scale

    def speaker(self, raw: Tensor) -> Tensor:
        """The speaker's coefficients, as the listener's."""
        return self.coefficients(raw)

    def raw_coefficients(self, normalized: Tensor) -> Tensor:
        """The inverse of `coefficients`."""
        return normalized * self.coefficient_scale + self.coefficient_mean

    def audio(self, raw: Tensor) -> Tensor:
        """MFCCs (…, 78) in network units."""
        return (raw - self.audio_mean) / self.audio_scale
