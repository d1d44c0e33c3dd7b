"""What the tracker reports of a simulated speaker: cross-talk, noise and its filter, and frames without a face."""

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION, ROTATION, TRANSLATION, UNTRUSTED_COLUMNS, WIDTH, neutral
from perfrdiff.data.simulator.habits import left_right_columns
from perfrdiff.data.simulator.motion import DEGREE
from perfrdiff.features.tracking.jitter_filter import SMALLEST_ANGLE, SMALLEST_UNIT, filter_jitter
from perfrdiff.features.tracking.signals import fill_gaps, neutral_offset, without_offset

__all__ = ["hide_face", "track_speaker"]

CROSS_TALK: tuple[tuple[str, str, float], ...] = (
    ("mouthSmile", "mouthDimple", 0.42), ("mouthSmile", "mouthPress", 0.55), ("mouthSmile", "mouthUpperUp", 0.30),
    ("mouthSmile", "mouthStretch", 0.08), ("mouthSmile", "mouthLowerDown", 0.06), ("mouthSmile", "eyeSquint", 0.07),
    ("mouthSmile", "mouthLeft", 0.10), ("mouthSmile", "mouthRight", 0.08), ("browInnerUp", "browOuterUp", 0.25),
    ("browDown", "noseSneer", 0.45), ("browDown", "eyeLookUp", 0.20), ("browDown", "eyeSquint", 0.20),
    ("eyeBlink", "eyeSquint", 0.10), ("eyeBlink", "eyeLookDown", 0.10), ("mouthPucker", "cheekPuff", 0.5),
    ("jawOpen", "mouthUpperUp", 0.15),
)  # fmt: skip
"""Channel, another that the tracker moves with it, by how much: medians of regressions on four tracked talkers."""
CROSS_TALK_SPREAD = 0.4  # of the logarithm, between clips
LOWERED_LIDS = 0.2  # eyeBlink per radian of a lowered head
GAIN_SPREAD = 0.15  # the same of a channel's own size
NOISE = 0.006  # expression units, and NOISE_BY_LEVEL by the root of the level; before the tracker's filter
NOISE_BY_LEVEL = 0.02
NEVER_SEEN_SHARE = 0.03  # of the clips
PARTLY_SEEN_SHARE = 0.30


def track_speaker(coefficients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The movement (frames, 58) of a speaker as the tracker reports it, the same shape, float32.

    A lowered head reads as lowered lids, channels read into each other, sizes are off by clip and channel; the resting
    face is the zero, small movements are filtered away, and channels that are never read are 0.
    """
    out = coefficients.astype(np.float64)
    pitch = np.clip(out[:, CHANNEL["rotationX"]] - np.pi, 0, None)
    for column in left_right_columns("eyeBlink"):
        out[:, column] += LOWERED_LIDS * pitch
    for source, target, share in CROSS_TALK:
        size = share * np.exp(CROSS_TALK_SPREAD * rng.standard_normal())
        columns = left_right_columns(source), left_right_columns(target)
        for side, column in enumerate(columns[1]):
            sources = columns[0] if len(columns[0]) != len(columns[1]) else (columns[0][side],)
            out[:, column] += size * coefficients[:, list(sources)].mean(axis=1)
    out[:, EXPRESSION] *= np.exp(GAIN_SPREAD * rng.standard_normal(EXPRESSION.stop))
    noise = rng.standard_normal(out.shape)
    noise[1:] = 0.6 * noise[1:] + 0.4 * noise[:-1]
    size = np.full(WIDTH, NOISE)
    size[EXPRESSION] += NOISE_BY_LEVEL * np.sqrt(np.clip(out[:, EXPRESSION].mean(0), 0, 1))
    size[ROTATION] = 0.12 * DEGREE
    size[TRANSLATION] = (0.002, 0.002, 0.006)
    out += noise * size
    out[:, EXPRESSION] = np.clip(out[:, EXPRESSION], 0, 1)
    out[:, EXPRESSION] = without_offset(out[:, EXPRESSION], neutral_offset(out[:, EXPRESSION]))
    out[:, UNTRUSTED_COLUMNS] = 0.0
    out[:, EXPRESSION] = np.clip(filter_jitter(out[:, EXPRESSION], SMALLEST_UNIT), 0, 1)
    out[:, ROTATION] = filter_jitter(out[:, ROTATION], SMALLEST_ANGLE)
    out[:, TRANSLATION] += neutral()[TRANSLATION] - np.median(out[:, TRANSLATION], axis=0)
    return out.astype(np.float32)


def hide_face(coefficients: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A track (frames, 58) of which some frames show no face: the track with these filled as the tracker fills them,
    and the frames in which the face is seen, (frames,) bool.

    A hand, a turn, a cut: spans of a fifth of a second to eight seconds in a third of the clips. Before and after, the
    readings are often wrong. In a few clips there is never a face.
    """
    frames = len(coefficients)
    chance = rng.random()
    if chance < NEVER_SEEN_SHARE:
        return np.tile(neutral(), (frames, 1)), np.zeros(frames, bool)
    seen = np.ones(frames, bool)
    out = coefficients.copy()
    if chance < NEVER_SEEN_SHARE + PARTLY_SEEN_SHARE:
        for _ in range(1 + rng.poisson(1.0)):
            length = int(np.clip(25 * rng.lognormal(np.log(0.9), 1.0), 5, 200))
            first = int(rng.integers(-length // 2, frames))
            seen[max(0, first) : max(0, first + length)] = False
            edge = int(rng.integers(0, 8))  # frames in which half a face is read
            for start in (first - edge, first + length):
                span = slice(max(0, start), max(0, start + edge))
                count = len(out[span])
                out[span, EXPRESSION] += 0.15 * rng.standard_normal(EXPRESSION.stop)
                out[span, ROTATION] += rng.normal(0, 9 * DEGREE, 3) * np.linspace(0.4, 1, count)[:, None]
        out[:, EXPRESSION] = np.clip(out[:, EXPRESSION], 0, 1)
        out[:, UNTRUSTED_COLUMNS] = 0.0
    if not seen.any():
        return np.tile(neutral(), (frames, 1)), seen
    fill_gaps(out, seen)
    return out, seen
