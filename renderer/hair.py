"""Hair and lashes of the mesh identities: tapering locks, grown over the head when a renderer is made.

Nothing here is stored: from the same skull the same locks come out every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.spatial import cKDTree

from renderer.face_model import EXPRESSION_NAMES, EXPRESSIONS, FaceModel

OBJECT_TO_Y_UP = np.array([1.0, -1.0, -1.0])  # object space to x subject's left, y up, z to the front, and back
SKULL_CENTRE = np.array([0.0, 0.42, -0.33])  # of the skull, y up and z to the front, model units
LOCK_HEIGHT_RATIO = 0.10  # height of a lock over its width
EDGE_DEPTH = 0.25  # of half its width: how deep its edges lie, so that no light is seen under it
STEPS = 24  # of a growing lock
# no lock's centre line comes farther to the front at these heights: the face is free
FACE_CLEARANCE_HEIGHTS, FACE_CLEARANCE_DEPTHS = (0.25, 0.62), (-0.50, 0.12)
NO_UNDERSIDE_ABOVE = 0.30  # height above which locks lie on the head and show no underside
LASHES = 17  # on each upper lid
LASH_LENGTH, LASH_WIDTH = 0.034, 0.007  # model units: at 256 pixels less than one, or single pixels go black
UPPER_LIDS = {  # MediaPipe's landmarks from the outer to the inner corner
    "Left": (263, 466, 388, 387, 386, 385, 384, 398, 362),
    "Right": (33, 246, 161, 160, 159, 158, 157, 173, 133),
}


@dataclass(frozen=True)
class HairMesh:
    """Locks or lashes: vertices of their own that are drawn with the face and move with it."""

    points: np.ndarray  # (N, 3) float32 object space at rest
    triangles: np.ndarray  # (F, 3) int32, numbered from 0, wound outward
    basis: np.ndarray  # (N, 3, 52) float32
    occlusion: np.ndarray  # (N,) 0..1, the share of the sky that is seen
    strand_u: np.ndarray  # (N,) model units across the strand, for what is painted along it
    head_weight: np.ndarray  # (N,) of the head's motion


@dataclass(frozen=True)
class _LockStyle:
    """How one kind of lock grows: `direction` is where it goes at points (N, 3), given its roots (N, 3)."""

    roots: Callable[[np.ndarray], np.ndarray]  # (N, 3) -> (N,) bool
    count: int
    length: float
    direction: Callable[[np.ndarray, np.ndarray], np.ndarray]
    width: float
    scalp_offset: float  # model units over the scalp
    segments: int
    cut_height: float | None = None  # height at which it is cut off; None: where its length ends
    max_gap: float = 0.0  # how far beyond the offset it may hang free, below the ears
    tip_width: float = 0.1  # width of the tip over that of the middle
    root_width: float = 0.45  # width at the root over that of the middle
    shows_underside: bool = True  # it stands off the head
    clears_face: bool = False  # it goes back from the temples and behind the ears


def _combing_direction(
    roots: np.ndarray, points: np.ndarray, part: float, side: float, down: float, back: float
) -> np.ndarray:
    """Away from a parting at x = part, and down the more the farther the head falls off."""
    away = np.where(roots[:, 0] >= part, 1.0, -1.0)
    steep = np.clip(np.abs(points[:, 0]) / 0.45, 0, 1) ** 2
    return np.stack([side * away * (1 - steep), -down * (0.15 + steep), np.full(len(points), -back)], axis=1)


def _hanging_direction(roots: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.stack([0.35 * roots[:, 0], np.full(len(points), -1.0), np.full(len(points), 0.25)], axis=1)


def _roots_above(roots: np.ndarray, height: float) -> np.ndarray:
    return roots[:, 1] > height


def _roots_on_forehead(roots: np.ndarray) -> np.ndarray:
    return (roots[:, 2] > 0.0) & (np.abs(roots[:, 0]) < 0.34)


HAIRCUTS: dict[str, tuple[_LockStyle, ...]] = {
    "cropped": (),
    "swept": (
        _LockStyle(
            partial(_roots_above, height=0.30), 150, 0.42,
            partial(_combing_direction, part=0.20, side=1.0, down=0.5, back=0.30),
            width=0.12, scalp_offset=0.03, segments=5, cut_height=0.02, shows_underside=False, root_width=0.2,
        ),
    ),
    "bob": (
        _LockStyle(
            partial(_roots_above, height=0.05), 50, 1.5,
            partial(_combing_direction, part=0.0, side=0.8, down=1.2, back=0.45),
            width=0.22, scalp_offset=0.035, segments=9, cut_height=-0.42, max_gap=0.06, tip_width=0.8,
            clears_face=True, root_width=0.2,
        ),
        _LockStyle(
            _roots_on_forehead, 18, 0.9, _hanging_direction,
            width=0.17, scalp_offset=0.05, segments=6, cut_height=0.42, tip_width=0.8, shows_underside=False,
        ),
    ),
    "chin": (
        _LockStyle(
            partial(_roots_above, height=0.05), 52, 1.5,
            partial(_combing_direction, part=0.16, side=1.0, down=1.1, back=0.6),
            width=0.20, scalp_offset=0.035, segments=9, cut_height=-0.30, max_gap=0.04, tip_width=0.4,
            clears_face=True, root_width=0.2,
        ),
    ),
    "long": (
        _LockStyle(
            partial(_roots_above, height=0.05), 42, 1.75,
            partial(_combing_direction, part=0.12, side=0.9, down=1.2, back=0.55),
            width=0.24, scalp_offset=0.035, segments=9, max_gap=0.06, tip_width=0.5, clears_face=True, root_width=0.2,
        ),
    ),
}  # fmt: skip
"""Haircut -> its locks; under them the scalp itself is painted."""


def build_hair(haircut: str, shape: np.ndarray, scalp: np.ndarray, head: np.ndarray) -> list[HairMesh]:
    """The locks of a haircut.

    shape (V, 3): the expressionless face, object space; scalp (V,) bool: where hair grows; head (V,) bool: what it lies
    on.
    """
    points = shape * OBJECT_TO_Y_UP
    offset = points[head] - SKULL_CENTRE
    radius = np.linalg.norm(offset, axis=1)
    skull = cKDTree(offset / radius[:, None]), radius
    meshes = []
    for style in HAIRCUTS[haircut]:
        candidates = points[scalp]
        candidates = candidates[style.roots(candidates)]
        meshes.append(_lock_mesh(_grow_centre_lines(_farthest_points(candidates, style.count), style, skull), style))
    return meshes


def _farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    """(count, 3) of the points (N, 3), each as far as possible from those before it."""
    chosen = [int(points[:, 1].argmax())]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return points[chosen]


def _grow_centre_lines(roots: np.ndarray, style: _LockStyle, skull: tuple[cKDTree, np.ndarray]) -> np.ndarray:
    """(N, segments + 1, 3) centre lines along the style's direction, held outside of the head."""
    tree, radius = skull
    lift = style.scalp_offset * (0.7 + 0.6 * _golden_ratio_sequence(len(roots), 1))
    length = style.length * (0.85 + 0.3 * _golden_ratio_sequence(len(roots), 2))
    end = (
        -np.inf if style.cut_height is None else style.cut_height + 0.05 * (_golden_ratio_sequence(len(roots), 5) - 0.5)
    )
    point, path = roots, [SKULL_CENTRE + (roots - SKULL_CENTRE) * 0.95]
    for step in range(1, STEPS + 1):
        direction = style.direction(roots, point)
        point = point + direction * (length / STEPS / np.linalg.norm(direction, axis=1))[:, None]
        if style.clears_face:
            point[:, 2] = np.minimum(point[:, 2], np.interp(point[:, 1], FACE_CLEARANCE_HEIGHTS, FACE_CLEARANCE_DEPTHS))
        offset = point - SKULL_CENTRE
        point_radius = np.linalg.norm(offset, axis=1)
        distance, nearest = tree.query(offset / point_radius[:, None], k=4)
        weight = 1 / (distance + 1e-3)
        skull_radius = (radius[nearest] * weight).sum(axis=1) / weight.sum(axis=1)
        progress = step / STEPS
        # bent off the head in the middle, lying on it at root and tip
        target_radius = skull_radius + lift * 4 * progress * (1 - progress)
        on_skull = np.clip((offset[:, 1] + 0.65) / 0.3, 0, 1)  # below the jaw there is only the neck
        allowed_gap = style.max_gap * np.clip((0.1 - offset[:, 1]) / 0.5, 0, 1) + 5.0 * (1 - on_skull)
        point = (
            SKULL_CENTRE
            + offset
            * (np.clip(point_radius, target_radius * on_skull, target_radius + allowed_gap) / point_radius)[:, None]
        )
        path.append(point)
    path = np.stack(path, axis=1)
    steps_kept = np.maximum((path[:, :, 1] >= np.reshape(end, (-1, 1))).sum(axis=1) - 1, 2)  # steps above the cut
    position = np.linspace(0, 1, style.segments + 1)[None] * steps_kept[:, None]
    lower_index = np.minimum(position.astype(int), STEPS - 1)
    fraction, lock = (position - lower_index)[..., None], np.arange(len(path))[:, None]
    return path[lock, lower_index] + fraction * (path[lock, lower_index + 1] - path[lock, lower_index])


