"""FaceVerse v2, number for number: what its own renderer makes of its 486-wide vector (docs/method.md 13.2).

    python -m renderer.faceverse faceverse_simple_v2.npy faceverse.npz    converts the official file, once

The 58 coefficients of this program need none of this but the geometry, which is in `face_model.py`.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renderer.errors import RenderError
from renderer.face_model import CAMERA_Z, EXPRESSIONS, FaceModel, convert_faceverse, project, rotation_matrix
from renderer.jit import jit
from renderer.mesh import grey_image
from renderer.rasterizer import new_visibility_buffer, project_to_screen, rasterise, visible_triangle_ids
from renderer.resources import asset

FIELD_SIZES = {
    "identity": 150, "expression": EXPRESSIONS, "texture": 251, "rotation": 3, "gamma": 27, "translation": 3,
}  # fmt: skip
VECTOR_SIZE = sum(FIELD_SIZES.values())  # 486
DEFAULT_DEPTH = 6.0
REACT_IDENTITY = asset("face/react_identity.txt")
AMBIENT = 0.8  # added to the constant band of every colour's lighting
SH_COEFFICIENTS = 9

_SH_BAND2 = 2 * np.pi / np.sqrt(8) * 3 * np.sqrt(5) / np.sqrt(12 * np.pi)
_SH_BAND0, _SH_BAND1 = np.sqrt(np.pi) / 2, np.sqrt(np.pi)


@dataclass(frozen=True)
class FaceVerseCoefficients:
    """The parts of (B, 486) rows, float32. Angles are radians; gamma is (B, 3 colours, 9 bands)."""

    identity: np.ndarray
    expression: np.ndarray
    texture: np.ndarray
    rotation: np.ndarray
    gamma: np.ndarray
    translation: np.ndarray


def split_vector(vector: np.ndarray) -> FaceVerseCoefficients:
    """(B, 486) rows to their parts. Raises RenderError for another width."""
    vector = np.asarray(vector, np.float32)
    if vector.ndim != 2 or vector.shape[1] != VECTOR_SIZE:
        raise RenderError(f"Expected FaceVerse vectors of shape (rows, {VECTOR_SIZE}), got {vector.shape}.")
    parts = dict(zip(FIELD_SIZES, np.split(vector, np.cumsum(list(FIELD_SIZES.values()))[:-1], axis=1), strict=True))
    parts["gamma"] = parts["gamma"].reshape(-1, 3, SH_COEFFICIENTS)
    return FaceVerseCoefficients(**parts)


def default_vector(rows: int = 1) -> np.ndarray:
    """(rows, 486) of the mean face, upright, 4 units before the camera."""
    vector = np.zeros((rows, VECTOR_SIZE), np.float32)
    vector[:, -33] = np.pi  # rotation x
    vector[:, -1] = DEFAULT_DEPTH
    return vector


def react_identity() -> np.ndarray:
    """(150,) identity of the reference person that all of the REACT challenge's videos show."""
    return np.loadtxt(REACT_IDENTITY, dtype=np.float32)


class FaceVerse:
    """FaceVerse's own quantities of one face model, full or reduced (see `load_face_model`)."""

    def __init__(self, face: FaceModel) -> None:
        if (
            face.identity_basis.shape[2] != FIELD_SIZES["identity"]
            or face.texture_basis.shape[2] != FIELD_SIZES["texture"]
        ):
            raise RenderError(
                f"This is no FaceVerse v2 model: it has {face.identity_basis.shape[2]} identity and "
                f"{face.texture_basis.shape[2]} texture directions instead of 150 and 251."
            )
        self.face = face

    def vertices(self, vector: np.ndarray) -> np.ndarray:
        """(B, V, 3) in object space."""
        parts = split_vector(vector)
        rows = zip(parts.expression, parts.identity, strict=True)
        return np.concatenate([self.face.vertices(expression[None], identity) for expression, identity in rows])

    def rotated_vertices(self, vector: np.ndarray) -> np.ndarray:
        """(B, V, 3): R v, without the translation."""
        return self.vertices(vector) @ rotation_matrix(split_vector(vector).rotation).transpose(0, 2, 1)

    def world_vertices(self, vector: np.ndarray) -> np.ndarray:
        """(B, V, 3): R v + t."""
        return self.rotated_vertices(vector) + split_vector(vector).translation[:, None]

    def normals(self, vector: np.ndarray, as_published: bool = False) -> np.ndarray:
        """(B, V, 3) unit normals in object space, by the model's stored list of faces.

        as_published: repeat the published code's defect, which takes the cross product of exactly 3 rows over the
        wrong axis. For checks only.
        """
        face = self.face
        a, b, c = np.moveaxis(self.vertices(vector)[:, face.triangles], 2, 0)
        axis = 0 if as_published and len(a) == 3 else -1
        face_normals = np.cross(b - a, c - a, axisa=axis, axisb=axis, axisc=axis)  # area weighted
        normal_sums = face_normals[:, face.vertex_faces].sum(axis=2)  # repeated entries count
        return normal_sums / (np.linalg.norm(normal_sums, axis=2, keepdims=True) + np.float32(1e-9))

    def normals_rotated(self, vector: np.ndarray, as_published: bool = False) -> np.ndarray:
        """The normals in world space."""
        return self.normals(vector, as_published) @ rotation_matrix(split_vector(vector).rotation).transpose(0, 2, 1)

    def albedo(self, vector: np.ndarray) -> np.ndarray:
        """(B, V, 3) RGB 0..255, unclamped: the colours before lighting."""
        basis = self.face.texture_basis
        moved = split_vector(vector).texture @ basis.reshape(-1, basis.shape[2]).T
        return self.face.mean_texture + moved.reshape(len(moved), *self.face.mean_texture.shape)

    def colours(self, vector: np.ndarray, as_published: bool = False) -> np.ndarray:
        """(B, V, 3) RGB, about 0..255, unclamped: albedo under spherical-harmonic light."""
        gamma = split_vector(vector).gamma.copy()
        gamma[:, :, 0] += AMBIENT
        return self.albedo(vector) * (
            spherical_harmonics(self.normals_rotated(vector, as_published)) @ gamma.transpose(0, 2, 1)
        )

    def landmarks(self, vector: np.ndarray, size: int, focal: float = 1315.0, fitting: bool = False) -> np.ndarray:
        """(B, 66, 2) pixels. `fitting`: as the published code does without rendering, with |expression|."""
        vector = np.array(vector, np.float32)
        if fitting:
            expressions = slice(FIELD_SIZES["identity"], FIELD_SIZES["identity"] + EXPRESSIONS)
            vector[:, expressions] = np.abs(vector[:, expressions])
        return project(self.world_vertices(vector)[:, self.face.ibug_keypoints], size, focal)

    def images(self, vector: np.ndarray, size: int, focal: float = 1315.0, textured: bool = True) -> np.ndarray:
        """(B, size, size, 4) float32: RGB 0..255, unclamped, and coverage 0 or 1; grey as in REACT, or textured."""
        triangles = self.face.triangles.astype(np.uint32)
        images = []
        for world, colours in zip(self.world_vertices(vector), self.colours(vector), strict=True):
            rgb, coverage = textured_image(world, triangles, colours, size, focal)
            if not textured:
                rgb[:] = grey_image(world, triangles, size, focal)[..., None]
            images.append(np.concatenate([rgb, coverage[..., None]], axis=2))
        return np.stack(images)


