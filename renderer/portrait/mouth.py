"""What is behind the lips: a dark cavity, a tongue, two rows of teeth, and whatever the photo itself shows there."""

import cv2
import numpy as np

from renderer.jit import jit_loop
from renderer.portrait.drawing import blend, coverage, crop_window
from renderer.portrait.framing import PortraitCrop
from renderer.portrait.mouth_colours import mouth_colours
from renderer.portrait.topology import LIPS_LOWER_INNER, LIPS_UPPER_INNER

CLOSED_GAP = 0.045  # gap / mouth width below which the photo's mouth counts as closed (landmarks jitter by that much)

LIP_FOLLOW_LIMIT = 0.07  # of the mouth's width: how far the photo's own teeth stretch with a lip

TOOTH_LEVEL = 0.62  # of the drawn teeth's brightness: what is brighter in the photo's mouth is a tooth
TOOTHY = (0.35, 0.6)  # share of such pixels: the photo's mouth is not worth stretching, it is

TOOTH_SHADE, CAVITY_SHADE = 0.72, 0.30  # of the light at the lips' rim; teeth stand right behind it

_TOOTH_EDGES = np.array([0.0, 0.165, 0.295, 0.40, 0.485, 0.56])  # of the mouth's width, from the middle
_TOOTH_LENGTHS = np.array([0.012, -0.004, 0.008, 0.0, 0.0])  # beyond the row's edge: a lateral incisor is shorter


def close_lips(landmarks: np.ndarray) -> tuple[np.ndarray, bool]:
    """Landmarks whose inner lips meet exactly if the photo's mouth is closed, and whether it is open."""
    upper, lower = landmarks[LIPS_UPPER_INNER], landmarks[LIPS_LOWER_INNER]
    width = float(np.linalg.norm(upper[-1, :2] - upper[0, :2]))
    gap = float(np.linalg.norm(upper[3:8, :2] - lower[3:8, :2], axis=1).mean()) / max(width, 1e-6)
    if gap > CLOSED_GAP:
        return landmarks, True
    landmarks = landmarks.copy()
    middle = 0.5 * (upper + lower)
    landmarks[LIPS_UPPER_INNER] = middle
    landmarks[LIPS_LOWER_INNER] = middle
    return landmarks, False


