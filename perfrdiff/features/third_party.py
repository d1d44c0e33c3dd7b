"""Third-party tables as the 58 coefficients: Live Link Face (ARKit) and OpenFace.

**Live Link Face** (Epic's app) writes one row per picture at about 60 per second: Timecode, BlendshapeCount, the 52
ARKit units with a capital first letter, and HeadYaw, HeadPitch, HeadRoll. The head's angles are taken as radians, yaw
to the subject's left, pitch upwards, roll towards the subject's left shoulder; no document of the app says so, so look
at the first result. It has no translations.

**OpenFace** 2 writes timestamp, confidence, success, gaze_angle_x/y and pose_R in radians, pose_T in millimetres
(camera: x right, y down, z away) and AU intensities 0 … 5. An AU becomes the ARKit unit of its muscle at a fifth of its
intensity (docs/method.md 1.7). Channels without an AU stay 0.
"""

import re
from collections.abc import Sequence

import numpy as np

from perfrdiff.coefficients import (
    CHANNEL,
    EXPRESSION,
    EXPRESSION_NAMES,
    FPS,
    ROTATION,
    TRANSLATION,
    WIDTH,
    react_mean,
)  # fmt: skip
from perfrdiff.errors import InputError
from perfrdiff.features.tracking.pose import translations

__all__ = ["is_supported", "numbers", "read"]

ACTION_UNITS: dict[str, tuple[tuple[str, float], ...]] = {
    "AU01_r": (("browInnerUp", 1.0),),
    "AU02_r": (("browOuterUp", 1.0),),
    "AU04_r": (("browDown", 1.0),),
    "AU05_r": (("eyeWide", 1.0),),
    "AU06_r": (("cheekSquint", 1.0),),
    "AU07_r": (("eyeSquint", 1.0),),
    "AU09_r": (("noseSneer", 1.0),),
    "AU10_r": (("mouthUpperUp", 1.0),),
    "AU12_r": (("mouthSmile", 1.0),),
    "AU14_r": (("mouthDimple", 1.0),),
    "AU15_r": (("mouthFrown", 1.0),),
    "AU17_r": (("mouthShrugLower", 1.0),),
    "AU20_r": (("mouthStretch", 1.0),),
    "AU23_r": (("mouthPress", 1.0),),
    "AU25_r": (("mouthLowerDown", 0.5), ("mouthUpperUp", 0.3)),
    "AU26_r": (("jawOpen", 1.0),),
    "AU45_r": (("eyeBlink", 1.0),),
}
FULL_INTENSITY = 5.0
LARGEST_GAZE = np.radians(35)  # of eyeLook 1 (docs/method.md 15.6)
LEAST_CONFIDENCE = 0.6  # of OpenFace; below, a row counts as one without a face
LEAST_TRACKED = 0.5  # share of the rows with a face
_TIMECODE = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+)(\.\d+)?")


def is_supported(header: Sequence[str]) -> bool:
    """Whether a table with these column names is of one of the two programs."""
    return {"Timecode", "JawOpen"} <= set(header) or {"pose_Rx", "AU12_r"} <= set(header)


def read(columns: dict[str, list[str]], name: str) -> tuple[np.ndarray, list[str]]:
    """Columns as text -> (T, 58) float32 coefficients at 25 per second, and notes.

    Raises:
        InputError: a missing column, a word where a number should be, times that do not run forward, a face in less
            than half of the rows.
    """
    if "Timecode" in columns:
        times, rows = _live_link(columns, name)
        notes = [f"{name} is read as a Live Link Face recording; its head does not change place."]
    else:
        times, rows = _open_face(columns, name)
        notes = [f"{name} is read as an OpenFace table; channels without an action unit stay at rest."]
    if (np.diff(times) <= 0).any():
        late = int(np.argmax(np.diff(times) <= 0)) + 3  # counted as an editor does, the names being line 1
        raise InputError(f"The times of {name} do not run forward at line {late}.")
    if len(times) < 2 or times[-1] - times[0] < 1 - 1e-6:
        raise InputError(f"{name} lasts less than 1 s.")
    return _resampled(times, rows), notes


def numbers(columns: dict[str, list[str]], names: Sequence[str], name: str) -> np.ndarray:
    """(T, len(names)) float64 of columns.

    Raises:
        InputError: a column is missing, or a cell is no finite number.
    """
    missing = [column for column in names if column not in columns]
    if missing:
        raise InputError(f"{name} lacks the column {missing[0]}.")
    out = np.empty((len(columns[names[0]]), len(names)))
    for index, column in enumerate(names):
        try:
            out[:, index] = np.array(columns[column], dtype=np.float64)
        except ValueError:
            raise InputError(f"The column {column} of {name} holds something that is not a number.") from None
    if not np.isfinite(out).all():
        bad = names[int(np.argmin(np.isfinite(out).all(axis=0)))]
        raise InputError(f"The column {bad} of {name} holds a number that is not finite.")
    return out


