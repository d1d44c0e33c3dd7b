"""The 52-blendshape face in FaceVerse v2's format: coefficients in, vertices out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from renderer.errors import RenderError
from renderer.guarded_files import UnsafeFile, read_npz, unpickle_arrays
from renderer.resources import asset

EXPRESSION_NAMES: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""Apple's ARKit names in alphabetical order, tongueOut last (docs/method.md 1.1). Left/right: the subject's."""

COEFFICIENT_NAMES: tuple[str, ...] = (
    *EXPRESSION_NAMES,
    "rotationX", "rotationY", "rotationZ",
    "translationX", "translationY", "translationZ",
)  # fmt: skip
"""The 58-vector of the REACT data: 52 expressions, 3 Euler angles (radians), 3 translations (model units)."""

EXPRESSIONS = len(EXPRESSION_NAMES)
COEFFICIENTS = len(COEFFICIENT_NAMES)

FOCAL_AT_224 = 1315.0  # pixels, FaceVerse's own camera; docs/method.md 13.3
CAMERA_Z = 10.0  # the camera stands at (0, 0, 10) and looks along -z
REACT_TRANSLATION = (-0.0056, -0.0180, 1.8379)  # mean over the REACT 2024 data: where a face sits in the frame

MOST_BYTES = 768 << 20  # of a face model, unpacked; FaceVerse v2 has 160 MB

BUILT_IN_HEAD = asset("face/head.npz")


@dataclass(frozen=True)
class FaceModel:
    """A linear face: vertices = mean_shape + identity_basis · identity + expression_basis · expression.

    Object space is FaceVerse's native frame: +x towards the subject's left, y DOWN, the nose towards -z, about
    162 mm per unit. World space is what the camera sees: y up, +z towards the camera.
    Everything from `parts` on is empty (None) for a model that does not bring it, such as FaceVerse's own file.
    """

    mean_shape: np.ndarray  # (V, 3) float32
    expression_basis: np.ndarray  # (V, 3, 52) float32; coefficient 1 is the full unit
    identity_basis: np.ndarray  # (V, 3, I) float32; coefficients are meant to be N(0, 1)
    mean_texture: np.ndarray  # (V, 3) float32, RGB 0..255
    texture_basis: np.ndarray  # (V, 3, X) float32
    triangles: np.ndarray  # (F, 3) int32, wound outward
    vertex_faces: np.ndarray  # (V, 8) int32, up to 8 faces around each vertex, repeats fill the rest
    ibug_keypoints: np.ndarray  # (K,) int32 vertices, iBUG order for the first 48
    parts: np.ndarray | None = None  # (F,) uint8, index into part_names
    part_names: tuple[str, ...] = ()
    vertex_masks: np.ndarray | None = None  # (V, P) float32, see tools/build_face.py
    vertex_mask_names: tuple[str, ...] = ()
    head_weight: np.ndarray | None = None  # (V,) 1 where the vertex turns with the head, 0 on the shoulders
    identity_names: tuple[str, ...] = ()
    landmark_vertices: np.ndarray | None = None  # (468, 3) int32, MediaPipe's landmarks on this mesh
    landmark_weights: np.ndarray | None = None  # (468, 3) float32, barycentric, rows sum to 1

    def neutral_vertices(self, identity: np.ndarray | None = None) -> np.ndarray:
        """The expressionless face (V, 3) in object space of `identity` (up to I values, missing ones are 0)."""
        if identity is None:
            return self.mean_shape
        identity = np.asarray(identity, np.float32).reshape(-1)
        available = self.identity_basis.shape[2]
        if len(identity) > available:
            raise RenderError(f"The identity has {len(identity)} values, but this face model knows {available}.")
        return self.mean_shape + self.identity_basis[:, :, : len(identity)] @ identity

    def vertices(self, expression: np.ndarray, identity: np.ndarray | None = None) -> np.ndarray:
        """(T, 52) expressions, 0 rest and 1 full -> (T, V, 3) float32 vertices in object space."""
        expression = _validated_rows(expression, EXPRESSIONS, "expression")
        flat = expression @ self.expression_basis.reshape(-1, EXPRESSIONS).T  # (T, 3V)
        return self.neutral_vertices(identity) + flat.reshape(len(expression), -1, 3)

    def world_vertices(self, coefficients: np.ndarray, identity: np.ndarray | None = None) -> np.ndarray:
        """(T, 58) coefficients -> (T, V, 3) vertices in world space, R v + t (docs/method.md 13.3)."""
        coefficients = _validated_rows(coefficients, COEFFICIENTS, "coefficient")
        return pose_vertices(self.vertices(coefficients[:, :EXPRESSIONS], identity), coefficients)

    def landmarks(self, coefficients: np.ndarray, identity: np.ndarray | None = None) -> np.ndarray:
        """(T, 58) coefficients -> (T, 468, 3) world positions of MediaPipe's landmarks, in MediaPipe's order.

        Raises RenderError when the model does not know where MediaPipe's landmarks lie on it.
        """
        if self.landmark_vertices is None or self.landmark_weights is None:
            raise RenderError("This face model carries no MediaPipe landmarks; use the built-in head for that.")
        coefficients = _validated_rows(coefficients, COEFFICIENTS, "coefficient")
        corners = self._landmark_corners.vertices(coefficients[:, :EXPRESSIONS], identity)  # (T, 3 * 468, 3)
        points = corners.reshape(len(corners), -1, 3, 3)
        return pose_vertices(np.einsum("tlkc,lk->tlc", points, self.landmark_weights), coefficients)

    @cached_property
    def _landmark_corners(self) -> FaceModel:
        """Only the vertices under the landmarks: a whole-mesh product for 468 points would be 4x the work."""
        assert self.landmark_vertices is not None, "asked for by `landmarks` alone"
        ids = self.landmark_vertices.reshape(-1)
        return replace(
            self,
            mean_shape=self.mean_shape[ids],
            expression_basis=np.ascontiguousarray(self.expression_basis[ids]),
            identity_basis=np.ascontiguousarray(self.identity_basis[ids]),
        )


