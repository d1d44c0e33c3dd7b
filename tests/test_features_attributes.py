"""The facial attributes must follow their rules: every posed prototype gets its own label."""

import numpy as np
import pytest

from perfrdiff.coefficients import neutral
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import ACTION_UNITS, ATTRIBUTE_NAMES, EXPRESSION_LABELS, facial_attributes
from tests.support.faces import expression

POSES = {
    "Happy": {"mouthSmile": 0.7, "eyeSquint": 0.4},
    "Sad": {"browInnerUp": 0.6, "browDown": 0.3, "mouthFrown": 0.5, "mouthShrugLower": 0.3},
    "Surprise": {"browInnerUp": 0.7, "browOuterUp": 0.7, "eyeWide": 0.5, "jawOpen": 0.5},
    "Fear": {"browInnerUp": 0.7, "browDown": 0.4, "browOuterUp": 0.3, "eyeWide": 0.6, "mouthStretch": 0.6},
    "Disgust": {"noseSneer": 0.6, "mouthUpperUp": 0.5, "mouthShrugLower": 0.3, "browDown": 0.3},
    "Anger": {"browDown": 0.7, "eyeSquint": 0.4, "mouthPress": 0.5},
    "Contempt": {"mouthSmileLeft": 0.5, "mouthDimpleLeft": 0.5},
    "Neutral": {},
}


def column(attributes: np.ndarray, name: str) -> float:
    return float(attributes[0, ATTRIBUTE_NAMES.index(name)])


@pytest.mark.parametrize("label", EXPRESSION_LABELS)
def test_a_posed_prototype_gets_its_label(label):
    attributes = facial_attributes(expression(POSES[label])[None])
    probabilities = attributes[0, 17:]
    assert EXPRESSION_LABELS[int(probabilities.argmax())] == label
    assert probabilities.max() > 0.5


def test_shapes_ranges_and_sums():
    coefficients = np.random.default_rng(0).uniform(-0.5, 1.5, (200, 58)).astype(np.float32)
    attributes = facial_attributes(coefficients)
    assert attributes.shape == (200, 25)
    assert attributes.dtype == np.float32
    assert attributes[:, :15].min() >= 0
    assert attributes[:, :15].max() <= 1
    assert np.abs(attributes[:, 15:17]).max() <= 1
    np.testing.assert_allclose(attributes[:, 17:].sum(axis=1), 1, atol=1e-5)


def test_a_resting_face_has_no_action_units_and_sits_at_the_origin():
    attributes = facial_attributes(neutral()[None])
    np.testing.assert_allclose(attributes[0, :17], 0, atol=1e-6)


def test_valence_and_arousal_point_the_right_way():
    happy = facial_attributes(expression(POSES["Happy"])[None])
    sad = facial_attributes(expression(POSES["Sad"])[None])
    surprised = facial_attributes(expression(POSES["Surprise"])[None])
    assert column(happy, "valence") > 0.4 > 0 > -0.4 > column(sad, "valence")
    assert column(surprised, "arousal") > 0.4 > 0 > column(sad, "arousal")


@pytest.mark.parametrize(
    ("shape", "unit"),
    [("browInnerUp", "AU1"), ("browOuterUp", "AU2"), ("browDown", "AU4"), ("eyeSquint", "AU7"), ("noseSneer", "AU9"),
     ("mouthUpperUp", "AU10"), ("mouthSmile", "AU12"), ("mouthDimple", "AU14"), ("mouthFrown", "AU15"),
     ("mouthShrugLower", "AU17"), ("mouthPress", "AU24"), ("jawOpen", "AU26"), ("cheekSquint", "AU6")],
)  # fmt: skip
def test_each_unit_reads_its_own_blendshape(shape, unit):
    units = facial_attributes(expression({shape: 0.4})[None])[0, :15]
    assert units[ACTION_UNITS.index(unit)] == pytest.approx(0.4)
    assert units.max() == pytest.approx(0.4), "no other unit is read stronger"


def test_lips_closed_over_an_open_jaw_are_not_apart():
    attributes = facial_attributes(expression({"jawOpen": 0.5, "mouthClose": 0.5})[None])
    assert column(attributes, "AU25") == 0
    assert column(attributes, "AU26") == pytest.approx(0.5)


def test_wrong_width_is_refused():
    with pytest.raises(InputError, match="58"):
        facial_attributes(np.zeros((3, 52)))
