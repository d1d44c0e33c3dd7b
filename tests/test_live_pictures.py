"""Tracking on the server: a visitor's choice; a picture is bounded before it is decoded, followed, and forgotten."""

import io
import json
import time
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from page.live import PATH, LiveLimits, LiveServer
from perfrdiff.errors import InputError
from perfrdiff.live import protocol
from perfrdiff.live.pictures import LARGEST_SIDE, PictureTracker, decoded
from perfrdiff.live.session import HOP
from perfrdiff.reactor import Reactor

SOUND = protocol.pack_sound(0.1 * np.random.default_rng(3).normal(size=HOP))


def jpeg(picture, **options):
    packed = io.BytesIO()
    picture.save(packed, "JPEG", **options)
    return packed.getvalue()


@pytest.fixture(scope="module")
def face(portrait):
    picture = Image.open(portrait)
    picture.thumbnail((480, 480))
    return jpeg(picture, quality=75)


@pytest.fixture(scope="module")
def reactor(weights):
    torch.set_num_threads(1)
    return Reactor.load(weights)


def converse(reactor, messages, limits=None, **wishes):
    """What a session says to the messages: its place, while it runs, and the sentence with which it ends or ""."""
    server = LiveServer(lambda: reactor, limits=limits)
    with TestClient(Starlette(routes=server.routes())) as client, client.websocket_connect(PATH) as socket:
        socket.send_text(json.dumps({"type": "start"} | wishes))
        assert socket.receive_json()["type"] == "ready"
        (place,) = server._places
        for message in messages:
            socket.send_bytes(message)
        socket.send_text('{"type": "stop"}')
        sentence = ""
        try:
            while True:
                message = socket.receive()
                if message["type"] == "websocket.close":
                    break
                if message.get("text"):
                    sentence = json.loads(message["text"])["sentence"]
        except WebSocketDisconnect:
            pass
    return place, sentence


def test_who_chooses_it_is_seen(reactor, face):
    messages = [one for frame in range(6) for one in (protocol.pack_picture((frame + 0.5) / 25, face), SOUND)]
    place, sentence = converse(reactor, messages, track="server")
    assert sentence == "" and place.pictures == 6
    assert place.minute._seen.take(0, 6).any(), "nobody was seen in a portrait"
    end = time.monotonic() + 5  # it is closed after the socket
    while place.tracker.face(face) is not None and time.monotonic() < end:
        time.sleep(0.02)
    assert place.tracker.face(face) is None, "the tracker of an ended session is open"


def test_pictures_that_nobody_asked_for_are_refused(reactor, face):
    message = protocol.pack_picture(0.02, face)
    assert '"track": "server"' in converse(reactor, [message])[1]
    limits = LiveLimits(pictures=0.1)
    assert "a second came" in converse(reactor, [message] * 3, limits, track="server")[1]


@pytest.mark.parametrize(
    ("size", "words"), [((8, 400), "8 x 400"), ((LARGEST_SIDE + 1, 20), "are the most"), ((9000, 9000), "most")]
)
def test_another_size_is_refused_before_it_is_decoded(size, words):
    small = jpeg(Image.new("L", (32, 32)))
    at = small.index(b"\xff\xc0") + 5  # height and width, in the frame's header
    with pytest.raises(InputError, match=words):
        decoded(small[:at] + size[1].to_bytes(2, "big") + size[0].to_bytes(2, "big") + small[at + 4 :])


def test_what_is_no_jpeg_is_one_sentence(face):
    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    for broken in (b"", b"\xff\xd8", png.getvalue(), face[: len(face) // 2]):
        with pytest.raises(InputError, match="no JPEG"):
            decoded(broken)
    rng, tracker = np.random.default_rng(1), PictureTracker()
    for _ in range(30):
        spoilt = bytearray(face)
        for _ in range(rng.integers(1, 20)):
            spoilt[rng.integers(len(spoilt))] = rng.integers(256)
        with suppress(InputError):
            tracker.face(bytes(spoilt))
    tracker.close()
    assert len(protocol.pack_picture(0.0, face)) < protocol.LARGEST_MESSAGE
