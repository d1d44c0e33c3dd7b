"""The texture of a head: the photo's colours in linear light, where they are seen, unlit and completed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from renderer.face_model import FaceModel
from renderer.identity.chart import (
    ATLAS_HEIGHT,
    ATLAS_WIDTH,
    BUST,
    HAIR,
    HEAD,
    OUTER_PARTS,
    TexelMap,
    bust_triangles,
    head_triangles,
    part_triangles,
    texel_map,
)
from renderer.identity.delight import fitted_shade, light_gain, unevenness
from renderer.identity.fill import mirrored, push_pull
from renderer.identity.merge import SeenTile, merged
from renderer.identity.photo import MATTE_EROSION, PhotoCanvas, luminance, sample
from renderer.identity.regions import Regions
from renderer.identity.visibility import PosedHead, facing_confidence

OUTLINE_WIDTH = 37  # pixels across: nearer to the outline than half of it, a strange colour is the background's
SURE_PERSON = (0.6, 0.95)  # of the eroded matte: below nothing, above everything is the person's colour
LID_RIM = (0.004, 0.012)  # model units from the lash line: nearer, a pixel's error would paint lashes on the lid
SQUARE_ON = 0.3  # confidence of a facing from which strange colours are believed
LEAST_TRUST = 0.004  # confidence that counts as none: alone in its place, it would colour all that is unseen around
UNSEEN_EAR = 0.85  # brightness of an ear that is not seen, over the skin's
EAR_WIDTH, EAR_HEIGHTS = 0.455, (-0.30, 0.28)  # object space: the mean head's ears stand out beyond
UNSEEN = 0.12  # confidence from which on a texel's own colour counts fully
SCALP_EDGE = 0.12  # model units about the hairline over which what is unseen goes from skin to hair
SURE_HAIR = 0.75  # share of hair from which a colour may be continued as hair
UNSEEN_HAIR = 0.8  # brightness of hair that is not seen: without strands, it would look lighter
LEAST_HAIR = 0.01  # share of the seen texels; with less, the head is shaven


@dataclass(frozen=True)
class Sight:
    """The head as it stands in one photo, and what the photo shows of it."""

    canvas: PhotoCanvas
    head: PosedHead
    regions: Regions


@dataclass(frozen=True)
class Painting:
    """Linear light 0..1 of the head's and the bust's tile, and what was learnt on the way."""

    head: np.ndarray  # (768, 768, 3) float32
    bust: np.ndarray  # (768, 768, 3) float32
    skin: np.ndarray  # (3,) linear RGB of the face's plain skin, unlit
    unevenness: float  # of the photo's light over the face, see delight
    photos: int  # that the head's tile was read from


def mask(face: FaceModel, name: str) -> np.ndarray:
    """(V,) float32: one of the face model's vertex masks by name."""
    assert face.vertex_masks is not None, "texture_coordinates has refused models without parts"
    return face.vertex_masks[:, face.vertex_mask_names.index(name)]


def on_head(face: FaceModel) -> np.ndarray:
    """(V,) bool: what turns with the head."""
    assert face.head_weight is not None, "texture_coordinates has refused models without parts"
    return face.head_weight > 0.9


def region_fields(face: FaceModel) -> np.ndarray:
    """(V, 3) signed distances for find_regions: scalp, face, what clothes cover."""
    scalp = mask(face, "hair")
    face_field = np.clip(np.minimum(-scalp, 0.45 - face.mean_shape[:, 1]), -1, 1)
    ears = ear_vertices(face)  # place does not tell whether hair hides them
    return np.stack([np.where(ears, 0, scalp), np.where(ears, 0, face_field), mask(face, "cloth")], axis=1)


def ear_vertices(face: FaceModel) -> np.ndarray:
    """(V,) bool: skin that belongs to the ears."""
    x, y, _ = face.mean_shape.T
    skin = np.zeros(len(x), bool)
    skin[face.triangles[part_triangles(face, OUTER_PARTS)]] = True
    return skin & (mask(face, "hair") < 0) & (np.abs(x) > EAR_WIDTH) & (y > EAR_HEIGHTS[0]) & (y < EAR_HEIGHTS[1])


