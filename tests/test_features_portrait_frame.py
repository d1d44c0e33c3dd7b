"""Which frame of a clip becomes the photo: whatever the face does there stays for the whole film."""

import numpy as np
import pytest

from perfrdiff.coefficients import CHANNEL, WIDTH
from perfrdiff.features.tracking.portrait_frame import APART, FURTHER_VIEWS, portrait_order, views_of_the_head

FRAMES = 60


def clip(**moments: tuple[slice, float]) -> np.ndarray:
    """(FRAMES, 58) at rest and upright, but for the named channels in a part of the frames."""
    rows = np.zeros((FRAMES, WIDTH), np.float32)
    rows[:, CHANNEL["rotationX"]] = np.pi
    for name, (frames, value) in moments.items():
        rows[frames, CHANNEL[name]] += value
    return rows


def best(rows: np.ndarray, sharpness: np.ndarray | None = None, seen: np.ndarray | None = None) -> int:
    seen = np.ones(FRAMES, bool) if seen is None else seen
    return int(portrait_order(rows, seen, np.ones(FRAMES) if sharpness is None else sharpness)[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [("mouthPucker", 0.4), ("jawOpen", 0.15), ("mouthShrugLower", 0.4), ("browInnerUp", 0.6), ("rotationY", 0.3)],
)
def test_the_photo_is_taken_where_the_face_rests(name, value):
    """A pout or a raised brow of the photo cannot be taken back; sharper frames with one are not chosen."""
    rows = clip(**{name: (slice(0, 20), value)})
    sharpness = np.where(np.arange(FRAMES) < 20, 1.2, 1.0)
    assert best(rows, sharpness) >= 20


def test_half_a_smile_is_not_the_photo_though_it_comes_first():
    rows = clip(mouthSmileLeft=(slice(0, 25), 0.5), mouthSmileRight=(slice(0, 25), 0.5))
    assert best(rows) >= 25


def test_open_eyes_that_look_at_the_camera_are_preferred():
    rows = clip(eyeBlinkLeft=(slice(0, 20), 0.5), eyeBlinkRight=(slice(0, 20), 0.5))
    rows += clip(eyeLookInRight=(slice(20, 40), 0.8), eyeLookOutLeft=(slice(20, 40), 0.8)) - clip()
    assert best(rows) >= 40


def test_between_equal_frames_the_still_and_the_sharp_one_is_taken():
    rows = clip()
    rows[:30:2, CHANNEL["mouthPucker"]] = 0.1  # restless
    assert best(rows) >= 31
    sharpness = np.full(FRAMES, 0.4)
    sharpness[17] = 1.0
    assert best(clip(), sharpness) == 17


def test_teeth_that_look_sharp_do_not_outweigh_a_mouth_at_rest():
    rows = clip(jawOpen=(slice(0, 30), 0.2))
    assert best(rows, np.where(np.arange(FRAMES) < 30, 5.0, 1.0)) >= 30


def test_frames_without_the_face_are_never_taken():
    seen = np.zeros(FRAMES, bool)
    seen[[5, 9]] = True
    rows = clip(mouthFunnel=(slice(5, 6), 0.5))
    assert portrait_order(rows, seen, np.ones(FRAMES)).tolist() == [9, 5]


def test_the_head_is_also_seen_from_its_sides_without_a_smile():
    """From one frame half of the head would be the other half's mirror image."""
    rows = clip(rotationY=(slice(20, 30), 0.25), rotationZ=(slice(0, 5), 0.3))
    rows += clip(rotationY=(slice(30, 40), -0.25)) - clip()
    rows += clip(mouthSmileLeft=(slice(25, 32), 0.9), mouthSmileRight=(slice(25, 32), 0.9)) - clip()
    views = views_of_the_head(rows, np.ones(FRAMES, bool), np.ones(FRAMES), photo=50)
    assert len(views) == FURTHER_VIEWS
    assert any(20 <= frame < 25 for frame in views) and any(32 <= frame < 40 for frame in views)
    assert not any(25 <= frame < 32 for frame in views)
    assert min(np.abs(np.subtract.outer([50, *views], [50, *views])[~np.eye(len(views) + 1, dtype=bool)])) >= APART


def test_heads_turned_far_away_and_frames_that_were_not_seen_are_no_views():
    rows = clip(rotationY=(slice(0, 30), 0.6))
    seen = np.arange(FRAMES) < 45
    assert all(30 <= frame < 45 for frame in views_of_the_head(rows, seen, np.ones(FRAMES), photo=31))
