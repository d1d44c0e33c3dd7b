"""The socket of the tab *Live*: one session for each open socket, a few at a time. docs/live.md has the messages.

Nothing of a session is written to the disk, unless the visitor keeps its last minute, which is in memory as long as the
socket is open. No picture reaches the server, for a browser sends landmarks, unless the visitor lets the server track.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from page.live_listeners import LiveListeners, ReadyListener
from page.live_place import PROTOCOL, Place, Wishes
from page.loading import heavy
from page.priority import live_session
from page.settings import DEFAULTS
from page.words import TROUBLE
from perfrdiff.errors import InputError
from renderer.errors import RenderError

if TYPE_CHECKING:
    from pathlib import Path

    from perfrdiff.pipeline.take import Take
    from perfrdiff.reactor import Reactor

PATH = "/live"
REHEARSED = 15  # frames
LONGEST_TEXT = 4096  # characters of a message that is JSON
MOST_WAITING = 200  # messages that are not taken in yet; beyond, faces are left out, the oldest first
MANY = 40  # messages at once, 0.8 s: this machine is behind, and leaves the listener's photo out until it is not
SLOW_SECONDS = 0.15  # that sending may take; beyond, the listener's photo is left out until it takes less
REFUSED, FULL, WRONG, IDLE = 4403, 4429, 4400, 4408  # codes with which a socket is closed


@dataclass(frozen=True)
class LiveLimits:
    """What live sessions may take of this machine."""

    places: int = DEFAULTS.live_sessions  # sessions at a time
    minutes: float = DEFAULTS.live_minutes  # of one session, so that the next visitor's turn comes
    idle_seconds: float = DEFAULTS.live_idle_seconds  # without a message, after which a session ends
    samples: int = 4  # reactions of one session
    pictures: float = 30.0  # a second, of a camera that the server tracks


class LiveServer:
    """Serves live sessions.

    reactor: called for the generator with the weights of the page, which is loaded by then or loaded now.
    listeners: those who were made ready; a session may also name a listening style of the weights.
    """

    def __init__(
        self, reactor: Callable[[], Reactor], listeners: LiveListeners | None = None, limits: LiveLimits | None = None
    ) -> None:
        self._reactor, self.limits = reactor, limits or LiveLimits()
        self.listeners = listeners or LiveListeners()
        self._places: list[Place] = []
        self._open: dict[str, Place] = {}  # by key: those whose socket is open, ended ones included
        self._warming, self._is_warm = threading.Lock(), False
        self.loaded = threading.Event()  # clear while the page is still being loaded and compiled: sessions wait
        self.loaded.set()

    def routes(self) -> list[WebSocketRoute]:
        """For the page's application."""
        return [WebSocketRoute(PATH, self._serve, name="live")]

    def new_reactor(self) -> Reactor:
        """A reactor of the page's weights that nobody else sets to a listener."""
        return heavy("perfrdiff.reactor").Reactor(self._reactor().checkpoint)

    @property
    def sessions(self) -> int:
        """How many are running."""
        return len(self._places)

    def is_heard(self, name: str) -> bool:
        """Whether a session goes on with the listener of that name."""
        ready = self.listeners.get(name)
        return ready is not None and any(place.listener is ready for place in list(self._open.values()))

    def take(self, key: str, until: int | None, film: Path | None = None, film_start: float = 0.0) -> Take:
        """The last minute of a session whose socket is open, see `LastMinute.take`.

        Raises InputError where the session is not there any more, or too short.
        """
        place = self._open.get(key)
        if place is None:
            raise InputError("This session is not there any more; what it showed was forgotten.")
        return place.take(until, film, film_start)

    async def _serve(self, socket: WebSocket) -> None:
        if not _is_same_origin(socket):
            await socket.close(REFUSED)
            return
        await socket.accept()
        if len(self._places) >= self.limits.places:
            if not self._places:
                await _end(socket, FULL, "This server has no live sessions.")
                return
            left = self.limits.minutes - (time.monotonic() - min(place.since for place in self._places)) / 60
            sentence = (
                f"All {self.limits.places} live places are taken; one is free in {max(1, round(left))} min at most."
            )
            await _end(socket, FULL, sentence)
            return
        place = Place(self.limits.pictures, self._listener)
        self._places.append(place)
        self._open[place.key] = place
        try:
            await asyncio.to_thread(heavy, PROTOCOL)  # a page that has just been started may still load it
            with live_session():
                await self._converse(socket, place)
        except (InputError, RenderError) as error:
            await _end(socket, WRONG, str(error))
        except TimeoutError:
            await _end(socket, IDLE, f"Nothing came for {self.limits.idle_seconds:g} s, so the session has ended.")
        except WebSocketDisconnect:
            pass
        except Exception as error:
            print(f"live session: {type(error).__name__}", flush=True)  # its message may hold what a person sent
            await _end(socket, WRONG, TROUBLE)
        finally:
            self._free(place)
            del self._open[place.key]
            try:
                await asyncio.to_thread(place.close)
            except RuntimeError:  # the server ends, and no thread can be had any more
                place.close()

    async def _converse(self, socket: WebSocket, place: Place) -> None:
        """One session, from its first message to its last."""
        wishes = _wishes(await self._receive(socket))
        await asyncio.to_thread(self._begin, wishes, place)
        await socket.send_json({"type": "ready", "minutes": self.limits.minutes, "session": place.key})
        inbox: deque[bytes | dict] = deque()
        arrived = asyncio.Event()
        reader = asyncio.create_task(self._read(socket, inbox, arrived))
        try:
            while True:
                await arrived.wait()
                arrived.clear()
                messages = [inbox.popleft() for _ in range(len(inbox))]
                stops = [one for one in messages if isinstance(one, dict) and one["type"] == "stop"]
                place.is_slow = place.is_slow or len(messages) > MANY
                answers = await asyncio.to_thread(place.take_in, messages)
                began = time.monotonic()
                for answer in answers:
                    await socket.send_bytes(answer)
                place.is_slow = time.monotonic() - began > SLOW_SECONDS
                if stops:
                    for answer in await asyncio.to_thread(place.finish):
                        await socket.send_bytes(answer)
                    self._free(place)
                    if stops[0].get("hold") is True:  # until the page is left or decides what to keep
                        await asyncio.wait([reader], timeout=self.limits.idle_seconds)
                    with suppress(RuntimeError, WebSocketDisconnect):
                        await socket.close()
                    return
                if reader.done():
                    reader.result()
                if time.monotonic() - place.since > 60 * self.limits.minutes:
                    raise InputError(
                        f"A live session lasts {self.limits.minutes:g} minutes at most; start another one."
                    )
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await reader

    def _free(self, place: Place) -> None:
        if place in self._places:
            self._places.remove(place)

    async def _read(self, socket: WebSocket, inbox: deque, arrived: asyncio.Event) -> None:
        """Messages into the inbox, which never grows beyond its limit: the oldest faces go first."""
        kinds = heavy(PROTOCOL).FACE, heavy(PROTOCOL).PICTURE
        try:
            while True:
                inbox.append(await self._receive(socket))
                if len(inbox) > MOST_WAITING:
                    faces = (index for index, one in enumerate(inbox) if isinstance(one, bytes) and one[0] in kinds)
                    index = next(faces, None)
                    if index is None:
                        raise InputError(
                            "This machine is too busy to listen in time; start again when less is going on."
                        )
                    del inbox[index]
                arrived.set()
        finally:
            arrived.set()

    async def _receive(self, socket: WebSocket) -> bytes | dict:
        message = await asyncio.wait_for(socket.receive(), self.limits.idle_seconds)
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        data = message.get("bytes")
        if data is not None:
            if not data or len(data) > heavy(PROTOCOL).LARGEST_MESSAGE:
                raise InputError(f"A message of {len(data)} bytes is none of this protocol's.")
            return data
        return _parsed_text(message.get("text") or "")

    def _begin(self, wishes: dict, place: Place) -> None:
        limits = self.limits
        samples, seed = wishes.get("samples", 1), wishes.get("seed", 0)
        if type(samples) is not int or not 1 <= samples <= limits.samples:
            raise InputError(f"{samples!r} reactions asked for; a live session has 1 to {limits.samples}.")
        if type(seed) is not int or not 0 <= seed < 2**31:
            raise InputError(f"The seed is {seed!r}; it has to be a whole number from 0 to {2**31 - 1}.")
        has_audio, has_camera = wishes.get("microphone", True) is True, wishes.get("camera", True) is True
        if not (has_audio or has_camera):
            raise InputError("A listener needs to hear or to see somebody: turn on the microphone or the camera.")
        self.loaded.wait()
        listener = self._listener(wishes.get("listener"))
        with self._warming:
            if not self._is_warm:
                _rehearse(listener.reactor)
                self._is_warm = True
        server_tracks, shows_photo = wishes.get("track") == "server", wishes.get("show") == "photo"
        place.begin(listener, Wishes(samples, seed, has_audio, has_camera, server_tracks, shows_photo))

    def _listener(self, name: object) -> ReadyListener:
        """A listener who was made ready, or a style of the weights; None: the first style."""
        ready = self.listeners.get(name) if isinstance(name, str) else None
        if ready is not None:
            return ready
        reactor = self.new_reactor()
        if name is not None and name not in reactor.styles:
            raise InputError("This listener is not there any more; choose one again.")
        reactor.set_listener(name if isinstance(name, str) else reactor.styles[0])
        return ReadyListener(reactor)


