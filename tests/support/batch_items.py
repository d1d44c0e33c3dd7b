"""Items for whole data sets: short clips cut from the project's own examples, and every kind of broken file among them.

For tests of batches and for `tools/batch_trial.py`. The same count gives the same files, byte for byte but for what the
encoder writes of itself.
"""

from __future__ import annotations

import wave
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

from perfrdiff.coefficients import neutral
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.features.tables import FeatureTable, write_table
from renderer.resources import asset
from tests.support.clips import RATE, grey, write_clip

SPEAKERS = ("speaker", "speaker_sad", "speaker_indignant")
FPS = 25
DONE, FAILED, EITHER = "done", "failed", ""
"""What `batch features` has to make of an item; a flipped bit may go unnoticed."""


@dataclass(frozen=True)
class MadeItem:
    """One file. id: its name in a batch over the folder. state: `DONE`, `FAILED` or `EITHER`."""

    id: str
    path: Path
    kind: str
    state: str


def make_items(folder: Path, count: int, broken_share: float = 0.4, size: int = 256) -> list[MadeItem]:
    """Write `count` items to `folder`, numbered, good ones and broken ones in a mixed order that is always the same.

    Files that are there are left as they are.

    broken_share: of all. size: edge of the clips' pictures in pixels. All kinds are there from some 40 items on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    good, broken = list(GOOD), list(BROKEN)
    rng = np.random.default_rng(500)
    is_broken = rng.permutation(np.arange(count) < round(count * broken_share))
    made, counts = [], [0, 0]
    for number, spoilt in enumerate(is_broken.tolist()):
        kinds = broken if spoilt else good
        kind = kinds[counts[spoilt] % len(kinds)]
        counts[spoilt] += 1
        make, ending, state = (BROKEN if spoilt else GOOD)[kind]
        path = folder / f"{number:03}_{kind}{ending}"
        if not path.exists():
            make(path, np.random.default_rng([500, number]), size)
        made.append(MadeItem(path.stem, path, kind, state))
    return made


# --- clips of a face -------------------------------------------------------------------------------------------------


@cache
def _film(name: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """An example's pictures (T, size, size, 3), and its sound, mono at 16 kHz."""
    pictures, sound = [], []
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(asset(f"examples/{name}.mp4"))) as container:
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                pictures.append(frame.reformat(size, size, format="rgb24").to_ndarray())
            else:
                sound += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.stack(pictures), np.concatenate(sound).astype(np.float32) / 32768


