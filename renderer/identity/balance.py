"""Makes the drawn face as bright and as warm as the photographed one: it is drawn once, and both are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from renderer.face_model import FaceModel, neutral_coefficients, project
from renderer.identity.identity import Identity
from renderer.identity.photo import PhotoCanvas
from renderer.mesh import MeshRenderer
from renderer.studio_surface import srgb_to_linear

DRAWN_SIZE = 128  # pixels; both are compared in patches, not in pixels
STRENGTH = 0.8  # exponent: the rest of the difference is the photo's exposure and lamp, not the person
LARGEST_GAIN = 2.2
PATCHES = (10, 151, 50, 280, 118, 347)  # MediaPipe's landmarks: forehead, between the brows, cheeks
PATCH = 0.05  # of the face's height: half a patch's side


def balanced(face: FaceModel, identity: Identity, canvas: PhotoCanvas) -> tuple[Identity, np.ndarray]:
    """`identity` with its texture's colours scaled, and the gain (3,) of linear RGB that did it."""
    rest = neutral_coefficients()
    renderer = MeshRenderer(face, DRAWN_SIZE, mesh_identity=identity, backend="cpu")
    picture = srgb_to_linear(next(iter(renderer.render(rest))))
    assert face.landmark_vertices is not None and face.landmark_weights is not None, "fit_shape has asked for them"
    corners = identity.shape[face.landmark_vertices[list(PATCHES)]]
    points = np.einsum("lkc,lk->lc", corners, face.landmark_weights[list(PATCHES)])
    world = points * np.array([1, -1, -1], np.float32) + rest[0, -3:]
    drawn = _patches(picture, project(world, DRAWN_SIZE, renderer.focal), PATCH * 0.5 * DRAWN_SIZE)
    photo = _patches(canvas.linear, canvas.landmarks[list(PATCHES), :2], PATCH * 0.3 * canvas.size)
    gain = (np.median(photo, axis=0) / np.maximum(np.median(drawn, axis=0), 1e-3)) ** STRENGTH
    gain = np.clip(gain, 1 / LARGEST_GAIN, LARGEST_GAIN).astype(np.float32)
    root = np.sqrt(gain)
    table = np.clip(np.arange(256)[:, None] * root + 0.5, 0, 255).astype(np.uint8)
    texture = np.stack([table[identity.texture[..., k], k] for k in range(3)], axis=-1)
    iris, sclera = (np.clip(colour * gain.mean(), 0, 0.9) for colour in (identity.iris, identity.sclera))
    return replace(identity, texture=texture, iris=iris.astype(np.float32), sclera=sclera.astype(np.float32)), gain


def _patches(picture: np.ndarray, centres: np.ndarray, half: float) -> np.ndarray:
    """(N, 3) mean colours round `centres` (N, 2) of a linear picture."""
    half = max(1, round(half))
    size = len(picture)
    means = []
    for x, y in np.clip(np.round(centres).astype(int), half, size - half - 1):
        means.append(picture[y - half : y + half + 1, x - half : x + half + 1].mean(axis=(0, 1)))
    return np.array(means)