def spherical_harmonics(normals: np.ndarray) -> np.ndarray:
    """Unit normals (..., 3) -> the 9 bands (..., 9) of the lighting."""
    x, y, z = np.moveaxis(normals, -1, 0)
    bands = [
        np.full_like(x, _SH_BAND0), -_SH_BAND1 * y, _SH_BAND1 * z, -_SH_BAND1 * x,
        _SH_BAND2 * x * y, -_SH_BAND2 * y * z, _SH_BAND2 / (2 * np.sqrt(3)) * (3 * z * z - 1), -_SH_BAND2 * x * z,
        _SH_BAND2 / 2 * (x * x - y * y),
    ]  # fmt: skip
    return np.stack(bands, axis=-1).astype(np.float32)


def textured_image(
    world: np.ndarray, triangles: np.ndarray, colours: np.ndarray, size: int, focal: float
) -> tuple[np.ndarray, np.ndarray]:
    """World vertices (V, 3) with colours (V, 3) -> picture (size, size, 3) float32 on 0, coverage (size, size) 0 or 1.

    One sample a pixel, perspective-correct interpolation, nothing culled (docs/method.md 13.5).
    """
    world = np.ascontiguousarray(world, np.float32)
    points = np.empty_like(world)
    visibility_buffer = new_visibility_buffer(size)
    project_to_screen(world, focal, size // 2, size, CAMERA_Z, points)
    rasterise(points, triangles, np.zeros(len(triangles), bool), visibility_buffer)
    triangle_ids = visible_triangle_ids(visibility_buffer)
    image = np.zeros((size, size, 3), np.float32)
    _rasterise_vertex_colours(points, triangles, np.ascontiguousarray(colours, np.float32), triangle_ids, image)
    return image, (triangle_ids >= 0).astype(np.float32)


@jit
def _rasterise_vertex_colours(points, triangles, colours, triangle_ids, image):
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            face = triangle_ids[row, column]
            if face < 0:
                continue
            a, b, c = triangles[face, 0], triangles[face, 1], triangles[face, 2]
            x, y = column + 0.5 - points[a, 0], row + 0.5 - points[a, 1]
            ux, uy = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
            vx, vy = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1]
            area = ux * vy - uy * vx
            wb, wc = (x * vy - y * vx) / area, (y * ux - x * uy) / area
            # linear on the screen -> linear on the triangle: each corner counts by its nearness
            wa, wb, wc = (1.0 - wb - wc) * points[a, 2], wb * points[b, 2], wc * points[c, 2]
            for channel in range(3):
                mixed = wa * colours[a, channel] + wb * colours[b, channel] + wc * colours[c, channel]
                image[row, column, channel] = mixed / (wa + wb + wc)


def main(arguments: list[str] | None = None) -> int:
    """Convert the official file."""
    parser = argparse.ArgumentParser(
        prog="python -m renderer.faceverse",
        description="Convert FaceVerse's faceverse_simple_v2.npy to a plain .npz, once. WARNING: the .npy is a Python "
        "pickle, and reading it runs whatever code its author put into it: do this only with a file you trust.",
    )
    parser.add_argument("npy", type=Path, help="the official file")
    parser.add_argument("npz", type=Path, help="the file to write")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    try:
        if not options.npy.is_file():
            raise RenderError(f"There is no file {options.npy}.")
        print(f"WARNING: {options.npy} is a Python pickle; reading it can run code. Do you trust its source?")
        if not options.yes and input("Type yes to read it: ").strip().lower() != "yes":
            print("Nothing was read.")
            return 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said above
            convert_faceverse(options.npy, options.npz)
    except RenderError as error:
        print(f"faceverse: {error}", file=sys.stderr)
        return 2
    print(f"{options.npz}: use it with renderer.face_model.load_face_model")
    return 0


if __name__ == "__main__":
    sys.exit(main())
