"""The process that decoding processes are forked from: `python -m perfrdiff.features.media.apart.zygote DESCRIPTOR`.

It has the decoders loaded, so that a fork is all that a reading costs. Over the socket of that descriptor the parent
sends three descriptors, a connection, an open file and a slot for pictures; it answers with the process that has them.
It ends with the socket.
"""

import contextlib
import encodings
import importlib
import io
import os
import pkgutil
import signal
import socket
import struct
import sys

import av
import cv2
import PIL
from PIL import Image

from perfrdiff.features.media.apart.confine import confine, leave_network
from perfrdiff.features.media.apart.wire import Slot, receive
from perfrdiff.features.media.apart.work import Channel, serve
from perfrdiff.features.media.local_file import LocalFile

PID = struct.Struct("<i")
NOT_NEEDED = (
    "av.__main__",
    "PIL.__main__",
    "PIL.report",
    "PIL.ImageTk",
    "PIL._imagingtk",
    "PIL._tkinter_finder",
    "PIL.ImageQt",
)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGCHLD, _reap)
    _load_everything()
    leave_network()
    while True:
        message, descriptors, *_ = socket.recv_fds(control, 1, 3)
        if not message or len(descriptors) != 3:
            return
        process = os.fork()
        if process == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            _child(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(PID.pack(process))


def _load_everything() -> None:
    """All that is loaded at the first use: a child can open nothing any more."""
    Image.init()
    for package in (av, PIL, encodings):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(NOT_NEEDED):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    cv2.setNumThreads(1)


def _reap(*_: object) -> None:
    """Take note of children that have ended, so that their processor time counts, and none stays."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _child(connection_descriptor: int, file_descriptor: int, slot_descriptor: int) -> None:
    """One reading, to its end; never returns."""
    code = 1
    with contextlib.suppress(BaseException), socket.socket(fileno=connection_descriptor) as connection:
        about, _ = receive(connection)
        slot = Slot(slot_descriptor)
        os.close(slot_descriptor)
        confine()
        serve(Channel(connection, slot), LocalFile(about["path"], io.FileIO(file_descriptor)), about)
        code = 0
    os._exit(code)


if __name__ == "__main__":
    main()
