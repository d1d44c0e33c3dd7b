"""Event features: they say what was drawn, see through a tracker's noise, and do not know the resting face."""

import numpy as np
import pytest
from scipy.signal import savgol_filter

from perfrdiff.behaviour import events
from perfrdiff.behaviour.bands import BANDS, CHANNEL_GROUPS, band_rms, liveliness
from perfrdiff.behaviour.event_features import EVENT_FEATURES, SHORTEST_CLIP, event_features
from perfrdiff.behaviour.glances import averted_side, glances
from perfrdiff.coefficients import CHANNEL, EXPRESSION, ROTATION
from perfrdiff.data.simulator.motion import DEGREE, Motion, add_gaze
from perfrdiff.errors import InputError

FRAMES = 750
MINUTES = 0.5


def busy() -> np.ndarray:
    """Half a minute with six nods of 5°, ten blinks, two smiles, three glances to the left and a tilt."""
    motion = Motion(FRAMES)
    for start in np.linspace(2, 26, 6):
        motion.nod(start, 5.0, 2.2, 2.0)
    for start in np.linspace(1, 28, 10):
        motion.blink(start, 0.7)
    for start in (5.0, 18.0):
        motion.add("mouthSmile", 0.4 * motion.envelope(start, 0.5, 2.0, 0.7), asymmetry=0.2)
    for start in (9.0, 15.5, 24.0):
        away = 0.4 * motion.envelope(start, 0.12, 0.8, 0.12)
        add_gaze(motion, away, 0 * away)
    for start in (7.0, 13.0):
        motion.add("mouthPress", 0.3 * motion.envelope(start, 0.3, 0.5, 0.4))
    motion.offsets[:, CHANNEL["rotationZ"]] += 6 * DEGREE * motion.envelope(11.0, 0.9, 4.0, 0.9)
    return motion.coefficients()