def _part(rng: np.random.Generator, size: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Some consecutive frames of some speaker, half of them mirrored, and their sound."""
    pictures, sound = _film(SPEAKERS[rng.integers(len(SPEAKERS))], size)
    start = int(rng.integers(len(pictures) - frames))
    part = pictures[start : start + frames]
    sound = sound[start * RATE // FPS : (start + frames) * RATE // FPS]
    return (part[:, :, ::-1].copy() if rng.random() < 0.5 else part), sound * rng.uniform(0.5, 1)


def _clip(
    path: Path,
    rng: np.random.Generator,
    size: int,
    frames: int | None = None,
    fps: float = FPS,
    change: Callable[[np.ndarray], np.ndarray] = lambda picture: picture,
    sound: bool = True,
    **options: object,
) -> Path:
    pictures, samples = _part(rng, size, frames or int(rng.integers(26, 46)))
    tracks = [(0.0, samples)] if sound else []
    times = np.arange(len(pictures)) / fps
    return write_clip(path, [change(picture) for picture in pictures], times, audio_tracks=tracks, **options)  # type: ignore[arg-type]


def _soundless(path: Path, rng: np.random.Generator, size: int) -> None:
    _clip(path, rng, size, sound=False)


def _sideways(path: Path, rng: np.random.Generator, size: int) -> None:
    _clip(path, rng, size, change=lambda picture: np.rot90(picture).copy(), turn=90)


def _uneven(path: Path, rng: np.random.Generator, size: int) -> None:
    """Frames at uneven times, as phones write them."""
    pictures, samples = _part(rng, size, 36)
    write_clip(path, pictures, np.cumsum(rng.uniform(0.02, 0.06, 36)), audio_tracks=[(0.0, samples)])


def _half_hidden(path: Path, rng: np.random.Generator, size: int) -> None:
    """No face in the second part."""
    pictures, samples = _part(rng, size, 40)
    write_clip(path, [*pictures[:28], *[grey(90, size, size)] * 12], np.arange(40) / FPS, audio_tracks=[(0.0, samples)])


def _wrong_ending(path: Path, rng: np.random.Generator, size: int) -> None:
    """Matroska that calls itself MP4."""
    _clip(path.with_suffix(".mkv"), rng, size).rename(path)


def _table(path: Path, rng: np.random.Generator, size: int) -> None:
    frames = 40
    rows = np.tile(neutral(), (frames, 1)).astype(np.float32)
    rows[:, :52] = rng.uniform(0, 0.4, (frames, 52))
    audio = rng.normal(size=(frames, 78)).astype(np.float32)
    hearing = rng.uniform(0, 1, (frames, 8)).astype(np.float32)
    table = FeatureTable(rows, facial_attributes(rows), audio, np.zeros(frames, np.uint8), hearing=hearing)
    write_table(path, table)


# --- broken files ----------------------------------------------------------------------------------------------------


def _bytes_of_clip(path: Path, rng: np.random.Generator, size: int) -> bytearray:
    return bytearray(_clip(path, rng, size, frames=26).read_bytes())


def _empty(path: Path, rng: np.random.Generator, size: int) -> None:
    path.write_bytes(b"")


def _text(path: Path, rng: np.random.Generator, size: int) -> None:
    path.write_text("This was to be a film.\n" * int(rng.integers(1, 60)))


def _noise(path: Path, rng: np.random.Generator, size: int) -> None:
    path.write_bytes(rng.bytes(int(rng.integers(2_000, 60_000))))


def _cut_short(path: Path, rng: np.random.Generator, size: int) -> None:
    """As a broken download leaves it: the index at the end is missing."""
    data = _bytes_of_clip(path, rng, size)
    path.write_bytes(data[: int(len(data) * rng.uniform(0.3, 0.9))])


def _zeroed(path: Path, rng: np.random.Generator, size: int) -> None:
    """The beginning is zeros, as after a crash of the disk."""
    data = _bytes_of_clip(path, rng, size)
    data[: len(data) // 3] = bytes(len(data) // 3)
    path.write_bytes(data)


def _flipped(path: Path, rng: np.random.Generator, size: int) -> None:
    data = _bytes_of_clip(path, rng, size)
    for place in rng.integers(64, len(data), 200):
        data[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def _unknown_codec(path: Path, rng: np.random.Generator, size: int) -> None:
    path.write_bytes(_bytes_of_clip(path, rng, size).replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))


def _head_alone(path: Path, rng: np.random.Generator, size: int) -> None:
    path.write_bytes(_bytes_of_clip(path, rng, size)[:32])


def _nobody(path: Path, rng: np.random.Generator, size: int) -> None:
    values = rng.uniform(20, 220, 30)
    write_clip(path, [grey(value, 96, 96) for value in values], np.arange(30) / FPS)


def _too_short(path: Path, rng: np.random.Generator, size: int) -> None:
    _clip(path, rng, size, frames=8)


def _too_long(path: Path, rng: np.random.Generator, size: int) -> None:
    """Longer than the two minutes that a clip may last; few frames, so that it is quickly written."""
    write_clip(path, [grey(90)] * 14, np.arange(14) * 10.0)


def _sound_alone(path: Path, rng: np.random.Generator, size: int) -> None:
    with path.open("wb") as file, wave.open(file) as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes((rng.normal(size=RATE * 2) * 3000).astype("<i2").tobytes())


def _photo(path: Path, rng: np.random.Generator, size: int) -> None:
    """A photo in place of somebody who talks."""
    Image.fromarray(_part(rng, size, 1)[0][0]).save(path)


def _bomb(path: Path, rng: np.random.Generator, size: int) -> None:
    """Few bytes that call themselves an enormous picture."""
    Image.fromarray(grey(0, 8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height
    path.write_bytes(data)


def _playlist(path: Path, rng: np.random.Generator, size: int) -> None:
    """A text that would have the decoder open other files."""
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")


def _no_archive(path: Path, rng: np.random.Generator, size: int) -> None:
    """A features file cut short."""
    _table(path, rng, size)
    path.write_bytes(path.read_bytes()[:-200])


def _foreign_archive(path: Path, rng: np.random.Generator, size: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no features")


def _pickled(path: Path, rng: np.random.Generator, size: int) -> None:
    """An array of Python objects, which would be run when it is read."""
    np.savez(path, coefficients=np.array([{"a": 1}], object))


def _not_numbers(path: Path, rng: np.random.Generator, size: int) -> None:
    rows = np.full((40, 58), np.nan, np.float32)
    audio = np.zeros((40, 78), np.float32)
    write_table(path, FeatureTable(rows, np.zeros((40, 25), np.float32), audio, np.zeros(40, np.uint8)))


Maker = Callable[[Path, np.random.Generator, int], object]
GOOD: dict[str, tuple[Maker, str, str]] = {
    "talk": (_clip, ".mp4", DONE),
    "quiet": (_soundless, ".mp4", DONE),
    "cinema": (lambda path, rng, size: _clip(path, rng, size, fps=24, frames=30), ".mp4", DONE),
    "old": (lambda path, rng, size: _clip(path, rng, size, codec="mpeg4", sound=False), ".avi", DONE),
    "web": (lambda path, rng, size: _clip(path, rng, size, codec="libvpx", sound=False), ".webm", DONE),
    "sideways": (_sideways, ".mov", DONE),
    "uneven": (_uneven, ".mp4", DONE),
    "leaves": (_half_hidden, ".mp4", DONE),
    "wrong ending": (_wrong_ending, ".mp4", DONE),
    "Ümläut's, 'name' & 話": (_clip, ".mp4", DONE),
    "table": (_table, ".npz", DONE),
}
"""Kind -> how it is made, its ending, and what a batch makes of it."""
BROKEN: dict[str, tuple[Maker, str, str]] = {
    "empty": (_empty, ".mp4", FAILED),
    "text": (_text, ".mp4", FAILED),
    "noise": (_noise, ".mp4", FAILED),
    "cut short": (_cut_short, ".mp4", FAILED),
    "zeroed": (_zeroed, ".mp4", FAILED),
    "flipped": (_flipped, ".mp4", EITHER),
    "unknown codec": (_unknown_codec, ".mp4", FAILED),
    "head alone": (_head_alone, ".mp4", FAILED),
    "nobody": (_nobody, ".mp4", FAILED),
    "too short": (_too_short, ".mp4", FAILED),
    "too long": (_too_long, ".mp4", FAILED),
    "sound alone": (_sound_alone, ".mp4", FAILED),
    "photo": (_photo, ".png", FAILED),
    "bomb": (_bomb, ".png", FAILED),
    "playlist": (_playlist, ".mp4", FAILED),
    "no archive": (_no_archive, ".npz", FAILED),
    "foreign archive": (_foreign_archive, ".npz", FAILED),
    "pickled": (_pickled, ".npz", FAILED),
    "not numbers": (_not_numbers, ".npz", FAILED),
}


def write_manifest(items: Sequence[MadeItem], path: Path, listeners: Sequence[Path]) -> Path:
    """A table for `batch react`: each item as speaker, listeners in turn, each with a seed of its own."""
    import json

    rows = [
        {"id": item.id, "speaker": str(item.path), "listener": str(listeners[number % len(listeners)]), "seed": number}
        for number, item in enumerate(items)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
