"""What lies beyond the edges of a photo: a soft continuation, out of focus, without streaks."""

import cv2
import numpy as np

EDGE_DEPTH = 0.012  # of the window: the photo's outermost rows and columns, whose mean is continued
SPREAD = 0.9  # blur of the continuation, in pixels per pixel of distance from the edge
LEAST_SPREAD, MOST_SPREAD = 0.012, 0.09  # of the window


def padded_window(picture: np.ndarray, offset: np.ndarray, total: int) -> np.ndarray:
    """The window (total, total, 3) uint8 of a picture (h, w, 3) uint8, whose corner x, y `offset` may lie outside.

    What is inside is copied to the bit. Outside, the mean of the outermost rows or columns is continued and spreads
    along the edge with the distance from it: repeated alone, every one of their pixels would draw a streak. The
    photo's own grain is laid over it.
    """
    height, width = picture.shape[:2]
    before = np.maximum(-offset, 0)
    inside = np.clip(np.array([width, height]) - offset, 0, total)  # right and lower end of the photo in the window
    low = np.maximum(offset, 0)
    known = picture[low[1] : low[1] + inside[1] - before[1], low[0] : low[0] + inside[0] - before[0]]
    missing = before[0], total - inside[0], before[1], total - inside[1]  # left, right, above, below
    if not any(missing):
        return np.ascontiguousarray(known)
    sides = known.astype(np.float32)
    sides = np.concatenate([_continued(sides, missing[0], total)[:, ::-1], sides], axis=1)
    sides = np.concatenate([sides, _continued(sides[:, ::-1], missing[1], total)], axis=1)
    upright = sides.transpose(1, 0, 2)
    upright = np.concatenate([_continued(upright, missing[2], total)[:, ::-1], upright], axis=1)
    upright = np.concatenate([upright, _continued(upright[:, ::-1], missing[3], total)], axis=1)
    result = upright.transpose(1, 0, 2) + _grain(known, total)
    result = result.round().clip(0, 255).astype(np.uint8)
    result[before[1] : inside[1], before[0] : inside[0]] = known
    return result


def _continued(picture: np.ndarray, count: int, total: int) -> np.ndarray:
    """`count` columns (h, count, 3) float32 that continue the left edge of a picture (h, w, 3), nearest first."""
    height = picture.shape[0]
    if count == 0:
        return np.empty((height, 0, 3), np.float32)
    depth = max(1, min(round(EDGE_DEPTH * total), picture.shape[1]))
    edge = np.ascontiguousarray(picture[:, :depth].mean(axis=1, keepdims=True))
    sigmas = np.geomspace(LEAST_SPREAD * total, MOST_SPREAD * total, 6)
    blurred = [edge, *(cv2.GaussianBlur(edge, (0, 0), s, borderType=cv2.BORDER_REPLICATE) for s in sigmas)]
    levels = np.concatenate(blurred, axis=1)  # (h, 7, 3), sharp to soft
    wanted = SPREAD * np.arange(1, count + 1)
    level = np.interp(wanted, np.concatenate([[0.0], sigmas]), np.arange(len(levels[0])))
    lower = np.minimum(level.astype(int), len(sigmas) - 1)
    weight = (level - lower)[None, :, None].astype(np.float32)
    return levels[:, lower] * (1 - weight) + levels[:, lower + 1] * weight


def _grain(known: np.ndarray, total: int) -> np.ndarray:
    """(total, total, 1) float32 noise of the strength that the photo's calm parts have, the same for the same photo."""
    grey = cv2.cvtColor(known, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.0))
    strength = min(float(np.percentile(detail, 30)) * 1.5, 3.0)
    noise = np.random.default_rng(0).normal(0, 1, (total, total, 1)).astype(np.float32)
    return strength * noise
