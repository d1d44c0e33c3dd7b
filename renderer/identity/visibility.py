"""What the photo's camera sees of a posed head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renderer.face_model import CAMERA_Z
from renderer.jit import jit
from renderer.rasterizer import inverse_depths, new_visibility_buffer, rasterise, vertex_normals, visible_triangle_ids

GRAZING = 0.15  # cosine to the viewer below which a surface shows nothing that could be trusted
DEPTH_STEP = 2  # pixels of the picture for one of the depth buffer
DEPTH_TOLERANCE = 0.025  # model units by which a visible point may lie behind what is seen there


@dataclass(frozen=True)
class PosedHead:
    """The head as it stands in a square picture of P pixels (V vertices)."""

    pixels: np.ndarray  # (V, 2) float32, pixel i has its middle at i (cv2's convention)
    depth: np.ndarray  # (V,) float32, model units from the camera
    facing: np.ndarray  # (V,) float32, cosine between normal and the way to the camera
    normals: np.ndarray  # (V, 3) float32, world space
    seen_triangle: np.ndarray  # (P / 2, P / 2) int32, NO_TRIANGLE where the head is not
    seen_depth: np.ndarray  # (P / 2, P / 2) float32 model units from the camera, infinite where the head is not

    def visible(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(N,) bool: whether points (N, 2) at `depth` (N,) are what the camera sees there."""
        limit = len(self.seen_depth) - 1
        place = np.clip(np.round((pixels + 0.5) / DEPTH_STEP - 0.5), 0, limit).astype(np.int32)
        return depth < self.seen_depth[place[:, 1], place[:, 0]] + DEPTH_TOLERANCE


def pose_head(world: np.ndarray, pixels: np.ndarray, triangles: np.ndarray, size: int) -> PosedHead:
    """The head of `world` (V, 3) camera-space vertices at `pixels` (V, 2) of a picture `size` pixels across."""
    world = np.ascontiguousarray(world, np.float32)
    normals = np.empty_like(world)
    vertex_normals(world, triangles, normals)
    depth = CAMERA_Z - world[:, 2]
    to_camera = np.array([0, 0, CAMERA_Z], np.float32) - world
    facing = (normals * to_camera).sum(axis=1) / np.linalg.norm(to_camera, axis=1)
    buffer = new_visibility_buffer(size // DEPTH_STEP)
    screen = np.column_stack([(pixels + 0.5) / DEPTH_STEP, 1 / depth]).astype(np.float32)
    rasterise(screen, triangles, np.ones(len(triangles), bool), buffer)
    inverse = inverse_depths(buffer)
    seen_depth = np.where(inverse > 0, 1 / np.maximum(inverse, 1e-6), np.inf).astype(np.float32)
    return PosedHead(
        np.asarray(pixels, np.float32), depth, facing.astype(np.float32), normals,
        visible_triangle_ids(buffer).copy(), seen_depth,
    )  # fmt: skip


def facing_confidence(facing: np.ndarray) -> np.ndarray:
    """0..1 float32: how much a surface at this cosine to the viewer may be trusted."""
    return np.clip((facing - GRAZING) / (1 - GRAZING), 0, 1).astype(np.float32) ** 2


def seen_values(head: PosedHead, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of the vertices (V, C) as the picture sees them, (P / 2, P / 2, C) float32; NaN where the head is not."""
    out = np.full((*head.seen_triangle.shape, values.shape[1]), np.nan, np.float32)
    _draw_values(
        head.seen_triangle, triangles, (head.pixels + np.float32(0.5)) / np.float32(DEPTH_STEP),
        np.ascontiguousarray(values, np.float32), out,
    )  # fmt: skip
    return out


@jit
def _draw_values(seen, triangles, screen, values, out):
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            face = seen[y, x]
            if face < 0:
                continue
            a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
            ux, uy = screen[b, 0] - screen[a, 0], screen[b, 1] - screen[a, 1]
            vx, vy = screen[c, 0] - screen[a, 0], screen[c, 1] - screen[a, 1]
            dx, dy = np.float32(x) + np.float32(0.5) - screen[a, 0], np.float32(y) + np.float32(0.5) - screen[a, 1]
            inverse = np.float32(1.0) / (ux * vy - uy * vx)
            wb, wc = (dx * vy - dy * vx) * inverse, (ux * dy - uy * dx) * inverse
            for k in range(values.shape[1]):
                out[y, x, k] = values[a, k] + wb * (values[b, k] - values[a, k]) + wc * (values[c, k] - values[a, k])
