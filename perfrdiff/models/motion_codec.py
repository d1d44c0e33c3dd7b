"""Faces as tokens: some frames of a face together, in directions of equal spread; travels in the checkpoint.

A diffusion model makes what stands out from the noise. In the 58 coefficients most of the spread is where people hold
their heads and faces, and a nod or a blink, small and rare beside that, is lost. So a token holds `patch` frames, as
principal directions (of what is above the tracker's noise) that are all scaled to a spread of 1: the quick
directions count as much as the slow ones, and a window has fewer tokens than frames. The published weights know nothing
of this; they use `perfrdiff.models.normalizer`.
"""

import numpy as np
import torch
from torch import Tensor

from perfrdiff.coefficients import COEFFICIENT_NAMES, EXPRESSION, ROTATION, TRANSLATION, WIDTH
from perfrdiff.models.fixed_tensors import FixedTensors

PATCH = 5  # frames in a token, 0.2 s
KEPT = 1.5  # directions of less variance than this, in units of the tracker's noise, are left out
QUICK = ("eyeBlink", "eyeLook", "eyeSquint")  # channels that may jump within a frame or two
EVENT = 0.4  # a step of this size in such a channel is rather a lid or a glance than an error
FLOOR = 2.0  # added to every variance, so that directions near the noise are not blown up to a spread of 1
SPEAKER_FLOOR = 50.0  # the same for speakers: real ones move far more in small directions than simulated ones
QUIETEST = 0.3  # least spread of an audio channel over a clip, by its spread over all clips
MADE_ERROR = 0.1  # standard deviation of what a made token is off by, in units of a direction's spread


def tracker_noise() -> np.ndarray:
    """Standard deviation of a tracked still face per coefficient, (58,) (docs/method.md 14.9, as in data.simulated)."""
    noise = np.empty(WIDTH, np.float32)
    noise[EXPRESSION] = 0.012
    noise[ROTATION] = np.deg2rad(0.12)
    noise[TRANSLATION] = (0.002, 0.002, 0.006)
    return noise