def _live_link(columns: dict[str, list[str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    channels = [channel[0].upper() + channel[1:] for channel in EXPRESSION_NAMES]
    rows = _neutral_rows(len(columns["Timecode"]))
    rows[:, EXPRESSION] = np.clip(numbers(columns, channels, name), 0, 1)
    if {"HeadYaw", "HeadPitch", "HeadRoll"} <= set(columns):
        yaw, pitch, roll = numbers(columns, ("HeadYaw", "HeadPitch", "HeadRoll"), name).T
        rows[:, ROTATION] += np.stack([-pitch, yaw, -roll], axis=1)
    return _timecodes(columns["Timecode"], name), rows


def _timecodes(cells: list[str], name: str) -> np.ndarray:
    """Seconds of HH:MM:SS:FF.fff; the frames of a second are the largest FF seen, plus one."""
    matches = [_TIMECODE.fullmatch(cell.strip()) for cell in cells]
    if None in matches:
        bad = matches.index(None)
        raise InputError(f"The Timecode “{cells[bad][:20]}” in line {bad + 2} of {name} is not HH:MM:SS:FF.")
    frames = [int(match[4]) + float(match[5] or 0) for match in matches]
    rate = next((rate for rate in (24, 25, 30, 50, 60, 120) if max(frames) < rate), max(frames) + 1)
    if len(matches) < 24:
        rate = max(rate, 30)
    whole_seconds = [int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3]) for match in matches]
    seconds = np.array(whole_seconds) + np.array(frames) / rate
    seconds[1:] += 86400 * np.cumsum(np.diff(seconds) < -43200)  # over midnight
    return seconds - seconds[0]


def _open_face(columns: dict[str, list[str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    times = numbers(columns, ("timestamp",), name)[:, 0]
    rows = _neutral_rows(len(times))
    tracked = np.ones(len(times), bool)
    if {"success", "confidence"} <= set(columns):
        success, confidence = numbers(columns, ("success", "confidence"), name).T
        tracked = (success > 0.5) & (confidence >= LEAST_CONFIDENCE)
    if "face_id" in columns and len(set(columns["face_id"])) > 1:
        tracked &= np.array(columns["face_id"]) == columns["face_id"][0]
    if tracked.mean() < LEAST_TRACKED:
        raise InputError(
            f"OpenFace saw the face in only {tracked.mean():.0%} of {name}; at least {LEAST_TRACKED:.0%} is needed."
        )
    for unit, shares in ACTION_UNITS.items():
        if unit not in columns:
            continue
        intensity = np.clip(numbers(columns, (unit,), name)[:, 0] / FULL_INTENSITY, 0, 1)
        for shape, share in shares:
            for column in [CHANNEL[one] for one in (shape, shape + "Left", shape + "Right") if one in CHANNEL]:
                rows[:, column] = np.maximum(rows[:, column], share * intensity)
    # OpenFace's frame has x to the right of the picture, y down and z away: its yaw and roll count the other way.
    pitch, yaw, roll = numbers(columns, ("pose_Rx", "pose_Ry", "pose_Rz"), name).T
    rows[:, ROTATION] += np.stack([pitch, -yaw, -roll], axis=1)
    if {"gaze_angle_x", "gaze_angle_y"} <= set(columns):
        across, down = numbers(columns, ("gaze_angle_x", "gaze_angle_y"), name).T
        _set_gaze(rows, (across + yaw) / LARGEST_GAZE, (pitch - down) / LARGEST_GAZE)
    if {"pose_Tx", "pose_Ty", "pose_Tz"} <= set(columns):
        places = numbers(columns, ("pose_Tx", "pose_Ty", "pose_Tz"), name) * [0.1, -0.1, -0.1]
        if (places[tracked, 2] < 0).all():
            rows[:, TRANSLATION] = translations(places, np.median(places[tracked], axis=0))
    return times[tracked], rows[tracked]


def _set_gaze(rows: np.ndarray, left: np.ndarray, up: np.ndarray) -> None:
    """Set the eight gaze channels: to the subject's left and up, in units of eyeLook."""
    for name, value in (
        ("eyeLookOutLeft", left), ("eyeLookInRight", left), ("eyeLookInLeft", -left), ("eyeLookOutRight", -left),
        ("eyeLookUpLeft", up), ("eyeLookUpRight", up), ("eyeLookDownLeft", -up), ("eyeLookDownRight", -up),
    ):  # fmt: skip
        rows[:, CHANNEL[name]] = np.clip(value, 0, 1)


def _neutral_rows(frames: int) -> np.ndarray:
    rows = np.zeros((frames, WIDTH))
    rows[:, ROTATION] = [np.pi, 0, 0]
    rows[:, TRANSLATION] = react_mean()[TRANSLATION]
    return rows


def _resampled(times: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows at 25 per second: each the mean of the rows in its 40 ms, or interpolated between its neighbours."""
    times = times - times[0]
    count = int(np.floor(times[-1] * FPS + 1e-6)) + 1
    ticks = np.arange(count) / FPS
    resampled = np.stack([np.interp(ticks, times, column) for column in rows.T], axis=1)
    slot = np.rint(times * FPS).astype(int)
    inside = slot < count
    rows_in_slot = np.bincount(slot[inside], minlength=count)
    sums = np.stack([np.bincount(slot[inside], column[inside], count) for column in rows.T], axis=1)
    several = rows_in_slot > 1
    resampled[several] = sums[several] / rows_in_slot[several, None]
    return resampled.astype(np.float32)
