"""What is known of one person's head: enough to draw it with any movement."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import trimesh


@dataclass(frozen=True)
class HairShell:
    """A surface of hair that hangs on the head; textured from the same atlas, seen from both sides."""

    points: np.ndarray  # (N, 3) float32, object space of the resting head
    triangles: np.ndarray  # (M, 3) int32, of `points`
    texture_uv: np.ndarray  # (M, 3, 2) float32, as Identity.texture_uv
    head_weight: np.ndarray  # (N,) float32, 1 turns with the head, 0 stays with the shoulders


@dataclass(frozen=True)
class Identity:
    """One person's head for the built-in face model (V vertices, F triangles).

    It is a person's face: keep it only where that person agreed.
    """

    shape: np.ndarray  # (V, 3) float32, the expressionless head in object space, see FaceModel
    expression_basis: np.ndarray  # (V, 3, 52) float32, the face units of this head: lids that meet, lips that close
    coefficients: np.ndarray  # (K,) float32, coefficients of the identity basis, N(0, 1); `shape` has a residual beside
    texture: np.ndarray  # (H, W, 3) uint8, RGB: the square root of linear light times 255, evenly lit
    texture_uv: np.ndarray  # (F, 3, 2) float32, 0..1 from left and top of `texture`; NaN where there is none
    iris: np.ndarray  # (3,) float32, linear RGB
    sclera: np.ndarray  # (3,) float32, linear RGB
    hair: HairShell | None = None
    scores: dict[str, float] = field(default_factory=dict)  # 0..1: "mask", "light", "pose", "sharpness", "shape"
    notes: tuple[str, ...] = ()  # sentences about what was not good enough

    def save(self, path: str | Path) -> None:
        """Writes it to an .npz file that `renderer.identity.files.load_identity` reads; raises RenderError."""
        from renderer.identity.files import save_identity  # which itself imports this class

        save_identity(self, path)

    def trimesh(self, coefficients: np.ndarray | None = None) -> trimesh.Scene:
        """The head as a `trimesh.Scene` of textured parts, posed by `coefficients` (58,); None: at rest.

        World space as FaceModel has it, y up, the viewer at +z. Raises RenderError for coefficients of another shape.
        """
        from renderer.export.trimesh_scene import identity_scene  # loads the head and its surface

        return identity_scene(self, coefficients)