def rotation_matrix(angles: np.ndarray) -> np.ndarray:
    """(..., 3) Euler angles a, b, c in radians -> (..., 3, 3) matrices Rz(c) Ry(b) Rx(a), acting on columns."""
    from scipy.spatial.transform import Rotation  # takes a second to import: not for those who ask for names

    return Rotation.from_euler("xyz", np.asarray(angles, np.float64)).as_matrix().astype(np.float32)


def pose_vertices(vertices: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Object-space points (T, N, 3), posed by the last six of (T, 58) coefficients -> world space (T, N, 3)."""
    rotated = vertices @ rotation_matrix(coefficients[:, -6:-3]).transpose(0, 2, 1)
    return rotated + coefficients[:, None, -3:].astype(np.float32)


def project(points: np.ndarray, size: int, focal: float | None = None) -> np.ndarray:
    """World points (..., 3) -> pixels (..., 2) of a square image: origin top left, y down, pixel i covers [i, i+1).

    `focal` is in pixels; by default FaceVerse's 1315 px at 224 px, scaled with the size (docs/method.md 13.3).
    """
    focal = FOCAL_AT_224 * size / 224 if focal is None else focal
    points = np.asarray(points)
    scale = focal / (CAMERA_Z - points[..., 2:])
    centre = size // 2
    u = centre + points[..., :1] * scale
    v = size - (centre + points[..., 1:2] * scale)
    return np.concatenate([u, v], axis=-1)


def neutral_coefficients(frames: int = 1) -> np.ndarray:
    """(frames, 58) float32 of an upright, expressionless face at the place of the REACT data's mean."""
    rest = np.zeros((frames, COEFFICIENTS), np.float32)
    rest[:, COEFFICIENT_NAMES.index("rotationX")] = np.pi
    rest[:, -3:] = REACT_TRANSLATION
    return rest


def load_face_model(path: str | Path | None = None, reduced: bool = False) -> FaceModel:
    """The built-in CC0 head (path None), or any FaceVerse v2 model converted to .npz by `convert_faceverse`.

    `reduced` gives the smaller mesh of the `*_select` arrays (FaceVerse: 6,335 of 28,632 vertices).
    Raises RenderError when the file is missing, is a pickle, or lacks an array.
    """
    path = BUILT_IN_HEAD if path is None else Path(path)
    if not path.is_file():
        raise RenderError(f"There is no face model at {path}; `python -m tools.build_face` makes the built-in one.")
    try:
        arrays = read_npz(path, MOST_BYTES)
    except (OSError, UnsafeFile) as error:
        raise RenderError(
            f"{path} is not a face model in .npz form (it {error}); convert a FaceVerse .npy with "
            "renderer.face_model.convert_faceverse(npy, npz) first."
        ) from error
    missing = [name for name in _REQUIRED if name not in arrays]
    if missing:
        raise RenderError(f"The face model {path} lacks {', '.join(missing)}.")
    try:
        return _from_arrays(arrays, reduced)
    except (ValueError, IndexError, KeyError, TypeError, ArithmeticError) as error:
        if isinstance(error, RenderError):
            raise
        raise RenderError(f"{path} is no face model: its arrays do not fit together ({error}).") from None


def convert_faceverse(npy_path: str | Path, npz_path: str | Path) -> None:
    """Rewrite FaceVerse's `faceverse_simple_v2.npy` as a plain .npz, once.

    WARNING: the .npy is a Python pickle. It is read by a reader that builds arrays and nothing else, and refuses a file
    that names anything more; still, do this only with a file from a source you trust. Nothing else reads pickles.
    Raises RenderError for a file that holds more than arrays, is damaged, or is no FaceVerse v2 model.
    """
    npy_path = Path(npy_path)
    warnings.warn(f"{npy_path} is read as a pickle, though as arrays only: trust its source.", stacklevel=2)
    try:
        contents = unpickle_arrays(npy_path)
    except (OSError, UnsafeFile) as error:
        raise RenderError(f"{npy_path} {error}; get FaceVerse's official file again.") from None
    if not isinstance(contents, dict):
        raise RenderError(f"{npy_path} is no FaceVerse v2 model: it holds no table of arrays.")
    arrays_to_save: dict[str, Any] = {
        name: np.asarray(value) for name, value in contents.items() if name in _REQUIRED + _OPTIONAL
    }
    if "exp_name_list" in arrays_to_save:
        arrays_to_save["exp_name_list"] = arrays_to_save["exp_name_list"].astype(str)
    missing = [name for name in _REQUIRED if name not in arrays_to_save]
    if missing:
        raise RenderError(f"{npy_path} is no FaceVerse v2 model: it lacks {', '.join(missing)}.")
    np.savez_compressed(npz_path, **arrays_to_save)


_REQUIRED = ("meanshape", "meantex", "idBase", "exBase", "texBase", "tri", "point_buf", "keypoints")
_OPTIONAL = (
    "skinmask", "select_id", "tri_select", "point_buf_select", "skinmask_select", "keypoints_select", "exp_name_list",
)  # fmt: skip


def _from_arrays(arrays: dict[str, np.ndarray], reduced: bool) -> FaceModel:
    vertices = arrays["meanshape"].size // 3
    if arrays["exBase"].reshape(3 * vertices, -1).shape[1] != EXPRESSIONS:
        raise RenderError(f"The face model has {arrays['exBase'].shape[1]} expression units, not {EXPRESSIONS}.")
    selected_vertices = arrays["select_id"].reshape(-1).astype(np.int64) if reduced else slice(None)
    suffix = "_select" if reduced else ""

    def vertex_array(name: str) -> np.ndarray:  # (V, 3) or (V, 3, directions)
        directions = arrays[name].size // (3 * vertices)
        shape = (vertices, 3) if name.startswith("mean") else (vertices, 3, directions)
        return np.ascontiguousarray(arrays[name].reshape(shape)[selected_vertices], dtype=np.float32)

    def names(key: str) -> tuple[str, ...]:
        return tuple(str(name) for name in arrays.get(key, ()))

    def optional_array(key: str, dtype: type) -> np.ndarray | None:  # ours alone; they index the full mesh
        return arrays[key].astype(dtype) if key in arrays and not reduced else None

    model = FaceModel(
        mean_shape=vertex_array("meanshape"),
        expression_basis=vertex_array("exBase"),
        identity_basis=vertex_array("idBase"),
        mean_texture=vertex_array("meantex"),
        texture_basis=vertex_array("texBase"),
        triangles=np.ascontiguousarray(arrays["tri" + suffix], dtype=np.int32).reshape(-1, 3),
        vertex_faces=np.ascontiguousarray(arrays["point_buf" + suffix], dtype=np.int32),
        ibug_keypoints=arrays["keypoints" + suffix].reshape(-1).astype(np.int32),
        parts=optional_array("part", np.uint8),
        part_names=names("part_names"),
        vertex_masks=optional_array("paint", np.float32),
        vertex_mask_names=names("paint_names"),
        head_weight=optional_array("head_weight", np.float32),
        identity_names=names("identity_names"),
        landmark_vertices=optional_array("landmark_vertices", np.int32),
        landmark_weights=optional_array("landmark_weights", np.float32),
    )
    _check_indices(model)
    return model


def _check_indices(model: FaceModel) -> None:
    """Raises RenderError where a list names what is not there: compiled loops would read beyond the arrays."""
    limits = {
        "triangles": (model.triangles, len(model.mean_shape)),
        "vertex_faces": (model.vertex_faces, len(model.triangles) + 1),  # FaceVerse fills up with one that is none
        "keypoints": (model.ibug_keypoints, len(model.mean_shape)),
        "landmark_vertices": (model.landmark_vertices, len(model.mean_shape)),
    }
    for name, (indices, limit) in limits.items():
        if indices is not None and indices.size and (indices.min() < 0 or indices.max() >= limit):
            raise RenderError(f"The face model's {name} name vertices or triangles that are not there.")
    for values in (model.mean_shape, model.expression_basis, model.identity_basis, model.mean_texture):
        if not np.isfinite(values).all():
            raise RenderError("The face model holds a number that is not finite.")


def _validated_rows(values: np.ndarray, width: int, what: str) -> np.ndarray:
    values = np.asarray(values, np.float32)
    if values.ndim != 2 or values.shape[1] != width:
        raise RenderError(f"Expected {what}s of shape (frames, {width}), got {values.shape}.")
    return values
