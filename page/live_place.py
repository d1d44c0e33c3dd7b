"""One live session, apart from its socket: who listens, what is remembered, what is tracked and drawn for it."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from page.live_listeners import ReadyListener
from page.loading import heavy
from perfrdiff.errors import InputError
from renderer.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from perfrdiff.live.minute import LastMinute
    from perfrdiff.live.photo import LivePhoto
    from perfrdiff.live.pictures import PictureTracker
    from perfrdiff.live.session import LiveFrames, LiveSession
    from perfrdiff.pipeline.take import Take

PROTOCOL = "perfrdiff.live.protocol"
MOST_AHEAD = 10.0  # seconds that the sound may be ahead of the clock: after a gap in the network a client catches up


@dataclass(frozen=True)
class Wishes:
    """What a session was started with."""

    samples: int = 1
    seed: int = 0
    has_audio: bool = True
    has_camera: bool = True
    server_tracks: bool = False
    shows_photo: bool = False


@dataclass(eq=False)
class Place:
    """A session's place. Its methods but `take` are called from one thread at a time, in the order of the messages."""

    most_pictures: float  # a second, of a camera that the server tracks
    listener_of: Callable[[object], ReadyListener]
    since: float = field(default_factory=time.monotonic)
    ready: float = 0.0  # when its sound may begin
    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))  # which only the page that has the socket knows
    is_slow: bool = False  # whether client or machine are too slow for pictures just now
    pictures: int = 0  # of the camera, that came
    session: LiveSession | None = None
    minute: LastMinute | None = None
    tracker: PictureTracker | None = None  # where the server tracks
    photo: LivePhoto | None = None  # where the listener's photo is shown
    listener: ReadyListener | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)  # of the minute and the listener

    def begin(self, listener: ReadyListener, wishes: Wishes) -> None:
        """Raises InputError for a photo that is not there, RenderError for one that cannot be moved."""
        stream = listener.reactor.stream(samples=wishes.samples, seed=wishes.seed)
        session = heavy("perfrdiff.live.session").LiveSession(stream, wishes.has_audio, wishes.has_camera)
        if wishes.server_tracks and wishes.has_camera:
            self.tracker = heavy("perfrdiff.live.pictures").PictureTracker()
        if wishes.shows_photo:
            self.photo = heavy("perfrdiff.live.photo").LivePhoto(listener.looks)
        self.session, self.minute = session, heavy("perfrdiff.live.minute").LastMinute(session)
        self.listener, self.ready = listener, time.monotonic()

    def take_in(self, messages: list[bytes | dict]) -> list[bytes]:
        """Everything that has come, in its order; what is to be sent. Raises InputError for what cannot be."""
        protocol = heavy(PROTOCOL)
        assert self.session is not None and self.minute is not None, "a session was begun"
        kinds = [message[0] if isinstance(message, bytes) else None for message in messages]
        latest = max((index for index, kind in enumerate(kinds) if kind == protocol.PICTURE), default=-1)
        for index, message in enumerate(messages):
            if isinstance(message, dict):
                if message["type"] == "listener":
                    self._change_listener(self.listener_of(message.get("listener")))
                continue
            given = protocol.parse(message)
            if isinstance(given, protocol.SoundMessage):
                self.session.push_audio(given.samples)
                with self._lock:
                    self.minute.push_sound(given.samples)
            elif isinstance(given, protocol.PictureMessage):
                self._check_pictures()
                if index == latest and self.tracker is not None:  # of several that waited the latest is enough
                    self.session.push_face(given.seconds, self.tracker.face(given.jpeg))
            else:
                self.session.push_face(given.seconds, given.face)
        if self.session.seconds > time.monotonic() - self.ready + MOST_AHEAD:
            raise InputError("Sound and faces come faster than time passes; a live session takes them as they happen.")
        return self._packed(self.session.advance())

    def finish(self) -> list[bytes]:
        """The last frames."""
        assert self.session is not None, "a session was begun"
        return self._packed(self.session.finish())

    def take(self, until: int | None, film: Path | None, film_start: float) -> Take:
        """The last minute, see `LastMinute.take`; from any thread."""
        if self.minute is None or self.listener is None:
            raise InputError("This session has not begun yet.")
        with self._lock:
            return self.minute.take(self.listener.reactor, self.listener.looks, until, film, film_start)

    def close(self) -> None:
        """Free what a session holds."""
        if self.tracker is not None:
            self.tracker.close()

    def _change_listener(self, listener: ReadyListener) -> None:
        assert self.session is not None and self.minute is not None, "a session was begun"
        with self._lock:
            listener.reactor.continue_stream(self.session.listener)
            self.minute.listener_changed()
            self.listener = listener
        if self.photo is not None:
            try:
                self.photo = heavy("perfrdiff.live.photo").LivePhoto(listener.looks)
            except (InputError, RenderError):  # the page shows a head of whom there is no photo
                self.photo = None

    def _check_pictures(self) -> None:
        """Raise InputError where pictures come that nobody asked for, or too many."""
        if self.tracker is None:
            raise InputError('Pictures are taken where a session was started with "track": "server" and a camera only.')
        self.pictures += 1
        if self.pictures > self.most_pictures * (time.monotonic() - self.ready + MOST_AHEAD):
            raise InputError(f"More than {self.most_pictures:g} pictures a second came; send fewer.")

    def _packed(self, frames: LiveFrames) -> list[bytes]:
        """The pictures of frames go before their coefficients: whoever shows a frame has its picture."""
        assert self.minute is not None, "a session was begun"
        with self._lock:
            self.minute.push_frames(frames)
        protocol = heavy(PROTOCOL)
        photos = []
        if self.photo is not None and not self.is_slow:
            for sample, frame, jpeg in self.photo.pictures(frames.reactions):
                photos.append(protocol.pack_photo(sample, frames.first_frame + frame, jpeg))
        return [*photos, *protocol.pack_frames(frames)]