class Mouth:
    """Prepared once per photo. Units inside are mouth widths, from the middle of the photo's lip line."""

    def __init__(self, crop: PortraitCrop, landmarks: np.ndarray, is_open: bool) -> None:
        upper, lower = landmarks[LIPS_UPPER_INNER, :2].astype(np.float64), landmarks[LIPS_LOWER_INNER, :2]
        across = upper[-1] - upper[0]
        self.width = float(np.linalg.norm(across))
        self.right = across / self.width
        self.down = np.array([-self.right[1], self.right[0]])
        self.margin, self.size = crop.margin, crop.size
        self.picture = crop.picture
        self.is_open = is_open
        corners = 0.5 * (upper[0] + upper[-1])
        # The teeth hang from the skull: their edge lies a little below the photo's upper lip.
        lip = upper[3:8].mean(axis=0)
        self.origin = np.array([*(corners + self.down * ((lip - corners) @ self.down))])
        lower_lip = lower[3:8].mean(axis=0)
        self.gap = float((lower_lip - self.origin) @ self.down) / self.width
        self.lower_teeth = np.array([0.0, self.gap - 0.025])
        self.colours = mouth_colours(crop.picture, landmarks)
        self.photo_mask = None
        if is_open:
            contour = np.concatenate([upper, lower[-2:0:-1]])
            mouth_mask = coverage(crop.picture.shape[:2], contour, np.zeros(2), factor=2)
            self.photo_mask = cv2.GaussianBlur(mouth_mask, (0, 0), max(0.6, 0.012 * self.width))
            levels = crop.picture[mouth_mask > 0.9].mean(axis=1)
            share = (levels > TOOTH_LEVEL * self.colours.tooth.mean()).mean() if len(levels) else 0.0
            self.stretchable = float(np.clip((share - TOOTHY[0]) / (TOOTHY[1] - TOOTHY[0]), 0, 1))

    def draw(self, frame: np.ndarray, points: np.ndarray, affine: np.ndarray, jaw: np.ndarray) -> None:
        """Draws the interior between the moved inner lips.

        points (468, 3): moved landmarks; affine (2, 3): the skull's motion, picture to padded frame;
        jaw (2,): how far the lower teeth moved against the skull, in mouth widths along `right` and `down`.
        """
        upper, lower = points[LIPS_UPPER_INNER, :2], points[LIPS_LOWER_INNER, :2]
        gap = np.abs(upper - lower).max()
        if gap < 0.15:
            return
        contour = np.concatenate([catmull_rom(upper), catmull_rom(lower)[-2:0:-1]])
        crop = crop_window(contour, self.margin, 2, self.size)
        if crop is None:
            return
        corner, shape = crop
        origin = corner + self.margin
        mask = coverage(shape, contour, origin)
        inverse = cv2.invertAffineTransform(affine)
        rise, follow = self._rise(upper, inverse), float(np.clip(jaw[1], -self.gap, LIP_FOLLOW_LIMIT))
        colour = np.empty((*shape, 3), dtype=np.float32)
        source_map = np.empty((2, *shape), dtype=np.float32)
        teeth = np.empty(shape, dtype=np.float32)
        _interior(
            colour, source_map, teeth, inverse, origin.astype(np.float64), self.origin, self.right, self.down,
            self.width, jaw + self.lower_teeth, self.colours.table, _TOOTH_EDGES, _TOOTH_LENGTHS, self.colours.slope,
            self.gap, rise, follow,
        )  # fmt: skip
        # Lips shade what lies behind them: dark at the rim, less so on the teeth.
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        depth = cv2.GaussianBlur(padded, (0, 0), 0.05 * self.width)[1:-1, 1:-1]
        rim = CAVITY_SHADE + (TOOTH_SHADE - CAVITY_SHADE) * teeth
        colour *= (rim + (1 - rim) * (1.6 * depth - 0.3).clip(0, 1))[..., None]
        if self.photo_mask is not None:
            photo = cv2.remap(self.picture, source_map[0], source_map[1], cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE)
            shown = cv2.remap(
                self.photo_mask, source_map[0], source_map[1], cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT
            )
            # A few dark teeth drawn out to a wide smile look broken: there the drawn ones take their place.
            stretched = min((rise + max(follow, 0.0)) / max(self.gap, 0.01), 1.0)
            colour += (photo - colour) * (shown * (1 - (1 - self.stretchable) * stretched))[..., None]
        blend(frame, corner, colour, mask)

    def _rise(self, upper: np.ndarray, inverse: np.ndarray) -> float:
        """How far the upper inner lip (11, 2) has risen over the photo's teeth, in mouth widths, within the limit."""
        middle = inverse[:, :2] @ upper[4:7].mean(axis=0) + inverse[:, 2]
        return float(np.clip(-((middle - self.origin) @ self.down) / self.width, 0, LIP_FOLLOW_LIMIT))


