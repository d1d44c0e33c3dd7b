"""Decoding in processes of their own: what a codec does wrong costs one file, and reaches nothing else.

A server calls ``turn_on``; a shell or a script, which reads its owner's files, decodes in its own process.

Every reading of a file (its pictures, its audio, its length) is a process: forked from a small one that has the
decoders loaded and nothing of anybody's (``zygote.py``), given the open file and a socket, and shut in
(``confine.py``): it can open no file and no connection, write nothing, and has so much memory and processor time. What
comes back are numbers and sentences, never objects (``wire.py``), so that a process that somebody has taken over can
only lie about its picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfrdiff.features.media.local_file import LocalFile
    from perfrdiff.features.media.readers import Readers

__all__ = ["is_on", "readers_of", "turn_off", "turn_on"]

_is_on = False


def turn_on() -> None:
    """Let this process decode in processes of their own from now on; the first of them is started here.

    Raises OSError where the system cannot do so.
    """
    from perfrdiff.features.media.apart.parent import ZYGOTE

    global _is_on
    ZYGOTE.start()
    _is_on = True


def turn_off() -> None:
    """Decode in this process again."""
    from perfrdiff.features.media.apart.parent import ZYGOTE

    global _is_on
    _is_on = False
    ZYGOTE.stop()


def is_on() -> bool:
    return _is_on


def readers_of(file: LocalFile) -> Readers:
    """What reads this open file."""
    if not _is_on:
        from perfrdiff.features.media.readers import ReadersHere  # the decoders are loaded when they are needed

        return ReadersHere(file)
    from perfrdiff.features.media.apart.readers import ReadersApart

    return ReadersApart(file)
