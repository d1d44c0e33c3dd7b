"""Where each triangle of the built-in head lies in an identity's texture.

The atlas has three tiles side by side. HEAD: an equal-area azimuthal chart about a point inside the head, the face in
its middle, so that there is no seam where anybody looks. HAIR: a window of the photo for the hair's shell. BUST: neck
and clothes seen straight from the front.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renderer.errors import RenderError
from renderer.face_model import FaceModel
from renderer.jit import jit
from renderer.rasterizer import NO_TRIANGLE, new_visibility_buffer, rasterise, visible_triangle_ids

ATLAS_HEIGHT = 768  # texels; the face is then about as fine as in a picture of 512 pixels
CENTRE = np.array([0.0, 0.0, 0.2], np.float32)  # object space: from here nearly all of the skin is seen without folds
CHART_EDGE = np.radians(140.0)  # from the face's direction; what lies beyond is the nape
NECK = 0.93  # of FaceModel.head_weight: what follows the head less belongs to the bust
BUST_TOP, BUST_SCALE = 0.30, 258.0  # object space y of the tile's upper edge, texels a unit

OUTER_PARTS = ("skin", "lips")  # of FaceModel.part_names


@dataclass(frozen=True)
class Tile:
    """A rectangle of the atlas, in texels."""

    left: int
    width: int
    height: int = ATLAS_HEIGHT

    def view(self, atlas: np.ndarray) -> np.ndarray:
        """The tile's part of an atlas (H, W, ...), not copied."""
        return atlas[: self.height, self.left : self.left + self.width]

    def uv(self, texels: np.ndarray) -> np.ndarray:
        """Texels of the tile (..., 2), texel i covering [i, i + 1) -> 0..1 of the atlas, float32."""
        return ((texels + np.array([self.left, 0])) / (ATLAS_WIDTH, ATLAS_HEIGHT)).astype(np.float32)


HEAD = Tile(0, 768)
HAIR = Tile(768, 512)
BUST = Tile(1280, 768)
ATLAS_WIDTH = 2048


@dataclass(frozen=True)
class TexelMap:
    """Which point of the mesh each texel of a tile shows (N texels that show one)."""

    index: np.ndarray  # (N,) int64 into the tile's texels, row by row
    corners: np.ndarray  # (N, 3) int32 vertices of the triangle there
    weights: np.ndarray  # (N, 3) float32 barycentric
    shape: tuple[int, int]  # of the tile, height and width

    def interpolate(self, values: np.ndarray) -> np.ndarray:
        """Values of the vertices (V, C) -> of the texels (N, C) float32."""
        out = np.empty((len(self.index), values.shape[1]), np.float32)
        _interpolate(self.corners, self.weights, np.ascontiguousarray(values, np.float32), out)
        return out

    def image(self, values: np.ndarray, empty: float = 0.0) -> np.ndarray:
        """Values of the texels (N,) or (N, C) laid out as the tile (h, w) or (h, w, C); `empty` where none is."""
        image = np.full((self.shape[0] * self.shape[1], *values.shape[1:]), empty, np.float32)
        image[self.index] = values
        return image.reshape(*self.shape, *values.shape[1:])


def part_triangles(face: FaceModel, names: tuple[str, ...]) -> np.ndarray:
    """(F,) bool: triangles of the named parts. Raises RenderError for a model that does not tell its parts."""
    if face.parts is None:
        raise RenderError("An identity needs a face model that knows its parts; use the built-in head.")
    return np.isin(face.parts, [face.part_names.index(name) for name in names])


def head_triangles(face: FaceModel) -> np.ndarray:
    """(F,) bool: what the HEAD tile shows."""
    return part_triangles(face, OUTER_PARTS) & ~_on_neck(face)


def bust_triangles(face: FaceModel) -> np.ndarray:
    """(F,) bool: what the BUST tile shows."""
    return part_triangles(face, ("cloth",)) | part_triangles(face, OUTER_PARTS) & _on_neck(face)


def _on_neck(face: FaceModel) -> np.ndarray:
    assert face.head_weight is not None, "part_triangles has refused models that do not know their parts"
    return face.head_weight[face.triangles].mean(axis=1) < NECK


