"""The queue of runs: places and times that are true, an end when asked for, and a refusal when too many wait."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from page import jobs as queue
from page.jobs import CANCELLED, DONE, FAILED, WAITING, WORKING, Jobs
from page.speeds import Speeds, Work
from page.visits import Visits
from perfrdiff.errors import InputError
from perfrdiff.features.media.input import open_input
from perfrdiff.pipeline.follow import StageReport
from perfrdiff.pipeline.request import ReactRequest
from perfrdiff.pipeline.stages import STAGES

SPEAKER = Path("talk.mp4")
WORK = Work(speaker_seconds=10.0, tracked_seconds=10.0, samples=3, steps=10, pictures=6.0)


@pytest.fixture
def jobs(monkeypatch):
    """A queue whose runs report "Drawing" until they are told to end; `jobs.going` names those that were begun."""
    made = Jobs()
    made.going, made.may_end = [], threading.Event()

    def follow(request, inputs, take):
        if request.speaker == SPEAKER:  # a page of an earlier test in this process may still begin a run
            made.going.append(request)
        while not made.may_end.wait(0.02):
            yield StageReport("Drawing", 0.6)
        if request.name == "Nobody":
            raise InputError("No face was found.")
        yield SimpleNamespace(stage_seconds={"Drawing": 1.0})

    monkeypatch.setattr(queue, "follow", follow)
    monkeypatch.setattr(queue, "_work_of", lambda request: WORK)
    yield made
    made.may_end.set()


def request(name="Jo"):
    return ReactRequest(speaker=SPEAKER, listener=Path("me.jpg"), out=Path("out"), name=name)


def wait_for(jobs, job, *states):
    return next(look for look in jobs.follow(job) if look.state in states)


def test_places_and_waiting_times_are_those_of_the_runs_before(jobs):
    first, second, third = (jobs.submit(request()) for _ in range(3))
    wait_for(jobs, first, WORKING)
    looks = [next(jobs.follow(job)) for job in (first, second, third)]
    assert [look.state for look in looks] == [WORKING, WAITING, WAITING]
    assert [look.ahead for look in looks] == [0, 1, 2]
    whole = Speeds().seconds_left(WORK, "", {}, 0.0)
    assert looks[1].wait_seconds == pytest.approx(looks[0].left_seconds, abs=0.5)
    assert looks[2].wait_seconds == pytest.approx(looks[0].left_seconds + whole, abs=0.5)
    assert looks[2].left_seconds == pytest.approx(looks[2].wait_seconds + whole, abs=0.5)
    jobs.may_end.set()
    assert [wait_for(jobs, job, DONE).state for job in (first, second, third)] == [DONE] * 3


def test_another_listeners_video_takes_time_as_well(monkeypatch, speaker, portrait, listener_video, tmp_path):
    """Else the time left is too short by as long as it takes to watch them; what is no video costs nothing."""
    monkeypatch.setattr(queue, "follow", lambda *_: iter([SimpleNamespace(stage_seconds={})]))
    (tmp_path / "broken.mp4").write_text("no video")
    jobs, tracked = Jobs(), []
    for other in (None, listener_video, portrait, tmp_path / "broken.mp4"):
        run = ReactRequest(speaker=speaker, listener=portrait, other_listener=other, out=tmp_path / "out")
        tracked.append(jobs.submit(run).work.tracked_seconds)
    assert tracked[0] == tracked[2] == tracked[3] == pytest.approx(2.0, abs=0.05)
    with open_input(listener_video) as media:
        assert tracked[1] - tracked[0] == pytest.approx(media.info.seconds)


def test_a_cancelled_run_ends_and_the_next_begins(jobs):
    first, second, third = (jobs.submit(request()) for _ in range(3))
    wait_for(jobs, first, WORKING)
    jobs.cancel(second)
    assert next(jobs.follow(second)).state == CANCELLED
    began = time.monotonic()
    jobs.cancel(first)
    assert wait_for(jobs, first, CANCELLED).state == CANCELLED
    while len(jobs.going) < 2:
        assert time.monotonic() - began < 2
        time.sleep(0.01)
    assert jobs.going == [first.request, third.request]


def test_a_run_that_fails_says_why_and_holds_nobody_up(jobs):
    failing, next_one = jobs.submit(request("Nobody")), jobs.submit(request())
    jobs.may_end.set()
    assert wait_for(jobs, failing, FAILED, DONE).state == FAILED
    assert str(failing.error) == "No face was found."
    assert wait_for(jobs, next_one, DONE).state == DONE


def test_a_full_queue_is_one_sentence_with_a_time(jobs):
    first = jobs.submit(request())
    wait_for(jobs, first, WORKING)
    for visitor in "abc" * 8:
        jobs.submit(request(), client=visitor)
    with pytest.raises(
        InputError, match=r"^24 runs wait already.* try again in about \d+ minutes?; what you chose stays"
    ):
        jobs.submit(request())


def test_a_run_that_nobody_follows_any_more_ends(jobs, monkeypatch):
    """A closed tab must not keep the machine; a reloaded one finds its run."""
    monkeypatch.setattr(queue, "GRACE_SECONDS", 0.3)
    left, found = jobs.submit(request()), jobs.submit(request())
    for job in (left, found):
        follower = jobs.follow(job)
        next(follower)
        follower.close()
    again = jobs.follow(found)
    next(again)
    time.sleep(0.6)
    assert wait_for(jobs, left, CANCELLED).state == CANCELLED
    assert next(again).state in (WAITING, WORKING)


def test_time_left_comes_from_this_machines_runs():
    speeds = Speeds()
    before = speeds.seconds_left(WORK, "", {}, 0.0)
    speeds.learn(WORK, dict(zip(STAGES, (1, 4, 8, 6, 30, 1), strict=True)))
    assert speeds.seconds_left(WORK, "", {}, 0.0) == pytest.approx(1 + 8 + 6 + 30 + 1) != before
    double = Work(speaker_seconds=20.0, tracked_seconds=20.0, samples=3, steps=10, pictures=6.0)
    assert 1.7 < speeds.seconds_left(double, "", {}, 0.0) / 46 < 2.1
    now = time.monotonic()
    half = 0.01 + 0.06 + 0.33 + 0.15 + 0.22
    assert speeds.seconds_left(WORK, "Drawing", {"Drawing": now - 20}, half) == pytest.approx(21, abs=0.5)
    early = speeds.seconds_left(WORK, "Drawing", {"Drawing": now - 1}, 0.551)
    assert early == pytest.approx(30, abs=0.5), "what its own pace says at the start is chance"


def test_a_reloaded_tab_has_its_files_and_a_closed_one_leaves_none(tmp_path, monkeypatch):
    from page import visits as module

    monkeypatch.setattr(module, "GRACE_SECONDS", 0.2)
    visits = Visits(tmp_path)
    visits.enter("first", "tab")
    (tmp_path / "talk.mp4").write_bytes(b"a face")
    visits.keep("first", tmp_path / "talk.mp4")
    visits.of("first").inputs["speaker"] = str(tmp_path / "talk.mp4")
    visits.forget(SimpleNamespace(session_hash="first"))
    assert visits.enter("second", "tab").inputs == {"speaker": str(tmp_path / "talk.mp4")}
    time.sleep(0.5)
    assert (tmp_path / "talk.mp4").is_file()
    assert visits.enter("stranger", "another tab").inputs == {}
    visits.forget(SimpleNamespace(session_hash="second"))
    time.sleep(0.5)
    assert not (tmp_path / "talk.mp4").exists()
    assert visits.enter("third", "tab").inputs == {}
