"""Person and background: a matte from colours and the face's place, and the background without the person."""

import cv2
import numpy as np

from .topology import CHIN, FOREHEAD, OVAL

_WORK = 320  # pixels across at which the matte is found; finer gains nothing and costs seconds


STRAND = (16.0, 56.0)  # levels of difference to the background: none of it is hair, all of it is
OBJECT = 28  # levels of difference to the filled-in background that make an object
UNLIKE = 60  # levels by which it differs from the person beside it
EDGE_BAND, MISSED_EDGE = 0.08, 0.065  # of the padded picture: how far out edges are looked for, and may reach
THICKEST_HAIR = 0.018  # of the padded picture: strands outside the matte are thinner
CALM = 60.0  # square levels of detail in a background that still lets strands be told from it
HAIR_X, HAIR_Y = 0.72, 0.84  # half axes in face heights of where hair may be; smaller ones lost curls


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


def person_matte(picture: np.ndarray, landmarks: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(P, P) float32, 1 on the person and 0 on the background. Colours decide (GrabCut), the face says where to look.

    picture (P, P, 3) uint8 RGB, landmarks (478, 3) in its pixels, inside (P, P) bool marks true photo.
    """
    scale = _WORK / picture.shape[0]
    small = cv2.resize(picture, (_WORK, _WORK), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    centre, right, down, height = head_axes(landmarks * scale)
    rows, columns = np.mgrid[:_WORK, :_WORK].astype(np.float32)
    u = ((columns - centre[0]) * right[0] + (rows - centre[1]) * right[1]) / height
    v = ((columns - centre[0]) * down[0] + (rows - centre[1]) * down[1]) / height

    marks = np.full((_WORK, _WORK), cv2.GC_BGD, np.uint8)
    may_be = ((u / 0.84) ** 2 + ((v + 0.12) / 0.95) ** 2 < 1) | ((v > 0.45) & (np.abs(u) < 0.35 + (v - 0.4) * 2.2))
    marks[may_be] = cv2.GC_PR_BGD
    likely = ((u / HAIR_X) ** 2 + ((v + 0.12) / HAIR_Y) ** 2 < 1) | (
        (v > 0.3) & (np.abs(u) < 0.25 + (v - 0.65).clip(0) * 1.8)
    )
    marks[likely] = cv2.GC_PR_FGD
    face = np.zeros_like(marks)
    cv2.fillConvexPoly(face, cv2.convexHull(np.round(landmarks[OVAL, :2] * scale).astype(np.int32)), 1)
    certain = (face > 0) | ((v > 0.35) & (v < 1.3) & (np.abs(u) < 0.13))
    certain |= (u / 0.40) ** 2 + ((v + 0.12) / 0.56) ** 2 < 1  # the skull above the forehead, whatever its colour
    marks[certain] = cv2.GC_FGD
    true_photo = cv2.resize(inside.astype(np.uint8), (_WORK, _WORK), interpolation=cv2.INTER_NEAREST) > 0
    unsure = marks.copy()
    cv2.setRNGSeed(0)  # GrabCut starts from k-means: the same photo must give the same matte
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    mode, colours = cv2.GC_INIT_WITH_MASK, np.ascontiguousarray(small[..., ::-1])
    cv2.grabCut(colours, marks, (0, 0, 1, 1), background, foreground, 4, mode)
    person = ((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.uint8)
    if person[likely & true_photo].mean() < 0.5:  # the colours said nothing: keep the shape a person has
        person = ((unsure == cv2.GC_FGD) | (unsure == cv2.GC_PR_FGD)).astype(np.uint8)
    person = _one_piece(person, centre, max(3, round(0.03 * height)))
    soft = cv2.GaussianBlur(person.astype(np.float32), (0, 0), 0.012 * height)
    soft = ((soft - 0.25) / 0.6).clip(0, 1)  # the soft edge lies a little outside, where hair thins out
    return cv2.resize(soft, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _one_piece(person: np.ndarray, centre: np.ndarray, radius: int) -> np.ndarray:
    """The piece that holds the face, closed and without holes."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    person = cv2.morphologyEx(person, cv2.MORPH_CLOSE, disc)
    _, pieces = cv2.connectedComponents(person)
    person = (pieces == pieces[int(centre[1]), int(centre[0])]).astype(np.uint8)
    _, gaps, areas, _ = cv2.connectedComponentsWithStats(1 - person)
    for label in range(1, len(areas)):
        touches = areas[label][0] == 0 or areas[label][1] == 0
        touches |= areas[label][0] + areas[label][2] == person.shape[1]
        touches |= areas[label][1] + areas[label][3] == person.shape[0]
        if not touches:
            person[gaps == label] = 1
    return person


def clean_plate(picture: np.ndarray, matte: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The background (P, P, 3) uint8 with the person filled in.

    Near the person's edge, which is all that a moving head uncovers, the background is mirrored across the edge so
    that it keeps its texture; deeper inside it is a smooth mix of the surroundings (push and pull over a pyramid).
    """
    size = picture.shape[0]
    # Round the hair single strands are left outside the matte; at the shoulders a neat edge matters more.
    wide, narrow = (max(3, round(share * size)) | 1 for share in (0.05, 0.006))
    person = (matte > 0.02).astype(np.uint8)
    round_hair = cv2.dilate(person, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide)))
    known = cv2.dilate(person, np.ones((narrow, narrow), np.uint8)) == 0
    centre, _, down, height = head_axes(landmarks)
    rows, columns = np.mgrid[:size, :size]
    above_jaw = (columns - centre[0]) * down[0] + (rows - centre[1]) * down[1] < 0.2 * height
    known &= (round_hair == 0) | ~above_jaw
    if not known.any():
        return picture.copy()
    smooth = _pulled(picture, known)
    distance, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    where = np.zeros((labels.max() + 1, 2), dtype=np.int32)  # label of the nearest known pixel: its x and y
    rows, columns = np.nonzero(known)
    where[labels[rows, columns]] = np.stack([columns, rows], axis=1)
    nearest = where[labels].astype(np.float32)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float32)
    mirror = 2 * nearest - grid
    for axis in range(2):  # neighbouring pixels with different nearest ones would break the texture up
        mirror[..., axis] = cv2.GaussianBlur(mirror[..., axis], (0, 0), 0.012 * size)
    texture = cv2.remap(smooth, mirror[..., 0], mirror[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT_101)
    trust = (1 - distance / (0.16 * size)).clip(0, 1)[..., None]
    filled = smooth + (texture - smooth) * trust
    return np.where(known[..., None], picture, filled.round().clip(0, 255)).astype(np.uint8)


def with_missed_edges(matte: np.ndarray, picture: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The matte (P, P), with what it left out along its own edge: a lit shoulder, a tuft of hair.

    Taken for background such a piece would stay in the air when the person moves. It stands out from a calm background
    (full of detail, every piece of it would stand out) and ends near the person, unlike a ring or a chair.
    inside (P, P) bool marks true photo.
    """
    size = len(matte)
    person = (matte > 0.5).astype(np.uint8)
    away = cv2.distanceTransform(1 - person, cv2.DIST_L2, 5)
    background = away > EDGE_BAND * size
    if not (background & inside).any():
        return matte
    differs = (np.abs(picture - _pulled(picture, background & inside)).max(axis=2) > OBJECT) & ~background & inside
    across = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, round(THICKEST_HAIR * size)) | 1,) * 2)
    thick = cv2.morphologyEx(np.maximum(differs.astype(np.uint8), person), cv2.MORPH_OPEN, across)
    count, pieces = cv2.connectedComponents(thick * (1 - person))
    flat, calm = pieces.reshape(-1), _calm(picture, background & inside).reshape(-1)
    area = np.maximum(np.bincount(flat, minlength=count), 1)
    reach, quiet = np.zeros(count), np.bincount(flat, calm, minlength=count) / area
    np.maximum.at(reach, flat, away.reshape(-1))
    missed = (reach < MISSED_EDGE * size) & (quiet > 0.5)
    missed[0] = False  # everything else
    if not missed.any():
        return matte
    whole = cv2.GaussianBlur(np.maximum(person, missed[pieces]).astype(np.float32), (0, 0), 0.004 * size)
    return np.maximum(matte, whole)


