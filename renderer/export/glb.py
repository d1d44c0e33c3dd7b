"""A person's head as a GLB file: textures inside, the 52 ARKit units as morph targets, and its movement, if any.

The head is a skinned mesh on two joints, "head" and "shoulders": a neck that bends between them is what `pose_bust`
computes, vertex by vertex. trimesh writes GLB as well, but no morph targets and no animation. Section numbers are of
the glTF 2.0 specification (Khronos, 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from renderer.coefficients import plausible_coefficients
from renderer.export.gltf import GltfDocument
from renderer.export.head import METRES_PER_UNIT, TO_FILE_AXES, head_surface
from renderer.export.parts import Part, surface_parts
from renderer.face_model import EXPRESSION_NAMES, EXPRESSIONS, REACT_TRANSLATION, rotation_matrix
from renderer.identity.files import NOTICE
from renderer.identity.identity import Identity
from renderer.posing import shoulder_translations
from renderer.rasterizer import vertex_normals
from renderer.studio_surface import StudioSurface
from renderer.whole_files import write_whole

SMALLEST_OFFSET = 1e-6  # metres: what a unit moves less than this, it does not move
SMALLEST_TILT = 1e-3  # of a normal of length 1, likewise
FRAMES_PER_SECOND = 25
_FACE, _LISTENER, _HEAD, _SHOULDERS = range(4)  # nodes


def save_glb(
    head: Identity | str,
    path: str | Path,
    coefficients: np.ndarray | None = None,
    about: Mapping[str, str] | None = None,
) -> None:
    """Writes what `glb_bytes` gives to `path`, whole or not at all. Raises RenderError."""
    content = glb_bytes(head, coefficients, about)
    write_whole(path, lambda file: file.write(content))


def glb_bytes(
    head: Identity | str, coefficients: np.ndarray | None = None, about: Mapping[str, str] | None = None
) -> bytes:
    """A head as a GLB file: a real person's, or a made-up person's by name.

    coefficients (T, 58): its movement, at 25 frames per second, clamped as when it is drawn; None: a head at rest.
    about: what the file says of itself. Raises RenderError for coefficients of another shape or not finite, and for a
    head that is not there.
    """
    document = head_document(head)
    return document.to_bytes(about) if coefficients is None else moving_glb(document, coefficients, about)


def head_document(head: Identity | str) -> GltfDocument:
    """A head at rest, from which `moving_glb` makes one file for each movement; it takes a second.

    In metres, y up, looking along +z; every part of the head is a primitive of one mesh, whose morph targets have the
    names of EXPRESSION_NAMES. A real person's file says that it is one's face. Raises RenderError.
    """
    surface = head_surface(head)
    document = GltfDocument([_FACE, _LISTENER], {"notice": NOTICE} if isinstance(head, Identity) else {})
    mesh = {
        "primitives": _primitives(document, surface),
        "weights": [0.0] * EXPRESSIONS,
        "extras": {"targetNames": list(EXPRESSION_NAMES)},
    }
    document.add("nodes", {"name": "face", "mesh": document.add("meshes", mesh), "skin": 0})
    document.add("nodes", {"name": "listener", "children": [_HEAD, _SHOULDERS]})
    document.add("nodes", {"name": "head"})
    document.add("nodes", {"name": "shoulders"})
    # without inverseBindMatrices these are identities: both joints rest at the origin (3.7.3.1)
    document.add("skins", {"joints": [_HEAD, _SHOULDERS], "skeleton": _LISTENER})
    return document


def moving_glb(document: GltfDocument, coefficients: np.ndarray, about: Mapping[str, str] | None = None) -> bytes:
    """`document`, which stays as it is, with the movement (T, 58) as its one animation. Raises RenderError."""
    document = document.copy()
    _animate(document, plausible_coefficients(coefficients))
    return document.to_bytes(about)


def _primitives(document: GltfDocument, surface: StudioSurface) -> list[dict[str, Any]]:
    positions = np.ascontiguousarray(surface.shape * TO_FILE_AXES * METRES_PER_UNIT, np.float32)
    units = surface.basis * TO_FILE_AXES[:, None] * METRES_PER_UNIT
    normals = _normals(surface, surface.shape)
    tilts = [_normals(surface, surface.shape + surface.basis[..., k]) - normals for k in range(EXPRESSIONS)]
    moved = (np.linalg.norm(units, axis=1) > SMALLEST_OFFSET) | (np.linalg.norm(tilts, axis=2).T > SMALLEST_TILT)
    weight = np.ones(len(positions), np.float32) if surface.head_weight is None else surface.head_weight
    primitives = []
    for part in surface_parts(surface):
        ids = part.vertices
        targets = [document.offsets(moved[ids, k], units[ids, :, k], tilts[k][ids]) for k in range(EXPRESSIONS)]
        attributes = {
            "POSITION": document.attribute(positions[ids], limits=True),
            "NORMAL": document.attribute(normals[ids]),
            **_joints(document, weight[ids]),
            **_colours(document, part),
        }
        primitives.append(
            {
                "attributes": attributes,
                "indices": document.indices(part.triangles),
                "material": _material(document, part),
                "targets": [{"POSITION": position, "NORMAL": normal} for position, normal in targets],
            }
        )
    return primitives


def _normals(surface: StudioSurface, shape: np.ndarray) -> np.ndarray:
    """(V, 3) of length 1 in the file's axes, of the surface's vertices at `shape` (V, 3) in object space."""
    normals = np.empty(shape.shape, np.float32)
    vertex_normals(np.ascontiguousarray(shape, np.float32), surface.triangles, normals)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 0, normals / np.maximum(lengths, 1e-20), np.float32([0, 0, -1]))
    return (normals * TO_FILE_AXES).astype(np.float32)  # two axes are turned round: outside stays outside


def _joints(document: GltfDocument, weight: np.ndarray) -> dict[str, int]:
    """weight (N,): 1 turns with the head, 0 stays with the shoulders. A joint without a share is named 0 (3.7.3.3)."""
    joints, shares = np.zeros((len(weight), 4), np.uint8), np.zeros((len(weight), 4), np.float32)
    joints[:, 0], shares[:, 0] = weight == 0, np.where(weight == 0, 1, weight)
    between = (weight > 0) & (weight < 1)
    joints[between, 1], shares[between, 1] = 1, 1 - weight[between]
    return {"JOINTS_0": document.attribute(joints), "WEIGHTS_0": document.attribute(shares)}


def _colours(document: GltfDocument, part: Part) -> dict[str, int]:
    colours = {}
    if part.uv is not None:
        colours["TEXCOORD_0"] = document.attribute(part.uv)  # from the upper left, as here
    if part.colours is not None:
        shades = np.rint(255 * np.clip(part.colours, 0, 1)).astype(np.uint8)
        opaque = np.column_stack([shades, np.full(len(shades), 255, np.uint8)])
        colours["COLOR_0"] = document.attribute(opaque, normalized=True)
    return colours


def _material(document: GltfDocument, part: Part) -> int:
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": part.roughness}
    if part.image is not None:
        surface["baseColorTexture"] = {"index": document.texture(part.image)}
    return document.add("materials", {"name": part.name, "pbrMetallicRoughness": surface})


def _animate(document: GltfDocument, rows: np.ndarray) -> None:
    """rows (T, 58): one animation of the weights, of the head's turn and place, and of the shoulders' place."""
    times = document.samples((np.arange(len(rows)) / FRAMES_PER_SECOND).astype(np.float32), limits=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    for node, path, values in (
        (_FACE, "weights", rows[:, :EXPRESSIONS].reshape(-1)),
        (_HEAD, "rotation", _turns(rows)),
        (_HEAD, "translation", _places(rows[:, -3:])),
        (_SHOULDERS, "translation", _places(shoulder_translations(rows))),
    ):
        output = document.samples(values.astype(np.float32))
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": times, "output": output, "interpolation": "LINEAR"})
    document.add("animations", {"name": "reaction", "channels": channels, "samplers": samplers})


def _turns(rows: np.ndarray) -> np.ndarray:
    """(T, 4) quaternions x, y, z, w of the head in the file's axes, each on the side of the one before it."""
    quaternions = Rotation.from_matrix(rotation_matrix(rows[:, -6:-3]) * TO_FILE_AXES).as_quat()
    flips = np.cumprod(np.where((quaternions[1:] * quaternions[:-1]).sum(axis=1) < 0, -1, 1))
    quaternions[1:] *= flips[:, None]
    return quaternions


def _places(translations: np.ndarray) -> np.ndarray:
    """(T, 3) in metres from where a head at rest is."""
    return (translations - REACT_TRANSLATION) * METRES_PER_UNIT
