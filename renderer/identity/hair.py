"""Hair beyond the skull: a closed shell cut from the photo's mask of hair, inflated, hanging on the head."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from renderer.identity.chart import HAIR
from renderer.identity.fill import push_pull
from renderer.identity.identity import HairShell
from renderer.identity.outline import triangulated
from renderer.identity.photo import PhotoCanvas, sample
from renderer.identity.placement import Placement
from renderer.identity.regions import Regions
from renderer.identity.residual import smooth_step
from renderer.identity.visibility import DEPTH_STEP, PosedHead, seen_values

OUTLINE = 0.5  # share of hair at which the shell ends
UNDERLAP = 0.14  # model units by which it goes on under the skin, so that no gap opens when the head turns
DIVE = 1.2  # model units it sinks there, per unit
ROUNDNESS = 0.30  # model units from the outline at which the shell has its full thickness, and that thickness
HANGING = (0.0, 0.35)  # object space y between which hair turns from a cap into a curtain that thins towards its end
ROUND_END = 0.11  # model units
TOUCH = 0.08  # model units along an outline over which the depth of the skin there is taken: it falls off steeply
EVEN = 0.05  # model units over which the front of the shell is levelled
SKIN_DEPTH = 0.05  # model units under the skin at which it starts there: cheeks and jaw move
BEHIND = 0.02  # model units by which it starts behind the outline of a cheek, which then hides its edge
HALF_FACE = 0.4  # model units: radius of a cheek seen from above
RISE = 0.8  # of the shell over the skin, per unit of distance from where skin begins
COVER = (0.02, 0.12)  # model units by which hair stands off skin that it hides: least, most
LEAST_AREA = 0.045  # square model units of hair in one piece beyond the skull that are worth a shell
LEAST_SHORT_AREA, LONG_FROM = 0.1, 0.1  # of hair that ends above that y, object space: less is a lump at an ear
LARGEST_AREA = 2.5
LARGEST_HOLE = 0.04  # square model units
THINNEST_LOCK = 0.09  # model units
SMOOTHING = 0.018  # model units
JAW_LEVELS = (-0.25, 0.25)  # object space y between which the hair's width beside the face is read
LOWEST_END = 0.72  # object space y at which a shell ends; longer hair is painted on the clothes
LOCKS = ((0.13, 0.045, 1.3), (0.052, 0.02, 0.4))
"""How long hair ends where it is cut: width and length of locks, model units, and phase; a straight cut is felt."""
ROUNDED = (0.16, 0.14)  # model units from hair's outer edge over which its end rises, and by how much
TAIL_FROM, TAIL = (-0.05, 0.10), 0.17  # object space y below which a lock that is free and thinner than this is none
SPREAD = 0.06  # model units by which it may grow wider farther down
SIDE, EAR_TOP = 0.06, -0.28  # object space z and y: farther back and lower lie the ears
SHOULDERS = 0.55  # object space y from which the body does not follow the head
LOWEST_ROOT = 0.30  # object space y below which hair does not grow
FALL = ((0.40, 0.50, 0.60, 0.75, 0.90, 1.10), (1.0, 0.92, 0.6, 0.4, 0.1, 0.0))
"""Object space y and the share of the head's turning there: the mesh's own along the neck."""
EAR_PLANE = 0.12  # object space z about which hair is as thick to the front as to the back
SURE_HAIR = (0.70, 0.95)


@dataclass(frozen=True)
class PaintedHair:
    """A shell and the linear colours (768, 512, 3) of its tile."""

    shell: HairShell
    colour: np.ndarray


@dataclass(frozen=True)
class _Sheets:
    """Front and back of the shell over a square of S pixels, half the canvas's resolution."""

    field: np.ndarray  # (S, S) float32: the shell is where this is above OUTLINE
    front: np.ndarray  # (S, S) float32, model units towards the camera
    back: np.ndarray
    sunk: np.ndarray  # (S, S) float32, model units by which the front lies under the skin
    shown: np.ndarray  # (S, S) float32: above OUTLINE it is seen, elsewhere it lies under the skin
    skull: np.ndarray  # (S, S) bool: the head is there