def tracked(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With a tracker's noise (docs/method.md 14.9)."""
    noisy = clip + 0.012 * rng.standard_normal(clip.shape)
    noisy[:, ROTATION] = clip[:, ROTATION] + 0.12 * DEGREE * rng.standard_normal((len(clip), 3))
    noisy[:, EXPRESSION] = noisy[:, EXPRESSION].clip(0, 1)
    return noisy.astype(np.float32)


def named(clip: np.ndarray) -> dict[str, float]:
    return dict(zip(EVENT_FEATURES, event_features(clip), strict=True))


def per_minute(value: float) -> float:
    return np.expm1(value)


def test_features_say_what_was_drawn():
    found = named(busy())
    counts = {"nod rate": 6, "clear nod rate": 6, "blink rate": 10, "smile rate": 2, "glance rate": 3, "tilt rate": 2,
              "lip press rate": 2, "brow rate": 0, "frown rate": 0}  # fmt: skip
    for name, count in counts.items():
        assert per_minute(found[name]) == pytest.approx(count / MINUTES), name
    assert np.exp(found["nod size"]) == pytest.approx(4.4, abs=0.7)
    assert np.exp(found["nod frequency"]) == pytest.approx(2.2, abs=0.3)
    assert np.exp(found["glance size"]) == pytest.approx(0.4, abs=0.06) and found["glance side"] > 0.7
    assert np.exp(found["tilt size"]) == pytest.approx(5.6, abs=0.6)
    assert found["smile asymmetry"] == pytest.approx(0.2, abs=0.04)
    assert found["roll"] == pytest.approx(0.0, abs=0.1)


def test_a_trackers_noise_changes_little():
    """Else somebody would be recognised by how well their camera saw them."""
    clean = busy()
    for seed in range(3):
        before, after = named(clean), named(tracked(clean, np.random.default_rng(seed)))
        for name in EVENT_FEATURES:
            assert after[name] == pytest.approx(before[name], abs=0.25), name


def test_the_resting_face_does_not_count():
    clip = busy()
    other_face = clip.copy()
    for name in ("browInnerUp", "browDownLeft", "eyeSquintLeft", "mouthPressRight", "mouthFrownLeft", "cheekPuff"):
        other_face[:, CHANNEL[name]] += 0.2
    assert event_features(other_face) == pytest.approx(event_features(clip), abs=1e-5)


def test_a_still_face_has_defaults_and_two_seconds_are_enough():
    still = Motion(SHORTEST_CLIP).coefficients()
    found = named(still)
    assert np.isfinite(list(found.values())).all()
    assert found["nod rate"] == found["blink rate"] == found["glance rate"] == 0.0
    assert np.exp(found["nod size"]) == pytest.approx(4.3)
    with pytest.raises(InputError, match="50 or more"):
        event_features(still[:-1])


def test_smoothing_is_that_of_savitzky_and_golay():
    for frames in (5, 13, 200):
        rows = np.random.default_rng(frames).standard_normal((frames, 3))
        assert events.smoothed(rows) == pytest.approx(savgol_filter(rows, events.SMOOTHING, 2, axis=0), abs=1e-12)


def test_clear_nods_are_large_or_long():
    motion = Motion(500)
    motion.nod(2.0, 2.4, 2.2, 1.0)  # neither
    motion.nod(7.0, 7.0, 2.2, 1.0)  # large
    motion.nod(12.0, 3.2, 2.2, 3.0)  # long
    nods = events.nods(motion.coefficients())
    assert nods.clear.tolist() == [False, True, True]


def test_small_nods_are_all_sinkings_of_the_chin():
    motion = Motion(500)
    motion.nod(2.0, 2.2, 2.0, 1.0)
    motion.nod(6.0, 5.0, 2.0, 3.0)  # three in one burst
    motion.nod(10.0, 1.2, 2.0, 1.0)  # too small
    motion.offsets[:, CHANNEL["rotationX"]] += 3 * DEGREE * motion.step(14.0, 2.0)  # slow, and does not come back
    motion.offsets[:, CHANNEL["rotationY"]] += 9 * DEGREE * motion.envelope(17.0, 0.3, 0.5, 0.3)  # a turn
    starts = events.small_nods(motion.coefficients())
    assert starts == pytest.approx([2.05, 6.05, 6.5, 7.05, 14.4], abs=0.2)


def test_glances_have_a_side_and_a_length():
    motion = Motion(500)
    yaw = sum(side * motion.envelope(start, 0.12, 1.0, 0.12) for start, side in ((4, 0.3), (9, -0.5), (14, 0.25)))
    add_gaze(motion, yaw, 0 * yaw)
    motion.blink(6.5, 0.8)  # lids that close pull the eyes down: no glance
    found = glances(motion.coefficients())
    assert found.start == pytest.approx([4.0, 9.0, 14.0], abs=0.12)
    assert found.size == pytest.approx([0.3, 0.5, 0.25], abs=0.03)
    assert np.sign(found.side).tolist() == [1, -1, 1] and found.length == pytest.approx([1.24] * 3, abs=0.2)


def side_of(*looks):
    """`averted_side` of 20 s with looks (start, size, seconds), to the left where the size is above 0."""
    motion = Motion(500)
    yaw = sum((size * motion.envelope(start, 0.12, seconds, 0.12) for start, size, seconds in looks), np.zeros(500))
    add_gaze(motion, yaw, 0 * yaw)
    motion.blink(0.5, 0.8)
    return averted_side(motion.coefficients())


def test_long_and_far_looks_say_more_of_a_side_than_short_ones():
    assert side_of() == 0.0 and side_of((4, 0.1, 2.0)) == 0.0
    once, twice = side_of((4, 0.4, 0.8)), side_of((4, 0.4, 0.8), (12, 0.4, 0.8))
    assert 0.3 < once < twice < 1.0
    assert side_of((4, -0.4, 0.8)) == pytest.approx(-once)
    assert abs(side_of((4, 0.4, 0.8), (12, -0.4, 0.8))) < 0.02
    assert side_of((4, 0.5, 2.0), (9, -0.25, 0.2), (14, -0.25, 0.2)) > 0.4


def test_a_sine_is_lively_in_its_own_band_alone():
    time = np.arange(FRAMES) / 25
    for low, high in BANDS:
        wave = 3.0 * np.sin(2 * np.pi * np.sqrt(low * high) * time) + 10 * time / 30  # on a drift over the whole clip
        levels = [band_rms(wave, *band) for band in BANDS]
        assert levels[BANDS.index((low, high))] == pytest.approx(3 / np.sqrt(2), rel=0.15)
        assert sorted(levels)[-2] < 0.45
    motion = Motion(FRAMES)
    motion.offsets[:, CHANNEL["rotationY"]] = DEGREE * 2 * np.sin(2 * np.pi * 0.5 * time)
    table = liveliness(motion.coefficients())
    assert table.shape == (len(CHANNEL_GROUPS), len(BANDS))
    assert table[list(CHANNEL_GROUPS).index("yaw")] == pytest.approx([0.0, np.sqrt(2), 0.0], abs=0.2)
