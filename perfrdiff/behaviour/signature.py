"""What identifies a person in a clip."""

import numpy as np

from perfrdiff.behaviour import events
from perfrdiff.coefficients import CHANNEL, FPS, ROTATION
from perfrdiff.data.simulator.conversation import BLIND

_SEEN = [column for name, column in CHANNEL.items() if name not in BLIND and column < ROTATION.start]
_LEVEL_FLOOR, _ANGLE_FLOOR, _SPEED_FLOOR = 0.02, 0.5, 0.15  # below these, movement is a tracker's noise


LEVELS = len(_SEEN) + 3
"""The first columns of a signature: the face's mean and the head's rest; those after it are movement."""


def signature(clip: np.ndarray) -> np.ndarray:
    """What a classifier may tell a person by: levels, restlessness and events of a clip (frames, 58).

    Amounts of movement have a floor above a tracker's noise: a person shall be known by what can be seen.
    """
    clip = clip.astype(np.float64)
    faces, angles = clip[:, _SEEN], np.degrees(clip[:, ROTATION])
    nods, blinks, smiles = events.nods(clip), events.blinks(clip), events.smiles(clip)
    brows, frowns = events.humps(clip, "browInnerUp"), events.humps(clip, "browDown")
    minutes = len(clip) / FPS / 60
    rates = [np.log(len(x) / minutes + 1.0) for x in (nods.start, blinks.time, smiles.start, brows.start, frowns.start)]
    sizes = [np.log(x.mean()) if len(x) else np.log(usual) for x, usual in (
        (nods.size, 4.3), (nods.frequency, 2.3), (smiles.size, 0.3), (brows.size, 0.25), (frowns.size, 0.2),
    )]  # fmt: skip
    return np.concatenate([
        np.sqrt(faces.mean(axis=0)),
        np.median(angles, axis=0),
        np.log(faces.std(axis=0) + _LEVEL_FLOOR),
        np.log(angles.std(axis=0) + _ANGLE_FLOOR),
        np.log(np.diff(angles, axis=0).std(axis=0) + _SPEED_FLOOR),
        rates,
        sizes,
    ])  # fmt: skip
