"""Speakers and listeners who were read in this visit, so that nobody is tracked twice.

A person who tries another style or another seed gives the same two files again. What was read of them is remembered by
the files' content: in memory alone, a few at a time, and gone with the object.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from threading import Lock
from typing import TypeVar
from weakref import WeakValueDictionary

import numpy as np

from perfrdiff.features.clip import Listener, Speaker, read_listener, read_speaker
from perfrdiff.features.media.audio_track import Audio
from perfrdiff.features.media.input import Media, Source, as_media

Person = TypeVar("Person", Speaker, Listener)
Progress = Callable[[float], None]
WAIT_SECONDS = 0.3  # between two looks at whether somebody has been read
LARGEST = 64 << 20  # bytes of one visitor; a photo of 2048² takes 12 MB, two minutes of a speaker 10 MB


class InputMemory:
    """Reads speakers and listeners, and remembers the latest. Who is asked for while they are being read is waited for.

    most: how many are remembered; 0 reads everything anew.
    largest: bytes that they may take together; whoever was asked for longest ago is forgotten first.
    """

    def __init__(self, most: int = 6, largest: int = LARGEST) -> None:
        self._most, self._largest = most, largest
        self._people: OrderedDict[tuple, Speaker | Listener] = OrderedDict()
        self._reading: WeakValueDictionary[tuple, Lock] = WeakValueDictionary()
        self._lock = Lock()

    def speaker(self, media: Media, face_number: int | None, progress: Progress | None) -> Speaker:
        """As `read_speaker` of a file that is open."""
        return self._person(
            Speaker, media, face_number, progress, lambda: read_speaker(media, progress, face_number=face_number)
        )

    def listener(self, source: Source, face_number: int | None, progress: Progress | None) -> Listener:
        """As `read_listener`."""
        with as_media(source) as media:
            return self._person(
                Listener, media, face_number, progress, lambda: read_listener(media, progress, face_number=face_number)
            )

    def forget(self) -> None:
        """Remember nobody any more."""
        with self._lock:
            self._people.clear()

    def _person(
        self,
        kind: type[Person],
        media: Media,
        face_number: int | None,
        progress: Progress | None,
        read: Callable[[], Person],
    ) -> Person:
        if not self._most:
            return read()
        # The name is part of the key: the notes have it.
        key = (kind, media.sha256(), media.name, media.max_seconds, media.part, face_number)
        with self._turn(key, progress):
            with self._lock:
                person = self._people.get(key)
            if person is None:
                person = read()
            with self._lock:
                self._people[key] = person
                self._people.move_to_end(key)
                while len(self._people) > self._most or sum(map(_bytes, self._people.values())) > self._largest:
                    self._people.popitem(last=False)
        assert isinstance(person, kind)
        return replace(person, notes=list(person.notes))  # a run adds notes of its own

    @contextmanager
    def _turn(self, key: tuple, progress: Progress | None) -> Iterator[None]:
        """One reads at a time; who waits reports, so that a run can be cancelled meanwhile."""
        with self._lock:
            turn = self._reading.setdefault(key, Lock())
        while not turn.acquire(timeout=WAIT_SECONDS):
            if progress is not None:
                progress(0.0)
        try:
            yield
        finally:
            turn.release()


def _bytes(person: Speaker | Listener) -> int:
    values = (getattr(person, field.name) for field in fields(person))
    arrays = (value.samples if isinstance(value, Audio) else value for value in values)
    return sum(value.nbytes for value in arrays if isinstance(value, np.ndarray))
