"""The runs of all visitors, one after the other: who waits, how far the present run is, who may end it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from page.loading import heavy
from page.priority import yield_to_live
from page.speeds import Speeds, Work
from perfrdiff.coefficients import FPS
from perfrdiff.errors import InputError
from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.request import ReactRequest

if TYPE_CHECKING:
    from perfrdiff.pipeline.follow import Event
    from perfrdiff.pipeline.input_memory import InputMemory
    from perfrdiff.pipeline.run import ReadyReactions
    from perfrdiff.pipeline.take import Take

MOST_WAITING = 8
GRACE_SECONDS = 20.0  # a run whose visitor is gone goes on for so long: a reloaded tab finds it again
TICK_SECONDS = 0.5  # between two looks at a run
WAITING, WORKING, DONE, FAILED, CANCELLED = "waiting", "working", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)


@dataclass(eq=False)
class Job:
    """One run, from the queue to its end."""

    request: ReactRequest
    work: Work  # how much there is to do
    inputs: InputMemory | None = None  # of the visit: whom it need not read again
    take: Take | None = None  # what a live session showed, where that is to be written
    state: str = WAITING
    stage: str = ""  # a key of `pipeline.STAGES`
    fraction: float = 0.0  # 0 … 1 of the whole
    ready: ReadyReactions | None = None  # once the reactions exist, before the videos do
    result: ReactResult | None = None  # once done
    error: Exception | None = None  # once failed
    followers: int = 0
    is_cancelled: threading.Event = field(default_factory=threading.Event)
    began: dict[str, float] = field(default_factory=dict)  # stage -> time.monotonic() of its beginning


@dataclass(frozen=True)
class Look:
    """What is known of a job at one moment."""

    state: str
    stage: str
    fraction: float
    ahead: int  # runs before this one, that which goes on included
    wait_seconds: float  # until it begins
    left_seconds: float  # until it ends, waiting included
    is_ready: bool = False  # whether the reactions exist


class Jobs:
    """The queue, and the thread that works it off."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()
        self._present: Job | None = None
        self._changed = threading.Condition()
        self._speeds = Speeds()
        self._worker: threading.Thread | None = None

    def submit(self, request: ReactRequest, inputs: InputMemory | None = None, take: Take | None = None) -> Job:
        """Put a run into the queue. `inputs`: see `pipeline.run.react`; `take`: see `pipeline.run.write_take`.

        Raises InputError: the speaker's file cannot be used, or too many wait already.
        """
        job = Job(request, _work_of(request) if take is None else _work_of_take(request, take), inputs, take)
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                minutes = self._look(self._waiting[-1]).left_seconds / 60
                raise InputError(
                    f"{len(self._waiting)} runs wait already, and this machine makes one after the other. Please try "
                    f"again in about {max(1, round(minutes / 2))} minutes; what you chose stays here."
                )
            self._waiting.append(job)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="runs", daemon=True)
                self._worker.start()
            self._changed.notify_all()
        return job

    def cancel(self, job: Job) -> None:
        """End a run: at once while it waits, else when the pipeline next looks."""
        with self._changed:
            job.is_cancelled.set()
            if job in self._waiting:
                self._waiting.remove(job)
                job.state = CANCELLED
            self._changed.notify_all()

    def follow(self, job: Job) -> Iterator[Look]:
        """Looks at a job, every `TICK_SECONDS` and when it enters another stage; the last when it has ended.

        When nobody has followed a job for `GRACE_SECONDS` it is cancelled.
        """
        with self._changed:
            job.followers += 1
        try:
            while True:
                with self._changed:
                    look = self._look(job)
                yield look
                if look.state in ENDED:
                    return
                with self._changed:
                    self._changed.wait_for(lambda look=look: _has_turned(job, look), TICK_SECONDS)
        finally:
            with self._changed:
                job.followers -= 1
            if job.state not in ENDED:
                timer = threading.Timer(GRACE_SECONDS, self._cancel_if_left, (job,))
                timer.daemon = True
                timer.start()

    def _cancel_if_left(self, job: Job) -> None:
        if job.followers == 0 and job.state not in ENDED:
            self.cancel(job)

    def _look(self, job: Job) -> Look:
        if job.state in ENDED:
            return Look(job.state, job.stage, job.fraction, 0, 0.0, 0.0, job.ready is not None)
        ahead = [] if job is self._present else [self._present] if self._present else []
        for other in self._waiting if job is not self._present else ():
            if other is job:
                break
            ahead.append(other)
        wait = sum(map(self._seconds_left, ahead))
        left = wait + self._seconds_left(job)
        return Look(job.state, job.stage, job.fraction, len(ahead), wait, left, job.ready is not None)

    def _seconds_left(self, job: Job) -> float:
        return self._speeds.seconds_left(job.work, job.stage, job.began, job.fraction)

    def _work(self) -> None:
        yield_to_live()
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                job = self._present = self._waiting.popleft()
                job.state = WORKING
                self._changed.notify_all()
            self._run(job)
            with self._changed:
                self._present = None
                self._changed.notify_all()

    def _run(self, job: Job) -> None:
        try:
            with closing(follow(job.request, job.inputs, job.take)) as events:
                for event in events:
                    if job.is_cancelled.is_set():
                        job.state = CANCELLED
                        return
                    self._take(job, event)
        except Exception as error:
            job.error = error
            job.state = CANCELLED if job.is_cancelled.is_set() else FAILED

    def _take(self, job: Job, event: Event) -> None:
        pipeline = heavy("perfrdiff.pipeline.follow")
        with self._changed:
            if isinstance(event, pipeline.StageReport):
                job.began.setdefault(event.stage, time.monotonic())
                job.stage, job.fraction = event.stage, event.fraction
            elif isinstance(event, pipeline.ReadyReactions):
                job.ready = event
            else:
                job.result, job.state = event, DONE
                if job.take is None:  # a take says nothing about what tracking and thinking cost
                    self._speeds.learn(job.work, event.stage_seconds)
            self._changed.notify_all()


