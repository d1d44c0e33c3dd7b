"""A glTF 2.0 file in one piece (GLB): the JSON and the bytes that it refers to, as they grow.

Section numbers are of the glTF 2.0 specification (Khronos, 2021).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

_FLOAT, _UINT8, _UINT32 = 5126, 5121, 5125  # component types (3.6.2.2)
_COMPONENTS = {"float32": _FLOAT, "uint8": _UINT8, "uint32": _UINT32}
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
_VERTICES, _INDICES = 34962, 34963  # what a part of the buffer is for (5.11.5)
_HEADER, _CHUNK = "<4sII", "<I4s"  # (4.4)


class GltfDocument:
    """The file's lists, in the order of their numbers; what refers to a list's entry is written by the caller."""

    def __init__(self, roots: list[int], about: dict[str, str]) -> None:
        """roots: the nodes of its one scene; about: what the file says of itself, in `asset.extras`."""
        self._roots, self._about = roots, about
        self._bytes = bytearray()
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._image_of_array: dict[int, int] = {}

    def copy(self) -> GltfDocument:
        """Another that can grow by itself; entries that are there are shared, and not to be altered."""
        twin = GltfDocument(self._roots, self._about)
        twin._bytes = bytearray(self._bytes)
        twin._lists = {name: list(entries) for name, entries in self._lists.items()}
        twin._image_of_array = dict(self._image_of_array)
        return twin

    def add(self, name: str, entry: dict[str, Any]) -> int:
        """Append an entry to the list of that name, such as "nodes"; its number."""
        entries = self._lists.setdefault(name, [])
        entries.append(entry)
        return len(entries) - 1

    def attribute(self, array: np.ndarray, *, limits: bool = False, normalized: bool = False) -> int:
        """The accessor of an attribute of vertices, (N, 2 to 4) float32 or uint8; `limits`: with its least and most."""
        more: dict[str, Any] = {"normalized": True} if normalized else {}
        return self._accessor(array, _VERTICES, limits, more)

    def indices(self, triangles: np.ndarray) -> int:
        """The accessor of triangles (M, 3)."""
        return self._accessor(triangles.reshape(-1).astype(np.uint32), _INDICES, False, {})

    def samples(self, array: np.ndarray, *, limits: bool = False) -> int:
        """The accessor of an animation's numbers, (N,) or (N, 2 to 4) float32."""
        return self._accessor(array, None, limits, {})

    def offsets(self, moved: np.ndarray, *fields: np.ndarray) -> list[int]:
        """Morph targets (N, 3) float32 as sparse accessors (3.6.2.3), for most units move few vertices.

        moved (N,): which vertices; the others' offsets count as zero. One list of their numbers serves all fields.
        """
        numbers = np.flatnonzero(moved)
        view = self._view(numbers.astype(np.uint32).tobytes()) if len(numbers) else None
        accessors = []
        for offsets in fields:
            kept = np.where(moved[:, None], offsets, np.float32(0))
            entry: dict[str, Any] = {
                "componentType": _FLOAT, "count": len(kept), "type": "VEC3",
                "min": kept.min(axis=0).tolist(), "max": kept.max(axis=0).tolist(),
            }  # fmt: skip
            if view is not None:
                entry["sparse"] = {
                    "count": len(numbers),
                    "indices": {"bufferView": view, "componentType": _UINT32},
                    "values": {"bufferView": self._view(np.ascontiguousarray(kept[numbers], np.float32).tobytes())},
                }
            accessors.append(self.add("accessors", entry))
        return accessors

    def texture(self, image: np.ndarray) -> int:
        """The texture (H, W, 3) uint8 sRGB; one array that several parts share is stored once."""
        if id(image) not in self._image_of_array:
            view = self._view(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
            number = self.add("images", {"bufferView": view, "mimeType": "image/png"})
            self._image_of_array[id(image)] = self.add("textures", {"source": number})
        return self._image_of_array[id(image)]

    def to_bytes(self, about: Mapping[str, str] | None = None) -> bytes:
        """The file; about: what it says of itself besides."""
        document = {
            "asset": {"version": "2.0", "generator": "perfrdiff", "extras": self._about | dict(about or {})},
            "scene": 0,
            "scenes": [{"nodes": self._roots}],
            **self._lists,
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

    def _view(self, content: bytes, target: int | None = None) -> int:
        view = {"buffer": 0, "byteOffset": len(self._bytes), "byteLength": len(content)}
        self._bytes += content + bytes(-len(content) % 4)
        return self.add("bufferViews", view if target is None else view | {"target": target})

    def _accessor(self, array: np.ndarray, target: int | None, limits: bool, more: dict[str, Any]) -> int:
        array = np.ascontiguousarray(array)
        columns = array.reshape(len(array), -1)
        if limits:
            more = more | {"min": columns.min(axis=0).tolist(), "max": columns.max(axis=0).tolist()}
        return self.add(
            "accessors",
            {
                "bufferView": self._view(array.tobytes(), target),
                "componentType": _COMPONENTS[array.dtype.name],
                "count": len(array),
                "type": _KINDS[columns.shape[1]],
            }
            | more,
        )