def _rehearse(listener: Reactor) -> None:
    """Half a second of a session: what is loaded and compiled at the first use would leave the first visitor behind by
    seconds."""
    protocol, rng = heavy(PROTOCOL), np.random.default_rng(0)
    session = heavy("perfrdiff.live.session").LiveSession(listener.stream())
    points, scores, pose = rng.uniform(0.3, 0.7, (protocol.LANDMARKS, 3)), np.zeros(protocol.SCORES), np.eye(4)
    pose[2, 3] = -50.0
    for frame in range(REHEARSED):
        session.push_audio(protocol.parse(protocol.pack_sound(rng.normal(0, 0.05, 640))).samples)
        message = protocol.pack_face((frame + 0.5) / 25, points, scores, pose, (640, 480))
        session.push_face((frame + 0.5) / 25, protocol.parse(message).face)
        session.advance()


def _is_same_origin(socket: WebSocket) -> bool:
    """Whether the page that opened the socket is this server's; programs that are no browser send no origin."""
    origin = socket.headers.get("origin")
    if origin is None:
        return True
    hosts = {socket.headers.get("host"), socket.headers.get("x-forwarded-host")}
    return urlsplit(origin).netloc in hosts - {None}


def _parsed_text(text: str) -> dict:
    """A message that is JSON. Raises InputError for anything but an object with a known "type"."""
    message: object = None
    if len(text) <= LONGEST_TEXT:
        with suppress(ValueError, RecursionError):
            message = json.loads(text)
    if not isinstance(message, dict) or message.get("type") not in ("start", "listener", "stop"):
        raise InputError('A text has to be a JSON object whose "type" is "start", "listener" or "stop".')
    return message


def _wishes(first: bytes | dict) -> dict:
    if not isinstance(first, dict) or first["type"] != "start":
        raise InputError('The first message has to be a text of the type "start".')
    return first


async def _end(socket: WebSocket, code: int, sentence: str) -> None:
    """Say why, and close."""
    with suppress(RuntimeError, WebSocketDisconnect):  # whoever is gone need not be told
        await socket.send_json({"type": "end", "sentence": sentence})
        await socket.close(code)
