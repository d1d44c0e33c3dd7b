"""What the tests of the whole way share: the shipped weights, and short clips cut from the project's own examples."""

import os

import pytest
import torch

from perfrdiff.reactor import Reactor
from renderer.face_model import load_face_model
from renderer.portrait import WarpAnimator
from tests.support.clips import EXAMPLES, cut
from tests.support.drawn_portrait import drawn_portrait


@pytest.fixture(scope="session")
def weights():
    """The shipped weights; while they are being trained, PERFRDIFF_TEST_WEIGHTS may name others."""
    return os.environ.get("PERFRDIFF_TEST_WEIGHTS", "demo")


@pytest.fixture(scope="module")
def warm_reactor(weights):
    """The shipped weights shifted towards the named style "Warm"; a module of tests may shift them on."""
    torch.set_num_threads(1)
    reactor = Reactor.load(weights)
    reactor.set_listener("Warm")
    return reactor


@pytest.fixture(scope="session")
def face():
    """The built-in face model."""
    return load_face_model()


@pytest.fixture(scope="session")
def drawn_person(face):
    """A photo of nobody, 400 pixels wide, with its landmarks and coefficients."""
    return drawn_portrait(face, 400)


@pytest.fixture(scope="module")
def animator(face, drawn_person):
    """The photo animator, 192 pixels wide, with the photo of nobody."""
    animator = WarpAnimator(face, 192)
    animator.set_portrait(*drawn_person)
    return animator


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
    return cut(EXAMPLES / "speaker.mp4", tmp_path_factory.mktemp("clips") / "Jane Doe, private.mp4", 2.0, audio=False)