def head_chart(points: np.ndarray) -> np.ndarray:
    """Object space (..., 3) -> texels (..., 2) of the HEAD tile; the face's middle is the tile's.

    Lambert's azimuthal equal-area projection: radius = 2 sin(angle / 2), here scaled to CHART_EDGE.
    """
    offset = points - CENTRE
    angle = np.arccos(np.clip(-offset[..., 2] / np.linalg.norm(offset, axis=-1), -1, 1))
    radius = np.sin(np.minimum(angle, CHART_EDGE) / 2) / np.sin(CHART_EDGE / 2)
    planar = offset[..., :2] / np.maximum(np.linalg.norm(offset[..., :2], axis=-1, keepdims=True), 1e-9)
    return (1 + radius[..., None] * planar) * (0.5 * HEAD.width)


def bust_chart(points: np.ndarray) -> np.ndarray:
    """Object space (..., 3) -> texels (..., 2) of the BUST tile: x and y, as seen from the front."""
    return (points[..., :2] - (0.0, BUST_TOP)) * BUST_SCALE + (0.5 * BUST.width, 0.0)


def texture_coordinates(face: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """(F, 3, 2) float32 of Identity.texture_uv, and (F,) bool: triangles that may fill the chart.

    The mean head's, for every identity. Eyes, teeth, tongue and the mouth's inside have no texture: NaN. Folded
    triangles, such as the lids' inside, and those round the chart's antipode take colours but fill no texel.
    """
    corners = face.mean_shape[face.triangles]
    uv = np.full((*face.triangles.shape, 2), np.nan, np.float32)
    fills = np.zeros(len(face.triangles), bool)
    for chosen, tile, chart in ((head_triangles, HEAD, head_chart), (bust_triangles, BUST, bust_chart)):
        ids = np.flatnonzero(chosen(face))
        texels = chart(corners[ids])
        if tile is HEAD:
            offset = corners[ids] - CENTRE
            beyond = (-offset[..., 2] < np.cos(CHART_EDGE) * np.linalg.norm(offset, axis=-1)).any(axis=1)
            texels[beyond] = head_chart(corners[ids[beyond]].mean(axis=1))[:, None]
        u, v = texels[:, 1] - texels[:, 0], texels[:, 2] - texels[:, 0]
        # texels run right and down and triangles are wound outward, so an unfolded one has a negative area
        fills[ids] = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] < -1e-6
        uv[ids] = tile.uv(np.clip(texels, 0.5, (tile.width - 0.5, tile.height - 0.5)))
    return uv, fills


def texel_map(face: FaceModel, uv: np.ndarray, chosen: np.ndarray, tile: Tile) -> TexelMap:
    """The texels of a tile that the `chosen` (F,) triangles fill; where several would, the outermost does."""
    triangles = face.triangles[chosen]
    texels = uv[chosen] * (ATLAS_WIDTH, ATLAS_HEIGHT) - (tile.left, 0)
    distance = np.linalg.norm(face.mean_shape[triangles] - CENTRE, axis=-1)
    screen = np.concatenate([texels, 0.1 + distance[..., None]], axis=-1).reshape(-1, 3).astype(np.float32)
    size = max(tile.width, tile.height)
    buffer = new_visibility_buffer(size)
    rasterise(screen, np.arange(len(screen), dtype=np.int32).reshape(-1, 3), np.ones(len(triangles), bool), buffer)
    ids = visible_triangle_ids(buffer)[: tile.height, : tile.width]
    row, column = np.nonzero(ids != NO_TRIANGLE)
    triangle = ids[row, column]
    a, b, c = (screen[3 * triangle + corner, :2] for corner in range(3))
    offset = np.stack([column + 0.5, row + 0.5], axis=1).astype(np.float32) - a
    u, v = b - a, c - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    wb = (offset[:, 0] * v[:, 1] - offset[:, 1] * v[:, 0]) / area
    wc = (u[:, 0] * offset[:, 1] - u[:, 1] * offset[:, 0]) / area
    weights = np.stack([1 - wb - wc, wb, wc], axis=1)
    return TexelMap(row.astype(np.int64) * tile.width + column, triangles[triangle], weights, (tile.height, tile.width))


@jit
def _interpolate(corners, weights, values, out):
    for i in range(corners.shape[0]):
        a, b, c = corners[i, 0], corners[i, 1], corners[i, 2]
        for k in range(values.shape[1]):
            out[i, k] = weights[i, 0] * values[a, k] + weights[i, 1] * values[b, k] + weights[i, 2] * values[c, k]
