"""Which pixels of the person are skin, hair and clothes: colours learnt where each surely is, joined with place."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from renderer.identity.photo import PhotoCanvas
from renderer.identity.visibility import DEPTH_STEP, PosedHead, seen_values
from renderer.portrait.matte import guided_filter

CLUSTERS = 3  # colours a region may have: lit, shaded, and strands or a pattern
SEEDS = 1500  # pixels a region's colours are learnt from
COLOUR_NOISE = 6.0  # Lab units by which a region's own colours scatter
PLACE_WEIGHT = 2.0  # natural logarithm of the odds that place alone can give
UNFAMILIAR = (-3.0, -1.2)  # log likelihoods of a colour that is not, and surely is, one of the person's
INNER = 13  # pixels across, at half the canvas's resolution: a ring of background in the matte is narrower
EDGE_RADIUS = 0.03  # of the face's height: the window in which edges of regions follow those of the picture
FOREIGN = -2.0  # log likelihood below which a colour is not a region's
LOWER_FACE = [205, 425, 214, 434, 172, 397, 148, 377]  # MediaPipe's landmarks: cheeks beside the nose, jaw, chin


@dataclass(frozen=True)
class Regions:
    """Shares 0..1 of a canvas (P, P) float32; they add up to the person."""

    hair: np.ndarray
    skin: np.ndarray
    cloth: np.ndarray
    familiar: np.ndarray  # 0..1: whether the colour there is one of the person's at all
    foreign: float  # 0..1, share of the face under the nose whose colour is neither skin's nor hair's: a mask, a hand's


def find_regions(canvas: PhotoCanvas, head: PosedHead, triangles: np.ndarray, fields: np.ndarray) -> Regions:
    """Regions of the person in the canvas.

    fields (V, 3): signed distances in model units, positive on the scalp, on the face, and on what clothes cover.
    """
    size = canvas.size // DEPTH_STEP
    seen = seen_values(head, triangles, fields)
    on_head = np.isfinite(seen[..., 0])
    scalp, face, body = (np.where(on_head, seen[..., k], 0.0) for k in range(3))
    person = cv2.resize(canvas.person, (size, size), interpolation=cv2.INTER_AREA)
    small = cv2.resize(canvas.picture, (size, size), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = lab * np.array([0.7, 1, 1], np.float32)  # shade changes lightness more than what the surface is

    landmarks = canvas.landmarks[:468, :2] / DEPTH_STEP
    top, bottom = landmarks[10], landmarks[152]
    down = (bottom - top) / np.linalg.norm(bottom - top)
    height = float(np.linalg.norm(bottom - top))
    row, column = np.mgrid[:size, :size].astype(np.float32)
    below = ((column - top[0]) * down[0] + (row - top[1]) * down[1]) / height  # 0 forehead, 1 chin
    sure = person > 0.9
    skin_seed = sure & on_head & (face > 0.05) & (below < 0.55)  # lower there may be a beard, or a mask
    inner = cv2.erode(person, np.ones((INNER, INNER), np.uint8)) > 0.9
    hair_seed = (sure & on_head & (scalp > 0.08) | inner & ~on_head & (below < 0.35)) & (below < 0.45)
    cloth_seed = sure & (below > 1.55)
    skin_model = _colours(lab[skin_seed])
    likelihoods = [
        _log_likelihood(lab, _colours(lab[hair_seed]), skin_model),
        _log_likelihood(lab, skin_model, None),
        _log_likelihood(lab, _colours(lab[cloth_seed]), None),
    ]
    outside = ~on_head
    far_below = np.clip((below - 1.25) / 0.3, -1, 1)
    places = [
        np.where(outside, np.clip((1.25 - below) / 0.5, -1, 1), np.clip(scalp / 0.12, -1, 1)) - (face > 0.12),
        np.where(outside, -0.6, np.clip(face / 0.12, -1, 1)),
        np.where(outside, far_below, np.clip(body / 0.12, -1, 1)),
    ]
    logits = np.stack([like + PLACE_WEIGHT * place for like, place in zip(likelihoods, places, strict=True)])
    logits = np.stack([cv2.blur(logit.astype(np.float32), (3, 3)) for logit in logits])
    shares = np.exp(logits - logits.max(axis=0))
    shares /= shares.sum(axis=0)
    radius = max(2, round(EDGE_RADIUS * height))
    filtered = [guided_filter(share.astype(np.float32), small, radius) for share in shares]
    full = [
        cv2.resize(share, (canvas.size, canvas.size), interpolation=cv2.INTER_LINEAR) * canvas.person
        for share in filtered
    ]
    best = np.clip((np.max(likelihoods, axis=0) - UNFAMILIAR[0]) / (UNFAMILIAR[1] - UNFAMILIAR[0]), 0, 1)
    familiar = cv2.resize(best.astype(np.float32), (canvas.size, canvas.size), interpolation=cv2.INTER_LINEAR)
    lower_face = np.zeros((size, size), np.uint8)
    outline = landmarks[LOWER_FACE].round().astype(np.int32)
    cv2.fillConvexPoly(lower_face, cv2.convexHull(outline), 1)
    unlike = np.maximum(likelihoods[0], likelihoods[1]) < FOREIGN
    foreign = float(unlike[lower_face > 0].mean()) if lower_face.any() else 0.0
    return Regions(full[0], full[1], full[2], familiar, foreign)


def _colours(samples: np.ndarray) -> np.ndarray:
    """(K, 3) cluster centres of colours (N, 3); none from too few."""
    if len(samples) < 30:
        return np.zeros((0, 3), np.float32)
    chosen = np.ascontiguousarray(samples[:: max(1, len(samples) // SEEDS)], np.float32)
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    label = np.zeros((len(chosen), 1), np.int32)  # kmeans fills it in
    _, _, centres = cv2.kmeans(chosen, CLUSTERS, label, criteria, 1, cv2.KMEANS_PP_CENTERS)
    share = np.bincount(label.ravel(), minlength=CLUSTERS) / len(chosen)
    return np.asarray(centres, np.float32)[share > 0.12]


def _log_likelihood(lab: np.ndarray, centres: np.ndarray, taken: np.ndarray | None) -> np.ndarray:
    """(h, w): how well a region's colours explain each pixel; centres that are as good as `taken` ones are left out."""
    if taken is not None and len(taken) and len(centres):
        apart = np.linalg.norm(centres[:, None] - taken[None], axis=-1).min(axis=1)
        centres = centres[apart > COLOUR_NOISE] if (apart > COLOUR_NOISE).any() else centres
    if not len(centres):
        return np.full(lab.shape[:2], -4.0, np.float32)
    distance = np.min([((lab - centre) ** 2).sum(axis=-1) for centre in centres], axis=0)
    return np.maximum(-0.5 * distance / (2 * COLOUR_NOISE) ** 2, -6.0)
