"""What goes over the socket between a decoding process and its parent: JSON and arrays of numbers, nothing that runs.

A message is the lengths of its two parts, a JSON object, and the bytes of an array, if the object describes one. The
parent believes no number in it: kinds, shapes and lengths are checked before room is made. A picture lies in a `Slot`
instead, memory that both have: the parent copies it out before it looks at it, and says so, and only then is the next
one put there.
"""

import contextlib
import fcntl
import json
import math
import mmap
import os
import socket
import struct

import numpy as np

__all__ = ["Slot", "WireError", "receive", "send"]

LENGTHS = struct.Struct("<II")
LARGEST_JSON = 1 << 20  # bytes; the times of an hour's key pictures
LARGEST_ARRAY = 512 << 20  # bytes; more than any picture that is handed on, or an hour of sound
KINDS = {"uint8": np.uint8, "float32": np.float32}
SLOT = 16 << 20  # bytes: a picture of 2048 x 2048 and more; a larger one goes over the socket


class WireError(Exception):
    """The other side is gone, or speaks another language."""


class Slot:
    """Memory for one array that a decoding process fills and its parent empties. Pages that nobody fills take no room.

    Its length is sealed: a decoding process that cut it short would end the parent, which reads it.
    """

    @staticmethod
    def new() -> int:
        """The descriptor of a new one. Raises OSError."""
        descriptor = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, SLOT)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def __init__(self, descriptor: int) -> None:
        """`descriptor`: of `new`; it may be closed afterwards. Raises OSError."""
        self._memory = mmap.mmap(descriptor, SLOT)
        self.is_free = True

    def put(self, array: np.ndarray) -> None:
        self.is_free = False
        self._seen(array.shape, array.dtype)[...] = array

    def take(self, shape: list[int], kind: type) -> np.ndarray:
        """A copy of what lies there. Raises ValueError once it is closed."""
        return self._seen(tuple(shape), np.dtype(kind)).copy()

    def close(self) -> None:
        with contextlib.suppress(BufferError):  # another thread is copying; the memory goes with the last who has it
            self._memory.close()

    def _seen(self, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
        return np.frombuffer(self._memory, kind, math.prod(shape)).reshape(shape)


def send(connection: socket.socket, about: dict, array: np.ndarray | None = None, slot: Slot | None = None) -> None:
    """One message, its array in the slot where there is one. Raises OSError where nobody reads any more."""
    body: memoryview = memoryview(b"")
    if array is not None:
        about = about | {"kind": array.dtype.name, "shape": list(array.shape)}
        if slot is not None and 0 < array.nbytes <= SLOT:
            while not slot.is_free:
                if not _is_taken(_message(connection, None)[0], slot):
                    raise WireError("a question before the picture before was taken")
            slot.put(array)
            about = about | {"in_slot": True}
        else:
            body = memoryview(np.ascontiguousarray(array)).cast("B")
    head = json.dumps(about, default=lambda number: number.item()).encode()  # of numpy's numbers, too
    connection.sendall(LENGTHS.pack(len(head), len(body)) + head)
    if len(body):
        connection.sendall(body)


def receive(connection: socket.socket, slot: Slot | None = None) -> tuple[dict, np.ndarray | None]:
    """The next message. Raises WireError, also where the other side has closed the socket; TimeoutError."""
    while True:
        about, array = _message(connection, slot)
        if slot is None or not _is_taken(about, slot):
            return about, array


def _is_taken(about: dict, slot: Slot) -> bool:
    """Whether a message says no more than that the slot is free again."""
    if "taken" not in about:
        return False
    slot.is_free = True
    return True


def _message(connection: socket.socket, slot: Slot | None) -> tuple[dict, np.ndarray | None]:
    head_length, body_length = LENGTHS.unpack(_read(connection, LENGTHS.size))
    if head_length > LARGEST_JSON or body_length > LARGEST_ARRAY:
        raise WireError("a message that is too long")
    try:
        about = json.loads(_read(connection, head_length))
    except (ValueError, RecursionError):
        raise WireError("a message that is no JSON") from None
    if not isinstance(about, dict):
        raise WireError("a message that is no object")
    if "shape" not in about:
        if body_length:
            raise WireError("bytes that are no array")
        return about, None
    kind, shape = KINDS.get(str(about.get("kind"))), about["shape"]
    is_shape = isinstance(shape, list) and len(shape) <= 3 and all(type(one) is int and one >= 0 for one in shape)
    length = math.prod(shape) * np.dtype(kind).itemsize if kind is not None and is_shape else -1
    if "in_slot" in about:
        if slot is None or body_length or not 0 < length <= SLOT:
            raise WireError("an array that the slot cannot hold")
        return about, _taken_out(connection, slot, shape, kind)
    if length != body_length:
        raise WireError("an array that is not as long as it says")
    array = np.empty(shape, dtype=kind)
    _fill(connection, memoryview(array).cast("B") if body_length else memoryview(b""))
    return about, array


def _taken_out(connection: socket.socket, slot: Slot, shape: list[int], kind: type) -> np.ndarray:
    try:
        array = slot.take(shape, kind)
    except ValueError:
        raise WireError("the reading was closed") from None
    with contextlib.suppress(OSError):  # it has ended; what it said before counts
        send(connection, {"taken": True})
    return array


def _read(connection: socket.socket, length: int) -> bytes:
    buffer = bytearray(length)
    _fill(connection, memoryview(buffer))
    return bytes(buffer)


def _fill(connection: socket.socket, buffer: memoryview) -> None:
    done = 0
    while done < len(buffer):
        try:
            count = connection.recv_into(buffer[done:])
        except TimeoutError:
            raise
        except OSError as error:
            raise WireError(str(error)) from None
        if not count:
            raise WireError("the other side is gone")
        done += count
