"""The round trip on a small set: what is drawn must be read back, more of it than the tracker's network alone reads."""

import re
from pathlib import Path

import numpy as np
import pytest

from perfrdiff.coefficients import (
    CHANNEL,
    EXPRESSION,
    ROTATION,
    TRACKED_CORRELATION,
    UNTRUSTED_COLUMNS,
    WIDTH,
    neutral,
    react_mean,
    trusted_channels,
)
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import EXPRESSION_LABELS, facial_attributes
from perfrdiff.features.tracking import units
from perfrdiff.features.tracking.jitter_filter import SMALLEST_ANGLE, SMALLEST_UNIT, dead_zone, filter_jitter
from perfrdiff.features.tracking.pose import model_origins, tracked_angles, translations
from perfrdiff.features.tracking.signals import neutral_offset, without_offset
from perfrdiff.features.tracking.units import (
    REGRESSED_CHANNELS,
    bounded_fit,
    face_shape,
    fit_rest,
    pose_terms,
    read_units,
    upright,
    with_regression,
)
from tests.support.faces import expression
from tools.drawn_faces import Observed, observe

pytestmark = pytest.mark.slow

# Channels that the network hardly sees on a drawn face, and some of those that it must not lose.
READ = (
    "browDownLeft", "browInnerUp", "mouthClose", "mouthRollUpper", "mouthPressLeft", "mouthLowerDownLeft", "jawRight",
    "mouthFunnel", "eyeBlinkRight", "jawOpen", "mouthSmileLeft", "eyeLookOutLeft",
)  # fmt: skip
STEPS = (0.4, 0.7, 1.0)
POSES = {
    "Happy": {"mouthSmile": 1.0, "eyeSquint": 0.7, "cheekSquint": 0.7},
    "Sad": {"browInnerUp": 0.9, "mouthFrown": 1.0, "browDown": 0.2},
    "Surprise": {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.9, "jawOpen": 0.6},
    "Fear": {"browInnerUp": 1.0, "browOuterUp": 0.4, "eyeWide": 1.0, "mouthStretch": 1.0, "browDown": 0.3},
    "Disgust": {"noseSneer": 1.0, "mouthUpperUp": 1.0, "browDown": 0.4},
    # A full mouthPress of this head draws the corners up, and passes for a smile with the tracker's network.
    "Anger": {"browDown": 1.0, "eyeSquint": 0.6, "mouthPress": 0.3, "mouthRollLower": 0.7},
    "Contempt": {"mouthSmileLeft": 0.8, "mouthDimpleLeft": 0.9},
    "Neutral": {},
}


@pytest.fixture(scope="module")
def drawn() -> Observed:
    """One person: each channel alone at three sizes, twice as many resting frames, then the prototypes, then turns."""
    rows = [expression({name: step}) for name in READ for step in STEPS]
    rows += [neutral()] * (len(rows) + 2 * len(POSES)) + [expression(shapes) for shapes in POSES.values()]
    for turn in [(x, y, z) for x in (-20, 0, 20) for y in (-20, 0, 20) for z in (0, 15)]:
        row = neutral()
        row[ROTATION] += np.radians(turn)
        row[-3] += turn[1] / 100
        rows.append(row)
    seen = observe("Mara", np.array(rows), np.random.default_rng(0), lights=False)
    assert seen.seen == 1
    return seen


@pytest.fixture(scope="module")
def readings(drawn) -> tuple[np.ndarray, np.ndarray]:
    shapes = np.stack([face_shape(points) for points in drawn.landmarks])
    offset = neutral_offset(drawn.network)
    return read_units(shapes, drawn.network, drawn.angles, offset), without_offset(drawn.network, offset)


def followed(read: np.ndarray, true: np.ndarray) -> float:
    return float(np.corrcoef(read, true)[0, 1]) if read.std() > 1e-9 else 0.0


def test_channels_come_back_and_more_of_them_than_the_network_sees(drawn, readings):
    count = len(READ) * len(STEPS)
    ours, errors = [], []
    for index, name in enumerate(READ):
        pick = np.r_[index * len(STEPS) : (index + 1) * len(STEPS), count : count + 6]
        true = drawn.units[pick, CHANNEL[name]]
        ours.append(followed(readings[0][pick, CHANNEL[name]], true))
        errors.append([np.sqrt(np.square(read[pick, CHANNEL[name]] - true).mean()) for read in readings])
    weak = {name: round(r, 2) for name, r in zip(READ, ours, strict=True) if r < 0.8}
    assert not weak, f"read worse than in the round trip's table: {weak}"
    assert np.mean(errors, axis=0)[0] < 0.6 * np.mean(errors, axis=0)[1], "half the network's error or so"


