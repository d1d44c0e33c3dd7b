"""Which frame of a clip becomes the listener's photo: the calmest that is sharp and frontal.

Whatever the face does in that frame stays in every frame that is drawn from it: a pout, a half-smile, a raised brow can
be taken back by a part only. So the face has to be at rest and near the person's own median.
"""

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION, EXPRESSION_NAMES, ROTATION

__all__ = ["portrait_order"]

# What costs a penalty of 1. The mouth weighs most: it is what people look at, and what the photo cannot take back.
TURN = np.radians(15)
BLINK, GAZE, JAW, SMILE = 0.2, 0.5, 0.07, 0.4
MOUTH_FROM_MEDIAN, REST_FROM_MEDIAN = 0.2, 0.4
MOVEMENT = 0.3  # sum of all units' changes within +-MOVEMENT_FRAMES, per frame
MOVEMENT_FRAMES = 2
BLUR_WEIGHT = 3.0  # for a frame that is less sharp than the median by a factor of e
SHARP_ENOUGH = 1.25  # times the median; teeth and wrinkles only look sharper

_MOUTH = np.array([name.startswith(("mouth", "jaw", "cheekPuff")) for name in EXPRESSION_NAMES])
_GAZE = np.array([name.startswith("eyeLook") for name in EXPRESSION_NAMES])


def portrait_order(coefficients: np.ndarray, seen: np.ndarray, sharpness: np.ndarray) -> np.ndarray:
    """Numbers of the frames in which the face was seen, the best portrait first.

    Args:
        coefficients: (T, 58) of the clip, as ``signals.clean`` gives them.
        seen: (T,) bool, the face was tracked and not covered; at least one.
        sharpness: (T,) variance of the Laplacian of the face's grey.
    """
    frames = np.flatnonzero(seen)
    rows = coefficients[frames]
    expressions = rows[:, EXPRESSION]

    def both(right: str, left: str | None = None) -> np.ndarray:
        return (rows[:, CHANNEL[right + "Right"]] + rows[:, CHANNEL[(left or right) + "Left"]]) / 2

    turn = ((rows[:, ROTATION] - [np.pi, 0, 0]) / TURN) ** 2
    penalty = turn.sum(axis=1) + (both("eyeBlink") / BLINK) ** 2
    penalty += (rows[:, CHANNEL["jawOpen"]] / JAW) ** 2 + (both("mouthSmile") / SMILE) ** 2
    aside = both("eyeLookIn", "eyeLookOut") - both("eyeLookOut", "eyeLookIn")  # the right eye's in is the left's out
    penalty += (aside**2 + (both("eyeLookUp") - both("eyeLookDown")) ** 2) / GAZE**2
    from_median = expressions - np.median(expressions, axis=0)
    penalty += ((from_median[:, _MOUTH] / MOUTH_FROM_MEDIAN) ** 2).sum(axis=1)
    penalty += ((from_median[:, ~(_MOUTH | _GAZE)] / REST_FROM_MEDIAN) ** 2).sum(axis=1)
    penalty += (_movement(coefficients[:, EXPRESSION])[frames] / MOVEMENT) ** 2
    relative = np.maximum(sharpness[frames], 1e-3)
    relative = relative / np.median(relative)
    penalty -= BLUR_WEIGHT * np.log(np.minimum(relative, SHARP_ENOUGH))
    return frames[np.argsort(penalty, kind="stable")]


def _movement(expressions: np.ndarray) -> np.ndarray:
    """(T,) mean over the neighbouring frames of the sum of all units' changes from frame to frame."""
    if len(expressions) < 2:
        return np.zeros(len(expressions))
    steps = np.abs(np.diff(expressions, axis=0)).sum(axis=1)
    steps = np.pad(steps, (MOVEMENT_FRAMES, MOVEMENT_FRAMES), mode="edge")
    kernel = np.full(2 * MOVEMENT_FRAMES, 1 / (2 * MOVEMENT_FRAMES))
    return np.convolve(steps, kernel, mode="valid")
