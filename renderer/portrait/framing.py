"""Cuts the square with the face out of the photo, with room for hair and shoulders."""

from dataclasses import dataclass

import cv2
import numpy as np

from renderer.errors import RenderError
from renderer.portrait.padding import padded_window
from renderer.portrait.topology import CHIN, FOREHEAD, LANDMARKS, OVAL

FACE_HEIGHT = 0.47  # forehead to chin, of the frame's height
TIGHTEST_FACE_HEIGHT = 0.72  # the same where the photo ends near the face: closer rather than beyond its edge
FACE_CENTRE = 0.49  # of the frame's height: hair needs a little less room than the shoulders
SHIFT_ASIDE, SHIFT_UP = 0.11, 0.2  # of the frame: how far it may move to stay inside a tight photo
UNSAFE_EDGE = 0.005  # of the photo's shorter side: the outermost rows of a video are often black or smeared
MARGIN = 0.25  # of the frame: what is kept beyond its edges, for motion that brings the outside in
SMALLEST_FACE = 40  # pixels from forehead to chin; below that there is nothing to animate


@dataclass(frozen=True)
class PortraitCrop:
    """The photo cut for drawing. Pixel i covers index coordinates i ± 0.5 (cv2's convention), in the padded picture."""

    picture: np.ndarray  # (P, P, 3) uint8 RGB, P = size + 2 * margin
    landmarks: np.ndarray  # (478, 3) float32, index coordinates of `picture`, z in the same scale
    margin: int  # the frame is picture[margin : margin + size, margin : margin + size]
    size: int
    face_height: float  # forehead to chin in pixels of the frame


def frame_photo(image: np.ndarray, landmarks: np.ndarray, size: int) -> PortraitCrop:
    """Square crop that follows the face.

    image (H, W, 3) uint8 RGB; landmarks (478, 3) pixels of the image (x, y, and z in the scale of x); size in pixels.
    Raises RenderError on wrong shapes, numbers that are not finite, or a face that is too small or outside the photo.
    """
    image, landmarks = checked_portrait(image, landmarks)
    points = landmarks[:, :2]
    height = float(np.linalg.norm(points[CHIN] - points[FOREHEAD]))
    photo = np.array([image.shape[1], image.shape[0]])
    edge = int(np.ceil(UNSAFE_EDGE * photo.min()))
    corner, side = _frame_square(points, height, photo, edge)
    scale = size / side
    margin = round(MARGIN * size)
    padded_side = side * (1 + 2 * MARGIN)
    crop_min = np.floor(np.maximum(corner - side * MARGIN - 2, edge)).astype(int)
    crop_max = np.ceil(np.minimum(corner - side * MARGIN + padded_side + 2, photo - edge)).astype(int)
    cropped = image[crop_min[1] : crop_max[1], crop_min[0] : crop_max[0]]
    resized_size = np.maximum(np.round((crop_max - crop_min) * scale), 1).astype(int)
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cropped = cv2.resize(cropped, (int(resized_size[0]), int(resized_size[1])), interpolation=shrink)
    ratio = resized_size / (crop_max - crop_min)  # true scale after rounding, x and y
    total = size + 2 * margin
    offset = np.round((corner - crop_min) * ratio).astype(int) - margin  # padded picture's corner inside `cropped`
    picture = padded_window(cropped, offset, total)
    crop_landmarks = np.empty_like(landmarks)
    crop_landmarks[:, :2] = (points - crop_min) * ratio - offset - 0.5
    crop_landmarks[:, 2] = landmarks[:, 2] * scale
    return PortraitCrop(picture, crop_landmarks.astype(np.float32), margin, size, height * scale)


def _frame_square(points: np.ndarray, height: float, photo: np.ndarray, edge: int) -> tuple[np.ndarray, float]:
    """Corner (2,) and side of the frame in pixels of a photo of width and height `photo` (2,).

    points (N, 2): landmarks; height: forehead to chin; edge: pixels along the photo's edges to be left out. The frame
    stays inside the photo as long as the face then fills no more than TIGHTEST_FACE_HEIGHT of it and keeps to its
    middle.
    """
    side = float(np.clip(photo.min() - 2 * edge, height / TIGHTEST_FACE_HEIGHT, height / FACE_HEIGHT))
    oval = points[OVAL]
    corner = 0.5 * (oval.min(axis=0) + oval.max(axis=0)) - side * np.array([0.5, FACE_CENTRE])
    inside = np.clip(corner, edge, np.maximum(photo - edge - side, edge))
    # Beside and above the head a soft wall may be invented; below it, that would be clothes: more room to move up.
    least = -side * np.array([SHIFT_ASIDE, SHIFT_UP])
    return corner + np.clip(inside - corner, least, SHIFT_ASIDE * side), side


def head_axes(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Centre (2,), the head's right and down directions in the picture (2,) each, and its height in pixels."""
    down = landmarks[CHIN, :2] - landmarks[FOREHEAD, :2]
    height = float(np.linalg.norm(down))
    down = down / height
    oval = landmarks[OVAL, :2]
    right = np.array([down[1], -down[0]])
    along = oval @ np.stack([right, down], axis=1)
    middle = 0.5 * (along.min(axis=0) + along.max(axis=0))
    return right * middle[0] + down * middle[1], right, down, height


def checked_portrait(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The photo (H, W, 3) uint8 RGB and its landmarks (478, 3) float64, of a face that can be read.

    Raises RenderError on wrong shapes, numbers that are not finite, or a face that is too small or outside the photo.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < 2:
        raise RenderError(
            f"A portrait must be an RGB picture (height, width, 3) of 8 bits, not {image.shape} of {image.dtype}."
        )
    landmarks = np.asarray(landmarks, dtype=np.float64)
    if landmarks.shape != (LANDMARKS, 3):
        raise RenderError(f"A portrait needs {LANDMARKS} landmarks with x, y and z, not an array {landmarks.shape}.")
    if not np.isfinite(landmarks).all():
        raise RenderError("The portrait's landmarks hold numbers that are not finite; track the photo again.")
    height = float(np.linalg.norm(landmarks[CHIN, :2] - landmarks[FOREHEAD, :2]))
    if height < SMALLEST_FACE:
        raise RenderError(
            f"The face in the photo is {height:.0f} pixels high; at least {SMALLEST_FACE} are needed to animate it: "
            "use a larger or closer picture."
        )
    centre = landmarks[OVAL, :2].mean(axis=0)
    if not (0 <= centre[0] <= image.shape[1] and 0 <= centre[1] <= image.shape[0]):
        raise RenderError("The landmarks lie outside the photo; they must be pixels of the same picture.")
    return image, landmarks
