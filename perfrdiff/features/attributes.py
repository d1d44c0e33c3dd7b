"""25 facial attributes per frame, read off the 52 expression coefficients by stated rules.

REACT 2024 describes a frame by 15 action units (AUs), valence, arousal and 8 expression probabilities, produced there
by networks. Here they are rules, so that anyone can check why a frame is called happy:

* **AUs**: FACS (Ekman, Friesen & Hager 2002) against ARKit's blendshapes, mean of left and right (docs/method.md 1.5).
  AU6 has no reliable blendshape of its own: a smile that narrows the eyes raises the cheek, so it is at least
  ``1.5 sqrt(eyeSquint * mouthSmile)``.
* **Expressions**: AU prototypes of EMFACS (Friesen & Ekman 1983) and Du, Tao & Martinez 2014 (PNAS 111, table 1) as
  weighted sums, contempt as one-sided AU12/AU14 (Ekman & Friesen 1986), all in one softmax against a constant Neutral.
  The weights are hand-set; they decide which label wins and are no calibrated probabilities.
* **Valence, arousal**: circumplex points (Russell 1980), weighted with the probabilities' change against a face at
  rest, so that a resting face is exactly (0, 0). The points are hand-set too.
"""

from types import MappingProxyType

import numpy as np

from perfrdiff.coefficients import EXPRESSION, EXPRESSION_NAMES, WIDTH
from perfrdiff.errors import InputError

__all__ = ["ACTION_UNITS", "ATTRIBUTE_COUNT", "ATTRIBUTE_NAMES", "EXPRESSION_LABELS", "facial_attributes"]

ACTION_UNITS: tuple[str, ...] = (
    "AU1", "AU2", "AU4", "AU6", "AU7", "AU9", "AU10", "AU12", "AU14", "AU15", "AU17", "AU23", "AU24", "AU25", "AU26",
)  # fmt: skip
EXPRESSION_LABELS: tuple[str, ...] = (
    "Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt",
)  # fmt: skip
ATTRIBUTE_NAMES: tuple[str, ...] = (*ACTION_UNITS, "valence", "arousal", *EXPRESSION_LABELS)
"""Names of the 25 columns: 15 AUs (0 … 1), valence and arousal (-1 … 1), 8 probabilities that sum to 1."""
ATTRIBUTE_COUNT = len(ATTRIBUTE_NAMES)

# What speaks for (+) and against (-) each expression, in units of AU intensity 0 … 1. AU5 = upper lid raised, AU20 =
# lips stretched, "onesided" = the lip corner of one side only; none of the three is among the 25 published columns.
_PROTOTYPES = MappingProxyType(
    {
        "Happy": {"AU12": 0.9, "AU6": 0.4, "AU4": -0.3, "AU15": -0.5, "onesided": -1.0},
        "Sad": {
            "AU1": 0.7,
            "AU4": 0.5,
            "AU15": 0.9,
            "AU17": 0.3,
            "AU2": -0.6,
            "AU12": -0.5,
            "AU26": -0.3,
            "AU20": -0.4,
        },
        "Surprise": {"AU1": 0.5, "AU2": 0.6, "AU5": 0.5, "AU26": 0.4, "AU4": -0.7, "AU12": -0.3, "AU20": -0.5},
        "Fear": {"AU1": 0.5, "AU2": 0.2, "AU4": 0.4, "AU5": 0.5, "AU20": 0.8, "AU25": 0.1, "AU12": -0.5, "AU15": -0.3},
        "Disgust": {"AU9": 0.8, "AU10": 0.7, "AU17": 0.3, "AU4": 0.1, "AU12": -0.6, "AU1": -0.3},
        "Anger": {
            "AU4": 0.8,
            "AU7": 0.3,
            "AU23": 0.4,
            "AU24": 0.5,
            "AU1": -0.6,
            "AU9": -0.5,
            "AU10": -0.5,
            "AU12": -0.5,
        },
        "Contempt": {"onesided": 1.2, "AU14": 0.4, "AU4": -0.3, "AU15": -0.4, "AU25": -0.2},
    }
)
_NEUTRAL_SCORE = 0.3  # an expression has to reach this sum before it outweighs Neutral
_SHARPNESS = 12.0  # softmax gain: a face at rest is Neutral with probability 0.84
_CIRCUMPLEX = np.array(  # valence, arousal of EXPRESSION_LABELS
    [[0, 0], [0.8, 0.4], [-0.7, -0.4], [0.1, 0.8], [-0.6, 0.7], [-0.7, 0.3], [-0.6, 0.6], [-0.5, 0.2]], dtype=np.float32
)


