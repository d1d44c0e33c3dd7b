"""Stages that overlap, what follows them, and inputs that were read before."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from perfrdiff.errors import InputError
from perfrdiff.features import clip
from perfrdiff.pipeline import run as pipeline
from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.follow import StageReport, follow
from perfrdiff.pipeline.input_memory import InputMemory
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.run import ReadyReactions
from perfrdiff.pipeline.stages import STAGES, StageClock, Stopped
from tests.support.clips import cut

LISTENING, WATCHING = "Reading the listener", "Watching the speaker's face"


def report_until_stopped(report, seconds=10.0):
    """As a stage that goes on and on."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        report(0.5)
        pause.wait(0.01)
    raise AssertionError("nobody stopped this stage")


def test_two_stages_at_a_time_add_up_and_never_go_back():
    reports = []
    clock = StageClock(lambda *report: reports.append(report))
    with clock.beside(LISTENING, lambda report: report(0.5) or "done") as other, clock.stage(WATCHING) as report:
        for share in (0.2, 0.1, 1.0):
            report(share)
        assert other.result() == "done"
    fractions = [fraction for _, fraction in reports]
    assert fractions == sorted(fractions) and fractions[0] == 0
    assert fractions[-1] == pytest.approx(STAGES[WATCHING] + STAGES[LISTENING], abs=0.5 * STAGES[LISTENING])
    assert set(clock.seconds) == {LISTENING, WATCHING}


def test_a_stage_that_fails_in_its_thread_ends_the_other():
    clock = StageClock()

    def refuse(_):
        raise InputError("no face")

    with (
        pytest.raises(InputError, match="no face"),
        clock.beside(LISTENING, refuse),
        clock.stage(WATCHING) as report,
    ):
        report_until_stopped(report)


def test_a_stage_that_fails_ends_the_one_in_the_thread():
    clock, ends = StageClock(), []

    def listen(report):
        try:
            report_until_stopped(report)
        except Stopped:
            ends.append("stopped")
            raise

    with pytest.raises(InputError, match="no video"), clock.beside(LISTENING, listen), clock.stage(WATCHING):
        raise InputError("no video")
    assert ends == ["stopped"]


@pytest.fixture(scope="module")
def request_for(speaker, portrait, weights, tmp_path_factory):
    def make(**settings):
        out = tmp_path_factory.mktemp("run") / "out"
        defaults = dict(speaker=speaker, listener=portrait, out=out, samples=2, weights=weights, views=("mesh",))
        return ReactRequest(**defaults | dict(size=256) | settings)

    return make


def live_threads():
    names = ("reactions", "stage", "draw", "prefetcher")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names)]


@pytest.mark.slow
def test_reactions_are_handed_out_before_any_video_is_drawn(request_for):
    request = request_for()
    events, videos_then = [], None
    for event in follow(request):
        if isinstance(event, ReadyReactions):
            videos_then = [path for path in request.out.rglob("*.mp4") if path.stat().st_size]
        if not isinstance(event, StageReport):
            events.append(event)
    ready, result = events
    assert isinstance(result, ReactResult) and videos_then == []
    with np.load(result.coefficients) as file:
        assert np.array_equal(file["coefficients"], ready.coefficients)
    assert ready.style == result.style and ready.head.name == "listener" and len(ready.speaker.hearing) == result.frames


@pytest.mark.slow
def test_side_by_side_or_one_after_the_other_the_numbers_are_the_same(request_for, listener_video, tmp_path):
    request = request_for(listener=cut(listener_video, tmp_path / "listener.mp4", 2.0), seed=3)
    result = pipeline.react(request)
    reactor = pipeline.load_reactor(request.weights)
    reactor.set_listener(clip.read_listener(request.listener).behaviour)
    one_by_one = reactor.react_to(clip.read_speaker(request.speaker), samples=2, seed=3)
    with np.load(result.coefficients) as file:
        assert np.array_equal(file["coefficients"], one_by_one.coefficients)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [WATCHING, "Thinking up reactions", "Drawing"])
def test_a_run_that_is_left_ends_and_leaves_nothing(request_for, stage):
    request = request_for()
    events = follow(request)
    for event in events:
        if isinstance(event, StageReport) and event.stage == stage:
            break
    else:
        pytest.fail(f"{stage} was never reported")
    events.close()
    assert not request.out.exists() and live_threads() == []


@pytest.mark.slow
def test_a_run_that_is_left_while_another_listener_is_watched_ends(request_for, listener_video, monkeypatch):
    """Their video may be long; a visitor who cancels waits for two seconds at most."""
    at = []

    def read(media, progress, **_):
        at.append(media.name)
        if len(at) == 1:
            return read_listener(media, progress)
        report_until_stopped(progress)

    read_listener = clip.read_listener
    monkeypatch.setattr("perfrdiff.pipeline.input_memory.read_listener", read)
    request = replace(request_for(), other_listener=listener_video)
    events = follow(request, InputMemory())
    while len(at) < 2:
        next(events)
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 2 and live_threads() == [] and not request.out.exists()


@pytest.mark.slow
def test_nobody_is_tracked_twice(request_for, monkeypatch):
    memory = InputMemory()
    first = pipeline.react(request_for(), inputs=memory)

    def never(*_, **__):
        raise AssertionError("read again")

    monkeypatch.setattr("perfrdiff.pipeline.input_memory.read_speaker", never)
    monkeypatch.setattr("perfrdiff.pipeline.input_memory.read_listener", never)
    again = pipeline.react(request_for(), inputs=memory)
    assert again.coefficients.read_bytes() == first.coefficients.read_bytes() and again.notes == first.notes
    memory.forget()
    with pytest.raises(AssertionError, match="read again"):
        pipeline.react(request_for(), inputs=memory)


def test_who_is_being_read_is_waited_for(portrait, monkeypatch):
    """A visitor who asks for a run while the page still watches their listener has them watched once; and may leave."""
    reads, may_end = [], threading.Event()

    def read(media, *_, **__):
        reads.append(media.name)
        assert may_end.wait(30)
        return clip.Listener(np.zeros((10, 10, 3), np.uint8), None, None, None)

    def leave(_):
        raise InterruptedError("cancelled")

    monkeypatch.setattr("perfrdiff.pipeline.input_memory.read_listener", read)
    memory = InputMemory()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(memory.listener, portrait, None, None)
        while not reads:
            time.sleep(0.01)
        second = pool.submit(memory.listener, portrait, None, None)
        with pytest.raises(InterruptedError):
            memory.listener(portrait, None, leave)
        may_end.set()
        assert first.result(30).photo is second.result(30).photo and len(reads) == 1


def test_the_memory_of_inputs_is_bounded(portrait, monkeypatch):
    reads = []

    def read(media, *_, **__):
        reads.append(media.name)
        return clip.Listener(np.zeros((100, 100, 3), np.uint8), None, None, None)

    monkeypatch.setattr("perfrdiff.pipeline.input_memory.read_listener", read)
    for memory, expected in ((InputMemory(most=2), 4), (InputMemory(largest=70_000), 4), (InputMemory(most=0), 5)):
        reads.clear()
        for face_number in (1, 2, 2, 3, 1):  # what was asked for longest ago is forgotten
            memory.listener(portrait, face_number, None)
        assert len(reads) == expected, memory
    memory = InputMemory()
    memory.listener(portrait, 1, None).notes.append("of one run")
    assert memory.listener(portrait, 1, None).notes == []
