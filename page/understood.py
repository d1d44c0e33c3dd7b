"""What an input holds, found out before any button: kind, length, sound, faces; and whatever is known to be wrong.

A long video is measured to its end and looked at in its part; nothing here raises for a faulty file: the sentence is
in `Understood.trouble`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from page.understood_words import OTHER
from perfrdiff.errors import InputError
from perfrdiff.features import MAX_SECONDS
from perfrdiff.features.clip import LISTENER_SECONDS
from perfrdiff.features.media.input import Media, Part, open_input
from perfrdiff.features.tracking.people import preview
from perfrdiff.personal.weight_shift import WeightShift, is_weight_shift
from perfrdiff.pipeline.input_memory import InputMemory
from perfrdiff.pipeline.listeners import check_shows_listening

LONGEST_SECONDS = 3600.0  # of a file of which a part can be chosen
STRIP_PICTURES = 12
STRIP_HEIGHT = 64  # pixels
PICTURE_WIDTH = 560
BARS = 120  # of the loudness
CARD_SECONDS = 30.0  # of a listener's video; the style of a longer one is read during the run only


@dataclass(frozen=True)
class Understood:
    """What the page shows of one input."""

    kind: str = ""  # "video", "photo", "table", "style", "" for nothing that can be used
    facts: tuple[str, ...] = ()  # "12.4 s", "1080 x 1920", "with sound"
    seconds: float = 0.0  # of a video, as a whole
    part: Part = field(default_factory=Part)  # what is used of it
    picture: str = ""  # data address: the faces, with boxes
    faces: int = 0
    strip: str = ""  # data address: pictures over the length, side by side
    loudness: tuple[float, ...] = ()  # 0 … 1 over the length
    habits: tuple[tuple[str, str], ...] = ()  # of a listener's video
    notes: tuple[str, ...] = ()
    trouble: str = ""


def understand(path: str | Path, role: str) -> Iterator[Understood]:
    """What a file holds, as far as is known so far, in two or three steps.

    role: "speaker", "listener" or "other_listener", of whom no part can be chosen.
    """
    so_far = Understood()
    try:
        if role != "speaker" and is_weight_shift(path):
            yield _style(path, role)
            return
        with open_input(path, LONGEST_SECONDS) as media:
            if role == "speaker" and media.kind == "image":
                media.check_video()
            if role == OTHER:
                check_shows_listening(media)
            so_far = _measured(media, role)
            yield so_far
            if media.kind == "table":
                return
        part = so_far.part if media.kind == "video" else Part()
        with open_input(path, part=part) as media:
            picture, faces = preview(media)
        so_far = replace(so_far, picture=_data_address(picture, PICTURE_WIDTH), faces=len(faces))
        yield so_far
    except InputError as error:
        yield replace(so_far, kind="", trouble=str(error))


def with_habits(path: str | Path, so_far: Understood, memory: InputMemory) -> Understood:
    """The same with the style card of a listener's video; it takes some seconds, which the run then need not take."""
    try:
        with open_input(path, part=so_far.part) as media:
            listener = memory.listener(media, None, None)
    except InputError as error:
        return replace(so_far, kind="", trouble=str(error))
    habits = tuple(listener.habits.rows()) if listener.habits is not None else ()
    return replace(so_far, habits=habits, notes=so_far.notes + tuple(listener.notes))


def _style(path: str | Path, role: str) -> Understood:
    shift = WeightShift.load(Path(path))
    size = Path(path).stat().st_size
    who = getattr(shift, "listener", "") or "a listener"
    notes = () if role == OTHER else ("A saved style has no face of its own; Mara of the examples shows it.",)
    return Understood("style", (f"Saved style of {who}", f"{size / 1e6:.1f} MB"), notes=notes)


def _measured(media: Media, role: str) -> Understood:
    """What is known without looking for a face."""
    if media.kind == "image":
        height, width = media.image().shape[:2]
        return Understood("photo", (f"{width} x {height}",))
    if media.kind == "table":
        seconds = len(media.table().coefficients) / 25
        return Understood("table", ("features file", f"{seconds:.1f} s"), seconds=seconds, part=_part(seconds))
    info = media.info
    if role != "speaker" and info.seconds < LISTENER_SECONDS - 0.02:
        instead = "" if role == OTHER else " or a photo"
        raise InputError(
            f"{media.name} lasts {info.seconds:.1f} s; give a listener video of at least {LISTENER_SECONDS:g} s"
            f"{instead}."
        )
    if role == OTHER and info.seconds > MAX_SECONDS:
        raise InputError(
            f"{media.name} lasts {info.seconds:.0f} s; of another listener at most {MAX_SECONDS:.0f} s are taken."
        )
    sound = media.audio() if role == "speaker" else None
    part = _part(info.seconds)
    facts = [f"{info.seconds:.1f} s", f"{info.width} x {info.height}"]
    notes = []
    if role == "speaker":
        is_silent = sound is None or sound.is_silent
        facts.append("no sound" if sound is None else "silent" if is_silent else "with sound")
        if is_silent:
            notes.append("There is nothing to hear; the reactions will follow the face alone.")
    if part.end is not None:
        notes.append(f"It lasts {info.seconds:.0f} s, at most {MAX_SECONDS:.0f} s: choose which part to use.")
    return Understood(
        "video", tuple(facts), info.seconds, part, strip=_strip(media),
        loudness=_bars(sound.samples) if sound is not None else (), notes=tuple(notes),
    )  # fmt: skip


def _part(seconds: float) -> Part:
    return Part(0.0, MAX_SECONDS) if seconds > MAX_SECONDS else Part()


def _strip(media: Media) -> str:
    """Pictures over the length of a video, side by side; "" where none could be read."""
    pictures = media.strip(STRIP_PICTURES, 2 * STRIP_HEIGHT)
    if not pictures:
        return ""
    width = max(24, min(160, round(STRIP_HEIGHT * pictures[0].shape[1] / pictures[0].shape[0])))
    small = [cv2.resize(one, (width, STRIP_HEIGHT), interpolation=cv2.INTER_AREA) for one in pictures]
    return _data_address(np.concatenate(small, axis=1), STRIP_PICTURES * 160)


def _bars(samples: np.ndarray) -> tuple[float, ...]:
    """(N,) samples -> loudness of `BARS` equal pieces, 0 … 1, on a scale of decibels."""
    pieces = np.array_split(np.square(samples.astype(np.float64)), BARS)
    level = 10 * np.log10(np.array([piece.mean() if len(piece) else 0.0 for piece in pieces]) + 1e-12)
    top = level.max()
    return tuple(np.clip((level - top + 40) / 40, 0, 1).round(2).tolist()) if top > -75 else (0.0,) * BARS


def _data_address(picture: np.ndarray, width: int) -> str:
    """(H, W, 3) uint8 RGB as an address that needs no file, so that none is left behind."""
    scale = min(1.0, width / picture.shape[1])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