def paint(
    face: FaceModel,
    sight: Sight,
    further: Iterable[Sight],
    uv: np.ndarray,
    fills: np.ndarray,
    hidden: dict[str, bool],
) -> Painting:
    """Both tiles of a photo, the head's completed from `further` ones, which are looked at one after the other.

    `uv` and `fills` are `texture_coordinates(face)`; hidden says which ears hair covers, see hidden_ears.
    """
    head_map = texel_map(face, uv, fills & head_triangles(face), HEAD)
    bust_map = texel_map(face, uv, fills & bust_triangles(face), BUST)
    fixed = head_map.interpolate(np.column_stack([ear_vertices(face), mask(face, "hair")]))
    ears, scalp = head_map.image(fixed[:, 0]), head_map.image(fixed[:, 1], empty=-1.0)
    first = _Reading(face, sight)
    seen, used = merged(first.tile(head_map, ears), (_Reading(face, one).tile(head_map, ears) for one in further))
    skin, hair = first.skin, seen.hair
    colour, trust = mirrored(seen.colour, seen.trust)
    # an ear that is nowhere seen is skin, or hair where that hides it, whatever lies round it
    hair_trust = trust * np.clip((hair - SURE_HAIR) / (1 - SURE_HAIR), 0, 1) * np.clip(scalp / SCALP_EDGE, 0, 1)
    ear_colour = _ear_colour(UNSEEN_EAR * skin, colour, hair_trust, hidden)
    unseen_ear = ears * np.clip(1 - trust / UNSEEN, 0, 1)
    total = (trust + unseen_ear)[..., None]
    known = (colour * trust[..., None] + ear_colour * unseen_ear[..., None]) / np.maximum(total, 1e-6)
    colour = np.where(total > 0, known, colour).astype(np.float32)
    trust = np.maximum(trust, unseen_ear)
    painted_head = _completed(colour, np.clip(trust / UNSEEN, 0, 1), hair, scalp, np.clip(hair_trust / UNSEEN, 0, 1))

    bust = first.bust(bust_map)
    return Painting(painted_head, push_pull(bust.colour, bust.trust), skin, first.unevenness, 1 + used)


class _Reading:
    """A photo read through the head in it: its light is found once, then tiles are sampled."""

    def __init__(self, face: FaceModel, sight: Sight):
        self.sight = sight
        self.sure = _surely_person(sight.canvas, sight.regions)
        away_from_lids = np.clip((LID_RIM[1] - mask(face, "lash")) / (LID_RIM[1] - LID_RIM[0]), 0, 1)
        self.confidence = facing_confidence(sight.head.facing) * away_from_lids
        coefficients, mean, self.skin, self.unevenness = _light(face, sight, self.sure, self.confidence)
        self.gain = light_gain(coefficients, sight.head.normals, mean)

    def tile(self, texels: TexelMap, ears: np.ndarray) -> SeenTile:
        """The head's tile; an ear (h, w) under hair shows nothing of itself."""
        seen = self._sampled(texels, self.confidence)
        return replace(seen, trust=seen.trust * (1 - ears * seen.hair))

    def bust(self, texels: TexelMap) -> SeenTile:
        """The bust's tile, which is believed nearly up to its outline."""
        return self._sampled(texels, np.clip((self.sight.head.facing - 0.05) / 0.3, 0, 1))

    def _sampled(self, texels: TexelMap, confidence: np.ndarray) -> SeenTile:
        canvas, head, regions = self.sight.canvas, self.sight.head, self.sight.regions
        values = texels.interpolate(np.column_stack([head.pixels, head.depth, confidence, self.gain]))
        pixels = np.ascontiguousarray(values[:, :2])
        colour = canvas.sample(pixels)
        colour /= (1 + (values[:, 4] - 1) * sample(regions.skin, pixels))[:, None]
        trust = values[:, 3] * head.visible(pixels, values[:, 2]) * sample(self.sure, pixels)
        # at a grazing angle a pixel's error leads into the background, also beside the neck where that is enclosed
        trust *= np.maximum(np.minimum(values[:, 3] / SQUARE_ON, 1), sample(regions.familiar, pixels))
        trust = np.maximum(trust - LEAST_TRUST, 0)
        return SeenTile(texels.image(colour), texels.image(trust), texels.image(sample(regions.hair, pixels)))


