"""Faces as tokens: some frames of a face together, in directions of equal spread; travels in the checkpoint.

A diffusion model learns what stands out from the noise. In the 58 coefficients most of the variance is in the pose of
heads and the rest of faces, and a nod or a blink, small and rare beside that, is lost. So a token holds `patch` frames,
as principal directions (of what is above the tracker's noise) that are all scaled to a deviation of 1: the quick
directions count as much as the slow ones, and a window has fewer tokens than frames. The published weights use
`perfrdiff.models.normalizer` instead.
"""

import numpy as np
import torch
from torch import Tensor

from perfrdiff.coefficients import COEFFICIENT_NAMES, EXPRESSION, ROTATION, TRANSLATION, WIDTH
from perfrdiff.models.fixed_tensors import FixedTensors

PATCH = 5  # frames in a token, 0.2 s
MIN_VARIANCE = 1.5  # of a direction, in units of the tracker's noise; those with less are left out
FAST_CHANNELS = ("eyeBlink", "eyeLook", "eyeSquint")  # beginnings of the names of those that jump in a frame or two
REAL_STEP = 0.4  # a step of this size in such a channel is rather a lid or a glance than an error
VARIANCE_FLOOR = 2.0  # added to every variance, so that directions near the noise are not scaled up to 1
MIN_AUDIO_STD = 0.3  # of an audio channel over a clip, by its deviation over all clips
GENERATED_TOKEN_ERROR = 0.1  # standard deviation of a generated token's error, in units of a direction's deviation


def tracker_noise() -> np.ndarray:
    """Standard deviation of a tracked still face per coefficient, (58,) (docs/method.md 14.9, as in data.simulator)."""
    noise = np.empty(WIDTH, np.float32)
    noise[EXPRESSION] = 0.012
    noise[ROTATION] = np.deg2rad(0.12)
    noise[TRANSLATION] = (0.002, 0.002, 0.006)
    return noise


