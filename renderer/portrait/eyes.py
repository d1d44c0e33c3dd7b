"""One eye: lids that close with skin and a lash line, and an iris that moves over a white filled in underneath."""

import cv2
import numpy as np

from renderer.jit import jit_loop
from renderer.portrait.drawing import blend, coverage, crop_window, stroke
from renderer.portrait.framing import PortraitCrop
from renderer.portrait.topology import EyeIndices

GAZE_TRAVEL = np.array([0.20, 0.14])  # of the eye's width: iris travel of a full look across and down
LASH_BRIGHTNESS = 0.4  # of the closed lids' line, over the darkest of the open eye: lashes are seen from their side
LASH_LINE, LASH_OUTER = 0.042, 0.075  # of the eye's width: its width, and that of its outer half
LID_ROWS = 7
LASH_BAND = 0.06  # of the eye's width: the part of the upper lid at its margin that is never stretched
INVERSE_CUBIC = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
MIN_OPENNESS = 0.10  # opening / width below which the photo's eye counts as shut: nothing to show under the lid


class Eye:
    """Prepared once per photo. All points are index coordinates of the padded picture.

    behind_glass: nothing but the lids' margins moves, and no skin from beyond the crease, where the rims may be.
    """

    def __init__(self, crop: PortraitCrop, indices: EyeIndices, behind_glass: bool = False) -> None:
        self.indices = indices
        self.behind_glass = behind_glass
        points = crop.landmarks[:, :2].astype(np.float64)
        upper, lower = points[indices.upper], points[indices.lower]
        self.width = float(np.linalg.norm(upper[-1] - upper[0]))
        self.openness = float(np.linalg.norm(upper[3:6] - lower[3:6], axis=1).mean()) / self.width
        self.margin, self.size = crop.margin, crop.size
        self.contour = np.concatenate([upper, lower[-2:0:-1]])
        self._lid_sources(points)
        self._build_layers(crop.picture, points)

    # Lids -------------------------------------------------------------------------------------------------------

    def move_lids(self, points: np.ndarray, closure: float, squint: float) -> None:
        """Moves the rings round the eye in `points` (468, 3), in place: closure 1 shut, below 0 wider; squint 0…1."""
        indices = self.indices
        upper, lower = points[indices.upper].copy(), points[indices.lower].copy()
        closure = closure if closure < 0 else closure * closure * (3 - 2 * closure) * 0.4 + closure * 0.6
        raise_lower = (0.10 * max(closure, 0.0) + 0.16 * squint * (1 - max(closure, 0.0))) * (upper - lower)
        lid_drop = closure * (lower - upper)
        points[indices.upper] = upper + lid_drop
        points[indices.lower] = lower + raise_lower
        if self.behind_glass:
            return
        inner = slice(1, -1)  # the rings' ends lie beyond the corners and stay
        points[indices.crease_upper[inner]] += 0.30 * lid_drop[inner]
        points[indices.socket_upper[inner]] += 0.08 * lid_drop[inner]
        points[indices.crease_lower[inner]] += 0.35 * raise_lower[inner]

    def _lid_sources(self, points: np.ndarray) -> None:
        indices = self.indices
        self.lid_margin = _with_midpoints(points[indices.upper])
        self.lid_crease = _with_midpoints(points[indices.crease_upper])
        self.lid_socket = _with_midpoints(points[indices.socket_upper])
        columns = len(self.lid_margin)
        grid = np.arange(LID_ROWS * columns).reshape(LID_ROWS, columns)
        a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
        self.lid_triangles = np.concatenate(
            [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)]
        ).astype(np.int32)
        self._lash_band = np.minimum(
            LASH_BAND * self.width, 0.5 * np.linalg.norm(self.lid_crease - self.lid_margin, axis=1)
        )

    def lid_patch(self, points: np.ndarray, closure: float) -> tuple[np.ndarray, np.ndarray]:
        """The skin from crease to margin as a finer mesh: targets (N, 3) and sources (N, 2).

        Plain triangles would stretch the lashes with the skin into a dark shutter. Here the band at the margin keeps
        its height, and the skin above it gives the length, taking some from beyond the crease.
        """
        indices = self.indices
        margin, crease = _with_midpoints(points[indices.upper]), _with_midpoints(points[indices.crease_upper])
        blend_weight = min(max(closure / 0.35, 0.0), 1.0)
        blend_weight = blend_weight * blend_weight * (3 - 2 * blend_weight)
        beyond_crease = 0.0 if self.behind_glass else 0.45
        targets, sources = np.empty((LID_ROWS * len(margin), 3)), np.empty((LID_ROWS * len(margin), 2))
        _stretch_lid(
            margin, crease, self.lid_margin, self.lid_crease, self.lid_socket, self._lash_band, blend_weight,
            beyond_crease * blend_weight, 0.02 * self.width, targets, sources,
        )  # fmt: skip
        return targets, sources

    # Eyeball ----------------------------------------------------------------------------------------------------

    def _build_layers(self, picture: np.ndarray, points: np.ndarray) -> None:
        """White without iris, iris completed under the lids, and the iris's matte, in a window round the eye."""
        pad = round(0.6 * self.width) + 2
        window_min = np.floor(self.contour.min(axis=0)).astype(int) - pad
        window_max = np.ceil(self.contour.max(axis=0)).astype(int) + pad + 1
        self.corner = np.clip(window_min, 0, picture.shape[0] - 4)
        window_max = np.clip(window_max, self.corner + 4, picture.shape[0])
        self.photo = picture[self.corner[1] : window_max[1], self.corner[0] : window_max[0]].astype(np.float32)
        shape = self.photo.shape[:2]
        inside = coverage(shape, self.contour, self.corner)
        iris = points[self.indices.iris]
        centre, radius = iris[0], float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean())
        rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        distance = np.hypot(columns + self.corner[0] - centre[0], rows + self.corner[1] - centre[1]) / max(radius, 0.5)

        edge = max(1.0, 0.03 * self.width)
        # A few pixels of white are all that a small eye has; a larger one can spare those that touch the lashes.
        eroded_mask = cv2.erode(inside, np.ones((3, 3), np.uint8)) if self.width > 28 else inside
        interior = eroded_mask > 0.95
        white = (interior & (distance > 1.2)).astype(np.float32)
        # The ball is darker towards its rim and under the lid; an evenly white filling looks like a sticker.
        depth = cv2.GaussianBlur(inside, (0, 0), 0.07 * self.width)[..., None]
        rim = 0.72 + 0.28 * ((depth - 0.45) / 0.5).clip(0, 1)
        self.white = _inpaint(self.photo, white, 0.12 * self.width) * (rim * (1 - white[..., None]) + white[..., None])
        visible_iris = interior & (distance < 1.25)
        bins = np.minimum((distance * 6).astype(int), 7)
        profile = np.zeros((8, 3), np.float32)
        for k in range(8):
            ring = visible_iris & (bins == k)
            profile[k] = np.median(self.photo[ring], axis=0) if ring.sum() >= 2 else profile[max(k - 1, 0)]
        if not profile[0].any():
            profile[0] = next((row for row in profile if row.any()), np.zeros(3))
            for k in range(1, 8):
                profile[k] = profile[k] if profile[k].any() else profile[k - 1]
        iris_colours = cv2.GaussianBlur(profile[bins], (0, 0), max(0.6, 0.1 * radius))
        visible_weight = cv2.GaussianBlur(visible_iris.astype(np.float32), (0, 0), 0.6 * edge)[..., None].clip(0, 1)
        iris = iris_colours + (self.photo - iris_colours) * (visible_weight * visible_iris[..., None])
        soft = ((1.16 - distance) / 0.18).clip(0, 1)
        self.iris = np.dstack([iris, soft * soft * (3 - 2 * soft)]).astype(np.float32)  # the fourth is its matte
        self.iris_radius = radius
        self.gaze_enabled = self.openness > MIN_OPENNESS and white.sum() > 3
        dark = self.photo[inside > 0.5] if (inside > 0.5).any() else self.photo.reshape(-1, 3)
        brightness = dark.sum(axis=1)
        self.lash_colour = LASH_BRIGHTNESS * dark[brightness <= np.percentile(brightness, 15)].mean(axis=0)

    def draw(self, frame: np.ndarray, points: np.ndarray, affine: np.ndarray, gaze: np.ndarray, closure: float) -> None:
        """Draws eyeball, lid shadow and lash line into `frame`.

        points (468, 3) moved landmarks; affine (2, 3) takes the picture to the frame's padded coordinates where the
        eye would be if only the head moved; gaze (2,) of a full look; closure as in `move_lids`.
        """
        indices = self.indices
        upper, lower = points[indices.upper, :2], points[indices.lower, :2]
        contour = np.concatenate([upper, lower[-2:0:-1]])
        crop = crop_window(contour, self.margin, max(2, round(0.1 * self.width)), self.size)
        if crop is None:
            return
        corner, shape = crop
        origin = corner + self.margin
        mask = coverage(shape, contour, origin)
        if closure < 0.97 and self.openness > 0.03:
            colour = self._eyeball(origin, shape, affine, gaze)
            if closure > 0.02:
                band = stroke(shape, upper, origin, 0.16 * self.width)
                band = cv2.GaussianBlur(band, (0, 0), 0.05 * self.width)
                colour *= 1 - (0.45 * min(closure * 2, 1.0)) * band[..., None]
            blend(frame, corner, colour, mask)
        lash = float(np.clip((closure - 0.2) / 0.5, 0, 1)) * min(1.0, self.openness / MIN_OPENNESS)
        if lash > 0:
            line = _with_midpoints(upper)
            mask = stroke(shape, line[1:-1], origin, max(LASH_LINE * self.width, 0.5))
            outer = stroke(shape, line[1 : len(line) // 2], origin, max(LASH_OUTER * self.width, 0.7))
            mask = np.maximum(mask, 0.7 * outer)
            mask = cv2.GaussianBlur(mask, (0, 0), max(0.018 * self.width, 0.4))
            blend(frame, corner, self.lash_colour.astype(np.float32), 0.78 * lash * mask)

    def _eyeball(self, origin: np.ndarray, shape: tuple[int, int], affine: np.ndarray, gaze: np.ndarray) -> np.ndarray:
        inverse = cv2.invertAffineTransform(affine)
        start = inverse[:, :2] @ origin + inverse[:, 2] - self.corner
        size = shape[1], shape[0]

        def sample(layer, offset=0.0):
            """`layer` as far as it lies in the frame's window, moved by `offset` (2,)."""
            place = np.column_stack([inverse[:, :2], start - offset])
            return cv2.warpAffine(layer, place, size, None, INVERSE_CUBIC, cv2.BORDER_REPLICATE)

        photo = sample(self.photo)
        iris_offset = gaze * GAZE_TRAVEL * self.width
        offset_length = float(np.hypot(*iris_offset))
        if offset_length < 1e-3 or not self.gaze_enabled:
            return photo
        iris, white = sample(self.iris, iris_offset), sample(self.white)
        layered = white + (iris[..., :3] - white) * iris[..., 3:].clip(0, 1)
        # the smallest moves fade from the photo to the layers
        layer_weight = float(np.clip(offset_length / (0.25 * self.iris_radius), 0, 1))
        return photo + (layered - photo) * layer_weight


@jit_loop
def _stretch_lid(
    margin, crease, rest_margin, rest_crease, rest_socket, bands, blend_weight, beyond_crease, lift, targets, sources
):  # fmt: skip
    """`Eye.lid_patch`: margin and crease (C, 3) as they are moved, and (C, 2) with the socket as in the photo.

    bands (C,): the part at the margin that keeps its height; blend_weight 0…1: how far that is so; beyond_crease: of
    the way to the socket, how much skin is taken from there; lift: how far the patch lies over the skin.
    """
    columns, rows = margin.shape[0], targets.shape[0] // margin.shape[0]
    for j in range(columns):
        band, length, rest, socket = bands[j], 0.0, 0.0, 0.0
        for k in range(2):
            length += (crease[j, k] - margin[j, k]) ** 2
            rest += (rest_crease[j, k] - rest_margin[j, k]) ** 2
            socket += (rest_socket[j, k] - rest_crease[j, k]) ** 2
        length, rest, socket = np.sqrt(length), np.sqrt(rest), np.sqrt(socket)
        stretch = (rest + beyond_crease * socket - band) / max(length - band, 1e-3)
        for i in range(rows):
            t = i / (rows - 1)  # 0 at the crease
            source, distance = (1 - t) * rest, (1 - t) * length
            if length > 1.5 * band:
                kept = distance if distance < band else band + (distance - band) * stretch
                source += (kept - source) * blend_weight
            of_lid = min(source / max(rest, 1e-3), 1.0)
            of_socket = max(source - rest, 0.0) / max(socket, 1e-3)
            at = i * columns + j
            for k in range(3):
                targets[at, k] = crease[j, k] + (margin[j, k] - crease[j, k]) * t
            targets[at, 2] -= lift  # over the skin of the plain mesh
            for k in range(2):
                sources[at, k] = (
                    rest_margin[j, k]
                    + (rest_crease[j, k] - rest_margin[j, k]) * of_lid
                    + (rest_socket[j, k] - rest_crease[j, k]) * of_socket
                )


def _with_midpoints(points: np.ndarray) -> np.ndarray:
    """(N, D) points with the middles in between: (2N - 1, D)."""
    result = np.empty((2 * len(points) - 1, points.shape[1]))
    result[::2] = points
    result[1::2] = 0.5 * (points[:-1] + points[1:])
    return result


def _inpaint(picture: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """`picture` where known, and a weighted blur of the known pixels elsewhere, at two widths."""
    result = picture * known[..., None]
    wide = _masked_blur(picture, known, 4 * sigma)
    near_weight = cv2.GaussianBlur(known, (0, 0), sigma)
    near = cv2.GaussianBlur(picture * known[..., None], (0, 0), sigma) / np.maximum(near_weight, 1e-4)[..., None]
    blend_weight = (near_weight / 0.08).clip(0, 1)[..., None]
    filled = wide + (near - wide) * blend_weight
    soft = cv2.GaussianBlur(known, (0, 0), 0.7)[..., None] * known[..., None]
    return (filled + (result - filled) * soft).astype(np.float32)


def _masked_blur(picture: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    weight = cv2.GaussianBlur(known, (0, 0), sigma)
    total = cv2.GaussianBlur(picture * known[..., None], (0, 0), sigma)
    mean = (picture * known[..., None]).sum((0, 1)) / max(float(known.sum()), 1.0)
    return (total + mean * 1e-3) / (weight + 1e-3)[..., None]
