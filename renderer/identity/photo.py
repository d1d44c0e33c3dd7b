"""The photo as the texture is read from it: one square picture of the person, in linear light, and who is in it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from renderer.portrait.matte import CONNECTED, person_matte
from renderer.portrait.topology import CHIN, FOREHEAD, NOSE_TIP, OVAL
from renderer.studio_surface import srgb_to_linear

SIZE = 960  # pixels of the canvas
FACE_HEIGHT = 300  # pixels of it from forehead to chin, as fine as the atlas
FACE_CENTRE = 0.47  # of the canvas's height
EDGE_PIXELS = 2  # of the photo's own edge that are not trusted
MATTE_EROSION = 5  # pixels across: the outermost of a person is mixed with the background

_LINEAR = srgb_to_linear(np.arange(256))


@dataclass(frozen=True)
class FacePhoto:
    """A picture of the person, and what a tracker saw in it."""

    picture: np.ndarray  # (H, W, 3) uint8 RGB
    landmarks: np.ndarray  # (478, 3) pixels of the picture: x right, y down, z away from the camera
    coefficients: np.ndarray  # (58,) as tracked


@dataclass(frozen=True)
class PhotoCanvas:
    """The photo cut and scaled for reading (P pixels square); pixel i has its middle at i (cv2's convention)."""

    picture: np.ndarray  # (P, P, 3) uint8 RGB
    linear: np.ndarray  # (P, P, 3) float32, linear light 0..1
    landmarks: np.ndarray  # (478, 3) float32, in its pixels
    person: np.ndarray  # (P, P) float32, 0..1: the person, 0 where the photo does not reach
    inside: np.ndarray  # (P, P) bool: where the photo reaches
    scale: np.ndarray  # (2,) canvas pixels a photo pixel
    offset: np.ndarray  # (2,)

    @property
    def size(self) -> int:
        """P."""
        return len(self.picture)

    def from_photo(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels of the photo (..., 2), origin at its corner -> of the canvas, float32."""
        return (pixels * self.scale + self.offset).astype(np.float32)

    def sample(self, pixels: np.ndarray) -> np.ndarray:
        """Linear light (N, 3) at pixels (N, 2), bilinear."""
        return sample(self.linear, pixels)


def photo_canvas(photo: np.ndarray, landmarks: np.ndarray) -> PhotoCanvas:
    """Cuts and mattes the photo (H, W, 3) uint8 RGB with landmarks (478, 3) in its pixels.

    Both are taken as checked; see fit_identity. Raises RenderError without the segmenter's model.
    """
    points = landmarks[:, :2]
    scale = FACE_HEIGHT / float(np.linalg.norm(points[CHIN] - points[FOREHEAD]))
    oval = points[OVAL]
    centre = 0.5 * (oval.min(axis=0) + oval.max(axis=0))
    # what is resized is the photo's part that the canvas shows, and a little more
    reach = SIZE / scale
    corner = centre - reach * np.array([0.5, FACE_CENTRE])
    first = np.clip(np.floor(corner - 2), 0, np.array(photo.shape[1::-1]) - 2).astype(int)
    last = np.clip(np.ceil(corner + reach + 2), first + 2, photo.shape[1::-1]).astype(int)
    cropped = photo[first[1] : last[1], first[0] : last[0]]
    new_size = np.maximum(np.round((last - first) * scale), 2).astype(int)
    cropped = cv2.resize(cropped, new_size.tolist(), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    ratio = new_size / (last - first)
    shift = np.round((corner - first) * ratio).astype(int)
    columns, rows = (np.clip(np.arange(SIZE) + shift[axis], 0, new_size[axis] - 1) for axis in range(2))
    picture = np.ascontiguousarray(cropped[rows[:, None], columns[None]])
    on_canvas = landmarks.astype(np.float32)
    on_canvas[:, :2] = (points - first) * ratio - shift - 0.5
    on_canvas[:, 2] *= scale
    offset = -first * ratio - shift - 0.5
    low = np.ceil(offset + EDGE_PIXELS * ratio).astype(int)
    high = np.floor(offset + (np.array(photo.shape[1::-1]) - EDGE_PIXELS) * ratio).astype(int)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[max(0, low[1]) : max(0, high[1]), max(0, low[0]) : max(0, high[0])] = True
    matte = person_matte(picture, on_canvas)
    person = _one_person(matte * inside, on_canvas)
    return PhotoCanvas(picture, _LINEAR[picture], on_canvas, person, inside, ratio, offset)


def _one_person(matte: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The matte (P, P) without people who hang together with this one only outside of the photo."""
    _, labels = cv2.connectedComponents((matte > CONNECTED).astype(np.uint8))
    column, row = np.clip(np.round(landmarks[NOSE_TIP, :2]), 0, len(matte) - 1).astype(int)
    person = (labels == labels[row, column]).astype(np.uint8)
    return matte * cv2.dilate(person, np.ones((9, 9), np.uint8))


def sample(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """`image` (P, Q[, C]) float32 at pixels (N, 2), bilinear, edges repeated: (N[, C]) float32."""
    count = len(pixels)
    rows = max(1, -(-count // 1024))  # cv2 wants maps that are neither empty nor too long in any direction
    padded = np.zeros((rows * 1024, 2), np.float32)
    padded[:count] = pixels
    maps = padded.reshape(rows, 1024, 2)
    values = cv2.remap(image, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(rows * 1024, *image.shape[2:])[:count]


def luminance(linear: np.ndarray) -> np.ndarray:
    """Linear RGB (..., 3) -> (...) relative luminance (ITU-R BT.709)."""
    return linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
