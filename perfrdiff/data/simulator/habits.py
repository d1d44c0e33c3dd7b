"""A person as a vector of listening habits, drawn from measured spreads (docs/method.md 15, here as 15.1 …)."""

from dataclasses import dataclass, field, fields, replace

import numpy as np

from perfrdiff.coefficients import CHANNEL, WIDTH

# Rest-face offsets a tracker reports for a face at rest: half-normal scale per channel, from the medians MediaPipe gave
# on six real clips (lowered-looking eyes and squints are its habit); left and right share most of the draw.
REST_SCALE = {
    "browDown": 0.06, "browInnerUp": 0.12, "browOuterUp": 0.14, "eyeBlink": 0.10, "eyeLookDown": 0.28,
    "eyeLookIn": 0.06, "eyeLookOut": 0.08, "eyeLookUp": 0.03, "eyeSquint": 0.20, "eyeWide": 0.01, "jawOpen": 0.02,
    "mouthFrown": 0.01, "mouthLowerDown": 0.02, "mouthPress": 0.08, "mouthPucker": 0.04, "mouthRollLower": 0.01,
    "mouthRollUpper": 0.02, "mouthShrugLower": 0.03, "mouthShrugUpper": 0.03, "mouthSmile": 0.05, "mouthStretch": 0.01,
    "mouthUpperUp": 0.03,
}  # fmt: skip


@dataclass(frozen=True)
class ListenerHabits:
    """How one person listens. Rates are per minute of listening, angles in degrees, times in seconds."""

    nod_rate: float = 5.0  # clear ones; P10 .42 while listening gives 3.3, time nodding 11-25 % gives more (15.1, 15.8)
    nod_size: float = 4.3  # peak to peak of a stroke (15.1)
    nod_speed: float = 2.3  # Hz (15.1)
    nod_cycles: float = 1.5  # cycles in a burst (15.1)
    nod_follow: float = (
        0.85  # share of clear nods that answer a phrase end or a stress (guess; backchannels .58 vs .31)
    )
    small_nod_rate: float = 28.0  # those that follow nothing much: 31.6 with the clear ones' strokes (15.10)
    small_nod_size: float = 2.2  # peak to peak; below 3 degrees they are not clear
    smile_rate: float = 1.5  # spontaneous smiles (15.8 gives 3.4 with those that answer)
    smile_gain: float = 0.6  # how much of the partner's smile comes back; P(smile | partner smiles) .60 (15.7)
    smile_latency: float = 0.9  # visible mimicry 0.5-1.5 (15.11)
    smile_size: float = 0.45  # apex of mouthSmile (AU12 0.9 of 5 is small; ARKit smiles are larger: guess between)
    smile_flicker: float = 0.45  # how much a held smile comes and goes, share of its size (liveliness at .3-1 Hz)
    smile_asymmetry: float = 0.0  # -1 … 1, left minus right over their sum
    brow_rate: float = 4.0  # raises (15.4: 8/min when acting)
    brow_size: float = 0.25
    frown_rate: float = 2.0
    frown_size: float = 0.25
    blink_rate: float = 20.0  # 15.2: 22.5, 6 to 41 by mood; 17-26 in 15.11
    gaze_rate: float = 6.0  # aversions (15.6: 1 to 18 for undirected gaze)
    gaze_size: float = 0.35  # eyeLook units; 1.0 = 35 degrees
    gaze_side: float = 0.0  # -1 right … 1 left
    gaze_drift: float = 0.04  # eyeLook units: the slow wandering of the eyes about where they rest
    tilt_rate: float = 1.2  # P10 .16 listening (15.8)
    tilt_size: float = 5.6
    shift_rate: float = 1.5  # posture shifts (guess)
    energy: float = 1.0  # scale of the restless motion (15.1, sd inside 1-s windows)
    press_rate: float = 3.0  # lip presses (guess)
    press_size: float = 0.4
    mouth_rate: float = 18.0  # other small movements of the mouth, from lips rolled in to parted lips (guess)
    mouth_size: float = 0.25
    laugh_gain: float = 0.5  # how much of the partner's laughter comes back; P(laugh | partner laughs) .47 (15.7)
    rest_pitch: float = 0.0
    rest_yaw: float = 0.0
    rest_roll: float = 0.0
    rest_face: np.ndarray = field(default_factory=lambda: np.zeros(WIDTH, np.float32))

    def numbers(self) -> dict[str, float]:
        """The habits without the rest face, name -> value."""
        return {f.name: float(getattr(self, f.name)) for f in fields(self) if f.name != "rest_face"}


