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
