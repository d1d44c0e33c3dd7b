"""Hair beyond the skull: a closed shell cut from the photo's mask of hair, inflated, hanging on the head."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from renderer.identity.chart import HAIR
from renderer.identity.fill import push_pull
from renderer.identity.identity import HairShell
from renderer.identity.photo import PhotoCanvas, sample
from renderer.identity.placement import Placement
from renderer.identity.regions import Regions
from renderer.identity.visibility import DEPTH_STEP, PosedHead, seen_values

CELL = 5  # pixels at half the canvas's resolution between the shell's points
OUTLINE = 0.5  # share of hair at which the shell ends
UNDERLAP = 0.15  # share by which it goes on under the skin
BAND = 0.16  # model units of overlap with a skull that already has the hair's outline
ROUNDNESS = 0.30  # model units from the outline at which the shell has its full thickness, and that thickness
RISE = 0.7  # of the shell over the skin, per unit of distance from where skin begins
LEAST_AREA = 0.05  # square model units of hair beyond the skull that are worth a shell
LARGEST_AREA = 3.0
FALL = ((0.40, 0.50, 0.60, 0.75, 0.90, 1.10), (1.0, 0.92, 0.6, 0.4, 0.1, 0.0))
"""Object space y and the share of the head's turning there: the mesh's own along the neck."""
EAR_PLANE = 0.12  # object space z about which hair is as thick to the front as to the back
SURE_HAIR = (0.75, 0.95)


@dataclass(frozen=True)
class PaintedHair:
    """A shell and the linear colours (768, 512, 3) of its tile."""

    shell: HairShell
    colour: np.ndarray


def hair_shell(
    canvas: PhotoCanvas, regions: Regions, head: PosedHead, triangles: np.ndarray, shape: np.ndarray,
    scalp: np.ndarray, placement: Placement,
) -> PaintedHair | None:  # fmt: skip
    """The hair beyond the skull of `shape` (V, 3), posed as `head`; None where there is next to none.

    scalp (V,): signed distance to the hairline, model units, positive where hair grows.
    """
    size = canvas.size // DEPTH_STEP
    unit = placement.scale / DEPTH_STEP  # pixels here a model unit
    seen = seen_values(head, triangles, np.column_stack([scalp, placement.nearness(shape)]))
    on_mesh = np.isfinite(seen[..., 0])
    hair = cv2.resize(regions.hair, (size, size), interpolation=cv2.INTER_AREA)
    hair = cv2.GaussianBlur(hair, (0, 0), 0.012 * unit)
    hair = _connected(hair, on_mesh)
    beyond = (hair > OUTLINE) & ~on_mesh
    area = float(beyond.sum()) / unit**2
    if not LEAST_AREA < area < LARGEST_AREA:
        return None

    to_beyond = cv2.distanceTransform((~beyond).astype(np.uint8), cv2.DIST_L2, 5) / unit
    grown = np.where(on_mesh, seen[..., 0], -1.0)
    band = OUTLINE + 0.5 * (1 - to_beyond / BAND)
    field = np.where(on_mesh, hair + UNDERLAP, hair)
    field = np.where(grown > 0.05, np.minimum(field, band), field).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), 0.008 * unit)
    front, back = _surfaces(field, hair, on_mesh, seen[..., 1], size, unit, placement)
    return _shell(canvas, regions, field, front, back, on_mesh, placement)


def _connected(hair: np.ndarray, on_mesh: np.ndarray) -> np.ndarray:
    """Hair without what does not hang on the head."""
    _, labels = cv2.connectedComponents((hair > 0.3).astype(np.uint8))
    held = np.unique(labels[on_mesh & (hair > OUTLINE)])
    return hair * np.isin(labels, held[held > 0])


def _surfaces(field, hair, on_mesh, mesh_nearness, size, unit, placement):
    """Nearness (size, size) of the shell's front and back."""
    row, column = np.mgrid[:size, :size]
    pixels = (np.stack([column, row], axis=-1) + 0.5) * DEPTH_STEP - 0.5
    middle = placement.nearness(np.array([0.0, 0.0, EAR_PLANE]))
    height = placement.points(pixels, np.zeros((size, size)))[..., 1]
    middle = middle + 0.12 * np.clip((height - 0.3) / 0.6, 0, 1)  # what hangs below the ears lies on the shoulders
    body = ((field > OUTLINE) | on_mesh).astype(np.uint8)
    depth = np.minimum(cv2.distanceTransform(body, cv2.DIST_L2, 5) / unit / ROUNDNESS, 1)
    thickness = ROUNDNESS * np.sqrt(1 - (1 - depth) ** 2)
    front = middle + thickness
    bare = (on_mesh & (field < OUTLINE + UNDERLAP)).astype(np.uint8)
    rise = RISE * cv2.distanceTransform(1 - bare, cv2.DIST_L2, 5) / unit
    inward = RISE * cv2.distanceTransform(bare, cv2.DIST_L2, 5) / unit
    surface = np.where(on_mesh, mesh_nearness, 0.0)
    over = np.clip(front - surface, np.minimum(0.035, rise), np.minimum(rise, 0.12)) - np.minimum(inward, 0.05)
    # hair that leaves the head starts from its surface and takes its own thickness only farther out
    lowest = np.where(on_mesh, surface + over, -np.inf)
    front = np.where(on_mesh, surface + over, np.minimum(front, middle + rise + 0.02))
    known = np.isfinite(lowest) | (field > 0.2)
    smooth = cv2.GaussianBlur(np.where(known, front, 0).astype(np.float32), (0, 0), 0.03 * unit)
    smooth /= np.maximum(cv2.GaussianBlur(known.astype(np.float32), (0, 0), 0.03 * unit), 1e-3)
    front = np.where(on_mesh, front, smooth)
    return front, middle - thickness


