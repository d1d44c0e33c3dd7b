"""Decoding in processes of their own: the same bits, a codec that fails costs one file, and nothing gets out."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest

from perfrdiff.errors import InputError
from perfrdiff.features.media import apart
from perfrdiff.features.media.apart import confine, wire
from perfrdiff.features.media.apart.parent import ZYGOTE, Reading
from perfrdiff.features.media.apart.readers import ReadersApart
from perfrdiff.features.media.input import Part, open_input
from perfrdiff.features.media.local_file import open_local
from perfrdiff.features.media.pixels import cap_pixels
from perfrdiff.features.media.prefetch import Prefetcher
from perfrdiff.features.media.video import WHOLE
from tests.support.clips import EXAMPLES, click, cut, ramp, write_clip

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", autouse=True)
def decoding_apart():
    apart.turn_on()
    yield
    apart.turn_off()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return write_clip(path, ramp(60), np.arange(60) / 25, turn=90, audio_tracks=[(0.1, click(2, 0.5))])


def everything(path, part=WHOLE):
    """All that can be read of a file."""
    with open_input(path, part=part) as media:
        if media.kind == "image":
            return {"image": media.image()}
        sound = media.audio()
        read = {
            "info": media.info,
            "audio": None if sound is None else sound.samples,
            "frames": list(media.frames(480)),
            "samples": [picture for picture, _ in zip(media.sample_frames(0.5, 64), range(4), strict=False)],
            "strip": media.strip(5, 48),
            "at": dict(media.frames_at([7, 3, 20], 64)),
            "regions": [],
        }
        with media.frame_reader(64) as reader, Prefetcher(reader, (4, 4, 32, 32)) as frames:
            for index, frame in enumerate(frames):
                read["regions"].append(frame.picture)
                if index % 10 == 3:
                    read["regions"].append(reader.whole(frame.number, 32))
                frames.request_region((4 + index % 7, 4, 32, 32))
        return read


def is_same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return one == other


def processes():
    return psutil.Process(ZYGOTE._process.pid).children()


def wait_until_none():
    end = time.monotonic() + 10
    while processes() and time.monotonic() < end:
        time.sleep(0.02)
    assert processes() == []


@pytest.mark.parametrize("part", [Part(), Part(0.4, 1.8)])
def test_what_is_read_is_the_same_to_the_bit(clip, part, monkeypatch):
    there = everything(clip, part)
    monkeypatch.setattr(apart, "_is_on", False)
    here = everything(clip, part)
    assert is_same(there, here) and len(here["regions"]) > 30
    wait_until_none()


def test_a_photo_is_the_same_to_the_bit(portrait, monkeypatch):
    there = everything(portrait)
    monkeypatch.setattr(apart, "_is_on", False)
    assert is_same(there, everything(portrait))


def test_what_is_no_good_has_the_same_sentence(clip, portrait, tmp_path, monkeypatch):
    files = {
        "half.mp4": clip.read_bytes()[: clip.stat().st_size // 2],
        "text.mp4": b"no film at all\n" * 100,
        "list.mp4": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
        "half.jpg": portrait.read_bytes()[:9000],
        "bomb.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBBI", 60000, 60000, 8, 2, 0, 0, 0, 0),
    }
    said = {}
    for is_apart in (True, False):
        monkeypatch.setattr(apart, "_is_on", is_apart)
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError) as caught:
                everything(tmp_path / name)
            said.setdefault(name, set()).add(str(caught.value))
    assert all(len(sentences) == 1 for sentences in said.values()), said


def test_limits_of_the_server_hold_there_too(portrait):
    cap_pixels(10_000)
    try:
        with open_input(portrait) as media, pytest.raises(InputError, match=r"more than 0\.01 megapixels"):
            media.image()
    finally:
        cap_pixels(None)


def test_a_decoder_that_dies_costs_one_reading(clip):
    with open_input(clip) as media:
        pictures = media.frames(48)
        next(pictures)
        (process,) = processes()
        os.kill(process.pid, signal.SIGSEGV)
        with pytest.raises(InputError, match=r"^“clip\.mp4” ended its decoder: .*, and was not read\.$"):
            list(pictures)
        assert len(list(media.frames(48))) == 60, "the next one works"


def test_whoever_stops_reading_leaves_no_process(clip):
    with open_input(clip) as media:
        pictures = media.frames(640)
        next(pictures)
        assert len(processes()) == 1
        pictures.close()
        with media.frame_reader(64) as reader:
            next(iter(reader))
        wait_until_none()


def test_the_process_that_is_forked_from_is_started_again(clip):
    os.kill(ZYGOTE._process.pid, signal.SIGKILL)
    ZYGOTE._process.wait()
    assert len(everything(clip)["frames"]) == 60


TRY = """
import os, resource, signal, socket, subprocess, sys
from perfrdiff.features.media.apart.confine import confine, leave_network
leave_network()
file = open(sys.argv[1], "r+b", buffering=0)
end, other = socket.socketpair()
confine()
def refused(what):
    try:
        what()
    except (OSError, MemoryError, ValueError) as error:
        return type(error).__name__
    return "DONE"