def left_right_columns(name: str) -> tuple[int, ...]:
    """Columns of a channel: (left, right), or the only one of a channel without sides."""
    if name in CHANNEL:
        return (CHANNEL[name],)
    return CHANNEL[f"{name}Left"], CHANNEL[f"{name}Right"]


def draw_habits(rng: np.random.Generator) -> ListenerHabits:
    """One person. Spreads between persons follow docs/method.md 15.9 (nodding logit sd .66, smiling .30), a little
    wider, so that the habits of a person can be told apart in half a minute."""

    def log_normal(median: float, sigma: float) -> float:
        return float(median * np.exp(sigma * rng.standard_normal()))

    rest = np.zeros(WIDTH, np.float32)
    for name, scale in REST_SCALE.items():
        level = abs(rng.standard_normal()) * scale
        for column in left_right_columns(name):
            rest[column] = level * (1 + 0.25 * rng.standard_normal())
    if rng.random() < 0.25:  # a person whose resting face is friendly, or stern
        for column in left_right_columns("mouthSmile" if rng.random() < 0.6 else "mouthFrown"):
            rest[column] += abs(rng.standard_normal()) * 0.15
    return ListenerHabits(
        nod_rate=min(log_normal(5.0, 0.75), 25.0),
        nod_size=float(np.clip(log_normal(4.6, 0.35), 2.5, 12.0)),
        nod_speed=float(np.clip(rng.normal(2.3, 0.45), 1.3, 3.4)),
        nod_cycles=float(np.clip(log_normal(1.5, 0.35), 1.0, 3.5)),
        nod_follow=float(np.clip(rng.normal(0.87, 0.07), 0.55, 0.98)),
        small_nod_rate=float(np.clip(log_normal(28.0, 0.35), 8.0, 55.0)),
        small_nod_size=float(np.clip(log_normal(2.2, 0.13), 1.7, 2.8)),
        smile_rate=log_normal(1.8, 0.7),
        smile_gain=float(np.clip(rng.normal(0.6, 0.22), 0.05, 1.0)),
        smile_latency=float(np.clip(rng.normal(0.9, 0.25), 0.4, 1.6)),
        smile_size=float(np.clip(log_normal(0.42, 0.4), 0.12, 0.9)),
        smile_flicker=float(np.clip(log_normal(0.45, 0.35), 0.15, 0.9)),
        smile_asymmetry=float(np.clip(rng.normal(0, 0.12), -0.4, 0.4)),
        brow_rate=log_normal(4.0, 0.7),
        brow_size=float(np.clip(log_normal(0.30, 0.45), 0.08, 0.85)),
        frown_rate=log_normal(1.8, 0.7),
        frown_size=float(np.clip(log_normal(0.22, 0.45), 0.06, 0.7)),
        blink_rate=float(np.clip(log_normal(19.0, 0.45), 5.0, 45.0)),
        gaze_rate=float(np.clip(log_normal(6.0, 0.6), 1.0, 25.0)),
        gaze_size=float(np.clip(log_normal(0.32, 0.35), 0.12, 0.8)),
        gaze_side=float(np.clip(rng.normal(0, 0.55), -1, 1)),
        gaze_drift=float(np.clip(log_normal(0.05, 0.4), 0.02, 0.12)),
        tilt_rate=log_normal(1.2, 0.6),
        tilt_size=float(np.clip(log_normal(4.6, 0.4), 2.0, 12.0)),
        shift_rate=log_normal(1.5, 0.5),
        energy=float(np.clip(log_normal(1.0, 0.4), 0.3, 2.8)),
        press_rate=log_normal(2.6, 0.7),
        press_size=float(np.clip(log_normal(0.4, 0.4), 0.12, 0.8)),
        mouth_rate=float(np.clip(log_normal(18.0, 0.45), 4.0, 45.0)),
        mouth_size=float(np.clip(log_normal(0.25, 0.4), 0.08, 0.6)),
        laugh_gain=float(np.clip(rng.normal(0.5, 0.22), 0.05, 1.0)),
        rest_pitch=float(np.clip(rng.normal(-2.0, 4.5), -12, 10)),
        rest_yaw=float(np.clip(rng.normal(0, 6.0), -16, 16)),
        rest_roll=float(np.clip(rng.normal(0, 3.0), -9, 9)),
        rest_face=np.clip(rest, 0, 0.7).astype(np.float32),
    )


