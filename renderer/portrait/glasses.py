"""Whether the person wears glasses, and what of the face then has to keep still so that the rims stay rigid."""

import cv2
import numpy as np

from renderer.portrait.topology import EYES, FACE_LANDMARKS

ACROSS, DOWN = 96, 64  # pixels of the upright patch that is searched, 1.5 by 1 distances of the eyes
RIM_WIDTH = 3.0  # sigma in pixels of that patch: anything that changes more slowly is no rim
BRIDGE_CONTRAST, RIM_CONTRAST = 0.085, 0.1  # of the skin's level; bare faces reach 0.067 and 0.076
KEPT_BROWS = 0.6  # of the motion of what lies about the rims, brows included, is left
KEPT_RIMS = 0.15  # of the motion of what lies under them


def wears_glasses(picture: np.ndarray, landmarks: np.ndarray) -> bool:
    """True where rims are seen: an edge across the bridge of the nose and one under each eye.

    picture (P, P, 3) uint8 RGB, landmarks (478, 3) in its pixels. Rimless glasses are not seen, and do not need it.
    """
    patch = _upright_patch(picture, landmarks)
    detail = np.abs(patch - cv2.GaussianBlur(patch, (0, 0), RIM_WIDTH)) / max(float(np.median(patch)), 1.0)
    middle, between = ACROSS // 2, ACROSS * 2 // 3  # the eyes are `between` pixels apart
    row = DOWN // 2
    bridge = _line(detail[row - 18 : row + 8, middle - 7 : middle + 8])
    under = [
        _line(detail[row + 11 : row + 30, centre - 10 : centre + 11])
        for centre in (middle - between // 2, middle + between // 2)
    ]
    return bridge > BRIDGE_CONTRAST and min(under) > RIM_CONTRAST


def kept_motion(landmarks: np.ndarray) -> np.ndarray:
    """(468,) share of an expression's motion that is left to each landmark behind glasses.

    landmarks (478, 3). Nothing is held back a distance of the eyes away from them.
    """
    points = landmarks[:FACE_LANDMARKS, :2]
    centres = np.stack([points[[eye.upper[0], eye.upper[-1]]].mean(axis=0) for eye in EYES])
    across = centres[1] - centres[0]
    between = float(np.linalg.norm(across))
    right = across / between
    down = np.array([-right[1], right[0]])
    offset = points[:, None] - np.concatenate([centres, centres.mean(axis=0, keepdims=True)])[None]
    size = np.array([[0.42, 0.36], [0.42, 0.36], [0.25, 0.2]]) * between  # both rims and the bridge
    distance = np.hypot((offset @ right) / size[:, 0], (offset @ down) / size[:, 1]).min(axis=1)
    return np.interp(distance, [0.8, 1.2, 1.9], [KEPT_RIMS, KEPT_BROWS, 1.0])


def _upright_patch(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(DOWN, ACROSS) float32 grey of the eyes, their line level in its middle."""
    right, left = (landmarks[[eye.upper[0], eye.upper[-1]], :2].mean(axis=0) for eye in EYES)
    across = (left - right) / (ACROSS * 2 / 3)
    down = np.array([-across[1], across[0]])
    origin = 0.5 * (right + left) - across * (ACROSS // 2) - down * (DOWN // 2)
    affine = np.stack([across, down, origin], axis=1)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    scale = max(float(np.linalg.norm(across)), 1e-3)
    if scale > 1:  # coarser than the picture: no aliases
        grey = cv2.GaussianBlur(grey, (0, 0), 0.5 * scale)
    return cv2.warpAffine(
        grey, affine, (ACROSS, DOWN), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )


def _line(detail: np.ndarray) -> float:
    """How strong a line crosses a window (h, w) of detail from left to right: the weakest third of its best path."""
    columns = cv2.dilate(detail, np.ones((5, 1), np.uint8))  # rims are curved
    strongest = np.sort(columns, axis=1)[:, : max(1, columns.shape[1] // 3)].mean(axis=1)
    return float(strongest.max())
