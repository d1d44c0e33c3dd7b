"""Frames in which something covers a face that is still followed: a hand over mouth or eyes, a cup.

The tracker guesses the landmarks under a hand, and its numbers do not show it. The picture does: sampled at the same
places of the face in every frame (32 x 32 points between the landmarks), a face looks much the same throughout a clip,
whatever its place, size and turn, and a hand does not look like what is under it. So every frame is compared with the
usual appearance in its clip. Light is removed first: only contrast to the surroundings counts, in logarithms. A point
is occluded where there is something unusual (fingers and their shadows on a cheek; eyes and mouths may change more than
bare skin), or where the usual pattern is missing (a mouth under a palm, measured by the correlation of a patch). One
connected part of the face must be occluded, for several frames on end.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.ndimage import (
    binary_closing,
    binary_dilation,
    binary_erosion,
    binary_opening,
    find_objects,
    gaussian_filter,
    label,
)
from scipy.spatial import Delaunay

from perfrdiff.coefficients import FPS
from perfrdiff.features.tracking.units import response

__all__ = ["SIDE", "face_appearance", "occluded_frames"]

SIDE = 32  # points across and down
DARKEST = 8.0  # grey added before the logarithm, of 255: noise in the dark is no contrast
SURROUNDINGS = 5.0  # points (Gaussian): light is what changes more slowly than this across the face
BLUR = 0.6
OUTLINE_POINTS = 4  # at the face's outline, not judged: hair, wall and collar show there
FOREHEAD_ROWS = 5  # not judged: hair on the forehead moves
TURNED_AWAY, FACING = 0.4, 0.6  # size of a patch against its size from the front: not judged below, fully above
LEAST_FACING = 0.88  # mean over the points: a face turned farther (some 20°) shows its outline, and is not judged

# Variance (of log grey) that is nobody's hand: noise, what landmarks that are off by half a point make of an edge, and
# a share of the contrast that the face has there itself, for eyes and mouths open and close. All these were chosen on
# six real clips, one of them with hands, and two drawn people; docs/features.md shows how far apart they keep the two.
NOISE_VARIANCE = 0.01
EDGE_FACTOR = 0.3
CONTRAST_FACTOR = 0.5
MOST_DEVIATION = 6.0  # times that variance; larger ones are clipped
PATCH_POINTS = 2.5  # Gaussian over which deviations are averaged
OCCLUDED_DEVIATION = 1.0  # times that variance, in such a patch
MISSING_CORRELATION = 0.35  # of such a patch with the usual one; expressions leave 0.4 and more
PLAIN_VARIANCE = 0.008  # of the usual patch; below, it has no pattern that could be missing
ADDED_VARIANCE = 0.002  # to both patches before they are correlated: noise is no pattern
LEAST_OCCLUDED_SHARE = 0.05  # of the judged points, connected, for a frame to be flagged

SHORTEST_CLIP = 3 * FPS  # frames of one take from which its usual appearance can be learnt
USUAL_DIVISOR = 3  # a third of the frames, those most alike, define the usual appearance
LARGEST_OCCLUDED_SHARE = 2 / 3  # of a take's frames: where more are, the usual appearance is wrong
USUAL_FRAMES = 500  # spread over a take, from which the usual appearance is learnt
BATCH_FRAMES = 250  # compared at once
SHORTEST_OCCLUSION, LONGEST_PAUSE, MARGIN_FRAMES = 4, 12, 2  # frames; the last are flagged at either end, too


@dataclass(frozen=True)
class _Grid:
    corners: np.ndarray  # (n, 3) the landmarks about each point
    weights: np.ndarray  # (n, 3) float32, theirs
    areas: np.ndarray  # (n,) of these triangles, twice
    face: np.ndarray  # (SIDE, SIDE) bool: the points on the face
    judged: np.ndarray  # (SIDE, SIDE) bool: those that can be flagged


@cache
def _grid() -> _Grid:
    """SIDE² = n points over a face from the front."""
    places = response().reference[:, :2]
    low, high = places.min(axis=0), places.max(axis=0)
    across, down = (np.linspace(0, 1, SIDE + 2)[1:-1] * (high - low)[:, None] + low[:, None]).tolist()
    points = np.stack(np.meshgrid(across, down[::-1]), axis=-1).reshape(-1, 2)
    mesh = Delaunay(places)
    inside = mesh.find_simplex(points)
    transforms = mesh.transform[inside]
    weights = np.einsum("nij,nj->ni", transforms[:, :2], points - transforms[:, 2])
    weights = np.concatenate([weights, 1 - weights.sum(axis=1, keepdims=True)], axis=1)
    corners = mesh.simplices[inside]
    face = (inside >= 0).reshape(SIDE, SIDE)
    judged = binary_erosion(face, iterations=OUTLINE_POINTS)
    judged[:FOREHEAD_ROWS] = False
    return _Grid(corners, weights.astype(np.float32), _areas(places * [1, -1], corners), face, judged)


def _areas(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    a, b, c = (points[corners[:, k]] for k in range(3))
    return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]


def face_appearance(grey: np.ndarray, box: tuple[int, int, int, int], landmarks: np.ndarray) -> np.ndarray:
    """The appearance of a face, point by point, and how far each point faces the camera.

    Args:
        grey: (H, W) uint8, a part of the picture that holds the face, brought to any size; 100 to 150 px do.
        box: left, top, right, bottom of that part, pixels of the picture.
        landmarks: (478, 3) of ``Face``, pixels of the picture.

    Returns:
        (2, SIDE, SIDE) uint8: grey, and 0 (turned away) … 255 (towards the camera).
    """
    grid = _grid()
    places = landmarks[:, :2].astype(np.float32)
    tall = np.ptp(places[:468, 1]) / np.ptp(response().reference[:, 1])
    size = _areas(places, grid.corners) / (grid.areas * max(float(tall) ** 2, 1e-6) + 1e-12)
    facing = np.clip((size - TURNED_AWAY) / (FACING - TURNED_AWAY), 0, 1).reshape(SIDE, SIDE)
    left, top, right, bottom = box
    places = (places - [left, top]) * np.float32([grey.shape[1] / (right - left), grey.shape[0] / (bottom - top)])
    points = np.einsum("nkc,nk->nc", places[grid.corners], grid.weights).reshape(SIDE, SIDE, 2).astype(np.float32)
    grey = cv2.remap(cv2.blur(grey, (3, 3)), points, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.stack([grey, (255 * facing).astype(np.uint8)])


def occluded_frames(appearances: list[np.ndarray | None], takes: list[int]) -> np.ndarray:
    """(T,) bool: the frames in which something covers a part of the face.

    Args:
        appearances: ``face_appearance`` of every frame, None where there is no face.
        takes: (T,) numbers; each take is compared with itself.
    """
    flags = np.zeros(len(appearances), bool)
    tracked = np.array([appearance is not None for appearance in appearances], bool)
    for take in np.unique(takes):
        frames = np.flatnonzero(tracked & (np.array(takes) == take))
        if len(frames) < SHORTEST_CLIP:
            continue
        occluded = occluded_share(np.stack([appearances[frame] for frame in frames])) > LEAST_OCCLUDED_SHARE
        occluded = binary_closing(np.pad(occluded, LONGEST_PAUSE), np.ones(LONGEST_PAUSE))[LONGEST_PAUSE:-LONGEST_PAUSE]
        occluded = binary_opening(occluded, np.ones(SHORTEST_OCCLUSION))
        occluded = binary_dilation(occluded, np.ones(2 * MARGIN_FRAMES + 1))
        if occluded.mean() < LARGEST_OCCLUDED_SHARE:
            flags[frames] = occluded
    return flags


def occluded_share(appearances: np.ndarray) -> np.ndarray:
    """(T, 2, SIDE, SIDE) appearances of a take -> (T,) share of the judged points in the largest occluded part."""
    usual = _usual_contrast(_contrast(appearances[:: max(2, len(appearances) // USUAL_FRAMES), 0]))
    starts = range(0, len(appearances), BATCH_FRAMES)
    return np.concatenate([_occluded_share(appearances[start : start + BATCH_FRAMES], usual) for start in starts])


def _contrast(grey: np.ndarray) -> np.ndarray:
    """(T, SIDE, SIDE) grey -> its logarithms less those of the surroundings, 0 beside the face."""
    face = _grid().face.astype(np.float32)
    values = gaussian_filter(np.log(grey.astype(np.float32) + DARKEST), (0, BLUR, BLUR))
    around = gaussian_filter(values * face, (0, SURROUNDINGS, SURROUNDINGS))
    return (values - around / (gaussian_filter(face, SURROUNDINGS) + 1e-6)) * face


def _occluded_share(appearances: np.ndarray, usual: np.ndarray) -> np.ndarray:
    judged = _grid().judged
    contrast = _contrast(appearances[:, 0])
    slope = np.square(np.stack(np.gradient(usual))).sum(axis=0)
    edges, patterns = gaussian_filter(slope, 1), gaussian_filter(np.square(usual), 1.5)
    expected = NOISE_VARIANCE + EDGE_FACTOR * edges + CONTRAST_FACTOR * patterns
    deviation = np.square(contrast - usual) * (appearances[:, 1] / np.float32(255)) / expected
    deviation = np.minimum(deviation, MOST_DEVIATION) * judged
    weight = gaussian_filter(judged.astype(np.float32), PATCH_POINTS) + 0.2
    deviation = gaussian_filter(deviation, (0, PATCH_POINTS, PATCH_POINTS)) / weight
    occluded = (deviation > OCCLUDED_DEVIATION) | _pattern_missing(contrast * judged, usual * judged, appearances[:, 1])
    neighbours = np.zeros((3, 3, 3), bool)  # within a frame
    neighbours[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    parts, count = label(occluded & judged, neighbours)
    share = np.zeros(len(appearances))
    if count:
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        frames = np.array([part[0].start for part in find_objects(parts)])
        np.maximum.at(share, frames, sizes / judged.sum())
    share[appearances[:, 1, judged].mean(axis=1) < LEAST_FACING * 255] = 0
    return share


def _pattern_missing(contrast: np.ndarray, usual: np.ndarray, facing: np.ndarray) -> np.ndarray:
    """(T, SIDE, SIDE) bool: where the usual pattern is missing although the face is turned to the camera."""
    patch = (0, PATCH_POINTS, PATCH_POINTS)
    usual_power = gaussian_filter(np.square(usual), PATCH_POINTS)
    covariance = gaussian_filter(contrast * usual, patch)
    powers = (gaussian_filter(np.square(contrast), patch) + ADDED_VARIANCE) * (usual_power + ADDED_VARIANCE)
    return (covariance < MISSING_CORRELATION * np.sqrt(powers)) & (usual_power > PLAIN_VARIANCE) & (facing > 127)


def _usual_contrast(contrast: np.ndarray) -> np.ndarray:
    """(T, SIDE, SIDE) -> (SIDE, SIDE): at each point, the mean of the third of the frames that lie closest together.

    The half-sample mode's idea (Bickel & Frühwirth 2006), in one step: a hand that covers a point for more than half of
    the clip moves, the face under it does not.
    """
    ordered = np.sort(contrast, axis=0)
    count = max(1, len(ordered) // USUAL_DIVISOR)
    first = (ordered[count:] - ordered[:-count]).argmin(axis=0)
    sums = np.concatenate([np.zeros((1, SIDE, SIDE)), np.cumsum(ordered, axis=0, dtype=np.float64)])
    rows, columns = np.indices((SIDE, SIDE))
    return ((sums[first + count, rows, columns] - sums[first, rows, columns]) / count).astype(np.float32)