def principal_directions(clips: np.ndarray, patch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (patch * 58,) and the maps into tokens (patch * 58, D) and back (D, patch * 58), of clips (N, T, 58)."""
    size = np.tile(tracker_noise(), patch)
    frames = clips.shape[1] // patch * patch
    rows = clips[:, :frames].reshape(-1, patch * WIDTH)
    mean = rows.mean(0, dtype=np.float64)
    covariance = np.zeros((len(size), len(size)))
    for some_rows in np.array_split(rows, max(1, len(rows) // 100_000)):
        units = (some_rows - mean) / size
        covariance += units.T @ units
    variance, vectors = np.linalg.eigh(covariance / len(rows))
    largest = np.argsort(-variance)[: int((variance > MIN_VARIANCE).sum())]
    deviation = np.sqrt(variance[largest] + VARIANCE_FLOOR)
    into = vectors[:, largest] / deviation / size[:, None]
    out = (vectors[:, largest] * deviation).T * size
    return tuple(torch.tensor(matrix, dtype=torch.float32) for matrix in (mean, into, out))


def with_neighbours(tokens: Tensor) -> Tensor:
    """Every token between its neighbours, (…, n, D) -> (…, n, 3 D); the first and the last are their own neighbours."""
    padded = torch.cat([tokens[..., :1, :], tokens, tokens[..., -1:, :]], dim=-2)
    return torch.cat([padded[..., :-2, :], padded[..., 1:-1, :], padded[..., 2:, :]], dim=-1)


def fit_decoder(clips: np.ndarray, mean: Tensor, into: Tensor) -> Tensor:
    """The linear map (3 D, patch * 58) from three neighbouring tokens to the frames of the middle one that is optimal
    (Wiener) for tokens with `GENERATED_TOKEN_ERROR`: the neighbours' information corrects the middle token's errors."""
    patch = len(mean) // WIDTH
    frames = clips.shape[1] // patch * patch
    size = 3 * into.shape[1]
    square, product = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, len(mean), dtype=torch.float64)
    for some_clips in np.array_split(clips[:, :frames], len(clips) // 300 + 1):
        rows = torch.tensor(some_clips).unflatten(1, (-1, patch)).flatten(2) - mean
        three = with_neighbours(rows @ into).flatten(0, 1).double()
        square += three.T @ three
        product += three.T @ rows.flatten(0, 1).double()
    count = len(clips) * frames // patch
    square += count * GENERATED_TOKEN_ERROR**2 * torch.eye(size, dtype=torch.float64)
    return torch.linalg.solve(square, product).float()


def smooth_borders(rows: Tensor) -> Tensor:
    """Frames (…, n, patch, 58) with the steps between tokens spread from the middle of one to that of the next.

    The error of a generated token is common to its frames, which would show as a step five times a second. The step
    is what the border jumps more than the face moves on either side of it. Blinks and glances are quick themselves:
    in their channels only small steps are smoothed.
    """
    patch = rows.shape[-2]
    if patch < 3 or rows.shape[-3] < 2:
        return rows
    before, after = rows[..., :-1, :, :], rows[..., 1:, :, :]
    moving = (before[..., -1, :] - before[..., -2, :] + after[..., 1, :] - after[..., 0, :]) / 2
    step = after[..., 0, :] - before[..., -1, :] - moving
    is_fast = torch.tensor([name.startswith(FAST_CHANNELS) for name in COEFFICIENT_NAMES], device=rows.device)
    step = torch.where(is_fast, step * torch.exp(-((step / REAL_STEP) ** 2)), step)
    middle = (patch - 1) / 2
    place = (torch.arange(patch, device=rows.device) - middle) / patch
    up, down = place.clamp(min=0)[:, None], place.clamp(max=0)[:, None]
    rows = rows.clone()
    rows[..., :-1, :, :] += up * step[..., None, :]
    rows[..., 1:, :, :] += down * step[..., None, :]
    return rows


def causal_patches(raw: Tensor, patch: int) -> Tensor:
    """Frames (…, frames, channels) -> patches (…, ceil(frames / patch), patch * channels).

    Patch k ends with the first frame of the listener's token k, so no token depends on the speaker's future. The
    frames before the clip are its first one, repeated.
    """
    count = -(-raw.shape[-2] // patch)
    before = raw[..., :1, :].expand(*raw.shape[:-2], patch - 1, raw.shape[-1])
    rows = torch.cat([before, raw], dim=-2)[..., : count * patch, :]
    return rows.unflatten(-2, (count, patch)).flatten(-2)


class MotionCodec(FixedTensors):
    """Coefficients (…, frames, 58) and audio (…, frames, 78) to tokens and back, as in the demo weights of 0.1.0.

    Those of today have `perfrdiff.models.listening_codec`, which is fitted with the functions above.
    """

    listener_mean: Tensor  # (patch * 58,)
    listener_into: Tensor  # (patch * 58, D)
    listener_out: Tensor  # (D, patch * 58)
    listener_around: Tensor  # (3 D, patch * 58), see `fit_decoder`
    speaker_mean: Tensor  # (patch * 58,)
    speaker_into: Tensor  # (patch * 58, S)
    audio_mean: Tensor  # (78,)
    audio_scale: Tensor  # (78,)

    @property
    def patch(self) -> int:
        """Frames in a token."""
        return len(self.listener_mean) // WIDTH

    @property
    def widths(self) -> dict[str, int]:
        """Width of a token: `listener`, `coefficients` (the speaker's) and `audio`."""
        return {
            "listener": self.listener_into.shape[1],
            "coefficients": self.speaker_into.shape[1],
            "audio": self.patch * len(self.audio_mean),
        }

    def coefficients(self, raw: Tensor) -> Tensor:
        """A listener's frames (…, frames, 58) -> tokens (…, frames // patch, D); frames left over are dropped."""
        frames = raw.shape[-2] // self.patch * self.patch
        rows = raw[..., :frames, :].unflatten(-2, (-1, self.patch)).flatten(-2)
        return (rows - self.listener_mean) @ self.listener_into

    def raw_coefficients(self, tokens: Tensor) -> Tensor:
        """Tokens (…, n, D) -> frames (…, n * patch, 58), without steps between tokens.

        The frames of a token also depend on the next one, and its last two on the one after that, which have heard the
        speaker a little longer: a frame may depend on what the speaker does in the next 0.3 s.
        """
        rows = (with_neighbours(tokens) @ self.listener_around + self.listener_mean).unflatten(-1, (self.patch, WIDTH))
        return smooth_borders(rows).flatten(-3, -2)

    def speaker(self, raw: Tensor) -> Tensor:
        """A speaker's frames (…, frames, 58) -> tokens (…, ceil(frames / patch), S), see `causal_patches`."""
        return (causal_patches(raw, self.patch) - self.speaker_mean) @ self.speaker_into

    def audio(self, raw: Tensor) -> Tensor:
        """MFCCs (…, frames, 78) -> tokens (…, ceil(frames / patch), patch * 78), see `causal_patches`.

        Every channel has mean 0 and deviation 1 over the clip, so that neither voice nor microphone nor level matter.
        These two numbers per channel are the only ones that depend on later audio.
        """
        rows = (raw - self.audio_mean) / self.audio_scale
        deviation = rows.std(-2, correction=0, keepdim=True).clamp(min=MIN_AUDIO_STD)
        return causal_patches((rows - rows.mean(-2, keepdim=True)) / deviation, self.patch)