def follow(request: ReactRequest, inputs: InputMemory | None, take: Take | None = None) -> Iterator[Event]:
    """What happens in a run; see `perfrdiff.pipeline.follow`."""
    return heavy("perfrdiff.pipeline.follow").follow(request, inputs, take)


def _has_turned(job: Job, look: Look) -> bool:
    """Whether something else than time has changed since."""
    return (job.state, job.stage, job.ready is not None) != (look.state, look.stage, look.is_ready)


def _work_of(request: ReactRequest) -> Work:
    """How much a run has to do; raises InputError where the speaker's file cannot be used."""
    reader = heavy("perfrdiff.features.media.input")
    part = reader.Part(request.speaker_start, request.speaker_end)
    with reader.open_input(request.speaker, request.max_seconds, part) as media:
        if media.kind == "table":
            seconds, tracked = len(media.table().coefficients) / FPS, 0.0
        else:
            seconds = tracked = media.info.seconds
    with (
        suppress(InputError),  # the run says so, in its own words
        reader.open_input(request.listener, part=reader.Part(request.listener_start, request.listener_end)) as media,
    ):
        tracked += media.info.seconds if media.kind == "video" else 0.0
    return Work(
        speaker_seconds=seconds,
        tracked_seconds=tracked,
        samples=request.samples,
        steps=request.steps or 10,
        pictures=_pictures_of(request),
    )


def _work_of_take(request: ReactRequest, take: Take) -> Work:
    """Of what a live session showed, nothing is tracked or thought up again."""
    return Work(take.frames / FPS, 0.0, request.samples, 0, _pictures_of(request))


def _pictures_of(request: ReactRequest) -> float:
    videos = len(request.views) + (2 if request.transparent else 0)
    return request.samples * videos * (request.size / 256) ** 2
