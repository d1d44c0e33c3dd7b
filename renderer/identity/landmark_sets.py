"""Sets of MediaPipe's landmarks that fitting a head needs, by the subject's side."""

from __future__ import annotations

import numpy as np

from renderer.portrait.topology import EYES, LIP_CONTOURS, LIPS_LOWER_INNER, LIPS_UPPER_INNER, LIPS_UPPER_OUTER

UPPER_LID = {eye.side: eye.upper for eye in EYES}
LOWER_LID = {eye.side: eye.lower for eye in EYES}
LID_RIMS = {side: np.unique([UPPER_LID[side], LOWER_LID[side]]) for side in UPPER_LID}

UPPER_LIP_RIM, LOWER_LIP_RIM = LIPS_UPPER_INNER[1:-1], LIPS_LOWER_INNER[1:-1]
"""Pairs that touch at rest."""
MOUTH_CORNERS = LIPS_UPPER_OUTER[[0, -1]]  # right, left
LIPS = np.unique(np.concatenate(LIP_CONTOURS))

IBUG_66 = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389, 71, 63, 105, 66, 107, 336, 296,
    334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305, 33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 61,
    39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 82, 13, 312, 317, 14, 87,
)  # fmt: skip
"""The 66 iBUG points (68 without the two inner mouth corners) among MediaPipe's landmarks."""
