"""What the server allows: its settings, whose turn it is, how much one address may use, how long a run may take."""

import argparse
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from page import jobs as queue
from page import settings as module
from page.jobs import DONE, FAILED, WORKING, Jobs
from page.settings import DEFAULTS, PUBLIC_LIMITS, ServerSettings
from page.speeds import Work
from page.turns import Allowance, Turns
from perfrdiff.errors import InputError
from perfrdiff.pipeline.follow import StageReport
from perfrdiff.pipeline.request import ReactRequest

WORK = Work(speaker_seconds=10.0, tracked_seconds=10.0, samples=3, steps=10, pictures=6.0)


def read(*arguments, **environment):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return ServerSettings.read(module.given(parser.parse_args(arguments)), environment)


def test_an_option_goes_before_the_environment_and_both_before_the_default():
    assert read() == DEFAULTS
    assert read(PERFRDIFF_QUEUE="5", PERFRDIFF_METRICS="yes") == replace(DEFAULTS, queue=5, metrics=True)
    assert read("--queue", "6", "--upload-mb", "12.5", PERFRDIFF_QUEUE="5") == replace(
        DEFAULTS, queue=6, upload_mb=12.5
    )
    assert read(PERFRDIFF_QUEUE=" ") == DEFAULTS


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PERFRDIFF_QUEUE": "many"}, r"^--queue \(PERFRDIFF_QUEUE\) must be a whole number; it is many\.$"),
        ({"PERFRDIFF_QUEUE": "2.5"}, r"whole number; it is 2\.5\.$"),
        (
            {"PERFRDIFF_UPLOAD_MB": "0"},
            r"^--upload-mb \(PERFRDIFF_UPLOAD_MB\) must lie between 1 and 10000; it is 0\.$",
        ),
        ({"PERFRDIFF_LONGEST_SECONDS": "nan"}, r"must lie between 1 and 120; it is nan\.$"),
        ({"PERFRDIFF_PUBLIC": "perhaps"}, r"must be 1 or 0; it is perhaps\.$"),
        ({"PERFRDIFF_SSL_KEYFILE": "key.pem"}, r"^HTTPS needs both files.*\.$"),
    ],
)
def test_a_setting_that_is_none_is_one_sentence(environment, sentence):
    with pytest.raises(InputError, match=sentence):
        read(**environment)


@pytest.mark.parametrize("name", ["", "127.0.0.1", "localhost", "::1", "[::1]", "127.3.2.1"])
def test_a_page_for_this_machine_needs_nothing(name):
    environment = {"GRADIO_SERVER_NAME": name}
    settings = read(**environment)
    settings.check_address(environment)
    assert settings.client_jobs == 0


@pytest.mark.parametrize(
    "environment", [{"GRADIO_SERVER_NAME": "0.0.0.0"}, {"GRADIO_SERVER_NAME": "192.0.2.7"}, {"GRADIO_SHARE": "True"}]
)
def test_a_page_that_others_can_reach_says_so_or_asks_for_names(environment, tmp_path):
    with pytest.raises(InputError, match=r"--auth FILE.*--public"):
        read(**environment).check_address(environment)
    for arguments in (("--public",), ("--auth", str(tmp_path / "users"))):
        settings = read(*arguments, **environment)
        settings.check_address(environment)
        assert settings.client_jobs == PUBLIC_LIMITS["client_jobs"]
    assert read("--public", "--client-jobs", "0", **environment).client_jobs == 0


def test_a_space_is_public_by_itself():
    settings = read(SPACE_ID="somebody/perfrdiff", GRADIO_SERVER_NAME="0.0.0.0")
    settings.check_address({"GRADIO_SERVER_NAME": "0.0.0.0"})
    assert settings.public


