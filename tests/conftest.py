"""What the tests of the whole way share: the shipped weights, and short clips cut from the project's own examples."""

import os
from pathlib import Path

import av
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "assets" / "examples"


@pytest.fixture(scope="session")
def weights():
    """The shipped weights; while they are being trained, PERFRDIFF_TEST_WEIGHTS may name others."""
    return os.environ.get("PERFRDIFF_TEST_WEIGHTS", "demo")


@pytest.fixture(scope="session")
def portrait():
    return EXAMPLES / "portrait.jpg"


@pytest.fixture(scope="session")
def listener_video():
    return EXAMPLES / "listener.mp4"


@pytest.fixture(scope="session")
def speaker(tmp_path_factory):
    """The first 2 seconds of the example speaker, with sound."""
    return cut(EXAMPLES / "speaker.mp4", tmp_path_factory.mktemp("clips") / "speaker.mp4", 2.0)


@pytest.fixture(scope="session")
def soundless_speaker(tmp_path_factory):
    return cut(EXAMPLES / "speaker.mp4", tmp_path_factory.mktemp("clips") / "Jane Doe, private.mp4", 2.0, sound=False)


def cut(source, target, seconds, sound=True):
    """The packets of a clip up to a time, copied: no pixel changes."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = [old.streams.video[0], *(old.streams.audio if sound else ())]
        copies = {stream.index: new.add_stream_from_template(stream) for stream in streams}
        for packet in old.demux(streams):
            if packet.dts is not None and packet.pts * packet.time_base < seconds - 1e-6:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
    return target
