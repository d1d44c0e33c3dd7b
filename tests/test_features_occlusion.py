"""A hand before the face must be flagged, and talk, turns, lights and expressions must not be taken for one."""

import cv2
import numpy as np
import pytest

from perfrdiff.coefficients import CHANNEL, ROTATION, neutral
from perfrdiff.features.clip import read_listener
from perfrdiff.features.tracking.face_track import track_video
from perfrdiff.features.tracking.occlusion import (
    LARGEST_OCCLUDED_SHARE,
    LEAST_OCCLUDED_SHARE,
    SHORTEST_CLIP,
    SIDE,
    occluded_frames,
    occluded_share,
)
from perfrdiff.features.tracking.signals import QUALITIES
from renderer.face_model import load_face_model
from renderer.mesh import MeshRenderer
from tests.support.clips import write_clip

FRAMES = 100
COVERED = range(40, 70)
SKIN = (242, 208, 178)


def fingers(picture: np.ndarray, across: float, down: float) -> np.ndarray:
    """Four fingers of the skin's colour, each with a shadow at its edge, about a place in shares of the picture."""
    height, width = picture.shape[:2]
    out, unit = picture.copy(), width / 320
    for finger in range(4):
        middle = (int(across * width + (20 * finger - 30) * unit), int(down * height + 20 * unit))
        for grow, shade in ((2, 0.75), (0, 1.0)):
            size = (int((9 + grow) * unit), int((40 + grow) * unit))
            cv2.ellipse(out, middle, size, -20, 0, 360, [int(shade * part) for part in SKIN], -1, cv2.LINE_AA)
    return out


def film(turn: float) -> list[np.ndarray]:
    """Four seconds of Mara, who talks, smiles broadly, raises her brows, blinks and turns by up to ``turn`` degrees."""
    time = np.arange(FRAMES) / 25
    rows = np.tile(neutral(), (FRAMES, 1))
    rows[:, ROTATION] += np.radians(turn * np.array([0.5, 1, 0.2])) * np.sin(
        2 * np.pi * time[:, None] * [0.7, 0.4, 0.3]
    )
    rows[:, CHANNEL["jawOpen"]] = 0.4 * np.clip(np.sin(2 * np.pi * 2.6 * time), 0, 1)
    for name, begin in (("mouthSmile", 0.5), ("browOuterUp", 2.2), ("eyeBlink", 3.0), ("browDown", 3.2)):
        for side in ("Left", "Right"):
            rows[:, CHANNEL[name + side]] = 0.9 * np.clip(1 - np.abs(time - begin - 0.4) / 0.4, 0, 1)
    return list(MeshRenderer(load_face_model(), size=256, mesh_identity="Mara").render(rows))


@pytest.mark.slow
def test_a_face_that_moves_under_a_changing_light_is_not_covered(tmp_path):
    sides = np.linspace(-0.4, 0.4, 256)[None, :, None]
    lit = [np.clip(p * (0.6 + sides * np.sin(k / 8)), 0, 255).astype(np.uint8) for k, p in enumerate(film(25))]
    track = track_video(write_clip(tmp_path / "lit.mp4", lit, np.arange(FRAMES) / 25))
    assert track.tracked.all()
    assert not any("covers the face" in note for note in track.notes)


@pytest.mark.slow
@pytest.mark.parametrize(("across", "down"), [(0.5, 0.66), (0.5, 0.42)], ids=["mouth", "eyes"])
def test_fingers_before_the_face_are_flagged_bridged_and_noted(tmp_path, across, down):
    pictures = [fingers(p, across, down) if k in COVERED else p for k, p in enumerate(film(8))]
    listener = read_listener(write_clip(tmp_path / "hand.mp4", pictures, np.arange(FRAMES) / 25), include_speech=True)
    filled = np.flatnonzero(listener.quality == QUALITIES.index("filled"))
    assert abs(int(filled[0]) - COVERED[0]) <= 5
    assert abs(int(filled[-1]) - COVERED[-1]) <= 5
    assert len(filled) == np.ptp(filled) + 1, "one part of the clip"
    assert any("perhaps a hand, covers the face for 1." in note for note in listener.notes)
    seen = np.delete(listener.behaviour, filled, axis=0)
    middle = listener.behaviour[filled[len(filled) // 2]]
    np.testing.assert_allclose(middle, np.median(seen, axis=0), atol=0.05)
    assert listener.habits.seconds == pytest.approx(len(seen) / 25), "no habit is read under a hand"


def appearances(
    frames: int, rng: np.random.Generator, covers: dict[int, tuple[slice, slice]] | None = None
) -> np.ndarray:
    """(frames, 2, SIDE, SIDE) of a pattern under a light that changes, all of it towards the camera; with stripes over
    the given part of the given frames."""
    pattern = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE)), (0, 0), 1.5)
    grey = np.tile(110 + 30 * pattern / pattern.std(), (frames, 1, 1))
    stripes = 110 + 60 * np.tile(np.sign(np.sin(np.arange(SIDE) * 1.1)), (SIDE, 1))
    for frame, place in (covers or {}).items():
        grey[frame][place] = stripes[place]
    grey = grey * rng.uniform(0.5, 1.2, (frames, 1, 1)) + rng.normal(0, 2, (frames, SIDE, SIDE))
    return np.stack([np.clip(grey, 0, 255), np.full_like(grey, 255)], axis=1).astype(np.uint8)


def test_the_usual_appearance_is_learnt_though_it_is_covered_for_more_than_half_of_the_clip():
    rng = np.random.default_rng(0)
    places = [8 + (frame // 8) % 8 for frame in range(200)]  # the hand moves
    clip = appearances(200, rng, {k: np.s_[12:24, places[k] : places[k] + 10] for k in range(60, 175)})
    share = occluded_share(clip)
    assert share[:60].max() < LEAST_OCCLUDED_SHARE
    assert share[60:175].min() > LEAST_OCCLUDED_SHARE
    flags = occluded_frames([*clip], [0] * 200)
    assert flags[60:175].all()
    assert flags.sum() < 115 + 10


def test_nothing_is_flagged_where_the_usual_appearance_is_unknown():
    rng = np.random.default_rng(0)
    short = appearances(SHORTEST_CLIP - 1, rng, {k: np.s_[12:26, 8:24] for k in range(20, 40)})
    assert occluded_share(short)[20:40].min() > LEAST_OCCLUDED_SHARE
    assert not occluded_frames([*short], [0] * len(short)).any(), "too short to know what is usual"
    others = np.concatenate([appearances(20, rng) for _ in range(10)])
    assert (occluded_share(others) > LEAST_OCCLUDED_SHARE).mean() > LARGEST_OCCLUDED_SHARE
    assert not occluded_frames([*others], [0] * 200).any(), "nothing is usual"
    assert not occluded_frames([None] * 200, [0] * 200).any()
    two = np.concatenate([appearances(100, rng), appearances(100, rng)])
    assert not occluded_frames([*two], [0] * 100 + [1] * 100).any(), "after a cut, another face is usual"


def test_a_side_that_is_turned_away_does_not_count():
    rng = np.random.default_rng(0)
    clip = appearances(100, rng, {k: np.s_[10:26, 5:14] for k in range(40, 60)})
    assert occluded_share(clip)[40:60].min() > LEAST_OCCLUDED_SHARE
    aside = clip.copy()
    aside[40:60, 1, 10:26, 5:12] = 0
    assert occluded_share(aside)[40:60].max() < LEAST_OCCLUDED_SHARE
    clip[40:60, 1, :, 20:] = 0
    assert not occluded_share(clip)[40:60].any(), "a face turned far away is not judged"
