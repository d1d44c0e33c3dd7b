"""The tracker's readings, frame by frame -> one clean row of 58 numbers per frame."""

from dataclasses import dataclass, field

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, ROTATION, TRANSLATION, UNTRUSTED_COLUMNS, WIDTH
from perfrdiff.features.tracking.jitter_filter import SMALLEST_ANGLE, SMALLEST_UNIT, filter_jitter
from perfrdiff.features.tracking.pose import euler_angles, model_origins, smooth, tracked_angles, translations
from perfrdiff.features.tracking.units import read_units

__all__ = ["QUALITIES", "FaceReading", "RawTrack", "clean", "neutral_offset", "quality_of", "without_offset"]

SHORT_GAP = 10  # frames (0.4 s): bridged by a straight line; a longer one is eased to the clip's median and back
EASING_FRAMES = 10
NEUTRAL_SECONDS = 3.0  # a shorter clip says too little about a person's resting face
NEUTRAL_PERCENTILE = 10
BIASED = tuple(
    name for name in CHANNEL if name.startswith(("brow", "eyeBlink", "eyeLook", "eyeSquint", "eyeWide", "cheekSquint"))
)
"""Channels in which MediaPipe reads a person's build (heavy brows, narrow eyes) or the camera's place (gaze) as a
constant expression. The mouth is left alone: a smile that is held is an expression."""


QUALITIES = ("seen", "coarse", "bridged", "filled")
"""What a frame's numbers rest on: the face; a face too small, too dark or turned too far to be read finely; the frames
before and after a gap of at most 0.4 s; nothing, the person's median stands there. A gap is where no face was found, or
where something covers it (``occlusion.py``)."""
COARSE_PIXELS = 48  # of the face's longer side
COARSE_TURN = np.radians(45)
COARSE_LIGHT = 40.0  # of 255, 95th percentile over the face; at 32, noise of 2 halves what is read of small movements


@dataclass(frozen=True)
class FaceReading:
    """What was read from the face of one frame."""

    expressions: np.ndarray  # (52,) 0 … 1
    rotation: np.ndarray  # (3, 3)
    position: np.ndarray  # (3,) centimetres, in one camera for the whole clip
    sharpness: float  # variance of the Laplacian of the face's grey
    shape: np.ndarray | None = None  # (SHAPE_WIDTH,) of units.face_shape
    size: float = 0.0  # longer side of the face, the file's pixels
    light: float = 255.0  # 95th percentile of the face's grey, 0 … 255
    attributes: np.ndarray | None = None  # (10,) of an AttributeNetwork, where there is one
    appearance: np.ndarray | None = None  # of occlusion.face_appearance


@dataclass
class RawTrack:
    """The readings of a clip, one entry per frame; None, or the stated number, where there is no face."""

    expressions: list[np.ndarray | None] = field(default_factory=list)  # each as in FaceReading
    rotations: list[np.ndarray | None] = field(default_factory=list)
    positions: list[np.ndarray | None] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)  # 0 without a face
    shapes: list[np.ndarray | None] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)  # 0 without a face
    lights: list[float] = field(default_factory=list)  # 255 without a face
    attributes: list[np.ndarray | None] = field(default_factory=list)
    appearances: list[np.ndarray | None] = field(default_factory=list)
    takes: list[int] = field(default_factory=list)  # counts up where the face was found again elsewhere (scene cut)

    def add(self, reading: FaceReading | None, take: int) -> None:
        """Append one frame of a take; None where there is no face."""
        self.takes.append(take)
        self.expressions.append(reading and reading.expressions)
        self.rotations.append(reading and reading.rotation)
        self.positions.append(reading and reading.position)
        self.sharpness.append(reading.sharpness if reading else 0.0)
        self.shapes.append(reading and reading.shape)
        self.sizes.append(reading.size if reading else 0.0)
        self.lights.append(reading.light if reading else 255.0)
        self.attributes.append(reading and reading.attributes)
        self.appearances.append(reading and reading.appearance)

    def forget(self, frames: np.ndarray) -> None:
        """Take the faces of (T,) flagged frames out, as if none had been seen there."""
        columns = (self.expressions, self.rotations, self.positions, self.shapes, self.attributes, self.appearances)
        for frame in np.flatnonzero(frames):
            for column in columns:
                column[frame] = None

    @property
    def tracked(self) -> np.ndarray:
        """(T,) bool: the frames in which the face was seen."""
        return np.array([row is not None for row in self.expressions], dtype=bool)


