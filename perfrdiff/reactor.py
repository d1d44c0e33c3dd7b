"""The object people use: load once, set a listener once, react many times.

reactor = Reactor.load()                      # the demo weights
reactor.set_listener(behaviour)               # (frames, 58) of a tracked listener, or "Warm"
reactions = reactor.react(speaker, samples=3) # reactions.coefficients: (3, frames, 58)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from perfrdiff import checkpoints, sampling
from perfrdiff.errors import InputError
from perfrdiff.features.coefficients import EXPRESSION, FPS, WIDTH
from perfrdiff.models.layers import Edits
from perfrdiff.models.weight_editor import listener_edits

AUDIO_WIDTH = 78
SHORTEST_STYLE = FPS  # frames; a second of behaviour is the least a style is read from
STYLE_HOP = 250  # frames between the clips a long behaviour is cut into
GENERIC = "Generic"


@dataclass(frozen=True)
class Reactions:
    """What one call of `react` gives."""

    coefficients: np.ndarray  # (samples, frames, 58) float32 in the FaceVerse convention, expressions 0 … 1
    seed: int
    steps: int
    guidance: float
    strength: float
    listener: str  # "Generic", a style's name, or "personal" for a listener's own behaviour
    weights: str
    weights_sha256: str


class Reactor:
    """A generator of facial reactions in the manner of one listener (paper section 3)."""

    def __init__(self, checkpoint: checkpoints.Checkpoint, device: str | torch.device | None = None):
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.checkpoint = replace(
            checkpoint,
            denoiser=checkpoint.denoiser.to(self.device),
            style_encoder=checkpoint.style_encoder.to(self.device),
            weight_editor=checkpoint.weight_editor.to(self.device),
            normalizer=checkpoint.normalizer.to(self.device),
        )
        self._edits: Edits | None = None
        self._listener = GENERIC
        self._strength = 0.0

    @classmethod
    def load(cls, weights: str = "demo", device: str | torch.device | None = None) -> "Reactor":
        """Load weights by name (`perfrdiff.checkpoints.available()`); device None: the GPU when there is one.

        Raises InputError when there are no weights of that name.
        """
        return cls(checkpoints.load(weights), device)

    @property
    def styles(self) -> tuple[str, ...]:
        """Named listening styles, for a listener of whom there is only a photo."""
        return tuple(self.checkpoint.styles)

    @property
    def listener(self) -> str:
        """Who is listening: "Generic", a style's name, or "personal"."""
        return self._listener

    def style_of(self, behaviour: np.ndarray) -> Tensor:
        """The style vector (projection,), unit length, of a behaviour (frames, 58) at 25 per second.

        A clip longer than the encoder takes is cut into overlapping clips whose styles are averaged. Raises InputError
        for a wrong shape, numbers that are not finite, or less than a second.
        """
        behaviour = _checked(behaviour, WIDTH, "listener behaviour")
        if len(behaviour) < SHORTEST_STYLE:
            raise InputError(
                f"The listener's clip has {len(behaviour)} frames; a style needs at least {SHORTEST_STYLE} "
                "(one second). Use a longer video, or a photo with a named style."
            )
        rows = self.checkpoint.normalizer.coefficients(torch.tensor(behaviour, device=self.device))
        longest = self.checkpoint.style_encoder.config.max_frames
        starts = [0] if len(rows) <= longest else [*range(0, len(rows) - longest, STYLE_HOP), len(rows) - longest]
        with torch.inference_mode():
            clips = torch.stack([rows[start : start + longest] for start in starts])
            style = self.checkpoint.style_encoder(clips).mean(0)
        return torch.nn.functional.normalize(style, dim=0)

    def set_listener(self, listener: np.ndarray | str | None, strength: float = 1.0) -> None:
        """Shift the generator's weights towards one listener; the weight editor runs here, once.

        Args:
            listener: behaviour (frames, 58), a name from `styles`, or None for the generic generator.
            strength: 0 = generic, 1 = as learnt, up to 2 = exaggerated.

        Raises InputError for an unknown style, a strength outside 0 … 2, or a behaviour `style_of` refuses.
        """
        if not 0.0 <= strength <= 2.0:
            raise InputError(f"Strength {strength} is outside 0 … 2 (0 = generic, 1 = as learnt).")
        if listener is None:
            self._edits, self._listener, self._strength = None, GENERIC, 0.0
            return
        if isinstance(listener, str):
            if listener not in self.checkpoint.styles:
                raise InputError(f"There is no listening style '{listener}'. Present: {', '.join(self.styles)}.")
            style, name = self.checkpoint.styles[listener].to(self.device), listener
        else:
            style, name = self.style_of(listener), "personal"
        self._edits = listener_edits(self.checkpoint.weight_editor, self.checkpoint.denoiser, style[None], strength)
        self._listener, self._strength = name, strength

    def react(
        self,
        audio: np.ndarray,
        coefficients: np.ndarray,
        *,
        samples: int = 3,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Reactions:
        """Several reactions of the listener to one speaker.

        Args:
            audio: the speaker's MFCCs (frames, 78), see features.audio.
            coefficients: the speaker's face (frames, 58).
            samples: how many reactions. Sample i does not depend on how many are asked for.
            seed: the same seed, settings and weights give the same reactions.
            steps: denoising network calls per window, 2 … 1000; None: what the weights were made for.
            guidance: classifier-free guidance scale; None: what the weights were made for.
            progress: called with the done share, 0 … 1.

        Raises InputError for shapes, lengths or numbers that do not fit.
        """
        audio = _checked(audio, AUDIO_WIDTH, "speaker audio")
        coefficients = _checked(coefficients, WIDTH, "speaker coefficients")
        if len(audio) != len(coefficients):
            raise InputError(
                f"The speaker has {len(audio)} frames of audio but {len(coefficients)} of face coefficients."
            )
        if samples < 1:
            raise InputError(f"{samples} reactions asked for; at least 1 is possible.")
        if seed < 0:
            raise InputError(f"The seed is {seed}; it has to be 0 or more.")
        defaults = self.checkpoint.sampling
        steps = defaults.steps if steps is None else steps
        guidance = defaults.guidance if guidance is None else guidance
        if not 2 <= steps <= sampling.TRAIN_STEPS:
            raise InputError(f"{steps} denoising steps asked for; expected 2 to {sampling.TRAIN_STEPS}.")
        normalizer = self.checkpoint.normalizer
        with torch.inference_mode():
            streams = {
                "audio": normalizer.audio(torch.tensor(audio, device=self.device)),
                "coefficients": normalizer.coefficients(torch.tensor(coefficients, device=self.device)),
            }
            options = sampling.WindowOptions(
                steps, guidance, defaults.guidance_over, defaults.slide, clamp=defaults.clamp
            )
            normal = sampling.sample_sequence(
                self.checkpoint.denoiser, streams, samples, seed, options, self._edits, progress
            )
            raw = normalizer.raw_coefficients(normal).cpu().numpy()
        raw[..., EXPRESSION] = np.clip(raw[..., EXPRESSION], 0.0, 1.0)
        return Reactions(
            raw,
            seed,
            steps,
            guidance,
            self._strength,
            self._listener,
            self.checkpoint.name,
            self.checkpoint.sha256,
        )


def _checked(rows: np.ndarray, width: int, what: str) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise InputError(f"The {what} has shape {rows.shape}; expected (frames, {width}).")
    if not np.isfinite(rows).all():
        bad = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise InputError(f"The {what} holds a number that is not finite, first in frame {bad}.")
    return rows
