"""A texture, laid out for drawing at one size: where each triangle's corners lie in it, and smaller copies of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

COPIES_PER_OCTAVE = 2  # smaller copies shrink by the square root of 2 from one to the next
LAST_TEXEL = 1.001  # what is sampled stays so far from a copy's right and lower edge that the next texel exists


@dataclass(frozen=True)
class TextureMap:
    """What a bilinear sampler reads: texels, and the triangles' corners counted in texels."""

    texels: np.ndarray  # (H, W, 4) uint8: R, G, B as the square root of linear light times 255; the fourth is unused
    corners: np.ndarray  # (F, 6) float32: x, y of each corner; texel i has its middle at i; 0 where `textured` is not
    textured: np.ndarray  # (F,) bool


NO_TEXTURE = TextureMap(np.zeros((1, 1, 4), np.uint8), np.zeros((1, 6), np.float32), np.zeros(0, bool))
"""Of a surface without one: the compiled loops take arrays whether they read them or not."""


def fit_texture(
    texture: np.ndarray, texture_uv: np.ndarray, shape: np.ndarray, triangles: np.ndarray, pixels_per_unit: float
) -> TextureMap:
    """`texture` for a picture in which one unit of the resting head covers `pixels_per_unit` pixels.

    A texture much finer than the picture would shimmer as the head moves. So every chart, which is a patch of triangles
    that hang together in the texture, is read from a copy that has 1 to 1.4 texels for a pixel, each the mean of the
    light it stands for.

    texture (H, W, 3) uint8 and texture_uv (F, 3, 2): as in Identity; shape (V, 3), triangles (F, 3): the resting head.
    """
    height, width = texture.shape[:2]
    textured = np.isfinite(texture_uv).all(axis=(1, 2))
    corners = np.zeros((len(triangles), 3, 2), np.float32)
    size = np.array([width, height], np.float32)
    uv = np.clip(texture_uv[textured], 0, 1).astype(np.float32)
    chart = _charts(triangles[textured], uv)
    density = _texels_per_unit(shape[triangles[textured]], uv * size, chart)
    octaves = np.log2(np.maximum(density / pixels_per_unit, 1))
    steps = np.floor(octaves * COPIES_PER_OCTAVE).astype(int)[chart] if len(chart) else np.zeros(0, int)
    linear = np.square(texture.astype(np.float32))
    copies, top = [], 0
    for step in np.unique(steps):
        scale = 2.0 ** (-step / COPIES_PER_OCTAVE)
        copy_size = np.maximum(np.round(size * scale), 2).astype(int)
        copy = cv2.resize(linear, tuple(copy_size.tolist()), interpolation=cv2.INTER_AREA) if step else linear
        here = np.clip(uv[steps == step] * copy_size - 0.5, 0, copy_size - LAST_TEXEL)
        corners[np.flatnonzero(textured)[steps == step]] = here + np.array([0, top], np.float32)
        copies.append(np.rint(np.sqrt(copy)).astype(np.uint8))
        top += len(copy)
    return TextureMap(_stack(copies), np.ascontiguousarray(corners.reshape(-1, 6)), textured)


def _stack(copies: list[np.ndarray]) -> np.ndarray:
    """The copies one below the other, (H, W, 4)."""
    if not copies:
        return NO_TEXTURE.texels
    stacked = np.zeros((sum(map(len, copies)), max(copy.shape[1] for copy in copies), 4), np.uint8)
    top = 0
    for copy in copies:
        stacked[top : top + len(copy), : copy.shape[1], :3] = copy
        top += len(copy)
    return stacked


def _charts(triangles: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(F,) int: the number of the patch each triangle belongs to; neighbours share vertices and places."""
    if not len(triangles):
        return np.zeros(0, int)
    keys = np.column_stack([triangles.reshape(-1, 1), np.rint(uv.reshape(-1, 2) * 1e5).astype(np.int64)])
    node = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1, 3)
    first, second = np.concatenate([node[:, 0], node[:, 1]]), np.concatenate([node[:, 1], node[:, 2]])
    links = coo_matrix((np.ones(len(first), np.int8), (first, second)), shape=(node.max() + 1,) * 2)
    return connected_components(links, directed=False)[1][node[:, 0]]


def _texels_per_unit(points: np.ndarray, texels: np.ndarray, chart: np.ndarray) -> np.ndarray:
    """(charts,) of what faces the viewer: points (F, 3, 3) in object space, texels (F, 3, 2) in the texture."""
    normal = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    u, v = texels[:, 1] - texels[:, 0], texels[:, 2] - texels[:, 0]
    area, texel_area = np.linalg.norm(normal, axis=1), np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    weight = np.maximum(-normal[:, 2] / np.maximum(area, 1e-12), 0.0) + 1e-3  # the front is at -z
    covered, covering = np.bincount(chart, weight * area), np.bincount(chart, weight * texel_area)
    return np.sqrt(covering / np.maximum(covered, 1e-12))
