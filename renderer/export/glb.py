"""A person's head as a GLB file (glTF 2.0, one binary file): textures inside, the 52 ARKit units as morph targets.

trimesh writes GLB as well, but no morph targets. Section numbers are of the glTF 2.0 specification (Khronos, 2021).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from renderer.export.parts import Part, surface_parts
from renderer.face_model import EXPRESSION_NAMES, load_face_model
from renderer.identity.files import NOTICE
from renderer.identity.identity import Identity
from renderer.rasterizer import vertex_normals
from renderer.textured_surface import textured_surface
from renderer.whole_files import write_whole

METRES_PER_UNIT = 0.162  # see FaceModel
TO_GLTF = np.array([1.0, -1.0, -1.0], np.float32)  # object space to x subject's left, y up, z to the front
SMALLEST_OFFSET = 1e-5  # metres: what a unit moves less than this, it does not move

_FLOAT, _UINT8, _UINT32 = 5126, 5121, 5125  # component types (3.6.2.2)
_VERTICES, _INDICES = 34962, 34963  # what a part of the buffer is for (5.11.5)
_HEADER, _CHUNK = "<4sII", "<I4s"  # (4.4)


def save_glb(identity: Identity, path: str | Path) -> None:
    """Writes the head of `identity`, at rest, to `path`.

    In metres, y up, looking along +z. Every part of the head is a primitive of one mesh, whose morph targets have the
    names of EXPRESSION_NAMES. The file says that it is a person's face. Raises RenderError where it cannot be written.
    """
    content = glb_bytes(identity)
    write_whole(path, lambda file: file.write(content))


def glb_bytes(identity: Identity) -> bytes:
    """What `save_glb` writes."""
    surface = textured_surface(load_face_model(), identity, np.inf)  # so near that the texture is never made smaller
    positions = np.ascontiguousarray(surface.shape * TO_GLTF * METRES_PER_UNIT, np.float32)
    units = surface.basis * TO_GLTF[:, None] * METRES_PER_UNIT
    normals = np.empty_like(positions)
    vertex_normals(positions, surface.triangles, normals)  # two axes are turned round: outside stays outside
    document = _Document()
    for part in surface_parts(surface):
        document.add(part, positions, normals, units)
    return document.to_bytes()


class _Document:
    """The JSON of a glTF file and the bytes it refers to, as they grow."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []
        self._primitives: list[dict[str, Any]] = []
        self._materials: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._image_of_array: dict[int, int] = {}

    def add(self, part: Part, positions: np.ndarray, normals: np.ndarray, units: np.ndarray) -> None:
        """positions, normals (V, 3) and units (V, 3, 52) of the surface, in the file's own axes."""
        ids = part.vertices
        attributes = {"POSITION": self._vectors(positions[ids], limits=True), "NORMAL": self._vectors(normals[ids])}
        if part.uv is not None:
            attributes["TEXCOORD_0"] = self._vectors(part.uv)  # from the upper left, as here
        if part.colours is not None:
            shades = np.rint(255 * np.clip(part.colours, 0, 1)).astype(np.uint8)
            attributes["COLOR_0"] = self._accessor(
                np.column_stack([shades, np.full(len(shades), 255, np.uint8)]),
                _UINT8,
                "VEC4",
                _VERTICES,
                normalized=True,
            )
        indices = self._accessor(part.triangles.reshape(-1).astype(np.uint32), _UINT32, "SCALAR", _INDICES)
        targets = [{"POSITION": self._offsets(units[ids, :, number])} for number in range(units.shape[2])]
        self._primitives.append(
            {"attributes": attributes, "indices": indices, "material": self._material(part), "targets": targets}
        )

    def _material(self, part: Part) -> int:
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": part.roughness}
        if part.image is not None:
            surface["baseColorTexture"] = {"index": self._image(part.image)}
        self._materials.append({"name": part.name, "pbrMetallicRoughness": surface})
        return len(self._materials) - 1

    def _image(self, image: np.ndarray) -> int:
        """The number of the texture; one array that several parts share is stored once."""
        if id(image) not in self._image_of_array:
            png = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
            self._images.append({"bufferView": self._view(png), "mimeType": "image/png"})
            self._image_of_array[id(image)] = len(self._images) - 1
        return self._image_of_array[id(image)]

    def _view(self, content: bytes, target: int | None = None) -> int:
        view = {"buffer": 0, "byteOffset": len(self._bytes), "byteLength": len(content)}
        self._views.append(view if target is None else view | {"target": target})
        self._bytes += content + bytes(-len(content) % 4)
        return len(self._views) - 1

    def _accessor(self, array: np.ndarray, component: int, kind: str, target: int, **more: Any) -> int:
        view = self._view(np.ascontiguousarray(array).tobytes(), target)
        entry = {"bufferView": view, "componentType": component, "count": len(array), "type": kind} | more
        self._accessors.append(entry)
        return len(self._accessors) - 1

    def _vectors(self, array: np.ndarray, limits: bool = False) -> int:
        array = np.ascontiguousarray(array, np.float32)
        more = {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()} if limits else {}
        return self._accessor(array, _FLOAT, f"VEC{array.shape[1]}", _VERTICES, **more)

    def _offsets(self, offsets: np.ndarray) -> int:
        """A morph target (N, 3) as a sparse accessor (3.6.2.3): most units move few vertices."""
        moved = np.flatnonzero(np.linalg.norm(offsets, axis=1) > SMALLEST_OFFSET)
        kept = np.zeros((len(offsets), 3), np.float32)
        kept[moved] = offsets[moved]
        entry: dict[str, Any] = {
            "componentType": _FLOAT, "count": len(kept), "type": "VEC3",
            "min": kept.min(axis=0).tolist(), "max": kept.max(axis=0).tolist(),
        }  # fmt: skip
        if len(moved):
            entry["sparse"] = {
                "count": len(moved),
                "indices": {"bufferView": self._view(moved.astype(np.uint32).tobytes()), "componentType": _UINT32},
                "values": {"bufferView": self._view(kept[moved].tobytes())},
            }
        self._accessors.append(entry)
        return len(self._accessors) - 1

    def to_bytes(self) -> bytes:
        names = list(EXPRESSION_NAMES)
        mesh = {"primitives": self._primitives, "weights": [0.0] * len(names), "extras": {"targetNames": names}}
        document = {
            "asset": {"version": "2.0", "generator": "perfrdiff", "extras": {"notice": NOTICE}},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, "name": "head"}],
            "meshes": [mesh],
            "materials": self._materials,
            "textures": [{"source": number} for number in range(len(self._images))],
            "images": self._images,
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [{"byteLength": len(self._bytes)}],
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        length = struct.calcsize(_HEADER) + 2 * struct.calcsize(_CHUNK) + len(text) + len(self._bytes)
        return b"".join(
            (
                struct.pack(_HEADER, b"glTF", 2, length),
                struct.pack(_CHUNK, len(text), b"JSON"), text,
                struct.pack(_CHUNK, len(self._bytes), b"BIN\0"), bytes(self._bytes),
            )
        )  # fmt: skip
