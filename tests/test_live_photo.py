"""The listener's photo, moved while the reactions come, for a page that asks for it."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from page.live import PATH, LiveServer
from page.live_listeners import ReadyListener
from perfrdiff.coefficients import CHANNEL, neutral
from perfrdiff.errors import InputError
from perfrdiff.features.clip import read_listener
from perfrdiff.live import protocol
from perfrdiff.live.photo import SIZE, LivePhoto
from perfrdiff.live.session import HOP
from perfrdiff.reactor import Reactor

SOUND = protocol.pack_sound(0.1 * np.random.default_rng(3).normal(size=HOP))


@pytest.fixture(scope="module")
def listener(portrait):
    return read_listener(portrait)


def picture_of(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)), np.float32)


def test_it_moves_and_is_small(listener):
    rows = np.tile(neutral(), (2, 3, 1)).astype(np.float32)
    rows[1, 2, CHANNEL["jawOpen"]] = 1.0
    made = list(LivePhoto(listener).pictures(rows))
    assert [(sample, frame) for sample, frame, _ in made] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert picture_of(made[0][2]).shape == (SIZE, SIZE, 3) and all(len(jpeg) < 40_000 for _, _, jpeg in made)
    assert np.abs(picture_of(made[5][2]) - picture_of(made[4][2])).max() > 30 > 0
    assert made[0][2] == made[3][2]
    with pytest.raises(InputError, match="no photo"):
        LivePhoto(None)


def test_every_frame_has_its_picture_before_it_is_known(listener, weights):
    """The page shows a frame when its numbers are there; a slow client gets these alone."""
    torch.set_num_threads(1)
    reactor = Reactor.load(weights)
    reactor.set_listener("Warm")
    server = LiveServer(lambda: reactor)
    name = server.listeners.add(ReadyListener(reactor, listener))
    messages = []
    with TestClient(Starlette(routes=server.routes())) as client:
        with client.websocket_connect(PATH) as socket:
            start = {"type": "start", "listener": name, "camera": False, "show": "photo", "samples": 2}
            socket.send_text(json.dumps(start))
            assert socket.receive_json()["type"] == "ready"
            for _ in range(30):
                socket.send_bytes(SOUND)
            while not messages or messages[-1][0] != protocol.REACTIONS:
                messages.append(socket.receive_bytes())
            (place,) = server._places
            assert server.is_heard(name) and not server.is_heard("another")
            place.is_slow = True
            assert all(message[0] != protocol.PHOTO for message in place.finish())
        with client.websocket_connect(PATH) as socket:
            socket.send_text(json.dumps({"type": "start", "show": "photo"}))
            assert "no photo" in socket.receive_json()["sentence"]
        assert not server.is_heard(name)
    first, rows = protocol.unpack_reactions(messages[-1])
    heads = [protocol.REACTIONS_HEAD.unpack_from(message) for message in messages if message[0] == protocol.PHOTO]
    frames = range(first, first + rows.shape[1])
    assert {(sample, frame) for _, sample, _, frame in heads} == {(k, i) for k in range(2) for i in frames}
