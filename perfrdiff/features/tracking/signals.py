"""From what the tracker saw, frame by frame, to one clean row of 58 numbers per frame."""

from dataclasses import dataclass, field

import numpy as np

from perfrdiff.coefficients import CHANNEL, EXPRESSION, FPS, ROTATION, TRANSLATION, UNTRUSTED, WIDTH
from perfrdiff.features.tracking.jitter_filter import SMALLEST_ANGLE, SMALLEST_UNIT, steady
from perfrdiff.features.tracking.pose import euler_angles, model_origins, smooth, tracked_angles, translations
from perfrdiff.features.tracking.units import read_units

__all__ = ["QUALITIES", "RawTrack", "clean", "neutral_offset", "quality_of", "without_offset"]

SHORT_GAP = 10  # frames (0.4 s): bridged by a straight line; a longer one is eased to the clip's median and back
EASE = 10  # frames of that easing
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
where something covers it (``hidden.py``)."""
COARSE_PIXELS = 48  # of the face's longer side
COARSE_TURN = np.radians(45)
COARSE_LIGHT = 40.0  # of 255, 95th percentile over the face; at 32, noise of 2 halves what is read of small movements


@dataclass
class RawTrack:
    """What was seen, one entry per frame; entries of frames without a face are None."""

    expressions: list[np.ndarray | None] = field(default_factory=list)  # (52,)
    rotations: list[np.ndarray | None] = field(default_factory=list)  # (3, 3)
    positions: list[np.ndarray | None] = field(default_factory=list)  # (3,) centimetres, in one camera
    sharpness: list[float] = field(default_factory=list)
    takes: list[int] = field(default_factory=list)  # counts up where the face was found again elsewhere (scene cut)
    shapes: list[np.ndarray | None] = field(default_factory=list)  # (SHAPE_WIDTH,) of units.shape_of
    sizes: list[float] = field(default_factory=list)  # longer side of the face, the file's pixels; 0 where not seen
    lights: list[float] = field(default_factory=list)  # 95th percentile of the face's grey, 0 … 255; 255 where not seen
    affects: list[np.ndarray | None] = field(default_factory=list)  # (10,) of an AffectNetwork, where there is one
    looks: list[np.ndarray | None] = field(default_factory=list)  # of hidden.look_of

    def add(
        self,
        expressions,
        rotation,
        position,
        sharpness: float,
        take: int,
        shape=None,
        size=0.0,
        light=255.0,
        affect=None,
        look=None,
    ) -> None:
        """Append one frame; pass None for the arrays where no face was seen."""
        self.expressions.append(expressions)
        self.rotations.append(rotation)
        self.positions.append(position)
        self.sharpness.append(sharpness)
        self.takes.append(take)
        self.shapes.append(shape)
        self.sizes.append(size)
        self.lights.append(light)
        self.affects.append(affect)
        self.looks.append(look)

    def forget(self, frames: np.ndarray) -> None:
        """Make (T,) flagged frames ones in which no face was seen."""
        for frame in np.flatnonzero(frames):
            for column in (self.expressions, self.rotations, self.positions, self.shapes, self.affects, self.looks):
                column[frame] = None

    @property
    def tracked(self) -> np.ndarray:
        """(T,) bool: the frames in which the face was seen."""
        return np.array([row is not None for row in self.expressions], dtype=bool)


def clean(track: RawTrack) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of every frame: seat removed, gaps filled, pose smoothed, the person's neutral removed.

    Returns:
        coefficients (T, 58) float32 and the person's ``neutral_offset`` (52,) that was taken off.
    """
    tracked, takes = track.tracked, np.array(track.takes)
    rows = np.zeros((len(tracked), WIDTH))
    rows[tracked, EXPRESSION] = np.stack([row for row in track.expressions if row is not None])
    rows[tracked, ROTATION] = np.unwrap(tracked_angles(np.stack([r for r in track.rotations if r is not None])), axis=0)
    rotations = np.stack([row for row in track.rotations if row is not None])
    positions = np.full((len(tracked), 3), np.nan)
    positions[tracked] = model_origins(np.stack([row for row in track.positions if row is not None]), rotations)
    for take in np.unique(takes[tracked]):
        here = tracked & (takes == take)
        rows[here, TRANSLATION] = translations(positions[here], np.median(positions[here], axis=0))

    offset = neutral_offset(rows[tracked, EXPRESSION])
    shapes = [row for row in track.shapes if row is not None]
    if tracked.sum() >= NEUTRAL_SECONDS * FPS and len(shapes) == tracked.sum():
        angles = euler_angles(rotations) - [np.pi, 0, 0]
        rows[tracked, EXPRESSION] = read_units(np.stack(shapes), rows[tracked, EXPRESSION], angles, offset)
    else:  # too short to know the person's resting shape: what the network sees must do
        rows[tracked, EXPRESSION] = without_offset(rows[tracked, EXPRESSION], offset)
        rows[:, UNTRUSTED] = 0.0
    _fill(rows, tracked)
    for take in np.unique(takes):
        here = takes == take
        rows[here, EXPRESSION] = np.clip(steady(rows[here, EXPRESSION], SMALLEST_UNIT), 0, 1)
        rows[here, ROTATION] = steady(rows[here, ROTATION], SMALLEST_ANGLE)
        rows[here, TRANSLATION] = smooth(rows[here, TRANSLATION])
    return rows.astype(np.float32), offset


def quality_of(coefficients: np.ndarray, tracked: np.ndarray, sizes: np.ndarray, lights: np.ndarray) -> np.ndarray:
    """(T,) uint8, an index into ``QUALITIES`` for every frame.

    Args:
        coefficients: (T, 58) as ``clean`` gives them.
        tracked: (T,) bool, the face was seen.
        sizes: (T,) longer side of the face in the file's pixels; not looked at where it was not seen.
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

    A tenth of any clip of 3 s or more is taken to show the channel at rest; so the offset is never more than what the
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


def _fill(rows: np.ndarray, tracked: np.ndarray) -> None:
    """Fill the rows of frames without a face in place."""
    seen = np.flatnonzero(tracked)
    median = np.median(rows[seen], axis=0)
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
            share = _ease((frames[gap] - first + 1) / EASE)
            rows[gap] += (1 - share) * (before - median)
        if after is not None:
            share = _ease((last + 1 - frames[gap]) / EASE)
            rows[gap] += (1 - share) * (after - median)


def _ease(time: np.ndarray) -> np.ndarray:
    """0 … 1 with a soft start and end, (n, 1)."""
    time = np.clip(time, 0.0, 1.0)
    return (time * time * (3 - 2 * time))[:, None]
