"""What the browser needs to play and explain one run, as files: a description, coefficients, a head.

The description, and what each entry means:

    seconds, frames, frames_per_second
    speaker: loudness (T,) 0 … 1; phrases [[start, end], …]; smiles [start, …]       seconds
    curves: [{name, label, unit}, …]                                             what a reaction's curves are, in order
    reactions: [{number, name, words, curves: [(T,) …], events: [{kind, start, end, size, words, cue}],
                card: {name: value}}, …]                                         words: of a comparison, what it is
    listener: {style, habits: {name: value}}                                     habits: measured on a listener's video
    differ: a sentence on how much the reactions differ, or ""
    coefficients: {file, scale, shape}                                          little-endian int16, (K, T, 58)
    head: {file, focal, metres, camera, rest, neck, share} or null             how a head is posed and seen: `how_posed`
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from page.watch import DESCRIPTION
from perfrdiff.behaviour.card import FEWEST_FRAMES, GAZE_RADIANS, measure_behaviour
from perfrdiff.behaviour.cues import PHRASE_END, SMILE, Cue, CuedEvent, cued_events, smile_starts
from perfrdiff.behaviour.glances import gaze
from perfrdiff.coefficients import CHANNEL, FPS
from perfrdiff.features.attributes import ATTRIBUTE_NAMES, facial_attributes
from perfrdiff.features.clip import Speaker
from perfrdiff.features.media.audio_track import Audio
from perfrdiff.features.speech_activity import ends_before_pauses, phrases
from perfrdiff.pipeline.comparison import Cell
from perfrdiff.pipeline.listener_mesh import STAND_IN
from perfrdiff.pipeline.run import ReadyReactions
from renderer.coefficients import plausible_coefficients
from renderer.export.glb import glb_bytes
from renderer.export.head import METRES_PER_UNIT
from renderer.face_model import CAMERA_Z, REACT_TRANSLATION
from renderer.identity.identity import Identity
from renderer.mesh import studio_focal
from renderer.posing import NECK_JOINT, SHOULDER_SHARE

COEFFICIENTS, HEAD = "coefficients.i16", "head.glb.gz"
SCALE = 5000  # steps of an int16 in one unit: 0.01° of an angle, and places up to 6.5 units away
QUIETEST = 60  # decibels below the loudest frame at which loudness is 0
CURVES = (
    ("smile", "Smile", ""), ("brows", "Brows up", ""), ("jaw", "Jaw open", ""), ("blink", "Lids closed", ""),
    ("nod", "Chin down", "°"), ("gaze", "Looks to their left", "°"), ("valence", "Valence", ""),
    ("arousal", "Arousal", ""),
)  # fmt: skip
"""Name, words and unit of the curves of a reaction; without a unit they are blendshape weights, or -1 … 1."""


def write_watch_files(
    folder: Path,
    reactions: np.ndarray,
    speaker: Speaker,
    *,
    style: str,
    habits: Sequence[tuple[str, str]] = (),
    head: Identity | str | None = None,
    cells: Sequence[Cell] = (),
) -> Path:
    """Write the files of a run into an existing folder; the path of the description.

    Args:
        reactions: (K, T, 58) coefficients.
        style: the listening style in words; habits: what was measured on a listener's video.
        head: whom the browser may draw; None: nobody.
        cells: of a comparison, what each reaction is.
    """
    about = describe(reactions, speaker, style, habits, cells)
    stored = np.stack([plausible_coefficients(rows) for rows in reactions])
    (folder / COEFFICIENTS).write_bytes(np.rint(stored * SCALE).astype("<i2").tobytes())
    about["coefficients"] = {"file": COEFFICIENTS, "scale": 1 / SCALE, "shape": list(stored.shape)}
    about["head"] = None
    if head is not None:
        (folder / HEAD).write_bytes(gzip.compress(glb_bytes(head), 6, mtime=0))
        about["head"] = {"file": HEAD} | how_posed(head)
    path = folder / DESCRIPTION
    path.write_text(json.dumps(about, separators=(",", ":"), ensure_ascii=False), encoding="utf-8")
    return path


def write_ready(folder: Path, ready: ReadyReactions) -> None:
    """Write the files of a run whose reactions exist, unless they are there; `folder` is made."""
    if (folder / DESCRIPTION).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_watch_files(
        folder,
        ready.coefficients,
        ready.speaker,
        style=ready.style,
        habits=ready.habits.rows() if ready.habits is not None else (),
        head=ready.head.identity if ready.head is not None else STAND_IN,
        cells=ready.cells,
    )


def describe(
    reactions: np.ndarray,
    speaker: Speaker,
    style: str,
    habits: Sequence[tuple[str, str]] = (),
    cells: Sequence[Cell] = (),
) -> dict[str, object]:
    """The description of a run without the names of its files, see the head of this module."""
    frames = reactions.shape[1]
    heard = _heard(speaker.waveform, frames)
    spoken, ends = heard["phrases"], heard.pop("ends")
    is_long_enough = frames >= FEWEST_FRAMES  # shorter than half a second, nothing can be told apart
    smiles = smile_starts(speaker.coefficients) if is_long_enough else []
    return {
        "seconds": frames / FPS,
        "frames": frames,
        "frames_per_second": FPS,
        "speaker": {"loudness": heard["loudness"], "phrases": spoken, "smiles": [round(time, 2) for time in smiles]},
        "curves": [{"name": name, "label": label, "unit": unit} for name, label, unit in CURVES],
        "reactions": [
            {
                "number": number,
                "name": cells[number - 1].title if cells else f"Reaction {number}",
                "words": cells[number - 1].words if cells else "",
                "curves": [np.round(curve, 3).tolist() for curve in curves(rows).values()],
                "events": [_event(event) for event in cued_events(rows, ends, smiles)] if is_long_enough else [],
                "card": _card(rows) if is_long_enough else {},
            }
            for number, rows in enumerate(reactions, start=1)
        ],
        "listener": {"style": style, "habits": dict(habits)},
        "differ": "" if cells else difference_in_words(reactions),
    }


def how_posed(head: Identity | str) -> dict[str, object]:
    """What the browser needs to pose the two joints of the GLB as `pose_bust` does, and to see it as the videos do."""
    return {
        "focal": round(studio_focal(head), 5),  # picture heights
        "metres": METRES_PER_UNIT,
        "camera": CAMERA_Z,
        "rest": list(REACT_TRANSLATION),  # where the origin of the file is in world space
        "neck": NECK_JOINT.tolist(),
        "share": SHOULDER_SHARE,
    }


def curves(rows: np.ndarray) -> Mapping[str, np.ndarray]:
    """The curves (T,) of a reaction (T, 58), by the names of `CURVES`; head and gaze against where they usually are."""

    def both(name: str) -> np.ndarray:
        return (rows[:, CHANNEL[name + "Left"]] + rows[:, CHANNEL[name + "Right"]]) / 2

    attributes = facial_attributes(rows)
    pitch, across = np.degrees(rows[:, CHANNEL["rotationX"]]), np.degrees(GAZE_RADIANS) * gaze(rows)[:, 0]
    return {
        "smile": both("mouthSmile"),
        "brows": rows[:, CHANNEL["browInnerUp"]] - both("browDown"),
        "jaw": rows[:, CHANNEL["jawOpen"]],
        "blink": both("eyeBlink"),
        "nod": pitch - np.median(pitch),
        "gaze": across - np.median(across),
        "valence": attributes[:, ATTRIBUTE_NAMES.index("valence")],
        "arousal": attributes[:, ATTRIBUTE_NAMES.index("arousal")],
    }


def difference_in_words(reactions: np.ndarray) -> str:
    """How much reactions (K, T, 58) differ at the same moment, as a sentence; "" for a single one."""
    if len(reactions) < 2:
        return ""
    shown = [curves(rows) for rows in reactions]

    def apart(name: str) -> float:
        pairs = combinations([one[name] for one in shown], 2)
        return float(np.sqrt(np.mean([np.mean((a - b) ** 2) for a, b in pairs])))

    return (
        f"At the same moment, two of these reactions are {apart('nod'):.1f}° apart in the chin, "
        f"{apart('gaze'):.0f}° in the gaze and {apart('smile'):.0%} of a full smile."
    )


def _heard(audio: Audio | None, frames: int) -> dict[str, list]:
    """Loudness of each frame, the phrases, and those ends of phrases that a pause follows."""
    if audio is None or audio.is_silent:
        return {"loudness": [0.0] * frames, "phrases": [], "ends": []}
    samples = audio.samples[: frames * audio.rate // FPS]
    spoken = phrases(samples)
    return {
        "loudness": np.round(loudness(samples, audio.rate, frames), 3).tolist(),
        "phrases": [[round(phrase.start, 2), round(phrase.end, 2)] for phrase in spoken],
        "ends": ends_before_pauses(spoken, len(samples) / audio.rate),
    }


def loudness(samples: np.ndarray, rate: int, frames: int) -> np.ndarray:
    """(frames,) 0 … 1: the level of each frame of a mono sound, in decibels between `QUIETEST` and the loudest."""
    width = rate // FPS
    padded = np.pad(samples[: frames * width].astype(np.float64), (0, max(0, frames * width - len(samples))))
    level = np.sqrt(np.mean(padded.reshape(frames, width) ** 2, axis=1))
    decibels = 20 * np.log10(np.maximum(level, 1e-9) / max(level.max(), 1e-9))
    return np.clip(1 + decibels / QUIETEST, 0, 1)


def _event(event: CuedEvent) -> dict[str, object]:
    return {
        "kind": event.kind,
        "start": round(event.start, 2),
        "end": round(event.end, 2),
        "clear": event.is_clear,
        "words": _words(event),
        "cue": None if event.cue is None else {"kind": event.cue.kind, "time": round(event.cue.time, 2)},
    }


def _words(event: CuedEvent) -> str:
    """What happened and what it answers, for whoever points at the mark."""
    size = f"{event.size:.0f}°" if event.kind == "nod" else f"{min(event.size, 1):.0%}"
    return f"{event.kind.capitalize()}, {size}{_answers(event.start, event.cue)}"


def _answers(start: float, cue: Cue | None) -> str:
    if cue is None:
        return ""
    what = {PHRASE_END: "the end of a phrase", SMILE: "the speaker's smile"}[cue.kind]
    delay = start - cue.time
    return f", {abs(delay):.1f} s {'after' if delay >= 0 else 'before'} {what}"


def _card(rows: np.ndarray) -> dict[str, str]:
    """What a reaction did, in the words of the listener's own card; how long it was seen says nothing here."""
    return dict(measure_behaviour(rows).rows()[:-1])
