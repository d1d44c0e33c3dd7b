"""The skull as the photo shows it: scaled to the outline of the hair, ears under the hair laid flat."""

from __future__ import annotations

import numpy as np

from renderer.face_model import FaceModel
from renderer.identity.photo import PhotoCanvas, sample
from renderer.identity.placement import Placement
from renderer.identity.regions import Regions
from renderer.identity.texture import ear_vertices, mask, on_head
from renderer.identity.visibility import PosedHead

SKULL_CENTRE = np.array([0.0, -0.25, 0.2])  # object space
DIRECTIONS = 96  # in which the outline is read
SCALE_RANGE = (0.78, 1.45)  # of the skull's radius in any direction
HAIRLINE_FADE = 0.30  # model units from the hairline on which the scaling sets in
TUCKED = 0.15  # share of its height that an ear under hair keeps
COVERED = 0.55  # share of an ear's pixels that are hair


def fit_scalp(
    face: FaceModel, shape: np.ndarray, placement: Placement, canvas: PhotoCanvas, regions: Regions
) -> np.ndarray:
    """`shape` (V, 3) whose scalp ends where the photo's hair does, seen from where it was taken; the face stays."""
    scalp = mask(face, "hair")
    weight = np.clip(scalp / HAIRLINE_FADE, 0, 1)
    weight = weight * weight * (3 - 2 * weight)
    centre = placement.pixels(SKULL_CENTRE)
    up = placement.to_pixels @ np.array([0.0, -1.0, 0.0])
    upwards = np.arctan2(up[1], up[0])
    # directions in the picture from one ear over the crown to the other
    angles = upwards + np.linspace(-1.75, 1.75, DIRECTIONS)
    away = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    offset = placement.pixels(shape) - centre
    distance = np.linalg.norm(offset, axis=1)
    angle = (np.arctan2(offset[:, 1], offset[:, 0]) - upwards + np.pi) % (2 * np.pi) - np.pi
    direction = np.interp(angle, angles - upwards, np.arange(DIRECTIONS))
    skull = (scalp > -0.2) & on_head(face) & ~ear_vertices(face)
    along = offset[skull] @ away.T
    across = np.abs(offset[skull] @ np.stack([-away[:, 1], away[:, 0]]))
    mesh_radius = np.where((along > 0) & (across < 0.12 * placement.scale), along, 0).max(axis=0)
    hair_radius = _outline(canvas, regions, centre, away, mesh_radius)
    ratio = np.clip(hair_radius / np.maximum(mesh_radius, 1e-6), *SCALE_RANGE)
    # below the ears hair hangs, and does not tell where the skull ends
    level = np.clip((np.cos(angles - upwards) + 0.05) / 0.35, 0, 1)
    ratio = 1 + (ratio - 1) * level
    ratio = np.convolve(np.pad(ratio, 6, mode="edge"), np.hanning(15)[1:-1] / np.hanning(15).sum(), mode="valid")

    near_outline = np.clip(distance / np.maximum(np.interp(direction, np.arange(DIRECTIONS), mesh_radius), 1), 0, 1)
    own = np.interp(direction, np.arange(DIRECTIONS), ratio)
    mean = np.average(ratio, weights=level + 1e-6)
    factor = mean + (own - mean) * near_outline**2
    moved = SKULL_CENTRE + (shape - SKULL_CENTRE) * factor[:, None]
    return (shape + weight[:, None] * (moved - shape)).astype(np.float32)


def _outline(canvas, regions, centre, away, mesh_radius) -> np.ndarray:
    """(DIRECTIONS,) pixels from the centre to where the person ends; the mesh's own where the photo does not say."""
    steps = np.linspace(0.7, 1.7, 101)
    points = centre + away[:, None] * (mesh_radius[:, None] * steps)[..., None]
    flat = points.reshape(-1, 2)
    inside = sample(regions.hair + regions.skin, flat).reshape(points.shape[:2]) > 0.5
    ends = np.where(inside.all(axis=1), len(steps) - 1, np.argmin(inside, axis=1))
    limit = canvas.size - 1
    place = np.clip(np.round(points[np.arange(len(ends)), ends]), 0, limit).astype(int)
    known = canvas.inside[place[:, 1], place[:, 0]] & (ends > 0)
    radius = steps[ends] * mesh_radius
    if not known.any():
        return mesh_radius
    order = np.arange(len(ends))
    return np.interp(order, order[known], radius[known] / mesh_radius[known]) * mesh_radius


def hidden_ears(face: FaceModel, head: PosedHead, regions: Regions) -> dict[str, bool]:
    """Whether hair covers the ears, by side, judged by what the camera sees of them."""
    ears, x = ear_vertices(face), face.mean_shape[:, 0]
    hidden = {}
    for side, chosen in (("Left", ears & (x > 0)), ("Right", ears & (x < 0))):
        chosen = chosen & head.visible(head.pixels, head.depth) & (head.facing > 0)
        covered = sample(regions.hair, head.pixels[chosen]) > 0.5
        hidden[side] = bool(len(covered) and covered.mean() > COVERED)
    return hidden


def tuck_ears(face: FaceModel, shape: np.ndarray, hidden: dict[str, bool]) -> np.ndarray:
    """`shape` (V, 3) whose ears lie flat on the head where hair hides them."""
    ears, x = ear_vertices(face), face.mean_shape[:, 0]
    result = shape.copy()
    for side, chosen in (("Left", ears & (x > 0)), ("Right", ears & (x < 0))):
        if hidden[side]:
            root = np.sign(x[chosen]) * np.abs(shape[chosen, 0]).min()
            result[chosen, 0] = root + TUCKED * (shape[chosen, 0] - root)
    return result