@jit_loop
def _interior(
    colour, source_map, teeth, inverse, corner, origin, right, down, width, jaw, palette, edges, lengths, slope, gap,
    rise, follow,
):  # fmt: skip
    """Paints the interior procedurally, pixel by pixel.

    `source_map` (2, h, w) receives the picture coordinates of the skull, `teeth` (h, w) how much of a pixel is tooth.
    Lengths are mouth widths; palette (4, 3): tooth, tongue, cavity, gum.
    """
    for i in range(colour.shape[0]):
        for j in range(colour.shape[1]):
            px, py = j + corner[0], i + corner[1]
            sx = inverse[0, 0] * px + inverse[0, 1] * py + inverse[0, 2]
            sy = inverse[1, 0] * px + inverse[1, 1] * py + inverse[1, 2]
            x = ((sx - origin[0]) * right[0] + (sy - origin[1]) * right[1]) / width
            y = ((sx - origin[0]) * down[0] + (sy - origin[1]) * down[1]) / width
            # Small moves of the lips stretch what the photo shows; larger ones leave it hanging from the skull.
            opened = max(gap + rise + follow, 0.01)
            step = ((rise + follow) * min(max((y + rise) / opened, 0.0), 1.0) - rise) * width
            source_map[0, i, j], source_map[1, i, j] = sx - step * down[0], sy - step * down[1]
            lx, ly = x - jaw[0], y - jaw[1]
            lateral = min(abs(x) / 0.5, 1.0)
            light = (1.0 - 0.5 * lateral * lateral) * (1.0 + slope * min(max(2 * x, -1.0), 1.0))
            r, g, b = palette[2, 0], palette[2, 1], palette[2, 2]
            # Tongue: lies in the lower jaw, its back a little higher; lit from the front.
            tx, ty = lx / 0.35, (ly + 0.06) / 0.21
            tongue = 1.0 - (tx * tx + ty * ty)
            if tongue > 0:
                weight = min(tongue * 2.5, 1.0) * 0.85
                shade = (0.55 + 0.45 * tongue) * light * (1.0 - 0.3 * min(max(-ly / 0.25, 0.0), 1.0))
                r += (palette[1, 0] * shade - r) * weight
                g += (palette[1, 1] * shade - g) * weight
                b += (palette[1, 2] * shade - b) * weight
            tooth = 0.0
            for row in range(2):
                if row == 0:  # lower teeth, in the jaw
                    u, beyond = abs(lx) * 1.25, ly - 0.30 * lx * lx
                    brightness, warmth, reach = 0.72, 0.96, 0.44
                else:
                    u, beyond = abs(x), 0.095 - 0.24 * x * x - y
                    brightness, warmth, reach = 1.0, 1.0, 0.52
                weight = min(max((reach - u) / 0.10, 0.0), 1.0)
                if weight <= 0 or beyond < -0.02:
                    continue
                number = 0
                while number < lengths.shape[0] - 1 and u > edges[number + 1]:
                    number += 1
                half = 0.5 * (edges[number + 1] - edges[number])
                across = abs(u - edges[number] - half) / half  # 0 in a tooth's middle, 1 between two
                from_gap = (1.0 - across) * half
                if row == 1:  # each tooth's edge is its own, rounded towards its neighbours
                    beyond += lengths[number] - 0.016 * max(0.0, 1.0 - from_gap / 0.03)
                weight *= min(max(beyond / 0.022, 0.0), 1.0)
                shade = brightness * light * (1.0 - 0.08 * across * across)
                shade *= 1.0 - (0.05 + 0.13 * row) * max(0.0, 1.0 - from_gap / 0.014)
                flesh = row * min(max((beyond - 0.215 + 0.04 * across * across) / 0.02, 0.0), 1.0)
                for k in range(3):
                    hue = palette[0, k] * (1.0 if k == 0 else (warmth if k == 1 else warmth * warmth))
                    target = (hue + (palette[3, k] - hue) * flesh) * shade
                    if k == 0:
                        r += (target - r) * weight
                    elif k == 1:
                        g += (target - g) * weight
                    else:
                        b += (target - b) * weight
                tooth = max(tooth, weight)
            teeth[i, j] = tooth
            colour[i, j, 0], colour[i, j, 1], colour[i, j, 2] = r, g, b


def catmull_rom(points: np.ndarray, subdivisions: int = 4) -> np.ndarray:
    """A smooth line through points (N, 2), `subdivisions` pieces from one to the next (Catmull and Rom's spline).

    The landmarks are few: a lower lip that is pulled far down shows every one of them as a corner.
    """
    before, after = (
        np.vstack([2 * points[:1] - points[1:2], points[:-2]]),
        np.vstack([points[2:], 2 * points[-1:] - points[-2:-1]]),
    )
    start, end = points[:-1], points[1:]
    t = (np.arange(subdivisions) / subdivisions)[None, :, None]
    a, b, c, d = (points[:, None] for points in (before, start, end, after))
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.vstack([curve.reshape(-1, 2), points[-1:]])
