"""A face's movement must come back as the numbers that the renderer would draw it from."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from perfrdiff.coefficients import CHANNEL, EXPRESSION, ROTATION, TRANSLATION, neutral, react_mean
from perfrdiff.errors import InputError
from perfrdiff.features.clip import read_listener, read_speaker
from perfrdiff.features.media.images import read_image
from perfrdiff.features.media.input import open_input
from perfrdiff.features.tracking import landmarker
from perfrdiff.features.tracking.face_track import track_image, track_video
from perfrdiff.features.tracking.pose import euler_angles, rotation_matrix, smooth, translations
from perfrdiff.features.tracking.search import survey_faces
from perfrdiff.features.tracking.signals import (
    QUALITIES,
    FaceReading,
    RawTrack,
    clean,
    neutral_offset,
    without_offset,
)
from renderer.face_model import load_face_model
from renderer.mesh import MeshRenderer
from tests.support.clips import click, grey, write_clip

ROOT = Path(__file__).resolve().parents[1]
SPEAKER = ROOT / "assets" / "examples" / "speaker.mp4"
PORTRAIT = ROOT / "assets" / "examples" / "portrait.jpg"


# --- pose and signals -------------------------------------------------------------------------------------------------


def test_angles_and_matrices_are_inverse_and_upright_is_pi():
    angles = np.random.default_rng(0).uniform(-1.2, 1.2, (200, 3))
    np.testing.assert_allclose(euler_angles(rotation_matrix(angles)) - [np.pi, 0, 0], angles, atol=1e-12)
    np.testing.assert_allclose(euler_angles(np.eye(3)), [np.pi, 0, 0])


def test_the_model_stored_y_down_stands_as_the_tracked_head_does():
    """R_fv = R_head Rx(pi): FaceVerse's angles do to a y-down model what the head's rotation does to an upright one."""
    head = rotation_matrix(np.array([0.3, -0.4, 0.2]))
    half_turn = rotation_matrix(np.array([np.pi, 0, 0]))
    np.testing.assert_allclose(rotation_matrix(euler_angles(head)), head @ half_turn, atol=1e-12)


def test_translation_is_metric_sideways_and_apparent_size_in_depth():
    seat = np.array([3.0, -2.0, -50.0])
    home = react_mean()[TRANSLATION]
    moved = translations(seat + np.array([[0, 0, 0], [16.2, 0, 0], [0, 8.1, 0], [0, 0, 5.0]]), seat)
    np.testing.assert_allclose(moved[0], home, atol=1e-6)
    np.testing.assert_allclose(moved[1] - home, [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(moved[2] - home, [0, 0.5, 0], atol=1e-6)
    # 10 % nearer, so seen 1/0.9 as large: FaceVerse's camera at z = 10 must be 10 % nearer, too.
    assert (10 - moved[3, 2]) / (10 - home[2]) == pytest.approx(0.9)


def test_smoothing_calms_noise_but_keeps_fast_nods_in_time():
    time = np.arange(100) / 25
    nod = np.sin(2 * np.pi * 3 * time)[:, None]
    kept = smooth(nod)[10:-10, 0]
    assert np.abs(kept).max() > 0.93
    assert np.corrcoef(kept, nod[10:-10, 0])[0, 1] > 0.999, "no lag"
    noise = np.random.default_rng(0).normal(size=(2000, 1))
    assert smooth(noise).std() < 0.75


def raw_track(frames: int, missing=()) -> RawTrack:
    track = RawTrack()
    for index in range(frames):
        if index in missing:
            track.add(None, take=0)
            continue
        expressions = np.full(52, 0.3, dtype=np.float32)
        expressions[CHANNEL["jawOpen"]] = index / frames
        yaw = 0.4 * np.sin(2 * np.pi * index / 100)
        rotation = rotation_matrix(np.array([0.0, yaw, 0.0]))
        track.add(FaceReading(expressions, rotation, np.array([0, 0, -40.0]), sharpness=1.0), take=0)
    return track


def test_short_gaps_are_bridged_and_long_ones_rest_at_the_median():
    complete, _ = clean(raw_track(200))
    short, _ = clean(raw_track(200, missing=range(50, 56)))
    np.testing.assert_allclose(short, complete, atol=0.02)
    long, _ = clean(raw_track(200, missing=range(60, 120)))
    jaw = long[:, CHANNEL["jawOpen"]]
    seen = np.r_[0:60, 120:200]
    np.testing.assert_allclose(jaw[75:105], np.median(jaw[seen]), atol=0.01)
    assert np.abs(np.diff(long, axis=0)).max() < 0.1, "eased, not jumped"


def test_gaps_at_the_ends_are_filled_too():
    rows, _ = clean(raw_track(100, missing=[*range(20), *range(85, 100)]))
    assert np.isfinite(rows).all()


def test_a_persons_resting_face_is_the_new_zero():
    expressions = np.zeros((100, 52))
    expressions[:, CHANNEL["browDownLeft"]] = 0.3
    expressions[40:60, CHANNEL["browDownLeft"]] = 1.0
    expressions[:, CHANNEL["mouthSmileLeft"]] = 0.5  # a held smile is an expression
    offset = neutral_offset(expressions)
    cleaned = without_offset(expressions, offset)
    assert cleaned[0, CHANNEL["browDownLeft"]] == 0
    assert cleaned[50, CHANNEL["browDownLeft"]] == 1
    assert cleaned[0, CHANNEL["mouthSmileLeft"]] == 0.5
    assert not neutral_offset(expressions[:50]).any(), "too short to know"


# --- the tracker on the built-in head ---------------------------------------------------------------------------------


def pose(**values: float) -> np.ndarray:
    row = neutral()
    for name, value in values.items():
        for channel in (name, name + "Left", name + "Right"):
            if channel in CHANNEL:
                row[CHANNEL[channel]] += value
    return row


@pytest.fixture(scope="module")
def head():
    """Draws (T, 58) coefficients with the built-in head."""
    renderer = MeshRenderer(load_face_model(), size=384)
    return lambda rows: list(renderer.render(np.asarray(rows)))


@pytest.fixture(scope="module")
def rest(head):
    return track_image(head([neutral()])[0]).coefficients


@pytest.mark.parametrize("axis", ["rotationX", "rotationY", "rotationZ"])
def test_turns_of_the_head_come_back_with_sign_and_size(head, rest, axis):
    degrees = np.array([-25, -12, 12, 25])
    pictures = head([pose(**{axis: np.radians(angle)}) for angle in degrees])
    read = np.array([track_image(picture).coefficients for picture in pictures])
    back = np.degrees(read[:, CHANNEL[axis]] - rest[CHANNEL[axis]])
    np.testing.assert_allclose(back, degrees, atol=5)
    others = np.degrees(np.delete(read[:, ROTATION] - rest[ROTATION], CHANNEL[axis] - ROTATION.start, axis=1))
    assert np.abs(others).max() < 5


@pytest.mark.parametrize("name", ["mouthSmile", "jawOpen", "eyeBlink", "mouthPucker"])
def test_expressions_come_back_in_their_channel(head, rest, name):
    read = track_image(head([pose(**{name: 0.9})])[0]).coefficients
    channels = [CHANNEL[one] for one in (name, name + "Left", name + "Right") if one in CHANNEL]
    assert (read[channels] - rest[channels]).min() > 0.4


def test_left_is_the_subjects_left(head):
    read = track_image(head([pose(eyeBlinkLeft=1.0)])[0]).coefficients
    assert read[CHANNEL["eyeBlinkLeft"]] > read[CHANNEL["eyeBlinkRight"]] + 0.2


@pytest.mark.slow
def test_a_moving_head_is_followed_without_lag_and_framed_at_the_mean(head, tmp_path):
    time = np.arange(75) / 25
    nods = 0.12 * np.sin(2 * np.pi * 1.5 * time)
    shifts = 0.25 * np.sin(2 * np.pi * 0.5 * time)
    rows = [pose(rotationX=nod, translationX=shift) for nod, shift in zip(nods, shifts, strict=True)]
    track = track_video(write_clip(tmp_path / "head.mp4", head(rows), time))
    assert track.tracked.all()
    pitch = track.coefficients[:, CHANNEL["rotationX"]]
    across = track.coefficients[:, CHANNEL["translationX"]]
    lags = [np.corrcoef(pitch[5:-5], nods[5 + lag : 70 + lag])[0, 1] for lag in range(-3, 4)]
    assert int(np.argmax(lags)) == 3
    assert max(lags) > 0.97
    assert np.std(pitch) == pytest.approx(np.std(nods), rel=0.2)
    assert np.corrcoef(across, shifts)[0, 1] > 0.97
    assert np.std(across) == pytest.approx(np.std(shifts), rel=0.2)
    home = react_mean()[TRANSLATION]
    np.testing.assert_allclose(np.median(track.coefficients[:, TRANSLATION], axis=0), home, atol=0.02)


# --- whole clips ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return read_image(PORTRAIT)


def shrunk(picture: np.ndarray, size: int) -> np.ndarray:
    step = picture.shape[0] // size
    picture = picture[: size * step, : size * step].astype(np.float32)
    return picture.reshape(size, step, size, step, 3).mean(axis=(1, 3)).astype(np.uint8)


@pytest.mark.slow
def test_the_example_speaker_is_read_to_its_end():
    progress: list[float] = []
    speaker = read_speaker(SPEAKER, progress=progress.append)
    frames = len(speaker.coefficients)
    assert speaker.audio.shape == (frames, 78)
    assert speaker.coefficients.shape == (frames, 58)
    assert speaker.attributes.shape == (frames, 25)
    assert len(speaker.waveform.samples) == frames * 640
    for stream in (speaker.audio, speaker.coefficients, speaker.attributes):
        assert stream.dtype == np.float32
        assert np.isfinite(stream).all()
    assert 0 <= speaker.coefficients[:, EXPRESSION].min() <= speaker.coefficients[:, EXPRESSION].max() <= 1
    assert np.abs(np.diff(speaker.coefficients[:, ROTATION], axis=0)).max() < 0.3, "angles never jump by a turn"
    assert progress == sorted(progress)
    assert progress[-1] == 1


def test_a_photo_gives_a_portrait_and_no_behaviour(portrait):
    listener = read_listener(PORTRAIT)
    assert listener.behaviour is None
    assert listener.landmarks.shape == (478, 3)
    height, width = listener.photo.shape[:2]
    assert (listener.landmarks[:, :2] > 0).all()
    assert (listener.landmarks[:, :2] < [width, height]).all()


@pytest.mark.slow
def test_a_listener_video_gives_behaviour_and_a_calm_portrait(head, tmp_path):
    rows = [pose(rotationY=0.5, jawOpen=0.6)] * 30 + [neutral()] * 10 + [pose(eyeBlink=1.0)] * 30
    path = write_clip(tmp_path / "listener.mp4", head(rows), np.arange(70) / 25)
    listener = read_listener(path)
    assert listener.behaviour.shape == (70, 58)
    assert abs(listener.photo_coefficients[CHANNEL["rotationY"]]) < 0.15
    assert listener.photo_coefficients[CHANNEL["jawOpen"]] < 0.2
    assert listener.photo_coefficients[CHANNEL["eyeBlinkLeft"]] < 0.4
    with pytest.raises(InputError, match="at least 2 s"):
        read_listener(write_clip(tmp_path / "short.mp4", head(rows[:1]) * 40, np.arange(40) / 25))


def test_a_soundless_speaker_works_and_says_so(portrait, tmp_path):
    speaker = read_speaker(write_clip(tmp_path / "mute.mp4", [shrunk(portrait, 256)] * 30, np.arange(30) / 25))
    assert speaker.waveform is None
    assert any("no sound" in note for note in speaker.notes)
    assert np.isfinite(speaker.audio).all()


@pytest.mark.slow
def test_sound_stays_with_the_frames(portrait, tmp_path):
    pictures, times = [shrunk(portrait, 256)] * 50, np.arange(50) / 25
    speaker = read_speaker(write_clip(tmp_path / "clip.mov", pictures, times, audio_tracks=[(0.0, click(2, 1.0))]))
    assert int(speaker.audio[:, 0].argmax()) == 25


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width", "pixels"), [(720, 1280, 128), (1080, 1920, 64)])
def test_a_small_face_in_a_large_picture_is_found_and_followed(portrait, tmp_path, height, width, pixels):
    picture = grey(120, height, width)
    picture[200 : 200 + pixels, 300 : 300 + pixels] = shrunk(portrait, pixels)
    path = write_clip(tmp_path / "small.mp4", [picture] * 30, np.arange(30) / 25)
    with open_input(path) as media:
        (candidate,) = survey_faces(media)
    alone = track_image(shrunk(portrait, 128)).landmarks
    assert candidate.size == pytest.approx(np.ptp(alone[:, :2], axis=0).max() * pixels / 128, rel=0.1)
    assert track_video(path).tracked.mean() > 0.9


@pytest.mark.slow
def test_of_two_faces_the_larger_is_followed_and_named(portrait, tmp_path):
    picture = grey(120, 640, 320)
    picture[20:276, 20:276] = shrunk(portrait, 256)
    picture[60:230, 440:610] = shrunk(portrait, 170)
    track = track_video(write_clip(tmp_path / "two.mp4", [picture] * 30, np.arange(30) / 25), portrait=True)
    assert any("2 faces" in note and "left" in note for note in track.notes)
    assert track.landmarks[:, 0].max() < 320


@pytest.mark.slow
def test_a_face_that_hides_for_a_second_is_noted_and_one_that_hides_mostly_is_refused(portrait, tmp_path):
    face, wall = shrunk(portrait, 256), grey(120, 256, 256)
    times = np.arange(100) / 25
    track = track_video(write_clip(tmp_path / "hides.mp4", [face] * 40 + [wall] * 30 + [face] * 30, times))
    assert 0.65 < track.tracked.mean() < 0.75
    assert any("out of sight" in note for note in track.notes)
    with pytest.raises(InputError, match=r"seen in only 30% .*\(0\.0–1\.2 s\)"):
        track_video(write_clip(tmp_path / "gone.mp4", [face] * 30 + [wall] * 70, times))


def test_a_dark_face_is_followed_and_flagged_as_coarse(portrait, tmp_path):
    dark = (shrunk(portrait, 256) * 0.12).astype(np.uint8)
    track = track_video(write_clip(tmp_path / "dark.mp4", [dark] * 30, np.arange(30) / 25))
    assert (track.quality == QUALITIES.index("coarse")).all()
    assert any("too dark" in note for note in track.notes)


def test_no_face_is_refused_plainly(tmp_path):
    with pytest.raises(InputError, match=r"No face was found in “wall\.mp4”"):
        track_video(write_clip(tmp_path / "wall.mp4", [grey(99, 128, 128)] * 30, np.arange(30) / 25))
    with pytest.raises(InputError, match="No face"):
        track_image(grey(99, 128, 128))


@pytest.mark.parametrize("turns", [1, 3])
def test_a_photo_on_its_side_is_set_upright(portrait, tmp_path, turns):
    from PIL import Image

    Image.fromarray(np.rot90(portrait, turns)).save(tmp_path / "side.png")
    listener = read_listener(tmp_path / "side.png")
    assert any("turned" in note for note in listener.notes)
    assert abs(listener.photo_coefficients[CHANNEL["rotationZ"]]) < 0.3


def test_a_face_turned_away_is_refused_for_animation(head):
    from perfrdiff.features.clip import _check_photo

    with pytest.raises(InputError, match="turned away"):
        _check_photo(track_image(head([pose(rotationY=np.radians(48))])[0]), "x")


# --- the tracker itself -----------------------------------------------------------------------------------------------


def test_another_model_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "model.task").write_bytes(b"something else")
    monkeypatch.setattr(landmarker, "MODEL", tmp_path / "model.task")
    landmarker._model.cache_clear()
    try:
        with pytest.raises(InputError, match="not the official file"):
            landmarker.FaceTracker(streaming=False)
        monkeypatch.setattr(landmarker, "MODEL", tmp_path / "none.task")
        with pytest.raises(InputError, match="missing"):
            landmarker.FaceTracker(streaming=False)
    finally:
        landmarker._model.cache_clear()


@pytest.mark.slow
def test_tracking_opens_no_socket_and_keeps_quiet():
    code = (
        "import sys\n"
        "sys.addaudithook(lambda event, args: sys.exit(f'{event} {args}') if event.startswith('socket.') else None)\n"
        "from perfrdiff.features.media.images import read_image\n"
        "from perfrdiff.features.tracking.face_track import track_image\n"
        f"track_image(read_image({str(PORTRAIT)!r}))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120, env=dict(os.environ)
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.strip() == ""
    assert run.stdout.strip() == ""
