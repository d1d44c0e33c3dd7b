"""A made-up speaker before a made-up camera and microphone, for the tests of live sessions."""

import numpy as np

from perfrdiff.features.tracking.landmarker import Face
from perfrdiff.live.session import HOP


def sound(frames):
    """(frames * HOP,) float32 noise at 16 kHz, always the same."""
    return 0.1 * np.random.default_rng(1).normal(size=frames * HOP).astype(np.float32)


def face(frame):
    """What a tracker reads in a frame of a head that turns slowly."""
    landmarks = np.random.default_rng(5).normal(size=(478, 3)).astype(np.float32) * 60 + 200
    turn = 0.2 * np.sin(frame / 7)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    return Face(landmarks, np.full(52, 0.1, np.float32), rotation, np.array([0.0, 0.0, -50.0]), 0.1)