def _lock_mesh(paths: np.ndarray, style: _LockStyle) -> HairMesh:
    """Three-sided tubes along the paths that end in a point."""
    count, rows = paths.shape[:2]
    t = np.linspace(0, 1, rows)
    along = np.gradient(paths, axis=1)
    along /= np.linalg.norm(along, axis=2, keepdims=True)
    outward = paths - SKULL_CENTRE
    outward[..., 1] *= np.clip((paths[..., 1] + 0.2) / 0.6, 0, 1)  # hanging hair has its outside at the side
    side = np.cross(along, outward)
    side /= np.linalg.norm(side, axis=2, keepdims=True)
    up = np.cross(side, along)
    taper = (1 - (1 - style.tip_width) * t**2.5) * np.clip(style.root_width + 3 * t, 0, 1)
    width = 0.5 * style.width * (0.8 + 0.4 * _golden_ratio_sequence(count, 3))[:, None, None] * taper[None, :, None]
    low, high = paths - up * EDGE_DEPTH * width, paths + up * 2 * LOCK_HEIGHT_RATIO * width
    corners = np.stack([low - side * width, high, low + side * width], axis=2)
    points = corners.reshape(-1, 3)
    first = (np.arange(count)[:, None] * rows + np.arange(rows - 1)[None]).reshape(-1) * 3
    under = first[(style.shows_underside & (paths[:, 1:, 1] < NO_UNDERSIDE_ABOVE)).reshape(-1)]
    sides = ((first, 0, 1), (first, 1, 2), (under, 2, 0))
    quads = [(start + a, start + b, start + 3 + b, start + 3 + a) for start, a, b in sides]
    triangles = [np.stack(corner, -1) for a, b, c, d in quads for corner in ((a, b, c), (a, c, d))]
    light = np.clip(0.70 + 0.6 * t, 0, 1)[None, :, None] * np.array([0.75, 1.0, 0.75])
    across = _golden_ratio_sequence(count, 4)[:, None, None] * 3 + np.array([-0.5, 0, 0.5]) * style.width
    hangs = np.clip((0.1 - paths[..., 1]) / 0.9, 0, 1)
    return HairMesh(
        (points * OBJECT_TO_Y_UP).astype(np.float32),
        np.concatenate(triangles).astype(np.int32),
        np.zeros((len(points), 3, EXPRESSIONS), np.float32),
        np.broadcast_to(light, (count, rows, 3)).reshape(-1),
        np.broadcast_to(across, (count, rows, 3)).reshape(-1),
        np.repeat(1 - 0.45 * hangs.reshape(-1), 3),
    )


