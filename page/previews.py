"""A small copy of a video that any browser plays, for files that it would not play as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.media.input import Media, Part, open_input
from renderer.video.writer import VideoWriter

LONG_SIDE = 480  # pixels
PLAYED = {"h264": ("yuv420p", "yuvj420p"), "vp8": ("yuv420p",), "vp9": ("yuv420p",), "libdav1d": ("yuv420p",)}
"""Codec -> pixel formats that browsers play."""
PLAYED_ENDINGS = (".mp4", ".m4v", ".mov", ".webm")


def plays_as_it_is(path: Path, media: Media) -> bool:
    """Whether a browser plays the file itself; a recording without a length in its header cannot be sought in."""
    info = media.info
    return path.suffix.lower() in PLAYED_ENDINGS and info.pixel_format in PLAYED.get(info.codec, ())


def write_preview(path: str | Path, folder: Path, part: Part) -> Path | None:
    """The path of a file that plays: the given one, or a copy made in `folder`; None where none can be made.

    The copy holds the part alone where the file is long: nobody waits for an hour's copy.
    """
    path = Path(path)
    try:
        with open_input(path, part=part) as media:
            if plays_as_it_is(path, media) and not is_recording(path):
                return path
            info, sound = media.info, media.audio()
            scale = min(1.0, LONG_SIDE / max(info.width, info.height))
            size = (round(info.width * scale) // 2 * 2, round(info.height * scale) // 2 * 2)
            target = folder / "preview.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            audio = (sound.samples, sound.rate) if sound is not None else None
            with VideoWriter(target, size, audio=audio) as video:
                for picture in _of_size(media.frames(LONG_SIDE), size):
                    video.write(picture)
            return target
    except InputError:
        return None


def is_recording(path: Path) -> bool:
    """Whether a browser's recorder wrote the file: WebM without a length, of which players show "Infinity"."""
    with path.open("rb") as file:
        head = file.read(4096)
    return head.startswith(b"\x1a\x45\xdf\xa3") and b"\x44\x89" not in head  # EBML; the element Duration


def _of_size(pictures: Iterator[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    for picture in pictures:
        is_right = picture.shape[1::-1] == size
        yield picture if is_right else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