def rest_face(**levels: float) -> np.ndarray:
    """A resting face, (58,), of named channels; a name without side means both."""
    face = np.zeros(WIDTH, np.float32)
    for name, level in levels.items():
        face[list(left_right_columns(name))] = level
    return face


_DEFAULT = ListenerHabits()
NAMED_STYLES: dict[str, ListenerHabits] = {
    "Attentive": replace(
        _DEFAULT, nod_rate=9.0, nod_size=5.0, nod_follow=0.92, brow_rate=5.0, smile_gain=0.6, rest_pitch=1.5,
        rest_face=rest_face(browInnerUp=0.12, browOuterUp=0.10),
    ),
    "Warm": replace(
        _DEFAULT, smile_rate=4.0, smile_gain=0.95, smile_size=0.7, smile_latency=0.6, nod_rate=6.0, rest_roll=5.0,
        tilt_rate=2.0, frown_rate=0.7, rest_face=rest_face(mouthSmile=0.22, eyeSquint=0.20),
    ),
    "Lively": replace(
        _DEFAULT, nod_rate=12.0, nod_size=7.0, nod_cycles=2.2, small_nod_rate=34.0, smile_rate=3.0, smile_size=0.65,
        laugh_gain=0.85, mouth_rate=26.0, brow_rate=10.0, brow_size=0.5, energy=2.0,
        tilt_rate=2.5, shift_rate=3.0, blink_rate=26.0, rest_pitch=-4.0,
        rest_face=rest_face(browInnerUp=0.25, browOuterUp=0.25, mouthSmile=0.10),
    ),
    "Calm": replace(
        _DEFAULT, nod_rate=1.8, nod_size=3.2, nod_speed=1.7, small_nod_rate=20.0, small_nod_size=1.9, smile_rate=0.7,
        smile_gain=0.35, smile_size=0.3, mouth_rate=8.0, brow_rate=1.2, brow_size=0.12, energy=0.5,
        blink_rate=11.0, gaze_rate=2.5, shift_rate=0.6, tilt_rate=0.5,
        rest_pitch=2.0, rest_face=rest_face(eyeBlink=0.12, eyeLookDown=0.15),
    ),
    "Doubtful": replace(
        _DEFAULT, nod_rate=2.0, nod_size=3.5, smile_rate=0.4, smile_gain=0.15, smile_size=0.25, frown_rate=8.0,
        frown_size=0.5, brow_rate=5.0, brow_size=0.3, press_rate=6.0, tilt_rate=3.0, tilt_size=8.0, rest_yaw=7.0,
        rest_roll=-5.0, gaze_rate=9.0, rest_face=rest_face(browDown=0.15, mouthPress=0.20, mouthFrown=0.10),
    ),
}  # fmt: skip
"""Listening styles for a photo, which carries no behaviour of its own."""
