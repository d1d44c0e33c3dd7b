"""What the demo weights' networks see of the two faces and of the sound, as tokens; travels in the checkpoint.

The listener's tokens are those of `perfrdiff.models.motion_codec`, followed by motion descriptors: whether, and how,
the head is nodding is then a number with a mean of its own, which the speaker and the listener's style can foretell.
They are generated with the rest and dropped on the way back to frames. The speaker's tokens are what is heard
(perfrdiff.features.hearing) and how the face departs from its own usual one (perfrdiff.features.speaker_face).
"""

import numpy as np
import torch
from torch import Tensor

from perfrdiff.coefficients import WIDTH
from perfrdiff.features.hearing import HEARING_WIDTH
from perfrdiff.features.speaker_face import FACE_WIDTH
from perfrdiff.models.fixed_tensors import FixedTensors
from perfrdiff.models.motion_codec import (
    PATCH,
    causal_patches,
    fit_decoder,
    principal_directions,
    smooth_borders,
    with_neighbours,
)
from perfrdiff.models.motion_descriptors import BAND_FRAMES, DESCRIPTORS, frame_descriptors

LEAST_SCALE = 1e-3


class ListeningCodec(FixedTensors):
    """Coefficients (…, frames, 58), hearing (…, frames, 8) and a speaker's face (…, frames, 13) to tokens and back."""

    listener_mean: Tensor  # (patch * 58,)
    listener_into: Tensor  # (patch * 58, D)
    listener_out: Tensor  # (D, patch * 58)
    listener_around: Tensor  # (3 D, patch * 58), see motion_codec.fit_decoder
    descriptor_mean: Tensor  # (11,)
    descriptor_scale: Tensor  # (11,)
    hearing_mean: Tensor  # (8,)
    hearing_scale: Tensor  # (8,)

    @classmethod
    def fit(cls, listener: np.ndarray, hearing: np.ndarray, patch: int = PATCH) -> "ListeningCodec":
        """From clips of listeners (N, frames, 58) and of what was heard (M, frames, 8)."""
        mean, into, out = principal_directions(listener, patch)
        parts = np.array_split(listener, len(listener) // 200 + 1)
        described = torch.cat([frame_descriptors(torch.tensor(part)).flatten(0, 1) for part in parts])
        heard = torch.tensor(hearing).flatten(0, 1)
        return cls(
            mean, into, out, fit_decoder(listener, mean, into),
            described.mean(0), described.std(0).clamp(min=LEAST_SCALE),
            heard.mean(0), heard.std(0).clamp(min=LEAST_SCALE),
        )  # fmt: skip

    @property
    def patch(self) -> int:
        """Frames in a token."""
        return len(self.listener_mean) // WIDTH

    @property
    def motion_width(self) -> int:
        """How many of a listener's token's numbers are motion; the others are descriptors."""
        return self.listener_into.shape[1]

    @property
    def widths(self) -> dict[str, int]:
        """Width of a token: `listener`, `coefficients` (the speaker's face) and `audio` (what is heard)."""
        return {
            "listener": self.motion_width + DESCRIPTORS,
            "coefficients": self.patch * FACE_WIDTH,
            "audio": self.patch * (HEARING_WIDTH + 1),
        }

    def coefficients(self, raw: Tensor) -> Tensor:
        """A listener's frames (…, frames, 58) -> tokens (…, frames // patch, D + 11); frames left over are dropped."""
        frames = raw.shape[-2] // self.patch * self.patch
        rows = raw[..., :frames, :]
        motion = (rows.unflatten(-2, (-1, self.patch)).flatten(-2) - self.listener_mean) @ self.listener_into
        clips = rows.reshape(-1, frames, WIDTH)
        if frames <= BAND_FRAMES:  # shorter than a filter: the last frame is held
            clips = torch.cat([clips, clips[:, -1:].expand(-1, BAND_FRAMES + 1 - frames, -1)], dim=1)
        described = (frame_descriptors(clips)[:, :frames] - self.descriptor_mean) / self.descriptor_scale
        described = described.unflatten(1, (-1, self.patch)).mean(2).reshape(*motion.shape[:-1], DESCRIPTORS)
        return torch.cat([motion, described], dim=-1)

    def raw_coefficients(self, tokens: Tensor) -> Tensor:
        """Tokens (…, n, D + 11) -> frames (…, n * patch, 58), without steps between tokens.

        The frames of a token also depend on the next one, and its last two on the one after that: a frame may depend on
        what the speaker does in the next 0.3 s.
        """
        motion = tokens[..., : self.motion_width]
        rows = (with_neighbours(motion) @ self.listener_around + self.listener_mean).unflatten(-1, (self.patch, WIDTH))
        return smooth_borders(rows).flatten(-3, -2)

    def audio(self, hearing: Tensor) -> Tensor:
        """What is heard (…, frames, 8) -> tokens (…, ceil(frames / patch), patch * 9), see motion_codec.causal_patches.

        The last number of a frame is 1: tokens of zeros say that there is no sound.
        """
        rows = (hearing - self.hearing_mean) / self.hearing_scale
        return causal_patches(torch.cat([rows, torch.ones_like(rows[..., :1])], dim=-1), self.patch)

    def speaker(self, face: Tensor) -> Tensor:
        """The speaker's face (…, frames, 13) of `relative_face` -> tokens (…, ceil(frames / patch), patch * 13)."""
        return causal_patches(face, self.patch)
