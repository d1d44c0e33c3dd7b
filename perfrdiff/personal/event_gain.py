"""The motion gain that brings sizes of events and movement to what is expected of a listener.

In reactions to a few stored speakers, what comes out larger or smaller than perfrdiff.personal.event_probe expects is
scaled (docs/method.md 16.6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from perfrdiff.behaviour.event_features import EVENT_FEATURES, event_features
from perfrdiff.coefficients import CHANNEL
from perfrdiff.personal.event_probe import EventProbe
from perfrdiff.personal.motion_gain import (
    FROWNS,
    MAX_FACTOR,
    MAX_LEAN,
    MIN_FACTOR,
    SIDEWAYS_GAZE,
    SMILES,
    USUAL_FROWN,
    USUAL_GLANCE,
    USUAL_SMILE,
    VERTICAL_GAZE,
    MotionGain,
    contrasted,
)

BELIEVED_SHARE = 0.5  # of a count; the rest is what reactions of other persons show
BELIEVED_NOD_SHARE = 0.2  # a minute holds few nods
LID_STRETCH = 1.2  # of what lids lack: few of a style's blinks are counted, and a mean over few is near to everybody's
SMILE_STRETCH = 1.3  # of what smiles lack: their mean size answers a contrast by less than it is
SIDE_STRETCH = 2.0  # of what the side of glances lacks: shorter ones are as many as before until they are too short
MIN_CONTRAST, MAX_CONTRAST = 0.45, 2.2
NOD_STRETCH = 1.2  # the quick pitch also holds what is outside nods, which keeps its size
MIN_NODS = 0.5
LEAST_LEVEL = 1e-3  # of a blendshape, added where levels are compared

Lacking = Mapping[str, float]
"""Event feature -> what is expected minus what reactions show."""


def lacking(clips: np.ndarray, expected: np.ndarray, probe: EventProbe) -> dict[str, float]:
    """What clips (K, frames, 58), reactions to the calibration speakers, lack of the expected features (N,).

    A minute of reactions tells a feature with chance in it, so it is drawn towards what reactions of all persons show.
    """
    counted = np.mean([event_features(clip) for clip in clips], axis=0) + probe.reaction_bias.double().cpu().numpy()
    usual = probe.reaction_mean.double().cpu().numpy()
    share = np.array([BELIEVED_NOD_SHARE if name == "quick pitch" else BELIEVED_SHARE for name in EVENT_FEATURES])
    return dict(zip(EVENT_FEATURES, expected - usual - share * (counted - usual), strict=True))


def nod_factor(lacks: Lacking) -> float:
    """Factor of nods. The quick movement of the pitch tells it better than the mean size of a few nods."""
    return float(np.clip(np.exp(NOD_STRETCH * lacks["quick pitch"]), MIN_NODS, MAX_FACTOR))


def with_event_gain(gain: MotionGain, clips: np.ndarray, lacks: Lacking) -> MotionGain:
    """A gain with all that clips (K, frames, 58), to which it is not applied yet, lack beside the size of nods."""
    smile_contrast, frown_contrast, gaze_contrast = (
        float(np.clip(np.exp(stretch * lacks[name]), MIN_CONTRAST, MAX_CONTRAST))
        for name, stretch in (("smile size", SMILE_STRETCH), ("frown size", 1.0), ("glance size", 1.0))
    )
    kept = {
        "smile": gain.smile * _level_ratio(clips, tuple(SMILES), smile_contrast, USUAL_SMILE),
        "frowns": _level_ratio(clips, FROWNS, frown_contrast, USUAL_FROWN),
        "gaze": _level_ratio(clips, (*SIDEWAYS_GAZE, *VERTICAL_GAZE), gaze_contrast, USUAL_GLANCE),
        "lids": np.exp(LID_STRETCH * lacks["blink peak"]),
    }
    turns, tilts = (_swing(lacks, axis) for axis in ("yaw", "roll"))
    yaw, tilt = (float(np.median(clips[..., CHANNEL[name]])) for name in ("rotationY", "rotationZ"))
    return replace(
        gain,
        **{name: float(np.clip(factor, MIN_FACTOR, MAX_FACTOR)) for name, factor in kept.items()},
        turns=turns,
        tilts=tilts,
        yaw=gain.yaw + (1 - turns) * yaw,  # the usual direction stays
        tilt=gain.tilt + (1 - tilts) * tilt,
        smile_contrast=smile_contrast,
        frown_contrast=frown_contrast,
        gaze_contrast=gaze_contrast,
        smile_lean=float(np.clip(lacks["smile asymmetry"], -MAX_LEAN, MAX_LEAN)),
        glance_lean=float(np.clip(SIDE_STRETCH * lacks["glance side"], -MAX_LEAN, MAX_LEAN)),
    )


def _swing(lacks: Lacking, axis: str) -> float:
    """Factor of an angle about its usual one, from its slow and medium movement and its drift."""
    lack = np.mean([lacks[f"slow {axis}"], lacks[f"medium {axis}"], lacks[f"{axis} drift"]])
    return float(np.clip(np.exp(lack), MIN_FACTOR, MAX_FACTOR))


def _level_ratio(clips: np.ndarray, names: Sequence[str], contrast: float, usual: float) -> float:
    """The factor that keeps the mean level of blendshapes under a contrast."""
    values = clips[..., [CHANNEL[name] for name in names]]
    return float((values.mean() + LEAST_LEVEL) / (contrasted(values, contrast, usual).mean() + LEAST_LEVEL))
