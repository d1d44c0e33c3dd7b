"""What the built-in head is painted with: signed fields at the vertices whose zero lines the renderer draws sharply.

A mesh this coarse cannot carry a texture at its vertices, but it can carry a distance: interpolated over a triangle and
thresholded in every pixel, it gives a crisp lip line, hairline, lash line or collar at any size.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from renderer.rasterizer import inverse_depths, new_visibility_buffer, rasterise, vertex_normals
from tools.face_source import EYES, TEETH, TONGUE, Cut, Wheel, sample

PARTS = ("skin", "lips", "mouth", "eyeLeft", "eyeRight", "teethUpper", "teethLower", "tongue", "cloth")
PAINT = ("occlusion", "lips", "browAlong", "browAcross", "hair", "lash", "cloth", "blush")

# The brow's centre line in decimetres of MakeHuman's frame: |x| from the middle outwards, and y.
# Read off the brow ridge of the mesh and of MediaPipe's brow landmarks on it.
BROW = np.array([(0.12, 7.470), (0.22, 7.515), (0.34, 7.545), (0.46, 7.550), (0.56, 7.520), (0.64, 7.470)])


def part_of_triangles(cut: Cut, wheel: Wheel) -> np.ndarray:
    """(F,) uint8 index into PARTS."""
    part = np.zeros(len(cut.triangles), np.uint8)
    for groups, name in (
        ([EYES[0]], "eyeLeft"), ([EYES[1]], "eyeRight"), ([TEETH[0]], "teethUpper"), ([TEETH[1]], "teethLower"),
        ([TONGUE], "tongue"),
    ):  # fmt: skip
        part[np.isin(cut.groups, groups)] = PARTS.index(name)
    skin = cut.groups == "body"
    inside = sample(wheel.mask("inside-mouth"), cut.uv)[cut.triangles].mean(axis=1) > 0.5
    inside &= (np.abs(cut.vertices[cut.triangles, 0]) < 0.4).all(axis=1)  # the same mask also covers the ear canals
    lips = sample(wheel.mask("lips"), cut.uv)[cut.triangles].mean(axis=1) > 0.5
    part[skin & lips] = PARTS.index("lips")
    part[skin & inside] = PARTS.index("mouth")
    part[skin & (cloth_field(cut.vertices)[cut.triangles].max(axis=1) > 0)] = PARTS.index("cloth")
    return part


def paint_vertices(cut: Cut, wheel: Wheel, margin: dict[str, np.ndarray], unit: float) -> np.ndarray:
    """(V, len(PAINT)) float32. Fields are signed distances in model units (`unit` dm per unit), positive inside."""
    skin = np.zeros(len(cut.vertices), bool)
    skin[cut.triangles[cut.groups == "body"]] = True
    x, y, z = cut.vertices.T
    outside = np.full(len(x), -1.0)

    lips = (sample(wheel.mask("lips"), cut.uv) - 0.5) * 0.06
    lips = np.where(skin & (np.abs(x) < 0.4) & (z > 1.2) & (y > 6.3) & (y < 6.9), lips, -0.03)  # as far from them
    hair = np.where(skin, hair_field(cut.vertices), outside)
    lash = np.where(skin, np.maximum(0.039 - _distance(cut.vertices, margin, "upper"),
                                     0.011 - _distance(cut.vertices, margin, "lower")), outside)  # fmt: skip
    cloth = np.where(skin, cloth_field(cut.vertices), outside)
    along = (np.abs(x) - BROW[0, 0]) / (BROW[-1, 0] - BROW[0, 0])
    centre = np.polyval(np.polyfit(BROW[:, 0], BROW[:, 1], 3), np.clip(np.abs(x), 0, 0.75))
    across = np.where(skin & (z > 0.7) & (np.abs(x) < 0.75), y - centre, outside)
    cheek = np.exp(-(((np.abs(x) - 0.47) / 0.22) ** 2 + ((y - 6.93) / 0.17) ** 2)) * (z > 0.8)
    nose_tip = 0.7 * np.exp(-((x / 0.16) ** 2 + ((y - 6.97) / 0.12) ** 2)) * (z > 1.4)
    paint = {
        "occlusion": occlusion(cut.vertices, cut.triangles),
        "lips": lips / unit,
        "browAlong": along,  # 0 at its inner end, 1 at its tail
        "browAcross": across / unit,  # height over its centre line
        "hair": hair / unit,
        "lash": lash / unit,
        "cloth": cloth / unit,
        "blush": np.where(skin, cheek + nose_tip, 0),
    }
    return np.stack([np.clip(paint[name], -1, 1.5) for name in PAINT], axis=1).astype(np.float32)


def _distance(points: np.ndarray, margin: dict[str, np.ndarray], lid: str) -> np.ndarray:
    """(V,) dm to the rims of both upper or both lower lids, as lines through their points."""
    lines = [
        np.stack([np.interp(np.linspace(0, len(rim) - 1, 200), np.arange(len(rim)), rim[:, k]) for k in range(3)], 1)
        for name, rim in margin.items()
        if name.startswith(lid)
    ]
    return cKDTree(np.concatenate(lines)).query(points)[0]


def hair_field(points: np.ndarray) -> np.ndarray:
    """Signed distance (dm, rough) to short hair: above a hairline from the forehead over the temples to the nape."""
    x, y, z = points.T
    # height of the hairline as a function of depth: forehead, temple, before the ear, behind it, nape
    line = np.interp(
        z, [-0.4, 0.0, 0.25, 0.42, 0.55, 0.8, 1.1, 1.3, 1.6], [6.35, 6.62, 7.0, 7.0, 7.1, 7.62, 7.8, 7.98, 8.1]
    )
    ear = np.hypot((z - 0.32) / 0.28, (y - 7.1) / 0.38) - 1  # keep the ear itself bare
    return np.minimum(y - line, np.maximum(ear * 0.3, 2 * (0.70 - np.abs(x))))


def cloth_field(points: np.ndarray) -> np.ndarray:
    """Signed distance (dm) below the collar of a round-necked shirt."""
    _, y, z = points.T
    return (5.86 - 0.30 * (z - 0.15)) - y


def head_weight(points: np.ndarray) -> np.ndarray:
    """(V,) 1 where the vertex turns with the skull, 0 where it stays with the shoulders, smooth along the neck."""
    _, y, z = points.T
    height = np.clip((y + 0.35 * (z - 0.4) - 5.62) / (6.36 - 5.62), 0, 1)
    return (height * height * (3 - 2 * height)).astype(np.float32)


def occlusion(points: np.ndarray, triangles: np.ndarray, directions: int = 192) -> np.ndarray:
    """(V,) share of the sky, 0..1, that each vertex of the resting face sees (cosine-weighted)."""
    size, scale = 512, 512 / 5.2
    centre = points.mean(axis=0)
    solid = np.ascontiguousarray(triangles)
    normals = np.zeros((len(points), 3), np.float32)
    vertex_normals(points.astype(np.float32), triangles, normals)
    seen, total = np.zeros(len(points)), np.zeros(len(points))
    samples = new_visibility_buffer(size)
    depth = inverse_depths(samples)
    for k in range(directions):  # a Fibonacci sphere
        height = 1 - 2 * (k + 0.5) / directions
        turn = k * np.pi * (3 - np.sqrt(5))
        towards = np.array([np.sqrt(1 - height**2) * np.cos(turn), height, np.sqrt(1 - height**2) * np.sin(turn)])
        side = np.cross(towards, [0.0, 0.0, 1.0] if abs(towards[2]) < 0.9 else [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        up = np.cross(towards, side)
        local = (points - centre) @ np.stack([side, up, towards]).T
        flat = np.stack([local[:, 0] * scale + size / 2, local[:, 1] * scale + size / 2, local[:, 2] + 8], axis=1)
        rasterise(flat.astype(np.float32), solid, np.zeros(len(solid), bool), samples)
        # look a little off the surface, or a vertex hides itself
        probe = local + 0.02 * normals @ np.stack([side, up, towards]).T
        column = np.clip((probe[:, 0] * scale + size / 2).astype(int), 0, size - 1)
        row = np.clip((probe[:, 1] * scale + size / 2).astype(int), 0, size - 1)
        free = probe[:, 2] + 8 > depth[row, column] - 0.02
        weight = np.maximum(normals @ towards, 0)
        seen += weight * free
        total += weight
    return np.clip(seen / np.maximum(total, 1e-9), 0, 1)
