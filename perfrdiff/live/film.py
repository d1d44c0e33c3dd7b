"""A film as if it were live: its pictures and its sound go through a session as a camera's and a microphone's would."""

from __future__ import annotations

import time
from collections.abc import Iterator
from os import PathLike

import numpy as np

from perfrdiff.coefficients import FPS
from perfrdiff.features import MAX_SECONDS
from perfrdiff.features.media.input import open_input
from perfrdiff.features.tracking.landmarker import FaceTracker
from perfrdiff.live.session import HOP, LiveFrames, LiveSession
from perfrdiff.reactor import Reactor

LONG_SIDE = 640  # pixels of a picture, as of a webcam


def react_to_film(
    reactor: Reactor,
    path: str | PathLike,
    *,
    samples: int = 1,
    seed: int = 0,
    max_seconds: float = MAX_SECONDS,
    in_time: bool = False,
) -> Iterator[LiveFrames]:
    """The reactions of the reactor's listener to a film, picture by picture.

    in_time: as the film would play; without, as fast as this machine can.

    Raises InputError as `open_input`, for what is no video, and for weights that cannot react live.
    """
    with open_input(path, max_seconds) as media, FaceTracker(streaming=True) as tracker:
        media.check_video()
        audio = media.audio()
        session = LiveSession(reactor.stream(samples=samples, seed=seed), has_audio=audio is not None)
        began = time.monotonic()
        for frame, picture in enumerate(media.frames(LONG_SIDE)):
            if in_time:
                time.sleep(max(0.0, began + (frame + 1) / FPS - time.monotonic()))
            if audio is not None:
                sound = audio.samples[frame * HOP : (frame + 1) * HOP]
                session.push_audio(np.pad(sound, (0, HOP - len(sound))))
            session.push_face((frame + 0.5) / FPS, next(iter(tracker.detect(picture)), None))
            yield session.advance()
        yield session.finish()
