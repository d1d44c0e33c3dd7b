"""The parent's side: the process that is forked from, and a reading that goes on."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np

from perfrdiff.errors import InputError
from perfrdiff.features.media.apart.wire import Slot, WireError, receive, send
from perfrdiff.features.media.local_file import LocalFile
from perfrdiff.features.media.pixels import most_pixels

__all__ = ["ZYGOTE", "Reading"]

PID = struct.Struct("<i")
PATIENCE = 180.0  # seconds without a message, after which a reading hangs
LONGEST_SENTENCE = 1500
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
"""Of the environment, in which a server may have secrets."""


class _Zygote:
    """The process of ``zygote.py``; started again where it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Raises OSError where no process can be started."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()

    def stop(self) -> None:
        with self._lock:
            if self._control is not None:
                self._control.close()
            if self._process is not None:
                self._process.wait()
            self._process = self._control = None

    def fork(self, connection: socket.socket, file: int, slot: int) -> int:
        """A process that has all three. Its number. Raises OSError."""
        with self._lock:
            for attempt in (1, 2):
                try:
                    if self._control is None:
                        self._start()
                    assert self._control is not None, "it has just been started"
                    socket.send_fds(self._control, [b"f"], [connection.fileno(), file, slot])
                    answer = self._control.recv(PID.size)
                    if len(answer) == PID.size:
                        return PID.unpack(answer)[0]
                except OSError:
                    if attempt == 2:
                        raise
                self._control = None  # it was killed: another one
            raise OSError("no process for decoding could be started")

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        environment |= {"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path)}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "perfrdiff.features.media.apart.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._control = ours


ZYGOTE = _Zygote()


class Reading:
    """One reading in a process of its own. Closing it ends the process; so does the end of what it gives.

    Messages in one thread at a time, but for `close`.
    """

    def __init__(self, file: LocalFile, do: str, arguments: list, info: dict | None = None) -> None:
        """Raises InputError where no process can be had."""
        self._name = file.name
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(PATIENCE)
        self._closing = threading.Lock()
        self._handle: int | None = None
        self._slot: Slot | None = None
        about = {"do": do, "arguments": arguments, "info": info, "path": os.fspath(file.path)}
        try:
            with theirs:
                slot = Slot.new()
                try:
                    self._slot = Slot(slot)
                    self._handle = _handle(ZYGOTE.fork(theirs, file.fileno(), slot))
                finally:
                    os.close(slot)
            send(self._connection, about | {"pixels": most_pixels(1 << 40)})
        except OSError:
            self.close()
            raise InputError(f"{self._name} could not be read: this machine starts no more processes.") from None

    def ask(self, about: dict) -> tuple[dict, np.ndarray | None] | None:
        """The answer to a message; None at the end of the reading. Raises as `next`."""
        with contextlib.suppress(OSError):  # what it has to say comes first
            send(self._connection, about)
        return self.next()

    def next(self) -> tuple[dict, np.ndarray | None] | None:
        """The next message; None at the end of the reading.

        Raises InputError: what the reading says of the file; or the process ended, hung, or spoke nonsense.
        """
        try:
            about, array = receive(self._connection, self._slot)
        except TimeoutError:
            self.close()
            raise InputError(f"{self._name} keeps its decoder busy without end, and was not read.") from None
        except WireError:
            self.close()
            raise InputError(f"{self._name} ended its decoder: it is damaged or unsafe, and was not read.") from None
        if "end" in about:
            self.close(kill=False)
            return None
        if "refused" in about:
            if not about.get("goes_on"):
                self.close(kill=False)
            raise InputError(" ".join(str(about["refused"]).split())[:LONGEST_SENTENCE])
        if "failed" in about:
            self.close(kill=False)
            raise InputError(f"{self._name} takes more memory than a file may, and was not read.")
        return about, array

    def __iter__(self) -> Iterator[tuple[dict, np.ndarray | None]]:
        try:
            while (message := self.next()) is not None:
                yield message
        finally:
            self.close()

    def close(self, kill: bool = True) -> None:
        """End the process, which may be in the middle of a picture."""
        with self._closing:
            self._connection.close()
            if self._slot is not None:
                self._slot.close()
            handle, self._handle = self._handle, None
        if handle is not None:
            with contextlib.suppress(OSError):  # it has ended by itself
                if kill:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)


def _handle(process: int) -> int | None:
    """A descriptor of a process, which stands for no later one of the same number; None where it has ended already."""
    try:
        return os.pidfd_open(process)
    except OSError:
        return None
