"""Animates one photo from the 58 coefficients: the built-in warp and the PIRender network, behind one interface."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from renderer.errors import RenderError
from renderer.face_model import FaceModel
from renderer.portrait.warp import WarpAnimator
from renderer.resources import checkpoint_folder, pirender_weights

__all__ = ["ANIMATORS", "PortraitAnimator", "WarpAnimator", "pirender_weights", "portrait_animator"]

ANIMATORS = ("auto", "warp", "pirender")


@runtime_checkable
class PortraitAnimator(Protocol):
    """What every way of animating a photo offers: a photo is set once, then any number of sequences are animated."""

    name: str  # "warp" or "pirender", as in ANIMATORS
    size: int  # side of the frames in pixels

    def set_portrait(self, image: np.ndarray, landmarks: np.ndarray, coefficients: np.ndarray) -> None:
        """image (H, W, 3) uint8 RGB; landmarks (478, 3) pixels x, y, z; coefficients (58,) of the photo as tracked."""
        ...

    def animate(self, coefficients: np.ndarray) -> Iterator[np.ndarray]:
        """(T, 58) coefficients to T frames (size, size, 3) uint8 RGB, streamed."""
        ...

    def animate_many(self, sequences: list[np.ndarray]) -> list[Iterator[np.ndarray]]:
        """Several sequences of one length, to be read in turn: a GPU draws them together."""
        ...


def portrait_animator(
    face: FaceModel, size: int = 256, name: str = "auto", folder: Path | None = None, device: str | None = None
) -> PortraitAnimator:
    """The animator to draw with.

    kind: "warp" (the built-in one), "pirender", or "auto": PIRender where its weights are present.
    folder: where PIRender's weights may lie; None: `renderer.resources.checkpoint_folder`.
    device: torch device for PIRender.
    Raises RenderError for a kind that does not exist and for PIRender without weights.
    """
    if name not in ANIMATORS:
        raise RenderError(f"There is no animator named {name!r}; choose one of {', '.join(ANIMATORS)}.")
    weights = None if name == "warp" else pirender_weights(folder)
    if weights is None:
        if name == "pirender":
            raise RenderError(
                f"PIRender's weights are not in {folder or checkpoint_folder()}; `python -m renderer.portrait.pirender "
                "cur_model_fold.pth` puts the published ones there."
            )
        return WarpAnimator(face, size)
    from renderer.portrait.pirender.animator import PIRenderAnimator

    return PIRenderAnimator(weights, size, device)