print({
    "open": refused(lambda: open("/etc/passwd")),
    "write": refused(lambda: open(sys.argv[1] + ".new", "w")),
    "socket": refused(lambda: socket.socket()),
    "remove": refused(lambda: os.unlink(sys.argv[1])),
    "longer": refused(lambda: file.write(b"x" * 10)),
    "program": refused(lambda: os.execv("/bin/true", ["true"])),
    "others": refused(lambda: os.kill(os.getppid(), 0)),
    "memory": refused(lambda: bytearray(6 << 30)),
    "limits": refused(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))) if os.geteuid() else "ValueError",
    "reads on": file.read(1),
})
"""


def test_a_decoding_process_can_open_nothing_and_reach_nobody(tmp_path):
    """What somebody could do who has taken it over: nothing but lie about the picture."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    done = subprocess.run([sys.executable, "-c", TRY, path], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = eval(done.stdout)
    assert found.pop("reads on") == b""
    seccomp = ("program", "others", "remove")
    for what, error in found.items():
        if what in seccomp and "seccomp" not in confine_status():
            continue
        assert error in ("OSError", "PermissionError", "MemoryError", "ValueError"), (what, error)
    assert path.exists() and not (tmp_path / "file.new").exists()


def confine_status():
    """Whether this system can filter system calls."""
    return (
        "seccomp"
        if "Seccomp_filters" in Path("/proc/self/status").read_text() and os.uname().machine == "x86_64"
        else ""
    )


def test_a_decoder_that_hangs_is_ended(clip):
    with open_local(clip) as file:
        info = ReadersApart(file).probe(120.0, Part())
        reading = Reading(file, "frames", [25.0, 120.0, 640], asdict(info))
        reading.next()
        (process,) = processes()
        process.suspend()
        reading._connection.settimeout(0.3)  # in place of minutes
        with pytest.raises(InputError, match=r"^“clip\.mp4” keeps its decoder busy without end"):
            list(reading)
        wait_until_none()


@pytest.mark.parametrize(
    ("about", "body"),
    [
        (b"no json", b""),
        (b"[1]", b""),
        (json.dumps({"shape": [4, 4, 3], "kind": "uint8"}).encode(), b"x" * 47),
        (json.dumps({"shape": [-4, -4, 3], "kind": "uint8"}).encode(), b"x" * 48),
        (json.dumps({"shape": [2], "kind": "object"}).encode(), b"x" * 16),
        (json.dumps({"shape": [1 << 40], "kind": "uint8"}).encode(), b""),
        (b"{}", b"bytes"),
    ],
)
def test_lies_on_the_wire_are_no_messages(about, body):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(wire.LENGTHS.pack(len(about), len(body)) + about + body)
        with pytest.raises(wire.WireError):
            wire.receive(ours)