def hair_shell(
    canvas: PhotoCanvas,
    regions: Regions,
    head: PosedHead,
    triangles: np.ndarray,
    shape: np.ndarray,
    scalp: np.ndarray,
    placement: Placement,
) -> PaintedHair | None:
    """The hair beyond the skull of `shape` (V, 3), posed as `head`; None where there is next to none.

    scalp (V,): signed distance to the hairline, model units, positive where hair grows.
    """
    unit = placement.scale / DEPTH_STEP  # pixels here a model unit
    normals = head.normals @ placement.to_world
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    values = np.column_stack([scalp, placement.nearness(shape), shape[:, 1:], normals])
    seen = seen_values(head, triangles, values)
    on_mesh = np.isfinite(seen[..., 0])
    on_scalp, nearness, height, back = (np.where(on_mesh, seen[..., k], 0) for k in range(4))
    outward = np.where(on_mesh[..., None], seen[..., 4:], 0)
    hair = cv2.resize(regions.hair, on_mesh.shape[::-1], interpolation=cv2.INTER_AREA)
    points = _points(placement, len(hair))
    hair = _without_tails(_hanging(_without_strips(hair, on_mesh, unit), points), on_mesh, points[..., 1], unit)
    hair = _rooted(hair, on_mesh, height)
    hair = _without_holes(hair, on_mesh, unit)
    hair = _round_ends(hair, on_mesh, np.where(on_mesh, height, points[..., 1]), unit)
    beyond = (hair > OUTLINE) & ~on_mesh
    area = float(beyond.sum()) / unit**2
    if not LEAST_AREA < area < LARGEST_AREA:
        return None
    # a fringe is painted on the forehead, and what lies on the shoulders on them; ears and neck are hidden
    hides = np.minimum(hair - OUTLINE, 0.05 - on_scalp)
    hides = np.minimum(hides, np.maximum(np.minimum(back - SIDE, height - EAR_TOP), height - LOWEST_ROOT))
    hides = np.minimum(hides, SHOULDERS - height)
    hides = np.clip(np.where(on_mesh, hides, hair - OUTLINE), -0.1, 0.1).astype(np.float32)
    covered = on_mesh & (cv2.GaussianBlur(hides, (0, 0), 0.02 * unit) > 0)
    beyond, covered = _large_parts(beyond, covered, points[..., 1], unit)
    if not beyond.any():
        return None
    sheets = _sheets(
        hair,
        beyond,
        covered,
        on_mesh,
        nearness,
        -outward[..., 2],
        unit,
        points @ placement.towards_camera,
        np.where(on_mesh, height, points[..., 1]),
    )
    return _shell(canvas, regions, sheets, outward, placement, unit)


def _without_holes(hair: np.ndarray, on_mesh: np.ndarray, unit: float) -> np.ndarray:
    """Hair that also fills small gaps between itself and the head: an ear's tip, a wisp that was not recognised."""
    _, labels = cv2.connectedComponents(((hair <= OUTLINE) & ~on_mesh).astype(np.uint8))
    areas = np.bincount(labels.ravel()) / unit**2
    areas[0] = np.inf
    return np.where(areas[labels] < LARGEST_HOLE, 1.0, hair).astype(np.float32)


