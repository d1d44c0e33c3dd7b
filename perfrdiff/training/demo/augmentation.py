"""Augmentation of a speaker's tokens: what is learnt has to hold for livelier, rougher and half-hidden people."""

import torch
from torch import Tensor

from perfrdiff.features.speaker_face import FACE_WIDTH
from perfrdiff.training.demo.windows import noise_like, random_integers

SIZES = {"audio": (0.15, 0.15, 0.15), "coefficients": (0.3, 0.15, 0.3)}
"""Standard deviations of the gain (its logarithm) and of the offsets, and the most noise, in units of a token."""
LOST_SHARE = {"audio": 0.04, "coefficients": 0.15}
"""Of the windows, in which there is no sound, or no face, from beginning to end."""
HIDDEN_SHARE = 0.1  # of the windows, in which the face is not seen for a while


def augment_speakers(conditions: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """The speaker's tokens, name -> (N, L, S), with a gain, offsets and noise per window, and some of them lost.

    Zeros mean that nothing is heard or seen; they stay zeros.
    """
    out = {}
    for name, (gain, offset, noise) in SIZES.items():
        tokens = conditions[name]
        count, length, width = tokens.shape
        present = tokens != 0
        gains = torch.exp(gain * torch.randn(count, 1, 1, generator=generator)).to(tokens)
        offsets = offset * torch.randn(count, 1, width, generator=generator).to(tokens)
        noise_level = noise * torch.rand(count, 1, 1, generator=generator).to(tokens)
        changed = gains * tokens + offsets + noise_level * noise_like(tokens, generator)
        if name == "coefficients":  # the flags say whether, not how much
            flags = torch.arange(width, device=tokens.device) % FACE_WIDTH == FACE_WIDTH - 1
            changed = torch.where(flags, tokens, changed)
            present = present & ~_hidden(count, length, generator).to(tokens.device)
        lost = (torch.rand(count, 1, 1, generator=generator) < LOST_SHARE[name]).to(tokens.device)
        out[name] = torch.where(present & ~lost, changed, 0.0)
    return out


def _hidden(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Spans (count, length, 1) bool in which a face is hidden."""
    first = random_integers(count, length, generator)[:, None]
    last = first + 1 + random_integers(count, length // 2, generator)[:, None]
    place = torch.arange(length)
    chosen = torch.rand(count, 1, generator=generator) < HIDDEN_SHARE
    return ((place >= first) & (place < last) & chosen)[..., None]
