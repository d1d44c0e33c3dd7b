"""A webcam, through a live session: its pictures as they come, without sound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from os import PathLike

import cv2

from perfrdiff.errors import InputError
from perfrdiff.features.tracking.landmarker import FaceTracker
from perfrdiff.live.session import LiveFrames, LiveSession
from perfrdiff.reactor import Reactor

WIDTH, HEIGHT = 640, 480
LONGEST_GAP = 2.0  # seconds without a picture: the camera, or the whole machine, was asleep


def react_to_camera(
    reactor: Reactor, camera: int | str | PathLike = 0, *, samples: int = 1, seed: int = 0
) -> Iterator[LiveFrames]:
    """The reactions of the reactor's listener to whom a camera sees, as it happens; the clock is this machine's.

    camera: its number, or anything else that OpenCV opens (a device, a stream's address, a film, which is then taken at
    the rate at which it can be read). Ends when the camera does; OpenCV gives no sound, so nobody is heard.

    Raises InputError where the camera cannot be opened, and for weights that cannot react live.
    """
    source = cv2.VideoCapture(camera if isinstance(camera, int) else str(camera))
    try:
        if not source.isOpened():
            raise InputError(f"The camera {camera} cannot be opened; is it plugged in, and used by no other program?")
        if isinstance(camera, int):
            source.set(cv2.CAP_PROP_FRAME_WIDTH, WIDTH)
            source.set(cv2.CAP_PROP_FRAME_HEIGHT, HEIGHT)
        session = LiveSession(reactor.stream(samples=samples, seed=seed), has_audio=False)
        with FaceTracker(streaming=True) as tracker:
            began, last = time.monotonic(), 0.0
            while True:
                is_there, picture = source.read()
                if not is_there:
                    break
                now = time.monotonic()
                began = max(began, now - last - LONGEST_GAP)  # after a longer one the session's clock has stood still
                last = now - began
                faces = tracker.detect(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
                session.push_face(last, next(iter(faces), None))
                yield session.advance()
        yield session.finish()
    finally:
        source.release()