def _large_parts(beyond: np.ndarray, covered: np.ndarray, y: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Both without the parts whose share of `beyond` is too small for a shell of their own.

    y (S, S): object space of the pixels.
    """
    count, labels = cv2.connectedComponents((beyond | covered).astype(np.uint8))
    areas = np.bincount(labels[beyond], minlength=count) / unit**2
    ends = np.full(count, -np.inf)
    np.maximum.at(ends, labels[beyond], y[beyond])
    large = (areas > np.where(ends > LONG_FROM, LEAST_AREA, LEAST_SHORT_AREA))[labels]
    return beyond & large, covered & large


def _points(placement: Placement, size: int) -> np.ndarray:
    """(S, S, 3) object space of the pixels of a square of S, half the canvas's resolution, at the head's middle."""
    row, column = np.mgrid[:size, :size]
    pixels = (np.stack([column, row], axis=-1) + 0.5) * DEPTH_STEP - 0.5
    middle = placement.nearness(np.array([0.0, 0.0, EAR_PLANE]))
    return placement.points(pixels, np.full((size, size), middle))


def _without_strips(hair: np.ndarray, on_mesh: np.ndarray, unit: float) -> np.ndarray:
    """Hair without strips beside the head that are thinner than locks: edges of the matte, collars."""
    radius = round(0.5 * THINNEST_LOCK * unit)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    opened = cv2.morphologyEx(np.where(on_mesh, 0.0, hair).astype(np.float32), cv2.MORPH_OPEN, kernel)
    # what was thick enough gets its corners back and may taper
    wide = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (4 * radius + 1, 4 * radius + 1))
    kept = np.minimum(hair, cv2.dilate(opened, wide))
    kept = np.where(on_mesh, hair, kept).astype(np.float32)
    return cv2.GaussianBlur(kept, (0, 0), SMOOTHING * unit)


def _hanging(hair: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Hair that below the jaw does not spread wider than above: what does is clothes.

    points (S, S, 3): object space of the pixels, at any depth.
    """
    x, y = points[..., 0], points[..., 1]
    wide = (hair > OUTLINE) & (y > JAW_LEVELS[0]) & (y < JAW_LEVELS[1])
    below = np.clip((y - JAW_LEVELS[1]) / 0.1, 0, 1)
    end = LOWEST_END + sum(length * np.sin(2 * np.pi * x / width + phase) for width, length, phase in LOCKS)
    for side in (-1, 1):
        row_reach = np.where(wide & (side * x > 0), side * x, 0.0).max(axis=1)
        reach = float(np.quantile(row_reach[row_reach > 0], 0.8)) + SPREAD if row_reach.any() else 0.0
        outside = np.clip((side * x - reach) / 0.04 + 0.5, 0, 1)
        hair = hair * (1 - below * outside)
        end = end - ROUNDED[1] * np.clip((side * x - reach) / ROUNDED[0] + 1, 0, 1) ** 2
    return hair * np.clip((end - y) / 0.04 + 0.5, 0, 1)


def _without_tails(hair: np.ndarray, on_mesh: np.ndarray, y: np.ndarray, unit: float) -> np.ndarray:
    """Hair without free thin ends below the ears: a strip of collar or background that the mask took for a lock.

    y (S, S): object space of the pixels.
    """
    radius = round(0.5 * TAIL * unit)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    opened = cv2.morphologyEx(np.where(on_mesh, 1.0, hair).astype(np.float32), cv2.MORPH_OPEN, kernel)
    share = np.clip((y - TAIL_FROM[0]) / (TAIL_FROM[1] - TAIL_FROM[0]), 0, 1)
    opened = cv2.GaussianBlur(opened, (0, 0), SMOOTHING * unit)
    return np.where(on_mesh, hair, hair + share * (np.minimum(hair, opened) - hair)).astype(np.float32)


def _rooted(hair: np.ndarray, on_mesh: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Hair without what does not hang from the head: no way leads there over neck and clothes."""
    way = (hair > 0.3) & (~on_mesh | (height < LOWEST_ROOT))
    _, labels = cv2.connectedComponents(way.astype(np.uint8))
    roots = np.unique(labels[on_mesh & way & (hair > OUTLINE)])
    held = np.isin(labels, roots[roots > 0])
    # over the body hair counts only where it continues what hangs beside it
    reach = cv2.dilate(held.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
    return hair * (held | (on_mesh & (height >= LOWEST_ROOT) & reach))


def _distance(mask: np.ndarray, unit: float) -> np.ndarray:
    """Model units to where `mask` is true."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) / unit


def _levelled(depth: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """`depth` (S, S) blurred by `sigma` pixels where it is `known`, from there alone."""
    weight = known.astype(np.float32)
    total = cv2.GaussianBlur((depth * weight).astype(np.float32), (0, 0), sigma)
    return total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3)


def _round_ends(hair: np.ndarray, on_mesh: np.ndarray, height: np.ndarray, unit: float) -> np.ndarray:
    """Hair whose ends have no corners: below the ears its outline keeps to bends of about ROUND_END."""
    solid = ((hair > OUTLINE) | on_mesh & (height < SHOULDERS)).astype(np.float32)
    rounded = np.minimum(hair, cv2.GaussianBlur(solid, (0, 0), ROUND_END * unit))
    share = smooth_step(height, *HANGING)
    return np.where(on_mesh, hair, hair + share * (rounded - hair)).astype(np.float32)


def _sheets(hair, beyond, covered, on_mesh, nearness, ahead, unit, middle, height) -> _Sheets:
    middle = middle + 0.12 * np.clip((height - 0.3) / 0.6, 0, 1)  # what hangs below the ears lies on the shoulders

    shown = beyond | covered
    under = on_mesh & ~covered
    to_shown = _distance(shown, unit)
    underlap = np.where(height > SHOULDERS, 0.2 * UNDERLAP, UNDERLAP)
    field = np.where(on_mesh, OUTLINE + 0.5 * (1 - to_shown / underlap), np.where(beyond, np.maximum(hair, 0.51), hair))
    field = np.where(~on_mesh & ~cv2.dilate(beyond.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool), 0, field)
    field = cv2.GaussianBlur(np.where(covered, 1.0, field).astype(np.float32), (0, 0), 0.008 * unit)

    skull = on_mesh & (height < SHOULDERS)
    body = (field > OUTLINE) | skull
    hanging = smooth_step(height, *HANGING)
    depth = np.minimum(_distance(~body, unit) / (ROUNDNESS * (1 + hanging)), 1)
    thickness = ROUNDNESS * (1 - (1 - depth) ** 2) ** (0.5 + 0.5 * hanging)
    # beside the head the shell starts from the skin it touches, and swells with the distance from it
    labels = cv2.distanceTransformWithLabels((~skull).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)

    def of_skin(values):
        table = np.zeros(labels[1].max() + 1, np.float32)
        table[labels[1][skull]] = values[skull]
        return cv2.GaussianBlur(table[labels[1]], (0, 0), TOUCH * unit)

    touching = of_skin(nearness)
    swell = RISE * _distance(skull, unit) - BEHIND
    front = np.minimum(middle + thickness, np.maximum(touching, middle) + swell)
    front = _levelled(front, body, EVEN * unit)
    rise = RISE * _distance(under, unit)
    over = np.clip(front - nearness, COVER[0], np.maximum(COVER[0], np.minimum(COVER[1], rise)))
    front = np.where(covered, nearness + over, front)
    under = under & skull
    front = np.where(under, nearness, front)
    to_seam = np.where(under, to_shown, _distance(under, unit))
    share = np.exp(-np.square(to_seam / TOUCH))
    front = front + share * (_levelled(front, body, 0.5 * TOUCH * unit) - front)
    # where the photo sees past a turned cheek, more of that cheek comes before hair begins
    bare = share * (1 - cv2.GaussianBlur(covered.astype(np.float32), (0, 0), TOUCH * unit))
    front = front - HALF_FACE * np.clip(of_skin(ahead), 0, 0.5) * bare
    sunk = np.where(under, SKIN_DEPTH + DIVE * to_shown, 0.0)
    return _Sheets(
        field,
        front.astype(np.float32),
        (middle - thickness).astype(np.float32),
        sunk.astype(np.float32),
        cv2.GaussianBlur((~under).astype(np.float32), (0, 0), SMOOTHING * unit),
        skull,
    )


def _shell(
    canvas: PhotoCanvas,
    regions: Regions,
    sheets: _Sheets,
    outward: np.ndarray,
    placement: Placement,
    unit: float,
) -> PaintedHair | None:
    """outward (S, S, 3): normals of the skin that the camera sees, object space; 0 where there is none."""
    outline = triangulated(sheets.field, OUTLINE, 0.035 * unit, sheets.shown)
    if outline is None:
        return None
    pixels = (outline.points + 0.5) * DEPTH_STEP - 0.5
    near, far = sample(sheets.front, outline.points), sample(sheets.back, outline.points)
    free = outline.on_edge & (sample(sheets.skull.astype(np.float32), outline.points) < 0.5)
    near[free] = far[free] = 0.5 * (near + far)[free]
    sunk = sample(sheets.sunk, outline.points)[:, None] * sample(outward, outline.points)
    points = np.concatenate([placement.points(pixels, near) - sunk, placement.points(pixels, far)])
    # the back is left out where the skull stands before it
    inner = cv2.erode(sheets.skull.astype(np.float32), np.ones((9, 9)))
    hidden = sample(inner, outline.points) > 0.5
    behind = outline.triangles[~hidden[outline.triangles].all(axis=1)]
    triangles = np.concatenate([outline.triangles, behind[:, ::-1] + len(pixels)])
    low = pixels.min(axis=0) - 2
    scale = min(HAIR.width / (np.ptp(pixels[:, 0]) + 4), HAIR.height / (np.ptp(pixels[:, 1]) + 4), 1.2)
    uv = HAIR.uv(np.clip((pixels - low) * scale, 0.5, (HAIR.width - 0.5, HAIR.height - 0.5)))
    uv = np.concatenate([uv, uv])
    weight = np.interp(points[:, 1], *FALL)
    shell = HairShell(points.astype(np.float32), triangles.astype(np.int32), uv[triangles], weight.astype(np.float32))
    return PaintedHair(shell, _tile(canvas, regions, low, scale))


def _tile(canvas: PhotoCanvas, regions: Regions, low: np.ndarray, scale: float) -> np.ndarray:
    """The window of the photo behind the shell; what is not surely hair takes the colour of the hair beside it."""
    to_tile = np.array([[scale, 0, -low[0] * scale - 0.5], [0, scale, -low[1] * scale - 0.5]])
    sure = cv2.erode(regions.hair, np.ones((5, 5)))
    sure = np.clip((sure - SURE_HAIR[0]) / (SURE_HAIR[1] - SURE_HAIR[0]), 0, 1)
    window = (HAIR.width, HAIR.height)
    colour = cv2.warpAffine(canvas.linear, to_tile, window, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    trust = cv2.warpAffine(sure, to_tile, window, flags=cv2.INTER_LINEAR, borderValue=0)
    return push_pull(colour, trust)
