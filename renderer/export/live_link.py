"""A reaction as a recording of Epic's app Live Link Face: the CSV that Unreal, Blender and MetaHuman tools read.

Header, order and timecode are those of the app's own recordings. Angles are in radians: yaw to the subject's left,
pitch upwards, roll towards the subject's left shoulder, as this program reads such files (docs/method.md 1.7).
"""

from __future__ import annotations

import csv
import io

import numpy as np

from renderer.coefficients import UPRIGHT, plausible_coefficients
from renderer.face_model import COEFFICIENT_NAMES

_BOTH_EYES = ("EyeBlink", "EyeLookDown", "EyeLookIn", "EyeLookOut", "EyeLookUp", "EyeSquint", "EyeWide")
BLENDSHAPES: tuple[str, ...] = (
    *(f"{name}Left" for name in _BOTH_EYES), *(f"{name}Right" for name in _BOTH_EYES),
    "JawForward", "JawRight", "JawLeft", "JawOpen",
    "MouthClose", "MouthFunnel", "MouthPucker", "MouthRight", "MouthLeft", "MouthSmileLeft", "MouthSmileRight",
    "MouthFrownLeft", "MouthFrownRight", "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft",
    "MouthStretchRight", "MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper", "MouthPressLeft",
    "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight", "MouthUpperUpLeft", "MouthUpperUpRight",
    "BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight",
    "CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut",
)  # fmt: skip
ANGLES = tuple(f"{what}{angle}" for what in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll"))
HEADER = ("Timecode", "BlendShapeCount", *BLENDSHAPES, *ANGLES)
FRAMES_PER_SECOND = 25
EYE_TURN, EYE_LIFT = np.radians(35), np.radians(25)  # of eyeLook 1, sideways and up or down (docs/method.md 15.6)
_COLUMN = {name: index for index, name in enumerate(COEFFICIENT_NAMES)}


def live_link_csv(coefficients: np.ndarray) -> str:
    """The CSV of one reaction, (T, 58) coefficients at 25 frames per second, clamped as when it is drawn.

    The head's place is not in it, for the app records none. The eyes' angles are made from the eyeLook units. Raises
    RenderError for another shape, NaN or infinity.
    """
    rows = plausible_coefficients(coefficients)
    values = np.column_stack([_blendshapes(rows), _head(rows), _eye(rows, "Left"), _eye(rows, "Right")])
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for frame, row in enumerate(values):
        writer.writerow([_timecode(frame), len(HEADER) - 2, *(f"{value:.10f}" for value in row)])
    return text.getvalue()


def _blendshapes(rows: np.ndarray) -> np.ndarray:
    """(T, 52) in the app's order."""
    return rows[:, [_COLUMN[name[0].lower() + name[1:]] for name in BLENDSHAPES]]


def _head(rows: np.ndarray) -> np.ndarray:
    """(T, 3) yaw, pitch, roll."""
    x, y, z = (rows[:, -6:-3] - UPRIGHT).T
    return np.stack([y, -x, -z], axis=1)


def _eye(rows: np.ndarray, side: str) -> np.ndarray:
    """(T, 3) yaw to the subject's left, pitch upwards, and no roll."""

    def look(direction: str) -> np.ndarray:
        return rows[:, _COLUMN[f"eyeLook{direction}{side}"]]

    outwards, up = look("Out") - look("In"), look("Up") - look("Down")
    return np.stack([EYE_TURN * (outwards if side == "Left" else -outwards), EYE_LIFT * up, 0 * up], axis=1)


def _timecode(frame: int) -> str:
    """HH:MM:SS:FF.mmm of a frame; no frame begins between two, so mmm is 0."""
    seconds, rest = divmod(frame, FRAMES_PER_SECOND)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}.000"
