"""The last minute of a live session, in memory, so that somebody who liked what they saw can keep it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np

from perfrdiff.coefficients import FPS, WIDTH, neutral
from perfrdiff.errors import InputError
from perfrdiff.features.attributes import facial_attributes
from perfrdiff.features.audio import mfcc
from perfrdiff.features.clip import Listener, Speaker
from perfrdiff.features.hearing import hear
from perfrdiff.features.media.audio_track import RATE, Audio
from perfrdiff.features.tracking.signals import QUALITIES
from perfrdiff.live.session import HOP, LiveFrames, LiveSession
from perfrdiff.pipeline.take import Take
from perfrdiff.reactor import Reactions, Reactor

SECONDS = 60  # that are remembered; a speaker's sound takes 4 MB of these, four reactions 1.4 MB
SHORTEST = 1.0  # seconds that can be kept
_SLACK = 2 * FPS  # frames by which the speaker is ahead of what is shown of the listener, usually
NO_PICTURE = "No picture of the camera was kept, so a drawn head shows what was tracked of the speaker."
NO_CAMERA = "There was no camera, so nothing is known of the speaker's face."
NO_SOUND = "There was no microphone, so the films are silent."
CHANGED = "The listener was changed in this part; all of it is drawn as the last one."


class LastMinute:
    """Remembers what a session took in and gave, the latest `SECONDS` of it. Feed it in the session's own order."""

    def __init__(self, session: LiveSession) -> None:
        self._session = session
        self._sound = _Latest((SECONDS * FPS + _SLACK) * HOP)
        self._hearing, self._face, self._seen, self._reactions = (_Latest(SECONDS * FPS + _SLACK) for _ in range(4))
        self._changes: list[int] = []  # frames of the listener at which another one took over

    def push_sound(self, samples: np.ndarray) -> None:
        """The samples (n,) that the session was given."""
        self._sound.push(samples)

    def push_frames(self, frames: LiveFrames) -> None:
        """What the session gave."""
        speaker = frames.speaker
        if speaker.hearing is not None:
            self._hearing.push(speaker.hearing)
        if speaker.coefficients is not None and speaker.face_seen is not None:
            self._face.push(speaker.coefficients)
            self._seen.push(speaker.face_seen)
        self._reactions.push(np.swapaxes(frames.reactions, 0, 1))

    def listener_changed(self) -> None:
        """From the next frame on somebody else listens."""
        self._changes.append(self._reactions.end)

    def take(
        self,
        reactor: Reactor,
        listener: Listener | None,
        until: int | None = None,
        film: Path | None = None,
        film_start: float = 0.0,
    ) -> Take:
        """The last minute as what a run is made of. Frame i of the listener belongs to the speaker's frame i, as in
        every run: the delay with which it was seen is left out.

        Args:
            reactor: the one whose stream the session has, with the present listener.
            listener: what is known of their looks; None: nothing, so a made-up head is drawn.
            until: the last frame of the listener that was shown; None: the last that was given.
            film: of the speaker, where the session played one; film_start: the second of it at which the session began.

        Raises InputError where less than `SHORTEST` seconds were shown.
        """
        end = self._reactions.end if until is None else min(self._reactions.end, until + 1)
        start = max(end - SECONDS * FPS, self._reactions.start)
        if end - start < SHORTEST * FPS:
            raise InputError("There is not a second of this session to keep yet; let the listener react first.")
        rows = np.ascontiguousarray(np.swapaxes(self._reactions.take(start, end), 0, 1))
        notes = [NO_PICTURE] if film is None and self._session.has_camera else []
        notes += [] if self._session.has_camera else [NO_CAMERA]
        notes += [] if self._session.has_audio else [NO_SOUND]
        notes += [CHANGED] if any(start < frame < end for frame in self._changes) else []
        nobody = Listener(None, None, None, None)
        looks = replace(listener or nobody, notes=[*(listener.notes if listener else []), *notes])
        return Take(
            speaker=self._speaker(start, end),
            listener=looks,
            reactions=self._numbers(rows, reactor),
            style="the listener's own" if reactor.listener == "personal" else reactor.listener,
            shift=reactor.shift,
            film=film,
            film_start=max(0.0, film_start + start / FPS),
        )

    def _speaker(self, start: int, end: int) -> Speaker:
        frames = end - start
        face, seen = np.tile(neutral(), (frames, 1)).astype(np.float32), np.zeros(frames, bool)
        if self._session.has_camera:
            face, seen = self._face.take(start, end), self._seen.take(start, end)
        sound = np.zeros(0, np.float32)
        if self._session.has_audio:
            sound = self._sound.take(start * HOP, end * HOP)
            sound = np.pad(sound, (0, frames * HOP - len(sound))).astype(np.float32)
        assert face.shape == (frames, WIDTH)
        return Speaker(
            audio=mfcc(sound, RATE, frames),
            coefficients=face,
            attributes=facial_attributes(face),
            waveform=Audio(sound) if self._session.has_audio else None,
            quality=np.where(seen, QUALITIES.index("seen"), QUALITIES.index("filled")).astype(np.uint8),
            hearing=self._hearing.take(start, end) if self._session.has_audio else hear(sound, frames),
        )

    def _numbers(self, rows: np.ndarray, reactor: Reactor) -> Reactions:
        stream, checkpoint = self._session.listener, reactor.checkpoint
        return Reactions(
            rows, stream.seed, stream.options.steps, stream.options.guidance, reactor.strength, reactor.listener,
            checkpoint.name, checkpoint.sha256, solver=stream.options.solver,
        )  # fmt: skip


class _Latest:
    """The latest rows of a table that grows; they are numbered from the first that ever came."""

    def __init__(self, most: int) -> None:
        self._most, self.start, self.end = most, 0, 0
        self._pieces: deque[np.ndarray] = deque()

    def push(self, rows: np.ndarray) -> None:
        if not len(rows):
            return
        self._pieces.append(rows.copy())  # a view would keep the whole message
        self.end += len(rows)
        while self.end - self.start - len(self._pieces[0]) >= self._most:
            self.start += len(self._pieces.popleft())

    def take(self, start: int, end: int) -> np.ndarray:
        """Rows start … end, as far as they are there."""
        return np.concatenate(self._pieces)[max(start - self.start, 0) : end - self.start]
