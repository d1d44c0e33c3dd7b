"""Reactions to game engines and avatars while they come: OSC over UDP, in the messages of the VMC protocol.

    with OscOutput("127.0.0.1", 39539) as output:
        for frames in react_to_film(reactor, "talk.mp4"):
            output.push(frames)

A frame is /VMC/Ext/Blend/Val for each of the 52 ARKit blend shapes, /VMC/Ext/Blend/Apply, /VMC/Ext/Bone/Pos for the
head, /VMC/Ext/T and /VMC/Ext/OK; docs/live.md has them. Frames become known five at a time and leave one by one, 25 a
second.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque

import numpy as np
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from perfrdiff.coefficients import FPS
from perfrdiff.errors import InputError
from perfrdiff.live.session import LiveFrames
from renderer.export.vmc import vmc_frame

PORT = 39539  # on which receivers of the protocol listen unless told otherwise
MESSAGES = 24  # of one bundle, which then stays below 1,400 bytes: one packet of any network
MOST_WAITING = 15  # frames; beyond, they leave a third faster until the rest is gone
MOST_KEPT = 50  # frames; beyond, the oldest are left out
HASTE = 0.75


class OscOutput:
    """Sends one reaction to one place, from a thread of its own. Close it, or use it in a ``with`` statement."""

    def __init__(self, host: str, port: int = PORT, sample: int = 0) -> None:
        """sample: which of a session's reactions. Raises InputError for a place that is none."""
        try:
            self._place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except (OSError, OverflowError, UnicodeError) as error:
            raise InputError(f"There is no place {host}:{port} to send OSC to ({error}).") from None
        self._socket = socket.socket(self._place[0], socket.SOCK_DGRAM)
        self._sample = sample
        self._waiting: deque[tuple[int, np.ndarray]] = deque()
        self._changed = threading.Condition()
        self._is_open = True
        self.sent = self.left_out = 0  # frames
        self._thread = threading.Thread(target=self._work, name="osc", daemon=True)
        self._thread.start()

    def push(self, frames: LiveFrames) -> None:
        """What a session has just given."""
        with self._changed:
            for number, row in enumerate(frames.reactions[self._sample], start=frames.first_frame):
                self._waiting.append((number, row))
            while len(self._waiting) > MOST_KEPT:
                self._waiting.popleft()
                self.left_out += 1
            self._changed.notify()

    def close(self) -> None:
        """Send what waits, in its time, and end."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> OscOutput:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        due = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self._is_open)
                if not self._waiting:
                    return
                step = (HASTE if len(self._waiting) > MOST_WAITING else 1.0) / FPS
                number, row = self._waiting.popleft()
            due = max(time.monotonic(), due + step)
            time.sleep(max(0.0, due - time.monotonic()))
            for packet in packets(row, number / FPS):
                try:
                    self._socket.sendto(packet, self._place[4])
                except OSError:
                    break  # nobody listens just now; who moves an avatar may start later
            self.sent += 1


def packets(row: np.ndarray, seconds: float) -> list[bytes]:
    """The datagrams of one frame, coefficients (58,), `seconds` after the session began. Raises as `vmc_frame`."""
    frame = vmc_frame(row)
    messages: list[tuple[str, tuple]] = [
        ("/VMC/Ext/OK", (1,)),
        ("/VMC/Ext/T", (float(seconds),)),
        ("/VMC/Ext/Bone/Pos", ("Head", 0.0, 0.0, 0.0, *frame.head)),
        *(("/VMC/Ext/Blend/Val", (name, value)) for name, value in frame.blends.items()),
        ("/VMC/Ext/Blend/Apply", ()),
    ]
    return [_bundle(messages[start : start + MESSAGES]) for start in range(0, len(messages), MESSAGES)]


def _bundle(messages: list[tuple[str, tuple]]) -> bytes:
    bundle = OscBundleBuilder(IMMEDIATELY)
    for address, values in messages:
        message = OscMessageBuilder(address)
        for value in values:
            message.add_arg(value)
        bundle.add_content(message.build())
    return bundle.build().dgram
