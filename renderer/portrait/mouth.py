"""What is behind the lips: a dark cavity, a tongue, two rows of teeth, and whatever the photo itself shows there."""

import cv2
import numpy as np

from renderer.jit import jit
from renderer.portrait.drawing import blend, coverage, crop_window
from renderer.portrait.framing import PortraitCrop
from renderer.portrait.topology import LIPS_LOWER_INNER, LIPS_UPPER_INNER

CLOSED_GAP = 0.045  # gap / mouth width below which the photo's mouth counts as closed (landmarks jitter by that much)

LIP_FOLLOW_LIMIT = 0.07  # of the mouth's width: how far the photo's own teeth stretch with the lower lip

GREY_SATURATION = 0.12  # saturation of the skin below which a photo is taken for less and less coloured

_TOOTH_EDGES = np.array([0.0, 0.165, 0.295, 0.40, 0.485], dtype=np.float32)  # of the mouth's width, from the middle


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
        skin = _skin(crop.picture, landmarks)
        self.exposure = np.clip(skin.mean() / 165.0, 0.35, 1.15)
        colour_cast = skin / max(skin.mean(), 1.0)
        self.tooth_colour = np.clip(np.array([228.0, 214.0, 194.0]) * self.exposure * (0.6 + 0.4 * colour_cast), 0, 245)
        saturation = np.ptp(skin) / max(skin.max(), 1.0)
        saturation_scale = np.clip(saturation / GREY_SATURATION, 0, 1)  # a grey photo has a grey mouth
        base_colours = (
            self.tooth_colour,
            np.array([150.0, 66.0, 62.0]) * self.exposure,
            np.array([44.0, 17.0, 16.0]) * self.exposure,
        )
        self.tooth_colour, self.tongue_colour, self.cavity_colour = (
            c.mean() + (c - c.mean()) * saturation_scale for c in base_colours
        )
        self.photo_mask = None
        if is_open:
            contour = np.concatenate([upper, lower[-2:0:-1]])
            mouth_mask = coverage(crop.picture.shape[:2], contour, np.zeros(2), factor=2)
            self.photo_mask = cv2.GaussianBlur(mouth_mask, (0, 0), max(0.6, 0.012 * self.width))

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
        colour = np.empty((*shape, 3), dtype=np.float32)
        source_map = np.empty((2, *shape), dtype=np.float32)
        _interior(
            colour, source_map, inverse, origin.astype(np.float64), self.origin, self.right, self.down, self.width,
            jaw + self.lower_teeth, self.tooth_colour, self.tongue_colour, self.cavity_colour, _TOOTH_EDGES,
            self.gap, float(np.clip(jaw[1], -self.gap, LIP_FOLLOW_LIMIT)),
        )  # fmt: skip
        # Lips shade what lies behind them: dark at the rim, more so under the upper lip.
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        depth = cv2.GaussianBlur(padded, (0, 0), 0.05 * self.width)[1:-1, 1:-1]
        colour *= (0.30 + 0.70 * (1.35 * depth - 0.25).clip(0, 1))[..., None]
        if self.photo_mask is not None:
            photo = cv2.remap(self.picture, source_map[0], source_map[1], cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE)
            shown = cv2.remap(
                self.photo_mask, source_map[0], source_map[1], cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT
            )
            colour += (photo - colour) * shown[..., None]
        blend(frame, corner, colour, mask)


@jit
def _interior(
    colour,
    source_map,
    inverse,
    corner,
    origin,
    right,
    down,
    width,
    jaw,
    tooth_colour,
    tongue_colour,
    cavity_colour,
    edges,
    gap,
    follow,
):
    """Paints the interior procedurally, pixel by pixel; `source_map` receives the picture coordinates of the skull."""
    for i in range(colour.shape[0]):
        for j in range(colour.shape[1]):
            px, py = j + corner[0], i + corner[1]
            sx = inverse[0, 0] * px + inverse[0, 1] * py + inverse[0, 2]
            sy = inverse[1, 0] * px + inverse[1, 1] * py + inverse[1, 2]
            x = ((sx - origin[0]) * right[0] + (sy - origin[1]) * right[1]) / width
            y = ((sx - origin[0]) * down[0] + (sy - origin[1]) * down[1]) / width
            # Small moves of the lower lip stretch what the photo shows; larger ones leave it hanging from the skull.
            step = follow * min(max(y / max(gap + follow, 0.01), 0.0), 1.0) * width
            source_map[0, i, j], source_map[1, i, j] = sx - step * down[0], sy - step * down[1]
            lx, ly = x - jaw[0], y - jaw[1]
            lateral = min(abs(x) / 0.5, 1.0)
            light = 1.0 - 0.5 * lateral * lateral
            r, g, b = cavity_colour[0], cavity_colour[1], cavity_colour[2]
            # Tongue: lies in the lower jaw, its back a little higher; lit from the front.
            tx, ty = lx / 0.35, (ly + 0.06) / 0.21
            tongue = 1.0 - (tx * tx + ty * ty)
            if tongue > 0:
                blend_weight = min(tongue * 2.5, 1.0) * 0.85
                shade = (0.55 + 0.45 * tongue) * light * (1.0 - 0.3 * min(max(-ly / 0.25, 0.0), 1.0))
                r += (tongue_colour[0] * shade - r) * blend_weight
                g += (tongue_colour[1] * shade - g) * blend_weight
                b += (tongue_colour[2] * shade - b) * blend_weight
            for row in range(2):
                if row == 0:  # lower teeth, in the jaw
                    u = abs(lx) * 1.25
                    edge = 0.30 * lx * lx
                    inside = (ly - edge) / 0.022
                    brightness, warmth = 0.66, 0.94
                else:
                    u = abs(x)
                    edge = 0.095 - 0.24 * x * x
                    inside = (edge - y) / 0.022
                    brightness, warmth = 1.0, 1.0
                blend_weight = min(max(inside, 0.0), 1.0) * min(max((0.44 - u) / 0.10, 0.0), 1.0)
                if blend_weight <= 0:
                    continue
                gap_distance = 1.0
                for k in range(edges.shape[0]):
                    gap_distance = min(gap_distance, abs(u - edges[k]))
                gap_shade = 1.0 - (0.05 + 0.20 * row) * max(0.0, 1.0 - gap_distance / 0.016)
                shade = brightness * light * gap_shade
                r += (tooth_colour[0] * shade - r) * blend_weight
                g += (tooth_colour[1] * shade * warmth - g) * blend_weight
                b += (tooth_colour[2] * shade * warmth * warmth - b) * blend_weight
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


def _skin(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Median colour (3,) of the cheeks and the chin."""
    patches = []
    radius = 2
    for index in (50, 280, 205, 425, 199):
        x, y = np.round(landmarks[index, :2]).astype(int)
        x, y = np.clip([x, y], radius, picture.shape[0] - 1 - radius)
        patches.append(picture[y - radius : y + radius + 1, x - radius : x + radius + 1].reshape(-1, 3))
    return np.median(np.concatenate(patches), axis=0).astype(np.float64)
