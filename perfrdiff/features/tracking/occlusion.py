"""Frames in which something stands before a face that is still followed: a hand over mouth or eyes, a cup.

The tracker guesses the landmarks under a hand, and nothing in its numbers gives that away. The picture does: sampled at
the same places of the face in every frame (32 x 32 points between the landmarks), a face looks much the same throughout
a clip, whatever its place, size and turn, and a hand does not look like what is under it. So every frame is compared
with what the clip usually shows there. Light is taken off (only what differs from its surroundings counts, in
logarithms). A point is strange where there is something that is usually not (fingers and their shadows on a cheek; eyes
and mouths may change more than bare skin), or where what usually is there is gone (a mouth under a palm, told by the
correlation of a patch). One connected part of the face must be strange, for several frames on end.
"""

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

__all__ = ["SIDE", "hidden_frames", "look_of"]

SIDE = 32  # points across and down
DARKEST = 8.0  # grey added before the logarithm, of 255: noise in the dark is no contrast
SURROUNDINGS = 5.0  # points (Gaussian): light is what changes more slowly than this across the face
BLUR = 0.6
MARGIN = 4  # points at the face's outline that are not looked at: hair, wall and collar show there
FOREHEAD = 5  # rows that are not looked at: a fringe moves
TURNED, FACING = 0.4, 0.6  # size of a patch against its size from the front: not looked at below, fully above
LEAST_FACING = 0.88  # of what is looked at: a face turned farther (some 20°) shows its outline, and is not judged

# Variance (of log grey) that is nobody's hand: noise, what landmarks that are off by half a point make of an edge, and
# a share of the contrast that the face has there itself, for eyes and mouths open and close. All these were chosen on
# six real clips, one of them with hands, and two drawn people; docs/features.md tells how far apart they keep the two.
NOISE = 0.01
EDGES = 0.3
CONTRAST = 0.5
MOST = 6.0  # times that variance; more does not count
PATCH = 2.5  # points (Gaussian) over which strangeness is averaged
STRANGE = 1.0  # times the variance, in such a patch
GONE = 0.35  # correlation of such a patch with the usual; expressions leave 0.4 and more
PLAIN = 0.008  # variance of the usual patch below which there is nothing that could be gone
FAINT = 0.002  # variance that is added to both before they are correlated: noise is no pattern
LEAST_SHARE = 0.05  # of the points looked at, connected, that must be strange

SHORTEST_CLIP = 3 * FPS  # frames of one take from which its usual look can be told
LIKE_MOST = 3  # a third of the frames, those most alike, say what is usual
LARGEST_SHARE = 2 / 3  # of a take: where more is strange than that, what was taken for usual is not
ENOUGH = 500  # frames, spread over a take, that say what is usual
AT_ONCE = 250  # frames that are compared at once
SHORTEST, BRIDGED, AROUND = 4, 12, 2  # frames: of a cover, of a pause in one, and at either end


