"""Reactions that leave while they come: OSC datagrams read by a reader of this test's own, the shell, the examples."""

import csv
import io
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from perfrdiff.cli.main import main
from perfrdiff.coefficients import CHANNEL, COEFFICIENT_NAMES, neutral
from perfrdiff.errors import InputError
from perfrdiff.features.stream import SpeakerFrames
from perfrdiff.live.camera import react_to_camera
from perfrdiff.live.osc import MOST_KEPT, OscOutput, packets
from perfrdiff.live.session import LiveFrames
from perfrdiff.reactor import Reactor
from renderer.errors import RenderError
from renderer.export.live_link import BLENDSHAPES

ROOT = Path(__file__).resolve().parents[1]


def read_osc(packet):
    """(address, values) of every message of a bundle, as OSC 1.0 lays them down."""

    def text(data, at):
        end = data.index(b"\0", at)
        return data[at:end].decode(), (end // 4 + 1) * 4

    assert packet[:8] == b"#bundle\0" and len(packet) % 4 == 0
    at, messages = 16, []
    while at < len(packet):
        (size,) = struct.unpack_from(">i", packet, at)
        data, at = packet[at + 4 : at + 4 + size], at + 4 + size
        address, place = text(data, 0)
        kinds, place = text(data, place)
        values = []
        for kind in kinds[1:]:
            if kind == "s":
                value, place = text(data, place)
            else:
                value = struct.unpack_from({"f": ">f", "i": ">i"}[kind], data, place)[0]
                place += 4
            values.append(value)
        assert place == size
        messages.append((address, values))
    return messages


def row(**values):
    made = neutral().copy()
    for name, value in values.items():
        made[CHANNEL[name]] = value
    return made


def piece(rows, first=0):
    return LiveFrames(first, SpeakerFrames(None, None, None), first, np.asarray(rows, np.float32)[None])


def test_a_frame_is_what_receivers_of_the_protocol_read():
    made = packets(row(mouthSmileLeft=0.5, jawOpen=0.25, rotationX=np.pi + 0.2), 2.0)
    assert all(len(packet) <= 1400 for packet in made), "larger datagrams are cut in pieces on their way"
    messages = [message for packet in made for message in read_osc(packet)]
    blends = {values[0]: values[1] for address, values in messages if address == "/VMC/Ext/Blend/Val"}
    assert set(blends) == set(BLENDSHAPES) and len(blends) == 52
    assert blends["MouthSmileLeft"] == 0.5 and blends["JawOpen"] == 0.25 and blends["BrowInnerUp"] == 0
    assert messages[-1] == ("/VMC/Ext/Blend/Apply", []) and ("/VMC/Ext/T", [2.0]) in messages
    (bone,) = [values for address, values in messages if address == "/VMC/Ext/Bone/Pos"]
    assert bone[0] == "Head" and bone[4:] == pytest.approx([np.sin(0.1), 0, 0, np.cos(0.1)], abs=1e-5)


@pytest.mark.parametrize(("channel", "axis", "sign"), [("rotationX", 4, 1), ("rotationY", 5, -1), ("rotationZ", 6, -1)])
def test_turns_are_those_of_unity(channel, axis, sign):
    """There, chin down is a positive turn about x, a turn to the avatar's left a negative one about y, and a tilt to
    their left shoulder (a negative one here) a positive one about z."""
    start = np.pi if channel == "rotationX" else 0.0
    messages = read_osc(packets(row(**{channel: start + 0.2}), 0.0)[0])
    bone = dict(messages)["/VMC/Ext/Bone/Pos"]
    assert bone[axis] == pytest.approx(sign * np.sin(0.1), abs=1e-5)


def test_frames_arrive_in_order_and_in_time():
    rows = [row(jawOpen=frame / 100) for frame in range(10)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        came = []

        def receive():
            while len(came) < 30:
                came.append(receiver.recv(65_536))

        thread = threading.Thread(target=receive)
        thread.start()
        with OscOutput("127.0.0.1", receiver.getsockname()[1]) as output:
            output.push(piece(rows[:5]))
            output.push(piece(rows[5:], first=5))
        thread.join(timeout=10)
    jaws = [
        values[1]
        for packet in came
        for address, values in read_osc(packet)
        if address == "/VMC/Ext/Blend/Val" and values[0] == "JawOpen"
    ]
    assert jaws == pytest.approx([frame / 100 for frame in range(10)]) and output.sent == 10


def test_a_backlog_is_bounded_and_a_wrong_place_is_a_sentence():
    with OscOutput("127.0.0.1", 9) as output:
        output.push(piece([row()] * 200))
        assert len(output._waiting) <= MOST_KEPT and output.left_out >= 200 - MOST_KEPT - 1
        with output._changed:
            output._waiting.clear()
    with pytest.raises(InputError, match="no place"):
        OscOutput("no host has spaces", 1)
    with pytest.raises(RenderError):
        packets(np.full(58, np.nan), 0.0)
    assert main(["live", "talk.mp4", "--osc", "nowhere"]) == 2


@pytest.mark.slow
def test_a_camera_gives_reactions_and_a_missing_one_a_sentence(speaker, weights):
    """A film in place of the device: it is read as OpenCV reads a camera."""
    reactor = Reactor.load(weights)
    parts = list(react_to_camera(reactor, speaker))
    rows = np.concatenate([part.reactions for part in parts], axis=1)
    assert rows.shape[1] >= 5 and np.isfinite(rows).all()
    with pytest.raises(InputError, match="cannot be opened"):
        next(react_to_camera(reactor, "/dev/no-such-camera"))


@pytest.mark.slow
def test_the_shell_prints_a_line_for_every_frame(speaker, weights, capsys):
    assert main(["live", str(speaker), "--style", "Calm", "--weights", weights]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(lines) == 50 and list(lines[0]) == ["time_s", *COEFFICIENT_NAMES]
    assert lines[7]["time_s"] == "0.28" and np.isfinite([float(value) for value in lines[7].values()]).all()
    assert main(["live", "camera:x"]) == 2


@pytest.mark.slow
def test_the_example_runs_on_a_film(speaker):
    done = subprocess.run(
        [sys.executable, "examples/live_webcam.py", str(speaker), "127.0.0.1"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.count("frame ") == 50 and "frame 49: [" in done.stdout
