"""How a reaction moves: how lively, how steadily, and what its nods, blinks and smiles look like."""

import numpy as np
from scipy.ndimage import uniform_filter1d

from perfrdiff.behaviour import events
from perfrdiff.behaviour.bands import liveliness
from perfrdiff.coefficients import FPS, ROTATION

STILL_FRAMES = 5  # of a moving mean of the speed, 0.2 s
DRIFT_FRAMES = 20 * FPS  # at both ends of a long reaction


def amounts(clips: np.ndarray) -> dict[str, np.ndarray]:
    """Of clips (clips, frames, 58): "power" (groups, bands), the mean square that `bands.liveliness` is the root of,
    and "still speed", the frame-to-frame change in the quieter half of the time."""
    return {
        "power": np.mean([np.square(liveliness(clip)) for clip in clips], axis=0),
        "still speed": np.median(uniform_filter1d(speed(clips), STILL_FRAMES, axis=1)),
    }


def speed(clips: np.ndarray) -> np.ndarray:
    """Frame-to-frame change (clips, frames - 1): mean over expressions, and head angles in radians."""
    return np.abs(np.diff(clips[..., : ROTATION.stop], axis=1)).mean(axis=2)


def courses(clips: np.ndarray, redraws: np.ndarray, window_frames: tuple[int, int]) -> dict[str, np.ndarray]:
    """Whether the movement is even over the clip: at the seams of windows, from its first third to its last, and
    whether the face ever freezes. `window_frames`: of the generator, length and hop."""
    record = {}
    fast = speed(clips)
    window, slide = window_frames
    seams = np.arange(window - 1, fast.shape[1], slide)  # fast[i] is from frame i to i + 1
    if len(seams):
        record["seams"] = np.array([fast[:, seams].mean(), np.delete(fast, seams, axis=1).mean()])
    typical_speed = np.median(speed(redraws))
    third = fast.shape[1] // 3
    for name, source in (("personal", fast), ("simulator", speed(redraws))):
        record[f"{name}/frozen"] = (uniform_filter1d(source, FPS, axis=1) < 0.25 * typical_speed).mean()
        record[f"{name}/late speed"] = np.array([source[:, -third:].mean(), source[:, :third].mean()])
    return record


def drift(name: str, clip: np.ndarray) -> dict[str, np.ndarray]:
    """Of a long clip (frames, 58): distance of its last 20 s from its first 20 s, and their speeds."""
    face = clip[:, : ROTATION.stop]
    ends = clip[-DRIFT_FRAMES:], clip[:DRIFT_FRAMES]
    return {
        f"{name}/2 min drift": np.abs(face[-DRIFT_FRAMES:].mean(axis=0) - face[:DRIFT_FRAMES].mean(axis=0)).mean(),
        f"{name}/2 min speed": np.array([speed(end[None]).mean() for end in ends]),
    }


def shapes(name: str, clips: np.ndarray) -> dict[str, np.ndarray]:
    """Shapes of the events of clips (clips, frames, 58), one row per event, and their counts with the minutes."""
    nods = [events.nods(clip) for clip in clips]
    blinks = [events.blinks(clip) for clip in clips]
    smiles = [events.smiles(clip) for clip in clips]

    def joined(found: list, *fields: str) -> np.ndarray:
        return np.concatenate([np.stack([getattr(one, field) for field in fields], axis=1) for one in found])

    record = {
        f"{name}/shapes/nods": joined(nods, "size", "frequency", "strokes"),
        f"{name}/shapes/blinks": joined(blinks, "peak", "width", "closing", "opening"),
        f"{name}/shapes/smiles": joined(smiles, "size", "onset", "length"),
    }
    record[f"{name}/minutes"] = np.array(clips.shape[0] * clips.shape[1] / FPS / 60)
    return record
