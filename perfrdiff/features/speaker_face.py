"""The speaker's face as a listener would watch it: how each movement departs from what this person usually does.

Faces differ in rest and in liveliness, and trackers in how much they report of either (docs/method.md 2.6). So every
channel is given about the person's own running centre, in their own running spread. Nothing of the future goes in, and
channels that the tracker cannot be trusted on are left out.
"""

import numpy as np

from perfrdiff.coefficients import CHANNEL, FPS, WIDTH

__all__ = ["FACE_NAMES", "FACE_WIDTH", "RunningFace", "relative_face"]

DEGREE = np.pi / 180
MOVEMENTS: dict[str, tuple[dict[str, float], float]] = {
    "smile": ({"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}, 0.10),
    "jaw": ({"jawOpen": 1.0}, 0.08),
    "rounding": ({"mouthPucker": 0.5, "mouthFunnel": 0.5}, 0.10),
    "press": ({"mouthPressLeft": 0.5, "mouthPressRight": 0.5}, 0.08),
    "brow raise": ({"browInnerUp": 0.5, "browOuterUpLeft": 0.25, "browOuterUpRight": 0.25}, 0.08),
    "brow lowering": ({"browDownLeft": 0.5, "browDownRight": 0.5}, 0.07),
    "lids": ({"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5}, 0.15),
    "gaze aside": (
        {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5, "eyeLookInLeft": -0.5, "eyeLookOutRight": -0.5}, 0.10,
    ),
    "gaze up": (
        {"eyeLookUpLeft": 0.5, "eyeLookUpRight": 0.5, "eyeLookDownLeft": -0.5, "eyeLookDownRight": -0.5}, 0.12,
    ),
    "pitch": ({"rotationX": 1.0}, 2.5 * DEGREE),
    "yaw": ({"rotationY": 1.0}, 3.5 * DEGREE),
    "roll": ({"rotationZ": 1.0}, 2.0 * DEGREE),
}  # fmt: skip
"""Movement -> the channels it is made of, and the spread expected of a person of whom nothing is known yet (medians of
four tracked talkers)."""
FACE_NAMES: tuple[str, ...] = (*MOVEMENTS, "seen")
FACE_WIDTH = len(FACE_NAMES)  # 13
CENTRE_FRAMES = (FPS // 2, 20 * FPS)  # how many the first face counts for, and the memory of the running centre
SPREAD_FRAMES = (3 * FPS, 30 * FPS)  # the same for the expected spread and the running one
LEAST_SPREAD = 0.5  # of the expected one: a face that hardly moves is not blown up into tracker's noise
LIMIT = 4.0  # spreads; what is beyond is taken for it

_MIXTURE = np.zeros((WIDTH, len(MOVEMENTS)))
for _column, (_channels, _) in enumerate(MOVEMENTS.values()):
    for _name, _weight in _channels.items():
        _MIXTURE[CHANNEL[_name], _column] = _weight
_EXPECTED = np.array([spread for _, spread in MOVEMENTS.values()])


class RunningFace:
    """Watches one speaker, or several at a time, frame after frame; what was seen before decides what is usual."""

    def __init__(self) -> None:
        self._frames: np.ndarray | float = 0.0  # seen so far
        self._centre: np.ndarray | None = None
        self._variance = np.square(_EXPECTED)

    def push(self, coefficients: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
        """The next frames (…, T, 58), seen (…, T) bool or None for all -> (…, T, 13) float32, in running spreads.

        The last column is 1 where the face is seen; elsewhere all are 0. Pushing a clip whole or in pieces gives the
        same numbers, bit for bit.
        """
        movements = np.asarray(coefficients, np.float64) @ _MIXTURE
        seen = np.ones(movements.shape[:-1], bool) if seen is None else np.asarray(seen, bool)
        out = np.zeros((*movements.shape[:-1], FACE_WIDTH), np.float32)
        for frame in range(movements.shape[-2]):
            out[..., frame, :-1] = self._relative(movements[..., frame, :], seen[..., frame])
            out[..., frame, -1] = seen[..., frame]
        return out

    def _relative(self, row: np.ndarray, seen: np.ndarray) -> np.ndarray:
        if self._centre is None:
            self._centre = row.copy()
        unseen_before = np.expand_dims(self._frames == 0, -1)
        self._centre = np.where(unseen_before & seen[..., None], row, self._centre)
        self._frames = self._frames + seen
        share = np.expand_dims(seen / np.minimum(self._frames + CENTRE_FRAMES[0], CENTRE_FRAMES[1]), -1)
        self._centre = self._centre + share * (row - self._centre)
        departure = row - self._centre
        share = np.expand_dims(seen / np.minimum(self._frames + SPREAD_FRAMES[0], SPREAD_FRAMES[1]), -1)
        self._variance = self._variance + share * (np.square(departure) - self._variance)
        spread = np.maximum(np.sqrt(self._variance), LEAST_SPREAD * _EXPECTED)
        return np.where(seen[..., None], (departure / spread).clip(-LIMIT, LIMIT), 0.0)


def relative_face(coefficients: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """Whole clips at once: coefficients (…, T, 58), seen (…, T) -> (…, T, 13) float32, see `RunningFace.push`."""
    return RunningFace().push(coefficients, seen)
