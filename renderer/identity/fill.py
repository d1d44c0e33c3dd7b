"""Completes a texture where the photo shows nothing: from the other half of the face, then from what lies round it."""

from __future__ import annotations

import cv2
import numpy as np

UNSEEN = 0.12  # confidence below which the other half is asked
LOW_BAND = 64  # texels: coarser than this is light and complexion, finer is detail
LOW_BAND_MOVED = 0.7  # share of the two halves' difference in the low band that the mirrored detail takes over


def push_pull(colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(h, w, C) float32: `colour` where `weight` (h, w) is 1, and towards 0 a smooth continuation of what surrounds it.

    Gortler et al., The Lumigraph (1996), section 3.3: a pyramid of weighted means downwards, blended in upwards.
    """
    levels: list[tuple[np.ndarray, np.ndarray]] = [(colour * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2:
        held, trust = levels[-1]
        half = (max(1, -(-trust.shape[1] // 2)), max(1, -(-trust.shape[0] // 2)))
        smaller = np.asarray(cv2.resize(held, half, interpolation=cv2.INTER_AREA)).reshape(half[1], half[0], -1)
        sparse = np.asarray(cv2.resize(trust, half, interpolation=cv2.INTER_AREA))
        gain = np.minimum(4.0 * sparse, 1.0) / np.maximum(sparse, 1e-8)  # four texels that are a quarter sure are sure
        levels.append((smaller * gain[..., None], sparse * gain))
    held, trust = levels.pop()
    total = max(float(trust.sum()), 1e-8)
    result = np.broadcast_to(held.sum(axis=(0, 1)) / total, held.shape).astype(np.float32)
    while levels:
        held, trust = levels.pop()
        coarse = np.ascontiguousarray(result)
        finer = np.asarray(cv2.resize(coarse, trust.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
        result = held + finer.reshape(*trust.shape, -1) * (1 - trust[..., None])
    return result


def mirrored(colour: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour (h, w, 3) linear and confidence (h, w), completed from their mirror images where that is better seen.

    Detail is the other half's; of the difference between the halves' low bands, LOW_BAND_MOVED is kept, so that a
    remaining light from one side does not end in a line.
    """
    other, other_confidence = colour[:, ::-1], confidence[:, ::-1]
    share = np.clip(1 - confidence / UNSEEN, 0, 1) * np.clip(other_confidence / UNSEEN, 0, 1)
    if not share.any():
        return colour, confidence
    moved = low_band_moved(colour, confidence, other, other_confidence)
    known = share * other_confidence
    total = confidence + known
    mixed = (colour * confidence[..., None] + moved * known[..., None]) / np.maximum(total, 1e-6)[..., None]
    return np.where(share[..., None] > 0, mixed, colour).astype(np.float32), np.maximum(confidence, known)


def low_band_moved(
    colour: np.ndarray, confidence: np.ndarray, other: np.ndarray, other_confidence: np.ndarray
) -> np.ndarray:
    """`other` (h, w, 3) with LOW_BAND_MOVED of the way to the low band of `colour`, both as far as they are known."""
    own_low, other_low = _low_band(colour, confidence), _low_band(other, other_confidence)
    return other * (own_low / np.maximum(other_low, 1e-3)).clip(0.3, 3.0) ** LOW_BAND_MOVED


def _low_band(colour: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The colour's low band as far as it is known, continued smoothly beyond."""
    height, width = confidence.shape
    small = (max(2, 4 * width // LOW_BAND), max(2, 4 * height // LOW_BAND))
    held = cv2.resize(colour * confidence[..., None], small, interpolation=cv2.INTER_AREA)
    trust = cv2.resize(confidence, small, interpolation=cv2.INTER_AREA)
    held, trust = cv2.GaussianBlur(held, (0, 0), 2.0), cv2.GaussianBlur(trust, (0, 0), 2.0)
    known = held / np.maximum(trust, 1e-6)[..., None]
    filled = push_pull(known.astype(np.float32), np.minimum(20 * trust, 1.0))
    return cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
