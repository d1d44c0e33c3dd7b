"""Several photos of one head become one texture: where they agree their mean, elsewhere who sees it best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from renderer.identity.fill import UNSEEN, low_band_moved

BOTH_SEEN = 0.25  # confidence of either photo from which texels are compared
FEW_TEXELS = 4000  # compared texels below which nothing is known of a photo's exposure
EXPOSURES = (0.6, 1.6)  # of another photo's colours over the first's, at its median; beyond, it is another scene
FLOW_WINDOW = slice(128, 640)  # texels of the tile, either way: the face, where blurred detail would be seen
LARGEST_SHIFT = 6.0  # texels by which a photo is moved to lie on the first; more is no error of the landmarks
SHIFT_SMOOTHING = 8.0  # texels
FEATURES = 160.0  # texels from the tile's middle within which eyes and mouth lie
EDGE = 15  # texels over which a photo fades out towards what it does not show
AGREEMENT_BLUR = 4.0  # texels: finer differences are noise
COARSER = 4  # times, than the tile, at which photos are compared
DISAGREEMENT = (0.02, 0.07)  # of square-root colours: to here the photos agree, from there they do not
LEAST_AGREEMENT = 0.35  # of the compared texels; below, the photo shows another person, or the same in another light


@dataclass(frozen=True)
class SeenTile:
    """What one photo shows of a tile (h, w)."""

    colour: np.ndarray  # (h, w, 3) float32, linear light
    trust: np.ndarray  # (h, w) float32, 0..1
    hair: np.ndarray  # (h, w) float32, 0..1: share of hair


def merged(first: SeenTile, others: Iterable[SeenTile]) -> tuple[SeenTile, int]:
    """`first` with what the others add, and how many of them did.

    Each is brought to the first's exposure and moved to lie on it (optical flow of Kroeger et al. 2016), so that the
    mean keeps its detail. Light and complexion remain the first's, since each photo has another light: the others take
    over its low band, and count as far as their detail agrees where the first shows the head itself.
    """
    total, weight, hair = first.colour * first.trust[..., None], first.trust.copy(), first.hair * first.trust
    known = np.clip(first.trust / UNSEEN, 0, 1)
    outer, used = _outer(first.trust.shape), 0
    for other in others:
        both = (first.trust > BOTH_SEEN) & (other.trust > BOTH_SEEN)
        if both.sum() < FEW_TEXELS:
            continue
        ratio = first.colour[both].sum(axis=0) / np.maximum(other.colour[both].sum(axis=0), 1e-6)
        if not (EXPOSURES[0] < ratio.min() and ratio.max() < EXPOSURES[1]):
            continue
        other = _moved_onto(first, SeenTile(other.colour * ratio.astype(np.float32), other.trust, other.hair), both)
        agreement = _agreement(first.colour, other.colour, both)
        if agreement[both].mean() < LEAST_AGREEMENT:
            continue
        colour = low_band_moved(first.colour, first.trust, other.colour, other.trust)
        share = known * np.minimum(agreement, _agreement(first.colour, colour, both)) + (1 - known) * outer
        share *= other.trust
        total += colour * share[..., None]
        hair += other.hair * share
        weight += share
        used += 1
    mean = np.where(weight[..., None] > 0, total / np.maximum(weight, 1e-6)[..., None], first.colour)
    hair = np.where(weight > 0, hair / np.maximum(weight, 1e-6), first.hair)
    return SeenTile(mean.astype(np.float32), np.minimum(weight, 1.0), hair.astype(np.float32)), used


def _outer(shape: tuple[int, int]) -> np.ndarray:
    """(h, w) bool: texels outside of the features, between whose lids and lips others may show what is not skin."""
    row, column = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(row - shape[0] / 2, column - shape[1] / 2) > FEATURES


def _moved_onto(first: SeenTile, other: SeenTile, both: np.ndarray) -> SeenTile:
    """`other` moved by what the landmarks left: some texels, smoothly."""
    window = (FLOW_WINDOW, FLOW_WINDOW)
    pictures = []
    for tile in (first, other):
        grey = np.sqrt(np.clip(tile.colour[window].mean(axis=2), 0, 1))
        pictures.append((255 * np.where(both[window], grey, 0)).astype(np.uint8))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*pictures, None)
    inner = cv2.erode(both[window].astype(np.uint8), np.ones((9, 9), np.uint8)).astype(np.float32)
    inner *= np.linalg.norm(flow, axis=2) < LARGEST_SHIFT
    sure = np.maximum(cv2.GaussianBlur(inner, (0, 0), SHIFT_SMOOTHING), 0.05)
    shift = cv2.GaussianBlur(flow * inner[..., None], (0, 0), SHIFT_SMOOTHING) / sure[..., None]
    height, width = both.shape
    column, row = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    column[window] += shift[..., 0]
    row[window] += shift[..., 1]

    def move(image: np.ndarray) -> np.ndarray:
        return cv2.remap(image, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    # what lies beside it is not seen, and has no colour that could be mixed in
    trust = move(other.trust)
    held = [move(image) for image in (other.colour * other.trust[..., None], other.hair * other.trust)]
    colour, hair = held[0] / np.maximum(trust, 1e-6)[..., None], held[1] / np.maximum(trust, 1e-6)
    edge = cv2.erode((trust > 0).astype(np.float32), np.ones((EDGE, EDGE), np.uint8))
    return SeenTile(colour, trust * cv2.blur(edge, (EDGE, EDGE)), hair)


def _agreement(first: np.ndarray, other: np.ndarray, both: np.ndarray) -> np.ndarray:
    """(h, w) 0..1: how far two colours (h, w, 3) are alike; a hand, a shadow or a highlight in one of them is not."""
    size = both.shape[1] // COARSER, both.shape[0] // COARSER
    mask = both.astype(np.float32)
    first, other = (
        np.sqrt(np.clip(cv2.resize(colour * mask[..., None], size, interpolation=cv2.INTER_AREA), 0, 1))
        for colour in (first, other)
    )
    known = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    blur = AGREEMENT_BLUR / COARSER
    weight = np.maximum(cv2.GaussianBlur(np.sqrt(known), (0, 0), blur), 1e-3)
    apart = np.abs(cv2.GaussianBlur(first - other, (0, 0), blur)).max(axis=2) / weight
    alike = np.clip((DISAGREEMENT[1] - apart) / (DISAGREEMENT[1] - DISAGREEMENT[0]), 0, 1).astype(np.float32)
    return cv2.resize(alike, both.shape[::-1], interpolation=cv2.INTER_LINEAR)
