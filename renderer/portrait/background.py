"""The background of a photo without the person, and which single hairs stand out from it."""

import cv2
import numpy as np

from renderer.portrait.framing import head_axes

# Of the padded picture, twice how far beyond the matte no background is trusted: round the hair for the strands that
# the matte leaves out; at the shoulders less, but with 0.006 an astronaut's ring left a copy of its rim behind.
STRAND_BAND, SHOULDER_BAND = 0.05, 0.016
RIM = 0.012  # of the padded picture: over so much the invented passes into what is seen
HEAD_REACH, NECK_REACH = 0.16, 0.04  # of the padded picture: a turning head uncovers much more than a neck
STRAND_DIFFERENCE = (16.0, 56.0)  # levels of difference to the background: none of it is hair, all of it is
MAX_BACKGROUND_DETAIL = 60.0  # square levels of detail in a background that still lets strands be told from it


def fill_background(picture: np.ndarray, matte: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The background (P, P, 3) uint8 with the person filled in.

    A calm background is filled in as far out as single hairs reach; one full of detail is left as it is up to the
    matte, since whatever would be invented there looks bent. Near the person's edge, which is all that a moving head
    uncovers, the background is continued along rows and columns (`_continued`); deeper inside it is a smooth mix of
    the surroundings (push and pull over a pyramid).
    """
    size = picture.shape[0]
    person = (matte > 0.02).astype(np.uint8)
    strands, shoulders = (max(3, round(share * size)) | 1 for share in (STRAND_BAND, SHOULDER_BAND))
    with_hair = cv2.dilate(person, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (strands, strands))) > 0
    known = cv2.dilate(person, np.ones((shoulders, shoulders), np.uint8)) == 0
    centre, _, down, height = head_axes(landmarks)
    rows, columns = np.mgrid[:size, :size]
    below = ((columns - centre[0]) * down[0] + (rows - centre[1]) * down[1]) / height
    above_jaw = below < 0.2
    known_far = known & ~(with_hair & above_jaw)
    if not known_far.any():
        return picture.copy()
    beside = cv2.dilate(person, np.ones((3 * strands, 3 * strands), np.uint8)) > 0
    calm = _calmness(_fill_by_pyramid(picture, known_far), known_far)
    if calm[known_far & above_jaw & beside].mean() < 0.5:
        known_far = known
    reach = np.interp(below, [0.1, 0.5], [HEAD_REACH, NECK_REACH])
    inside = cv2.distanceTransform(known_far.astype(np.uint8), cv2.DIST_L2, 3) / (RIM * size)
    trusted = inside >= 1  # right at the edge the person's own rim may be left
    filled = _continued(_fill_by_pyramid(picture, trusted), trusted, reach)
    own = inside.clip(0, 1)[..., None]  # no seam where the invented begins
    return (filled + (picture - filled) * own).round().clip(0, 255).astype(np.uint8)


def without_background(picture: np.ndarray, matte: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The person's own colours (P, P, 3) uint8: where the matte is soft the photo shows a mix with the background.

    Moved as it is, that mix would draw a halo of the old background before the new one. The mixing is inverted where
    enough of the person is in it, and where not the colour of the person next to it is taken. What looks like the
    background although the matte has some of the person there is left: the matte is wrong.
    """
    soft = (matte > 0) & (matte < 1)
    if not soft.any():
        return picture
    inside = _fill_by_pyramid(picture, matte > 0.98)[soft]
    alpha = matte[soft][:, None]
    mixed, behind = picture[soft].astype(np.float32), background[soft].astype(np.float32)
    towards = inside - behind
    seen_alpha = ((mixed - behind) * towards).sum(axis=1, keepdims=True) / (
        (towards**2).sum(axis=1, keepdims=True) + 99
    )
    unmixed = ((mixed - (1 - alpha) * behind) / np.maximum(alpha, 0.3)).clip(0, 255)
    own = inside + (unmixed - inside) * ((alpha - 0.2) / 0.7).clip(0, 1)
    result = picture.copy()
    result[soft] = (mixed + (own - mixed) * (seen_alpha / np.maximum(alpha, 0.02)).clip(0, 1)).round()
    return result


def add_hair_strands(matte: np.ndarray, picture: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The matte (P, P), with the single strands round the hair that differ from the filled-in background.

    They move with the head; left behind they would vanish as soon as it stirs. Before a background full of detail
    nothing is added: there the difference is the filling's own error.
    """
    calm = _calmness(background.astype(np.float32), np.ones(matte.shape, bool))
    difference = np.abs(picture.astype(np.int16) - background).max(axis=2).astype(np.float32)
    strands = ((difference - STRAND_DIFFERENCE[0]) / (STRAND_DIFFERENCE[1] - STRAND_DIFFERENCE[0])).clip(0, 1)
    strands = cv2.GaussianBlur(strands, (0, 0), 0.0025 * len(matte)) * calm
    radius = max(3, round(0.05 * len(matte))) | 1
    near_person = cv2.dilate((matte > 0.5).astype(np.float32), np.ones((radius, radius), np.uint8))
    return np.maximum(matte, strands * cv2.GaussianBlur(near_person, (0, 0), 0.006 * len(matte)))


def _calmness(background: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(P, P) float32, 1 where a background (P, P, 3) float32 has no detail, 0 where it is full of it."""
    sigma = 0.02 * len(known)
    grey = cv2.cvtColor(background, cv2.COLOR_RGB2GRAY)
    detail = (grey - cv2.GaussianBlur(grey, (0, 0), sigma)) ** 2 * known
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
    return np.exp(-cv2.GaussianBlur(detail, (0, 0), sigma) / np.maximum(weight, 1e-3) / MAX_BACKGROUND_DETAIL)


def _continued(smooth: np.ndarray, known: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """`smooth` (P, P, 3) float32 with the texture of its known parts continued into the others.

    Each row is mirrored at the left and at the right edge of what is unknown, each column at the upper one, and the
    nearest of the three counts most: a line that meets the head runs on straight. Mirrored across the outline instead,
    all lines would follow it as a halo.

    reach (P, P): of the picture, how deep the texture goes into the unknown.
    """
    size = len(known)
    axis = np.broadcast_to(np.arange(size, dtype=np.float32), (size, size))
    total, total_weight = np.zeros_like(smooth), np.full((size, size, 1), 1e-9, np.float32)
    nearest_edge = np.full((size, size), np.inf, np.float32)
    for flip, turn in ((False, False), (True, False), (False, True)):  # from the left, the right, above
        seen = known.T if turn else known
        seen = seen[:, ::-1] if flip else seen
        edge = np.maximum.accumulate(np.where(seen, axis, -1.0), axis=1).astype(np.float32)
        distance = np.where(edge >= 0, axis - edge, np.float32(size))
        smoothed = cv2.GaussianBlur(edge, (0, 0), 0.4, sigmaY=0.012 * size)  # neighbouring rows must not fall apart
        edge = np.where(seen, axis, np.minimum(smoothed, axis))
        mirrored = 2 * edge - axis
        mirrored = size - 1 - mirrored[:, ::-1] if flip else mirrored
        distance = distance[:, ::-1] if flip else distance
        if turn:
            map_x, map_y = axis, np.ascontiguousarray(mirrored.T)
            distance = distance.T
        else:
            map_x, map_y = np.ascontiguousarray(mirrored), np.ascontiguousarray(axis.T)
        texture = cv2.remap(smooth, map_x, map_y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT_101)
        weight = (1 / (1 + distance) ** 3)[..., None]
        total += texture * weight
        total_weight += weight
        nearest_edge = np.minimum(nearest_edge, distance)
    texture_share = (1 - nearest_edge / (reach.astype(np.float32) * size)).clip(0, 1)[..., None]
    return smooth + (total / total_weight - smooth) * texture_share


def _fill_by_pyramid(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`picture` (P, P, 3) as float32 where known, elsewhere the mean of ever wider surroundings."""
    levels = [(picture.astype(np.float32) * known[..., None], known.astype(np.float32))]
    while min(levels[-1][1].shape) > 2:
        colour, weight = levels[-1]
        size = ((colour.shape[1] + 1) // 2, (colour.shape[0] + 1) // 2)
        levels.append(tuple(cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (colour, weight)))
    colour, weight = levels[-1]
    everywhere = colour.sum(axis=(0, 1)) / max(float(weight.sum()), 1e-6)  # a corner in which nothing is known
    filled = np.where(weight[..., None] > 1e-4, colour / np.maximum(weight, 1e-4)[..., None], everywhere)
    filled = filled.astype(np.float32)
    for colour, weight in reversed(levels[:-1]):
        filled = cv2.resize(filled, colour.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        known_colour = colour / np.maximum(weight, 1e-4)[..., None]
        filled += (known_colour - filled) * np.minimum(weight * 4, 1)[..., None]
    return np.where(known[..., None], picture, filled).astype(np.float32)
