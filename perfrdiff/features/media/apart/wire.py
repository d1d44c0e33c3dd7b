"""What goes over the socket between a decoding process and its parent: JSON and arrays of numbers, nothing that runs.

A message is the lengths of its two parts, a JSON object, and the bytes of an array, if the object describes one. The
parent believes no number in it: kinds, shapes and lengths are checked before room is made.
"""

import json
import math
import socket
import struct

import numpy as np

__all__ = ["WireError", "receive", "send"]

LENGTHS = struct.Struct("<II")
LARGEST_JSON = 1 << 20  # bytes; the times of an hour's key pictures
LARGEST_ARRAY = 512 << 20  # bytes; more than any picture that is handed on, or an hour of sound
KINDS = {"uint8": np.uint8, "float32": np.float32}


class WireError(Exception):
    """The other side is gone, or speaks another language."""


def send(connection: socket.socket, about: dict, array: np.ndarray | None = None) -> None:
    """One message. Raises OSError where nobody reads any more."""
    body: memoryview = memoryview(b"")
    if array is not None:
        array = np.ascontiguousarray(array)
        about = about | {"kind": array.dtype.name, "shape": list(array.shape)}
        body = memoryview(array).cast("B")
    head = json.dumps(about, default=lambda number: number.item()).encode()  # of numpy's numbers, too
    connection.sendall(LENGTHS.pack(len(head), len(body)) + head)
    if len(body):
        connection.sendall(body)


def receive(connection: socket.socket) -> tuple[dict, np.ndarray | None]:
    """The next message. Raises WireError, also where the other side has closed the socket; TimeoutError."""
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
    if kind is None or not is_shape or math.prod(shape) * np.dtype(kind).itemsize != body_length:
        raise WireError("an array that is not as long as it says")
    array = np.empty(shape, dtype=kind)
    _fill(connection, memoryview(array).cast("B") if body_length else memoryview(b""))
    return about, array


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