def facial_attributes(coefficients: np.ndarray) -> np.ndarray:
    """Facial attributes of every frame.

    Args:
        coefficients: (T, 58) with the expressions in columns 0 … 51 (clipped to 0 … 1); pose is not used.

    Returns:
        (T, 25) float32, columns ``ATTRIBUTE_NAMES``.

    Raises:
        InputError: another width than 58.
    """
    coefficients = np.asarray(coefficients, dtype=np.float32)
    if coefficients.ndim != 2 or coefficients.shape[1] != WIDTH:
        raise InputError(f"Coefficients of shape (T, {WIDTH}) were expected, got {coefficients.shape}.")
    columns = np.clip(coefficients[:, EXPRESSION], 0.0, 1.0).T
    units = _action_units(dict(zip(EXPRESSION_NAMES, columns, strict=True)))
    probabilities = _probabilities(units)
    at_rest = _probabilities({name: np.zeros(1, dtype=np.float32) for name in units})
    circumplex = np.clip((probabilities - at_rest) @ _CIRCUMPLEX, -1.0, 1.0)
    return np.concatenate([np.stack([units[name] for name in ACTION_UNITS], axis=1), circumplex, probabilities], axis=1)


def _action_units(blendshapes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(T,) blendshapes by ARKit name -> (T,) AU intensities 0 … 1, with the three helpers of ``_PROTOTYPES``."""

    def both(name: str) -> np.ndarray:
        return (blendshapes[name + "Left"] + blendshapes[name + "Right"]) / 2

    smile, dimple = both("mouthSmile"), both("mouthDimple")
    lips_apart = np.maximum(blendshapes["jawOpen"] - blendshapes["mouthClose"], both("mouthLowerDown"))
    left = np.maximum(blendshapes["mouthSmileLeft"], blendshapes["mouthDimpleLeft"])
    right = np.maximum(blendshapes["mouthSmileRight"], blendshapes["mouthDimpleRight"])
    return {
        "AU1": blendshapes["browInnerUp"],
        "AU2": both("browOuterUp"),
        "AU4": both("browDown"),
        "AU5": both("eyeWide"),
        "AU6": np.maximum(both("cheekSquint"), np.minimum(1.5 * np.sqrt(both("eyeSquint") * smile), 1.0)),
        "AU7": both("eyeSquint"),
        "AU9": both("noseSneer"),
        "AU10": both("mouthUpperUp"),
        "AU12": smile,
        "AU14": dimple,
        "AU15": both("mouthFrown"),
        "AU17": blendshapes["mouthShrugLower"],
        "AU20": both("mouthStretch"),
        "AU23": (blendshapes["mouthRollLower"] + blendshapes["mouthRollUpper"]) / 2,
        "AU24": both("mouthPress"),
        "AU25": np.maximum(lips_apart, 0.6 * both("mouthUpperUp")),
        "AU26": blendshapes["jawOpen"],
        "onesided": np.abs(left - right),
    }


def _probabilities(units: dict[str, np.ndarray]) -> np.ndarray:
    """(T,) AU intensities -> (T, 8) probabilities in the order of EXPRESSION_LABELS."""
    frames = len(units["AU1"])
    scores = np.full((frames, len(EXPRESSION_LABELS)), _NEUTRAL_SCORE, dtype=np.float32)
    for label, prototype in _PROTOTYPES.items():
        score = sum(weight * units[name] for name, weight in prototype.items())
        scores[:, EXPRESSION_LABELS.index(label)] = np.maximum(score, 0.0)
    powers = np.exp(_SHARPNESS * (scores - scores.max(axis=1, keepdims=True)))
    return powers / powers.sum(axis=1, keepdims=True)