def _surely_person(canvas: PhotoCanvas, regions: Regions) -> np.ndarray:
    """(P, P) float32, 0..1: what may be sampled. Near the outline only colours that the person also has elsewhere."""
    sure = cv2.erode(canvas.person, np.ones((MATTE_EROSION, MATTE_EROSION), np.uint8))
    sure = np.clip((sure - SURE_PERSON[0]) / (SURE_PERSON[1] - SURE_PERSON[0]), 0, 1)
    inner = cv2.erode(canvas.person, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (OUTLINE_WIDTH, OUTLINE_WIDTH)))
    inner = cv2.blur(inner, (OUTLINE_WIDTH // 2, OUTLINE_WIDTH // 2))
    return sure * np.maximum(inner, regions.familiar)


def encoded(painting: Painting, hair: np.ndarray | None) -> np.ndarray:
    """(H, W, 3) uint8 atlas: the square root of linear light.

    hair: linear colours of the HAIR tile, or None.
    """
    atlas = np.zeros((ATLAS_HEIGHT, ATLAS_WIDTH, 3), np.uint8)
    for tile, colour in ((HEAD, painting.head), (BUST, painting.bust)):
        tile.view(atlas)[:] = _square_root(colour)
    if hair is not None:
        HAIR.view(atlas)[:] = _square_root(hair)
    return atlas


def _square_root(linear: np.ndarray) -> np.ndarray:
    return (np.sqrt(np.clip(linear, 0, 1)) * 255 + 0.5).astype(np.uint8)


def _light(face: FaceModel, sight: Sight, sure: np.ndarray, confidence: np.ndarray):
    """Shade coefficients, its mean, the skin's colour (3,) without it and the shade's unevenness, from the vertices."""
    canvas, head, regions = sight.canvas, sight.head, sight.regions
    plain = (mask(face, "hair") < -0.05) & (mask(face, "lips") < -0.01) & (face.mean_shape[:, 1] < 0.45)
    skin = np.zeros(len(plain), bool)
    skin[face.triangles[part_triangles(face, ("skin",))]] = True
    ids = np.flatnonzero(plain & skin & (confidence > 0.05))
    pixels = head.pixels[ids]
    visible = head.visible(pixels, head.depth[ids])
    weights = confidence[ids] * visible * sample(sure, pixels) * sample(regions.skin, pixels)
    colour = canvas.sample(pixels)
    light, normals = luminance(colour), head.normals[ids]
    coefficients = fitted_shade(light, normals, weights)
    mean = float(np.average(light, weights=weights + 1e-9))
    unlit = colour / light_gain(coefficients, normals, mean)[:, None]
    order = np.argsort(luminance(unlit))
    share = np.cumsum(weights[order]) / max(weights.sum(), 1e-9)
    middle = order[(share > 0.35) & (share < 0.8)]
    return coefficients, mean, unlit[middle].mean(axis=0), unevenness(coefficients, normals, weights + 1e-9, mean)


def _ear_colour(skin: np.ndarray, colour: np.ndarray, hair_trust: np.ndarray, hidden: dict[str, bool]) -> np.ndarray:
    """(1, w, 3): what ears are painted with that are not seen; the subject's right is on the tile's left."""
    width = colour.shape[1]
    result = np.broadcast_to(skin, (1, width, 3)).astype(np.float32).copy()
    total = float(hair_trust.sum())
    if total > 0:
        hair = UNSEEN_HAIR * (colour * hair_trust[..., None]).sum(axis=(0, 1)) / total
        for side, half in (("Right", slice(0, width // 2)), ("Left", slice(width // 2, width))):
            if hidden[side]:
                result[:, half] = hair
    return result


def _completed(
    colour: np.ndarray, trust: np.ndarray, hair: np.ndarray, scalp: np.ndarray, hair_trust: np.ndarray
) -> np.ndarray:
    """Unseen scalp is continued from hair and unseen skin from skin; where no hair was seen, both from everything.

    trust, hair, hair_trust (h, w): 0..1, the last where both are sure; scalp (h, w): signed distance to the hairline.
    """
    on_scalp = np.clip(scalp / SCALP_EDGE + 0.5, 0, 1)[..., None]
    skin = push_pull(colour, trust * (1 - hair * on_scalp[..., 0]))
    if hair_trust.sum() < LEAST_HAIR * trust.sum():
        return push_pull(colour, trust)
    rest = skin + on_scalp * (UNSEEN_HAIR * push_pull(colour, hair_trust) - skin)
    return trust[..., None] * colour + (1 - trust[..., None]) * rest