def _directions(clips: np.ndarray, patch: int, floor: float = FLOOR) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (patch * 58,), into tokens (patch * 58, D), out of tokens (D, patch * 58) for clips (N, frames, 58)."""
    size = np.tile(tracker_noise(), patch)
    whole = clips.shape[1] // patch * patch
    rows = clips[:, :whole].reshape(-1, patch * WIDTH)
    mean = rows.mean(0, dtype=np.float64)
    covariance = np.zeros((len(size), len(size)))
    for part in np.array_split(rows, max(1, len(rows) // 100_000)):
        units = (part - mean) / size
        covariance += units.T @ units
    variance, vectors = np.linalg.eigh(covariance / len(rows))
    kept = np.argsort(-variance)[: int((variance > KEPT).sum())]
    spread = np.sqrt(variance[kept] + floor)
    into = vectors[:, kept] / spread / size[:, None]
    out = (vectors[:, kept] * spread).T * size
    return tuple(torch.tensor(part, dtype=torch.float32) for part in (mean, into, out))


def _around(tokens: Tensor) -> Tensor:
    """Every token between its neighbours, (…, n, D) -> (…, n, 3 D); the first and the last are their own neighbours."""
    ends = torch.cat([tokens[..., :1, :], tokens, tokens[..., -1:, :]], dim=-2)
    return torch.cat([ends[..., :-2, :], ends[..., 1:-1, :], ends[..., 2:, :]], dim=-1)


def _frames_from_three(clips: np.ndarray, mean: Tensor, into: Tensor) -> Tensor:
    """The linear map of three neighbouring tokens to the frames of the middle one, (3 D, patch * 58), that is best
    (Wiener) for tokens that are off by `MADE_ERROR`: where neighbours know better, it believes them."""
    patch = len(mean) // WIDTH
    whole = clips.shape[1] // patch * patch
    size = 3 * into.shape[1]
    square, product = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, len(mean), dtype=torch.float64)
    for part in np.array_split(clips[:, :whole], len(clips) // 300 + 1):
        rows = torch.tensor(part).unflatten(1, (-1, patch)).flatten(2) - mean
        three = _around(rows @ into).flatten(0, 1).double()
        square += three.T @ three
        product += three.T @ rows.flatten(0, 1).double()
    count = len(clips) * whole // patch
    square += count * MADE_ERROR**2 * torch.eye(size, dtype=torch.float64)
    return torch.linalg.solve(square, product).float()


class MotionCodec(FixedTensors):
    """Coefficients (…, frames, 58) and audio (…, frames, 78) to tokens and back."""

    listener_mean: Tensor  # (patch * 58,)
    listener_into: Tensor  # (patch * 58, D)
    listener_out: Tensor  # (D, patch * 58)
    listener_around: Tensor  # (3 D, patch * 58), see `_frames_from_three`
    speaker_mean: Tensor  # (patch * 58,)
    speaker_into: Tensor  # (patch * 58, S)
    audio_mean: Tensor  # (78,)
    audio_scale: Tensor  # (78,)

    @classmethod
    def fit(cls, listener: np.ndarray, speaker: np.ndarray, audio: np.ndarray, patch: int = PATCH) -> "MotionCodec":
        """From clips of listeners and speakers (N, frames, 58) and MFCCs (N, frames, 78)."""
        rows = audio.reshape(-1, audio.shape[-1])
        mean, into, out = _directions(listener, patch)
        return cls(
            mean,
            into,
            out,
            _frames_from_three(listener, mean, into),
            *_directions(speaker, patch, SPEAKER_FLOOR)[:2],
            torch.tensor(rows.mean(0), dtype=torch.float32),
            torch.tensor(np.maximum(rows.std(0), 1e-3), dtype=torch.float32),
        )

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
        whole = raw.shape[-2] // self.patch * self.patch
        return (
            raw[..., :whole, :].unflatten(-2, (-1, self.patch)).flatten(-2) - self.listener_mean
        ) @ self.listener_into

    def raw_coefficients(self, tokens: Tensor) -> Tensor:
        """Tokens (…, n, D) -> frames (…, n * patch, 58), without steps between tokens.

        The frames of a token also depend on the next one, and its last two on the one after that, which have heard the
        speaker a little longer: a frame may know of what comes in the next 0.3 s.
        """
        rows = (_around(tokens) @ self.listener_around + self.listener_mean).unflatten(-1, (self.patch, WIDTH))
        return self._joined(rows).flatten(-3, -2)

    def _joined(self, rows: Tensor) -> Tensor:
        """Frames (…, n, patch, 58) with what two neighbours disagree about spread from middle to middle.

        A made token is a little off as a whole, which would show as a step five times a second. The step is what the
        border jumps more than the face moves on either side of it. Blinks and glances are quick themselves: of these
        channels only small steps go.
        """
        if self.patch < 3 or rows.shape[-3] < 2:
            return rows
        before, after = rows[..., :-1, :, :], rows[..., 1:, :, :]
        moving = (before[..., -1, :] - before[..., -2, :] + after[..., 1, :] - after[..., 0, :]) / 2
        step = after[..., 0, :] - before[..., -1, :] - moving
        quick = torch.tensor([name.startswith(QUICK) for name in COEFFICIENT_NAMES], device=rows.device)
        step = torch.where(quick, step * torch.exp(-((step / EVENT) ** 2)), step)
        middle = (self.patch - 1) / 2
        place = (torch.arange(self.patch, device=rows.device) - middle) / self.patch
        up, down = place.clamp(min=0)[:, None], place.clamp(max=0)[:, None]
        rows = rows.clone()
        rows[..., :-1, :, :] += up * step[..., None, :]
        rows[..., 1:, :, :] += down * step[..., None, :]
        return rows

    def speaker(self, raw: Tensor) -> Tensor:
        """A speaker's frames (…, frames, 58) -> tokens (…, ceil(frames / patch), S), see `_heard`."""
        return (self._heard(raw) - self.speaker_mean) @ self.speaker_into

    def audio(self, raw: Tensor) -> Tensor:
        """MFCCs (…, frames, 78) -> tokens (…, ceil(frames / patch), patch * 78), see `_heard`.

        Every channel has mean 0 and spread 1 over the clip, so that neither voice nor microphone nor level matter.
        These two numbers a channel are all that a frame can know of what is still to be heard.
        """
        rows = (raw - self.audio_mean) / self.audio_scale
        spread = rows.std(-2, correction=0, keepdim=True).clamp(min=QUIETEST)
        return self._heard((rows - rows.mean(-2, keepdim=True)) / spread)

    def _heard(self, raw: Tensor) -> Tensor:
        """Token k ends with the first frame of the listener's token k: no listener frame can see what is still to come.

        The frames before the clip are its first one, repeated.
        """
        count = -(-raw.shape[-2] // self.patch)
        before = raw[..., :1, :].expand(*raw.shape[:-2], self.patch - 1, raw.shape[-1])
        rows = torch.cat([before, raw], dim=-2)[..., : count * self.patch, :]
        return rows.unflatten(-2, (count, self.patch)).flatten(-2)
