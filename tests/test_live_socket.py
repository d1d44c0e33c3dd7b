"""The socket of live sessions: what a browser, a program and somebody with bad intentions get."""

import json
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from page.live import FULL, IDLE, LONGEST_TEXT, PATH, REFUSED, WRONG, LiveLimits, LiveServer
from perfrdiff.errors import InputError
from perfrdiff.live import protocol
from perfrdiff.live.session import HOP
from perfrdiff.reactor import Reactor

RNG = np.random.default_rng(3)
POINTS = RNG.uniform(0.3, 0.7, (478, 3))
SCORES = RNG.uniform(0, 1, 52)
MATRIX = np.eye(4)
MATRIX[:3, 3] = 1.0, 2.0, -50.0
SOUND = (0.1 * RNG.normal(size=HOP)).astype(np.float32)


@pytest.fixture(scope="module")
def reactor(weights):
    torch.set_num_threads(1)
    return Reactor.load(weights)


@pytest.fixture
def server(reactor):
    return LiveServer(lambda: reactor)


@contextmanager
def connected(server, **headers):
    with (
        TestClient(Starlette(routes=server.routes())) as client,
        client.websocket_connect(PATH, headers=headers) as socket,
    ):
        yield socket


def begin(socket, **wishes):
    socket.send_text(json.dumps({"type": "start"} | wishes))
    return socket.receive_json()


def face_message(frame):
    return protocol.pack_face((frame + 0.5) / 25, POINTS, SCORES, MATRIX, (640, 480))


def ended(socket):
    """The sentence and the code with which the server ends a session."""
    message = socket.receive()
    while "text" not in message:
        message = socket.receive()
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_bytes()
    return json.loads(message["text"])["sentence"], closed.value.code


def test_messages_come_back_as_they_were():
    heard = protocol.parse(protocol.pack_sound(SOUND))
    assert np.abs(heard.samples - SOUND).max() < 1e-4
    seen = protocol.parse(face_message(7))
    assert seen.seconds == pytest.approx(0.3) and len(face_message(7)) == protocol.FACE_BYTES
    assert np.abs(seen.face.landmarks / [640, 480, 640] - POINTS).max() < 3e-5
    assert np.abs(seen.face.expressions[:51] - SCORES[1:]).max() < 1e-4
    assert seen.face.position == pytest.approx([1.0, 2.0, -50.0])
    assert protocol.parse(protocol.pack_nobody(0.3)).face is None


def test_a_program_talks_and_gets_reactions_in_order(server):
    frames = []
    with connected(server) as socket:
        assert begin(socket, samples=2, listener="Warm")["type"] == "ready" and server.sessions == 1
        for frame in range(40):
            socket.send_bytes(protocol.pack_sound(SOUND))
            socket.send_bytes(face_message(frame))
        socket.send_text('{"type": "listener", "listener": "Calm"}')
        socket.send_text('{"type": "stop"}')
        with pytest.raises(WebSocketDisconnect):
            while True:
                message = socket.receive_bytes()
                if message[0] == protocol.REACTIONS:
                    frames.append(protocol.unpack_reactions(message))
    assert [first for first, _ in frames] == list(np.cumsum([0] + [rows.shape[1] for _, rows in frames])[:-1])
    reactions = np.concatenate([rows for _, rows in frames], axis=1)
    assert reactions.shape == (2, 40, 58) and np.isfinite(reactions).all()
    assert server.sessions == 0


def test_the_next_visitor_is_told_when_a_place_is_free(reactor):
    server = LiveServer(lambda: reactor, limits=LiveLimits(places=1, minutes=7))
    with TestClient(Starlette(routes=server.routes())) as client:
        with client.websocket_connect(PATH) as first:
            begin(first)
            with client.websocket_connect(PATH) as second:
                assert ended(second) == ("All 1 live places are taken; one is free in 7 min at most.", FULL)
            first.send_text('{"type": "stop"}')
        with client.websocket_connect(PATH) as third:
            assert begin(third)["type"] == "ready", "a closed session frees its place"


def test_a_page_of_another_server_is_refused(server):
    for origin, host in (("https://elsewhere.example", "testserver"), ("null", "testserver")):
        with pytest.raises(WebSocketDisconnect) as closed, connected(server, origin=origin, host=host):
            pass
        assert closed.value.code == REFUSED
    with connected(
        server, origin="https://here.example", host="inside", **{"x-forwarded-host": "here.example"}
    ) as socket:
        assert begin(socket)["type"] == "ready"


def test_after_five_seconds_without_a_network_all_sound_is_taken_in(server):
    """A client sends what it could not send; the session goes on, and so does the count of frames."""
    frames = 0
    with connected(server) as socket:
        begin(socket)
        for _ in range(125):
            socket.send_bytes(protocol.pack_sound(SOUND))
        socket.send_bytes(face_message(124))
        socket.send_text('{"type": "stop"}')
        with pytest.raises(WebSocketDisconnect):
            while True:
                message = socket.receive_bytes()
                if message[0] == protocol.REACTIONS:
                    frames += protocol.unpack_reactions(message)[1].shape[1]
    assert frames == 125