def _calm(picture: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(P, P) float32, 1 where the background about is plain and 0 where it is full of detail."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    known, wide = background.astype(np.float32), 0.04 * len(grey)
    detail = (grey - cv2.GaussianBlur(grey, (0, 0), 0.02 * len(grey))) ** 2 * known
    weight = cv2.GaussianBlur(known, (0, 0), wide)
    return np.exp(-cv2.GaussianBlur(detail, (0, 0), wide) / np.maximum(weight, 1e-3) / CALM)


def with_objects(plate: np.ndarray, picture: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The filled-in background (P, P, 3), with what stands close to the person in the photo but is too thick for hair.

    A helmet's ring or a chair's back must not break off where the filling begins.
    """
    size = len(matte)
    beside = cv2.dilate((matte > 0.02).astype(np.uint8), np.ones((max(3, round(0.006 * size)) | 1,) * 2, np.uint8)) == 0
    differs = (np.abs(picture.astype(np.int16) - plate).max(axis=2) > OBJECT) & beside
    hair = _pulled(picture, matte > 0.9)  # the colours of the person's own edge, continued outward
    differs &= np.abs(picture - hair).max(axis=2) > UNLIKE
    across = max(3, round(THICKEST_HAIR * size)) | 1
    thick = cv2.morphologyEx(
        differs.astype(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    )
    whole = cv2.dilate(thick, np.ones((3, 3), np.uint8)) * beside
    share = cv2.GaussianBlur(whole.astype(np.float32), (0, 0), 0.0025 * size)[..., None]
    return (plate + (picture.astype(np.float32) - plate) * share).round().astype(np.uint8)


def with_strands(matte: np.ndarray, picture: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """The matte (P, P), with the single strands round the hair that differ from the filled-in background.

    They move with the head; left behind they would vanish as soon as it stirs. Before a background full of detail
    nothing is added: there the difference is the filling's own error.
    """
    grey = cv2.cvtColor(plate, cv2.COLOR_RGB2GRAY).astype(np.float32)
    wide = 0.02 * len(matte)
    detail = cv2.GaussianBlur((grey - cv2.GaussianBlur(grey, (0, 0), wide)) ** 2, (0, 0), wide)
    difference = np.abs(picture.astype(np.int16) - plate).max(axis=2).astype(np.float32)
    strands = ((difference - STRAND[0]) / (STRAND[1] - STRAND[0])).clip(0, 1)
    strands = cv2.GaussianBlur(strands, (0, 0), 0.0025 * len(matte)) * np.exp(-detail / CALM)
    radius = max(3, round(0.05 * len(matte))) | 1
    near = cv2.dilate((matte > 0.02).astype(np.float32), np.ones((radius, radius), np.uint8))
    return np.maximum(matte, strands * cv2.GaussianBlur(near, (0, 0), 0.006 * len(matte)))


def _pulled(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
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
        own = colour / np.maximum(weight, 1e-4)[..., None]
        filled += (own - filled) * np.minimum(weight * 4, 1)[..., None]
    return np.where(known[..., None], picture, filled).astype(np.float32)
