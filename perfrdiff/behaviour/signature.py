"""A person's signature: numbers of a clip by which a classifier can recognise them."""

from collections.abc import Sequence

import numpy as np

from perfrdiff.behaviour import events
from perfrdiff.coefficients import FPS, ROTATION

_LEVEL_FLOOR, _ANGLE_FLOOR, _SPEED_FLOOR = 0.02, 0.5, 0.15  # below these, movement is a tracker's noise


def level_count(columns: Sequence[int]) -> int:
    """How many of a signature's first numbers are levels: the face's mean and the head's rest. The rest is movement."""
    return len(columns) + 3


def signature(clip: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """Levels, amounts of movement and events of a clip (frames, 58), as one vector (N,).

    `columns`: the expressions that count.

    Amounts of movement have a floor above a tracker's noise: a person shall be recognised by what can be seen.
    """
    clip = clip.astype(np.float64)
    faces, angles = clip[:, columns], np.degrees(clip[:, ROTATION])
    nods, blinks, smiles = events.nods(clip), events.blinks(clip), events.smiles(clip)
    brows, frowns = events.blendshape_rises(clip, "browInnerUp"), events.blendshape_rises(clip, "browDown")
    minutes = len(clip) / FPS / 60
    rates = [np.log(len(x) / minutes + 1.0) for x in (nods.start, blinks.time, smiles.start, brows.start, frowns.start)]
    sizes = [np.log(x.mean()) if len(x) else np.log(default) for x, default in (
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