@pytest.mark.parametrize(
    "about",
    [
        {"shape": [wire.SLOT + 1], "kind": "uint8"},
        {"shape": [wire.SLOT // 4 + 1], "kind": "float32"},
        {"shape": [0], "kind": "uint8"},
        {"shape": [-1, -1], "kind": "uint8"},
        {"shape": [2], "kind": "object"},
        {"shape": "all", "kind": "uint8"},
    ],
)
def test_lies_about_the_slot_are_no_messages(about):
    ours, theirs = socket.socketpair()
    descriptor = wire.Slot.new()
    slot = wire.Slot(descriptor)
    os.close(descriptor)
    with ours, theirs:
        for held in (slot, None):
            wire.send(theirs, about | {"in_slot": True})
            with pytest.raises(wire.WireError):
                wire.receive(ours, held)
    slot.close()


def test_a_slot_holds_one_picture_until_it_is_taken_and_nobody_can_cut_it_short():
    ours, theirs = socket.socketpair()
    descriptor = wire.Slot.new()
    for length in (0, wire.SLOT - 1, wire.SLOT + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, length)
    mine, its = wire.Slot(descriptor), wire.Slot(descriptor)
    os.close(descriptor)
    pictures = [np.full((3, 5, 3), value, np.uint8) for value in (7, 9)]
    with ours, theirs:
        wire.send(theirs, {}, pictures[0], its)
        sender = threading.Thread(target=wire.send, args=[theirs, {}, pictures[1][:, ::-1], its])
        sender.start()
        got = [wire.receive(ours, mine)[1] for _ in pictures]
        sender.join(30)
    assert all(map(np.array_equal, got, pictures))
    mine.close()
    with ours, pytest.raises(ValueError):
        mine.take([1], np.uint8)


@pytest.mark.parametrize("lengths", [(wire.LARGEST_JSON + 1, 0), (2, wire.LARGEST_ARRAY + 1)])
def test_lengths_that_lie_make_no_room(lengths):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(wire.LENGTHS.pack(*lengths))
        with pytest.raises(wire.WireError, match="too long"):
            wire.receive(ours)


def test_a_decoder_that_answers_nonsense_is_not_believed(clip, monkeypatch):
    answers = {
        "probe": [({"info": {"width": 5}}, None)],
        "image": [({}, np.zeros((5000, 5000, 3), np.uint8))],
        "frames_at": [({"number": 99}, np.zeros((4, 4, 3), np.uint8))],
        "frames": [({}, np.zeros((4, 4), np.uint8))],
        "audio": [({}, np.full(round(16000 * 2.4), np.nan, np.float32))],
    }
    with open_input(clip) as media:
        info = media.info

    class Lying:
        def __init__(self, file, do, *_):
            self.answers = answers[do]

        def __iter__(self):
            return iter(self.answers)

    monkeypatch.setattr("perfrdiff.features.media.apart.readers.Reading", Lying)
    with open_local(clip) as file:
        readers = ReadersApart(file)
        for ask in (
            lambda: readers.probe(120.0, Part()),
            readers.image,
            lambda: list(readers.frames_at(info, [3], 64, 25.0)),
            lambda: list(readers.frames(info, 25.0, 120.0, 64)),
            lambda: readers.audio(info),
        ):
            with pytest.raises(InputError, match="nonsense"):
                ask()


@pytest.mark.slow
def test_a_speaker_of_the_examples_is_read_alike(tmp_path, monkeypatch):
    path = cut(EXAMPLES / "speaker.mp4", tmp_path / "speaker.mp4", 1.2)
    there = everything(path)
    monkeypatch.setattr(apart, "_is_on", False)
    assert is_same(there, everything(path))
    assert confine.MEMORY <= 4 << 30
