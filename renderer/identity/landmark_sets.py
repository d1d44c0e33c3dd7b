"""Which of MediaPipe's landmarks mark what; "left" and "right" are the subject's."""

from __future__ import annotations

import numpy as np

LANDMARKS = 478  # ten of them are of the irises
SKIN_LANDMARKS = 468

OVAL = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])  # fmt: skip

# The rims of the lids from the outer corner to the inner one, both included
UPPER_LID = {
    "Left": np.array([263, 466, 388, 387, 386, 385, 384, 398, 362]),
    "Right": np.array([33, 246, 161, 160, 159, 158, 157, 173, 133]),
}
LOWER_LID = {
    "Left": np.array([263, 249, 390, 373, 374, 380, 381, 382, 362]),
    "Right": np.array([33, 7, 163, 144, 145, 153, 154, 155, 133]),
}
LID_RIMS = {side: np.unique([UPPER_LID[side], LOWER_LID[side]]) for side in UPPER_LID}

# The inner rims of the lips, pairs that touch at rest, from the subject's right to the left
UPPER_LIP_RIM = np.array([191, 80, 81, 82, 13, 312, 311, 310, 415])
LOWER_LIP_RIM = np.array([95, 88, 178, 87, 14, 317, 402, 318, 324])
MOUTH_CORNERS = (61, 291)  # right, left
LIPS = np.array([
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
])  # fmt: skip
FOREHEAD_TOP, CHIN_BOTTOM = 10, 152