def clean(track: RawTrack) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of every frame: seat removed, gaps filled, pose smoothed, the person's neutral removed.

    Returns:
        coefficients (T, 58) float32 and the person's ``neutral_offset`` (52,) that was subtracted.
    """
    tracked, takes = track.tracked, np.array(track.takes)
    rows = np.zeros((len(tracked), WIDTH))
    rows[tracked, EXPRESSION] = np.stack([row for row in track.expressions if row is not None])
    rotations = np.stack([row for row in track.rotations if row is not None])
    rows[tracked, ROTATION] = np.unwrap(tracked_angles(rotations), axis=0)
    positions = np.full((len(tracked), 3), np.nan)
    positions[tracked] = model_origins(np.stack([row for row in track.positions if row is not None]), rotations)
    for take in np.unique(takes[tracked]):
        in_take = tracked & (takes == take)
        rows[in_take, TRANSLATION] = translations(positions[in_take], np.median(positions[in_take], axis=0))

    offset = neutral_offset(rows[tracked, EXPRESSION])
    shapes = [row for row in track.shapes if row is not None]
    if tracked.sum() >= NEUTRAL_SECONDS * FPS and len(shapes) == tracked.sum():
        angles = euler_angles(rotations) - [np.pi, 0, 0]
        rows[tracked, EXPRESSION] = read_units(np.stack(shapes), rows[tracked, EXPRESSION], angles, offset)
    else:  # too short to learn the person's resting shape: the network alone is read
        rows[tracked, EXPRESSION] = without_offset(rows[tracked, EXPRESSION], offset)
        rows[:, UNTRUSTED_COLUMNS] = 0.0
    fill_gaps(rows, tracked)
    for take in np.unique(takes):
        in_take = takes == take
        rows[in_take, EXPRESSION] = np.clip(filter_jitter(rows[in_take, EXPRESSION], SMALLEST_UNIT), 0, 1)
        rows[in_take, ROTATION] = filter_jitter(rows[in_take, ROTATION], SMALLEST_ANGLE)
        rows[in_take, TRANSLATION] = smooth(rows[in_take, TRANSLATION])
    return rows.astype(np.float32), offset


def quality_of(coefficients: np.ndarray, tracked: np.ndarray, sizes: np.ndarray, lights: np.ndarray) -> np.ndarray:
    """(T,) uint8, an index into ``QUALITIES`` for every frame.

    Args:
        coefficients: (T, 58) as ``clean`` gives them.
        tracked: (T,) bool, the face was seen.
        sizes: (T,) longer side of the face in the file's pixels; ignored where it was not seen.
        lights: (T,) 95th percentile of the face's grey, 0 … 255.
    """
    turned = np.abs(coefficients[:, ROTATION][:, :2] - [np.pi, 0]).max(axis=1) > COARSE_TURN
    quality = np.where(tracked & (turned | (sizes < COARSE_PIXELS) | (lights < COARSE_LIGHT)), 1, 0).astype(np.uint8)
    missing = np.flatnonzero(~tracked)
    for gap in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
        if len(gap):
            inside = gap[0] > 0 and gap[-1] + 1 < len(tracked) and len(gap) <= SHORT_GAP
            quality[gap] = QUALITIES.index("bridged" if inside else "filled")
    return quality


def neutral_offset(expressions: np.ndarray) -> np.ndarray:
    """A person's resting values of the ``BIASED`` channels: the 10th percentile over the frames seen.

    A tenth of any clip of 3 s or more is assumed to show the channel at rest. So the offset is never more than what the
    face has nearly always, and a channel that rests at 0 is not changed.

    Args:
        expressions: (T, 52) of the frames with a face.

    Returns:
        (52,) offsets, 0 for other channels and for clips under 3 s.
    """
    offset = np.zeros(expressions.shape[1])
    if len(expressions) >= NEUTRAL_SECONDS * FPS:
        biased = [CHANNEL[name] for name in BIASED]
        offset[biased] = np.percentile(expressions[:, biased], NEUTRAL_PERCENTILE, axis=0)
    return offset


def without_offset(expressions: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(..., 52) expressions with a person's offset as the new 0; a full 1 stays 1, nothing falls below 0."""
    return np.clip((expressions - offset) / np.maximum(1.0 - offset, 1e-3), 0.0, 1.0)


def fill_gaps(rows: np.ndarray, tracked: np.ndarray) -> None:
    """Fill the rows (T, n) of frames without a face in place: a line over a short gap, else eased to the median of the
    rows with a face, and back. `tracked`: (T,) bool, not all False."""
    median = np.median(rows[tracked], axis=0)
    frames = np.arange(len(rows))
    missing = np.flatnonzero(~tracked)
    for gap in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
        if not len(gap):
            continue
        first, last = gap[0], gap[-1]
        before = rows[first - 1] if first > 0 else None
        after = rows[last + 1] if last + 1 < len(rows) else None
        if before is not None and after is not None and len(gap) <= SHORT_GAP:
            share = ((frames[gap] - first + 1) / (len(gap) + 1))[:, None]
            rows[gap] = (1 - share) * before + share * after
            continue
        rows[gap] = median
        if before is not None:
            share = _ease((frames[gap] - first + 1) / EASING_FRAMES)
            rows[gap] += (1 - share) * (before - median)
        if after is not None:
            share = _ease((last + 1 - frames[gap]) / EASING_FRAMES)
            rows[gap] += (1 - share) * (after - median)


def _ease(time: np.ndarray) -> np.ndarray:
    """0 … 1 with a soft start and end, (n, 1)."""
    time = np.clip(time, 0.0, 1.0)
    return (time * time * (3 - 2 * time))[:, None]
