"""What a machine lacks while a run goes on, in one sentence: room on the disk, memory, memory of the graphics card."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from perfrdiff.errors import InputError

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "this user may write no more to the disk",
    errno.EFBIG: "no file may become that large here",
    errno.EROFS: "nothing can be written there",
}


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Inside, errors of a full disk or of too little memory become an InputError that says what to do."""
    try:
        yield
    except InputError:  # has a sentence already
        raise
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()  # for the next run
        raise InputError(
            "The graphics card has too little memory for this run; ask for fewer reactions or smaller pictures, or for "
            "the device cpu."
        ) from error
    except MemoryError as error:
        raise InputError(
            "This machine has too little memory for this run; ask for fewer reactions, smaller pictures or a part."
        ) from error
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InputError(
            f"The results could not be written, for {FULL[error.errno]}; make room, then ask again."
        ) from error
