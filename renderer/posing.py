"""Where a head's vertices are in a pose, the neck bent between a turning head and shoulders that stay."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from renderer.coefficients import UPRIGHT
from renderer.face_model import pose_vertices, rotation_matrix
from renderer.jit import jit, jit_loop

NECK_JOINT = np.array([0.0, 0.62, 0.42], np.float32)  # object space: about the third vertebra, where the head turns
SHOULDER_SHARE = 0.5  # share of the neck joint's travel that the shoulders take up
BLOCK = 1024  # columns whose shapes stay in the fastest cache while all frames are summed


def pose_bust(vertices: np.ndarray, coefficients: np.ndarray, head_weight: np.ndarray | None) -> np.ndarray:
    """Object-space vertices (T, V, 3), posed by (T, 58) coefficients -> world space (T, V, 3).

    The model's own rule turns everything rigidly; a bust that turns with its head looks like a figurine.
    head_weight (V,): 1 turns with the head, 0 stays with the shoulders; None: all turns.
    """
    world = pose_vertices(vertices, coefficients)
    if head_weight is None:
        return world
    partly_rigid = np.flatnonzero(head_weight < 1)
    unrotated = pose_vertices(vertices[:, partly_rigid], _upright(coefficients))
    world[:, partly_rigid] = unrotated + head_weight[partly_rigid, None] * (world[:, partly_rigid] - unrotated)
    return world


def pose_moved(
    shape: np.ndarray, moving: np.ndarray, moved: np.ndarray, coefficients: np.ndarray, head_weight: np.ndarray | None
) -> Iterator[np.ndarray]:
    """World vertices (V, 3) float32 of each frame, as `pose_bust` has them but for rounding, at a fraction of the time.

    All are handed out in one array, which the next frame overwrites.

    shape (V, 3): the head at rest; moved (T, M, 3): what expressions add to its vertices `moving` (M,).
    """
    weight = np.ones(len(shape), np.float32) if head_weight is None else head_weight
    upright = _upright(coefficients)
    head_rotations, rotations = rotation_matrix(coefficients[:, -6:-3]), rotation_matrix(upright[:, -6:-3])
    shape, head_places = np.ascontiguousarray(shape, np.float32), coefficients[:, -3:].astype(np.float32)
    world = np.empty_like(shape)
    for frame in range(len(coefficients)):
        _pose(
            shape, moving, moved[frame], weight, head_rotations[frame], head_places[frame], rotations[frame],
            upright[frame, -3:].copy(), world,
        )  # fmt: skip
        yield world


@jit
def blended(weights: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Sums (T, W) of shapes (S, W) float32, with weights (T, S) float32: bit for bit the same wherever a T stands.

    A matrix product of BLAS rounds a row by its place among the others: how a run is cut would show.
    """
    sums = np.zeros((weights.shape[0], shapes.shape[1]), np.float32)
    for first in range(0, shapes.shape[1], BLOCK):
        last = min(first + BLOCK, shapes.shape[1])
        for frame in range(weights.shape[0]):
            out, weight = sums[frame][first:last], weights[frame]
            for k in range(0, weights.shape[1] - 3, 4):  # four at once: less is read and written
                a, b = shapes[k][first:last], shapes[k + 1][first:last]
                c, d = shapes[k + 2][first:last], shapes[k + 3][first:last]
                for i in range(out.shape[0]):
                    out[i] += (weight[k] * a[i] + weight[k + 1] * b[i]) + (weight[k + 2] * c[i] + weight[k + 3] * d[i])
            for k in range(weights.shape[1] // 4 * 4, weights.shape[1]):
                a = shapes[k][first:last]
                for i in range(out.shape[0]):
                    out[i] += weight[k] * a[i]
    return sums


@jit_loop
def _pose(shape, moving, moved, weight, head_rotation, head_place, rotation, place, world):
    """Poses `shape` (V, 3), with its vertices `moving` moved by `moved`, and writes it to `world`.

    It goes with the head where `weight` (V,) is 1, with the shoulders where it is 0.
    """
    for i in range(shape.shape[0]):
        for k in range(3):
            world[i, k] = shape[i, k]
    for i in range(moving.shape[0]):
        for k in range(3):
            world[moving[i], k] += moved[i, k]
    for i in range(shape.shape[0]):
        x, y, z, share = world[i, 0], world[i, 1], world[i, 2], weight[i]
        for k in range(3):
            head = head_rotation[k, 0] * x + head_rotation[k, 1] * y + head_rotation[k, 2] * z + head_place[k]
            rest = rotation[k, 0] * x + rotation[k, 1] * y + rotation[k, 2] * z + place[k]
            world[i, k] = rest + share * (head - rest)


def _upright(coefficients: np.ndarray) -> np.ndarray:
    """(T, 6) pose of the shoulders: upright, and following part of the neck's way."""
    upright = np.tile(np.append(UPRIGHT, (0, 0, 0)), (len(coefficients), 1)).astype(np.float32)
    upright[:, 3:] = shoulder_translations(coefficients)
    return upright


def shoulder_translations(coefficients: np.ndarray) -> np.ndarray:
    """(T, 58) coefficients -> (T, 3) float32: where the shoulders, always upright, are in world space."""
    upright = rotation_matrix(np.tile(UPRIGHT, (len(coefficients), 1)).astype(np.float32))
    neck_displacement = (rotation_matrix(coefficients[:, -6:-3]) - upright) @ NECK_JOINT
    return (coefficients[:, -3:] + SHOULDER_SHARE * neck_displacement).astype(np.float32)
