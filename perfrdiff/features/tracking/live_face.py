"""A face read while it is being filmed: what ``signals.clean`` makes of a whole clip, without its future.

The person's resting face is learnt from the frames so far and learnt anew every second. Nothing is smoothed: what
watches the speaker (features.speaker_face) has a running spread of its own, and smoothing would be late.
"""

import numpy as np

from perfrdiff.coefficients import (
    EXPRESSION,
    EXPRESSION_NAMES,
    FPS,
    ROTATION,
    TRANSLATION,
    UNTRUSTED_COLUMNS,
    WIDTH,
    neutral,
    react_mean,
)
from perfrdiff.features.tracking.landmarker import Face
from perfrdiff.features.tracking.pose import euler_angles, tracked_angles
from perfrdiff.features.tracking.signals import NEUTRAL_SECONDS, neutral_offset
from perfrdiff.features.tracking.units import SHAPE_WIDTH, PersonalRest, face_shape

__all__ = ["LiveFace"]

LEARN_EVERY = FPS  # frames with a face between two times that the resting face is learnt
MEMORY_FRAMES = 40 * FPS  # frames with a face from which it is learnt; of these the latest


class LiveFace:
    """Reads one person's coefficients, frame after frame; whole or in pieces, the numbers are the same."""

    def __init__(self) -> None:
        self._memory = np.zeros((0, SHAPE_WIDTH + len(EXPRESSION_NAMES) + 3))  # shape, network, angles
        self._seen = 0  # frames with a face so far
        self._rest: PersonalRest | None = None
        self._angles: np.ndarray | None = None  # of the last frame with a face
        self._row = neutral().copy()

    def push(self, face: Face | None) -> tuple[np.ndarray, bool]:
        """The next frame's coefficients (58,) float32, and whether the face was seen; without a face, the last ones.

        The head stays at REACT's mean place: nothing that listens asks where it is.
        """
        if face is None:
            return self._row, False
        network = np.asarray(face.expressions, np.float64)
        angles = euler_angles(face.rotation[None])[0] - [np.pi, 0, 0]
        shape = face_shape(face.landmarks)
        self._remember(shape, network, angles)
        if self._rest is None:
            units = network.copy()
            units[list(UNTRUSTED_COLUMNS)] = 0.0
        else:
            units = self._rest.units(shape[None], network[None], angles[None])[0]
        turned = tracked_angles(face.rotation[None])[0]
        if self._angles is not None:  # no jump from half a turn to minus half a turn
            turned += 2 * np.pi * np.round((self._angles - turned) / (2 * np.pi))
        self._angles = turned
        row = np.zeros(WIDTH, np.float32)
        row[EXPRESSION], row[ROTATION], row[TRANSLATION] = units, turned, react_mean()[TRANSLATION]
        self._row = row
        return row, True

    def _remember(self, shape: np.ndarray, network: np.ndarray, angles: np.ndarray) -> None:
        self._memory = np.concatenate([self._memory[-MEMORY_FRAMES:], [[*shape, *network, *angles]]])
        self._seen += 1
        if self._seen < NEUTRAL_SECONDS * FPS or self._seen % LEARN_EVERY:
            return
        shapes, networks, turns = np.split(self._memory, [SHAPE_WIDTH, SHAPE_WIDTH + len(EXPRESSION_NAMES)], axis=1)
        self._rest = PersonalRest.fit(shapes, networks, turns, neutral_offset(networks))