def test_trusted_channels_rest_on_the_round_trip():
    """The table in the code is the one that was measured; whoever measures anew has to change both."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "round_trip.md").read_text(encoding="utf-8")
    rows = {name: cells for name, *cells in re.findall(r"^\| (\w+) \| ([^|]*) \| \(?(-?[.\d]+)", page, flags=re.M)}
    assert {name: float(rows[name][1]) for name in TRACKED_CORRELATION} == TRACKED_CORRELATION
    assert {name for name in TRACKED_CORRELATION if "cannot be read" in rows[name][0]} == (
        set(TRACKED_CORRELATION) - set(trusted_channels())
    )


def test_what_cannot_be_read_is_constant(readings):
    assert not readings[0][:, UNTRUSTED_COLUMNS].any()


def test_a_resting_face_reads_nothing(drawn, readings):
    count = len(READ) * len(STEPS)
    assert readings[0][count : count + 40].mean(axis=0).max() < 0.1


@pytest.mark.parametrize("label", EXPRESSION_LABELS)
def test_a_prototype_that_is_drawn_and_tracked_gets_its_label(drawn, readings, label):
    first = len(drawn.units) - 18 - len(POSES)
    row = np.zeros((1, WIDTH), np.float32)
    row[0, EXPRESSION] = readings[0][first + list(POSES).index(label)]
    probabilities = facial_attributes(row)[0, 17:]
    assert EXPRESSION_LABELS[int(probabilities.argmax())] == label


def test_turns_and_places_come_back(drawn):
    last = slice(len(drawn.units) - 18, None)
    read = tracked_angles(drawn.rotations)
    seat = np.median(read[len(READ) * len(STEPS) :][:40], axis=0)
    error = np.degrees(read[last] - seat - drawn.true_angles[last])
    assert np.abs(error).mean(axis=0).max() < 2, "the issue's two degrees"
    origins = model_origins(drawn.positions, drawn.rotations)
    rest = np.median(origins[len(READ) * len(STEPS) :][:40], axis=0)
    place = translations(origins[last], rest) - react_mean()[-3:]
    moved = drawn.coefficients[last, -3:] - neutral()[-3:]
    assert np.abs(place - moved)[:, :2].max() < 0.03
    assert np.abs(place - moved)[:, 2].mean() < 0.03 * 8.16, "3 % of the camera's distance"


def test_shape_does_not_know_where_the_face_is(drawn):
    points = drawn.landmarks[0]
    half_turn = points * [-1, -1, 1] * 0.5 + [300, 200, 10]
    np.testing.assert_allclose(face_shape(half_turn), face_shape(points), atol=1e-2)
    table = units.response()
    assert upright(points[None], table.reference, table.stability).shape == (1, 478, 3)


def test_a_persons_own_way_of_turning_is_no_expression_and_an_expression_is_no_turn():
    rng = np.random.default_rng(0)
    time = np.arange(500) / 25
    angles = 0.35 * np.stack([np.sin(time), np.sin(1.3 * time), np.sin(0.7 * time)], axis=1)
    terms = pose_terms(angles)
    own, rest = rng.normal(0, 1, (13, 6)), rng.normal(0, 1, 6)
    smiles = np.zeros((500, 6))
    smiles[(time % 4) < 1, 2] = 3.0
    rest_read, personal = fit_rest(rest + terms @ own + smiles + rng.normal(0, 0.05, (500, 6)), terms)
    left = terms @ (own - personal) + rest - rest_read
    assert np.abs(left).mean() < 0.35 * np.abs(terms @ own).mean()
    _, calm = fit_rest(rest + 0.05 * terms @ own, 0.05 * terms)
    assert np.abs(0.05 * terms @ calm).mean() < 0.1 * np.abs(0.05 * terms @ own).mean(), (
        "too little turning to learn from"
    )


def test_the_fit_stays_within_bounds_and_finds_what_is_there():
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(52, 90))
    true = np.where(rng.random((30, 52)) < 0.1, rng.uniform(0.2, 1, (30, 52)), 0.0)
    units_read = bounded_fit(true @ basis, basis, 50 * np.eye(90))
    assert units_read.min() >= 0
    assert units_read.max() <= 1.2
    assert np.abs(units_read - true).mean() < 0.02


def test_smiles_are_read_by_the_regression_too_and_it_is_alike_on_both_sides(drawn, readings):
    fitted = np.full((1, 52), 0.2)
    table = units.response()
    full_smile = 100 * table.regression.T[:1] / np.square(table.regression[:, 0]).sum()
    both = with_regression(fitted, full_smile, table.regression)
    smiles = [CHANNEL[name] for name in REGRESSED_CHANNELS]
    np.testing.assert_allclose(both[0, smiles[0]], (0.2 + 1.2) / 2, err_msg="the mean of fit and regression, bounded")
    np.testing.assert_array_equal(np.delete(both, smiles), np.delete(fitted, smiles))
    # A full smile alone, and the prototype that smiles with both sides: both corners are read, and about as high.
    first = len(drawn.units) - 18 - len(POSES)
    happy = readings[0][first + list(POSES).index("Happy"), smiles]
    assert happy.min() > 0.7
    assert abs(happy[0] - happy[1]) < 0.15
    alone = readings[0][READ.index("mouthSmileLeft") * len(STEPS) + 2, smiles]
    assert alone[0] > 0.7
    assert alone[1] < 0.2


def test_jitter_goes_and_blinks_and_nods_stay():
    rng = np.random.default_rng(0)
    time = np.arange(200) / 25
    jitter = np.radians(0.25) * rng.normal(size=(200, 1))
    assert filter_jitter(jitter, SMALLEST_ANGLE).std() < np.radians(0.2)
    lids = 0.6 * np.exp(-(((time[:, None] - np.arange(1, 8)) / 0.06) ** 2)).max(axis=1)
    kept = filter_jitter(lids[:, None] + 0.01 * rng.normal(size=(200, 1)), SMALLEST_UNIT)[:, 0]
    assert 0.9 < kept.max() / lids.max() < 1.1
    assert abs(int(kept[15:35].argmax()) - int(lids[15:35].argmax())) <= 1, "no delay"
    nod = np.radians(2) * np.sin(2 * np.pi * 3 * time)[:, None]
    assert filter_jitter(nod, SMALLEST_ANGLE)[20:-20].max() > 0.9 * np.radians(2)
    units_seen = dead_zone(np.array([[0.02], [0.5], [1.0]]), np.array([0.09]))[:, 0]
    assert units_seen[0] < 0.005
    assert units_seen[1] > 0.45


def test_a_missing_table_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(units, "TABLE", tmp_path / "none.npz")
    units.response.cache_clear()
    try:
        with pytest.raises(InputError, match="missing or damaged"):
            units.response()
    finally:
        units.response.cache_clear()
