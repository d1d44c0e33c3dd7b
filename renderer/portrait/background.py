"""The background of a photo without the person, and which single hairs stand out from it."""

import cv2
import numpy as np

from renderer.portrait.framing import head_axes

# Of the padded picture, twice how far beyond the matte no background is trusted: round the hair for the strands that
# the matte leaves out; at the shoulders less, but with 0.006 an astronaut's ring left a copy of its rim behind.
STRAND_BAND, SHOULDER_BAND = 0.05, 0.016
STRAND_DIFFERENCE = (16.0, 56.0)  # levels of difference to the background: none of it is hair, all of it is
MAX_BACKGROUND_DETAIL = 60.0  # square levels of detail in a background that still lets strands be told from it


def fill_background(picture: np.ndarray, matte: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The background (P, P, 3) uint8 with the person filled in.

    Near the person's edge, which is all that a moving head uncovers, the background is mirrored across the edge so
    that it keeps its texture; deeper inside it is a smooth mix of the surroundings (push and pull over a pyramid).
    """
    size = picture.shape[0]
    person = (matte > 0.02).astype(np.uint8)
    strands, shoulders = (max(3, round(share * size)) | 1 for share in (STRAND_BAND, SHOULDER_BAND))
    with_hair = cv2.dilate(person, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (strands, strands)))
    known_background = cv2.dilate(person, np.ones((shoulders, shoulders), np.uint8)) == 0
    centre, _, down, height = head_axes(landmarks)
    rows, columns = np.mgrid[:size, :size]
    above_jaw = (columns - centre[0]) * down[0] + (rows - centre[1]) * down[1] < 0.2 * height
    known_background &= (with_hair == 0) | ~above_jaw
    if not known_background.any():
        return picture.copy()
    smooth = _fill_by_pyramid(picture, known_background)
    distance, labels = cv2.distanceTransformWithLabels(
        (~known_background).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    position = np.zeros((labels.max() + 1, 2), dtype=np.int32)  # label of the nearest known pixel: its x and y
    rows, columns = np.nonzero(known_background)
    position[labels[rows, columns]] = np.stack([columns, rows], axis=1)
    nearest = position[labels].astype(np.float32)
    pixel_coordinates = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float32)
    mirror = 2 * nearest - pixel_coordinates
    for axis in range(2):  # neighbouring pixels with different nearest ones would break the texture up
        mirror[..., axis] = cv2.GaussianBlur(mirror[..., axis], (0, 0), 0.012 * size)
    texture = cv2.remap(smooth, mirror[..., 0], mirror[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT_101)
    texture_weight = (1 - distance / (0.16 * size)).clip(0, 1)[..., None]
    filled = smooth + (texture - smooth) * texture_weight
    return np.where(known_background[..., None], picture, filled.round().clip(0, 255)).astype(np.uint8)


def add_hair_strands(matte: np.ndarray, picture: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The matte (P, P), with the single strands round the hair that differ from the filled-in background.

    They move with the head; left behind they would vanish as soon as it stirs. Before a background full of detail
    nothing is added: there the difference is the filling's own error.
    """
    grey = cv2.cvtColor(background, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail_sigma = 0.02 * len(matte)
    detail = cv2.GaussianBlur((grey - cv2.GaussianBlur(grey, (0, 0), detail_sigma)) ** 2, (0, 0), detail_sigma)
    difference = np.abs(picture.astype(np.int16) - background).max(axis=2).astype(np.float32)
    strands = ((difference - STRAND_DIFFERENCE[0]) / (STRAND_DIFFERENCE[1] - STRAND_DIFFERENCE[0])).clip(0, 1)
    strands = cv2.GaussianBlur(strands, (0, 0), 0.0025 * len(matte)) * np.exp(-detail / MAX_BACKGROUND_DETAIL)
    radius = max(3, round(0.05 * len(matte))) | 1
    near_person = cv2.dilate((matte > 0.5).astype(np.float32), np.ones((radius, radius), np.uint8))
    return np.maximum(matte, strands * cv2.GaussianBlur(near_person, (0, 0), 0.006 * len(matte)))


def _fill_by_pyramid(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`picture` (P, P, 3) as float32 where known, elsewhere the mean of ever wider surroundings."""
    levels = [(picture.astype(np.float32) * known[..., None], known.astype(np.float32))]
    while min(levels[-1][1].shape) > 2:
        colour, weight = levels[-1]
        size = ((colour.shape[1] + 1) // 2, (colour.shape[0] + 1) // 2)
        levels.append(tuple(cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (colour, weight)))
    colour, weight = levels[-1]
    filled = colour / np.maximum(weight, 1e-4)[..., None]
    for colour, weight in reversed(levels[:-1]):
        filled = cv2.resize(filled, colour.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        known_colour = colour / np.maximum(weight, 1e-4)[..., None]
        filled += (known_colour - filled) * np.minimum(weight * 4, 1)[..., None]
    return np.where(known[..., None], picture, filled).astype(np.float32)
