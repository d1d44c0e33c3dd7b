"""What a live session showed, ready to be written as a run: nothing of it is tracked or thought up again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from perfrdiff.coefficients import FPS
from perfrdiff.features.clip import Listener, Speaker
from perfrdiff.personal.weight_shift import WeightShift
from perfrdiff.pipeline.listener_mesh import STAND_IN
from perfrdiff.pipeline.request import LISTENER, VIEWS, ReactRequest
from perfrdiff.reactor import Reactions

LIVE = Path("<live>")
"""In a request's place of a file where there is none: a speaker of whom there is no film, a listener who was set up for
the session."""


@dataclass(frozen=True)
class Take:
    """A part of a live session, T frames at 25 per second."""

    speaker: Speaker  # what was heard and seen of them
    listener: Listener  # whom the pictures show; without a photo, a made-up head does the movements
    reactions: Reactions  # (K, T, 58) as they were shown
    style: str  # the listening style in words
    shift: WeightShift | None = None  # the listener's, for exports
    film: Path | None = None  # of the speaker, where the session played one; None: there is no picture of them
    film_start: float = 0.0  # seconds into the film at which the take begins

    @property
    def frames(self) -> int:
        return self.reactions.coefficients.shape[1]

    def request(self, out: Path, weights: str) -> ReactRequest:
        """The settings of the run that writes this take to `out`."""
        count, frames, _ = self.reactions.coefficients.shape
        has_photo = self.listener.photo is not None
        return ReactRequest(
            speaker=self.film or LIVE,
            speaker_start=self.film_start if self.film else 0.0,
            speaker_end=self.film_start + frames / FPS if self.film else None,
            listener=LIVE,
            out=out,
            samples=count,
            seed=self.reactions.seed,
            views=VIEWS if has_photo else ("mesh",),
            mesh_identity=LISTENER if has_photo else STAND_IN,
            weights=weights,
        )
