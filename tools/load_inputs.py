"""What the load trial asks for: runs whose results are known beforehand, good and bad ones, each with its own mark.

A mark is what no other run has: length, listener, style and seed together give coefficients that are the run's alone.
What they have to be is worked out in this process, one run after the other; the page has to give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.run import react_in_numbers
from tests.support.clips import EXAMPLES, cut, ramp, write_clip


@dataclass
class Ask:
    """One run to ask for, and what has to come of it: coefficients (K, T, 58), or a sentence."""

    name: str
    speaker: Path
    listener: Path
    settings: dict[str, object] = field(default_factory=dict)
    coefficients: np.ndarray | None = None
    sentence: str = ""


COMMON = {"size": 224, "views": ["mesh"], "steps": 2}
"""As cheap as a run can be: the trial is of the server, not of the pictures."""


def asks(folder: Path, seconds: float, weights: str) -> list[Ask]:
    """The runs, with what has to come of them. `folder`: for clips; `seconds`: of the shortest, the others are up to
    twice as long."""
    made = [*_good(folder, seconds), *_bad(folder)]
    for number, ask in enumerate(made):
        run_alone(ask, folder / f"alone-{number}", weights)
    return made


def _good(folder: Path, seconds: float) -> Iterator[Ask]:
    speakers = ("speaker.mp4", "speaker_sad.mp4", "speaker_indignant.mp4")
    listeners = ("portrait.jpg", "listener.mp4", "portrait_kofi.jpg", "portrait_yuna.jpg")
    for number in range(8):
        length = round(seconds * (1 + number / 7) * 25) / 25
        speaker = cut(EXAMPLES / speakers[number % 3], folder / f"talk {number}.mp4", length)
        listener = EXAMPLES / listeners[number % 4]
        is_photo = listener.suffix == ".jpg"
        style = {"style": ("Warm", "Calm")[number // 4]} if is_photo else {}
        yield Ask(f"good {number}", speaker, listener, {"seed": 100 + number, "samples": 1 + number % 2} | style)


def _bad(folder: Path) -> Iterator[Ask]:
    speaker, portrait = cut(EXAMPLES / "speaker.mp4", folder / "whole.mp4", 1.2), EXAMPLES / "portrait.jpg"
    files = {
        "half.mp4": speaker.read_bytes()[: speaker.stat().st_size // 2],
        "text.mp4": b"no film at all\n" * 100,
        "list.mp4": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
        "empty.mp4": b"",
        "half.jpg": portrait.read_bytes()[:9000],
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    nobody = write_clip(folder / "nobody.mp4", ramp(30, 128, 96), np.arange(30) / 25)
    for name in ("half.mp4", "text.mp4", "list.mp4", "empty.mp4"):
        yield Ask(name, folder / name, portrait)
    yield Ask("half.jpg", speaker, folder / "half.jpg")
    yield Ask("nobody", nobody, portrait)
    yield Ask("a photo that talks", portrait, portrait)
    yield Ask("out of range", speaker, portrait, {"steps": 1})


def run_alone(ask: Ask, out: Path, weights: str) -> None:
    """Fill in what has to come of a run."""
    try:
        settings = COMMON | {"weights": weights} | ask.settings
        react_in_numbers(ReactRequest(speaker=ask.speaker, listener=ask.listener, out=out, **settings))
        with np.load(out / "coefficients.npz") as file:
            ask.coefficients = file["coefficients"]
    except InputError as error:
        ask.sentence = str(error)
