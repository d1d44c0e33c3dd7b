"""One opening: what a person hands in is opened and probed once, and all that reads it reads through that one file.

A file that is opened again is read from a slow disk again, and a run takes minutes in which somebody may move it.
"""

import os
import shutil
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perfrdiff.coefficients import neutral
from perfrdiff.errors import InputError
from perfrdiff.features.media import readers
from perfrdiff.features.media.images import read_image
from perfrdiff.features.media.input import open_input
from perfrdiff.features.tracking.people import preview
from perfrdiff.pipeline import run as pipeline
from perfrdiff.pipeline.request import ReactRequest
from tests.support.clips import click, corners, cut, ramp, two_people, write_clip

openings: Counter[str] = Counter()


def _count(event: str, arguments: tuple) -> None:
    if event == "open" and isinstance(arguments[0], str | os.PathLike):
        openings[os.fspath(arguments[0])] += 1


sys.addaudithook(_count)  # sees every open() and os.open() of the process; a hook cannot be taken away again


@pytest.fixture
def probed(monkeypatch) -> list[str]:
    """The names of the files that are probed, in order."""
    names, probe = [], readers.probe

    def noted(file, *limits):
        names.append(file.name)
        return probe(file, *limits)

    monkeypatch.setattr(readers, "probe", noted)
    return names


@pytest.fixture
def clip(tmp_path) -> Path:
    return write_clip(tmp_path / "clip.mov", ramp(50), np.arange(50) / 25, audio_tracks=[(0.0, click(2, 0.5))])


@pytest.mark.slow
@pytest.mark.parametrize("listener", ["portrait.jpg", "listener.mp4"])
def test_a_run_opens_and_probes_each_file_once(listener, speaker, portrait, weights, tmp_path, probed):
    talk, other = tmp_path / "talk.mp4", tmp_path / f"other{Path(listener).suffix}"
    shutil.copyfile(speaker, talk)
    if listener == portrait.name:
        shutil.copyfile(portrait, other)
    else:
        cut(portrait.parent / listener, other, 3.0)
    openings.clear()
    request = ReactRequest(
        speaker=talk, listener=other, out=tmp_path / "out", samples=1, size=224, views=("mesh",), weights=weights
    )
    pipeline.react(request)
    assert (openings[str(talk)], openings[str(other)]) == (1, 1)
    own = [name for name in probed if name in ("“talk.mp4”", "“other.mp4”")]  # an earlier test's queue may read its own
    assert own == ["“talk.mp4”", "“other.mp4”"][: 1 if other.suffix == ".jpg" else 2]
    assert not {talk, other} & still_open(), "a file that is open cannot be deleted for good"


def still_open() -> set[Path]:
    """The files that this process holds open."""
    links = [Path("/proc/self/fd", descriptor) for descriptor in os.listdir("/proc/self/fd")]
    return {Path(os.readlink(link)) for link in links if link.is_symlink()}  # that of the listing itself is gone


def test_a_photo_is_refused_as_a_speaker_before_the_listener_is_read(portrait, weights, tmp_path):
    request = ReactRequest(speaker=portrait, listener=tmp_path / "none", out=tmp_path / "out", weights=weights)
    with pytest.raises(InputError, match=r"“portrait\.jpg” is a picture; a video is needed here\."):
        pipeline.react(request)


def test_the_page_asks_who_is_meant_with_one_opening(portrait, tmp_path, probed):
    path = two_people(tmp_path / "pair.mp4", read_image(portrait))
    openings.clear()
    assert len(preview(path)[1]) == 2
    assert (openings[str(path)], len(probed)) == (1, 1)
    with open_input(path) as media:
        assert len(preview(media)[1]) == 2
        assert next(media.frames()).shape == (320, 640, 3), "a file that was handed in stays open"


def test_the_content_decides_what_a_file_is(clip, tmp_path):
    Image.fromarray(corners(64, 64)).save(tmp_path / "photo.png")
    np.savez(tmp_path / "talk.npz", coefficients=np.repeat(neutral()[None], 75, axis=0))
    for name, source, kind in (
        ("a.npz", clip, "video"),
        ("b.mp4", "photo.png", "image"),
        ("c.jpg", "talk.npz", "table"),
    ):
        shutil.copyfile(tmp_path / source, tmp_path / name)
        with open_input(tmp_path / name) as media:
            assert (media.kind, media.name) == (kind, f"“{name}”")
    with open_input(clip) as media:
        assert (media.info.width, media.info.height, media.info.seconds) == (64, 64, pytest.approx(2, abs=0.05))
        with pytest.raises(InputError, match="is not a picture that can be read"):
            media.image()
    with open_input(tmp_path / "photo.png") as media:
        assert media.image().shape == (64, 64, 3)
        with pytest.raises(InputError, match="is a picture; a video is needed"):
            media.frames()
    with open_input(tmp_path / "talk.npz", max_seconds=2) as media:
        with pytest.raises(InputError, match="is a features file; a video is needed"):
            media.audio()
        with pytest.raises(InputError, match=r"lasts 3\.0 s; at most 2 s are taken"):
            media.table()


def test_a_file_that_is_refused_is_closed(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(256)) * 16)
    with pytest.raises(InputError, match="neither a video nor"):
        open_input(path)
    assert path not in still_open()


def test_readers_of_one_file_do_not_disturb_one_another(tmp_path):
    """Pictures are decoded in a thread while others are searched for a lost face: mixed up, tracks are noise."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, level, (256, 256, 3), dtype=np.uint8) for level in range(100, 150)]
    clip = write_clip(tmp_path / "clip.mov", noise, np.arange(50) / 25, audio_tracks=[(0.0, click(2, 0.5))])
    assert clip.stat().st_size > 4 * 2**18, "larger than what ffmpeg reads at a time"
    with open_input(clip) as media:
        alone = [picture.mean() for picture in media.frames()]
        heard = media.audio().samples
        first, second = media.frames(), media.frames()
        turns = [(next(first).mean(), next(second).mean(), one.mean()) for _, one in media.frames_at(range(5))]
        assert turns == [(value, value, value) for value in alone[:5]]
        results: dict[int, list] = {}

        def read(number: int) -> None:
            results[number] = [picture.mean() for picture in media.frames()]

        threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        signals = [media.audio().samples for _ in range(4)]
        for thread in threads:
            thread.join()
    assert list(results.values()) == [alone] * 4
    assert all(np.array_equal(samples, heard) for samples in signals)


def test_nothing_is_read_of_a_file_that_was_closed(clip):
    """Its descriptor may be another file's by then."""
    with open_input(clip) as media:
        pass
    with pytest.raises(ValueError, match="closed"):
        next(media.frames())