def _shell(canvas, regions, field, front, back, on_mesh, placement) -> PaintedHair:
    size = len(field)
    grid_row, grid_column = np.mgrid[0 : size - CELL : CELL, 0 : size - CELL : CELL].astype(np.float32)
    places = np.stack([grid_column, grid_row], axis=-1)
    inside = field[::CELL, ::CELL][: places.shape[0], : places.shape[1]] > OUTLINE
    cells = inside[:-1, :-1] | inside[1:, :-1] | inside[:-1, 1:] | inside[1:, 1:]
    used = np.zeros_like(inside)
    for dy, dx in ((0, 0), (1, 0), (0, 1), (1, 1)):
        used[dy : dy + cells.shape[0], dx : dx + cells.shape[1]] |= cells
    places[used & ~inside] = _on_outline(field, places[used & ~inside])
    number = np.full(inside.shape, -1)
    number[used] = np.arange(used.sum())
    a, b, c, d = (number[dy : dy + cells.shape[0], dx : dx + cells.shape[1]][cells] for dy, dx in
                  ((0, 0), (1, 0), (1, 1), (0, 1)))  # fmt: skip
    sheet = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])

    flat = places[used]
    pixels = (flat + 0.5) * DEPTH_STEP - 0.5
    on_edge = (~inside[used]) & (sample(on_mesh.astype(np.float32), flat) < 0.5)
    near, far = sample(front.astype(np.float32), flat), sample(back.astype(np.float32), flat)
    near[on_edge] = far[on_edge] = 0.5 * (near + far)[on_edge]
    points = np.concatenate([placement.points(pixels, near), placement.points(pixels, far)])
    count = len(flat)
    # the back is left out where the skull stands before it
    hidden = sample(cv2.erode(on_mesh.astype(np.float32), np.ones((9, 9))), flat) > 0.5
    behind = sheet[~hidden[sheet].all(axis=1)]
    shell_triangles = np.concatenate([sheet, behind[:, ::-1] + count])
    low = pixels.min(axis=0) - 2
    scale = min(HAIR.width / (np.ptp(pixels[:, 0]) + 4), HAIR.height / (np.ptp(pixels[:, 1]) + 4), 1.2)
    uv = HAIR.uv(np.clip((pixels - low) * scale, 0.5, (HAIR.width - 0.5, HAIR.height - 0.5)))
    uv = np.concatenate([uv, uv])
    weight = np.interp(points[:, 1], *FALL)
    shell = HairShell(
        points.astype(np.float32), shell_triangles.astype(np.int32), uv[shell_triangles], weight.astype(np.float32)
    )
    return PaintedHair(shell, _tile(canvas, regions, low, scale))


def _on_outline(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Places (N, 2) just outside of the outline, moved onto it along the field's slope."""
    slope_x, slope_y = cv2.Sobel(field, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(field, cv2.CV_32F, 0, 1, scale=0.125)
    moved = places.copy()
    for _ in range(4):
        slope = np.stack([sample(slope_x, moved), sample(slope_y, moved)], axis=-1)
        steep = (slope**2).sum(axis=-1) + 1e-4
        step = slope * ((OUTLINE - sample(field, moved)) / steep)[:, None]
        moved = moved + np.clip(step, -2, 2)
        moved = places + np.clip(moved - places, -CELL, CELL)
    return moved.astype(np.float32)


def _tile(canvas, regions, low, scale) -> np.ndarray:
    """The window of the photo behind the shell; what is not surely hair takes the colour of the hair beside it."""
    to_tile = np.array([[scale, 0, -low[0] * scale - 0.5], [0, scale, -low[1] * scale - 0.5]])
    sure = cv2.erode(regions.hair, np.ones((5, 5)))
    sure = np.clip((sure - SURE_HAIR[0]) / (SURE_HAIR[1] - SURE_HAIR[0]), 0, 1)
    window = (HAIR.width, HAIR.height)
    colour = cv2.warpAffine(canvas.linear, to_tile, window, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    trust = cv2.warpAffine(sure, to_tile, window, flags=cv2.INTER_LINEAR, borderValue=0)
    return push_pull(colour, trust)