def build_lashes(face: FaceModel, shape: np.ndarray, basis: np.ndarray) -> HairMesh:
    """Upper lashes of both eyes, rooted on the lids' rims (landmarks) of `shape` (V, 3); they turn down in a blink.

    basis (V, 3, 52): the units as they are drawn.
    """
    points, bases = [], []
    for side, lid_landmarks in UPPER_LIDS.items():
        corners, weights = face.landmark_vertices[list(lid_landmarks)], face.landmark_weights[list(lid_landmarks)]
        root = np.einsum("lkc,lk->lc", shape[corners], weights)
        root_basis = np.einsum("lkcu,lk->lcu", basis[corners], weights)
        position = np.linspace(0.06, 0.86, LASHES) * (len(lid_landmarks) - 1)  # none at the tear duct
        lower_index, fraction = np.floor(position).astype(int), position % 1
        root = root[lower_index] + fraction[:, None] * (root[lower_index + 1] - root[lower_index])
        root_basis = root_basis[lower_index] + fraction[:, None, None] * (
            root_basis[lower_index + 1] - root_basis[lower_index]
        )
        outward = np.linspace(1.0, -0.5, LASHES)[:, None]  # fanned out, most at the outer corner
        lid_direction = (root[0] - root[-1]) / np.linalg.norm(root[0] - root[-1])
        front, up = np.array([0, 0, -1.0]), np.array([0, -1.0, 0])
        length = LASH_LENGTH * (0.75 + 0.35 * np.clip(outward, 0, 1))
        direction = 0.75 * front + 0.62 * up + 0.55 * outward * lid_direction
        half = 0.5 * LASH_WIDTH * lid_direction
        points.append(np.stack([root - half, root + half, root + length * direction], axis=1))
        tip = root_basis.copy()
        tip[:, :, EXPRESSION_NAMES.index("eyeBlink" + side)] -= 1.25 * length * up  # from up to down as the lid shuts
        bases.append(np.stack([root_basis, root_basis, tip], axis=1))
    points, bases = np.concatenate(points).reshape(-1, 3), np.concatenate(bases).reshape(-1, 3, EXPRESSIONS)
    triangle_indices = np.arange(len(points), dtype=np.int32).reshape(-1, 3)
    full_weight = np.ones(len(points))
    return HairMesh(
        points.astype(np.float32),
        np.concatenate([triangle_indices, triangle_indices[:, ::-1]]),
        bases.astype(np.float32),
        full_weight,
        full_weight,
        full_weight,
    )


def _golden_ratio_sequence(count: int, seed: int) -> np.ndarray:
    """(count,) in 0..1, evenly spread and the same every time."""
    return (np.arange(count) * 0.6180339887 + 0.377 * seed) % 1.0