@cache
def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of SIDE² points over a face from the front: landmarks about each (n, 3), their weights, and the patch's area;
    which points lie on the face (SIDE, SIDE) bool, and which are looked at."""
    places = response().reference[:, :2]
    low, high = places.min(axis=0), places.max(axis=0)
    across, down = (np.linspace(0, 1, SIDE + 2)[1:-1] * (high - low)[:, None] + low[:, None]).tolist()
    points = np.stack(np.meshgrid(across, down[::-1]), axis=-1).reshape(-1, 2)
    mesh = Delaunay(places)
    inside = mesh.find_simplex(points)
    turned = mesh.transform[inside]
    weights = np.einsum("nij,nj->ni", turned[:, :2], points - turned[:, 2])
    weights = np.concatenate([weights, 1 - weights.sum(axis=1, keepdims=True)], axis=1)
    corners = mesh.simplices[inside]
    face = (inside >= 0).reshape(SIDE, SIDE)
    looked_at = binary_erosion(face, iterations=MARGIN)
    looked_at[:FOREHEAD] = False
    return corners, weights.astype(np.float32), _areas(places * [1, -1], corners), face, looked_at


def _areas(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    a, b, c = (points[corners[:, k]] for k in range(3))
    return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]


def look_of(grey: np.ndarray, box: tuple[int, int, int, int], landmarks: np.ndarray) -> np.ndarray:
    """What a face looks like, point by point, and which of the points can be seen.

    Args:
        grey: (H, W) uint8, a part of the picture that holds the face, brought to any size; 100 to 150 px do.
        box: left, top, right, bottom of that part, pixels of the picture.
        landmarks: (478, 3) of ``Face``, pixels of the picture.

    Returns:
        (2, SIDE, SIDE) uint8: grey, and 0 (turned away) … 255 (towards the camera).
    """
    corners, weights, areas, _, _ = _grid()
    places = landmarks[:, :2].astype(np.float32)
    tall = np.ptp(places[:468, 1]) / np.ptp(response().reference[:, 1])
    size = _areas(places, corners) / (areas * max(float(tall) ** 2, 1e-6) + 1e-12)
    facing = np.clip((size - TURNED) / (FACING - TURNED), 0, 1).reshape(SIDE, SIDE)
    left, top, right, bottom = box
    places = (places - [left, top]) * np.float32([grey.shape[1] / (right - left), grey.shape[0] / (bottom - top)])
    points = np.einsum("nkc,nk->nc", places[corners], weights).reshape(SIDE, SIDE, 2).astype(np.float32)
    grey = cv2.remap(cv2.blur(grey, (3, 3)), points, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.stack([grey, (255 * facing).astype(np.uint8)])


def hidden_frames(looks: list[np.ndarray | None], takes: list[int]) -> np.ndarray:
    """(T,) bool: the frames in which something covers a part of the face.

    Args:
        looks: ``look_of`` every frame, None where no face was seen.
        takes: (T,) numbers; each take is compared with itself.
    """
    hidden = np.zeros(len(looks), bool)
    seen = np.array([look is not None for look in looks], bool)
    for take in np.unique(takes):
        frames = np.flatnonzero(seen & (np.array(takes) == take))
        if len(frames) < SHORTEST_CLIP:
            continue
        strange = strange_share(np.stack([looks[frame] for frame in frames])) > LEAST_SHARE
        strange = binary_closing(np.pad(strange, BRIDGED), np.ones(BRIDGED))[BRIDGED:-BRIDGED]
        strange = binary_opening(strange, np.ones(SHORTEST))
        strange = binary_dilation(strange, np.ones(2 * AROUND + 1))
        if strange.mean() < LARGEST_SHARE:
            hidden[frames] = strange
    return hidden


def strange_share(looks: np.ndarray) -> np.ndarray:
    """(T, 2, SIDE, SIDE) looks of one take -> (T,) share of the points that is strange and of one piece, 0 … 1."""
    usual = _usual(_contrast(looks[:: max(2, len(looks) // ENOUGH), 0]))
    parts = [_strange_share(looks[start : start + AT_ONCE], usual) for start in range(0, len(looks), AT_ONCE)]
    return np.concatenate(parts)


def _contrast(grey: np.ndarray) -> np.ndarray:
    """(T, SIDE, SIDE) grey -> logarithms less those of the surroundings, 0 beside the face."""
    face = _grid()[3].astype(np.float32)
    values = gaussian_filter(np.log(grey.astype(np.float32) + DARKEST), (0, BLUR, BLUR))
    around = gaussian_filter(values * face, (0, SURROUNDINGS, SURROUNDINGS))
    return (values - around / (gaussian_filter(face, SURROUNDINGS) + 1e-6)) * face


def _strange_share(looks: np.ndarray, usual: np.ndarray) -> np.ndarray:
    looked_at = _grid()[4]
    contrast = _contrast(looks[:, 0])
    steep = np.square(np.stack(np.gradient(usual))).sum(axis=0)
    expected = NOISE + EDGES * gaussian_filter(steep, 1) + CONTRAST * gaussian_filter(np.square(usual), 1.5)
    off = np.minimum(np.square(contrast - usual) * (looks[:, 1] / np.float32(255)) / expected, MOST) * looked_at
    off = gaussian_filter(off, (0, PATCH, PATCH)) / (gaussian_filter(looked_at.astype(np.float32), PATCH) + 0.2)
    strange = (off > STRANGE) | _gone(contrast * looked_at, usual * looked_at, looks[:, 1])
    across = np.zeros((3, 3, 3), bool)
    across[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    parts, count = label(strange & looked_at, across)
    share = np.zeros(len(looks))
    if count:
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        first = np.array([piece[0].start for piece in find_objects(parts)])
        np.maximum.at(share, first, sizes / looked_at.sum())
    share[looks[:, 1, looked_at].mean(axis=1) < LEAST_FACING * 255] = 0
    return share


def _gone(contrast: np.ndarray, usual: np.ndarray, facing: np.ndarray) -> np.ndarray:
    """(T, SIDE, SIDE) bool: where the usual pattern is not found although the face is turned this way."""
    power = gaussian_filter(np.square(usual), PATCH)
    alike = gaussian_filter(contrast * usual, (0, PATCH, PATCH))
    powers = (gaussian_filter(np.square(contrast), (0, PATCH, PATCH)) + FAINT) * (power + FAINT)
    return (alike < GONE * np.sqrt(powers)) & (power > PLAIN) & (facing > 127)


def _usual(contrast: np.ndarray) -> np.ndarray:
    """(T, SIDE, SIDE) -> (SIDE, SIDE): at each point, the mean of the third of the frames that lie closest together.

    The half-sample mode's idea (Bickel & Frühwirth 2006), in one step: a hand that covers a point for more than half of
    the clip moves, the face under it does not.
    """
    ordered = np.sort(contrast, axis=0)
    count = max(1, len(ordered) // LIKE_MOST)
    first = (ordered[count:] - ordered[:-count]).argmin(axis=0)
    sums = np.concatenate([np.zeros((1, SIDE, SIDE)), np.cumsum(ordered, axis=0, dtype=np.float64)])
    rows, columns = np.indices((SIDE, SIDE))
    return ((sums[first + count, rows, columns] - sums[first, rows, columns]) / count).astype(np.float32)
