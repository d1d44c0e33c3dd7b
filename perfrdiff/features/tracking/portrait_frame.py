"""Which frame of a clip becomes the listener's photo: the calmest that is sharp and frontal; and which show the head.

Whatever the face does in that frame stays in every frame that is drawn from it: a pout, a half-smile, a raised brow can
be taken back by a part only. So the face has to be at rest and near the person's own median. The head is also read from
some more frames, as calm as that one, in which it is turned so that both cheeks are seen.
"""

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION, EXPRESSION_NAMES, ROTATION

__all__ = ["portrait_order", "views_of_the_head"]

# What costs a penalty of 1. The mouth weighs most: it is what people look at, and what the photo cannot take back.
TURN = np.radians(15)
BLINK, GAZE, JAW, SMILE = 0.2, 0.5, 0.07, 0.4
MOUTH_FROM_MEDIAN, REST_FROM_MEDIAN = 0.2, 0.4
MOVEMENT = 0.3  # sum of all units' changes within +-MOVEMENT_FRAMES, per frame
MOVEMENT_FRAMES = 2
BLUR_WEIGHT = 3.0  # for a frame that is less sharp than the median by a factor of e
SHARP_ENOUGH = 1.25  # times the median; teeth and wrinkles only look sharper

FURTHER_VIEWS = 3  # frames for the head besides the photo
RESTLESS = 3.0  # penalty over the calmest frame's, its turn aside, from which a frame says little of the face at rest
VIEW_TURN = np.radians(22)  # from straight ahead; beyond, the far half of the face is hidden
NEW_SIDE = np.radians(10)  # of yaw or pitch from the frames chosen already: a view of its own
WORTH_OF_A_VIEW = 2.0  # penalty that such a view is worth
APART = 12  # frames between two that are taken, so that they do not share the tracker's error

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
    turn = (_turns(coefficients[frames]) / TURN) ** 2
    penalty = turn.sum(axis=1) + _restlessness(coefficients, frames, sharpness)
    return frames[np.argsort(penalty, kind="stable")]


def views_of_the_head(coefficients: np.ndarray, seen: np.ndarray, sharpness: np.ndarray, photo: int) -> list[int]:
    """Numbers of up to FURTHER_VIEWS frames, the best first, that show the resting face besides frame ``photo``.

    They are calm and sharp, and from sides that ``photo`` and those before do not show. For the rest see
    ``portrait_order``.
    """
    frames = np.flatnonzero(seen)
    penalty = _restlessness(coefficients, frames, sharpness)
    turns = _turns(coefficients[frames])
    usable = (penalty < penalty.min() + RESTLESS) & (np.abs(turns).max(axis=1) < VIEW_TURN)
    chosen: list[int] = []
    apart = np.linalg.norm((turns - _turns(coefficients[photo][None]))[:, :2], axis=1)  # a roll shows no other side
    usable &= np.abs(frames - photo) >= APART
    while usable.any() and len(chosen) < FURTHER_VIEWS:
        worth = WORTH_OF_A_VIEW * np.minimum(apart / NEW_SIDE, 1) - penalty
        best = int(np.argmax(np.where(usable, worth, -np.inf)))
        chosen.append(int(frames[best]))
        apart = np.minimum(apart, np.linalg.norm((turns - turns[best])[:, :2], axis=1))
        usable &= np.abs(frames - frames[best]) >= APART
    return chosen


def _turns(rows: np.ndarray) -> np.ndarray:
    """(N, 3) radians by which heads of (N, 58) coefficients are turned away from the camera."""
    return rows[:, ROTATION] - np.array([np.pi, 0, 0])


def _restlessness(coefficients: np.ndarray, frames: np.ndarray, sharpness: np.ndarray) -> np.ndarray:
    """(N,) penalty of the chosen ``frames`` (N,), turns of the head aside."""
    rows = coefficients[frames]
    expressions = rows[:, EXPRESSION]

    def both(right: str, left: str | None = None) -> np.ndarray:
        return (rows[:, CHANNEL[right + "Right"]] + rows[:, CHANNEL[(left or right) + "Left"]]) / 2

    penalty = (both("eyeBlink") / BLINK) ** 2
    penalty += (rows[:, CHANNEL["jawOpen"]] / JAW) ** 2 + (both("mouthSmile") / SMILE) ** 2
    aside = both("eyeLookIn", "eyeLookOut") - both("eyeLookOut", "eyeLookIn")  # the right eye's in is the left's out
    penalty += (aside**2 + (both("eyeLookUp") - both("eyeLookDown")) ** 2) / GAZE**2
    from_median = expressions - np.median(expressions, axis=0)
    penalty += ((from_median[:, _MOUTH] / MOUTH_FROM_MEDIAN) ** 2).sum(axis=1)
    penalty += ((from_median[:, ~(_MOUTH | _GAZE)] / REST_FROM_MEDIAN) ** 2).sum(axis=1)
    penalty += (_movement(coefficients[:, EXPRESSION])[frames] / MOVEMENT) ** 2
    relative = np.maximum(sharpness[frames], 1e-3)
    relative = relative / np.median(relative)
    return penalty - BLUR_WEIGHT * np.log(np.minimum(relative, SHARP_ENOUGH))


def _movement(expressions: np.ndarray) -> np.ndarray:
    """(T,) mean over the neighbouring frames of the sum of all units' changes from frame to frame."""
    if len(expressions) < 2:
        return np.zeros(len(expressions))
    steps = np.abs(np.diff(expressions, axis=0)).sum(axis=1)
    steps = np.pad(steps, (MOVEMENT_FRAMES, MOVEMENT_FRAMES), mode="edge")
    kernel = np.full(2 * MOVEMENT_FRAMES, 1 / (2 * MOVEMENT_FRAMES))
    return np.convolve(steps, kernel, mode="valid")
