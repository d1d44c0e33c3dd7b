"""Worker of test_security_references.py: read files between two marks in the trace of system calls, then misbehave.

python -m tests.support.read_under_trace here|apart FOLDER NAME …    one line for each file: read or refused
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

import av

from perfrdiff.errors import InputError
from perfrdiff.features.media import apart
from perfrdiff.features.media.input import open_input
from tests.support.referring_files import BAIT

BEGIN, END = "/the-reading-begins", "/the-reading-ends"


def read(path: Path) -> str:
    """As a speaker and as a listener are read: all that there is of a file."""
    try:
        with open_input(path) as media:
            if media.kind == "image":
                media.image()
            else:
                list(media.frames(64)), list(media.sample_frames(0.5, 64)), media.strip(3, 64), media.audio()
            media.sha256()
    except InputError:
        with suppress(InputError), open_input(path) as media:
            media.image()
        return "refused"
    return "read"


def mark(name: str) -> None:
    with suppress(OSError):
        os.open(name, os.O_RDONLY)


if __name__ == "__main__":
    way, folder, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    os.chdir(folder)
    if way == "apart":
        apart.turn_on()
    for warm in ("good.mp4", "photo%03d.jpg", "hls path.mp4", "svg.jpg"):  # all that is loaded at the first use
        read(folder / warm)
    mark(BEGIN)
    for name in names:
        print(name, read(folder / name), sep="\t")
    mark(END)
    # What a reader without guards does: if the trace does not show this, it shows nothing.
    for name, kind, options in (
        ("ffconcat path.mp4", "concat", {"safe": "0"}),
        ("outside.mov", "mov", {"enable_drefs": "1", "use_absolute_path": "1"}),
    ):
        with (
            suppress(av.FFmpegError, OSError),
            av.open(str(folder / name), format=kind, container_options=options) as file,
        ):
            list(file.demux())
    print(BAIT)
    apart.turn_off()