def test_the_file_of_visitors(tmp_path):
    path = tmp_path / "users"
    path.write_text("# who may come in\nJo:a secret: with a colon\n\nÅsa:x\n", encoding="utf-8")
    settings = read("--auth", str(path))
    assert settings.users() == {"Jo": "a secret: with a colon", "Åsa": "x"}
    assert all("secret" not in line and str(path) not in line for line in settings.lines())
    for text in ("", "Jo\n", "Jo:\n", ":x\n", "Jo:x\nJo:y\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"users.*\.$") as caught:
            settings.users()
        assert "x" not in str(caught.value).split("users")[1].replace("each visitor", "")
    with pytest.raises(InputError, match="cannot be read"):
        read("--auth", str(tmp_path / "nobody")).users()


def order(turns):
    return [turns.take() for _ in range(len(turns))]


def test_ten_runs_of_one_visitor_do_not_hold_up_anothers_first():
    turns = Turns()
    for number in range(10):
        turns.add(f"a{number}", "a", 1.0)
    assert turns.take() == "a0"
    turns.add("b0", "b", 1.0)
    turns.add("c0", "c", 1.0)
    turns.add("b1", "b", 1.0)
    assert order(turns) == ["b0", "c0", "a1", "b1", *(f"a{number}" for number in range(2, 10))]


def test_turns_count_what_is_asked_for_and_not_how_often():
    turns = Turns()
    for number in range(3):
        turns.add(f"long{number}", "long", 10.0)
    for number in range(10):
        turns.add(f"s{number}", "short", 2.0)
    taken = order(turns)
    assert taken.index("long1") == 6 and taken.index("long2") == 12


def test_who_was_away_has_saved_up_nothing():
    turns = Turns()
    for number in range(5):
        turns.add(f"a{number}", "a", 1.0)
    for _ in range(4):
        turns.take()
    turns.add("b0", "b", 1.0)
    turns.add("b1", "b", 1.0)
    turns.add("b2", "b", 1.0)
    assert order(turns) == ["b0", "a4", "b1", "b2"]


def test_what_is_taken_back_costs_nothing():
    turns = Turns()
    entries = [SimpleNamespace(name=f"a{number}") for number in range(4)]
    for entry in entries:
        turns.add(entry, "a", 1.0)
    turns.add("b", "b", 1.0)
    assert turns.remove(entries[0]) and turns.remove(entries[1]) and not turns.remove(entries[1])
    assert turns.count("a") == 2
    turns.add("a new", "a", 1.0)
    assert order(turns) == [entries[2], "b", entries[3], "a new"]


def test_an_allowance_ends_and_comes_back(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    allowance = Allowance(2, 10.0, "runs")
    allowance.use("a")
    now += 240
    allowance.use("a")
    with pytest.raises(InputError, match=r"^This server takes 2 runs of one address in 10 minutes; .* in 6 min\.$"):
        allowance.use("a")
    allowance.use("b")
    now += 361
    allowance.use("a")
    with pytest.raises(InputError):
        allowance.use("a")
    Allowance(0, 10.0, "runs").use("a", 1e9)
    with pytest.raises(InputError):
        Allowance(10, 10.0, "MB").use("a", 11.0)


@pytest.fixture
def run(monkeypatch):
    """Settings -> a queue whose runs last until `may_end`, or for ever where `hangs`."""
    made = []

    def make(**settings):
        jobs = Jobs(replace(DEFAULTS, **settings))
        jobs.may_end, jobs.hangs = threading.Event(), threading.Event()
        made.append(jobs)

        def follow(request, inputs, take):
            while not jobs.may_end.wait(0.02):
                yield StageReport("Drawing", 0.6)
                while jobs.hangs.is_set():
                    time.sleep(0.02)
            yield SimpleNamespace(stage_seconds={"Drawing": 1.0})

        monkeypatch.setattr(queue, "follow", follow)
        monkeypatch.setattr(queue, "_work_of", lambda request: WORK)
        return jobs

    yield make
    for jobs in made:
        jobs.hangs.clear()
        jobs.may_end.set()


def request():
    return ReactRequest(speaker=Path("talk.mp4"), listener=Path("me.jpg"), out=Path("out"))


def wait_for(jobs, job, *states):
    return next(look for look in jobs.follow(job) if look.state in states)


def test_the_queue_takes_turns_and_tells_true_places(run):
    jobs = run()
    first = [jobs.submit(request(), client="a") for _ in range(4)]
    wait_for(jobs, first[0], WORKING)
    other = jobs.submit(request(), client="b")
    assert [next(jobs.follow(job)).ahead for job in (*first, other)] == [0, 2, 3, 4, 1]


def test_one_visitor_does_not_fill_the_queue(run):
    jobs = run(queue=6, client_queue=2)
    wait_for(jobs, jobs.submit(request(), client="a"), WORKING)
    for _ in range(2):
        jobs.submit(request(), client="a")
    with pytest.raises(InputError, match=r"^2 runs of yours wait already"):
        jobs.submit(request(), client="a")
    jobs.submit(request(), client="b")


def test_an_address_has_so_many_runs_whatever_it_calls_itself(run):
    jobs = run(client_jobs=2)
    for visitor in "ab":
        jobs.submit(request(), client=visitor, address="192.0.2.1")
    with pytest.raises(InputError, match="2 runs of one address"):
        jobs.submit(request(), client="c", address="192.0.2.1")
    jobs.submit(request(), client="d", address="192.0.2.2")


def test_a_speaker_is_no_longer_than_the_server_allows(run):
    assert run(longest_seconds=20).submit(request()).request.max_seconds == 20


def test_a_run_has_a_deadline_and_the_next_one_begins(run):
    jobs = run(job_minutes=0.5 / 60)
    first, second = jobs.submit(request()), jobs.submit(request())
    assert wait_for(jobs, first, FAILED).state == FAILED
    assert str(first.error).startswith("The run took longer than 0.008") and first.result is None
    wait_for(jobs, second, WORKING)
    jobs.may_end.set()
    assert wait_for(jobs, second, DONE, FAILED).state == DONE
    assert dict(jobs.tally.ends) == {FAILED: 1, DONE: 1}


def test_a_run_that_hangs_ends_for_its_visitor_and_the_server_says_so(run, monkeypatch):
    monkeypatch.setattr(queue, "END_SECONDS", 0.3)
    jobs = run(job_minutes=0.3 / 60)
    jobs.hangs.set()
    job = jobs.submit(request())
    assert wait_for(jobs, job, FAILED).state == FAILED and not jobs.is_stuck
    time.sleep(0.4)
    assert jobs.is_stuck
    jobs.hangs.clear()
    end = time.monotonic() + 5
    while jobs.is_stuck and time.monotonic() < end:
        time.sleep(0.02)
    assert not jobs.is_stuck