def test_what_was_seen_can_be_kept_after_the_end_while_the_socket_is_open(server):
    with connected(server) as socket:
        key = begin(socket)["session"]
        for frame in range(40):
            socket.send_bytes(protocol.pack_sound(SOUND))
            socket.send_bytes(face_message(frame))
        socket.send_text('{"type": "stop", "hold": true}')
        frames = 0
        while frames < 40:
            message = socket.receive_bytes()
            if message[0] == protocol.REACTIONS:
                frames += protocol.unpack_reactions(message)[1].shape[1]
        end = time.monotonic() + 5
        while server.sessions and time.monotonic() < end:
            time.sleep(0.01)
        assert server.sessions == 0, "an ended session keeps its place"
        take = server.take(key, until=34)
        assert take.frames == 35 and take.reactions.coefficients.shape == (1, 35, 58)
        for wrong in (key[:-1] + "?", ""):
            with pytest.raises(InputError, match="not there any more"):
                server.take(wrong, until=34)
    end = time.monotonic() + 5
    while server._open and time.monotonic() < end:
        time.sleep(0.01)
    with pytest.raises(InputError, match="not there any more"):
        server.take(key, until=34)


def test_a_silent_session_ends(reactor):
    server = LiveServer(lambda: reactor, limits=LiveLimits(idle_seconds=0.2))
    with connected(server) as socket:
        begin(socket)
        sentence, code = ended(socket)
    assert code == IDLE and "0.2 s" in sentence


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"samples": 5}, "1 to 4"),
        ({"samples": 2.5}, "1 to 4"),
        ({"samples": True}, "1 to 4"),
        ({"seed": -1}, "whole number"),
        ({"listener": "Nobody"}, "choose one again"),
        ({"listener": ["Warm"]}, "choose one again"),
        ({"microphone": False, "camera": False}, "hear or to see"),
    ],
)
def test_wishes_that_cannot_be_met_are_one_sentence(server, wishes, words):
    with connected(server) as socket:
        socket.send_text(json.dumps({"type": "start"} | wishes))
        sentence, code = ended(socket)
    assert words in sentence and code == WRONG


NAN_POSE = protocol.pack_face(0.1, POINTS, SCORES, MATRIX * np.nan, (640, 480))
BEHIND = protocol.pack_face(0.1, POINTS, SCORES, -MATRIX, (640, 480))


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([b"\x07abc"], "kind 7"),
        ([b"\x01\x00\x00\x00\x00"], "sound message"),
        ([b"\x02"], "face message"),
        ([face_message(3)[:-1]], "face message"),
        ([NAN_POSE], "not finite"),
        ([BEHIND], "in front"),
        ([b"\x01" * (protocol.LARGEST_MESSAGE + 1)], "none of this protocol"),
        ([b""], "none of this protocol"),
        ([protocol.pack_nobody(0.5), protocol.pack_nobody(0.4)], "have to rise"),
        ([protocol.pack_nobody(float("nan"))], "have to rise"),
        ([protocol.pack_nobody(90.0)], "of sound only"),
        ([protocol.pack_sound(np.zeros(16_000))] * 60, "faster than time passes"),
        (["x" * (LONGEST_TEXT + 1)], "JSON object"),
        (['{"type": "dance"}'], "JSON object"),
        (["[" * 4000], "JSON object"),
    ],
)
def test_bad_messages_end_the_session_in_one_sentence_and_nothing_else_suffers(server, messages, words):
    with TestClient(Starlette(routes=server.routes())) as client, client.websocket_connect(PATH) as good:
        begin(good)
        with client.websocket_connect(PATH) as bad:
            begin(bad)
            for message in messages:
                bad.send_text(message) if isinstance(message, str) else bad.send_bytes(message)
            sentence, code = ended(bad)
        assert words in sentence and code == WRONG and sentence.count("\n") == 0
        for frame in range(12):
            good.send_bytes(protocol.pack_sound(SOUND))
            good.send_bytes(face_message(frame))
        assert good.receive_bytes()[0] in (protocol.HEARD, protocol.REACTIONS)


def test_the_first_message_has_to_start_the_session(server):
    with connected(server) as socket:
        socket.send_bytes(protocol.pack_sound(SOUND))
        assert "start" in ended(socket)[0]


def test_random_bytes_are_refused_or_taken_but_never_crash():
    kinds = [protocol.pack_sound(SOUND), face_message(1), protocol.pack_nobody(1.0)]
    refused = 0
    for _ in range(3000):
        message = bytearray(kinds[RNG.integers(3)])
        for _ in range(RNG.integers(1, 8)):
            message[RNG.integers(len(message))] = RNG.integers(256)
        if RNG.random() < 0.3:
            message = message[: RNG.integers(len(message))]
        try:
            protocol.parse(bytes(message))
        except InputError:
            refused += 1
    assert 100 < refused < 3000
