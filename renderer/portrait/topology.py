"""Which of MediaPipe's 478 landmarks is what, and how they are joined into triangles.

"Right" and "left" are the subject's, so the right eye is on the left of the picture. Contours run from the subject's
right to the left for the lips, and from the outer to the inner corner for the eyes.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from renderer.resources import asset

LANDMARKS = 478  # 468 of the face, then 5 for each iris (centre first): right eye 468…472, left eye 473…477
FACE_LANDMARKS = 468

OVAL = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
     136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)  # fmt: skip
"""Outline of the face, from the middle of the forehead clockwise in the picture."""

FOREHEAD, CHIN, NOSE_TIP = 10, 152, 1
EAR_RIGHT, EAR_LEFT = 234, 454

LIPS_UPPER_OUTER = np.array([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291])
LIPS_LOWER_OUTER = np.array([61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291])
LIPS_UPPER_INNER = np.array([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308])
LIPS_LOWER_INNER = np.array([78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308])

LIP_CONTOURS = (
    LIPS_UPPER_OUTER,
    LIPS_LOWER_OUTER,
    np.array([76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306]),
    np.array([76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306]),
    np.array([62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292]),
    np.array([62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292]),
    LIPS_UPPER_INNER,
    LIPS_LOWER_INNER,
)
"""Four rings of the lips from outside to inside, each as its upper and its lower half."""


@dataclass(frozen=True)
class EyeIndices:
    """Landmarks round one eye: three rings (lid margin, crease, socket), 9 points each from outer to inner corner."""

    upper: np.ndarray  # lid margin
    lower: np.ndarray
    crease_upper: np.ndarray
    crease_lower: np.ndarray
    socket_upper: np.ndarray
    socket_lower: np.ndarray
    iris: np.ndarray  # centre, then 4 points on its edge
    side: str  # "Right" or "Left", as the coefficients are named


EYES = (
    EyeIndices(
        upper=np.array([33, 246, 161, 160, 159, 158, 157, 173, 133]),
        lower=np.array([33, 7, 163, 144, 145, 153, 154, 155, 133]),
        crease_upper=np.array([130, 247, 30, 29, 27, 28, 56, 190, 243]),
        crease_lower=np.array([130, 25, 110, 24, 23, 22, 26, 112, 243]),
        socket_upper=np.array([226, 113, 225, 224, 223, 222, 221, 189, 244]),
        socket_lower=np.array([226, 31, 228, 229, 230, 231, 232, 233, 244]),
        iris=np.array([468, 469, 470, 471, 472]),
        side="Right",
    ),
    EyeIndices(
        upper=np.array([263, 466, 388, 387, 386, 385, 384, 398, 362]),
        lower=np.array([263, 249, 390, 373, 374, 380, 381, 382, 362]),
        crease_upper=np.array([359, 467, 260, 259, 257, 258, 286, 414, 463]),
        crease_lower=np.array([359, 255, 339, 254, 253, 252, 256, 341, 463]),
        socket_upper=np.array([446, 342, 445, 444, 443, 442, 441, 413, 464]),
        socket_lower=np.array([446, 261, 448, 449, 450, 451, 452, 453, 464]),
        iris=np.array([473, 474, 475, 476, 477]),
        side="Left",
    ),
)

_TOPOLOGY = asset("portrait/topology.npz")


@cache
def face_triangles() -> np.ndarray:
    """(852, 3) int32 triangles of the 468 landmarks; eyes and mouth are open (see `hole_triangles`)."""
    with np.load(_TOPOLOGY) as archive:
        return archive["triangles"].astype(np.int32)


@cache
def hole_triangles() -> np.ndarray:
    """(46, 3) int32 triangles that close the mouth and the eyes, so that the warp is continuous underneath them."""
    strips = [(LIPS_UPPER_INNER, LIPS_LOWER_INNER), *((eye.upper, eye.lower) for eye in EYES)]
    triangles = []
    for upper, lower in strips:
        for i in range(len(upper) - 1):
            if lower[i] != upper[i]:
                triangles.append((upper[i], upper[i + 1], lower[i]))
            if lower[i + 1] != upper[i + 1]:
                triangles.append((upper[i + 1], lower[i + 1], lower[i]))
    return np.array(triangles, dtype=np.int32)
